"""The heat capacity taken apart: simulated wells whose parts are known, and what is refused."""

import numpy as np
import pytest
import xarray as xr

import weightgas as wg
from weightgas.analysis import expansion, virial
from weightgas.analysis.expansion import PARTS
from weightgas.errors import TraceError
from weightgas.training.means import of_loss

DIM, ELR = 12, (0.02, 0.05)
WELL = wg.losses.Quadratic(np.concatenate([[0.0], np.linspace(2, 4, DIM - 1)]))


@pytest.fixture(scope="module")
def measured() -> tuple[xr.Dataset, xr.Dataset]:
    """A well on the sphere at two temperatures: L(m) is 0 at both."""
    form = WELL.form(DIM)
    trace = wg.simulate(
        wg.FixedSphere(elr=ELR, radius=1.0), DIM, 6000, loss=WELL, replicas=4, seed=3,
        record=wg.Record(samples=300, snapshots=200, snapshot_every=30), run=wg.Run(progress=False),
    )  # fmt: skip
    state = wg.measure(trace)
    return state, virial(state, of_loss(trace, lambda w: form.loss(w / np.linalg.norm(w, axis=-1, keepdims=True))))


def test_a_well_at_rest_has_gas_and_drift_alone(measured) -> None:
    state, law = measured
    found = expansion(state, law)
    parts = {name: value for name, (value, _) in found.parts.items()}
    errors = {name: error for name, (_, error) in found.parts.items()}
    assert parts["total"] == pytest.approx(sum(parts[name] for name in PARTS[1:]), abs=1e-9)
    share = (state["mean_grad_sq"] / state["noise_trace"]).values
    heat = share * found.rt
    assert parts["drift"] == pytest.approx(np.diff(heat)[0] / np.diff(found.rt)[0], rel=0.03)
    assert abs(parts["gas"] - 1) < 4 * errors["gas"] and errors["gas"] < 0.1
    assert abs(parts["expansion"]) < 4 * errors["expansion"] and errors["expansion"] < 0.1
    assert np.all(np.diff(found.rt) > 0) and found.heat == pytest.approx(law["heat"].values)


def test_a_loss_of_the_mean_that_rises_is_expansion(measured) -> None:
    """The same gas with a minimum that rises by 0.3 RT."""
    state, law = measured
    rise = 0.3 * state["temperature"].values * state.attrs["dof"] / 2
    higher = state.assign(energy=state["energy"] + rise)
    before, after = (expansion(each, law).parts for each in (state, higher))
    for name, change in {"total": 0.3, "expansion": 0.3, "gas": 0.0, "drift": 0.0, "rest": 0.0}.items():
        assert after[name][0] - before[name][0] == pytest.approx(change, abs=1e-9)


def test_wrong_arguments_are_refused(measured) -> None:
    state, law = measured
    with pytest.raises(TypeError, match=r"law: expected the result of analysis\.virial"):
        expansion(state, state.drop_vars("cell_id"))
    with pytest.raises(TraceError, match="law: expected the cells of the state, got others"):
        expansion(state, law.isel(cell=[0]))
    with pytest.raises(TraceError, match="expected two temperatures in equilibrium"):
        expansion(state.isel(cell=[0]), law.isel(cell=[0]))
    with pytest.raises(TraceError, match="expected pressure_thermal, got none"):
        expansion(state.drop_vars("pressure_thermal"), law)
