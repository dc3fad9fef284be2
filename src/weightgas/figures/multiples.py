"""Small multiples: runs that would hide each other have separate panels with the same axes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from weightgas.analysis.findings import Findings
from weightgas.figures.canvas import MARKERS, OKABE_ITO, PROTOCOLS, Panels, canvas, place, plain
from weightgas.figures.sheet import Sheet

REFERENCES = "references"


@dataclass(frozen=True)
class Member:
    """One run of a panel: its name, whether it is a reference simulation, its colour and marker."""

    name: str
    run: Findings
    control: bool
    color: str
    shape: str

    @property
    def label(self) -> str:
        """Its name in a legend; a reference simulation is marked."""
        return f"{plain(self.name)} (reference)" if self.control else plain(self.name)


def multiples(runs: Mapping[str, Findings], controls: Mapping[str, Findings]) -> dict[str, list[Member]]:
    """Panels by title: one for each network or, with one network, for each run; reference simulations share the last.

    A protocol has the same colour and marker in all figures. The only panel of a figure has no title.
    """
    networks = list(dict.fromkeys(str(run.state.attrs.get("network", "")) for run in runs.values()))
    found: dict[str, list[Member]] = {}
    for name, run in runs.items():
        look = place(run.protocol)
        one = Member(name, run, False, OKABE_ITO[look % len(OKABE_ITO)], MARKERS[look % len(MARKERS)])
        title = _network(run) if len(networks) > 1 else plain(name)
        found.setdefault(title, []).append(one)
    for k, (name, run) in enumerate(controls.items(), len(PROTOCOLS)):
        one = Member(name, run, True, OKABE_ITO[k % len(OKABE_ITO)], MARKERS[k % len(MARKERS)])
        found.setdefault(REFERENCES, []).append(one)
    return found if len(found) > 1 else {"": next(iter(found.values()))}


def _network(run: Findings) -> str:
    """The network of a run in words: ``mlp hidden 6, 6`` of ``mlp(hidden=(6, 6))``."""
    name = str(run.state.attrs.get("network", "")) or "simulation"
    return plain(" ".join(re.sub(r"[()=']+", " ", name.replace(",)", ")")).split()))


def sheet_of(count: int, height: float, ax: Panels | None, width: str | None, share: str = "xy") -> Sheet:
    """A sheet of ``count`` panels with common axes (or the axes of the caller); a single panel has ``height``
    inches."""
    if ax is not None:
        return canvas([height] * count, ax=ax, width=width)
    columns = min(count, {4: 2}.get(count, 3))
    if width == "column":
        columns = 1 if count < 4 or "y" not in share else 2
    rows = -(-count // columns)
    height = height if count == 1 else 0.75 * height
    sheet = canvas([height] * rows, columns, width=width, share=share, stack=False)
    for spare in sheet.axes.flat[count:]:
        spare.set_visible(False)
    for column in sheet.axes.T:
        lowest = [one for one in column if one.get_visible()][-1]
        lowest.tick_params(which="both", labelbottom=True)
    return sheet


def outer(sheet: Sheet, xlabel: str, ylabel: str = "") -> None:
    """Label the shared axes: x at the lowest panel of every column, y at the first panel of every row."""
    for column in sheet.axes.T:
        [ax for ax in column if ax.get_visible()][-1].set_xlabel(xlabel)
    for row in sheet.axes:
        row[0].set_ylabel(ylabel or row[0].get_ylabel())
