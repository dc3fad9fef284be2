"""The sections of a report about one experiment: from traces and states by protocol, what to show in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import xarray as xr

from weightgas import figures
from weightgas.analysis import Verdict
from weightgas.analysis.cells import in_equilibrium
from weightgas.analysis.compare import Comparison, compare_isotropic, compare_networks
from weightgas.figures.canvas import plain
from weightgas.report import chapters, tables
from weightgas.report.captions import CAPTIONS
from weightgas.report.chapters import Drawings, States
from weightgas.report.content import Judged, Section


def isotropic_sections(
    traces: States,
    states: States,
    verdicts: Sequence[Verdict],
    nulls: Sequence[Verdict],
    *,
    null_traces: States | None = None,
    null_states: States | None = None,
) -> list[Section]:
    """The sections about simulations: states, closed form, radius and pressure, entropy, potentials, evidence.

    Parameters
    ----------
    traces, states
        By protocol (``"fixed_lr"``, …); what is not there is left out.
    verdicts, nulls
        Of these runs, and of the null gases that stand beside them.
    null_traces, null_states
        The null gases themselves by name, to be drawn beside the evidence.
    """
    if not states:
        return []
    first = next(iter(states.values()))
    model = chapters.is_model(states)
    if model:
        title = "Isotropic noise model"
        text = (
            "The paper's model: L(w̄) = 1 + μ·w̄ with isotropic gradient noise. Its stationary state is known in closed "
            "form, a von Mises–Fisher distribution of the direction with concentration 1/T."
        )
    else:
        title = "Simulation"
        text = f"SGD with a {first.attrs.get('loss')} loss and {first.attrs.get('noise')} gradient noise."
    text = f"{text} d = {first.attrs['dim']}. {chapters.length(first)}"
    return [
        _overview(title, text, states, _judged(verdicts, nulls), compare_isotropic(states) if model else ()),
        *([chapters.closed_form(title, states)] if model else []),
        chapters.bookkeeping(title, states),
        chapters.entropies(title, states),
        chapters.potentials(title, states),
        chapters.evidence(title, traces, states, null_traces, null_states),
    ]


def networks_sections(
    traces: States,
    states: States,
    verdicts: Sequence[Verdict],
    nulls: Sequence[Verdict],
    *,
    radius_from_sphere: xr.Dataset | None = None,
    along_run: xr.Dataset | None = None,
    null_traces: States | None = None,
    null_states: States | None = None,
) -> list[Section]:
    """The sections about networks: as for simulations, with temperature, loss and noise over the learning rate.

    Parameters
    ----------
    traces, states, verdicts, nulls, null_traces, null_states
        As for :func:`isotropic_sections`.
    radius_from_sphere
        From :func:`weightgas.analysis.equation_of_state.radius_from_sphere`, for the state at fixed LR.
    along_run
        Trace of the over-parameterised run.
    """
    found: list[Section] = []
    if states:
        first = next(iter(states.values()))
        title = f"Network {first.attrs.get('network', '')} on {first.attrs.get('data', '')}"
        groups = np.size(first.attrs.get("group_sizes", 1))
        text = (
            f"{first.attrs['dim']} weights in {groups} scale-invariant groups, "
            f"{first.attrs['dof']} degrees of freedom; "
            f"batches of {first.attrs.get('batch_size', '?')} drawn with replacement, plain SGD. "
            f"{chapters.length(first)}"
        )
        if first.attrs.get("entropy_method") == "integration":
            text += " Entropies are integrated along temperature, which assumes a Gibbs state, from the coldest cell."
        found = [
            _overview(title, text, states, _judged(verdicts, nulls), compare_networks(states)),
            chapters.bookkeeping(title, states, radius_from_sphere),
            chapters.variables(title, states),
            chapters.entropies(title, states),
            chapters.potentials(title, states),
            chapters.layers(title, traces, states),
            chapters.evidence(title, traces, states, null_traces, null_states),
        ]
    if along_run is not None:
        found.append(chapters.along_run(along_run))
    return found


def watched_sections(
    traces: States, states: States, verdicts: Sequence[Verdict], nulls: Sequence[Verdict]
) -> list[Section]:
    """The sections about a run that :func:`weightgas.watch` saw: its state, and how it came there.

    One cell: laws between cells (Maxwell, fluctuation, Gibbs slope) have nothing to compare.

    Parameters
    ----------
    traces, states, verdicts, nulls
        As for :func:`isotropic_sections`.
    """
    found: list[Section] = []
    for name, state in states.items():
        about = state.attrs
        left = [str(n) for n in np.atleast_1d(about.get("groups_left_out", []))]
        text = (
            f"{about['network']}, {about['optimizer']}: {about['dim']} weights in {np.size(about['group_sizes'])} "
            f"scale-invariant groups, {about['dof']} degrees of freedom, {about['steps']} steps. Seen by hooks of the "
            "optimizer; data, order and seed are those of your own loop. With momentum α, η stands for η/(1 − α)."
        )
        if left:
            text += f" Left out, without weight decay: {', '.join(left)}."
        found.append(_overview("Watched run", text, {name: state}, _judged(verdicts, nulls), ()))
        if name in traces:
            found.append(chapters.watched(traces[name], state))
    return found


def _judged(verdicts: Sequence[Verdict], nulls: Sequence[Verdict]) -> tuple[Judged, ...]:
    return (*(Judged(v) for v in verdicts), *(Judged(v, is_null=True) for v in nulls))


def _overview(
    title: str, text: str, states: States, judged: Sequence[Judged], compared: Sequence[Comparison]
) -> Section:
    """What ran, beside the paper; the states, compact and in full; maps of the status where not all is well."""
    drawings = Drawings()
    for name, state in states.items():
        if not in_equilibrium(state).all():
            caption = f"{plain(name)}. {CAPTIONS['status']}"
            drawings.add(f"status, {plain(name)}", partial(figures.status_map, state), caption, 1)
    found = [tables.comparison(compared), tables.overview(states), tables.advice(states)]
    found += [tables.full(name, state) for name, state in states.items()]
    return replace(drawings.section(f"{title}: states", text, *found), verdicts=tuple(judged))
