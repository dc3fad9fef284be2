"""The sections of a report about one experiment: from traces and states by protocol, what to show in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from weightgas.analysis.compare import Comparison, compare_isotropic, compare_networks
from weightgas.analysis.findings import Findings
from weightgas.report import chapters, tables
from weightgas.report.chapters import Runs
from weightgas.report.content import Judged, Section


def isotropic_sections(runs: Runs, controls: Runs | None = None) -> list[Section]:
    """The sections about simulations: states, closed form, radius and pressure, entropy, potentials, diagnostic tests.

    Parameters
    ----------
    runs
        Findings by protocol (``"fixed_lr"``, …).
    controls
        Findings of the controls alongside them, by name.
    """
    if not runs:
        return []
    first = next(iter(runs.values())).state
    model = chapters.is_model(runs)
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
        _overview(title, text, runs, controls, compare_isotropic(runs) if model else ()),
        *([chapters.closed_form(title, runs)] if model else []),
        chapters.identities(title, runs),
        chapters.entropies(title, runs),
        chapters.potentials(title, runs),
        chapters.diagnostics(title, runs, controls or {}),
    ]


def networks_sections(
    runs: Runs,
    controls: Runs | None = None,
    *,
    radius_from_sphere: xr.Dataset | None = None,
    along_run: Findings | None = None,
) -> list[Section]:
    """The sections about networks: as for simulations, with temperature, loss and noise over the learning rate.

    Parameters
    ----------
    runs, controls
        As for :func:`isotropic_sections`.
    radius_from_sphere
        From :func:`weightgas.analysis.equation_of_state.radius_from_sphere`, for the state at fixed LR.
    along_run
        The over-parameterised run.
    """
    found: list[Section] = []
    if runs:
        first = next(iter(runs.values())).state
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
            _overview(title, text, runs, controls, compare_networks(runs)),
            chapters.identities(title, runs, radius_from_sphere),
            chapters.variables(title, runs),
            chapters.entropies(title, runs),
            chapters.potentials(title, runs),
            chapters.layers(title, runs),
            chapters.diagnostics(title, runs, controls or {}),
        ]
    if along_run is not None:
        found.append(chapters.along_run(along_run))
    return found


def watched_sections(runs: Runs, controls: Runs | None = None) -> list[Section]:
    """The sections about a run that :func:`weightgas.watch` saw: its state, and how it came there.

    One cell: laws between cells (Maxwell, fluctuation, Gibbs slope) have nothing to compare.

    Parameters
    ----------
    runs, controls
        As for :func:`isotropic_sections`.
    """
    found: list[Section] = []
    for name, run in runs.items():
        about = run.state.attrs
        left = [str(n) for n in np.atleast_1d(about.get("groups_left_out", []))]
        text = (
            f"{about['network']}, {about['optimizer']}: {about['dim']} weights in {np.size(about['group_sizes'])} "
            f"scale-invariant groups, {about['dof']} degrees of freedom, {about['steps']} steps. Seen by hooks of the "
            "optimizer; data, order and seed are those of your own loop. With momentum α, η stands for η/(1 − α)."
        )
        if left:
            text += f" Left out, without weight decay: {', '.join(left)}."
        found.append(_overview("Watched run", text, {name: run}, controls, ()))
        found.append(chapters.watched(name, run))
    return found


def _overview(title: str, text: str, runs: Runs, controls: Runs | None, compared: Sequence[Comparison]) -> Section:
    """What ran, and the paper's values; the states, compact and in full; maps of the status where not all is well."""
    found = [tables.comparison(compared), tables.overview(runs), tables.advice(runs)]
    found += [tables.full(name, run) for name, run in runs.items()]
    judged = [Judged(run.verdict) for run in runs.values()]
    judged += [Judged(run.verdict, is_null=True) for run in (controls or {}).values()]
    section = chapters.drawn("status", runs).section(f"{title}: states", text, *found)
    return replace(section, verdicts=tuple(judged))
