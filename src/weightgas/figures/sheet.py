"""A figure while it is drawn: its axes, and the letters, legend and ticks that all figures have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib import rcParams
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from weightgas.figures.ticks import apart

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True)
class Sheet:
    """The axes of one figure, (rows, columns).

    ``title``: whether it may have a title. ``own``: whether the figure was made for these axes; then several panels
    have letters, and the legend is outside. ``stacked``: whether its columns are below each other.
    """

    axes: np.ndarray
    title: bool = False
    own: bool = False
    stacked: bool = False

    @property
    def figure(self) -> Figure:
        """The figure of the axes."""
        return self.axes.flat[0].get_figure(root=True)

    @property
    def panels(self) -> list[Axes]:
        """The visible axes in the order of their letters."""
        return [ax for ax in (self.axes.T if self.stacked else self.axes).flat if ax.get_visible()]

    def color_bar(self, mapping: Any, where: np.ndarray, label: str, **options: Any) -> Colorbar:
        """A colour bar at the right of some of the axes; ``options`` as for ``Figure.colorbar``."""
        visible = [ax for ax in np.ravel(where) if ax.get_visible()]
        bar = self.figure.colorbar(mapping, ax=visible, **{"pad": 0.02, "fraction": 0.06, "aspect": 40, **options})
        bar.ax.tick_params(which="both", labelsize=rcParams["ytick.labelsize"], color="black", labelcolor="black")
        bar.set_label(label)
        return bar

    def finished(self, handles: Sequence[Artist] = (), title: str = "", columns: int = 2) -> Figure:
        """Finish the figure: letters, labels of logarithmic axes, a legend that fits, and ticks that do not touch.

        The legend is above the panels, where it hides nothing, and the figure grows by its height. Its ``title``
        describes the run; figures for print have none. In axes of the caller the legend is in the first.
        """
        for ax in self.panels:
            _name_logarithms(ax)
        if not self.own:
            if handles:
                self.panels[0].legend(handles=list(handles), frameon=False)
            return self.figure
        panels = self.panels
        for letter, ax in zip(_LETTERS, panels if len(panels) > 1 else (), strict=False):
            name = ax.get_title()
            ax.set_title("")
            ax.set_title(rf"$\mathbf{{{letter}}}$  {name}".rstrip(), loc="left")
        self.figure.align_ylabels(panels)
        self._legend(list(handles), title if self.title else "", columns)
        layout = self.figure.get_layout_engine()
        if layout is not None:
            layout.execute(self.figure)
        for ax in self.figure.axes:
            if ax.get_visible():
                apart(ax)
        return self.figure

    def _legend(self, handles: list[Artist], title: str, columns: int) -> None:
        """The legend above the panels, with fewer columns and wrapped lines until it fits the width of the figure."""
        if not (handles or title):
            return
        figure = self.figure
        room = figure.get_figwidth() * figure.dpi * 0.98
        labels = [str(handle.get_label()) for handle in handles]
        for count in range(max(1, min(columns, len(handles))), 0, -1):
            made = self._made(handles, title, count)
            if made.get_window_extent().width <= room:
                break
            if count > 1:
                made.remove()
        while made.get_window_extent().width > room:
            made.remove()
            longest = max(_length(text) for text in (*labels, title))
            labels = [_broken(text, longest - 4) for text in labels]
            title = _broken(title, longest - 4)
            for handle, label in zip(handles, labels, strict=True):
                handle.set_label(label)
            made = self._made(handles, title, 1)
            if longest < 12:
                break
        figure.set_figheight(figure.get_figheight() + made.get_window_extent().height / figure.dpi)

    def _made(self, handles: list[Artist], title: str, columns: int) -> Legend:
        size = rcParams["legend.fontsize"]
        return self.figure.legend(
            handles=handles, loc="outside upper left", ncols=columns, frameon=False, title=title or None,
            alignment="left", title_fontproperties={"weight": "bold", "size": size}, columnspacing=1.5,
            handlelength=2.0, borderaxespad=0.2,
        )  # fmt: skip


def _name_logarithms(ax: Axes) -> None:
    """Add "(log)" to the labels of logarithmic axes."""
    for axis in (ax.xaxis, ax.yaxis):
        text = axis.get_label_text()
        if axis.get_scale() == "log" and text and not text.endswith("(log)"):
            axis.set_label_text(f"{text} (log)")


def _length(text: str) -> int:
    """Length of the longest line of a text."""
    return max(len(line) for line in text.split("\n"))


def _broken(text: str, most: int) -> str:
    """A text with no line longer than ``most`` letters; formulas are not broken."""
    lines = []
    for line in text.split("\n"):
        joined = re.sub(r"\$[^$]*\$", lambda found: found[0].replace(" ", "\0"), line)
        lines += wrap(joined, max(most, 8), break_long_words=False) or [""]
    return "\n".join(lines).replace("\0", " ")
