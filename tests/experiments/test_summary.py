"""The lines of an experiment: S as published on an isotherm with its null."""

import re

import numpy as np
import pytest

import weightgas as wg
from gases import network
from weightgas import networks
from weightgas.analysis.findings import Findings
from weightgas.analysis.smoothing import published_isotherm
from weightgas.errors import TraceError
from weightgas.experiments import summary
from weightgas.status import Status
from weightgas.trace import fixed, kind_of


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["fixed_elr", "fixed_lr", "fixed_sphere"])
def test_the_published_entropy_on_an_isotherm_comes_with_its_null(kind):
    run = Findings(*network(kind))
    (line,) = [line for line in summary.scores({f"networks/{kind}": run}) if "as published" in line]
    values, null = (
        [float(x.replace("−", "-")) for x in part.split(", ")]
        for part in re.search(r"= [^:]*: (.*) nats; .* diffusion: ([-−0-9, ]*)\.", line).groups()
    )
    state = run.state
    whole = state["entropy_published"].values
    here = [int(np.argmin(np.abs(whole - value))) for value in values]
    np.testing.assert_allclose(whole[here], values, atol=0.51)
    assert len({round(float(np.log(kind_of(state).isotherm_key(fixed(state))[i])), 6) for i in here}) == 1
    radial = (state.attrs["dim"] - 1) * state["log_radius"].values
    np.testing.assert_allclose((state["entropy_published_null"].values + radial)[here], null, atol=0.51)
    count, spacing = run.traced.sizes["snapshot"], int(np.diff(run.traced["snapshot_step"].values[0])[0])
    assert f"N = {count} directions, one in {spacing} steps" in line and "temporal" in line and "replica" in line


def test_without_directions_there_is_no_such_line():
    trace, state = network("fixed_lr")
    assert published_isotherm(state.drop_vars(["entropy_published"]), trace) == ""
    assert published_isotherm(state, None) == "" and published_isotherm(state, trace)


@pytest.mark.parametrize(
    ("snapshots", "entropy", "lacking"),
    [
        (1, "published", "have too few stored directions for published; add snapshots"),
        (1, "knn", "have too few stored directions for knn; add snapshots"),
        (1, "quasi_harmonic", "have too few stored directions for quasi_harmonic; add snapshots"),
        (3, "integration", "needs two cells in equilibrium at different temperatures, got 0; add learning rates"),
    ],
)
def test_what_an_entropy_lacks_is_named_with_what_to_add(snapshots, entropy, lacking):
    record = wg.Record(samples=20, noise_batches=4, snapshots=snapshots, snapshot_every=2)
    trace = wg.train(wg.FixedLR(0.3, 0.03), networks.mlp(hidden=(3,)), "digits", 100, record=record)
    state = wg.measure(trace, entropy=entropy)
    assert lacking in state.attrs["entropy_reason"]
    fits = wg.Findings(trace, state).smoothings.values()
    assert all(one.lacking == "needs three values of η, has 1: add 2 to the grid" for one in fits)
    if snapshots == 1 and entropy != "published":
        with pytest.raises(TraceError, match=r"expected an entropy of one of as published.*Run with snapshots"):
            wg.figures.entropies((trace, state))


def test_directions_that_do_not_fit_into_the_run_are_refused():
    record = wg.Record(samples=20, snapshots=100, snapshot_every=25)
    with pytest.raises(ValueError, match="snapshots: expected at most 4 with snapshot_every=25, steps=100"):
        wg.train(wg.FixedLR(0.3, 0.03), networks.mlp(hidden=(3,)), "digits", 100, record=record)


@pytest.mark.parametrize(("rates", "lines"), [(1, 0), (2, 1)])
def test_the_radius_from_the_sphere_needs_two_rates_in_equilibrium(rates, lines):
    trace, state = network("fixed_sphere")
    elr = state["elr_set"].values
    assert len(np.unique(elr)) > 1
    chosen = np.isin(elr, np.unique(elr)[:rates])
    state = state.assign(status=("cell", np.where(chosen, Status.EQUILIBRIUM, Status.TOO_SHORT)))
    assert chosen.sum() > 1, "several cells, of several radii, share a rate"
    runs = {"networks/fixed_sphere": Findings(trace, state), "networks/fixed_lr": Findings(*network("fixed_lr"))}
    assert sum("radius from G of a grid on the sphere" in line for line in summary.scores(runs)) == lines
