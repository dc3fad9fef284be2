"""A trace is measured a batch of cells at a time: no bit depends on the batches, on a store or on a client."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import synthetic
from calls import flat
from weightgas import trace as traces
from weightgas.losses import Quadratic
from weightgas.measurement import measure
from weightgas.protocols import FixedELR, FixedLR, FixedSphere
from weightgas.simulation import simulate
from weightgas.trace import batches, store

RATES = [0.01, 0.02, 0.05]
SHORT = {"samples": 40, "seed": 3}


def with_groups():
    sizes = np.array([4, 6, 3])
    radii = np.abs(np.random.default_rng(0).normal(1, 0.01, (5, 2, 40, 3)))
    attributes = {"group_sizes": sizes.tolist(), "group_names": ["a", "b", "c"], "dim": 13, "dof": 10}
    return synthetic.make("fixed_elr", cells=5, replicas=2, samples=40, attributes=attributes, group_radius=radii)


TRACES = {
    "fixed_lr": lambda: simulate(FixedLR(RATES, [0.01, 0.02]), 3, 4000, **flat(**SHORT)),
    "directions": lambda: simulate(FixedELR(RATES, 0.01), 4, 4000, **flat(replicas=2, snapshots=40, **SHORT)),
    "quadratic": lambda: simulate(FixedSphere(RATES), 3, 4000, loss=Quadratic([0, 1, 2]), **flat(**SHORT)),
    "target": lambda: simulate(
        FixedLR(RATES, 0.01), 3, 4000, **flat(samples=40, blocks=4, targets=0.2, most_steps=16000)
    ),
    "groups": with_groups,
}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", TRACES)
@pytest.mark.parametrize("entropy", ["auto", "integration"])
def test_a_state_does_not_depend_on_the_batches(kind, entropy, tmp_path, monkeypatch):
    trace = TRACES[kind]()
    whole = measure(trace, entropy=entropy)
    monkeypatch.setattr(batches, "_BYTES", 1)
    assert len(batches.batches(trace)) == trace.sizes["cell"]
    assert measure(trace, entropy=entropy).identical(whole)
    with ThreadPoolExecutor(2) as pool:
        assert measure(trace, entropy=entropy, client=pool).identical(whole)
    path = tmp_path / "trace.zarr"
    traces.create_store(trace, path, 2)
    for start in range(0, trace.sizes["cell"], 2):
        traces.write_cells(trace.isel(cell=slice(start, start + 2)), path, start)
    monkeypatch.setattr(store, "_IN_MEMORY", 0)
    monkeypatch.setattr(store, "_CHUNK_BYTES", 1)
    stored = traces.open_trace(path)
    assert not batches.in_memory(stored["radius"])
    assert batches.batches(stored) == [
        slice(k, min(k + 2, trace.sizes["cell"])) for k in range(0, trace.sizes["cell"], 2)
    ]
    assert measure(stored, entropy=entropy).identical(whole)
    assert not batches.in_memory(stored["radius"])


def test_batches_are_of_some_megabytes_and_of_entire_parts(tmp_path, monkeypatch):
    trace = synthetic.make("fixed_lr", cells=7, samples=20)
    each = sum(v.nbytes for v in trace.variables.values()) // 7
    monkeypatch.setattr(batches, "_BYTES", 3 * each)
    assert batches.batches(trace) == [slice(0, 3), slice(3, 6), slice(6, 7)]
    traces.create_store(trace, tmp_path / "trace.zarr", 2)
    monkeypatch.setattr(store, "_IN_MEMORY", 0)
    monkeypatch.setattr(store, "_CHUNK_BYTES", 1)
    stored = traces.open_trace(tmp_path / "trace.zarr")
    assert batches.batches(stored) == [slice(0, 2), slice(2, 4), slice(4, 6), slice(6, 7)]
    monkeypatch.setattr(batches, "_BYTES", 5 * each)
    assert batches.batches(stored) == [slice(0, 4), slice(4, 7)]
    found = [(cells, sorted(batch.data_vars)) for cells, batch in batches.each(stored, "energy", "radius")]
    assert [cells for cells, _ in found] != []
    assert all(names == ["energy", "radius"] for _, names in found)


def test_a_client_that_is_none_is_refused():
    with pytest.raises(TypeError, match=r"client: expected a \(synchronous\) distributed\.Client or an executor"):
        measure(synthetic.make(), client=3)
