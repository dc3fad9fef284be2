"""The content of a report: plain frozen records, filled by the code that ran the experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from weightgas.analysis import Verdict
from weightgas.errors import check_fields


@dataclass(frozen=True)
class Table:
    """A table of texts and numbers; a cell may be a pair (value, standard error), which is rounded to its error.

    ``folded`` tables are collapsed until the reader opens them.
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
class Content:
    """A complete report.

    ``summary``: one text or several lines. ``verdicts`` are those of the runs and ``controls`` those of the reference
    simulations; both are at the top. ``settings``: the arguments. ``environment``: from
    :func:`weightgas.runs.environment`. ``wall_time`` is in seconds. ``seeds``: the seeds used. ``command``: the command
    that makes it again.
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

    def __post_init__(self) -> None:
        check_fields(self)
