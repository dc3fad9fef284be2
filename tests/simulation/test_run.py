import tracemalloc

import numpy as np
import pytest

from calls import flat
from representatives import names_except
from weightgas import trace as traces
from weightgas.errors import RunExistsError, TraceError
from weightgas.losses import Covariance, Isotropic, Linear, Quadratic, QuadraticForm
from weightgas.measurement import measure
from weightgas.protocols import FixedELR, FixedLR, FixedSphere
from weightgas.settings import Record, Run
from weightgas.simulation import chunk, diagonal, model, run, simulate
from weightgas.simulation.run import estimated_seconds
from weightgas.status import Outcome

GRIDS = {
    "fixed_sphere": FixedSphere([0.01, 0.1], [0.5, 2.0]),
    "fixed_elr": FixedELR([0.01, 0.1], [0.01, 0.1]),
    "fixed_lr": FixedLR([0.01, 0.1], [0.01, 0.1]),
}
SMALL = {"steps": 2000, "samples": 40, "blocks": 4, "snapshots": 5, "snapshot_every": 7, "density_every": 3}
each_protocol = pytest.mark.parametrize("protocol", GRIDS.values(), ids=GRIDS)


def same(one, two):
    """Equal bit by bit in all that the random numbers decide."""
    assert set(one.variables) == set(two.variables)
    for name in one.variables:
        np.testing.assert_array_equal(one[name].values, two[name].values, err_msg=str(name))
    return True


# --- what a trace of simulate is ---


@each_protocol
def test_a_trace_keeps_the_contract(protocol):
    trace = simulate(protocol, 4, replicas=2, seed=3, **flat(**SMALL))
    traces.check(trace)
    assert trace.sizes == {
        "cell": 4, "replica": 2, "sample": 40, "block": 4, "bin": 256, "snapshot": 5, "weight": 4, "word": 6,
    }  # fmt: skip
    assert traces.protocol_of(trace) == protocol
    expected = {"producer": "simulate", "loss": "linear", "noise": "isotropic(sigma=1)", "dim": 4, "dof": 3}
    expected |= {"seed": 3, "steps": 2000, "warmup": 200, "sample_every": 50}
    assert {k: trace.attrs[k] for k in expected} == expected
    assert (trace["outcome"] == Outcome.FINISHED).all()
    assert (trace["samples"] == 40).all()
    assert trace["step"][0].values.tolist() == list(range(50, 2001, 50))
    assert (trace["overlap_counts"].sum(["block", "bin"]) == 2000 // 3).all()
    assert trace["snapshot_step"][0].values.tolist() == [1972, 1979, 1986, 1993, 2000]
    for name, v in trace.data_vars.items():
        assert np.isfinite(v).all(), name
    np.testing.assert_allclose(np.linalg.norm(trace["directions"], axis=-1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(trace["final_weights"], axis=-1), trace["radius"][..., -1], rtol=1e-12)
    assert (traces.grid(trace)["energy"].sizes["replica"]) == 2
    np.testing.assert_allclose(trace["energy"], 1 + trace["overlap"], rtol=1e-12)
    np.testing.assert_allclose(trace["mean_grad_sq"].values, 1 - trace["energy_sq_mean"] + 2 * trace["energy_mean"] - 1)
    if protocol.name == "fixed_sphere":
        np.testing.assert_allclose(trace["radius"], trace["radius_set"].broadcast_like(trace["radius"]), rtol=1e-14)
        grown = trace["radius"] ** 2 * (1 + trace["elr_set"] ** 2 * trace["grad_sq"])
        np.testing.assert_allclose(trace["radius_unprojected"] ** 2, grown)


def test_a_quadratic_loss_has_no_overlap():
    trace = simulate(GRIDS["fixed_lr"], 3, loss=Quadratic([1, 2, 3]), noise=Covariance([1, 2, 3]), **flat(**SMALL))
    assert "overlap_counts" not in trace
    assert "overlap" not in trace
    assert trace.attrs["loss"] == "quadratic"
    assert trace.attrs["noise"] == "covariance"


@pytest.mark.thorough
@each_protocol
def test_a_run_starts_where_it_will_stay(protocol):
    trace = simulate(protocol, 10, 200, replicas=200, record=Record(warmup=0, samples=8))
    grad_sq = trace["grad_sq"].mean(["replica", "sample"]).values
    cells = protocol.cells()
    if protocol.name == "fixed_lr":
        expected = FixedLR.stationary_radius({"lr": cells["lr"], "wd": cells["wd"]}, grad_sq)
    elif protocol.name == "fixed_elr":
        expected = FixedELR.stationary_radius({"elr": cells["elr"], "wd": cells["wd"]}, grad_sq)
    else:
        expected = cells["radius"]
    np.testing.assert_allclose(trace["radius"][:, :, 0].mean("replica"), expected, rtol=0.02)


# --- seeds ---


@each_protocol
def test_threads_calls_parts_and_other_cells_change_no_bit(protocol, monkeypatch):
    whole = simulate(protocol, 4, replicas=2, **flat(**SMALL))
    assert same(simulate(protocol, 4, replicas=2, **flat(threads=1, **SMALL)), whole)
    monkeypatch.setattr(chunk, "_SECONDS_PER_CALL", 0.0)
    monkeypatch.setattr(run, "_SECONDS_PER_CHUNK", 0.0)
    apart = simulate(protocol, 4, replicas=2, **flat(**SMALL))
    assert same(apart, whole)
    assert apart.attrs["settings"] == whole.attrs["settings"]
    cell = {axis: v[2].item() for axis, v in protocol.cells().items()}
    assert same(simulate(type(protocol)(**cell), 4, replicas=2, **flat(**SMALL)), whole.isel(cell=[2]))
    alone = simulate(protocol, 4, replicas=1, **flat(**SMALL))
    for name in ("energy", "final_weights", "final_stream"):
        np.testing.assert_array_equal(alone[name][:, 0], whole[name][:, 0])


def test_another_seed_is_another_run():
    one, two = (simulate(GRIDS["fixed_lr"], 4, seed=s, **flat(**SMALL)) for s in (0, 1))
    assert (one["energy"] != two["energy"]).all()


@pytest.mark.parametrize(("method", "snapshots"), [("full", 3), ("reduced", 0)])
@each_protocol
def test_what_is_read_does_not_move_the_run(protocol, method, snapshots):
    how = {"steps": 2000, "warmup": 200, "method": method}
    one = simulate(protocol, 4, **flat(samples=40, blocks=4, **how))
    two = simulate(protocol, 4, **flat(samples=20, blocks=2, snapshots=snapshots, density_every=1, bins=32, **how))
    np.testing.assert_array_equal(one["final_weights"], two["final_weights"])
    np.testing.assert_array_equal(one["energy"][..., 1::2], two["energy"])


# --- going on ---


@each_protocol
def test_twice_n_steps_are_two_n_steps(protocol):
    plan = SMALL | {"warmup": 100, "seed": 5, "replicas": 2}
    first = simulate(protocol, 4, **flat(**plan))
    second = simulate(protocol, 4, **flat(resume_from=first, **plan))
    both = traces.extend(first, second, "sample")
    long = simulate(protocol, 4, **flat(**plan | {"steps": 4000, "samples": 80, "blocks": 8}))
    assert same(both, long)
    assert both.attrs["steps"] == 4000
    shorter = simulate(protocol, 4, **flat(resume_from=first, **plan | {"steps": 500, "samples": 10, "blocks": 1}))
    assert same(shorter.drop_vars(["directions", "snapshot_step", "final_weights", "final_stream", "overlap_counts"]),
                second.isel(sample=slice(10)).drop_vars(["directions", "snapshot_step", "final_weights",
                "final_stream", "overlap_counts"]).assign(samples=shorter["samples"]))  # fmt: skip


def test_going_on_in_rotated_axes_is_equal_but_for_rounding():
    root = np.random.default_rng(0).standard_normal((4, 4))
    plan = SMALL | {"warmup": 100, "loss": Quadratic(root + root.T), "noise": Covariance(root @ root.T)}
    first = simulate(GRIDS["fixed_lr"], 4, **flat(**plan))
    second = simulate(GRIDS["fixed_lr"], 4, **flat(resume_from=first, **plan))
    long = simulate(GRIDS["fixed_lr"], 4, **flat(**plan | {"steps": 4000, "samples": 80, "blocks": 8}))
    np.testing.assert_allclose(second["energy"], long["energy"][..., 40:], rtol=1e-6)


@pytest.mark.thorough
def test_new_replicas_of_another_seed_join_with_their_counts():
    plan = SMALL | {"steps": 20_000, "warmup": 2000}
    first, second = (
        simulate(GRIDS["fixed_lr"], 4, seed=s, **flat(**plan)) for s in (2, 3)
    )  # none drops a block at its start
    both = traces.extend(first, second, "replica")
    assert (both["overlap_counts"].sum(["block", "bin"]) == 20_000 // 3).all()
    state = measure(both, entropy="density")
    alone = [measure(t, entropy="density")["entropy_direction"] for t in (first, second)]
    np.testing.assert_allclose(state["entropy_direction"], sum(alone) / 2, atol=0.05)


def test_blocks_divide_the_readings_and_stay_of_one_length():
    for samples, blocks in ((400, 20), (100, 20), (50, 10), (8, 8), (47, 1)):
        trace = simulate(GRIDS["fixed_lr"], 4, 400, record=Record(warmup=0, samples=samples))
        assert trace.sizes["block"] == blocks
    first = simulate(GRIDS["fixed_lr"], 4, 400, record=Record(warmup=0, samples=100))
    second = simulate(GRIDS["fixed_lr"], 4, 200, record=Record(samples=50), run=Run(resume_from=first))
    assert traces.extend(first, second, "sample").sizes["block"] == 30


def test_only_the_same_call_goes_on():
    protocol = GRIDS["fixed_lr"]
    first = simulate(protocol, 4, **flat(**SMALL))
    cases = [
        ({"protocol": FixedLR([0.02, 0.1], [0.01, 0.1])}, "another cells"),
        ({"protocol": GRIDS["fixed_elr"]}, "another protocol"),
        ({"dim": 5}, "another dim"),
        ({"seed": 1}, "another seed"),
        ({"replicas": 2}, "another replicas"),
        ({"bins": 32}, "another bins"),
        ({"steps": 4000}, "another sample_every"),
        ({"noise": Isotropic(2)}, "another noise, noise_crc"),
        ({"noise": Covariance([1, 1, 1, 2], label="isotropic(sigma=1)")}, "another noise_crc"),
        ({"loss": Quadratic([1, 2, 3, 4])}, "another loss"),
    ]
    for change, message in cases:
        arguments = {"protocol": protocol, "dim": 4, **SMALL, **change}
        with pytest.raises(TraceError, match=rf"resume_from: expected a trace of this very call, got {message}"):
            simulate(**flat(resume_from=first, **arguments))
    with pytest.raises(TraceError, match="final weights"):
        simulate(protocol, 4, **flat(resume_from=first.drop_vars("final_stream"), **SMALL))
    with pytest.raises(TypeError, match="expected an xarray"):
        simulate(protocol, 4, **flat(resume_from="trace.zarr", **SMALL))


# --- what is extreme runs ---


def test_what_blows_up_ends_as_diverged_and_the_rest_goes_on():
    trace = simulate(FixedLR([0.01, 1e4], [1e-5, 1.0]), 3, **flat(**SMALL | {"steps": 20_000}))
    assert trace["outcome"].values.ravel().tolist() == [0, 0, 0, Outcome.DIVERGED]
    assert trace["samples"].values[:3].min() == 40
    ended = int(trace["samples"][3, 0])
    assert ended < 40
    assert np.isnan(trace["energy"][3, 0, ended:]).all()
    assert np.isfinite(trace["energy"][3, 0, :ended]).all()
    state = measure(trace)
    assert state["status"][3] == 4
    assert np.isnan(state["entropy"][3])
    alone = simulate(FixedLR(0.01, 1e-5), 3, **flat(**SMALL | {"steps": 20_000}))
    assert same(alone, trace.isel(cell=[0]))
    trace = simulate(FixedELR([0.01, 1.0, 1e4], 0.01), 3, **flat(**SMALL))
    assert trace["outcome"].values.ravel().tolist() == [0, Outcome.DIVERGED, Outcome.DIVERGED]
    trace = simulate(FixedSphere([0.01, 1e4], 1.0), 3, **flat(**SMALL))  # a random walk over the sphere
    assert (trace["outcome"] == Outcome.FINISHED).all()


@pytest.mark.parametrize("dim", names_except([3], [2, 3, 200]))
@pytest.mark.parametrize("kind", [FixedSphere, FixedELR, FixedLR])
def test_hyperparameters_at_the_ends_of_the_range_run(kind, dim):
    ends = [1e-300, 1e-12, 1.0, 1e4, 1e300]
    trace = simulate(kind(ends, ends), dim, 80, record=Record(samples=8, blocks=2))
    state = measure(trace)
    assert (trace["outcome"] <= Outcome.DIVERGED).all()
    assert (state["status"][trace["outcome"].values[:, 0] == Outcome.DIVERGED] == 4).all()


@pytest.mark.parametrize("steps", [8, 9, 15, 17])
def test_few_steps_run(steps):
    trace = simulate(
        GRIDS["fixed_lr"], 3, steps, record=Record(samples=8, blocks=8, density_every=50, snapshots=1, snapshot_every=8)
    )
    assert trace["step"].max() == steps - steps % 8
    state = measure(trace)
    assert np.isnan(state["entropy_direction"]).all()
    assert (state["status"] == 3).all()
    assert "entropy_reason" in state.attrs


@pytest.mark.thorough
def test_memory_does_not_grow_with_steps():
    def peak(steps):
        tracemalloc.start()
        simulate(GRIDS["fixed_lr"], 4, **flat(**SMALL | {"steps": steps}))
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(2000)
    assert peak(200_000) < 1.1 * peak(2000) + 50_000


def test_a_loss_of_the_users_own_runs():
    class Tilted:
        name = "tilted"

        def form(self, dim):
            return QuadraticForm(0.5, np.full(dim, 0.1), np.linspace(0, 1, dim))

        def sample(self, dim, temperature, size, generator):
            x = generator.standard_normal((size, dim))
            return x / np.linalg.norm(x, axis=1, keepdims=True)

    trace = simulate(GRIDS["fixed_lr"], 5, loss=Tilted(), **flat(**SMALL))
    assert trace.attrs["loss"] == "tilted"
    assert "overlap_counts" not in trace
    form = Tilted().form(5)
    np.testing.assert_allclose(trace["energy"][:, 0, -1], form.loss(trace["directions"].values[:, 0, -1]), rtol=1e-6)


def test_weights_come_in_the_coordinates_of_the_user():
    axes = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]
    matrix = axes @ np.diag([0.0, 1, 2, 5]) @ axes.T
    trace = simulate(FixedSphere(0.01), 4, loss=Quadratic((matrix + matrix.T) / 2), **flat(**SMALL))
    w = trace["directions"].values[0, 0].astype(float)
    losses = 0.5 * np.einsum("ni,ij,nj->n", w, matrix, w)
    assert trace["energy"][0, 0, -1].item() == pytest.approx(losses[-1], rel=1e-5)


# --- what is wrong is refused ---


WRONG = [
    ({"protocol": "fixed_lr"}, TypeError, "protocol: expected FixedSphere, FixedELR or FixedLR, got str"),
    ({"protocol": FixedLR}, TypeError, "protocol: expected FixedSphere"),
    ({"dim": 1}, ValueError, "dim: expected a whole number of at least 2, got 1. A sphere needs"),
    ({"dim": 3.0}, TypeError, "dim: expected a whole number"),
    ({"steps": 39}, ValueError, "steps: expected a whole number of at least 40, got 39. At least one step per sample"),
    ({"steps": 1e6}, TypeError, "steps: expected a whole number"),
    ({"steps": -1}, ValueError, "steps: expected"),
    ({"samples": 7}, ValueError, "samples: expected a whole number of at least 8"),
    ({"blocks": 3}, ValueError, "blocks: expected a divisor of the 40 samples, got 3"),
    ({"blocks": 0}, ValueError, "blocks: expected a whole number of at least 1"),
    ({"bins": 4}, ValueError, "bins: expected a whole number of at least 16"),
    ({"warmup": -1}, ValueError, "warmup: expected a whole number of at least 0"),
    ({"density_every": 0}, ValueError, "density_every: expected"),
    ({"replicas": 0}, ValueError, "replicas: expected"),
    ({"snapshots": 300}, ValueError, "snapshots: expected at most steps // snapshot_every = 285, got 300"),
    ({"snapshot_every": 0}, ValueError, "snapshot_every: expected"),
    ({"seed": -1}, ValueError, "seed: expected a whole number of at least 0, got -1"),
    ({"seed": None}, TypeError, "seed: expected a whole number"),
    ({"threads": 0}, ValueError, "threads: expected a whole number of at least 1"),
    (
        {"loss": "linear"},
        TypeError,
        "loss: expected an object with name, form and sample, or a CustomLoss, got str",
    ),
    (
        {"loss": Linear},
        TypeError,
        "loss: expected an object with name, form and sample, or a CustomLoss, got the class Linear",
    ),
    ({"noise": 1.0}, TypeError, "noise: expected an object with name and factor, or a CustomNoise, got float"),
    ({"loss": Quadratic([1, 2])}, ValueError, "dim: expected 2, the size of the matrix"),
    ({"noise": Covariance([1, 2])}, ValueError, "dim: expected 2, the size of the covariance"),
]


@pytest.mark.parametrize(("change", "error", "message"), WRONG)
def test_a_wrong_argument_is_refused_before_any_work(change, error, message, tmp_path):
    arguments = {"protocol": GRIDS["fixed_lr"], "dim": 3, **SMALL, "folder": tmp_path / "run"} | change
    with pytest.raises(error, match=message):
        simulate(**flat(**arguments))
    assert not (tmp_path / "run").exists()


def test_a_loss_or_noise_of_the_wrong_shape_is_refused():
    class Wrong:
        name = "wrong"

        def form(self, dim):
            return QuadraticForm(0.0, np.ones(dim + 1), np.zeros(dim))

        def sample(self, dim, temperature, size, generator):
            raise AssertionError

        def factor(self, dim):
            return np.full(dim, np.nan)

    with pytest.raises(ValueError, match=r"linear: expected finite numbers of shape \(3,\), got 'shape \(4,\)'"):
        simulate(GRIDS["fixed_lr"], 3, loss=Wrong(), **flat(**SMALL))
    with pytest.raises(ValueError, match=r"factor: expected finite numbers of shape \(3,\) or \(3, 3\)"):
        simulate(GRIDS["fixed_lr"], 3, noise=Wrong(), **flat(**SMALL))


# --- run folders ---


@pytest.mark.thorough
def test_a_run_folder_holds_what_memory_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "_SECONDS_PER_CHUNK", 0.0)
    memory = simulate(GRIDS["fixed_lr"], 4, **flat(**SMALL))
    disk = simulate(GRIDS["fixed_lr"], 4, **flat(folder=tmp_path / "run", **SMALL))
    for trace in (disk, traces.open_trace(tmp_path / "run")):
        assert trace.assign_attrs(wall_time=0).identical(memory.assign_attrs(wall_time=0))
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"config.toml", "trace.zarr", "manifest.json"}
    manifest = (tmp_path / "run/manifest.json").read_text()
    monkeypatch.setattr(diagonal, "advance", None)  # nothing is simulated again
    again = simulate(GRIDS["fixed_lr"], 4, **flat(folder=tmp_path / "run", **SMALL))
    assert same(again, memory)
    assert (tmp_path / "run/manifest.json").read_text() == manifest
    with pytest.raises(RunExistsError, match=r"a run with other settings \(seed\)"):
        simulate(GRIDS["fixed_lr"], 4, seed=1, **flat(folder=tmp_path / "run", **SMALL))
    with pytest.raises(RunExistsError, match="noise_crc"):
        simulate(GRIDS["fixed_lr"], 4, noise=Isotropic(2), **flat(folder=tmp_path / "run", **SMALL))


@pytest.mark.thorough
def test_what_goes_on_is_another_run(tmp_path):
    plan = SMALL | {"warmup": 0}
    first = simulate(GRIDS["fixed_lr"], 4, **flat(folder=tmp_path / "first", **plan))
    with pytest.raises(RunExistsError, match="resumed_at"):
        simulate(GRIDS["fixed_lr"], 4, **flat(folder=tmp_path / "first", resume_from=first, **plan))
    second = simulate(GRIDS["fixed_lr"], 4, **flat(folder=tmp_path / "second", resume_from=first, **plan))
    assert second["step"].min() == 2050


def test_dry_runs_foresee_something():
    grid = (GRIDS["fixed_lr"], model.resolved(None, None, 3), 2_000_000, 1, 1)
    assert 0.01 < estimated_seconds(*grid) < estimated_seconds(*grid, method="full") < 10
