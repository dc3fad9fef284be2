"""Dissipation against duration, and a heat engine."""

import numpy as np
import pytest

from weightgas.driving import carnot, dissipation, exponent, isochore, isotherm
from weightgas.losses import Isotropic

PATHS = {
    "lag of the direction": (isochore(radius=1.0, elr=(0.02, 0.06)), Isotropic(1.0), (1, 500, 1000), 6000),
    "friction of the radius": (
        isotherm(elr=0.04, wd=(0.01, 0.04)), Isotropic(2.0), (1, 3000, 6000, 12_000), 400,
    ),
}  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize("name", PATHS)
def test_production_falls_as_one_over_duration_with_the_coefficient_of_linear_response(name):
    path, noise, durations, replicas = PATHS[name]
    found = dissipation(path, durations, noise=noise, replicas=replicas, threads=1)
    slope, error = exponent(found, times=10.0)
    assert abs(slope + 1) < 4 * error + 0.03  # at 10 relaxation times the slope is still −1 + 1/10 at its flattest
    ratio, spread = (found[n].values[1:] / found["slow"].values[1:] for n in ("produced", "produced_err"))
    weight = spread**-2
    mean, mean_error = np.average(ratio, weights=weight), weight.sum() ** -0.5
    assert abs(mean - 1) < 4 * mean_error + 0.06  # 1/n of the transient, η_e/2 of the finite step
    assert mean_error < 0.06
    assert float(found["produced"][0]) < 0.1 * float(found["slow"][0])  # a fast drive saturates


def test_two_jumps_on_a_sphere():
    found = dissipation(isochore(radius=1.0, elr=(0.01, 0.03)), [1], noise=Isotropic(2.0), replicas=4000, threads=1)
    produced, error, sudden = (float(found[n].values.ravel()[0]) for n in ("produced", "produced_err", "sudden"))
    assert sudden == pytest.approx((3 - 1) ** 2 / 3, rel=1e-3)
    assert abs(produced - sudden) < 4 * error + 0.03 * sudden


def test_a_lost_factor_two_is_seen():
    path, noise, _, replicas = PATHS["friction of the radius"]
    found = dissipation(path, [6000], noise=noise, replicas=replicas, threads=1)
    ratio, error = float(found["produced"][0] / found["slow"][0]), float(found["produced_err"][0] / found["slow"][0])
    assert abs(ratio / 2 - 1) > 10 * error


@pytest.mark.thorough
def test_the_engine_tends_to_carnot():
    found = carnot((0.02, 0.01), (1.0, 2.0), [400, 3000], noise=Isotropic(1.0), replicas=2000, cycles=4, threads=1)
    fast, slow = found["efficiency"].values
    error = found["efficiency_err"].values[1]
    assert float(found["carnot"]) == 0.5
    assert abs(slow - float(found["slow"][1])) < 4 * error
    assert slow - fast > 4 * np.hypot(*found["efficiency_err"].values)
    assert found["produced"].values[0] > 10 * found["produced_err"].values[0]


def test_what_is_refused():
    with pytest.raises(TypeError, match=r"expected a weightgas.driving.Path"):
        dissipation("isotherm", [10])
    with pytest.raises(ValueError, match="at least one number of steps"):
        dissipation(isochore(radius=1.0, elr=(0.1, 0.2)), [])
    with pytest.raises(ValueError, match=r"elr: expected the larger \(hot\) one first"):
        carnot((0.01, 0.02), (1.0, 2.0), [100])
    with pytest.raises(ValueError, match="radius: expected two different radii, got"):
        carnot((0.02, 0.01), (1.0, 1.0), [100])
    with pytest.raises(ValueError, match="durations"):
        carnot((0.02, 0.01), (1.0, 2.0), [3])
    with pytest.raises(ValueError, match="two drives of"):
        exponent(dissipation(isochore(radius=1.0, elr=(0.1, 0.2)), [1, 2], replicas=10))
