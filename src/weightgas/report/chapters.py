"""The sections of a report: the figures and tables of each kind of run, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr
from matplotlib import figure as mpl

from weightgas.analysis.findings import Findings
from weightgas.analysis.smoothing import published_isotherm
from weightgas.figures.canvas import MOST_POINTS, plain
from weightgas.figures.entry import Figure
from weightgas.figures.registry import CHAPTERS
from weightgas.report import tables as tabulate
from weightgas.report.content import Picture, Section, Table
from weightgas.report.guard import attempt

Runs = Mapping[str, Findings]
Tables = Callable[[Runs], Iterable[Table]]


def sections(runs: Runs, controls: Runs | None = None, *, figures: Sequence[Figure] = ()) -> list[Section]:
    """The sections about runs of one producer: simulations, trained networks, or a watched run.

    Parameters
    ----------
    runs
        Findings by protocol (``"fixed_lr"``, …), all of one producer.
    controls
        Findings of the reference simulations, by name.
    figures
        Further figures, for a separate section.
    """
    if not runs:
        return []
    producer = str(next(iter(runs.values())).state.attrs["producer"])
    title, text = _ABOUT[producer](runs)
    found = []
    for chapter in (STATES, *_CHAPTERS[producer]):
        if chapter.suits(runs):
            words = text if chapter is STATES else chapter.text(runs)
            made = section(f"{title}: {chapter.title}", chapter.figures, runs, controls, words, chapter.tables)
            if made.tables or made.figures or made.notes:
                found.append(made)
    return [*found, section(f"{title}: further figures", figures, runs, controls)] if figures else found


def section(
    title: str,
    figures: Iterable[Figure],
    runs: Runs,
    controls: Runs | None = None,
    text: str = "",
    tables: Tables | None = None,
) -> Section:
    """One section: the figures of all runs to which they apply, with a note for each that cannot be made."""
    pictures: list[Picture] = []
    notes: list[str] = []
    made = attempt(f"No tables: {title}", lambda: tuple(tables(runs)), notes) if tables else ()
    for figure in figures:
        for name, caption, draw in _drawings(figure, runs, controls or {}, notes):
            drawn = attempt(f"Not drawn: {name}", draw, notes)
            if drawn is not None:
                pictures.append(Picture(drawn, caption, figure.level, name))
    return Section(title, text, made or (), pictures, notes)


def _drawings(
    figure: Figure, runs: Runs, controls: Runs, notes: list[str]
) -> Iterator[tuple[str, str, Callable[[], mpl.Figure]]]:
    """Name, caption and call of a figure, for each run or for all; a note for each run without the data."""
    found = {}
    for name, run in figure.runs(runs).items():
        if lacking := figure.lacks(run):
            notes.append(f"Not drawn: {figure.name}, {plain(name)}. It needs {', '.join(lacking)}.")
        else:
            found[name] = run
    if figure.joint and found:
        yield figure.name, figure.text(next(iter(found.values()))), partial(figure.draw, found, controls=controls)
    elif not figure.joint:
        for name, run in found.items():
            words = plain(name)
            caption = f"{words[0].upper()}{words[1:]}. {figure.text(run)}"
            yield f"{figure.name}, {words}", caption, partial(figure.draw, run)


@dataclass(frozen=True)
class Chapter:
    """The content of a section about runs; ``suits`` is false for runs to which it does not apply."""

    title: str
    figures: tuple[Figure, ...]
    text: Callable[[Runs], str] = lambda runs: ""
    tables: Tables = lambda runs: ()
    suits: Callable[[Runs], bool] = lambda runs: True


def length(state: xr.Dataset) -> str:
    """The number of steps of every cell, and its seed; what tables and figures show of many cells."""
    text = f"{_number(state.attrs['steps'])} steps for each cell, seed {state.attrs['seed']}."
    if state.sizes["cell"] > min(tabulate.MOST_ROWS, MOST_POINTS):
        text += (
            f"\n\nThere are {_number(state.sizes['cell'])} cells. The table of cells lists at most "
            f"{_number(tabulate.MOST_ROWS)} of them and a figure with a point for each cell draws at most "
            f"{_number(MOST_POINTS)}, evenly spaced. All values are in the state of the run (state.zarr), and "
            "weightgas measure --rows 0 prints them. Laws, checks and counts are of all cells."
        )
    return text


def _number(value: int) -> str:
    return f"{int(value):,}".replace(",", "\u202f")


def _is_model(runs: Runs) -> bool:
    return all(run.is_model for run in runs.values())


def _about_simulation(runs: Runs) -> tuple[str, str]:
    about = next(iter(runs.values())).state
    if _is_model(runs):
        title = "Isotropic noise model"
        text = (
            "The paper's model: L(w̄) = 1 + μ·w̄ with isotropic gradient noise. Its stationary state is known in closed "
            "form, a von Mises–Fisher distribution of the direction with concentration 1/T."
        )
    else:
        title = "Simulation"
        text = f"SGD with a {about.attrs.get('potential')} loss and {about.attrs.get('noise')} gradient noise."
    return title, f"{text} d = {about.attrs['dim']}. {length(about)}"


def _about_network(runs: Runs) -> tuple[str, str]:
    state = next(iter(runs.values())).state
    about = state.attrs
    text = (
        f"{about['dim']} weights in {np.size(about.get('group_sizes', 1))} scale-invariant groups, {about['dof']} "
        f"degrees of freedom; batches of {about.get('batch_size', '?')} drawn with replacement, plain SGD. "
        f"{length(state)}"
    )
    if about.get("entropy_method") == "integration":
        text += " Entropies are integrated along temperature, which assumes a Gibbs state, from the coldest cell."
    if about.get("entropy_method") == "published":
        text += " ".join(("", *(published_isotherm(run.state, run.trace) for run in runs.values())))
    return f"Network {about.get('network', '')} on {about.get('data', '')}", text


def _about_watched(runs: Runs) -> tuple[str, str]:
    """One cell: relations between cells (Maxwell, fluctuation, Gibbs slope) do not apply."""
    about = next(iter(runs.values())).state.attrs
    text = (
        f"{about['network']}, {about['optimizer']}: {about['dim']} weights in {np.size(about['group_sizes'])} "
        f"scale-invariant groups, {about['dof']} degrees of freedom, {about['steps']} steps. Seen by hooks of the "
        "optimizer; data, order and seed are custom those loop. With momentum α, η stands for η/(1 − α)."
    )
    excluded = [str(n) for n in np.atleast_1d(about.get("groups_excluded", []))]
    return "Watched run", text + (f" Excluded, without weight decay: {', '.join(excluded)}." if excluded else "")


def _about_potentials(runs: Runs) -> str:
    text = "Between levels 2 and 3: is the state that a protocol settles in the minimum of its ensemble's potential?"
    if any(run.state.attrs.get("entropy_method") == "integration" for run in runs.values()):
        text += " With an entropy that was integrated along temperature this shows consistency, no more."
    return text


STATES = Chapter("states", CHAPTERS["status"], tables=tabulate.states)
_CLOSED_FORM = Chapter(
    "against its closed form",
    CHAPTERS["closed form"],
    lambda runs: "The entropy is measured from the counted density of the overlap μ·w̄, never from the formula.",
    tabulate.scores,
    _is_model,
)
_IDENTITIES = Chapter("radius and pressure", CHAPTERS["identities"])
_VARIABLES = Chapter("temperature, loss and noise", CHAPTERS["variables"])
_ENTROPIES = Chapter("entropy and the Maxwell relations", CHAPTERS["entropies"], tables=tabulate.maxwell)
_POTENTIALS = Chapter("potentials", CHAPTERS["potentials"], _about_potentials, tabulate.potentials)
_LAYERS = Chapter(
    "layers",
    CHAPTERS["layers"],
    lambda runs: (
        "Every group of weights is a gas of its own: V = E[r²]/2, T from its noise, p from the growth that its "
        "gradients give its norm. Those of groups add up to those of a layer: V, RT and pV are sums."
    ),
    lambda runs: tabulate.layers(CHAPTERS["layers"][0].runs(runs)),
)
_DIAGNOSTICS = Chapter(
    "diagnostic tests",
    CHAPTERS["diagnostics"],
    lambda runs: "The only checks here that can falsify an ideal gas.",
)
_ALONG = Chapter("along its steps", CHAPTERS["along the run"])
_WATCHED = Chapter("along its steps", (*CHAPTERS["watched"], CHAPTERS["diagnostics"][0]))

_CHAPTERS = {
    "simulate": (_CLOSED_FORM, _IDENTITIES, _ENTROPIES, _POTENTIALS, _DIAGNOSTICS, _ALONG),
    "train": (_IDENTITIES, _VARIABLES, _ENTROPIES, _POTENTIALS, _LAYERS, _DIAGNOSTICS, _ALONG),
    "watch": (_WATCHED,),
}
_ABOUT = {"simulate": _about_simulation, "train": _about_network, "watch": _about_watched}
"""By the producer of a run: the chapters after its states, and title and text of its report."""
