"""Runs that go on until their errors are small: where they stop, what they record, and what their errors are worth."""

import json

import numpy as np
import pytest

import synthetic
from calls import flat
from weightgas import trace as traces
from weightgas.errors import RunExistsError, TraceError
from weightgas.losses import Covariance, Quadratic
from weightgas.measurement import measure
from weightgas.measurement.state import known
from weightgas.protocols import FixedELR, FixedLR, FixedSphere
from weightgas.runs import Growing, subset
from weightgas.settings import Record, Run, Until
from weightgas.simulation import plan, precision, reduced, run, simulate
from weightgas.status import Outcome, Status

GRIDS = {
    "fixed_sphere": FixedSphere([0.02, 0.1], [0.5, 2.0]),
    "fixed_elr": FixedELR([0.02, 0.1], [0.01, 0.1]),
    "fixed_lr": FixedLR([0.02, 0.1], [0.02, 0.1]),
}
GOAL = {"energy": 0.03, "radius": 0.01, "entropy_direction": 0.05}
SMALL = {"steps": 8000, "samples": 200, "targets": GOAL, "most_steps": 400_000}
each_protocol = pytest.mark.parametrize("protocol", GRIDS.values(), ids=GRIDS)


def same(one, two):
    """Equal bit by bit."""
    assert set(one.variables) == set(two.variables)
    for name in one.variables:
        np.testing.assert_array_equal(one[name].values, two[name].values, err_msg=str(name))
    return True


def last_step(trace):
    return np.take_along_axis(trace["step"].values, trace["samples"].values[:, :1] - 1, axis=1)[:, 0]


@pytest.fixture(scope="module", params=GRIDS)
def finished(request):
    return simulate(GRIDS[request.param], 3, **flat(threads=1, **SMALL))


# --- what it promises ---


@pytest.mark.thorough
def test_every_cell_reaches_its_targets_in_steps_of_its_own(finished):
    state = measure(finished)
    assert (finished["known"] == 1).all()
    assert (state["known"] == 1).all()
    assert (state["status"] == Status.EQUILIBRIUM).all()
    assert (state["energy_err"] <= 0.03 * state["energy"]).all()
    assert (state["radius_err"] <= 0.01 * state["radius"]).all()
    assert (state["entropy_direction_err"] <= 0.05).all()
    assert len(set(last_step(finished))) > 1
    assert not any("precision" in r for r in state["reason"].values.tolist())


@pytest.mark.thorough
def test_a_trace_keeps_the_contract_whatever_its_length(finished):
    traces.check(finished)
    assert (finished.sizes["sample"], finished.sizes["block"]) == (350, 35)
    n = finished["samples"].values[:, 0]
    assert set(n) <= {200, 250, 300, 350}
    spacing = np.diff(finished["step"], axis=1)
    assert (spacing == spacing[:, :1]).all()
    rounds = spacing[:, 0] / 40
    assert (rounds == 2 ** np.round(np.log2(rounds))).all()
    np.testing.assert_array_equal(finished["step"][:, 0], spacing[:, 0])
    np.testing.assert_array_equal(
        finished["overlap_counts"].sum(["replica", "block", "bin"]), last_step(finished) // 10
    )
    for name in ("energy_mean", "radius", "energy"):
        np.testing.assert_array_equal(np.isfinite(finished[name]), traces.valid(finished))
    assert json.loads(finished.attrs["precision"]) == GOAL
    assert (finished.attrs["steps"], finished.attrs["most_steps"]) == (8000, 400_000)
    assert "sample_every" not in finished.attrs


@pytest.mark.thorough
def test_a_cell_is_that_of_one_run_of_its_length(finished):
    """Point for point, mean for mean and count for count: nothing is lost where samples are joined."""
    protocol = traces.protocol_of(finished)
    i = int(np.argmax(last_step(finished)))
    n = int(finished["samples"][i, 0])
    whole = simulate(
        subset(protocol, np.array([i])),
        3,
        int(last_step(finished)[i]),
        record=Record(samples=n, blocks=n // 10, warmup=800),
    )
    cell = finished.isel(cell=[i], sample=slice(n), block=slice(n // 10))
    for name in ("radius", "energy", "overlap", "step", "samples", "overlap_counts", "final_weights", "final_stream"):
        np.testing.assert_array_equal(cell[name], whole[name], err_msg=name)
    for name in ("energy_mean", "energy_sq_mean", "grad_sq", "noise_trace", "laplacian", "grad_curvature"):
        np.testing.assert_allclose(cell[name], whole[name], rtol=1e-12, err_msg=name)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "protocol",
    [pytest.param(GRIDS[name], id=name, marks=() if name == "fixed_lr" else pytest.mark.thorough) for name in GRIDS],
)
def test_threads_parts_and_other_cells_change_no_bit(protocol, monkeypatch):
    whole = simulate(protocol, 3, **flat(threads=1, **SMALL))
    for cell in (0, 3):
        assert same(
            simulate(subset(protocol, np.array([cell])), 3, **flat(threads=2, **SMALL)), whole.isel(cell=[cell])
        )
    monkeypatch.setattr(run, "_chunks", lambda *_: Growing(3, 3, 0.0))
    apart = simulate(protocol, 3, **flat(**SMALL))
    assert same(apart, whole)
    assert apart.attrs["settings"] == whole.attrs["settings"]


@pytest.mark.thorough
def test_a_number_is_the_error_of_energy_and_radius():
    short = SMALL | {"targets": 0.05}
    one = simulate(GRIDS["fixed_lr"], 3, **flat(**short))
    assert json.loads(one.attrs["precision"]) == {"energy": 0.05, "radius": 0.05}
    assert same(one, simulate(GRIDS["fixed_lr"], 3, **flat(**short | {"targets": {"radius": 0.05, "energy": 0.05}})))


def test_odd_blocks_go_by_whole_doublings():
    trace = simulate(FixedSphere(0.05), 3, **flat(**SMALL | {"samples": 50, "blocks": 1, "targets": {"energy": 0.05}}))
    assert (trace.sizes["sample"], trace.sizes["block"]) == (50, 1)
    assert trace["known"] == 1


@pytest.mark.thorough
def test_other_losses_and_the_full_step_are_run_to_a_precision():
    loss, noise = Quadratic([0.0, 1, 2, 3]), Covariance([1.0, 2, 1, 1])
    plan = {"steps": 4000, "samples": 200, "targets": {"energy": 0.05}, "snapshots": 10, "snapshot_every": 20}
    trace = simulate(FixedSphere([0.02, 0.05]), 4, loss=loss, noise=noise, replicas=2, **flat(**plan))
    assert (trace["known"] == 1).all()
    assert (trace["snapshot_step"][:, -1] == last_step(trace)).all()
    state = measure(trace, entropy="knn")
    assert (state["known"] == 1).all()


# --- a cell that cannot states so ---


@pytest.mark.thorough
def test_a_cell_that_reaches_the_bound_says_what_is_missing():
    trace = simulate(FixedLR([0.01, 0.1], 0.1), 3, 8000, until=Until({"energy": 0.03}, most_steps=30_000))
    state = measure(trace)
    assert trace["known"].values.tolist() == state["known"].values.tolist() == [0, 1]
    assert last_step(trace)[0] == 28_000  # the last rung below the bound
    assert state["status"][0] == Status.EQUILIBRIUM
    reason = str(state["reason"].values[0])
    error = float(state["energy_err"][0] / state["energy"][0])
    assert reason.startswith(f"precision not reached: the error of energy is {100 * error:.2g} % of 3 % after 2.8e4 ")
    needed = float(reason.split("about ")[1].split()[0])
    assert needed == pytest.approx(28_000 * (error / 0.03) ** 2, rel=0.1)


def test_more_steps_do_not_help_a_radius_that_is_read_too_seldom():
    trace = simulate(
        FixedLR(0.1, 0.1), 3, 40_000, record=Record(samples=40), until=Until({"radius": 0.0005}, most_steps=40_000_000)
    )
    assert trace["known"] == 0
    assert last_step(trace)[0] < 1_000_000  # it was not run to the bound
    assert "samples are independent: about" in str(measure(trace)["reason"].values[0])


@pytest.mark.thorough
def test_a_cell_that_blows_up_ends_and_the_others_go_on():
    trace = simulate(FixedELR([0.05, 1.0], 0.01), 3, **flat(**SMALL))
    assert trace["known"].values.tolist() == [1, 0]
    assert trace["outcome"].values.ravel().tolist() == [Outcome.FINISHED, Outcome.DIVERGED]
    state = measure(trace)
    assert "diverged after" in str(state["reason"].values[1])
    assert "precision" not in str(state["reason"].values[1])


def test_replicas_that_disagree_are_not_known_whatever_their_errors():
    """Split R-hat: two replicas of one cell in different places have small errors each, and are not one state."""
    about = {"attributes": {"precision": '{"energy": 0.1}'}, "cells": 2, "replicas": 2}
    trace = synthetic.make("fixed_lr", **about)
    assert known(trace).known.tolist() == [True, True]
    trace["energy"][0, 1] += 0.004
    judged = known(trace)
    assert judged.known.tolist() == [False, True]
    state = measure(trace)
    assert state["rhat"][0] > 1.1
    assert state["energy_err"][0] < 0.1 * state["energy"][0]
    assert state["known"].values.tolist() == [0, 1]
    assert "not in equilibrium" in str(state["reason"].values[0])
    assert "split R-hat" in str(state["reason"].values[0])


def test_such_a_cell_is_run_to_the_bound():
    """The loop on traces that are put together: only the cell whose replicas disagree continues."""
    record = Record(samples=400, warmup=0, blocks=4, bins=16).of("simulate")
    how = plan.resolved(400_000, record, replicas=2, seed=0, method="full", reducible=False)
    protocol = synthetic.protocol_of_kind("fixed_lr", 2)
    made = []

    def produce(part, piece, advance, before):
        begin = 0 if before is None else int(before["step"].max())
        made.append((len(part), piece.steps))
        trace = synthetic.make("fixed_lr", 2, 2, piece.samples, sample_every=piece.sample_every, seed=len(made))
        trace = trace.isel(cell=np.isin(trace["lr_set"], part.cells()["lr"]))
        trace["step"] += begin
        trace.attrs["seed"] = 0
        trace["energy"][trace["lr_set"].values == 0.02, 1] += 0.004
        trace = trace.assign(
            overlap_counts=(("cell", "replica", "block", "bin"), np.ones((len(part), 2, piece.blocks, 2), int))
        )
        trace = trace.assign(overlap_origin=("cell", np.zeros(len(part))), overlap_width=("cell", np.ones(len(part))))
        return trace

    until = Until({"energy": 0.1}, most_steps=1_600_000)
    trace = precision.to_precision(protocol, how, until, produce, lambda n: None)
    assert trace["known"].values.tolist() == [1, 0]
    assert last_step(trace).tolist() == [400_000, 1_600_000]
    assert made[0] == (2, 400_000)
    assert made[1:] == [(1, 100_000)] * 4 + [(1, 200_000)] * 4


# --- what the errors are worth ---


def alike(kind, elr, cells):
    """Cells of one law: the same effective learning rate, other radii. And what makes their radii alike."""
    spread = np.linspace(1, 2, cells)
    if kind == "fixed_sphere":
        return FixedSphere(elr, spread), 1 / spread
    if kind == "fixed_elr":
        return FixedELR(elr, 0.01 * spread), np.sqrt(0.01 * spread)
    return FixedLR(elr * spread, elr / spread, paired=True), spread**-0.5


def covered(protocol, scale, truth, **how):
    """Mean steps, and of each quantity the share of cells whose ±1.96 errors hold the truth, and ± 0.8 of that."""
    trace = simulate(protocol, **flat(**how))
    state = measure(trace, entropy="density")
    assert "known" not in state or (state["known"] == 1).all()
    out = {}
    for name in truth:
        size = scale if name == "radius" else 1.0
        z = (state[name] * size - truth[name]) / (state[f"{name}_err"] * size)
        out[name] = tuple(round(float((abs(z) < 1.96 * narrow).mean()), 3) for narrow in (1, 0.8))
    return last_step(trace).mean(), out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "elr", "dim", "steps", "goal"),
    [
        ("fixed_sphere", 0.05, 3, 20_000, {"energy": 0.02}),
        ("fixed_sphere", 0.05, 3, 4000, {"energy": 0.05}),
        ("fixed_elr", 0.05, 3, 20_000, {"energy": 0.02, "radius": 0.003}),
        ("fixed_lr", 0.05, 3, 20_000, {"energy": 0.02, "radius": 0.003}),
        ("fixed_elr", 0.1, 3, 4000, {"radius": 0.005}),
        ("fixed_lr", 0.02, 10, 20_000, {"energy": 0.01, "radius": 0.003, "entropy_direction": 0.03}),
    ],
)
def test_errors_of_runs_that_stopped_when_they_were_small_still_cover(kind, elr, dim, steps, goal):
    """The table of docs/how-to/target-precision.md; -s prints it."""
    protocol, scale = alike(kind, elr, 64)
    long = measure(simulate(protocol, dim, 5_000_000, seed=99, record=Record(samples=4000)))
    names = ("energy", "entropy_direction") if kind == "fixed_sphere" else ("energy", "radius", "entropy_direction")
    truth = {name: long[name].values.mean() for name in names}
    truth |= {"radius": np.sqrt(((long["radius"].values * scale) ** 2).mean())} if "radius" in names else {}
    cells = alike(kind, elr, 2000)
    mean, stopped = covered(*cells, truth, dim=dim, steps=steps, precision=goal, most_steps=300 * steps)
    _, fixed = covered(*cells, truth, dim=dim, steps=int(mean) // 400 * 400, seed=5)
    print(f"{kind}, {elr}, d = {dim}: {goal}, {mean:.3g} steps: stopped {stopped}, fixed {fixed}")
    for name in names:
        assert 0.915 < stopped[name][0] < 0.975
        assert 0.93 < fixed[name][0] < 0.98
        assert stopped[name][1] < 0.915  # errors a fifth too small would be seen


@pytest.mark.thorough
def test_errors_cover_in_small():
    cells = 200
    trace = simulate(
        FixedSphere(0.05, np.linspace(1, 2, cells)), 3, 8000, record=Record(samples=200), until={"energy": 0.04}
    )
    state = measure(trace)
    z = ((state["energy"] - 0.025537) / state["energy_err"]).values
    assert 0.89 < (abs(z) < 1.96).mean() < 0.99
    assert (abs(z) < 1.96 * 0.7).mean() < 0.89  # errors of 0.7 of theirs would be seen
    assert abs(z.mean()) < 4 / np.sqrt(cells)


# --- folders, progress, memory ---


@pytest.mark.thorough
def test_a_run_that_was_interrupted_ends_as_one_that_was_not(tmp_path, monkeypatch):
    protocol = GRIDS["fixed_lr"]
    whole = simulate(protocol, 3, **flat(**SMALL))
    monkeypatch.setattr(run, "_chunks", lambda *_: Growing(1, 1, 0.0))
    original, calls = reduced.advance, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 30:
            raise KeyboardInterrupt
        original(*arguments)

    monkeypatch.setattr(reduced, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate(protocol, 3, **flat(folder=tmp_path / "run", **SMALL))
    done = int(traces.completed_cells(tmp_path / "run/trace.zarr").sum())
    assert 0 < done < 4
    again = simulate(protocol, 3, **flat(folder=tmp_path / "run", **SMALL))
    assert same(again, whole)
    assert again.attrs["steps"] == whole.attrs["steps"]
    with pytest.raises(RunExistsError, match=r"other settings \(precision\)"):
        simulate(protocol, 3, **flat(folder=tmp_path / "run", **SMALL | {"targets": 0.02}))


def test_progress_counts_every_cell_once_and_never_goes_back(monkeypatch):
    told = []
    meter = precision._Meter(4, 1000, told.append)
    meter.moved(100)(4)  # of 4000 steps at most
    assert sum(told) == pytest.approx(4 * 0.1)
    meter.expect(np.arange(4), np.array([100, 100, 100, 500]))  # three are known, one needs 400 more
    assert sum(told) == pytest.approx(4 * 400 / 800)
    meter.expect(np.array([3]), np.array([900]))  # it needs more than estimated
    assert sum(told) == pytest.approx(4 * 400 / 800)
    meter.moved(800)(1)
    assert sum(told) == pytest.approx(4)
    assert min(told) > 0


@pytest.mark.thorough
def test_progress_ends_at_the_number_of_cells(monkeypatch):
    from contextlib import contextmanager

    told = []

    @contextmanager
    def progress(label, total, show):
        yield told.append

    monkeypatch.setattr(run.runs, "progress", progress)
    simulate(GRIDS["fixed_lr"], 3, **flat(**SMALL))
    assert sum(told) == pytest.approx(4)


@pytest.mark.thorough
def test_memory_is_that_of_the_first_round():
    sizes = [
        simulate(FixedLR(0.02, 0.02), 3, **flat(**SMALL | {"targets": {"energy": p}, "most_steps": 10**8}))
        for p in (0.1, 0.01)
    ]
    assert last_step(sizes[1])[0] > 20 * last_step(sizes[0])[0]
    assert sizes[0].nbytes == sizes[1].nbytes


# --- what is wrong is refused ---

WRONG = [
    ({"targets": 0}, ValueError, "target of energy: expected finite numbers above 0"),
    ({"targets": -0.01}, ValueError, "target of energy: expected finite numbers above 0"),
    ({"targets": np.nan}, ValueError, "target of energy: expected finite numbers above 0"),
    ({"targets": 1.0}, ValueError, "target of energy: expected a relative standard error below 1, got 1.0"),
    ({"targets": "0.003"}, TypeError, "target of energy: expected a positive number"),
    ({"targets": True}, TypeError, "target of energy: expected a positive number"),
    ({"targets": {}}, ValueError, "targets: expected one target at least"),
    ({"targets": {"energy": None}}, TypeError, "target of energy"),
    ({"targets": {"heat": 0.1}}, ValueError, "targets: expected one of .*entropy_direction.*, got 'heat'"),
    ({"targets": 0.1, "most_steps": 7999}, ValueError, "most_steps: expected a whole number of at least 8000"),
    ({"targets": 0.1, "most_steps": 1e6}, TypeError, "most_steps: expected a whole number"),
    (
        {"targets": {"entropy": 0.1}, "loss": Quadratic([0, 1, 2])},
        ValueError,
        "targets: expected no entropies",
    ),
    ({"targets": 0.1, "snapshots": 41}, ValueError, "snapshots: expected a span that fits into a piece"),
]


@pytest.mark.parametrize(("change", "error", "message"), WRONG)
def test_a_wrong_argument_is_refused_before_any_work(change, error, message, tmp_path):
    with pytest.raises(error, match=message):
        simulate(GRIDS["fixed_lr"], 3, 8000, **flat(folder=tmp_path / "run", **change))
    assert not (tmp_path / "run").exists()


def test_going_on_is_for_runs_of_a_given_length():
    first = simulate(GRIDS["fixed_lr"], 3, 8000)
    with pytest.raises(ValueError, match="resume_from: expected none with until"):
        simulate(GRIDS["fixed_lr"], 3, 8000, until=0.1, run=Run(resume_from=first))
    ended = simulate(GRIDS["fixed_lr"], 3, 8000, until=0.1)
    with pytest.raises(TraceError, match="another sample_every, precision"):
        simulate(GRIDS["fixed_lr"], 3, 8000, run=Run(resume_from=ended))
