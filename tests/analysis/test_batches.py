"""What the analyses read of a trace they read a batch of cells at a time; no bit depends on the batches."""

import dataclasses

import numpy as np
import pytest

from gases import EASY, control, state, trace
from weightgas.analysis.gibbs import gibbs_slope
from weightgas.analysis.layers import layer_gases
from weightgas.analysis.potentials import MOST_TARGETS, minima
from weightgas.analysis.reasons import reasons
from weightgas.measurement import measure
from weightgas.trace import batches


@pytest.fixture
def one_cell_a_batch(monkeypatch):
    return lambda: monkeypatch.setattr(batches, "_BYTES", 1)


def same(first, second):
    if dataclasses.is_dataclass(first):
        for field in dataclasses.fields(first):
            np.testing.assert_array_equal(getattr(first, field.name), getattr(second, field.name), field.name)
        return True
    return first.identical(second)


@pytest.mark.thorough
@pytest.mark.parametrize("analysis", [gibbs_slope, reasons], ids=lambda f: f.__name__)
def test_an_analysis_of_a_simulation_does_not_depend_on_the_batches(analysis, one_cell_a_batch):
    run = trace("fixed_elr"), state("fixed_elr")
    whole = analysis(*run)
    assert np.isfinite(whole.mean if analysis is gibbs_slope else whole["exponent"].values).any()
    one_cell_a_batch()
    assert len(batches.batches(run[0])) == run[0].sizes["cell"]
    assert same(analysis(*run), whole)


def test_the_gases_of_layers_do_not_depend_on_the_batches(one_cell_a_batch):
    ideal = control("ideal")[0]
    rng, cells, samples = np.random.default_rng(0), ideal.sizes["cell"], ideal.sizes["sample"]
    groups = {
        name: (("cell", "replica", "sample", "group"), rng.uniform(1, 2, (cells, 1, samples, 2)), {"units": "1"})
        for name in ("group_radius", "group_grad_sq", "group_noise_trace")
    }
    found = ideal.assign(groups).assign_attrs(group_sizes=[4, 6], group_names=["a.0", "b.0"])
    measured = measure(found, criteria=EASY)
    whole = layer_gases(found, measured)
    one_cell_a_batch()
    assert same(layer_gases(found, measured), whole)


def test_the_minima_of_many_cells_are_of_targets_that_are_evenly_spaced(monkeypatch):
    found = state("fixed_lr")
    every = minima(found)
    monkeypatch.setattr("weightgas.analysis.potentials.MOST_TARGETS", 5)
    some = minima(found)
    sought = np.flatnonzero(some["minimum"].values >= 0)
    assert len(sought) == 5 < (every["minimum"].values >= 0).sum() < MOST_TARGETS
    np.testing.assert_array_equal(some["offset"].values[sought], every["offset"].values[sought])
    assert sought[-1] - sought[0] > 15
