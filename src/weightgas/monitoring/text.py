"""A watched run as text and as a table: head, one row a group, and what the reader must know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.table import Table

from weightgas.monitoring.states import GroupState
from weightgas.status import Status

_COLUMNS = ("group", "d", "r", "r*", "η/r²", "angle", "τ", "to go", "T", "Z", "T_conf", "status")
_LEFT = ("group", "status")
_MOST_ROWS = 40
"""Of more groups those farthest from r* are shown, and how the others do."""
_SHOWN = 20
_MOST_REASONS = 6


@dataclass(frozen=True)
class Summary:
    """What there is to print of a run: lines before, the states of the groups, and lines after."""

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
        return "\n".join([*self.head, *(line.rstrip() for line in lines), *self.foot])

    def table(self) -> Table:
        """As a table of rich, with the same words around it."""
        head, foot = "\n".join(self.head), "\n".join(self.foot)
        out = Table(title=head, caption=foot, title_justify="left", caption_justify="left")
        names, *rows = _rows(self.states)
        for name in names:
            out.add_column(name, justify="left" if name in _LEFT else "right")
        for row in rows:
            out.add_row(*row)
        return out


def reasons(states: Sequence[GroupState]) -> list[str]:
    """Why groups are not in equilibrium, of the first ones; of many groups how many have which status."""
    lines = [f"{s.name}: {_short(s.reason)}" for s in states if s.status != Status.EQUILIBRIUM][:_MOST_REASONS]
    if len(states) > _MOST_ROWS:
        counts = Counter(s.status.words for s in states)
        listed = ", ".join(f"{count} {name}" for name, count in counts.most_common())
        lines.append(f"{len(states)} groups, the {_SHOWN} farthest from r* shown: {listed}")
    return lines


def _short(reason: str) -> str:
    """The first two clauses of a reason, and how much longer to run."""
    clauses = reason.split("; ")
    return "; ".join([*clauses[:2], *(c for c in clauses[2:] if c.startswith("run "))])


def temperatures(states: Sequence[GroupState], whole: tuple[float, float]) -> list[str]:
    """Which groups have no temperature, and T_conf of all groups together with its error, ``whole``."""
    lines = []
    if any(np.isnan(s.temperature) for s in states):
        only = "; T_conf needs no mobility" if any(np.isfinite(s.temperature_conf) for s in states) else ""
        lines.append(f"T and Z: not applicable where the optimizer is not SGD with weight decay{only}")
    if len(states) > 1 and np.isfinite(whole[0]):
        lines.append(f"all groups together: T_conf {whole[0]:.2g} ± {whole[1]:.1g}")
    return lines


def _rows(states: Sequence[GroupState]) -> list[tuple[str, ...]]:
    """Head and one row a group; without a column T_conf that no group has."""
    if len(states) > _MOST_ROWS:
        states = sorted(states, key=_distance, reverse=True)[:_SHOWN]
    rows = [_COLUMNS, *map(_cells, states)]
    used = [k for k, name in enumerate(_COLUMNS) if name != "T_conf" or any(row[k] != "–" for row in rows[1:])]
    return [tuple(row[k] for k in used) for row in rows]


def _distance(state: GroupState) -> float:
    """How far a group is from where it goes; unknown is far."""
    far = abs(np.log(state.radius / state.radius_star)) if state.radius_star > 0 else np.inf
    return far if state.status == Status.EQUILIBRIUM else far + 1


def _cells(state: GroupState) -> tuple[str, ...]:
    def short(value: float, form: str = ".3g") -> str:
        return format(value, form) if np.isfinite(value) else "–"

    conf = short(state.temperature_conf, ".2g")
    if np.isfinite(state.temperature_conf_err):
        conf += f" ± {state.temperature_conf_err:.1g}"
    return (
        state.name, f"{state.size}", short(state.radius, ".4g"), short(state.radius_star, ".4g"), short(state.elr),
        short(state.angle), short(state.relaxation_time), short(state.steps_to_go, ".2g"), short(state.temperature),
        short(state.compressibility), conf, state.status.words,
    )  # fmt: skip
