"""An estimator of the entropy from outside: in ``measure(entropy=)``, the state, the verdict and a report."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import synthetic
import weightgas as wg
from weightgas import cli
from weightgas.errors import TraceError
from weightgas.measurement.entropy import ESTIMATORS, Entropy, Estimator, Knn, Published
from weightgas.quantities import Quantity
from weightgas.theory import vmf

PIECES = Quantity("pieces", "pieces of the overlap's histogram", dims=(), method="mean")


@dataclass(frozen=True)
class Histogram(Estimator):
    """The entropy of a density that is symmetric about one axis, here the mean direction, on the sphere in 3-D."""

    pieces: int = 24
    name = "histogram"
    symbol = "S_h(w̄)"
    needs = ("directions",)
    advice = "Run with snapshots=1000."
    too_few = "have no directions"
    flags = {0: "", 1: "few samples in a piece"}  # noqa: RUF012

    def estimate(self, trace, state):
        """S = −Σ p ln p + ln(2π Δz): on the sphere in three dimensions equal steps of z are equal areas."""
        assert {"burn_in", "correlation", "status", "temperature", "energy"} <= set(state)
        per_replica = np.array([[self._one(x) for x in cell] for cell in trace["directions"].values])
        error = per_replica.std(axis=1, ddof=1) / np.sqrt(per_replica.shape[1])
        cells = len(per_replica)
        more = ((PIECES, np.full(cells, float(self.pieces)), None),)
        return Entropy(per_replica.mean(axis=1), error, np.zeros(cells), more, {"histogram_axis": "mean direction"})

    def _one(self, x):
        axis = x.mean(axis=0) / np.linalg.norm(x.mean(axis=0))
        z = x @ axis
        counts, edges = np.histogram(z, self.pieces, (z.min(), 1.0))
        p = counts[counts > 0] / counts.sum()
        return -np.sum(p * np.log(p)) + np.log(2 * np.pi * (edges[1] - edges[0]))


def trace_of(temperature=0.05, replicas=8, cells=3):
    directions = vmf.sample(3, temperature, (cells, replicas, 2000), np.random.default_rng(1)).astype(np.float32)
    steps = np.tile(np.arange(1, 2001), (cells, 1))
    return synthetic.make("fixed_lr", cells=cells, replicas=replicas, directions=directions, snapshot_step=steps)


@pytest.fixture(scope="module")
def trace():
    return trace_of()


@pytest.fixture(scope="module")
def state(trace):
    return wg.measure(trace, entropy=Histogram())


@pytest.mark.thorough
def test_the_state_has_it_as_the_entropy_of_the_direction(state):
    truth = vmf.entropy(3, 0.05)
    assert np.abs((state["entropy_histogram"] - truth) / state["entropy_histogram_err"]).max() < 4
    assert (np.abs(state["entropy_histogram"] - truth - np.log(2)) / state["entropy_histogram_err"]).min() > 4
    np.testing.assert_array_equal(state["entropy_direction"], state["entropy_histogram"])
    np.testing.assert_allclose(state["entropy"], state["entropy_direction"] + state["log_radius_entropy"])
    free = state["energy"] - state["temperature"] * state["entropy"]
    np.testing.assert_allclose(state["helmholtz"], free)
    assert state["entropy_histogram"].attrs["long_name"] == "entropy of the direction by histogram"
    assert (state["entropy_histogram"].attrs["symbol"], state["entropy_histogram"].attrs["units"]) == ("S_h(w̄)", "nat")
    assert (state["entropy_histogram_flag"] == 0).all() and (state["pieces"] == 24).all()
    assert state.attrs["entropy_method"] == "histogram" and state.attrs["histogram_axis"] == "mean direction"
    assert {"entropy_knn", "entropy_published", "entropy_quasi_harmonic"} <= set(state)  # the others stay


@pytest.mark.thorough
def test_its_settings_are_its_fields(trace, state):
    coarse = wg.measure(trace, entropy=Histogram(pieces=3))
    assert (coarse["pieces"] == 3).all()
    assert (coarse["entropy_histogram"] > state["entropy_histogram"]).all()  # flat within pieces: too high


@pytest.mark.thorough
def test_the_settings_of_the_librarys_own_can_be_set(trace):
    three, nine = (wg.measure(trace, entropy=Knn(k=k)) for k in (3, 9))
    np.testing.assert_array_equal(three["entropy_knn"], wg.measure(trace, entropy="knn")["entropy_direction"])
    assert (three["entropy_knn"] != nine["entropy_knn"]).all()


@pytest.mark.thorough
def test_it_is_saved_and_opened(state, tmp_path):
    wg.save_trace(state, tmp_path / "state.zarr")
    assert wg.open_trace(tmp_path / "state.zarr").identical(state)


@pytest.mark.thorough
def test_the_verdict_tests_it_by_clausius(trace, state):
    assert "Clausius, entropy by histogram" in str(wg.verdict(trace, state))
    found = {c.method: c for c in wg.Findings(trace, state).clausius}
    assert found["histogram"].judged and "published" not in found


@pytest.mark.thorough
def test_the_bootstrap_takes_it(trace, state):
    def mean(trace, state):
        return float(state["entropy_direction"].mean())

    with pytest.raises(ValueError, match="entropy: expected the estimator histogram of the state, got None"):
        wg.bootstrap(trace, mean, state=state, draws=10)
    found = wg.bootstrap(trace, mean, state=state, entropy=Histogram(), draws=10)
    assert found.value == mean(trace, state) and found.error > 0


@pytest.mark.thorough
def test_the_report_has_it(tmp_path):
    run = tmp_path / "run"
    protocol = wg.FixedLR(lr=[0.02, 0.05], wd=0.05)
    trace = wg.simulate(protocol, 3, 20_000, run=run, record=wg.Record(samples=200, snapshots=200), replicas=2)
    wg.save_trace(wg.measure(trace, entropy=Histogram()), run / "state.zarr")
    page = wg.report.of_run(run)
    text = page.read_text(encoding="utf-8")
    assert wg.open_trace(run / "state.zarr").attrs["entropy_method"] == "histogram"
    assert "entropy by histogram" in text and "not drawn:" not in text


@pytest.mark.thorough
def test_the_command_line_takes_it(tmp_path, capsys):
    wg.save_trace(trace_of(replicas=2), tmp_path / "trace.zarr")
    source = Path(__file__).resolve()
    with pytest.raises(SystemExit) as end:
        cli.main(["measure", str(tmp_path / "trace.zarr"), "--entropy", f"{source}:Histogram", "--no-controls"])
    assert end.value.code == 0, capsys.readouterr()
    assert wg.open_trace(tmp_path / "state.zarr").attrs["entropy_method"] == "histogram"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (
            Histogram,
            TypeError,
            "entropy: expected one of auto, density.* or an Estimator, got ABCMeta. Derive a custom class",
        ),
        (lambda trace, state: None, TypeError, "or an Estimator, got function"),
        (3.0, TypeError, "or an Estimator, got float"),
    ],
)
def test_what_is_no_estimator_is_refused(trace, wrong, error, message):
    with pytest.raises(error, match=message):
        wg.measure(trace, entropy=wrong)


def made(name="made", **returned):
    """An estimator of that name that returns ``returned``."""
    found = returned.get("found")
    members = {"name": name, "estimate": lambda self, trace, state: found}
    return dataclass(frozen=True)(type("Made", (Estimator,), members))()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("estimator", "error", "message"),
    [
        (made(""), ValueError, "name of the entropy estimator: expected an identifier that is free, got ''"),
        (made("knn"), ValueError, "name of the entropy estimator: expected an identifier that is free, got 'knn'"),
        (made(found=3.0), TypeError, r"entropy made: expected estimate\(\) to return an Entropy, got float"),
        (
            made(found=Entropy(np.zeros(2), np.zeros(3))),
            ValueError,
            r"entropy made: expected value of shape \(3,\), got \(2,\)",
        ),
        (
            made(found=Entropy(np.zeros(3), np.zeros(3), np.zeros((3, 1)))),
            ValueError,
            r"entropy made: expected flag of shape \(3,\), got \(3, 1\)",
        ),
    ],
)
def test_a_wrong_estimator_is_refused(trace, estimator, error, message):
    with pytest.raises(error, match=message):
        wg.measure(trace, entropy=estimator)


def test_what_it_needs_and_what_is_lacking():
    with pytest.raises(TraceError, match=r"expected a trace with directions for histogram, got none. Run with snap"):
        wg.measure(synthetic.make("fixed_lr", cells=3), entropy=Histogram())
    lost = made(found=Entropy(np.array([1.0, np.nan, np.nan]), np.full(3, 0.1)))
    state = wg.measure(synthetic.make("fixed_lr", cells=3), entropy=lost)
    assert state.attrs["entropy_reason"] == "2 cells have no entropy by this method"
    assert np.isfinite(state["gibbs"]).values.tolist() == [True, False, False]


def test_the_librarys_own_have_the_same_shape():
    for name, kind in ESTIMATORS.items():
        assert issubclass(kind, Estimator) and kind.name == name and kind.__doc__
        assert kind().quantity.name.startswith(f"entropy_{name}") and kind() == kind()
    assert not Published().independent and not ESTIMATORS["integration"]().automatic
