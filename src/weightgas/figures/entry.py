"""One figure of a report: its name, its caption, the data it needs, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from matplotlib import figure as mpl

from weightgas.analysis.findings import Findings
from weightgas.errors import check_fields, wrong_type

Caption = str | Callable[[Findings], str]
Draw = Callable[..., mpl.Figure]
"""From the Findings of a run to a figure."""


def _always(_: Findings) -> bool:
    return True


@dataclass(frozen=True)
class Figure:
    """A figure of a report.

    Parameters
    ----------
    name
        Its name, which the report prints if it cannot be drawn.
    caption
        The caption: a text, or a function of the run.
    draw
        A function from the :class:`~weightgas.analysis.Findings` of a run to a ``matplotlib.figure.Figure``, called for
        each run. If ``joint``, it is called once, with ``{name: Findings}`` of all runs and, by the keyword
        ``controls``, the reference simulations in the same form. A ValueError states what the data lack; the report
        prints it and continues.
    needs
        Variables of the trace or the state without which it cannot be drawn.
    level
        The level of the verdict to which it belongs; None for no level.
    suits
        A test of the run; a run that fails it is omitted without a note.
    joint
        Whether one figure shows all runs.

    Raises
    ------
    TypeError
        For fields of another type.
    """

    name: str
    caption: Caption
    draw: Callable[..., mpl.Figure]
    needs: tuple[str, ...] = ()
    level: int | None = None
    suits: Callable[[Findings], bool] = _always
    joint: bool = False

    def __post_init__(self) -> None:
        check_fields(self)

    @classmethod
    def of(cls, figure: Figure | Draw) -> Figure:
        """``figure`` itself, or a figure of a function, with its name and the first paragraph of its docstring.

        Raises
        ------
        TypeError
            For anything else.
        """
        if isinstance(figure, Figure):
            return figure
        if not callable(figure):
            raise wrong_type("figure", "a figures.Figure or a function", figure, "Pass draw(run).")
        name = getattr(figure, "__name__", type(figure).__name__).strip("_").replace("_", " ")
        text = " ".join((getattr(figure, "__doc__", None) or "").strip().split("\n\n")[0].split())
        return cls(name, text or f"{name[0].upper()}{name[1:]}.", figure)

    def runs(self, runs: Mapping[str, Findings]) -> dict[str, Findings]:
        """The runs to which the figure applies."""
        return {name: run for name, run in runs.items() if self.suits(run)}

    def lacks(self, run: Findings) -> tuple[str, ...]:
        """The variables that the figure needs and that are in neither the trace nor the state."""
        known = {*run.state.variables, *(() if run.trace is None else run.trace.variables)}
        return tuple(name for name in self.needs if name not in known)

    def text(self, run: Findings) -> str:
        """The caption for a run."""
        return self.caption if isinstance(self.caption, str) else self.caption(run)
