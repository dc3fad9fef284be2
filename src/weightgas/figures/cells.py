"""The cells of a grid that are in equilibrium."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from weightgas import trace as traces
from weightgas.analysis.cells import axes
from weightgas.figures.canvas import Panels, canvas, drawn
from weightgas.figures.families import what_ran
from weightgas.figures.inputs import Run, one
from weightgas.figures.ticks import number
from weightgas.quantities import of
from weightgas.status import Status

COLORS = ("#56B4E9", "#E69F00", "#CC79A7", "#F0E442", "#D55E00", "#555555", "#DDDDDD")
MOST_LETTERS = 2500
LETTERS = ("", "c", "w", "s", "d", "f", "n")


@drawn
def status_map(run: Run, *, ax: Panels | None = None, width: str | None = None) -> Figure:
    """The status of every cell over the two hyperparameters, by colour and, with up to 2500 cells, by letter.

    ``ax``, ``width``: as for every figure (:mod:`weightgas.figures`).

    Raises
    ------
    ValueError
        If the cells are not the product of two hyperparameters.
    """
    state = one(run).state
    traces.grid(state["status"])
    (first, a), (second, b) = axes(state).items()
    rows, columns = np.unique(a), np.unique(b)
    codes = np.zeros((len(rows), len(columns)), int)
    codes[np.searchsorted(rows, a), np.searchsorted(columns, b)] = state["status"].values
    size = min(0.3, 5.0 / len(columns), 4.5 / len(rows))
    height, screen = 0.7 + max(size * len(rows), 0.5), max(4.2, 1.2 + size * len(columns))
    sheet = canvas([height], ax=ax, width=width, screen=screen)
    (panel,) = sheet.panels
    norm = BoundaryNorm(np.arange(len(Status) + 1) - 0.5, len(Status))
    lettered = codes.size <= MOST_LETTERS
    edges = {"edgecolors": "white", "linewidth": 0.8} if lettered else {}
    panel.pcolormesh(codes, cmap=ListedColormap(COLORS), norm=norm, **edges)
    for i, j in np.ndindex(codes.shape) if lettered else ():
        dark = codes[i, j] in (Status.DIVERGED, Status.FAILED)
        letter = LETTERS[codes[i, j]]
        panel.text(j + 0.5, i + 0.5, letter, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    for axis, values in ((panel.xaxis, columns), (panel.yaxis, rows)):
        shown = np.unique(np.round(np.linspace(0, len(values) - 1, min(5, len(values)))).astype(int))
        axis.set_ticks(shown + 0.5, [number(float(values[k])) for k in shown])
    panel.set(xlabel=of(second).axis, ylabel=of(first).axis)
    panel.spines[:].set_visible(False)
    handles = []
    for s in Status:
        count = int((codes == s).sum())
        if count:
            letter = f" ({LETTERS[s]})" if LETTERS[s] and lettered else ""
            handles.append(Patch(color=COLORS[s], label=f"{s.words}{letter}: {count}"))
    return sheet.finished(handles, what_ran(state), columns=3)
