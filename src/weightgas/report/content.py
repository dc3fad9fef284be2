"""What a report is made of: plain frozen records, filled by whoever ran the experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from weightgas.analysis import Verdict


@dataclass(frozen=True)
class Table:
    """A table of texts and numbers; a cell may be a pair (value, standard error), which is rounded to its error.

    ``folded`` tables are shown when the reader asks for them.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    folded: bool = False


@dataclass(frozen=True)
class Picture:
    """A figure, what to see in it, and the level of the verdict that it belongs to (None: between or before).

    ``name`` stands in the report's note if the figure cannot be saved; by default the caption.
    """

    figure: Figure
    caption: str
    level: int | None = None
    name: str = ""


@dataclass(frozen=True)
class Section:
    """A section of the report: text (blank lines separate paragraphs), tables, figures, and notes as a list."""

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    figures: Sequence[Picture] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Content:
    """A entire report.

    ``summary``: one text or several lines. ``verdicts``: of the runs, and ``controls`` of the reference simulations
    alongside; both stand at the head. ``settings``: what was asked for. ``environment``: from
    :func:`weightgas.runs.environment`. ``wall_time`` in seconds. ``seeds``: the seeds used. ``command``: how to make it
    again.
    """

    title: str
    summary: str | Sequence[str] = ()
    verdicts: Sequence[Verdict] = ()
    controls: Sequence[Verdict] = ()
    sections: Sequence[Section] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    wall_time: float | None = None
    seeds: Sequence[int] = ()
    command: str = ""
