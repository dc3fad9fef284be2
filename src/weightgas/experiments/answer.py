"""Is it an ideal gas? The outcome of the experiment ``answer`` as tables and sentences that follow from its numbers.

First the claims of the paper one by one, for the model and for networks (:mod:`weightgas.experiments.claims`), then the
three hypotheses (:data:`weightgas.analysis.checks.HYPOTHESES`), then the reasons. The interpretation is written by hand
in ``docs/results/answer.md``; the blocks of this page are copied into it by name (``docs/pictures/answer.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from weightgas import figures
from weightgas.analysis.checks import HYPOTHESES, Check, Hypothesis, Key
from weightgas.analysis.findings import Findings
from weightgas.analysis.virial import virial
from weightgas.experiments import claims, explanation
from weightgas.experiments.controls import Control
from weightgas.experiments.explanation import markdown, span_of
from weightgas.experiments.summary import counted, kinds, select
from weightgas.figures.canvas import plain
from weightgas.rounding import with_error
from weightgas.runs import write_atomically

TITLES = {"under": "under-parameterised", "middle": "middle", "over": "over-parameterised"}
TESTS = {
    "A": (Key.GAS_LAW, Key.ENERGY_LAW, Key.HEAT_CAPACITY, Key.ENTROPY_SLOPE),
    "B": (Key.BAND,),
    "C": (Key.CONFIGURATIONAL, Key.FLUCTUATION, Key.GIBBS_SLOPE, Key.CLAUSIUS),
}
"""The checks with a column in the table of each hypothesis."""
Runs = Mapping[str, Findings]
Controls = Mapping[str, Mapping[str, Control]]

_FIGURES = {
    "answer-anisotropy.png": "Explained. Fluctuation of the energy, measured over explained, against the temperature, "
    "every cell in equilibrium. Cells at 1 are explained; below it noise and curvature do not commute.",
    "answer-loss.png": "Dependence on the loss. Noise against energy: across cells (points) and among the samples of "
    "one cell (short lines).",
    "answer-step.png": "Finite step. The configurational temperature over what noise and curvature at small steps "
    "give, against step times curvature.",
}


def judged(trace: xr.Dataset, state: xr.Dataset | None, network: Any, data: Any) -> Findings:
    """The findings of a run of a network; with stored directions also U − L(mean weights)."""
    found = Findings(trace, state)
    if "directions" not in trace or not found.settled.any():
        return found
    from weightgas import training  # torch is loaded only where a network is evaluated

    return Findings(trace, found.state, cost=virial(found.state, training.mean_weights(trace, network, data)))


def write(
    folder: Path,
    runs: Runs,
    controls: Controls,
    command: str,
    model: Runs | None = None,
    wells: Mapping[str, xr.Dataset] | None = None,
) -> Path:
    """Write ``answer.md``, and its three figures in ``pictures``, into ``folder``; return the path of the page.

    ``runs`` by name, ``SIZE/PROTOCOL``; ``controls`` by size; ``model``: runs of the isotropic noise model by protocol.
    ``wells``: of :func:`weightgas.training.harmonic_wells`, by the name of the run.
    """
    shown = settled(runs)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    drawn = (
        figures.anisotropy(shown, controls=_reference(controls)),
        figures.loss_dependence(shown),
        figures.finite_step(shown, controls=_reference(controls)),
    )
    for name, figure in zip(_FIGURES, drawn, strict=True):
        figure.savefig(folder / "pictures" / name, dpi=170)
    path = folder / "answer.md"
    write_atomically(path, page(runs, controls, command, model, wells))
    return path


def _reference(controls: Controls) -> dict[str, Findings]:
    """The controls of one size, the middle one if possible."""
    return {n: c.findings for n, c in (controls.get("middle") or next(iter(controls.values()), {})).items()}


def settled(runs: Runs) -> dict[str, Findings]:
    """The runs with a cell in equilibrium, by their names in figures and tables."""
    return {
        f"{TITLES.get(name.split('/')[0], name)}, {plain(name.split('/')[1])}": run
        for name, run in runs.items()
        if run.settled.any()
    }


def page(
    runs: Runs,
    controls: Controls,
    command: str,
    model: Runs | None = None,
    wells: Mapping[str, xr.Dataset] | None = None,
) -> str:
    """The page as Markdown: every block between comments with its name, every number computed from the arguments."""
    parts = ["# Are networks an ideal gas?", "<!-- test: none, numbers from the command named below -->"]
    for name, text in blocks(runs, controls, command, model, wells).items():
        parts.append(f"<!-- {name} -->\n\n{text}\n\n<!-- end -->")
    parts += [f"![{caption.split('.')[0]}](pictures/{name})\n\n{caption}" for name, caption in _FIGURES.items()]
    return "\n\n".join(parts) + "\n"


def blocks(
    runs: Runs,
    controls: Controls,
    command: str,
    model: Runs | None = None,
    wells: Mapping[str, xr.Dataset] | None = None,
) -> dict[str, str]:
    """The parts of the page by name; ``short`` also stands in README and the results."""
    why = {name: explanation.medians(run) for name, run in settled(runs).items()}
    elsewhere = "The model was not run here: its numbers are in [results](index.md#the-isotropic-noise-model)."
    return {
        "command": f"Regenerated by `{command}`, seed 0; the figures too. Values are means with one standard error "
        "over the cells in equilibrium; an ideal gas has 1 where nothing else is written.",
        "short": short(runs),
        "model": markdown(claims.HEAD, [c.row for c in claims.of_model(model)]) if model else elsewhere,
        "networks": markdown(claims.HEAD, [c.row for c in claims.of_networks(runs)]),
        "hypotheses": _hypotheses(runs, _reference(controls)),
        "levels": _levels(runs, controls),
        "explained": explanation.sentences(why),
        "reasons": explanation.reasons(settled(runs), why),
        "wells": explanation.wells(runs, wells or {}),
    }


def short(runs: Runs) -> str:
    """The outcome: the number of runs with each answer, and a table of the measurements over the runs."""
    verdicts = [run.verdict for run in runs.values()]
    keys = (Key.COMPRESSIBILITY, Key.GAS_LAW, Key.ENERGY_LAW, Key.HEAT_CAPACITY, Key.BAND, *TESTS["C"][:3])
    rows = []
    for key in keys:
        checks = [c for v in verdicts for c in (v.checks(key) if key is Key.BAND else [v.check(key)]) if c]
        if span := span_of(c.value for c in checks if c.outcome or key is not Key.BAND):
            rows.append((key.label, key.hypothesis or "identity", span, "1"))
    return "\n\n".join([counted(verdicts), markdown(("check", "tests", "networks", "ideal gas"), rows)])


def verdict_table(ran: Mapping[str, Findings], controls: Mapping[str, Control]) -> str:
    """The three levels of runs and of their controls, one row each, the third by hypotheses."""
    head = ("", "1 stationary", "2 identities", Key.COMPRESSIBILITY.label, "Maxwell", "A", "pV/RT", "C_V/R", "B", "C")
    rows = [_row(plain(name), run) for name, run in ran.items()]
    rows += [_row(f"*control: {name}*", control.findings) for name, control in controls.items()]
    return markdown((*head, *(key.label for key in TESTS["C"][:3]), "hottest/coldest group"), rows)


def _row(name: str, run: Findings) -> tuple[str, ...]:
    verdict = run.verdict
    one, two, _ = (level.answer for level in verdict.levels)
    cells, maxwell = verdict.check(Key.CELLS), verdict.check(Key.MAXWELL)
    slope = "–" if maxwell is None else f"{_number(maxwell)} ({maxwell.expected:.4g})"
    a, b, c = (f"**{hypothesis.outcome}**" for hypothesis in verdict.hypotheses)
    return (
        name, f"{one}, {cells.note}" if cells and cells.note else one, two, _number(verdict.check(Key.COMPRESSIBILITY)),
        slope, a, _number(verdict.check(Key.GAS_LAW)), _number(verdict.check(Key.HEAT_CAPACITY)), b, c,
        *(_number(verdict.check(key)) for key in TESTS["C"][:3]), _number(verdict.check(Key.GROUP_TEMPERATURES)),
    )  # fmt: skip


def _levels(runs: Runs, controls: Controls) -> str:
    """A heading and a table for each size, and the cells that are not in equilibrium."""
    parts = []
    for size in kinds(runs):
        ran = select(runs, size)
        about, title = next(iter(ran.values())).state.attrs, TITLES.get(size, size)
        parts.append(
            f"### {title[0].upper()}{title[1:]}: {about['network']}, {about['dim']} weights, {about['steps']} steps"
        )
        parts.append(verdict_table(ran, controls.get(size, {})))
        parts.append(_unsettled(ran))
    return "\n\n".join(part for part in parts if part)


def _hypotheses(runs: Runs, controls: Runs) -> str:
    """For A, B and C: a heading, and a table with the outcome and every check of each run and control."""
    named = {
        f"{TITLES.get(n.split('/')[0], n.split('/')[0])}, {plain(n.split('/')[1])}": run for n, run in runs.items()
    }
    rows = {name: run.verdict.hypotheses for name, run in (named | _marked(controls)).items()}
    parts = []
    for index, (letter, title) in enumerate(HYPOTHESES.items()):
        each = {name: hypotheses[index] for name, hypotheses in rows.items()}
        parts += [f"### {letter}: {title}", _one_hypothesis(letter, each)]
    return "\n\n".join(parts)


def _marked(controls: Runs) -> dict[str, Findings]:
    return {f"*control: {name}*": run for name, run in controls.items()}


def _rank(check: Check) -> int:
    """The first number in the name of a band."""
    return next((int(word) for word in check.of.split() if word.isdigit()), 0)


def _one_hypothesis(letter: str, each: Mapping[str, Hypothesis]) -> str:
    """The table of one hypothesis: a dagger marks a number that is shown and not judged."""
    found = [c for h in each.values() for c in h.checks if np.isfinite(c.value)]
    columns = dict.fromkeys(c.name for c in (sorted(found, key=_rank) if letter == "B" else found))
    rows: list[tuple[str, ...]] = []
    lacking: dict[str, list[str]] = {}
    for name, hypothesis in each.items():
        found = {c.name: c for c in hypothesis.checks}
        cells = [
            _number(c) + "†" * (not c.outcome) if (c := found.get(k)) and np.isfinite(c.value) else "–" for k in columns
        ]
        rows.append((name, f"**{hypothesis.outcome}**", *cells))
        missing = [c.note for c in hypothesis.checks if c.outcome and not np.isfinite(c.value) and c.note]
        lacking |= {note: [*lacking.get(note, []), name] for note in missing}
    notes = [f"Not measured in {', '.join(names)}: {note}." for note, names in lacking.items()]
    return "\n\n".join([markdown(("", "outcome", *columns), rows), *notes])


def _unsettled(runs: Runs) -> str:
    """One line on the cells that are not in equilibrium."""
    found = []
    for name, run in runs.items():
        rates = run.state["elr"].values[~run.settled]
        rates = rates[np.isfinite(rates)]
        if len(rates):
            count = int((~run.settled).sum())
            found.append(f"{plain(name)}: {count} cells, η_e {rates.min():.2g} to {rates.max():.2g}")
    return f"Not in equilibrium and excluded: {'; '.join(found)}." if found else ""


def _number(check: Check | None) -> str:
    return "–" if check is None else with_error(check.value, check.error)
