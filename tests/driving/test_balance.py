"""The four paths against theory: work, heat and entropy of slow drives, reversal, production, and a lost factor 2."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr

from representatives import names_except
from weightgas.driving import balance, closed_production, drive, linear_response, quasi_static, rates
from weightgas.driving.paths import Path, adiabat, isobar, isochore, isotherm
from weightgas.errors import TraceError
from weightgas.losses import Isotropic
from weightgas.theory import vmf

NOISE = Isotropic(2.0)  # T = 2 η_e
PATHS = {
    "isotherm": isotherm(elr=0.02, wd=(0.02, 0.05)),
    "isotherm on a sphere": isotherm(elr=0.02, radius=(1.0, 2.0)),
    "isobar": isobar(wd=0.05, elr=(0.01, 0.02)),
    "isobar of a schedule": isobar(wd=0.03, lr=(0.04, 0.02)),
    "isochore": isochore(radius=1.5, elr=(0.01, 0.03)),
    "adiabat": adiabat(lr=0.02, wd=(0.02, 0.05)),
    "adiabat on a sphere": adiabat(lr=0.02, radius=(1.0, 2.0)),
}
STEPS, REST, REPLICAS = 25_000, 2500, 250
CASES = [(name, dim) for name in PATHS for dim in ((3, 10) if name in ("isobar", "isochore") else (3,))]


@cache
def slow_drive(name, dim=3):
    path = PATHS[name]
    steps = STEPS if "wd" in path.axes else STEPS // 5  # the slow relaxation time is that of the radius
    return drive([path, path.stay()], dim, (steps, REST), noise=NOISE, replicas=REPLICAS, samples=50, threads=1)


def deviations(course):
    """(measured − theory)/error at the end: the quasi-static change, and what a finite duration adds to first order."""
    found, slow, response = balance(course), quasi_static(course), linear_response(course)
    last, added = found.isel(sample=-1), response.isel(sample=-1)
    moved = course["wd"].values[0] != course["wd"].values[-1]  # the work is −λΔV whatever is lost where λ is fixed
    change = {"work": float(added["friction_work"]) if moved else 0.0, "exchanged": -float(added["entropy_production"])}
    change |= {"heat": -change["work"], "entropy_production": -change["exchanged"]}
    expected = {name: float(slow[name][-1]) + x for name, x in change.items()}
    z = {name: (float(last[name]) - x) / max(float(last[f"{name}_err"]), 1e-12) for name, x in expected.items()}
    for name in ("temperature", "pressure", "volume", "energy", "entropy_direction", "entropy"):
        for sample in (0, -1):
            error = max(float(found[f"{name}_err"][sample]), 1e-12)
            z[f"{name}[{sample}]"] = (float(found[name][sample]) - float(slow[name][sample])) / error
    return z


@pytest.mark.parametrize(("name", "dim"), CASES)
def test_slow_paths_are_those_of_theory(name, dim):
    z = deviations(slow_drive(name, dim))
    assert max(map(abs, z.values())) < 4, {k: round(v, 1) for k, v in z.items()}


@pytest.mark.parametrize(
    "name", names_except(["isotherm", "adiabat"], ["isotherm", "isotherm on a sphere", "isobar", "adiabat"])
)
def test_a_lost_factor_two_in_the_work_is_seen(name):
    course = slow_drive(name)
    wrong = course.assign(work=course["work"] / 2, inner_work=course["inner_work"] / 2)
    assert abs(deviations(wrong)["work"]) > 10


@pytest.mark.parametrize("name", ["isochore", "isotherm on a sphere"])
def test_a_lost_factor_two_in_the_heat_over_temperature_is_seen(name):
    course = slow_drive(name)
    assert abs(deviations(course.assign(exchanged=course["exchanged"] / 2))["exchanged"]) > 4


@pytest.mark.parametrize("name", PATHS)
def test_first_law_of_every_replica(name):
    course = slow_drive(name)
    found = balance(course)
    change = found["energy"] - found["energy"][0]
    np.testing.assert_allclose(found["heat"] + found["work"], change, atol=1e-12)


def test_the_isotherm_of_a_sphere_is_reversible_at_any_speed():
    """T does not move and the direction does not feel the radius: W = −RT ln(V₂/V₁), also in 30 steps."""
    course = drive(PATHS["isotherm on a sphere"], steps=30, noise=NOISE, replicas=4000, threads=1)
    found, slow = balance(course).isel(sample=-1), quasi_static(course).isel(sample=-1)
    assert abs(float(found["work"] - slow["work"]) / float(found["work_err"])) < 4
    assert float(slow["work"]) == pytest.approx(-0.04 * np.log(4), rel=0.02)
    assert abs(float(found["entropy_production"] - slow["entropy_production"])) < 4 * float(
        found["entropy_production_err"]
    )


@pytest.mark.parametrize("name", ["isotherm", "isochore", "isobar"])
def test_back_again_undoes_a_slow_path(name):
    """Work and heat of the way back are those of the way there with the other sign, except for what is produced.

    The finite step adds to the friction some 2.6e-8 a step, at rest too: on slower paths that outweighs the tolerance.
    """
    path = PATHS[name]
    legs, steps = [path, path.stay(), path.reversed(), path.stay(0.0)], (9_000, REST, 9_000, 3 * REST)
    course = drive(legs, steps=steps, noise=NOISE, replicas=REPLICAS, samples=20, threads=1)
    found, response = balance(course).isel(sample=-1), linear_response(course).isel(sample=-1)
    lost = float(response["friction_work"])
    assert abs(float(found["friction"]) - lost) <= 4 * float(found["friction_err"]) + 0.1 * lost
    work = lost if name == "isotherm" else 0.0
    assert abs(float(found["work"]) - work) <= 4 * float(found["work_err"]) + 0.1 * work
    produced, error = closed_production(course)
    expected = float(response["entropy_production"])
    assert abs(produced - expected) < 4 * error + 0.1 * expected
    assert abs(float(found["entropy_production"]) - produced) < 4 * float(found["entropy_production_err"])


def test_production_of_a_fast_path_is_positive_and_counted_and_closed_agree():
    path = isochore(radius=1.0, elr=(0.01, 0.05))
    course = drive([path, path.stay(), path.reversed(), path.stay(0.0)], steps=(1, 400, 1, 800), noise=NOISE,
                   replicas=4000, samples=50, threads=1)  # fmt: skip
    found = balance(course)
    produced, error = closed_production(course)
    sudden = float(rates.sudden_production(3, 0.02, 0.1))
    assert abs(produced / sudden - 1) < 4 * error / sudden + 0.05  # of order η_e = 0.05
    counted, counted_error = (float(found[n][-1]) for n in ("entropy_production", "entropy_production_err"))
    assert abs(counted - produced) < 4 * counted_error
    legs = found["leg"].values
    ends = [float(found["entropy_production"][np.flatnonzero(legs == leg)[-1]]) for leg in range(4)]
    assert all(b > a - 4 * counted_error for a, b in pairwise(ends))


@pytest.mark.parametrize(("dim", "temperature"), [(2, 0.05), (3, 0.02), (3, 2.0), (10, 0.02), (1000, 1e-3)])
def test_counted_entropy_of_gibbs_states(dim, temperature):
    """Bias and error of the count: 40 ensembles of 500 replicas against the closed form."""
    generator = np.random.default_rng(dim)
    loss = vmf.sample_energy(dim, temperature, (500, 40), generator)
    course = xr.Dataset(
        {name: (("replica", "sample"), x) for name, x in {
            "energy": loss, "volume": np.ones_like(loss), "work": 0 * loss, "inner_work": 0 * loss,
            "exchanged": 0 * loss}.items()}
        | {"elr": ("sample", np.full(40, 2 * temperature)), "radius": ("sample", np.ones(40)),
           "lr": ("sample", np.full(40, np.nan)), "wd": ("sample", np.full(40, np.nan)),
           "leg": ("sample", np.zeros(40, int))},
        attrs={"producer": "drive", "dof": dim - 1, "dim": dim, "noise_var": 1.0, "protocols": ["fixed_sphere"]},
    )  # fmt: skip
    found = balance(course)
    error = found["entropy_direction_err"].values
    z = (found["entropy_direction"].values - vmf.entropy(dim, temperature)) / error
    assert abs(z.mean()) * np.sqrt(40) < 4
    assert 0.6 < z.std() < 1.5
    if temperature < 0.1 / dim:
        assert error.mean() == pytest.approx(np.sqrt((dim - 1) / 2 / 500), rel=0.3)


@pytest.mark.parametrize(("dim", "lr", "wd", "sigma"), [(3, 0.04, 0.05, 1.0), (10, 0.04, 0.05, 1.0)])
def test_fixed_lr_at_rest_keeps_producing(dim, lr, wd, sigma):
    """ηλ η_e a step: a steady state at fixed LR is no equilibrium; at fixed ELR it is one."""
    rest = Path(lr=lr, wd=wd)
    course = drive(rest, dim, 30_000, noise=Isotropic(sigma), replicas=400, samples=10, threads=1)
    produced, error = closed_production(course)
    expected = float(linear_response(course)["housekeeping"][-1])
    assert produced > 10 * error
    assert abs(produced - expected) < 4 * error + (dim - 1) * float(quasi_static(course)["temperature"][0]) * expected
    held = drive(Path(elr=0.02, wd=wd), dim, 1000, noise=Isotropic(sigma), replicas=50, threads=1)
    assert abs(closed_production(held)[0]) < 1e-10


def test_a_diverged_replica_ends_the_averages():
    course = drive(Path(elr=(0.1, 30.0), wd=0.1), dim=10, steps=400, replicas=20, warmup=0, threads=1)
    found, first = balance(course), int(course["samples"].min())
    assert np.isfinite(found["energy"][:first]).all() and np.isnan(found["energy"][first:]).all()
    assert np.isnan(found["entropy"][first:]).all() and np.isnan(found["entropy_production_err"][first:]).all()


def test_what_is_refused():
    trace = xr.Dataset(attrs={"producer": "simulate"})
    for function in (balance, quasi_static, linear_response, closed_production):
        with pytest.raises(TypeError, match="expected the result of drive"):
            function([1, 2])
        with pytest.raises(TraceError, match="A trace is for measure"):
            function(trace)
    with pytest.raises(TraceError, match=r"elr from 0\.01 to 0\.03"):
        closed_production(slow_drive("isochore"))
