"""Chapters of a report: the figures that belong together, with captions, and the tables that go with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import matplotlib.figure as mpl
import xarray as xr

from weightgas import figures
from weightgas.analysis.findings import Findings
from weightgas.figures.canvas import plain
from weightgas.figures.registry import CHAPTERS, Figure
from weightgas.report import tables
from weightgas.report.content import Picture, Section, Table
from weightgas.report.missing import missing

Runs = Mapping[str, Findings]


class Drawings:
    """Pictures of a chapter, and a remark for each that the data do not allow."""

    def __init__(self) -> None:
        self.pictures: list[Picture] = []
        self.notes: list[str] = []

    def add(self, name: str, draw: Callable[[], mpl.Figure], caption: str, level: int | None = None) -> None:
        """Draw; where that fails, whatever the reason, note it under ``name``: a figure must not cost the report."""
        try:
            self.pictures.append(Picture(draw(), caption, level, name))
        except Exception as error:
            self.notes.append(missing(name, error))

    def figure(self, figure: Figure, runs: Runs, controls: Runs | None = None) -> None:
        """Draw one entry of the list of figures, of all runs that it suits; note what it lacks."""
        suited, found = figure.runs(runs), {}
        for name, run in suited.items():
            if lacking := figure.lacks(run):
                self.notes.append(f"Not drawn: {figure.name}, {plain(name)}. It needs {', '.join(lacking)}.")
            else:
                found[name] = run
        if figure.joint and found:
            first = next(iter(found.values()))
            draw = partial(figure.draw, found, controls=controls or {})
            self.add(figure.name, draw, figure.text(first), figure.level)
        elif not figure.joint:
            for name, run in found.items():
                caption = _named(name, figure.text(run))
                self.add(f"{figure.name}, {plain(name)}", partial(figure.draw, run), caption, figure.level)

    def section(self, title: str, text: str = "", *found: Table | None) -> Section:
        """The section made of these pictures, with those of the tables that are there."""
        return Section(title, text, (), tuple(t for t in found if t is not None), self.pictures, self.notes)


def drawn(chapter: str, runs: Runs, controls: Runs | None = None) -> Drawings:
    """The figures of a chapter."""
    drawings = Drawings()
    for figure in CHAPTERS[chapter]:
        drawings.figure(figure, runs, controls)
    return drawings


def is_model(runs: Runs) -> bool:
    """Whether all of it is the isotropic noise model."""
    return all(run.is_model for run in runs.values())


def length(data: xr.Dataset) -> str:
    """How long every cell ran, and from which seed."""
    steps = f"{int(data.attrs['steps']):,}".replace(",", "\u202f")
    return f"{steps} steps for each cell, seed {data.attrs['seed']}."


def closed_form(title: str, runs: Runs) -> Section:
    """Energy and entropy of the isotropic model against von Mises–Fisher."""
    text = "The entropy is measured from the counted density of the overlap μ·w̄, never from the formula."
    return drawn("closed form", runs).section(f"{title}: against its closed form", text, tables.scores(runs))


def identities(title: str, runs: Runs, crossed: xr.Dataset | None = None) -> Section:
    """Radius and pressure against their laws, level 2."""
    drawings = drawn("identities", runs)
    if crossed is not None and "fixed_lr" in runs:
        draw = partial(figures.radius_from_sphere, runs["fixed_lr"], crossed)
        drawings.add("radius from the sphere", draw, _RADIUS_FROM_SPHERE, 2)
    return drawings.section(f"{title}: radius and pressure")


_RADIUS_FROM_SPHERE = (
    "Radius at fixed LR over its prediction from G measured on the sphere at the same ηₑ. Nothing of the fixed-LR run "
    "enters, so this is a prediction: runs that share ηₑ share G, whatever fixes them."
)


def variables(title: str, runs: Runs) -> Section:
    """Temperature, loss and noise over the hyperparameters."""
    return drawn("variables", runs).section(f"{title}: temperature, loss and noise")


def entropies(title: str, runs: Runs) -> Section:
    """The entropy over the hyperparameters, with the Maxwell slopes, level 2."""
    return drawn("entropies", runs).section(f"{title}: entropy and the Maxwell relations", "", tables.maxwell(runs))


def potentials(title: str, runs: Runs) -> Section:
    """Maps of the potentials: where they are least."""
    text = "Between levels 2 and 3: is the state that a protocol settles in the minimum of its ensemble's potential?"
    if any(run.state.attrs.get("entropy_method") == "integration" for run in runs.values()):
        text += " With an entropy that was integrated along temperature this shows consistency, no more."
    return drawn("potentials", runs).section(f"{title}: potentials", text, tables.potentials(runs))


def diagnostics(title: str, runs: Runs, controls: Runs) -> Section:
    """Level 3, with the controls alongside where they are given."""
    text = "The only checks here that can falsify an ideal gas."
    return drawn("diagnostics", runs, controls).section(f"{title}: diagnostic tests", text)


def layers(title: str, runs: Runs) -> Section:
    """The gases of the layers, and what they add up to, level 2; nothing where no run has groups and noise."""
    (figure,) = CHAPTERS["layers"]
    text = (
        "Every group of weights is a gas of its own: V = E[r²]/2, T from its noise, p from the growth that its "
        "gradients give its norm. Those of groups add up to those of a layer: V, RT and pV are sums."
    )
    found = (tables.layers(name, run.layers) for name, run in figure.runs(runs).items())
    return drawn("layers", runs).section(f"{title}: layers", text, *found)


def along_run(run: Findings) -> Section:
    """The over-parameterised network along its run."""
    about = run.state.attrs
    what = f"{about.get('network', 'network')} on {about.get('data', 'data')}"
    text = f"{what}: {about['dim']} weights, more than the data need. {length(run.state)}"
    title = "Over-parameterised network: along the run"
    return drawn("along the run", {run.protocol: run}).section(title, text)


def watched(name: str, run: Findings) -> Section:
    """A watched run along its steps, and T_conf where it was recorded."""
    drawings = drawn("watched", {name: run})
    drawings.figure(CHAPTERS["diagnostics"][0], {name: run})
    return drawings.section("Watched run: along its steps")


def _named(name: str, caption: str) -> str:
    return f"{plain(name)[0].upper()}{plain(name)[1:]}. {caption}"
