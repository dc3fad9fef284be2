"""The sections of a report that are text and tables, by the kind of run; and the figures of a section."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import xarray as xr
from matplotlib import figure as mpl

from weightgas.analysis.findings import Findings
from weightgas.analysis.smoothing import published_isotherm
from weightgas.errors import wrong_type
from weightgas.figures.canvas import plain
from weightgas.figures.entry import Figure
from weightgas.report import tables as tabulate
from weightgas.report.columns import MOST_CELLS
from weightgas.report.content import Picture, Section, Table
from weightgas.report.guard import attempt

Runs = Mapping[str, Findings]
Tables = Callable[[Runs], Iterable[Table]]


def sections(runs: Runs, controls: Runs | None = None, *, figures: Sequence[Figure] = ()) -> list[Section]:
    """The sections about runs of one producer: a description with its tables, and custom figures.

    Parameters
    ----------
    runs
        Findings by protocol (``"fixed_lr"``, …), all of one producer.
    controls
        Findings of the reference simulations, by name, for the figures.
    figures
        Custom figures, for a separate section.
    """
    if not runs:
        return []
    producer = str(next(iter(runs.values())).state.attrs["producer"])
    title, text = _ABOUT[producer](runs)
    found = [section(title, (), runs, controls, text, _TABLES[producer])]
    return [*found, section(f"{title}: further figures", figures, runs, controls)] if figures else found


def section(
    title: str,
    figures: Iterable[Figure],
    runs: Runs,
    controls: Runs | None = None,
    text: str = "",
    tables: Tables | Sequence[Tables] = (),
) -> Section:
    """Make one section, with each figure for all runs to which it applies and a note for each that cannot be made.

    Parameters
    ----------
    title, text
        Heading and text of the section.
    figures
        The figures (:class:`weightgas.figures.Figure`).
    runs, controls
        Findings of the runs and of the reference simulations, by name.
    tables
        Functions of the runs that yield tables.
    """
    pictures: list[Picture] = []
    notes: list[str] = []
    made: list[Table] = []
    for make in (tables,) if callable(tables) else tables:
        made += attempt(f"No tables: {title}", lambda make=make: list(make(runs)), notes) or []
    for figure in figures:
        for name, caption, draw in drawings(figure, runs, controls or {}, notes):
            drawn = attempt(f"Not drawn: {name}", partial(_figure, draw), notes)
            if drawn is not None:
                pictures.append(Picture(drawn, caption, figure.level, name))
    return Section(title, text, made, pictures, notes)


def _figure(draw: Callable[[], mpl.Figure]) -> mpl.Figure:
    """What ``draw`` returns, if it is a figure: a function of the user's may have another result, or none."""
    drawn = draw()
    if not isinstance(drawn, mpl.Figure):
        raise wrong_type("figure", "a function that returns a matplotlib Figure", drawn, "End it with return fig.")
    return drawn


def drawings(
    figure: Figure, runs: Runs, controls: Runs, notes: list[str]
) -> Iterator[tuple[str, str, Callable[[], mpl.Figure]]]:
    """Name, caption and call of a figure, for each run or for all runs; a note for each run without the data."""
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


def length(state: xr.Dataset) -> str:
    """The number of steps of every cell and the seed, and which cells the page shows if there are many."""
    text = f"{_number(state.attrs['steps'])} steps for each cell, seed {state.attrs['seed']}."
    if state.sizes["cell"] > MOST_CELLS:
        text += (
            f"\n\nThere are {_number(state.sizes['cell'])} cells. Charts and the table of cells have at most "
            f"{_number(MOST_CELLS)} of them, evenly spaced. All values are in the state of the run (state.zarr), and "
            "weightgas measure --rows 0 prints them. Laws, checks and counts are of all cells."
        )
    return text


def _number(value: int) -> str:
    return f"{int(value):,}".replace(",", "\u202f")


def _about_simulation(runs: Runs) -> tuple[str, str]:
    about = next(iter(runs.values())).state
    if all(run.is_model for run in runs.values()):
        title = "Isotropic noise model"
        text = (
            "The paper's model: L(w̄) = 1 + μ·w̄ with isotropic gradient noise. Its stationary state is known in closed "
            "form, a von Mises–Fisher distribution of the direction with concentration 1/T. The entropy is measured "
            "from the counted density of the overlap μ·w̄, never from the formula."
        )
    else:
        title = "Simulation"
        text = f"SGD with a {about.attrs.get('loss')} loss and {about.attrs.get('noise')} gradient noise."
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
        text += (
            " Entropies are integrated along temperature, which assumes a Gibbs state, from the coldest cell; so the "
            "minima of the potentials show consistency, no more."
        )
    if about.get("entropy_method") == "published":
        text += " ".join(("", *(published_isotherm(run.state, run.trace) for run in runs.values())))
    return f"Network {about.get('network', '')} on {about.get('data', '')}", text


def _about_watched(runs: Runs) -> tuple[str, str]:
    """One cell: relations between cells (Maxwell, fluctuation, Gibbs slope) do not apply."""
    about = next(iter(runs.values())).state.attrs
    text = (
        f"{about['network']}, {about['optimizer']}: {about['dim']} weights in {np.size(about['group_sizes'])} "
        f"scale-invariant groups, {about['dof']} degrees of freedom, {about['steps']} steps. Recorded by hooks of "
        "the optimizer; data, order and seed are those of the training loop. With momentum α, η stands for η/(1 − α)."
    )
    excluded = [str(n) for n in np.atleast_1d(about.get("groups_excluded", []))]
    why = "Excluded, without weight decay or not scale-invariant"
    return "Watched run", text + (f" {why}: {', '.join(excluded)}." if excluded else "")


_TABLES: dict[str, tuple[Tables, ...]] = {
    "simulate": (tabulate.states, tabulate.scores, tabulate.maxwell, tabulate.potentials),
    "train": (tabulate.states, tabulate.maxwell, tabulate.potentials, tabulate.layers),
    "watch": (tabulate.states,),
}
_ABOUT = {"simulate": _about_simulation, "train": _about_network, "watch": _about_watched}
"""The tables of the section, and its title and text, by the producer of a run."""
