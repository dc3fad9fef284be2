"""The reasons why networks are no ideal gas, as the tables and sentences of the answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import xarray as xr

from weightgas.analysis.cells import isotherms
from weightgas.analysis.findings import Findings
from weightgas.rounding import with_error

Runs = Mapping[str, Findings]
Medians = Mapping[str, Mapping[str, float]]
WILD = 2.0
"""Factor above which the dependence of the noise on the loss is called strong."""


def sentences(why: Medians) -> str:
    """The explanations by the reasons, in words."""
    lines = []
    spans = {name: span_of(w[name] for w in why.values()) for name in ("directions", "fluctuation")}
    dof = (
        " to ".join(f"{v:.0f}" for v in sorted({f(w["dof"] for w in why.values()) for f in (min, max)})) if why else ""
    )
    if spans["directions"]:
        predicted = span_of(w["unexplained"] for w in why.values()) or "unknown"
        lines.append(
            f"The noise of mini-batches has {spans['directions']} effective directions of {dof} degrees of "
            f"freedom. The fluctuation (Var U/T²)/R is {spans['fluctuation']} where an ideal gas has 1; over what the "
            f"three reasons explain at most it is {predicted} (medians of the runs)."
        )
    if wild := {name: w for name, w in why.items() if w["dependence"] > WILD}:
        sizes = ", ".join(sorted({name.split(",")[0] for name in wild}))
        lines.append(
            f"In {len(wild)} of the runs ({sizes}) the dependence of the noise on the loss alone multiplies the "
            f"fluctuations by more than {WILD:g}. There 5 % of the samples of a cell hold up to "
            f"{max(w['bursts'] for w in wild.values()):.0%} of the variance of its energy (28 % in a normal "
            "distribution)."
        )
    return "\n\n".join(lines) or "No cell is in equilibrium."


def reasons(runs: Runs, why: Medians) -> str:
    """Medians of the reasons, and the ratio of measured to explained values by isotherm."""
    head = (
        "median over cells in equilibrium", "(Var U/T²)/R", "explained, at most", "d_eff", "(d−1)/d_eff, a bound", "b",
        "1/(1 − bRT/U)", "η_eκ/2", "(1 − η_eκ/2)⁻²", "T_conf/T", "alignment/(1 − η_eκ/2)",
    )  # fmt: skip
    rows = [
        (
            name, f"{w['fluctuation']:.3g}", f"{w['explained']:.3g}", f"{w['directions']:.3g} of {w['dof']:.0f}",
            f"{w['anisotropy']:.3g}", f"{w['exponent']:.2g}", f"{w['dependence']:.3g}", f"{w['finite_step']:.2g}",
            f"{w['step_factor']:.3g}", f"{w['conf_ratio']:.3g}", f"{w['alignment'] / (1 - w['finite_step']):.3g}",
        )
        for name, w in why.items()
    ]  # fmt: skip
    each = {name: _by_isotherm(run) for name, run in runs.items()}
    most = max((len(row) for row in each.values()), default=0)
    columns = ("T/T₁: measured/explained", *(f"isotherm {k + 1}" for k in range(most)))
    cells = [(name, *row, *["–"] * (most - len(row))) for name, row in each.items()]
    return f"{markdown(head, rows)}\n\n{markdown(columns, cells)}"


def wells(runs: Runs, wells: Mapping[str, xr.Dataset]) -> str:
    """The prediction from H and Σ as matrices for each cell; the ratio is to its value at this step, times the
    dependence of the noise on the loss."""
    head = (
        "", "T", "η_eh_max", "(Var U/T²)/R", "bound", "of H and Σ, small step", "at this step",
        "measured/(at this step · dependence)",
    )  # fmt: skip
    rows = []
    for name, found in wells.items():
        run, well = runs[name], found.mean("replica")
        why, seen = run.reasons, run.reasons["fluctuation"].values
        explained = well["at_step"].values * why["dependence"].values
        error = np.hypot(why["fluctuation_err"] / seen, why["dependence_err"] / why["dependence"]) * seen / explained
        for i in np.flatnonzero(run.settled):
            numbers = (well[n].values[i] for n in ("steepest", "bound", "formula", "at_step"))
            steep, bound, formula, at_step = (f"{x:.3g}" if np.isfinite(x) else "–" for x in numbers)
            t, fluctuation = f"{run.state['temperature'].values[i]:.3g}", f"{seen[i]:.3g}"
            ratio = with_error(seen[i] / explained[i], float(error[i]))
            rows.append((name.replace("/", ", "), t, steep, fluctuation, bound, formula, at_step, ratio))
    return markdown(head, rows) if rows else "No matrices were made here: `weightgas.training.harmonic_wells`."


def _by_isotherm(run: Findings) -> list[str]:
    """``T/T₁: ratio ± error`` of every isotherm from cold to hot: the mean over its cells, with its error."""
    number, t = isotherms(run.state), run.state["temperature"].values
    ratio, error = run.reasons["unexplained"].values, run.reasons["unexplained_err"].values
    number = np.where(np.isfinite(ratio) & np.isfinite(error), number, -1)
    rows = []
    for k in np.unique(number[number >= 0]):
        here = number == k
        rows.append((t[here].mean(), ratio[here].mean(), np.sqrt(np.sum(error[here] ** 2)) / here.sum()))
    rows.sort()
    return [f"{temperature / rows[0][0]:.2f}: {with_error(r, e)}" for temperature, r, e in rows]


def medians(run: Findings) -> dict[str, float]:
    """Medians over the cells in equilibrium of the reasons, and how concentrated the variance of the energy is."""
    out = {}
    for name, values in run.reasons.items():
        known = values.values[run.settled]
        out[str(name)] = float(np.nanmedian(known)) if np.isfinite(known).any() else float("nan")
    dof = float(run.state.attrs["dof"])
    bursts = max((_share_of_top(run, int(i)) for i in np.flatnonzero(run.settled)), default=float("nan"))
    return out | {"dof": dof, "directions": dof / out["anisotropy"], "bursts": bursts}


def _share_of_top(run: Findings, cell: int) -> float:
    """Share of the variance of the energy of a cell from the 5 % of its samples furthest from the mean."""
    begin, end = int(run.state["burn_in"].values[cell]), int(run.traced["samples"].values[cell].min())
    energy = run.traced["energy"].values[cell, :, begin:end]
    squares = np.sort((energy - energy.mean(axis=1, keepdims=True)).ravel() ** 2)
    return float(squares[-max(1, round(0.05 * squares.size)) :].sum() / squares.sum())


def span_of(values: Iterable[float]) -> str:
    """``9.1 to 19``, or one number if both ends are equal in print; empty without a finite value."""
    finite = [v for v in values if np.isfinite(v)]
    if not finite:
        return ""
    low, high = (f"{v:.2g}" if v < 100 else f"{float(f'{v:.2g}'):.0f}" for v in (min(finite), max(finite)))
    return low if low == high else f"{low} to {high}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
