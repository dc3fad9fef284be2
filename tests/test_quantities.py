import pytest

from weightgas import measurement, quantities, trace
from weightgas.quantities import DERIVED, RECORDED, Quantity


@pytest.mark.parametrize("quantity", [*RECORDED.values(), *DERIVED.values()], ids=lambda q: q.name)
def test_every_quantity_is_described(quantity):
    assert quantity.long_name and quantity.units in ("1", "nat", "step")
    assert quantity.average == "mean" and quantity.measure is None


def test_names_on_axes_and_over_columns():
    assert quantities.of("noise_var").axis == r"noise variance $\sigma^2$"
    assert quantities.of("entropy_direction").axis == r"direction entropy $S(\bar{w})$ (nats)"
    assert quantities.of("lr").axis == r"LR $\eta$"
    assert Quantity("sharpness", symbol="h", units="1/s").axis == "sharpness h (1/s)"
    assert [quantities.of(n).head for n in ("energy", "ess", "unknown_name")] == ["U", "eff. samples", "unknown name"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "not a name"}, ValueError, "name of a quantity: expected a Python identifier, got 'not a name'"),
        ({"name": "x", "method": "median"}, ValueError, "method of x: expected one of mean, point, .*got 'median'"),
        ({"name": "x", "average": "max"}, ValueError, "average of x: expected one of mean, none, .*got 'max'"),
        ({"name": "x", "measure": 3}, TypeError, "measure of x: expected a function of the weights, got int"),
    ],
)
def test_a_wrong_quantity_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        Quantity(**arguments)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        (trace, "VARIABLES", "weightgas.quantities.RECORDED"),
        (trace, "Variable", "weightgas.quantities.Quantity"),
        (measurement, "clocks", "weightgas.measurement.stationarity.relaxation_times"),
        (measurement, "drift", "weightgas.measurement.stationarity.trend"),
        (measurement, "criteria", "weightgas.measurement.stationarity.criteria"),
    ],
)
def test_an_old_name_is_answered_with_the_new_one(module, old, new):
    with pytest.raises(ImportError, match=rf"has no attribute '{old}' since 0.2: it is now {new}"):
        getattr(module, old)


@pytest.mark.parametrize("name", ["radius", "energy", "share"])
def test_an_old_criterion_is_answered_with_the_new_one(name):
    with pytest.raises(TypeError, match=f"{name}_drift: since 0.2 this keyword is {name}_trend="):
        measurement.Criteria(**{f"{name}_drift": 1.0})
    assert getattr(measurement.Criteria(**{f"{name}_trend": 1.0}), f"{name}_trend") == 1.0
