"""The table of many groups: folded by role, with a spread that is that of its groups."""

from dataclasses import fields

import numpy as np

from weightgas.monitoring.states import UNKNOWN, GroupState
from weightgas.monitoring.text import Summary, reasons
from weightgas.status import Status


def state(name: str, radius: float, invariant: bool = True, **other) -> GroupState:
    values = dict.fromkeys((f.name for f in fields(GroupState)), np.nan)
    values |= {"name": name, "size": 12, "rule": "", "invariant": invariant, "radius": radius, "step": 5}
    values |= {"radius_star": 2 * radius if invariant else np.nan, "status": Status.TOO_SHORT, "reason": "too short"}
    return GroupState(**values | ({} if invariant else {"status": Status.NOT_APPLICABLE, "reason": UNKNOWN}) | other)


def deep(layers: int) -> list[GroupState]:
    made = [state(f"layer {k}: mlp", 1.0 + k) for k in range(layers)]
    made += [state(f"blocks.{k}.query.weight", 7.0, False) for k in range(layers)]
    return [state("residual stream", 100.0), *made]


def test_a_deep_network_is_folded_by_role_with_its_spread() -> None:
    found = deep(150)
    lines = Summary((), found, tuple(reasons(found))).text().splitlines()
    assert len(lines) < 20
    row = next(k for k, line in enumerate(lines) if line.startswith("layer *: mlp, median of 150"))
    radii = [line.split("  12  ")[1].split()[:2] for line in lines[row : row + 3]]
    assert radii == [["75.5", "151"], ["1", "2"], ["150", "300"]]
    assert lines[row].endswith("150 too short") and lines[row + 1].startswith("  least")
    assert any(line.startswith("blocks.*.query.weight ·, median of 150") for line in lines)
    assert any(line.startswith("residual stream ") for line in lines)
    assert "301 groups in 3 roles: 151 too short, 150 not applicable" in lines[-1]


def test_few_groups_have_a_row_each_and_the_columns_they_need() -> None:
    lines = Summary((), deep(3), ()).text().splitlines()
    assert len(lines) == 8 and "decay time" in lines[0] and "T_conf" not in lines[0]
    assert "decay time" not in Summary((), [state("a", 1.0)], ()).text()


def test_many_roles_show_those_farthest_from_where_they_go() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    found = [state(a + b, 1.0, radius_star=1.0 + k) for k, a in enumerate(letters) for b in letters[:2]]
    found += [state("other", 1.0, False)]
    text = Summary((), found, tuple(reasons(found))).text()
    assert "53 groups in 53 roles, the 20 farthest from r* shown" in text
    shown = [line.split()[0] for line in text.splitlines()[1:21]]
    assert shown == [a + b for a in "zyxwvutsrq" for b in "ab"]
