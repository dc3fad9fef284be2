"""The noise trace from successive steps: its expectation is that of the docstring of the budget, bias included."""

import numpy as np
import pytest

from weightgas.losses import Quadratic
from weightgas.monitoring import budget
from weightgas.protocols import FixedSphere
from weightgas.simulation import reference

CURVATURES = np.linspace(0, 2, 8)
DIM, STEPS = len(CURVATURES), 8000


def gradients(elr):
    """Gradients and weights of a stationary run on the sphere of radius 2, isotropic noise of σ = 1."""
    form, factor = Quadratic(CURVATURES).form(DIM), np.ones(DIM)
    generator = np.random.default_rng(4)
    w = np.zeros(DIM)
    w[0] = 2.0
    found, path, noise, curved = [], [], [], []
    for step in range(STEPS + 500):
        draws = generator.standard_normal(DIM)
        made = reference.step(FixedSphere, w, draws, elr, 2.0, form, factor)
        direction = w / 2
        projection = np.eye(DIM) - np.outer(direction, direction)
        if step >= 500:
            found.append(projection @ (form.curvature * direction + draws) / 2)
            path.append(w)
            noise.append(made.noise_sq)
            hessian = np.diag(form.curvature) - (form.curvature @ direction**2) * np.eye(DIM)
            curved.append(np.trace(hessian @ projection))
        w = made.weights
    return np.array(found), np.array(path), np.mean(noise), np.mean(curved)


def noise_trace(first, second, before, after):
    """What the budget makes of it, (steps,)."""
    zero = np.zeros_like(before)
    vectors = [before, first], [before, after, after - before, zero], [first, second], [after]
    of = [np.stack(each, axis=1) for each in vectors]
    return budget.row(*(x @ x.swapaxes(1, 2) for x in of))["noise_trace"]


@pytest.mark.thorough
@pytest.mark.parametrize("elr", [0.02, 0.1])
def test_the_mean_is_the_noise_and_the_bias_that_is_stated(elr):
    g, w, noise, curved = gradients(elr)
    each = noise_trace(g[:-1:2], g[1::2], w[:-1:2], w[1::2])
    error = each.std() / np.sqrt(len(each))
    expected = noise + elr * curved
    assert abs(each.mean() - expected) < 4 * error + 0.5 * elr**2 * noise
    assert abs(each.mean() - 1.05 * expected) > 4 * error  # 5 % more noise would be seen
    assert abs(each.mean() * 4 - expected) > 50 * error  # and a lost radius
    if elr > 0.05:
        assert each.mean() - noise > 4 * error  # the bias is there
