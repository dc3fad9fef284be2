"""Drives: the identities of every step, and what may and may not change them."""

import numpy as np
import pytest

from weightgas.driving import Path, adiabat, ensemble, isobar, isochore, isotherm, kernel
from weightgas.driving.ensemble import drive, resting_steps
from weightgas.losses import Covariance, Isotropic
from weightgas.simulation import lanes, reference
from weightgas.simulation.arguments import Portion
from weightgas.status import Outcome

NOISE = Isotropic(1.4)
PATHS = {
    "isotherm": isotherm(elr=0.05, wd=(0.02, 0.05)),
    "isotherm on a sphere": isotherm(elr=0.05, radius=(1.0, 2.0)),
    "isochore": isochore(radius=1.5, elr=(0.02, 0.08)),
    "isobar": isobar(wd=0.05, elr=(0.02, 0.08)),
    "isobar of a schedule": isobar(wd=0.05, lr=(0.1, 0.02)),
    "adiabat": adiabat(lr=0.05, wd=(0.02, 0.08)),
}
SUMS = ("work", "inner_work", "exchanged", "update", "decay")


def plain_sums(protocol, weights, new, rate, hold, dim, variance, grad_sq):
    """Books of one step in plain words: (work, inner work, exchanged, update term, decay)."""
    volume, volume_new = (float(w @ w) / 2 for w in (weights, new))
    loss, loss_new = (1 + w[0] / np.sqrt(w @ w) for w in (weights, new))
    elr = rate / (2 * volume) if protocol == "fixed_lr" else rate
    mean_grad_sq = variance * (dim - 1) + 1 - (loss - 1) ** 2
    if protocol == "fixed_lr":
        temperature_inverse = (2 * volume + 2 * volume_new) / (rate * variance)
        inner = rate * mean_grad_sq / 8 * (1 / volume - 1 / volume_new)
    else:
        temperature_inverse = 2 / (elr * variance)
        inner = elr * mean_grad_sq / 4 * np.log(volume_new / volume)
    update = elr**2 * 2 * volume * grad_sq / 2
    outer = inner if protocol == "fixed_sphere" else hold * (volume_new - volume)
    exchanged = temperature_inverse * (loss_new - loss + outer)
    return -outer, -inner, exchanged, update, volume_new - volume - update


@pytest.mark.parametrize("dim", [2, 3, 10])
@pytest.mark.parametrize("name", PATHS)
def test_every_entry_is_the_plain_one_with_the_same_draws(name, dim):
    path, steps, runs = PATHS[name], 37, 5
    rate, hold = path.values(steps).values()
    generator = np.random.default_rng(dim)
    weights = np.abs(generator.standard_normal((runs, 2))) * [-1, 1]
    if path.protocol == "fixed_sphere":
        weights *= path.at(0.0)["radius"] / np.linalg.norm(weights, axis=1, keepdims=True)
    streams = generator.integers(0, 2**64, (runs, lanes.STREAM), np.uint64)
    normal, chi_square = lanes.draws(streams.copy(), steps, dim - 2)
    marks = np.arange(1, steps + 1)
    found = np.empty((runs, steps, kernel.COLUMNS))
    now, books = np.stack([weights[:, 0], weights[:, 1] ** 2], axis=1), np.zeros((runs, kernel.SUMS))
    kind, volume = path.kind, (weights**2).sum(axis=1) / 2
    along = (rate, hold, hold)  # the decay, or the radius where that is fixed
    portion = Portion(0, runs, np.zeros(1, np.uint8))
    kernel.advance(portion, kind.scaled, kind.projected, now, streams, volume, books, along, marks, dim, 1.96, 8, found)
    for run in range(runs):
        w, expected = weights[run], np.zeros(kernel.SUMS)
        for k in range(steps):
            step = reference.reduced_step(
                kind, *w, normal[run, k], chi_square[run, k], rate[k], hold[k], dim, variance=1.96
            )
            new = np.array(step[:2])
            if path.protocol == "fixed_sphere":  # the plain step keeps its radius, here the wall moves
                new *= hold[k] / np.hypot(*new)
            expected += plain_sums(path.protocol, w, new, rate[k], hold[k], dim, 1.96, step.grad_sq)
            w = new
            where = (1 + w[0] / np.hypot(*w), w @ w / 2)
            np.testing.assert_allclose(found[run, k], (*where, *expected), rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(books, found[:, -1, kernel.FIRST_SUM :])


@pytest.mark.parametrize("name", PATHS)
def test_update_and_decay_make_up_the_volume(name):
    """The budget of r² is exact in every replica at every sample, and so is the decay: no gradient enters it."""
    course = drive(PATHS[name], steps=2000, noise=NOISE, replicas=40, threads=1)
    change = course["volume"] - course["volume"].isel(sample=0)
    gap = np.abs(change - course["update"] - course["decay"])
    assert float(gap.max()) < 1e-12 * (1 + float(course["update"].max()))


@pytest.mark.parametrize("name", ["isotherm", "isochore", "adiabat"])
def test_a_constant_path_does_no_work(name):
    """Nothing is done by surroundings that do not move, but to fluctuations of the volume: −p ΔV, to the last bit."""
    stay = PATHS[name].stay(0.0)
    course = drive(stay, 5, 3000, noise=NOISE, replicas=200, threads=1)
    if stay.protocol == "fixed_sphere":
        assert not course["work"].any()
        assert not course["inner_work"].any()
    else:
        change = course["volume"] - course["volume"].isel(sample=0)
        np.testing.assert_allclose(course["work"], -stay.at(0.0)["wd"] * change, atol=1e-13)
        mean, error = course["work"][:, -1].mean(), course["work"][:, -1].std() / np.sqrt(200)
        assert abs(mean / error) < 4


def test_threads_calls_and_other_replicas_change_no_bit(monkeypatch):
    legs = [PATHS["isotherm"], PATHS["isochore"], PATHS["adiabat"]]
    one = drive(legs, 4, (300, 50, 77), noise=NOISE, replicas=150, samples=7, threads=1)
    for threads, replicas, per_call in ((2, 150, 2e7), (1, 130, 2e7), (1, 150, 1500.0)):
        monkeypatch.setattr(ensemble, "_STEPS_PER_CALL", per_call)
        other = drive(legs, 4, (300, 50, 77), noise=NOISE, replicas=replicas, samples=7, threads=threads)
        for name in ("energy", "volume", *SUMS):
            np.testing.assert_array_equal(other[name].values, one[name].values[:replicas], err_msg=name)
    again = drive(legs, 4, (300, 50, 77), noise=NOISE, replicas=150, samples=7, threads=1, seed=1)
    assert not np.array_equal(again["energy"], one["energy"])


def test_what_a_course_holds():
    course = drive([isochore(radius=1.5, elr=(0.02, 0.08)), isotherm(elr=0.08, wd=(0.02, 0.05))], steps=(3, 50),
                   noise=NOISE, replicas=4, samples=10)  # fmt: skip
    assert dict(course.sizes) == {"replica": 4, "sample": 14}
    np.testing.assert_array_equal(course["step"], [0, 1, 2, 3, *range(8, 54, 5)])
    np.testing.assert_array_equal(course["leg"], [0] * 4 + [1] * 10)
    np.testing.assert_allclose(course["elr"].values[[0, 3, -1]], [0.02, 0.08, 0.08])
    assert np.isnan(course["radius"].values[4:]).all() and np.isnan(course["wd"].values[:4]).all()
    assert float(course["wd"][-1]) == pytest.approx(0.05)
    for name in SUMS:
        assert not course[name].isel(sample=0).any()
    assert (course["samples"] == 14).all() and (course["outcome"] == int(Outcome.FINISHED)).all()
    assert course.attrs["protocols"] == ["fixed_sphere", "fixed_elr"]


def test_a_run_that_overflows_says_so():
    course = drive(Path(elr=(0.1, 30.0), wd=0.1), dim=10, steps=400, replicas=20, warmup=0, threads=1)
    assert (course["outcome"] == int(Outcome.DIVERGED)).all()
    first = int(course["samples"][0])
    assert 0 < first < course.sizes["sample"]
    assert np.isfinite(course["volume"][0, :first]).all() and np.isnan(course["volume"][0, first:]).all()


def test_resting_steps_are_five_clocks():
    assert resting_steps(isochore(radius=1.0, elr=(0.02, 0.08)), 1.0) == np.ceil(5 / 0.08)
    assert resting_steps(adiabat(lr=0.1, wd=(0.01, 0.1))) == 5 * 250
    assert resting_steps(isotherm(elr=0.02, wd=(0.01, 0.1)), noise=Isotropic(2.0)) == np.ceil(5 / (0.02**2 * 8))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"legs": "isotherm"}, TypeError, "legs: expected a Path"),
        ({"legs": []}, TypeError, "legs: expected a Path"),
        ({"steps": (10, 20)}, ValueError, "one for each of 1 legs"),
        ({"steps": 0}, ValueError, "steps"),
        ({"legs": isobar(wd=0.1, elr=[0.1, 0.2, 0.3])}, ValueError, "each of 100 steps"),
        ({"legs": isobar(wd=0.1, elr=lambda x: -1.0)}, ValueError, "must return one positive finite number"),
        ({"legs": isobar(wd=0.1, elr=lambda x: np.nan)}, ValueError, "got nan"),
        ({"dim": 1}, ValueError, "at least two weights"),
        ({"replicas": 1}, ValueError, "Error bars need at least two replicas"),
        ({"samples": 0}, ValueError, "samples"),
        ({"seed": -1}, ValueError, "seed"),
        ({"warmup": -1}, ValueError, "warmup"),
        ({"noise": Covariance(np.eye(3))}, TypeError, "Only the solvable gas"),
    ],
)
def test_what_is_refused(change, error, match):
    call = {"legs": PATHS["isotherm"], "steps": 100, **change}
    with pytest.raises(error, match=match):
        drive(call.pop("legs"), **call)
