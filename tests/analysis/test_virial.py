"""The virial law from mean weights: what it makes of wells whose answer is known, with its errors."""

import numpy as np
import pytest
import xarray as xr
from scipy.signal import lfilter

from weightgas.analysis.virial import ADVICE, KINDS, virial
from weightgas.errors import TraceError
from weightgas.status import Status

DIM, SCALES, NEAR = 30, (0.25, 0.5, 1.0), 1 / 32
CURVATURE = np.linspace(0.5, 5, DIM)
CENTRE = np.full(DIM, 10 / np.sqrt(DIM))


def loss(weights: np.ndarray, quartic: float = 0.0) -> np.ndarray:
    """½ xᵀHx + quartic (½ xᵀHx)², x from the centre."""
    square = np.sum((weights - CENTRE) ** 2 * CURVATURE, axis=-1) / 2
    return square + quartic * square**2


def pair(seed: int = 0, cells: int = 1, replicas: int = 1, count: int = 400, rho: float = 0.0, quartic: float = 0.0,
         heat: float | None = None, status: Status = Status.EQUILIBRIUM, drift: float = 0.0):  # fmt: skip
    """A state with pV and the means of weights about the centre, independent or with correlation ``rho``."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((cells, replicas, count, DIM)) * np.sqrt(1 - rho**2)
    x[..., 0, :] /= np.sqrt(1 - rho**2)
    weights = CENTRE + 0.1 * lfilter([1.0], [1.0, -rho], x, axis=2)
    weights += drift * np.linspace(0, 1, count)[:, None] * CENTRE
    mean = weights.mean(axis=2)
    blocks = np.array_split(np.arange(count), 8)
    without = np.stack([np.delete(weights, block, axis=2).mean(axis=2) for block in blocks], axis=2)
    rays = np.stack([loss(mean[:, :, None] + s * (weights - mean[:, :, None]), quartic) for s in SCALES], axis=-1)
    near = [loss(mean[:, :, None] + s * (weights - mean[:, :, None]), quartic) for s in (NEAR, -NEAR)]
    of_run = ("cell", "replica")
    ids = {"cell_id": ("cell", [f"lr={i}" for i in range(cells)])}
    digests = ("cell", np.arange(cells, dtype=np.uint64))
    means = xr.Dataset(
        {
            "mean_energy": (of_run, loss(mean, quartic)),
            "mean_sq": (of_run, np.sum(mean**2, -1)),
            "square": (of_run, np.sum(weights**2, -1).mean(-1)),
            "change": (of_run, np.sum(mean * (weights[:, :, -1] - weights[:, :, 0]), -1)),
            "span": ("cell", np.full(cells, 1000.0 * count)),
            "last_step": ("cell", np.full(cells, 2000.0 * count)),
            "snapshot_energy": ((*of_run, "snapshot"), loss(weights, quartic)),
            "snapshot_block": ("snapshot", np.repeat(np.arange(8), [len(block) for block in blocks])),
            "energy_without": ((*of_run, "block"), loss(without, quartic)),
            "ray_excess": ((*of_run, "ray", "scale"), rays - loss(mean, quartic)[:, :, None, None]),
            "ray_slope": ((*of_run, "ray"), (near[0] - near[1]) / (2 * NEAR)),
            "measured_from": digests,
        },
        {"scale": list(SCALES), **ids},
    )
    heat = TRUTH if heat is None else heat
    values = {"pressure": heat / 50, "pressure_err": 1e-4 * heat, "volume": 50.0, "volume_err": np.nan, "elr": 1e-3}
    state = xr.Dataset({n: ("cell", np.full(cells, v)) for n, v in values.items()}, ids)
    return state.assign(status=("cell", np.full(cells, int(status))), measured_from=digests), means


TRUTH = CURVATURE.sum() * 0.01 / 2
"""U − L of the true mean."""


def of(found: xr.Dataset, name: str) -> float:
    return float(found[name][0])


def test_a_harmonic_well_holds_with_the_right_exponent() -> None:
    found = virial(*pair(replicas=4, count=1000))
    assert of(found, "cost") == pytest.approx(TRUTH, rel=0.03)
    assert of(found, "exponent") == pytest.approx(2, abs=1e-6)
    assert of(found, "ratio") == pytest.approx(1, rel=0.03)
    assert of(found, "expected") == pytest.approx(of(found, "overlap_sq"), rel=1e-6)
    assert KINDS[int(found["law"][0])] == "holds"
    assert abs(of(found, "boundary")) < 0.01


def test_slopes_at_a_finite_mean_are_no_part_of_the_exponent() -> None:
    """A few rays about the mean of all weights: in a harmonic well they differ by their slopes alone."""
    state, means = pair(replicas=4, count=200)
    few = means.isel(ray=slice(0, 8))
    found, plain = virial(state, few), virial(state, few.assign(ray_slope=0 * few["ray_slope"]))
    assert of(found, "exponent") == pytest.approx(2, abs=1e-6) and of(found, "exponent_err") < 1e-6
    assert of(plain, "exponent_err") > 0.01


@pytest.mark.thorough
@pytest.mark.parametrize(("replicas", "rho"), [(1, 0.0), (1, 0.8), (4, 0.8)])
def test_errors_cover_and_the_finite_mean_has_no_bias(replicas: int, rho: float) -> None:
    """200 seeds of 240 samples. With one replica the blocks are of 30 samples, long for these correlations."""
    found = virial(*pair(cells=200, replicas=replicas, count=240, rho=rho))
    off = found["cost"].values / TRUTH - 1
    z = off * TRUTH / found["cost_err"].values
    assert abs(off.mean()) < 4 * off.std() / np.sqrt(200) + 0.002
    assert 0.89 < np.mean(np.abs(z) < 1.96) < 0.995
    plain = [float(m["snapshot_energy"].mean() - m["mean_energy"].mean()) for _, m in [pair(rho=rho, count=240)]]
    assert rho == 0 or plain[0] < TRUTH  # what it corrects


def test_why_it_does_not_hold() -> None:
    steep = virial(*pair(replicas=4, quartic=3.0))
    assert of(steep, "exponent") > 2.1 and KINDS[int(steep["law"][0])] == "rays not harmonic"
    cases = {
        "does not hold": {"heat": 1.3 * TRUTH},
        "not in equilibrium": {"status": Status.TOO_SHORT},
        "window too short": {"drift": 0.5, "heat": 3e-5},
        "not measured": {"heat": np.nan},
    }
    for kind, options in cases.items():
        found = virial(*pair(replicas=4, count=1000, **options))
        assert KINDS[int(found["law"][0])] == kind
    state, means = pair(replicas=4, count=1000)
    slow = state.assign(relaxations=("cell", [1.9]))  # in the run, of which the window is half
    assert KINDS[int(virial(slow, means)["law"][0])] == "window too short"
    assert KINDS[int(virial(slow.assign(relaxations=("cell", [2.1])), means)["law"][0])] == "holds"
    few = virial(*pair(count=16, rho=0.99))
    assert KINDS[int(few["law"][0])] == "window too short"


def test_bursts_are_named() -> None:
    """Up to one mode of a well is no burst; a loss that jumps for a hundredth of the time is one."""
    state, means = pair(replicas=4, count=1000)
    burst = means.copy(deep=True)
    burst["snapshot_energy"].values[..., ::100] += 30 * TRUTH
    assert KINDS[int(virial(state, burst)["law"][0])] == "bursts"
    single = means.copy(deep=True)
    one = np.random.default_rng(0).standard_normal(means["snapshot_energy"].shape) ** 2
    single["snapshot_energy"].values[:] = means["mean_energy"].values[..., None] + TRUTH * one
    assert of(virial(state, single), "bursts") == pytest.approx(0.60, abs=0.05)
    assert set(ADVICE) == set(KINDS) and all(text.endswith(".") for text in ADVICE.values())


def test_energies_of_some_batches_stand_for_all_along_rays() -> None:
    """The loss of all batches is 1.25 of that of those in the energies, with ray to ray noise."""
    state, means = pair(replicas=4)
    part = means["ray_excess"].sel(scale=1.0)
    noise = 1 + 0.1 * np.random.default_rng(1).standard_normal(part.shape)
    every = means.assign(ray_part=part, ray_all=1.25 * noise * part)
    plain, found = virial(state, means), virial(state, every)
    assert of(found, "cost") == pytest.approx(1.25 * of(plain, "cost"), rel=0.01)
    assert of(found, "cost_err") > 1.25 * of(plain, "cost_err") and of(found, "exponent") == of(plain, "exponent")


def test_wrong_arguments_are_refused() -> None:
    state, means = pair()
    with pytest.raises(TypeError, match=r"means: expected the result of training\.mean_weights, got Dataset"):
        virial(state, state)
    with pytest.raises(TypeError, match=r"expected an xarray\.Dataset, got None"):
        virial(state, None)  # type: ignore[arg-type]
    with pytest.raises(TraceError, match="of the trace of this state"):
        virial(state.assign(measured_from=state["measured_from"] + 1), means)
    with pytest.raises(TraceError, match=r"rays at 0\.25 and 0\.5, got"):
        virial(state, means.isel(scale=[0, 2]))
