"""Custom quantities in a run: measured at its samples by both producers, in trace and state, never moving it."""

from __future__ import annotations

import numpy as np
import pytest

from weightgas import networks
from weightgas.errors import RunExistsError
from weightgas.measurement import measure
from weightgas.protocols import FixedLR, FixedSphere
from weightgas.quantities import Quantity
from weightgas.runs import RunFolder
from weightgas.settings import Evaluate, Record, Run, Until
from weightgas.simulation import simulate
from weightgas.trace.measured import Custom
from weightgas.training import train

QUIET = Run(threads=1, progress=False)
PROTOCOL = FixedLR([0.05, 0.1], 0.1)


def norm(weights):
    weights *= 1.0  # a copy: nothing that is done to it moves the run
    return np.sqrt(np.sum(weights**2))


def vandal(weights):
    size = np.abs(weights).max()
    weights[:] = np.nan
    return size


NORM = Quantity("norm", "norm of the weights", symbol="r", measure=norm)
LARGEST = Quantity("largest", "largest weight", average="root_mean_square", measure=vandal)
ENDS = Quantity("ends", "first two weights", dims=("replica", "sample", "end"), measure=lambda w: w[:2])


def test_a_simulation_records_them_and_is_the_same() -> None:
    record = Record(samples=40, quantities=(NORM, LARGEST, ENDS))
    trace = simulate(PROTOCOL, 5, 4000, replicas=2, record=record, run=QUIET)
    plain = simulate(
        PROTOCOL, 5, 4000, replicas=2, record=Record(samples=40), run=QUIET, evaluate=Evaluate(method="full")
    )
    assert trace.attrs["method"] == "full"
    for name in plain.data_vars:
        np.testing.assert_array_equal(trace[name], plain[name], err_msg=str(name))
    np.testing.assert_allclose(trace["norm"], trace["radius"], rtol=1e-12)
    assert trace["ends"].dims == ("cell", "replica", "sample", "end") and trace["norm"].attrs["symbol"] == "r"
    np.testing.assert_array_equal(trace["ends"].isel(sample=-1), trace["final_weights"][..., :2])
    state = measure(trace)
    assert (abs(state["norm"] - state["radius"]) < 4 * state["norm_err"] + 0.01 * state["radius"]).all()
    assert (state["norm_err"] > 0).all() and (state["largest"] > 0).all() and state["ends"].dims == ("cell", "end")


@pytest.mark.thorough
def test_a_training_run_records_them_in_its_folder_and_resumes(tmp_path, monkeypatch) -> None:
    network, options = networks.mlp(hidden=(4, 3)), {"batch_size": 32, "evaluate": Evaluate(cells_at_once=1)}
    record = Record(samples=12, quantities=(NORM, LARGEST))
    trace = train(PROTOCOL, network, "digits", 60, record=record, run=Run(tmp_path, progress=False), **options)
    plain = train(PROTOCOL, network, "digits", 60, record=Record(samples=12), run=QUIET, **options)
    for name in plain.data_vars:
        np.testing.assert_array_equal(trace[name], plain[name], err_msg=str(name))
    np.testing.assert_allclose(trace["norm"], trace["radius"], rtol=1e-6)
    again = train(PROTOCOL, network, "digits", 60, record=record, run=Run(tmp_path, progress=False), **options)
    np.testing.assert_array_equal(again["norm"], trace["norm"])
    with pytest.raises(RunExistsError, match="plan"):
        train(PROTOCOL, network, "digits", 60, record=Record(samples=12), run=tmp_path, **options)
    assert (RunFolder(tmp_path, {}).manifest_path).exists()


@pytest.mark.thorough
def test_a_run_to_a_precision_joins_them_as_it_joins_samples() -> None:
    record = Record(samples=40, blocks=4, quantities=(NORM,))
    until = Until({"energy": 0.05}, most_steps=40_000)
    trace = simulate(PROTOCOL, 3, 4000, record=record, until=until, run=QUIET)
    assert trace.sizes["sample"] > 40
    np.testing.assert_allclose(trace["norm"], trace["radius"], rtol=1e-12)


def test_a_diverged_run_has_none() -> None:
    trace = simulate(FixedSphere(elr=[0.01, 1e300]), 3, 400, record=Record(samples=8, quantities=(NORM,)), run=QUIET)
    assert np.isfinite(trace["norm"][0]).all()
    assert np.isnan(trace["norm"][1]).any()


@pytest.mark.parametrize(
    ("quantity", "message"),
    [
        (
            Quantity("q", measure=lambda w: w / 0 if w.size < 0 else w),
            r"measure of q: expected a number for the dims .* got shape",
        ),
        (Quantity("q", measure=lambda w: w[99]), "measure of q: expected a function of weights of shape .*IndexError"),
        (Quantity("q", measure=lambda w: "much"), "measure of q: expected a function of weights .* got ValueError"),
        (
            Quantity("q", dims=("replica", "sample", "x"), measure=np.sum),
            "measure of q: expected an array of 1 dimension",
        ),
    ],
)
def test_a_wrong_function_is_refused_before_the_run(quantity, message) -> None:
    with pytest.raises(ValueError, match=message):
        simulate(PROTOCOL, 3, 400, record=Record(samples=8, quantities=(quantity,)), run=QUIET)


def test_a_shape_that_changes_is_refused() -> None:
    custom = Custom((ENDS,), 4, np.ones((2, 3)))
    custom.read(0, np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"measure of ends: expected shape \(2,\) as before, got \(1,\)"):
        custom.read(1, np.ones((2, 1)))


@pytest.mark.parametrize(
    ("quantities", "error", "message"),
    [
        (NORM, TypeError, "quantities: expected a tuple of Quantity, each with measure"),
        ((Quantity("q"),), TypeError, "quantities: expected a tuple of Quantity, each with measure"),
        ((NORM, NORM), ValueError, "quantities: expected names that are free, each once, got 'norm'"),
        ((Quantity("energy", measure=norm),), ValueError, "quantities: expected names that are free"),
        ((Quantity("q", dims=("replica",), measure=norm),), ValueError, "quantities: expected values at samples"),
        ((Quantity("q", method="mean", measure=norm),), ValueError, "quantities: expected values at samples"),
    ],
)
def test_what_cannot_be_recorded_is_refused(quantities, error, message) -> None:
    with pytest.raises(error, match=message):
        Record(quantities=quantities)


def test_the_reduced_method_has_no_weights_to_measure() -> None:
    with pytest.raises(ValueError, match=r"method: expected .* no custom quantities for reduced"):
        simulate(PROTOCOL, 3, 400, record=Record(samples=8, quantities=(NORM,)), evaluate=Evaluate(method="reduced"))
