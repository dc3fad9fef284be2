"""Level 3: the checks that can tell an ideal gas from another, drawn beside null gases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weightgas.analysis.fluctuation import fluctuation_response
from weightgas.analysis.gibbs import GibbsSlope
from weightgas.analysis.gibbs import gibbs_slope as analyse
from weightgas.errors import refuse
from weightgas.figures.canvas import (
    AXIS_NAMES,
    OKABE_ITO,
    canvas,
    drawn,
    legend,
    logarithmic,
    looks,
    marker,
    plain,
    with_error,
    zero_line,
)
from weightgas.figures.families import bars, what_ran


@drawn
def fluctuation(
    states: xr.Dataset | Mapping[str, xr.Dataset], *, nulls: Mapping[str, xr.Dataset] | None = None
) -> Figure:
    """(Var U/T²)/(dU/dT) between neighbouring temperatures: 1 for an ideal gas, more for noise that is not isotropic.

    The legend gives the value over the whole range of temperature, which has more power than its parts.

    Parameters
    ----------
    states
        A state, or states by name.
    nulls
        Null gases by name, drawn hollow.

    Raises
    ------
    ValueError
        Without any state.
    """
    named = _named(states)
    series = []
    for name, state, null in _with_nulls(named, nulls):
        f = fluctuation_response(state)
        series.append(_Series(name, null, f.temperature, f.ratio, f.ratio_err, f.whole, f.whole_err))
    title = what_ran(next(iter(named.values())))
    title = title if len(named) == 1 else title.split(": ", 1)[-1]
    return _ratios(series, r"$(\mathrm{Var}\,U/T^2)\,/\,(\mathrm{d}U/\mathrm{d}T)$", title)


@drawn
def gibbs_slope(items: Mapping[str, Any], *, nulls: Mapping[str, Any] | None = None) -> Figure:
    """Slope of ln P₂(U)/P₁(U) between neighbouring temperatures, measured/expected: 1 for Gibbs states.

    Parameters
    ----------
    items
        By name, either a :class:`weightgas.analysis.gibbs.GibbsSlope` or a pair (trace, state).
    nulls
        Null gases in the same form, drawn hollow.

    Raises
    ------
    ValueError
        Without any item.
    """
    if not items:
        raise refuse("items", "at least one run by name", items, "Pass {'name': (trace, state)}.")
    series = []
    for name, item, null in _with_nulls(items, nulls):
        g = item if isinstance(item, GibbsSlope) else analyse(*item)
        middle = np.sqrt(g.cold * g.hot)
        series.append(_Series(name, null, middle, g.ratio, g.ratio_err, g.mean, g.mean_err, g.advice))
    return _ratios(series, "Gibbs slope of the energies\n" + r"over $1/T_1-1/T_2$", "Neighbouring temperatures")


@dataclass(frozen=True)
class _Series:
    """Ratios of one run over temperature, and that of the whole."""

    name: str
    null: bool
    temperature: np.ndarray
    ratio: np.ndarray
    error: np.ndarray
    whole: float
    whole_error: float
    advice: str = ""


def _with_nulls(items: Mapping[str, Any], nulls: Mapping[str, Any] | None) -> list[tuple[str, Any, bool]]:
    return [(k, v, False) for k, v in items.items()] + [(k, v, True) for k, v in (nulls or {}).items()]


def _named(states: xr.Dataset | Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    named = {what_ran(states): states} if isinstance(states, xr.Dataset) else dict(states)
    if not named:
        raise refuse("states", "at least one state", named, "Pass the result of measure().")
    return named


def _ratios(series: list[_Series], label: str, title: str) -> Figure:
    """Ratios over temperature with error bars, 1 marked, the value of the whole in the legend."""
    figure, ((ax,),) = canvas(height=3.2 + 0.2 * len(series))
    handles = []
    for one, (color, shape) in zip(series, looks(s.name for s in series), strict=True):
        good = np.isfinite(one.ratio)
        t, ratio, error = one.temperature[good], one.ratio[good], one.error[good]
        bars(ax, t, ratio, error, color, shape=shape, hollow=one.null)
        ax.plot(t, ratio, color=color, lw=0.6, alpha=0.5, zorder=1)
        text = f"{plain(one.name)}{' (null gas)' if one.null else ''}: "
        known = np.isfinite(one.whole)
        text += with_error(one.whole, one.whole_error) if known else one.advice or "no two temperatures"
        handles.append(marker(text, color, shape, hollow=one.null))
    zero_line(ax, 1.0)
    ax.axhspan(0.95, 1.05, color=OKABE_ITO[0], alpha=0.08, lw=0)
    _limits(ax, *(np.concatenate([getattr(s, name) for s in series]) for name in ("ratio", "error")))
    logarithmic(ax.xaxis, np.concatenate([s.temperature[np.isfinite(s.ratio)] for s in series]))
    ax.set(xlabel=AXIS_NAMES["temperature"], ylabel=label)
    ax.text(1.0, 1.0, " ideal gas", transform=ax.get_yaxis_transform(), va="center", fontsize=8)
    legend(figure, handles, title, columns=1)
    return figure


def _limits(ax: Axes, values: np.ndarray, errors: np.ndarray) -> None:
    """Keep the ideal value and the points in sight whatever one error bar does; far from 1 the scale is logarithmic."""
    good = np.isfinite(values)
    values, errors = values[good], np.nan_to_num(errors[good])
    low, high = min([0.9, *values]), max([1.1, *values])
    if high > 10 or low < -10:
        ax.set_yscale("symlog", linthresh=1.0, linscale=0.5)
        ax.set_ylim(-2.0 * abs(low) if low < 0 else 0.0, 2 * high)
        return
    span = high - low
    low = max(min([low, *(values - errors)]), low - span / 2)
    high = min(max([high, *(values + errors)]), high + span / 2)
    ax.set_ylim(low - 0.05 * span, high + 0.05 * span)
