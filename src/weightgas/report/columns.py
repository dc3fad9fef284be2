"""The values that a report shows of every cell, with standard errors and the predictions of theory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from weightgas.analysis.annealing import annealing
from weightgas.analysis.cells import axes, spaced
from weightgas.analysis.curves import model_values
from weightgas.analysis.findings import Findings
from weightgas.quantities import DERIVED, Quantity, of
from weightgas.report.guard import attempt
from weightgas.trace import kind_of

MOST_CELLS = 2000
"""The most cells of a run on a page; of more, a coarser grid is shown, or this many evenly spaced cells."""
DIGITS = 5
"""Least significant digits of a value; it has more if the second digit of its standard error requires them."""
NOISE = 1e-13
"""A value and an error below this share of the largest value of their column are rounding errors of zero."""


@dataclass(frozen=True)
class Column:
    """A quantity of every cell: its description, its group on the page, values, errors and predictions (or None)."""

    quantity: Quantity
    group: str
    value: np.ndarray
    error: np.ndarray | None = None
    theory: np.ndarray | None = None


_LAWS = "laws and reasons"
_GROUPS = {
    "state": "temperature pressure volume radius energy entropy entropy_direction compressibility elr "
    "energy_variance helmholtz gibbs",
    "noise and curvature": "grad_sq noise_trace noise_var mean_grad_sq signal_to_noise noise_dim step_curvature "
    "laplacian",
    "other estimates": "temperature_conf conf_ratio temperature_virial temperature_conf_corrected pressure_thermal "
    "pressure_signal temperature_conf_far log_radius log_radius_entropy",
    "stationarity": "ess ess_radius ess_share ess_direction rhat relaxations share_relaxations energy_relaxations "
    "turns radius_trend energy_trend share_trend noise_trend radius_trend_z energy_trend_z share_trend_z slow_between "
    "slow_lowest slow_z correlation correlation_radius burn_in samples_kept",
}
_HIDDEN = ("status", "regime", "reason", "measured_from", "known")
_REASONS = {
    "fluctuation": ("(Var U/T²)/R", "fluctuation of the energy over that of an ideal gas"),
    "anisotropy": ("dof/d_eff", "degrees of freedom over the effective rank of the noise"),
    "alignment": ("dof tr HΣ/(ΔL tr Σ)", "alignment of noise and curvature, which T_conf/T measures"),
    "dependence": ("1/(1 − bRT/U)", "what the dependence of the noise on the loss adds to the fluctuation"),
    "finite_step": ("ηₑκ/2", "step times curvature that the noise sees"),
    "exponent": ("d ln tr Σ/d ln L", "exponent of the noise in the loss, within the cell"),
}
_VIRIAL = {
    "cost": ("U − L(m)", "loss above that of the mean weights"),
    "exponent": ("n", "exponent of the loss along rays from the mean weights"),
}


def shown(state: xr.Dataset) -> np.ndarray:
    """Indices of the cells on the page: all, or with more than :data:`MOST_CELLS` those of a coarser grid."""
    count = state.sizes["cell"]
    if count <= MOST_CELLS:
        return np.arange(count)
    first, second = (np.unique(values, return_inverse=True) for values in axes(state).values())
    for most in range(int(MOST_CELLS**0.5) * 4, 1, -1):
        kept = [np.isin(number, spaced(len(values), most)) for values, number in (first, second)]
        found = np.flatnonzero(kept[0] & kept[1])
        if len(found) <= MOST_CELLS:
            break
    return found if len(found) >= MOST_CELLS / 4 else spaced(count, MOST_CELLS)


def columns(run: Findings, notes: list[str]) -> list[Column]:
    """All columns of a run, hyperparameters first; an analysis that fails gives a note in place of its columns."""
    state = run.state
    found = [Column(of(name), "hyperparameters", value) for name, value in axes(state).items()]
    known = {c.quantity.name for c in found}
    theory = attempt(f"No predictions: {run.title}", lambda: _theory(run), notes) or {}
    for group, names in _ordered(state):
        for name in names:
            if name in known:  # fixed by the protocol
                continue
            error = state[f"{name}_err"].values if f"{name}_err" in state else None
            found.append(Column(_record(state, name), group, state[name].values, error, theory.get(name)))
    for what, make in _ANALYSES.items():
        found += attempt(f"{what}: {run.title}", lambda make=make: list(make(run)), notes) or []
    return [c for c in found if np.isfinite(c.value).any()]


def _ordered(state: xr.Dataset) -> Iterator[tuple[str, list[str]]]:
    """The names of the quantities of a state with one number a cell, by group; those without a group are last."""
    names = [str(n) for n, x in state.data_vars.items() if x.dims == ("cell",) and x.dtype.kind in "fiu"]
    names = [n for n in names if n not in _HIDDEN and not n.endswith(("_err", "_scatter", "_flag"))]
    taken: list[str] = []
    for group, listed in _GROUPS.items():
        here = [n for n in listed.split() if n in names]
        taken += here
        yield group, here
    rest = sorted(n for n in names if n not in taken)
    entropies = [n for n in rest if n.startswith("entropy_")]
    yield "entropies by estimator", entropies
    yield "custom and further", [n for n in rest if n not in entropies]


def _record(state: xr.Dataset, name: str) -> Quantity:
    """The description of a quantity: that of the library, or from the attributes of a custom variable."""
    if name in DERIVED:
        return DERIVED[name]
    about = state[name].attrs
    return Quantity(
        name,
        str(about.get("long_name", "")) or of(name).long_name,
        str(about.get("symbol", "")) or of(name).symbol,
        units=str(about.get("units", "1")),
        dims=(),
    )


def _theory(run: Findings) -> dict[str, np.ndarray]:
    """Predictions for the same cells, by name."""
    state = run.state
    found = {"compressibility": run.state_equation["expected"].values}
    if not kind_of(state).projected:
        found["radius"] = run.radius_law["discrete"].values
        found["volume"] = found["radius"] ** 2 / 2
    if "pressure_discrete" in run.state_equation:
        found["pressure"] = run.state_equation["pressure_discrete"].values
    if "noise_trace" in state and "mean_grad_sq" in state:
        found["temperature"] = run.temperature_law["discrete"].values
    if run.is_model:
        model = model_values(state)
        found |= {str(name): model[name].values for name in model.data_vars}
    return found


def _laws(run: Findings) -> Iterator[Column]:
    law, state_law = run.radius_law, run.state_equation
    of_radius = Quantity("radius_ratio", "radius over its prediction from G", "r/r*", dims=())
    yield Column(of_radius, _LAWS, law["ratio_discrete"].values, law["ratio_err"].values, np.ones(len(law["cell"])))
    of_state = Quantity("state_ratio", "Z over (1 + SNR)/(1 − ηλ/2)", "Z/Z*", dims=())
    yield Column(of_state, _LAWS, state_law["ratio"].values, state_law["ratio_err"].values, np.ones(len(law["cell"])))


def _reasons(run: Findings) -> Iterator[Column]:
    found = run.reasons
    for name, (symbol, words) in _REASONS.items():
        theory = found["explained"].values if name == "fluctuation" else None
        record = Quantity(name, words, symbol, dims=())
        yield Column(record, _LAWS, found[name].values, found[f"{name}_err"].values, theory)


def _annealing(run: Findings) -> Iterator[Column]:
    if {"pressure_thermal", "pressure_signal", "step_curvature"} <= set(run.state.variables):
        found = annealing(run.state)
        record = Quantity("annealing_fall", "fall of the loss if the learning rate is divided by 20", "ΔU₂₀", dims=())
        yield Column(record, _LAWS, found["fall"].values, found["fall_err"].values)


def _virial(run: Findings) -> Iterator[Column]:
    if run.cost is not None:
        for name, (symbol, words) in _VIRIAL.items():
            if name in run.cost:
                record = Quantity(f"virial_{name}", words, symbol, dims=())
                theory = run.cost["heat"].values if name == "cost" and "heat" in run.cost else None
                yield Column(record, _LAWS, run.cost[name].values, run.cost[f"{name}_err"].values, theory)


_ANALYSES: Mapping[str, Callable[[Findings], Iterator[Column]]] = {
    "No laws": _laws,
    "No reasons": _reasons,
    "No annealing gain": _annealing,
    "No virial law": _virial,
}


def floored(values: np.ndarray, errors: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """The values and errors of a column; zero where both are rounding errors of its largest value."""
    good = np.abs(values[np.isfinite(values)])
    if errors is None or not good.size:
        return values, errors
    with np.errstate(all="ignore"):
        noise = (np.abs(values) < NOISE * good.max()) & (np.abs(errors) < NOISE * good.max())
    return np.where(noise, 0.0, values), np.where(noise, 0.0, errors)


def rounded(values: Any, errors: Any = None) -> list[float | None]:
    """Numbers with five significant digits, or more if the second digit of their errors requires; None for NaN."""
    values = np.asarray(values, float)
    digits = np.full(values.shape, DIGITS)
    if errors is not None:
        with np.errstate(all="ignore"):
            wanted = np.floor(np.log10(np.abs(values) / np.asarray(errors, float))) + 3
        digits = np.clip(np.where(np.isfinite(wanted), wanted, DIGITS), DIGITS, 15).astype(int)
    return [_short(float(f"{v:.{d}g}")) if np.isfinite(v) else None for v, d in zip(values, digits, strict=True)]


def _short(value: float) -> float:
    """The same number, as an int if it has no fraction, so that JSON writes it without a point."""
    return int(value) if value.is_integer() and abs(value) < 1e15 else value
