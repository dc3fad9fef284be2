"""The virial law of every optimizer against simulated steps; each form fails where another's would be put."""

import numpy as np
import pytest
from scipy.stats import ortho_group

from weightgas.theory import virial

LR, WD, CHAINS = 0.15, 0.02, 4000


class Well:
    """A quadratic loss about a point that is not 0, and gradient noise of other axes."""

    def __init__(self, dim: int = 6) -> None:
        axes, others = ortho_group.rvs(dim, size=2, random_state=0)
        self.hessian = axes * np.geomspace(0.3, 3, dim) @ axes.T
        self.factor = others * np.sqrt(np.geomspace(0.1, 3, dim))
        self.centre = np.full(dim, 1.5)

    def slope(self, w):
        return (w - self.centre) @ self.hessian

    def gradient(self, w, generator):
        return self.slope(w) + generator.standard_normal(w.shape) @ self.factor.T


def stationary(momentum: float, nesterov: bool, steps: int = 1200, averaged: int = 300):
    """Averages over chains and the last steps: weights' mean, tr Cov, ⟨θ − m, ∇L⟩, squares of step and buffer."""
    well, generator = Well(), np.random.default_rng(1)
    w = np.tile(well.centre, (CHAINS, 1))
    v = np.zeros_like(w)
    kept = []
    for step in range(steps):
        before = w
        g = well.gradient(w, generator) + WD * w
        v = momentum * v + g
        u = g + momentum * v if nesterov else v
        w = w - LR * u
        if step >= steps - averaged:
            kept.append((before, u, v))
    weights = np.concatenate([x for x, _, _ in kept])
    mean = weights.mean(0)
    slope = well.slope(weights)
    squares = {"step": np.mean([np.sum(u**2, 1).mean() for _, u, _ in kept]),
               "buffer": np.mean([np.sum(v**2, 1).mean() for _, _, v in kept]),
               "both": np.mean([np.sum(u * v, 1).mean() for _, u, v in kept])}  # fmt: skip
    excess = np.sum((weights - well.centre) * slope, 1).mean() / 2 - (mean - well.centre) @ well.slope(mean) / 2
    return np.sum((weights - mean) * slope, 1).mean(), weights.var(0).sum(), squares, excess


@pytest.mark.thorough
@pytest.mark.parametrize("optimizer", ["sgd", "heavy ball", "nesterov"])
def test_any_parameters_under_every_optimizer(optimizer: str) -> None:
    """The virial is 2(U − L(m)) of the quadratic loss, and what the optimizer's own form makes of its steps."""
    alpha = 0.0 if optimizer == "sgd" else 0.8
    seen, variance, squares, excess = stationary(alpha, optimizer == "nesterov")
    forms = {
        "sgd": virial.of_sgd(LR, WD, squares["step"], variance),
        "heavy ball": virial.of_heavy_ball(LR, WD, alpha, squares["buffer"], variance),
        "nesterov": virial.of_nesterov(LR, WD, alpha, squares["step"], squares["both"], variance),
    }
    assert forms[optimizer] == pytest.approx(seen, rel=0.004)
    assert virial.cost_of_noise(forms[optimizer]) == pytest.approx(excess, rel=0.01)
    if alpha:
        assert all(abs(form / seen - 1) > 0.01 for name, form in forms.items() if name != optimizer)


def scale_invariant(momentum: float, nesterov: bool, steps: int, dim: int = 12):
    """A group on which the loss ½ w̄ᵀAw̄ + b·w̄ depends by direction alone, under torch's SGD; one long run of chains."""
    generator = np.random.default_rng(2)
    curvature, tilt = np.linspace(0, 4, dim), np.linspace(1, 0, dim)
    w = np.tile(np.eye(dim)[0] * 1.2 - tilt, (400, 1))
    v = np.zeros_like(w)
    lr, wd, total = 0.05, 0.05, []
    for step in range(steps):
        r = np.linalg.norm(w, axis=1, keepdims=True)
        unit = w / r
        raw = unit * curvature + tilt
        slope = (raw - np.sum(raw * unit, 1, keepdims=True) * unit) / r
        noise = generator.standard_normal(w.shape) * np.linspace(1, 3, dim)
        noise = (noise - np.sum(noise * unit, 1, keepdims=True) * unit) / r
        if step >= steps // 2:
            total.append((w, slope))
        g = slope + noise + wd * w
        v = momentum * v + g
        w = w - lr * (g + momentum * v if nesterov else v)
    weights, slopes = (np.concatenate(x) for x in zip(*total, strict=True))
    mean = weights.mean(0)
    change = float(mean @ (w - total[0][0]).mean(0))
    seen = np.sum((weights - mean) * slopes, 1).mean()
    return seen, virial.of_group(wd, mean @ mean), virial.boundary(lr, steps - steps // 2, change)


@pytest.mark.thorough
@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_scale_invariant_group_at_fixed_learning_rate(momentum: float, nesterov: bool) -> None:
    """λ‖m‖² for any noise and any step, here where the direction moves much and the loss is not quadratic on rays."""
    seen, law, end = scale_invariant(momentum, nesterov, 6000)
    assert seen == pytest.approx(law, rel=0.03)
    assert abs(end) < 0.03 * law


def test_a_window_that_is_too_short_has_a_boundary_term() -> None:
    """From far away, in a window of SGD: the virial is λ‖m‖² plus the boundary term, and not without it."""
    seen, law, end = scale_invariant(0.0, False, 60)
    assert abs(end) > 0.1 * law
    assert seen == pytest.approx(law + end, rel=0.05)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="lr: expected finite numbers above 0"):
        virial.of_sgd(0.0, 0.1, 1.0, 1.0)
    with pytest.raises(ValueError, match="cut: expected finite numbers above 0"):
        virial.fall(1.0, 1.0, 0.0)
