"""A forecast as text."""

from __future__ import annotations

import numpy as np

from weightgas.forecast.result import Forecast, GroupForecast

_COLUMNS = ("group", "r*", "clock", "angle", "settled", "frozen", "out of eq.", "r at end")


def render(forecast: Forecast) -> str:
    """Settings, one line a group, and what could not be told."""
    head = [str(forecast.settings)]
    if forecast.settings.wd:
        head.append(f"eta lambda {forecast.intrinsic_lr:.4g}" + (f", {forecast.steps} steps" if forecast.steps else ""))
    rows = [_COLUMNS, *(_row(forecast, group) for group in forecast.groups)]
    used = [i for i in range(len(_COLUMNS)) if i < 4 or any(row[i] != "-" for row in rows[1:])]
    width = {i: max(len(row[i]) for row in rows) for i in used}
    table = ["  ".join(row[i].ljust(width[i]) for i in used).rstrip() for row in rows]
    return "\n".join([*head, "", *table, *_notes(forecast)])


def _row(forecast: Forecast, group: GroupForecast) -> tuple[str, ...]:
    star = "-" if group.radius is None else f"{group.radius:.4g} {group.unit}".strip()
    end = group.radius_at(forecast.steps) if forecast.steps else None
    share = forecast.out_of_equilibrium(group.name)
    return (
        group.name,
        star,
        "-" if group.relaxation_time is None else f"{group.relaxation_time:.4g} steps",
        "-" if group.angle is None else f"{np.degrees(group.angle):.3g}°",
        "never" if share == 1 and group.settled is None else "-" if group.settled is None else f"step {group.settled}",
        "-" if group.frozen is None else f"step {group.frozen}",
        "-" if share is None else f"{share:.0%}",
        "-" if end is None else f"{end:.4g}",
    )


def _notes(forecast: Forecast) -> list[str]:
    """What holds, and what is missing."""
    settings, notes = forecast.settings, []
    if settings.wd == 0:
        powers = {"sgd": "r^4"}.get(settings.optimizer, "r^2")
        notes.append(
            f"wd = 0: no stationary norm; {powers} grows in proportion to the steps and the effective lr falls."
        )
        for group in forecast.groups:
            if group.growth is not None:
                notes.append(f"  {group.name}: r^{group.growth[0]} grows by {group.growth[1]:.4g} a step")
    else:
        notes.append(f"Holds when {settings.law().holds_when}.")
    unit = {group.unit for group in forecast.groups if group.unit}
    if unit and settings.wd:
        notes.append(
            f"r* in units of {', '.join(sorted(unit))}: pass what is missing (grad_sq = G, dim = d, update_sq)."
        )
    if settings.wd and any(group.radius is None for group in forecast.groups):
        notes.append("No stationary norm: eta lambda is beyond the stable range.")
    if settings.wd and any(group.relaxation_time is None for group in forecast.groups):
        notes.append("No clock: it needs dim and grad_sq here.")
    return ["", *notes]
