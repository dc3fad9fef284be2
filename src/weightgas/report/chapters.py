"""Chapters of a report: the figures that belong together, with captions, and the tables that go with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from weightgas import figures
from weightgas.analysis.cells import in_equilibrium
from weightgas.analysis.curves import is_paper_model
from weightgas.analysis.layers import layer_gases, over_cells
from weightgas.figures.canvas import plain
from weightgas.report import tables
from weightgas.report.captions import CAPTIONS
from weightgas.report.content import Picture, Section, Table
from weightgas.report.missing import missing
from weightgas.trace import fixed, kind_of

States = Mapping[str, xr.Dataset]


class Drawings:
    """Pictures of a chapter, and a remark for each that the data do not allow."""

    def __init__(self) -> None:
        self.pictures: list[Picture] = []
        self.notes: list[str] = []

    def add(self, name: str, draw: Callable[[], Figure], caption: str, level: int | None = None) -> None:
        """Draw; where that fails, whatever the reason, note it under ``name``: a figure must not cost the report."""
        try:
            self.pictures.append(Picture(draw(), caption, level, name))
        except Exception as error:
            self.notes.append(missing(name, error))

    def section(self, title: str, text: str = "", *found: Table | None) -> Section:
        """The section made of these pictures, with those of the tables that are there."""
        return Section(title, text, (), tuple(t for t in found if t is not None), self.pictures, self.notes)


def is_model(states: States) -> bool:
    """Whether all of it is the isotropic noise model."""
    return all(is_paper_model(s) for s in states.values())


def length(data: xr.Dataset) -> str:
    """How long every cell ran, and from which seed."""
    steps = f"{int(data.attrs['steps']):,}".replace(",", "\u202f")
    return f"{steps} steps for each cell, seed {data.attrs['seed']}."


def closed_form(title: str, states: States) -> Section:
    """Energy and entropy of the isotropic model against von Mises–Fisher."""
    drawings = Drawings()
    drawings.add("energy and entropy", partial(figures.energy_and_entropy, states), CAPTIONS["closed form"])
    draw = partial(figures.energy_and_entropy, states, residual="standard errors")
    drawings.add("distance in standard errors", draw, CAPTIONS["standard errors"])
    text = "The entropy is measured from the counted density of the overlap μ·w̄, never from the formula beside it."
    return drawings.section(f"{title}: against its closed form", text, tables.scores(states))


def bookkeeping(title: str, states: States, crossed: xr.Dataset | None = None) -> Section:
    """Radius and pressure against their laws, level 2."""
    drawings = Drawings()
    for name, state in states.items():
        source = "the hyperparameters alone" if is_paper_model(state) else "the gradient moment G of the same cell"
        what = "pressure" if kind_of(state).projected else "radius"
        caption = _named(name, CAPTIONS[what].format(source=source))
        drawings.add(f"{what}, {plain(name)}", partial(getattr(figures, what), state), caption, 2)
    for state in states.values():
        if crossed is None or kind_of(state).scaled:
            continue
        draw = partial(figures.radius_from_sphere, state, crossed)
        drawings.add("radius from the sphere", draw, CAPTIONS["radius from the sphere"], 2)
    return drawings.section(f"{title}: radius and pressure")


def variables(title: str, states: States) -> Section:
    """Temperature, loss and noise over the hyperparameters."""
    drawings = Drawings()
    for what in ("temperature", "energy", "noise"):
        for name, state in states.items():
            draw = partial(getattr(figures, what), state)
            drawings.add(f"{what}, {plain(name)}", draw, _named(name, CAPTIONS[what]))
    drawings.add("energy and entropy", partial(figures.energy_and_entropy, states), CAPTIONS["energy and entropy"])
    return drawings.section(f"{title}: temperature, loss and noise")


def entropies(title: str, states: States) -> Section:
    """The entropy over the hyperparameters, with the Maxwell slopes, level 2."""
    drawings = Drawings()
    rate = "the (effective) learning rate"
    places = {"lr": rate, "elr": rate, "wd": "the weight decay", "radius": "the radius"}
    for name, state in states.items():
        smoothing = state.attrs["producer"] == "train"
        kind = kind_of(state)
        for over in reversed(kind.axes):
            slope = "Maxwell" if kind.entropy_slopes()[over][1] else "harmonic"
            parts = [CAPTIONS["entropy"].format(over=places.get(over, over)), CAPTIONS[slope]]
            caption = _named(name, " ".join(parts + [CAPTIONS["smoothing"]] * smoothing))
            draw = partial(figures.entropy, state, over=over, smoothing=smoothing)
            drawings.add(f"entropy over {places.get(over, over)}, {plain(name)}", draw, caption, 2)
        if kind.exact_along and _shares_isotherms(state):
            draw = partial(figures.entropy, state, across=kind.isotherm_name)
            drawings.add("entropy at constant ηλ", draw, _named(name, CAPTIONS["product"]), 2)
    return drawings.section(f"{title}: entropy and the Maxwell relations", "", tables.maxwell(states))


def potentials(title: str, states: States) -> Section:
    """Maps of the potentials: where they are least."""
    drawings = Drawings()
    for name, state in states.items():
        caption = _named(name, CAPTIONS["helmholtz" if kind_of(state).projected else "gibbs"])
        drawings.add(f"potentials, {plain(name)}", partial(figures.potential_maps, state), caption)
    text = "Between levels 2 and 3: is the state that a protocol settles in the minimum of its ensemble's potential?"
    if any(s.attrs.get("entropy_method") == "integration" for s in states.values()):
        text += " With an entropy that was integrated along temperature this shows consistency, no more."
    return drawings.section(f"{title}: potentials", text, tables.potentials(states))


def evidence(
    title: str, traces: States, states: States, null_traces: States | None, null_states: States | None
) -> Section:
    """Level 3, with the null gases beside where they are given."""
    drawings = Drawings()
    nulls = dict(null_states or {})
    if any("conf_ratio" in s for s in states.values()):
        draw = partial(figures.configurational, states, nulls=nulls)
        drawings.add("configurational temperature", draw, CAPTIONS["configurational"], 3)
    drawings.add(
        "fluctuation and response", partial(figures.fluctuation, states, nulls=nulls), CAPTIONS["fluctuation"], 3
    )
    both = {n: (traces[n], s) for n, s in states.items() if n in traces}
    beside = {n: (null_traces[n], s) for n, s in nulls.items() if null_traces and n in null_traces}
    drawings.add("Gibbs slope", partial(figures.gibbs_slope, both, nulls=beside), CAPTIONS["Gibbs slope"], 3)
    settled = {n: pair for n, pair in both.items() if in_equilibrium(pair[1]).any()}
    if settled and all("noise_dim" in s for _, s in settled.values()):
        drawings.add("anisotropy", partial(figures.anisotropy, settled, nulls=beside), CAPTIONS["anisotropy"], 3)
        drawings.add("finite step", partial(figures.finite_step, settled, nulls=beside), CAPTIONS["finite step"], 3)
        if any(s.attrs["producer"] == "train" for _, s in settled.values()):
            draw = partial(figures.loss_dependence, settled)
            drawings.add("dependence on the loss", draw, CAPTIONS["dependence on the loss"], 3)
    for name, (_, state) in settled.items():
        if "temperature_group" in state:
            caption = _named(name, CAPTIONS["group temperatures"])
            drawings.add(f"groups, {plain(name)}", partial(figures.group_temperatures, state), caption, 3)
    return drawings.section(f"{title}: evidence", "The only checks here that can tell an ideal gas from another.")


def layers(title: str, traces: States, states: States) -> Section:
    """The gases of the layers, and what they add up to, level 2; nothing where no run has groups and noise."""
    drawings, found = Drawings(), {}
    for name, state in states.items():
        if name in traces and "temperature_group" in state and in_equilibrium(state).any():
            found[name] = over_cells(layer_gases(traces[name], state), state)
    drawings.add("layers", partial(figures.layers, found), CAPTIONS["layers"], 2)
    text = (
        "Every group of weights is a gas of its own: V = E[r²]/2, T from its noise, p from the growth that its "
        "gradients give its norm. Those of groups add up to those of a layer: V, RT and pV are sums."
    )
    return drawings.section(f"{title}: layers", text, *(tables.layers(n, f) for n, f in found.items()))


def along_run(trace: xr.Dataset) -> Section:
    """The over-parameterised network along its run."""
    drawings = Drawings()
    drawings.add("along the run", partial(figures.along_run, trace), CAPTIONS["along the run"], 1)
    what = f"{trace.attrs.get('network', 'network')} on {trace.attrs.get('data', 'data')}"
    text = f"{what}: {trace.attrs['dim']} weights, more than the data need. {length(trace)}"
    return drawings.section("Over-parameterised network: along the run", text)


def watched(trace: xr.Dataset, state: xr.Dataset) -> Section:
    """A watched run along its steps, and T_conf where it was read."""
    drawings = Drawings()
    drawings.add("the run", partial(figures.watched, trace), CAPTIONS["watched"], 1)
    if "conf_ratio" in state:
        draw = partial(figures.configurational, {str(trace.attrs["protocol"]): state})
        drawings.add("configurational temperature", draw, CAPTIONS["configurational"], 3)
    return drawings.section("Watched run: along its steps")


def _named(name: str, caption: str) -> str:
    return f"{plain(name)[0].upper()}{plain(name)[1:]}. {caption}"


def _shares_isotherms(state: xr.Dataset) -> bool:
    """Whether three cells or more of a grid have one temperature by their hyperparameters."""
    key = np.round(np.log(kind_of(state).isotherm_key(fixed(state))), 9)
    return bool(np.unique(key, return_counts=True)[1].max() >= 3)
