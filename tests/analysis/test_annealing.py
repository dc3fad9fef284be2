"""What annealing recovers: the formula, when no forecast is given, and forecasts written down before the cut."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import annealed
import processes
import weightgas as wg
from weightgas.analysis.annealing import ADVICE, KINDS, LARGEST_DRIFT, LARGEST_STEP, SYSTEMATIC_FALL, annealing
from weightgas.errors import TraceError
from weightgas.status import Status
from weightgas.theory import virial


@pytest.fixture(scope="module")
def state() -> xr.Dataset:
    """Of a short run, called in equilibrium: only its numbers matter."""
    record = wg.Record(samples=60, noise_samples=60)
    trace = wg.train(wg.FixedLR(lr=[0.1, 0.2], wd=0.003), wg.networks.mlp((6,)), "digits", 1200, record=record)
    found = wg.measure(trace)
    found["status"].values[:] = Status.EQUILIBRIUM
    return found.assign(step_curvature=("cell", [0.2, 0.2] / found["elr"].values, found["step_curvature"].attrs))


@pytest.mark.thorough
def test_the_fall_is_that_of_noise_and_drift(state: xr.Dataset) -> None:
    found = annealing(state, cut=5)
    assert np.array_equal(found["forecast"], [KINDS.index("given")] * 2)
    thermal, drift = (state[name] * state["volume"] for name in ("pressure_thermal", "pressure_signal"))
    scale = state["pressure"] / (state["pressure_thermal"] + state["pressure_signal"])
    assert found["fall"].values == pytest.approx(virial.fall(scale * thermal, scale * drift, 5))
    assert found["heat"].values == pytest.approx((state["pressure"] * state["volume"]).values)
    assert np.all(found["fall_err"] >= SYSTEMATIC_FALL * found["fall"])
    assert annealing(state, cut=1.7e308)["forecast"].dims == ("cell",)  # its square is not a number of 64 bits
    assert found["high"].values - found["low"].values == pytest.approx(2 * 1.96 * found["fall_err"].values)
    assert found["from_step"].values == pytest.approx(125)
    assert found["until_step"].values == pytest.approx(3 * 125)
    lr, wd = state["lr_set"].values, state["wd_set"].values
    slow = state.assign(step_curvature=("cell", [0.05, 0.05] / state["elr"].values, state["step_curvature"].attrs))
    until = annealing(slow, cut=1.2)["until_step"].values  # until η_e is 2 % larger, before three relaxations of 120
    assert np.exp(2 * lr * wd * until * (1 - 1 / 1.2) / 1.2) == pytest.approx(1.02, rel=0.002)
    with_momentum = annealing(state.assign_attrs(momentum=0.9), cut=5)
    assert with_momentum["from_step"].values == pytest.approx(125 + 50)


@pytest.mark.thorough
def test_it_is_not_given_where_it_would_be_wrong(state: xr.Dataset) -> None:
    def kind(**of_first_cell: float) -> str:
        changed = state.copy(deep=True)
        for name, value in of_first_cell.items():
            changed[name].values[0] = value
        found = annealing(changed, cut=5)
        assert np.isnan(found["fall"][0]) and np.isnan(found["high"][0]) and KINDS[int(found["forecast"][1])] == "given"
        return KINDS[int(found["forecast"][0])]

    elr, thermal = float(state["elr"][0]), float(state["pressure_thermal"][0])
    assert kind(status=Status.TOO_SHORT) == "not in equilibrium"
    assert kind(pressure_thermal=np.nan) == "not measured"
    assert kind(step_curvature=1.01 * LARGEST_STEP / elr) == "step too large"
    assert kind(pressure_signal=1.01 * thermal * LARGEST_DRIFT / (1 - LARGEST_DRIFT)) == "drift too large"
    assert kind(energy=9.9 * float(state["pressure"][0] * state["volume"][0])) == "loss too small"
    assert kind(step_curvature=1e-3 * LARGEST_STEP / elr) == "norm too fast"


def test_each_outcome_has_a_sentence_of_advice() -> None:
    codes = ("given", "not in equilibrium", "not measured", "step too large", "drift too large", "loss too small")
    assert (*codes, "norm too fast") == KINDS  # by their place in stored results
    assert all(text[0].isupper() and text.endswith(".") for text in ADVICE.values())
    for call in (lambda: wg.FixedLR(lr=0.1, wd=0.0), lambda: wg.FixedELR(elr=0.1, wd=0.0)):
        with pytest.raises(ValueError, match="wd: expected"):  # without decay nothing is stationary
            call()


@pytest.mark.thorough
def test_bad_input(state: xr.Dataset) -> None:
    with pytest.raises(ValueError, match="cut: expected a number above 1, got 1"):
        annealing(state, cut=1.0)
    with pytest.raises(TraceError, match="expected step_curvature, got none"):
        annealing(state.drop_vars(["step_curvature", "step_curvature_err"]))
    with pytest.raises(TypeError):
        annealing("run")  # type: ignore[arg-type]


@pytest.mark.thorough
def test_forecasts_before_the_cut(tmp_path: Path) -> None:
    """A network, rates and seeds that were not looked at when the systematic error was chosen."""
    assert processes.run(annealed.forecast, tmp_path) == 0
    assert processes.run(annealed.cut, tmp_path) == 0
    forecasts, seen = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("forecasts", "seen"))
    lines = [f"{one['kind']} {one['fall']:.5f}, seen {fall:.5f} ± {err:.5f}"
             for one, (fall, err) in zip(forecasts, seen, strict=True)]  # fmt: skip
    print("\n".join(lines))
    given = [(one, fall, err) for one, (fall, err) in zip(forecasts, seen, strict=True) if one["kind"] == "given"]
    assert len(given) >= 2, lines
    assert all(one["low"] - 2 * err <= fall <= one["high"] + 2 * err for one, fall, err in given), lines
