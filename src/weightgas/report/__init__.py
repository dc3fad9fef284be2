"""One self-contained HTML file: the verdict first, then tables, figures, set-up."""

from weightgas.report.content import Content, Judged, Picture, Section, Table
from weightgas.report.folder import of_run
from weightgas.report.page import render, write
from weightgas.report.sections import isotropic_sections, networks_sections, watched_sections

__all__ = [
    "Content",
    "Section",
    "Table",
    "Picture",
    "Judged",
    "write",
    "render",
    "of_run",
    "isotropic_sections",
    "networks_sections",
    "watched_sections",
]
