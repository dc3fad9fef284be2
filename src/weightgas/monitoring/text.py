"""A watched run as text and as a table: head, one row a group, and notes."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from weightgas.monitoring.states import UNKNOWN, GroupState
from weightgas.status import Status

_COLUMNS = ("group", "d", "r", "r*", "η/r²", "angle", "decay time", "τ", "to go", "T", "Z", "T_conf", "status")
_LEFT = ("group", "status")
OTHER = "·"
"""Marks a group that is not known to be scale-invariant."""
_MOST_ROWS = 40
"""More groups are combined by their role; if there are more roles, those farthest from r* are shown."""
_SHOWN = 20
_MOST_REASONS = 6
_WIDTH = 95
"""Longer lines below the table are wrapped."""
_NUMBERS = (re.compile(r"(?<=\[)[\d:]+(?=\])"), re.compile(r"\d+"))
"""The parts of a name in which groups of one role differ: the rows of a tensor; all numbers, that of the layer too."""


@dataclass(frozen=True)
class Summary:
    """The printed summary of a run: lines before the table, the states of the groups, and lines after it."""

    head: tuple[str, ...]
    states: Sequence[GroupState]
    foot: tuple[str, ...]

    def text(self) -> str:
        """As plain text."""
        if not self.states:
            return "\n".join([*self.head, "no sample is finished yet; it takes two steps", *self.foot])
        rows = _rows(self.states)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                c.ljust(w) if name in _LEFT else c.rjust(w) for c, w, name in zip(r, widths, rows[0], strict=True)
            )
            for r in rows
        ]
        return "\n".join([*self.head, *(line.rstrip() for line in lines), *map(_wrapped, self.foot)])

    def table(self) -> Table:
        """As a table of rich, with the same lines around it."""
        head, foot = "\n".join(self.head), "\n".join(self.foot)
        out = Table(title=head, caption=foot, title_justify="left", caption_justify="left")
        names, *rows = _rows(self.states)
        for name in names:
            out.add_column(name, justify="left" if name in _LEFT else "right")
        for row in rows:
            out.add_row(*row)
        return out


def _wrapped(line: str) -> str:
    """``line`` wrapped to the width of the table, its continuation indented."""
    return textwrap.fill(line, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def reasons(states: Sequence[GroupState]) -> list[str]:
    """Why the first groups are not in equilibrium; with many groups, also how many have which status."""
    unsettled = [s for s in states if s.status != Status.EQUILIBRIUM and s.reason != UNKNOWN]
    lines = [f"{s.name}: {_short(s.reason)}" for s in unsettled][:_MOST_REASONS]
    if len(states) > _MOST_ROWS:
        roles = len(_roles(states))
        which = f", the {_SHOWN} farthest from r* shown" if roles > _MOST_ROWS else ""
        lines.append(f"{len(states)} groups in {roles} roles{which}: {_counted(states)}")
    return lines


def _counted(states: Sequence[GroupState]) -> str:
    """How many groups have which status, the most frequent one first."""
    counts = Counter(s.status.words for s in states)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def _short(reason: str) -> str:
    """The first two clauses of a reason, and the one on how much longer to run."""
    clauses = reason.split("; ")
    return "; ".join([*clauses[:2], *(c for c in clauses[2:] if c.startswith("run "))])


def temperatures(states: Sequence[GroupState], whole: tuple[float, float]) -> list[str]:
    """Which groups have no temperature, and T_conf of all groups together with its error, ``whole``."""
    lines = []
    if any(np.isnan(s.temperature) for s in states if s.invariant):
        only = "; T_conf needs no mobility" if any(np.isfinite(s.temperature_conf) for s in states) else ""
        lines.append(f"T and Z: not applicable where the optimizer is not SGD with weight decay{only}")
    if len(states) > 1 and np.isfinite(whole[0]):
        lines.append(f"all groups together: T_conf {whole[0]:.2g} ± {whole[1]:.1g}")
    return lines


def _roles(states: Sequence[GroupState]) -> dict[str, list[GroupState]]:
    """The groups of each role, by its name: those of one tensor if that is enough, else those of all layers."""
    found: dict[str, list[GroupState]] = {}
    for numbers in _NUMBERS:
        found = {}
        for state in states:
            found.setdefault(numbers.sub("*", _name(state)), []).append(state)
        if len(found) <= _MOST_ROWS:
            break
    return found


def _rows(states: Sequence[GroupState]) -> list[tuple[str, ...]]:
    """Head and one row a group, or for each role the median, least and largest; without unused columns."""
    rows: list[tuple[str, ...]] = [_COLUMNS]
    if len(states) <= _MOST_ROWS:
        rows += map(_cells, states)
    elif len(roles := _roles(states)) <= _MOST_ROWS:
        rows += [row for role, members in roles.items() for row in _folded(role, members)]
    else:
        rows += map(_cells, sorted(states, key=_distance, reverse=True)[:_SHOWN])
    # without r*, decay alone gives the only relaxation time
    unused = [] if any(not state.invariant for state in states) else ["decay time"]
    unused += [] if any(row[_COLUMNS.index("T_conf")] != "–" for row in rows[1:]) else ["T_conf"]
    kept = [k for k, name in enumerate(_COLUMNS) if name not in unused]
    return [tuple(row[k] for k in kept) for row in rows]


def _folded(role: str, members: Sequence[GroupState]) -> list[tuple[str, ...]]:
    """One role: the median of each column over its groups, then the least and the largest."""
    if len(members) == 1:
        return [_cells(members[0])]
    values, rows = np.array([_numbers(state) for state in members], float), []
    for words, reduce in ((f"{role}, median of {len(members)}", np.median), ("  least", np.min), ("  largest", np.max)):
        known = [column[np.isfinite(column)] for column in values.T]
        numbers = [float(reduce(column)) if len(column) else np.nan for column in known]
        rows.append((words, *_formatted(numbers), _counted(members) if reduce is np.median else ""))
    return rows


def _distance(state: GroupState) -> float:
    """The distance of a group from r*: infinite if r* is unknown, −1 for a group that cannot have one."""
    if not state.invariant:
        return -1.0
    far = abs(np.log(state.radius / state.radius_star)) if state.radius_star > 0 else np.inf
    return far if state.status == Status.EQUILIBRIUM else far + 1


def _numbers(state: GroupState) -> tuple[float, ...]:
    """The columns between name and status."""
    return (
        state.size, state.radius, state.radius_star, state.elr, state.angle, state.decay_time, state.relaxation_time,
        state.steps_to_go, state.temperature, state.compressibility, state.temperature_conf,
    )  # fmt: skip


def _formatted(numbers: Sequence[float]) -> list[str]:
    forms = (".12g", ".4g", ".4g", ".3g", ".3g", ".3g", ".3g", ".2g", ".3g", ".3g", ".2g")
    return [format(x, form) if np.isfinite(x) else "–" for x, form in zip(numbers, forms, strict=True)]


def _cells(state: GroupState) -> tuple[str, ...]:
    *cells, conf = _formatted(_numbers(state))
    for column, low, high in (
        ("r*", state.radius_star_low, state.radius_star_high),
        ("to go", state.steps_to_go_low, state.steps_to_go_high),
    ):
        if low < high:  # NaN where there is no interval
            at, interval = _COLUMNS.index(column) - 1, f"{low:.3g}–{high:.3g}"
            cells[at] = interval if cells[at] == "–" else f"{cells[at]} ({interval})"
    if np.isfinite(state.temperature_conf_err):
        conf += f" ± {state.temperature_conf_err:.1g}"
    return (_name(state), *cells, conf, state.status.words)


def _name(state: GroupState) -> str:
    return state.name if state.invariant else f"{state.name} {OTHER}"
