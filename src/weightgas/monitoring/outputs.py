"""A watched run as text, as a table and as a trace."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from rich.table import Table

from weightgas import trace as traces
from weightgas.errors import refuse
from weightgas.monitoring import summary
from weightgas.monitoring.probe import Ledger, Probe
from weightgas.monitoring.record import Record
from weightgas.protocols import FixedLR
from weightgas.status import Outcome, Status

if TYPE_CHECKING:
    from weightgas.monitoring.gas import Gas
    from weightgas.monitoring.summary import GroupState

_TANGENT = 0.02
"""|cos(w, g)| above which a group does not look scale-invariant."""
_STILL = 1e-6
_COLUMNS = ("group", "d", "r", "r*", "η/r²", "angle", "clock", "to go", "T", "Z", "T_conf", "status")
_LEFT = ("group", "status")
_MOST_ROWS = 40
"""Of more groups those farthest from r* are shown, and how the others do."""
_SHOWN = 20


def notes(ledger: Ledger, probe: Probe | None, record: Record, names: tuple[str, ...]) -> list[str]:
    """What happened that bears on the numbers."""
    out = []
    if ledger.nonfinite is not None:
        out.append(f"a gradient or weight was not finite at step {ledger.nonfinite}; the run goes on")
    if ledger.failure:
        out.append(f"a sample failed and the hooks stopped: {ledger.failure}")
    elif probe is not None and probe.removed:
        out.append(f"the hooks are off the optimizer: nothing was seen after step {ledger.steps}; watch it again")
    if probe is not None and probe.neighbours:
        out.append(f"watched {probe.neighbours + 1} times: each watch reads, and costs, by itself")
    if ledger.unmoved:
        out.append(f"{ledger.unmoved} samples of steps that moved no weight are left out")
    if ledger.clipped:
        out.append(
            f"gradients are clipped at norm {ledger.largest_norm:.3g} in {ledger.clipped:.0%} of the samples: G is "
            "that of clipped gradients; r* holds at the present norm, and clipping slows the way there"
        )
    if len(record):
        tangency, between = np.abs(record["tangency"]), np.abs(record["between"])
        with np.errstate(all="ignore"):
            off = np.nanmean(np.where(np.isfinite(tangency), tangency, 0.0), axis=0)
        for k in np.flatnonzero(off > _TANGENT):
            out.append(
                f"{names[k]}: cos(w, g) is {off[k]:.2g} on average, so it is not scale-invariant; r* does not hold"
            )
        if np.nanmax(between) > _STILL:
            out.append(
                "weights change between steps (a projection or a constraint?): the budget does not hold that part"
            )
    return out


def _rows(found: list[GroupState]) -> list[tuple[str, ...]]:
    """Head and one row a group; columns that no group has anything in are left out."""
    if len(found) > _MOST_ROWS:
        found = sorted(found, key=_distance, reverse=True)[:_SHOWN]
    rows = [_COLUMNS, *map(_cells, found)]
    used = [k for k, name in enumerate(_COLUMNS) if name != "T_conf" or any(row[k] != "–" for row in rows[1:])]
    return [tuple(row[k] for k in used) for row in rows]


def _distance(state: GroupState) -> float:
    """How far a group is from where it goes; unknown is far."""
    far = abs(np.log(state.radius / state.radius_star)) if state.radius_star > 0 else np.inf
    return far if state.status == Status.EQUILIBRIUM else far + 1


def _cells(state: GroupState) -> tuple[str, ...]:
    def short(value: float, form: str = ".3g") -> str:
        return format(value, form) if np.isfinite(value) else "–"

    thermal = [short(state.temperature), short(state.compressibility)]
    conf = short(state.temperature_conf, ".2g")
    if np.isfinite(state.temperature_conf_err):
        conf += f" ± {state.temperature_conf_err:.1g}"
    return (
        state.name, f"{state.size}", short(state.radius, ".4g"), short(state.radius_star, ".4g"), short(state.elr),
        short(state.angle), short(state.clock), short(state.steps_to_go, ".2g"), *thermal, conf,
        state.status.words,
    )  # fmt: skip


def _head(gas: Gas) -> list[str]:
    every = f"a sample every {gas.every} steps" if gas.every else "no sample"
    cost = "" if np.isnan(gas.cost) else f"; {gas.cost:.2%} of the time in hooks"
    lines = [f"{gas.name}: {gas.steps} steps, {len(gas.record)} samples, {every}{cost}"]
    lines.append("groups as given" if gas.source == "given" else f"groups from {gas.source}")
    rules = dict.fromkeys(rule.title for rule in gas.rules)
    return [*lines, *rules]


def _foot(gas: Gas, found: list[GroupState]) -> list[str]:
    lines = [f"{s.name}: {s.reason}" for s in found if s.reason and s.status != Status.EQUILIBRIUM][:6]
    if len(found) > _MOST_ROWS:
        counts = Counter(s.status.words for s in found)
        told = ", ".join(f"{count} {name}" for name, count in counts.most_common())
        lines.append(f"{len(found)} groups, the {_SHOWN} farthest from r* shown: {told}")
    if any(np.isnan(s.temperature) for s in found):
        only = "; T_conf needs no mobility" if any(np.isfinite(s.temperature_conf) for s in found) else ""
        lines.append(f"T and Z: not applicable where the optimizer is not SGD with weight decay{only}")
    value, error = summary.whole_configurational(gas.record) if len(found) > 1 else (np.nan, np.nan)
    if np.isfinite(value):
        lines.append(f"all groups together: T_conf {value:.2g} ± {error:.1g}")
    lines += scores(gas, found)
    return [*lines, *(f"note: {n}" for n in gas.notes())]


def scores(gas: Gas, found: list[GroupState]) -> list[str]:
    """One line for each group that was forecast and has settled, and for each of the given forecast."""
    own, given = gas.forecasts(), given_radii(gas.forecast, gas.names, gas.steps)
    scheduled, lines = bool(getattr(gas.forecast, "scheduled", False)), []
    for state in found:
        there = state.status == Status.EQUILIBRIUM and not (scheduled and state.name in given)
        if state.name in given:
            told, what = given[state.name], f"forecast {f'r at step {gas.steps}' if scheduled else 'r*'}"
        elif state.name in own and there:
            step, told, _ = own[state.name]
            what = f"forecast at step {step} r*"
        else:
            continue
        radius, verb = (state.radius_mean, "settled at") if there else (state.radius, "now")
        lines.append(f"{state.name}: {what} {told:.4g}, {verb} {radius:.4g} ({radius / told - 1:+.1%})")
    return lines


def given_radii(forecast: Any, names: tuple[str, ...], step: int) -> dict[str, float]:
    """Norm by group of a forecast of ``predict``, r* or under a schedule that of ``step``, or of a plain mapping."""
    if forecast is None:
        return {}
    if hasattr(forecast, "groups"):
        at = step if forecast.scheduled else None
        forecast = {g.name: forecast.expected(g.name, at) for g in forecast.groups}
    known = {n: forecast.get(n) for n in names}
    return {n: float(r) for n, r in known.items() if r is not None and np.isfinite(r)}


def unknown(forecast: Any, names: tuple[str, ...]) -> list[str]:
    """A note where a given forecast has names that are not watched: nothing could be scored by them."""
    told = [] if forecast is None else [g.name for g in forecast.groups] if hasattr(forecast, "groups") else forecast
    other = [str(name) for name in told if name not in names]
    return [f"the forecast is of {', '.join(other)}, not watched under that name"] if other else []


def text(gas: Gas) -> str:
    """The state as plain text."""
    found = gas.groups()
    if not found:
        return "\n".join([*_head(gas), "no sample is finished yet; it takes two steps", *_foot(gas, found)])
    rows = _rows(found)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(c.ljust(w) if name in _LEFT else c.rjust(w) for c, w, name in zip(r, widths, rows[0], strict=True))
        for r in rows
    ]
    return "\n".join([*_head(gas), *(line.rstrip() for line in lines), *_foot(gas, found)])


def table(gas: Gas) -> Table:
    """The state as a table of rich, with the same words around it."""
    found = gas.groups()
    out = Table(
        title="\n".join(_head(gas)), caption="\n".join(_foot(gas, found)), title_justify="left", caption_justify="left"
    )
    head, *rows = _rows(found)
    for name in head:
        out.add_column(name, justify="left" if name in _LEFT else "right")
    for row in rows:
        out.add_row(*row)
    return out


def trace(gas: Gas) -> xr.Dataset:
    """The samples as a trace of one cell: of the groups that decay, since the others have no pressure."""
    record, rules = gas.record, gas.rules
    if not len(record) or not rules:
        raise refuse("trace", "at least one finished sample", "none", "Train for two steps or more.")
    chosen = [k for k, rule in enumerate(rules) if rule.decays]
    if not chosen:
        raise refuse("wd", "weight decay above 0", 0.0, "A run without decay has no pressure; use csv().")
    main = max(chosen, key=lambda k: gas.sizes[k])
    rule, sizes = rules[main], [gas.sizes[k] for k in chosen]
    lr, wd = rule.rates()
    groups = _of_groups(gas, chosen)
    values = _of_the_whole(groups) | {"energy": record.energy, "lr": record["lr"][:, main], "wd": record["wd"][:, main]}
    if any(rules[k].mobility is None for k in chosen):
        for name in ("noise_trace",) if "laplacian" in groups else ("noise_trace", "mean_grad_sq"):
            values.pop(name)
            groups.pop(name)
    arrays = {name: v[None, None] for name, v in values.items()}
    arrays |= {f"group_{name}": v[None, None] for name, v in groups.items()}
    state = Outcome.DIVERGED if gas._ledger.nonfinite is not None else Outcome.FINISHED
    arrays |= {"step": record.step[None], "samples": np.array([[len(record)]]), "outcome": np.array([[state]])}
    found = gas.groups()
    about = {
        "producer": "watch", "network": gas.name, "optimizer": rule.title, "seed": 0, "steps": gas.steps,
        "dim": sum(sizes), "dof": sum(sizes) - len(sizes), "group_names": [gas.names[k] for k in chosen],
        "group_sizes": sizes, "group_clock": [found[k].clock for k in chosen],
        "group_status": [found[k].status.name.lower() for k in chosen],
        "group_lr_factor": [rules[k].rates()[0] / lr if lr else 1.0 for k in chosen],
        "groups_left_out": [name for k, name in enumerate(gas.names) if k not in chosen],
    }  # fmt: skip
    return traces.make(
        FixedLR(lr=lr * (rule.mobility or 1.0), wd=wd), arrays, about, {"grad_sq": "point", "group_grad_sq": "point"}
    )


def _of_groups(gas: Gas, chosen: list[int]) -> dict[str, np.ndarray]:
    """What the trace has of the ``chosen`` groups, (samples, chosen) each; the Laplacian where it was read."""
    record = gas.record
    names = ("radius", "grad_sq", "angle", "decay", "drag", "kick", "closure")
    groups = {n: record[n][:, chosen] for n in names}
    noise, drift = summary.noise_and_drift(record)
    groups |= {"noise_trace": noise[:, chosen], "mean_grad_sq": drift[:, chosen]}
    groups["radius_star"] = np.stack([_along(record, k, gas.sizes[k], gas.rules[k]) for k in chosen], axis=1)
    if np.isfinite(record["laplacian"]).any():
        groups["laplacian"] = record["laplacian"][:, chosen]
    return groups


def _of_the_whole(groups: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same of all groups together, (samples,) each: r² = Σ rᵢ², and on its sphere x = r² Σ xᵢ/rᵢ²."""
    square = groups["radius"] ** 2
    whole = square.sum(axis=1)
    spherical = [n for n in ("grad_sq", "noise_trace", "mean_grad_sq", "laplacian") if n in groups]
    values = {n: whole * (groups[n] / square).sum(axis=1) for n in spherical}
    values |= {n: groups[n].sum(axis=1) for n in ("decay", "drag", "kick", "closure")}
    return values | {"angle": _whole_angle(groups, whole), "radius": np.sqrt(whole)}


def _along(record: Record, group: int, size: int, rule: Any) -> np.ndarray:
    """r* at each sample from the samples of the last quarter of the run before it, (samples,)."""
    step, out = record.step, np.full(len(record), np.nan)
    for i in range(summary.LEAST - 1, len(record)):
        first = min(np.searchsorted(step, 0.75 * step[i]), i + 1 - summary.LEAST)
        kept = np.zeros(len(record), bool)
        kept[max(first, 0) : i + 1] = True
        now = rule.at(float(record["lr"][i, group]), float(record["wd"][i, group]))
        out[i] = summary.prediction(record, group, size, now, kept)[0]
    return out


def _whole_angle(groups: dict[str, np.ndarray], whole: np.ndarray) -> np.ndarray:
    """Angle of the step of all groups together, from those of the groups and their norms before and after."""
    before = groups["radius"]
    after = np.sqrt(before**2 + sum(groups[n] for n in ("decay", "drag", "kick", "closure")))
    moved = (4 * np.sin(groups["angle"] / 2) ** 2 * before * after + (after - before) ** 2).sum(axis=1)
    r, r_next = np.sqrt(whole), np.sqrt((after**2).sum(axis=1))
    chord = np.sqrt(np.maximum(moved - (r_next - r) ** 2, 0) / (r * r_next))
    return 2 * np.arcsin(np.minimum(chord / 2, 1))
