"""A state as columns for JSON."""

import json

import numpy as np
import pytest

import weightgas as wg
from weightgas.errors import TraceError
from weightgas.measurement.columns import columns
from weightgas.quantities import of
from weightgas.settings import Record
from weightgas.status import Status


@pytest.fixture(scope="module")
def state():
    trace = wg.simulate(wg.FixedLR([0.01, 0.1], [0.01, 0.1]), steps=2000, record=Record(samples=20), seed=3)
    return wg.measure(trace)


def test_every_number_of_a_state_is_in_its_columns_to_five_digits(state):
    found = json.loads(json.dumps(columns(state), allow_nan=False))
    assert found["cells"] == 4 and found["hyperparameters"] == {"lr": [0.01, 0.01, 0.1, 0.1], "wd": [0.01, 0.1] * 2}
    assert found["status"] == [Status(int(s)).name.lower() for s in state["status"].values]
    assert found["reason"] == state["reason"].values.tolist() and any(found["reason"])
    numbers = {n for n, v in state.data_vars.items() if v.dtype.kind == "f" and not str(n).endswith("_err")}
    assert numbers - {n for n in numbers if "draw" in state[n].dims} <= set(found["quantities"])
    for name, column in found["quantities"].items():
        for key, variable in (("value", name), ("error", f"{name}_err")):
            if key in column:
                stored = np.array([np.nan if x is None else x for x in column[key]], float)
                seen = np.isfinite(stored)
                np.testing.assert_allclose(stored[seen], state[variable].values[seen], rtol=5.1e-5)
                assert not np.isfinite(state[name].values[~seen]).any() or key == "error"


def test_a_column_has_its_name_symbol_and_units(state):
    found = columns(state)["quantities"]
    assert {k: found["entropy"][k] for k in ("symbol", "units")} == {"symbol": "S", "units": "nat"}
    assert found["ess"]["name"] == "effective sample size of the energy" and "error" not in found["ess"]


def test_values_of_groups_are_lists_in_a_cell(state):
    groups = state.assign(of("temperature_group").estimated(np.ones((4, 2)), np.ones((4, 2))))
    assert columns(groups)["quantities"]["temperature_group"]["error"] == [[1, 1]] * 4


def test_what_is_not_a_state_is_refused(state):
    with pytest.raises(TraceError, match="status"):
        columns(state.drop_vars("status"))
