"""The content of a report: plain frozen objects, filled by the code that ran the experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from weightgas.analysis.findings import Findings
from weightgas.errors import check_fields, wrong_type


@dataclass(frozen=True)
class Table:
    """A table of texts and numbers; a cell may be a pair (value, standard error), which is rounded to its error.

    A ``folded`` table is collapsed until the reader opens it. TypeError for fields of another type.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    folded: bool = False

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Picture:
    """A figure, its caption, and the level of the verdict to which it belongs (None: to no level).

    ``name`` is used in a note of the report if the figure cannot be saved; by default it is the caption.
    """

    figure: Figure
    caption: str
    level: int | None = None
    name: str = ""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Section:
    """A section of the report: text (blank lines separate paragraphs), tables, figures, and notes as a list."""

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    figures: Sequence[Picture] = ()
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class System:
    """One subject of a report, such as a network on its data, with its runs by protocol or name.

    Parameters
    ----------
    title
        Its name in the first sentence of the report.
    runs
        Findings of the runs that are judged.
    controls
        Findings of the reference simulations, by name.
    unjudged
        Findings of runs for which no stationary state is claimed; they are drawn along their steps.
    sections
        Texts, tables and figures about it (:func:`weightgas.report.sections`), in the last part of the page.
    """

    title: str
    runs: Mapping[str, Findings] = field(default_factory=dict)
    controls: Mapping[str, Findings] = field(default_factory=dict)
    unjudged: Mapping[str, Findings] = field(default_factory=dict)
    sections: Sequence[Section] = ()

    def __post_init__(self) -> None:
        check_fields(self)
        for name, runs in (("runs", self.runs), ("controls", self.controls), ("unjudged", self.unjudged)):
            if wrong := [run for run in runs.values() if not isinstance(run, Findings)]:
                raise wrong_type(name, "Findings by name", wrong[0], "Pass {'name': Findings(trace, state)}.")


@dataclass(frozen=True)
class Content:
    """A complete report.

    Parameters
    ----------
    title
        The heading of the page.
    systems
        The subjects of the report, with their runs; the most important one first.
    notes
        Lines about the report as a unit.
    sections
        Sections in addition to those of the systems.
    compared
        Tables that compare two runs.
    settings, seeds
        The arguments and the seeds of the runs.
    environment
        Machine and versions (:func:`weightgas.runs.environment`).
    wall_time
        Wall time of the runs in seconds.
    command
        The command that makes the report again.

    Raises
    ------
    TypeError
        For fields of another type.
    """

    title: str
    systems: Sequence[System] = ()
    notes: Sequence[str] = ()
    sections: Sequence[Section] = ()
    compared: Sequence[Table] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    wall_time: float | None = None
    seeds: Sequence[int] = ()
    command: str = ""

    def __post_init__(self) -> None:
        check_fields(self)
        for name, kind in (("systems", System), ("sections", Section), ("compared", Table)):
            if wrong := [each for each in getattr(self, name) if not isinstance(each, kind)]:
                raise wrong_type(name, f"report.{kind.__name__} objects", wrong[0], f"Make them: {kind.__name__}(…).")
