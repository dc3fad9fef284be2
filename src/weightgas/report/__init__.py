"""One self-contained, interactive HTML file: the finding, then charts, cells, method and set-up."""

from weightgas.errors import renamed_names
from weightgas.report.chapters import section, sections
from weightgas.report.content import Content, Picture, Section, System, Table
from weightgas.report.folder import findings, of_run
from weightgas.report.page import render, write

__getattr__ = renamed_names(
    __name__,
    {name: "sections" for name in ("isotropic_sections", "networks_sections", "watched_sections")}
    | {"Judged": "System"},
)

__all__ = [
    "Content",
    "System",
    "Section",
    "Table",
    "Picture",
    "write",
    "render",
    "findings",
    "of_run",
    "section",
    "sections",
]
