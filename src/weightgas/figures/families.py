"""Cells of a grid as lines: one hyperparameter along the axis, a few values of the other as colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.lines import Line2D

from weightgas.analysis.cells import axes, spaced
from weightgas.analysis.findings import Findings
from weightgas.errors import TraceError, one_of, refuse, shown, whole_number
from weightgas.figures.canvas import GREY, MOST_POINTS, marker, ordered, plain
from weightgas.figures.sheet import Sheet
from weightgas.figures.ticks import number
from weightgas.protocols import PROTOCOLS, Protocol
from weightgas.quantities import of
from weightgas.status import Status
from weightgas.trace import kind_of

Color = tuple[float, float, float, float] | str


@dataclass(frozen=True)
class Line:
    """One line: its cells, sorted along the axis, their common value (NaN if there is none), and its colour."""

    value: float
    cells: np.ndarray
    color: Color


@dataclass
class Families:
    """Lines of cells over one hyperparameter, with a record of the points that are hollow or cannot be drawn."""

    over: str
    other: str | None
    x: np.ndarray
    lines: list[Line]
    run: Findings
    hollow: set[int] = field(default_factory=set)
    missing: set[int] = field(default_factory=set)

    @property
    def label(self) -> str:
        """Name of the axis."""
        return of(self.over).axis

    def dense(self, line: Line, points: int = 200) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Dense points along a line between its ends: x, and the hyperparameters by axis, (points,) each.

        If the line has no common value, the points are its cells.
        """
        fixed, x = axes(self.run.state), self.x[line.cells]
        if self.other is None or len(x) < 2:
            return x, {axis: v[line.cells] for axis, v in fixed.items()}
        x = np.geomspace(x.min(), x.max(), points)
        values = kind_of(self.run.state).solved({self.other: np.full(points, line.value), self.over: x})
        return x, {axis: values[axis] for axis in fixed}

    def points(self, ax: Axes, y: np.ndarray, error: np.ndarray | None = None) -> None:
        """Draw the values ``y`` (cells,) with error bars: filled in equilibrium, else hollow and grey."""
        good = self.run.settled
        for line in self.lines:
            seen = np.isfinite(y[line.cells]) & np.isfinite(self.x[line.cells])
            self.missing.update(line.cells[~seen].tolist())
            self.hollow.update(line.cells[seen & ~good[line.cells]].tolist())
            for filled in (False, True):
                here = line.cells[seen & (good[line.cells] == filled)]
                if here.size:
                    color = line.color if filled else GREY
                    bars(ax, self.x[here], y[here], None if error is None else error[here], color, hollow=not filled)

    def curve(self, ax: Axes, y: np.ndarray, style: str = "-") -> None:
        """Join the values ``y`` (cells,) of every line, skipping missing ones."""
        for line in self.lines:
            here = line.cells[np.isfinite(y[line.cells])]
            ax.plot(self.x[here], y[here], ls=style, color=line.color, zorder=1)

    def color_bar(self, sheet: Sheet, where: np.ndarray) -> None:
        """A colour bar with the values of the lines, at the right of these axes."""
        if self.other is None or len(self.lines) < 2:
            return
        count = len(self.lines)
        mapping = ScalarMappable(
            BoundaryNorm(np.arange(count + 1) - 0.5, count), ListedColormap([w.color for w in self.lines])
        )
        bar = sheet.color_bar(mapping, where, of(self.other).axis, ticks=range(count))
        bar.ax.set_yticklabels([number(w.value) for w in self.lines])
        bar.ax.tick_params(length=0)
        bar.minorticks_off()
        bar.outline.set_visible(False)  # type: ignore[operator]

    def handles(self, measured: str = "measured ± standard error") -> list[Line2D]:
        """Legend entries for the points: measured, not in equilibrium, not drawn."""
        return [marker(measured), *status_handles(self.run, self.hollow, self.missing)]


def families(run: Findings, over: str, lines: int = 5, across: str | None = None) -> Families:
    """Split the cells of a run into at most ``lines`` lines over the hyperparameter ``over``.

    ``over`` is a hyperparameter that the protocol fixes (``"lr"`` may mean ``"elr"``) or, at fixed LR, ``"product"``
    for ηλ. ``across`` is constant along a line: by default the other hyperparameter, or ``"product"``. Cells that are
    not a product of two hyperparameters form one line.

    Raises
    ------
    ValueError
        If the protocol does not fix ``over``.
    """
    whole_number("lines", lines, fix="Pass how many lines to draw, for instance 5.")
    state = run.state
    fixed, kind = axes(state), kind_of(state)
    over = named_axis(kind, over)
    known = fixed | kind.combined(fixed)
    one_of(f"over ({state.attrs['protocol'].replace('_', ' ')})", over, known)
    x = known[over]
    if across is None:
        across = next(n for n in reversed(list(fixed)) if n != over)
    key = np.round(np.log(known[across]), 9)
    first, second = fixed.values()
    if len(np.unique(first)) * len(np.unique(second)) != len(x):
        order = np.argsort(x, kind="stable")
        return Families(over, None, x, [Line(float("nan"), order, ordered(1)[0])], run)
    values, member = np.unique(key, return_inverse=True)
    rows = [np.flatnonzero(member == k) for k in range(len(values))]
    if across not in fixed:  # short diagonals at the corners of the grid are not useful
        rows = [r for r in rows if len(r) > 2] or rows
    picked = np.unique(np.round(np.linspace(0, len(rows) - 1, min(lines, len(rows)))).astype(int))
    rows = [rows[k][np.argsort(x[rows[k]], kind="stable")] for k in picked]
    found = [Line(float(known[across][r[0]]), r, c) for r, c in zip(rows, ordered(len(rows)), strict=True)]
    return Families(over, across, x, found, run)


def named_axis(kind: type[Protocol], over: str) -> str:
    """The hyperparameter for ``over``: ``"lr"`` is the effective learning rate if the protocol fixes that."""
    return kind.axes[0] if over == "lr" else over


def measured(run: Findings, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Values and standard errors, (cells,) each, of a quantity of a run.

    Raises
    ------
    ValueError
        If no cell has a finite value.
    """
    state = run.state
    value = state[name].values
    if not np.isfinite(value).any():
        reason = state.attrs.get("entropy_reason", "") if name.startswith("entropy") else ""
        fix = f"What is missing: {reason}." if reason else "The status of each cell states what to do."
        raise refuse("state", f"a cell with a finite {name}", "none", fix)
    return value, state[f"{name}_err"].values


def bars(
    ax: Axes,
    x: np.ndarray,
    y: np.ndarray,
    error: np.ndarray | None,
    color: Color,
    *,
    shape: str = "o",
    hollow: bool = False,
    x_error: np.ndarray | None = None,
) -> None:
    """Points with error bars, at most :data:`~weightgas.figures.canvas.MOST_POINTS`; unknown errors are not drawn."""
    face, some = "none" if hollow else color, spaced(len(x), MOST_POINTS)
    y_error, x_error = (None if e is None else e[..., some] for e in (error, x_error))
    ax.errorbar(
        x[some], y[some], yerr=y_error, xerr=x_error, fmt=shape, ms=3.4, color=color, mfc=face, mec=color, mew=0.8,
        elinewidth=0.8, capsize=1.6, capthick=0.8, zorder=2 if hollow else 3,
    )  # fmt: skip


def status_handles(run: Findings, hollow: set[int], missing: set[int]) -> list[Line2D]:
    """Legend entries for hollow and for missing cells, with their status."""
    found = []
    if hollow:
        found.append(marker(f"hollow: {_words(run, hollow)}", GREY, hollow=True))
    if missing:
        found.append(Line2D([], [], ls="none", label=f"no value, not drawn: {_words(run, missing)}"))
    return found


def _words(run: Findings, cells: set[int]) -> str:
    codes = run.state["status"].values[sorted(cells)]
    words = [f"{int((codes == s).sum())} {s.words}" for s in Status if (codes == s).any()]
    return ", ".join(words).replace("equilibrium", "in equilibrium")


def what_ran(data: xr.Dataset) -> str:
    """One line: the protocol and the loss or network."""
    protocol = plain(data.attrs.get("protocol", ""))
    if "network" in data.attrs:
        what = f"{data.attrs['network']} on {data.attrs.get('data', 'data')}"
    else:
        noise = str(data.attrs.get("noise", "?")).replace("(sigma=1)", "")
        what = f"{data.attrs.get('loss', '?')} loss, {noise} noise"
    text = f"{protocol}: {what}, d = {data.attrs.get('dim', '?')}"
    return text.replace("$", r"\$")


def only(run: Findings, fits: Callable[[type[Protocol]], bool], advice: str) -> None:
    """Refuse a run of an unsuitable protocol: TraceError (a ValueError) with ``advice``."""
    if not fits(kind_of(run.state)):
        wanted = " or ".join(kind.title for kind in PROTOCOLS.values() if fits(kind))
        raise TraceError(f"state: expected {wanted}, got {shown(run.protocol)}. {advice}")
