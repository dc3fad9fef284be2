"""The data of a report as plain values, for the page, for ``report --json`` and for its version in Markdown."""

from __future__ import annotations

from typing import Any

import numpy as np

from weightgas import __version__, quantities
from weightgas.analysis.cells import axes
from weightgas.analysis.checks import HYPOTHESES, Key, Verdict
from weightgas.analysis.findings import Findings
from weightgas.figures.canvas import plain
from weightgas.report import advice, columns, series, words
from weightgas.report.columns import rounded
from weightgas.report.content import Content, System
from weightgas.report.guard import attempt
from weightgas.report.numbers import text_of
from weightgas.report.paper import paper
from weightgas.status import Status
from weightgas.trace import kind_of

FORMAT = 1
_EXPLAINED = {Key.FLUCTUATION: "explained", Key.CONFIGURATIONAL: "alignment"}
"""The prediction of the reasons for a check of level 3, which uses no fluctuation of the energy."""


def data(content: Content) -> dict[str, Any]:
    """Systems, runs and quantities of a report in JSON types; numbers have five digits or more, null stands for NaN."""
    runs: list[dict[str, Any]] = []
    notes = [str(note) for note in content.notes]
    known: dict[str, dict[str, str]] = {}
    systems = [_system(number, system, runs, known, notes) for number, system in enumerate(content.systems)]
    return {
        "format": FORMAT,
        "title": content.title,
        "version": __version__,
        "systems": systems,
        "runs": runs,
        "quantities": known,
        "statuses": [{"name": s.words, "advice": s.advice} for s in Status],
        "hypotheses": dict(HYPOTHESES),
        "glossary": [list(entry[:2]) for entry in quantities.glossary()],
        "notes": list(dict.fromkeys(notes)),
    }


def _system(
    number: int, system: System, runs: list[dict[str, Any]], known: dict[str, dict[str, str]], notes: list[str]
) -> dict[str, Any]:
    verdicts: dict[str, dict[str, Verdict]] = {}
    for role, found in (("run", system.runs), ("control", system.controls), ("unjudged", system.unjudged)):
        verdicts[role] = {}
        for name, run in found.items():
            verdict = None
            if role != "unjudged":
                verdict = attempt(f"No verdict on {run.title}", lambda run=run: run.verdict, notes)
            if verdict is not None:
                verdicts[role][name] = verdict
            runs.append(
                {"id": len(runs), "system": number, "role": role, **_run(name, run, verdict, role, known, notes)}
            )
    judged = {plain(name): v for name, v in verdicts["run"].items()}
    named = {plain(name): run for name, run in system.runs.items()}
    step = attempt(f"Nothing proposed for {system.title}", lambda: advice.next_step(named, notes), notes)
    return {
        "title": system.title,
        "sentence": words.sentence(system.title, system.runs, list(judged.values())),
        "cards": words.cards(system.runs, judged),
        "controls": words.controls(verdicts["control"]),
        "next": step or {"text": "", "command": ""},
        "paper": attempt(f"No comparison with the paper: {system.title}", lambda: paper(system.runs), notes)
        or {"numbers": [], "figures": []},
    }


def _run(
    name: str, run: Findings, verdict: Verdict | None, role: str, known: dict[str, dict[str, str]], notes: list[str]
) -> dict[str, Any]:
    """One run: its description, its checks, and its cells."""
    state, kept = run.state, columns.shown(run.state)
    about = state.attrs
    reasons = [str(r) for r in state["reason"].values[kept]] if "reason" in state else [""] * len(kept)
    out: dict[str, Any] = {
        "name": plain(name),
        "title": run.title,
        "protocol": kind_of(state).title,
        "axes": list(axes(state)),
        "projected": kind_of(state).projected,
        "R": float(about["dof"]) / 2,
        "steps": int(about["steps"]),
        "seed": None if about["producer"] == "watch" else int(about["seed"]),
        "producer": str(about["producer"]),
        "cells": int(state.sizes["cell"]),
        "index": [int(k) for k in kept] if len(kept) < state.sizes["cell"] else None,
        "status": [int(s) for s in state["status"].values[kept]],
        "reason": reasons if any(reasons) else [],
        "levels": [] if verdict is None else _levels(verdict),
        "expected": words.expectation(name, verdict) if role == "control" and verdict is not None else "",
        "explained": _explained(run) if role == "run" else {},
        "columns": {},
        "command": "",
    }
    for column in columns.columns(run, notes):
        value, error, theory = (None if x is None else x[kept] for x in (column.value, column.error, column.theory))
        value, error = columns.floored(np.asarray(value, float), error)
        entry: dict[str, Any] = {"value": rounded(value, error)}
        if error is not None:
            entry["error"] = rounded(error)
        if theory is not None and np.isfinite(theory).any():
            entry["theory"] = rounded(theory, error)
        out["columns"][column.quantity.name] = entry
        known.setdefault(column.quantity.name, _record(column))
    if role != "control":
        out["command"] = attempt(f"No command for a cell: {run.title}", lambda: advice.template(run), notes) or ""
        out["longer"] = advice.factors(run, kept)
        out["tests"] = attempt(f"No tests along temperature: {run.title}", lambda: _tests(run), notes) or {}
        out["series"] = None
        if run.trace is not None:
            made = attempt(
                f"No values along the steps: {run.title}",
                lambda: series.along(run.traced, kept, logarithmic=role == "unjudged"),
                notes,
            )
            out["series"] = made
            if "group_radius_star" in run.trace:
                out["watched"] = attempt(f"No groups: {run.title}", lambda: series.watched(run.traced), notes)
            if "temperature_group" in state and run.settled.any():
                out["layers"] = attempt(f"No layers: {run.title}", lambda: _layers(run), notes)
    return out


def _record(column: columns.Column) -> dict[str, str]:
    quantity = column.quantity
    return {
        "symbol": quantity.head,
        "name": quantity.long_name,
        "units": "" if quantity.units == "1" else quantity.units,
        "equation": quantity.equation,
        "group": column.group,
    }


def _levels(verdict: Verdict) -> list[dict[str, Any]]:
    return [
        {
            "number": level.number,
            "question": level.question,
            "answer": level.answer,
            "checks": [
                {
                    "key": str(c.key),
                    "hypothesis": c.key.hypothesis,
                    "name": c.name,
                    "value": rounded([c.value], [c.error])[0],
                    "error": rounded([c.error])[0],
                    "expected": rounded([c.expected])[0],
                    "outcome": c.outcome,
                    "text": text_of((c.value, c.error)) if np.isfinite(c.value) else "–",
                    "note": c.note,
                }
                for c in level.checks
            ],
        }
        for level in verdict.levels
    ]


def _explained(run: Findings) -> dict[str, list[float | None]]:
    """Median, smallest and largest prediction of the reasons over the cells in equilibrium, by the key of the check."""
    if run.trace is None or "noise_dim" not in run.state:
        return {}
    out = {}
    for key, name in _EXPLAINED.items():
        values = run.reasons[name].values[run.settled]
        values = values[np.isfinite(values)]
        if values.size:
            out[str(key)] = rounded([np.median(values), values.min(), values.max()])
    return out


def _tests(run: Findings) -> dict[str, Any]:
    """The tests of level 3 between neighbouring temperatures: ``temperature``, ``ratio`` and ``error``, 1 if Gibbs."""
    found = run.fluctuation
    out = {"(Var U/T²)/(dU/dT)": (found.temperature, found.ratio, found.ratio_err)}
    if run.trace is not None:
        slope = run.gibbs_slope
        with np.errstate(all="ignore"):
            out["Gibbs slope"] = (np.sqrt(slope.cold * slope.hot), slope.ratio, slope.ratio_err)
    conf = run.configurational
    out["T_conf/T"] = (conf.temperature, conf.ratio, conf.ratio_err)
    kept = {name: np.isfinite(ratio) for name, (_, ratio, _) in out.items()}
    return {
        name: {
            "temperature": rounded(t[kept[name]]),
            "ratio": rounded(ratio[kept[name]], error[kept[name]]),
            "error": rounded(error[kept[name]]),
        }
        for name, (t, ratio, error) in out.items()
        if kept[name].any() and kept[name].sum() <= columns.MOST_CELLS
    }


def _layers(run: Findings) -> dict[str, Any]:
    """The gas of each layer, mean over the cells in equilibrium, and the sums over layers, which are 1."""
    found = run.layers
    out: dict[str, Any] = {"part": [str(p) for p in found["part"].values]}
    for name in ("temperature_ratio", "pressure_ratio", "heat_share", "volume"):
        value, error = found[name].values, found[f"{name}_err"].values
        out[name] = {"value": rounded(value, error), "error": rounded(error)}
    out["groups"] = [int(g) for g in found["groups"].values]
    out["dof"] = [int(g) for g in found["dof"].values]
    out["sums"] = {name: text_of(float(f"{float(found[name]):.6g}")) for name in ("volume_sum", "work_sum", "heat_sum")}
    return out
