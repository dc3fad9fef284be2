import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightgas.protocols import BUILT_IN, FixedELR, FixedLR, FixedSphere, Protocol, from_settings

values = st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=4, unique=True)
KINDS = [FixedSphere, FixedELR, FixedLR]


@pytest.mark.parametrize("kind", KINDS)
@given(first=values, second=values)
def test_cells_are_the_product_and_settings_make_it_again(kind, first, second):
    protocol = kind(first, second)
    cells = protocol.cells()
    assert list(cells) == list(kind.axes)
    pairs = list(zip(*(c.tolist() for c in cells.values()), strict=True))
    assert pairs == [(a, b) for a in first for b in second]
    assert len(protocol) == len(first) * len(second)
    assert from_settings(protocol.settings()) == protocol
    paired = kind(*(c.tolist() for c in cells.values()), paired=True)
    assert all((paired.cells()[axis] == cells[axis]).all() for axis in kind.axes)
    assert from_settings(paired.settings()) == paired


def test_a_protocol_is_frozen_hashable_and_keeps_no_hold_of_its_arguments():
    lr = np.array([0.1, 0.2])
    protocol = FixedLR(lr, 0.01)
    lr[0] = 7
    assert protocol.cells()["lr"].tolist() == [0.1, 0.2]
    protocol.cells()["lr"][0] = 7
    assert protocol == FixedLR([0.1, 0.2], [0.01])
    assert hash(protocol) == hash(FixedLR([0.1, 0.2], [0.01]))
    with pytest.raises(AttributeError):
        protocol.lr = 1


def test_the_sphere_has_radius_one_unless_told():
    assert FixedSphere(0.1).cells()["radius"].tolist() == [1.0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [0, -0.1, np.nan, np.inf, None, "0.1", True, [], [[0.1]], [0.1, -1]])
@pytest.mark.parametrize("place", [0, 1])
def test_a_wrong_hyperparameter_is_refused_by_name(kind, wrong, place):
    arguments = [0.1, 0.1]
    arguments[place] = wrong
    with pytest.raises((TypeError, ValueError), match=rf"^{kind.axes[place]}: expected .*, got .* must be positive"):
        kind(*arguments)


def test_a_cell_given_twice_is_refused():
    with pytest.raises(
        ValueError, match=r"FixedLR: expected every cell once, got \{'lr': 0.1, 'wd': 0.01\} twice.*repl"
    ):
        FixedLR([0.1, 0.1], 0.01)
    with pytest.raises(ValueError, match="every cell once"):
        FixedELR([0.1, 0.2, 0.1], [1, 2, 1], paired=True)


def test_paired_axes_have_one_length():
    assert len(FixedLR([0.1, 0.2], 0.01, paired=True)) == 2
    with pytest.raises(ValueError, match=r"one length, got 2 of lr and 3 of wd.*omit paired=True"):
        FixedLR([0.1, 0.2], [1, 2, 3], paired=True)
    with pytest.raises(TypeError, match="paired: expected True or False, got 'yes'"):
        FixedLR(0.1, 0.2, paired="yes")
    with pytest.raises(TypeError, match="positional"):
        FixedLR(0.1, 0.2, True)


def test_the_base_is_not_a_protocol():
    with pytest.raises(TypeError, match="expected FixedSphere, FixedELR or FixedLR"):
        Protocol()


def test_from_settings_as_a_command_line_gives_them():
    assert from_settings({"protocol": "fixed-lr", "lr": 0.1, "wd": 0.01, "elr": None}) == FixedLR(0.1, 0.01)
    assert from_settings({"protocol": "fixed_sphere", "elr": 0.1}) == FixedSphere(0.1)
    assert {"fixed_sphere", "fixed_elr", "fixed_lr"} == {kind.name for kind in BUILT_IN}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "fixed_lr", "lr": 0.1, "elr": 0.1}, "expected lr and wd, got elr, lr.*omit elr and add wd"),
        ({"protocol": "fixed_lr"}, "expected lr and wd, got nothing.*add lr, wd"),
        ({"protocol": "fixed_elr", "elr": 0.1, "wd": 1, "radius": 1}, "omit radius"),
        ({"protocol": "fixed_sphere", "radius": 1}, "add elr"),
        ({"protocol": "sgd", "lr": 1}, "protocol: expected one of fixed_elr, fixed_lr, fixed_sphere.*, got 'sgd'"),
        ({"lr": 1}, "protocol: expected one of"),
    ],
)
def test_wrong_combinations_say_what_the_protocol_takes(settings, message):
    with pytest.raises(ValueError, match=message):
        from_settings(settings)
