"""The lines of an experiment: S as published on an isotherm with its null."""

import re

import numpy as np
import pytest

from gases import network
from weightgas.analysis.findings import Findings
from weightgas.experiments import summary
from weightgas.trace import fixed, kind_of


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
    trace, state = network("fixed_elr")
    bare = Findings(trace, state.drop_vars(["entropy_published"]))
    assert summary.published_isotherm(bare) == ""
