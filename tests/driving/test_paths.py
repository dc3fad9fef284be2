"""Paths: what they hold, what they move, and what they refuse."""

from importlib import import_module

import numpy as np
import pytest

import weightgas as wg
from weightgas.driving import Path, adiabat, isobar, isochore, isotherm

FOUR = {
    "isotherm": isotherm(elr=0.01, wd=(0.01, 0.04)),
    "isotherm on a sphere": isotherm(elr=0.01, radius=(1.0, 2.0)),
    "isobar": isobar(wd=0.02, elr=(0.01, 0.04)),
    "isobar of a schedule": isobar(wd=0.02, lr=(0.04, 0.01)),
    "isochore": isochore(radius=2.0, elr=(0.01, 0.04)),
    "adiabat": adiabat(lr=0.02, wd=(0.01, 0.04)),
    "adiabat on a sphere": adiabat(lr=0.02, radius=(1.0, 2.0)),
}


@pytest.mark.parametrize("name", FOUR)
def test_a_path_holds_what_its_name_says(name):
    path = FOUR[name]
    assert path.name == name.split()[0]
    values = [path.at(x) for x in np.linspace(0, 1, 7)]
    fixed = {
        "isotherm": lambda at: at["elr"],
        "isobar": lambda at: at["wd"],
        "isochore": lambda at: at["radius"],
        "adiabat": lambda at: at["lr"] if "lr" in at else at["elr"] * at["radius"] ** 2,
    }[path.name]
    np.testing.assert_allclose([fixed(v) for v in values], fixed(values[0]), rtol=1e-14)
    assert values[0] != values[-1]


def test_protocols_follow_from_what_is_given():
    protocols = [path.protocol for path in FOUR.values()]
    assert protocols == [
        "fixed_elr",
        "fixed_sphere",
        "fixed_elr",
        "fixed_lr",
        "fixed_sphere",
        "fixed_lr",
        "fixed_sphere",
    ]


def test_rates_stand_in_the_middle_of_a_step_and_the_radius_at_its_end():
    values = Path(elr=lambda x: 1 + x, radius=lambda x: 2 + x).values(4)
    np.testing.assert_allclose(values["elr"], 1 + np.array([1, 3, 5, 7]) / 8)
    np.testing.assert_allclose(values["radius"], 2 + np.array([1, 2, 3, 4]) / 4)
    np.testing.assert_allclose(isobar(wd=1.0, elr=(1.0, 16.0)).values(2)["elr"], [2.0, 8.0])


def test_functions_and_pairs_are_one():
    pair, function = isotherm(elr=0.1, wd=(0.01, 0.04)), isotherm(elr=0.1, wd=lambda x: 0.01 * 4**x)
    np.testing.assert_allclose(pair.values(10)["wd"], function.values(10)["wd"], rtol=1e-14)
    np.testing.assert_allclose(pair.values(10)["wd"], isotherm(elr=0.1, wd=pair.values(10)["wd"]).values(10)["wd"])


@pytest.mark.parametrize("name", FOUR)
def test_there_and_back(name):
    path = FOUR[name]
    back, stay = path.reversed(), path.stay()
    for axis in path.axes:
        there = path.values(8)[axis]
        offset = 1 if axis == "radius" else 0  # the radius stands at the end of a step
        np.testing.assert_allclose(back.values(8)[axis][: 8 - offset], there[::-1][offset:], rtol=1e-13)
        assert back.at(1.0)[axis] == pytest.approx(path.at(0.0)[axis], rel=1e-14)
        np.testing.assert_allclose(stay.values(3)[axis], path.at(1.0)[axis])
    assert back.reversed().at(0.3) == pytest.approx(path.at(0.3), rel=1e-14)


def test_a_list_turned_round():
    path = Path(lr=[0.1, 0.2, 0.3], wd=0.01)
    np.testing.assert_array_equal(path.reversed().values(3)["lr"], [0.3, 0.2, 0.1])
    assert (path.at(0.0)["lr"], path.at(1.0)["lr"]) == (0.1, 0.3)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: Path(lr=0.1), ValueError, "two hyperparameters of one protocol.*'lr'"),
        (lambda: Path(lr=0.1, radius=1.0), ValueError, "two hyperparameters of one protocol"),
        (lambda: isotherm(elr=0.1), ValueError, r"Pass elr and radius \(sphere\)"),
        (lambda: isotherm(elr=0.1, wd=0.1, radius=1.0), ValueError, "two hyperparameters"),
        (lambda: isotherm(elr=(0.1, 0.2), wd=0.1), ValueError, "elr: expected one number.*This path keeps it fixed"),
        (lambda: isotherm(elr=0.1, wd=(0.1, -0.2)), ValueError, "wd: expected finite numbers above 0, got -0.2"),
        (lambda: isotherm(elr=0.1, wd=(0.1, np.nan)), ValueError, "wd: expected finite numbers above 0, got nan"),
        (lambda: isotherm(elr=0.1, wd="fast"), TypeError, "wd: expected a positive number"),
        (lambda: isochore(radius=0.0, elr=(0.1, 0.2)), ValueError, "radius"),
        (lambda: adiabat(lr=0.1, wd=0.1, radius=1.0), ValueError, "wd or radius"),
        (lambda: adiabat(lr=0.1, radius=[1.0, 2.0, 3.0]), ValueError, "a pair or a function"),
        (lambda: isobar(wd=0.1, elr=[0.1, 0.2, 0.3]).values(4), ValueError, "each of 4 steps.*'3 values'"),
        (lambda: isobar(wd=0.1, elr=lambda x: 0.5 - x).values(4), ValueError, r"elr at progress 0.625.*-0.125"),
        (lambda: isobar(wd=0.1, elr=lambda x: np.nan).values(4), ValueError, r"elr at progress 0.125.*nan"),
        (lambda: isobar(wd=0.1, elr=lambda x: None).values(4), TypeError, "elr at progress"),
        (lambda: isobar(wd=0.1, elr=lambda x: [0.1, 0.2]).values(4), ValueError, "one number"),
        (lambda: isobar(wd=0.1, elr=0.1).values(0), ValueError, "steps"),
        (lambda: isobar(wd=0.1, elr=0.1).at(1.5), ValueError, "a number from 0 to 1"),
    ],
)
def test_what_is_refused(make, error, match):
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize("name", ["balance", "closed_production", "linear_response", "quasi_static"])
def test_the_places_of_0_1_name_those_of_today(name):
    with pytest.raises(ImportError, match=f"'{name}' since 0.2: it is now weightgas.driving.{name}"):
        getattr(wg.analysis, name)


def test_the_modules_of_0_1_name_those_of_today():
    assert wg.paths.isotherm is isotherm
    with pytest.raises(ImportError, match=r"weightgas\.paths is weightgas.driving.paths since 0.2"):
        import_module("weightgas.paths")
    with pytest.raises(ImportError, match=r"'driving' since 0.2: it is now weightgas.driving.rates"):
        wg.theory.driving  # noqa: B018
    with pytest.raises(ImportError, match=r"'drive' since 0.2: it is now weightgas.driving.drive"):
        wg.simulation.drive  # noqa: B018
