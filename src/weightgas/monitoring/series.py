"""The samples of a watched run as traces: of all groups together, and with a cell for every group.

For all groups together r² = Σ rᵢ², and on that sphere x = r² Σ xᵢ/rᵢ² for the moments x of the gradient and the
Laplacian.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from weightgas import trace as traces
from weightgas.monitoring import laws
from weightgas.monitoring.record import SAME_MEMORY, Record
from weightgas.optimizers import Optimizer
from weightgas.protocols import FixedLR
from weightgas.quantities import MATRIX
from weightgas.status import Outcome, Status

_SIGN = 3.0
_SPHERICAL = ("grad_sq", "noise_trace", "mean_grad_sq", "laplacian")
_BUDGET = ("decay", "alignment", "update", "closure")
LEAST = 4
"""The least number of samples for a prediction of r*."""


def noise_and_signal(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """(tr Σ, ‖∇L‖²) of each sample, (samples, groups) both, from the product P = ⟨g̃_t, g̃_{t+1}⟩ of successive steps.

    tr Σ = G − sP, ‖∇L‖² = sP, s = −1 where the mean P of the last half of the samples is three errors below 0, else 1.
    P = ‖∇L‖² − η_e tr HΣ, since a step depends on its own noise: P = ‖∇L‖² where the descent outweighs the noise. In
    the stationary state of plain SGD in a harmonic well P = −‖∇L‖², which s corrects; with momentum α it is (2α −
    1)‖∇L‖². Weakness: between these limits the signal is underestimated, by up to its value, and tr Σ overestimated as
    much. In samples with gradients of a probe batch at the same weights, ‖∇L‖² is computed from them, without this
    bias.
    """
    product = record["mean_grad_sq"]
    late = product[len(product) // 2 :]
    negative = late.mean(axis=0) < -_SIGN * late.std(axis=0) / np.sqrt(len(late))
    product = np.where(negative, -product, product)
    product = np.where(np.isfinite(record["probe_grad_sq"]), record["probe_grad_sq"], product)
    return record["grad_sq"] - product, product


def idle(record: Record, group: int) -> np.ndarray:
    """The samples at the end of the record in all of which a group with a norm had no gradient, (samples,) of bool."""
    none = (record["grad_sq"][:, group] == 0) & (record["radius"][:, group] > 0)
    return np.logical_and.accumulate(none[::-1])[::-1]


def of_groups(record: Record) -> dict[str, np.ndarray]:
    """The variables of a trace for every group, (samples, groups) each; the Laplacian if it was recorded."""
    found = {n: record[n] for n in ("radius", "grad_sq", "angle", *_BUDGET)}
    found["noise_trace"], found["mean_grad_sq"] = noise_and_signal(record)
    return found | ({"laplacian": record["laplacian"]} if np.isfinite(record["laplacian"]).any() else {})


def of_all(groups: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same variables for all groups together, (samples,) each."""
    square = groups["radius"] ** 2
    whole = square.sum(axis=1)
    values = {n: whole * (groups[n] / square).sum(axis=1) for n in _SPHERICAL if n in groups}
    values |= {n: groups[n].sum(axis=1) for n in _BUDGET}
    return values | {"angle": _angle(groups, whole), "radius": np.sqrt(whole)}


def _angle(groups: Mapping[str, np.ndarray], whole: np.ndarray) -> np.ndarray:
    """Angle of the step of all groups together, from those of the groups and their norms before and after."""
    before = groups["radius"]
    after = np.sqrt(before**2 + np.nansum([groups[n] for n in _BUDGET], axis=0))  # decay that is not known is in update
    moved = (4 * np.sin(groups["angle"] / 2) ** 2 * before * after + (after - before) ** 2).sum(axis=1)
    r, r_next = np.sqrt(whole), np.sqrt((after**2).sum(axis=1))
    chord = np.sqrt(np.maximum(moved - (r_next - r) ** 2, 0) / (r * r_next))
    return 2 * np.arcsin(np.minimum(chord / 2, 1))


def cells(
    record: Record, sizes: Sequence[int], rules: Sequence[Optimizer], times: np.ndarray, begin: int
) -> xr.Dataset:
    """A trace whose cells are the groups and, as the last one, all of them together; from sample ``begin`` on.

    ``times`` (groups,) are the relaxation times of the norms. Temperatures computed from this trace are T times the
    degrees of freedom. The noise is NaN without decay, and where the mobility is a matrix.
    """
    groups = of_groups(record)
    thermal = np.array([rule.decays and rule.mobility is not None for rule in rules])
    groups["noise_trace"] = np.where(thermal, groups["noise_trace"], np.nan)
    whole = of_all(groups)
    rates = np.array([rule.rates() for rule in rules])
    rates[:, 0] *= [rule.mobility or 1.0 for rule in rules]
    main = int(np.argmax(sizes))
    dims = ("cell", "replica", "sample")
    variables: dict[str, Any] = {
        name: (dims, np.column_stack([values, whole[name]]).T[:, None, begin:]) for name, values in groups.items()
    }
    count = len(sizes) + 1
    variables["energy"] = (dims, np.broadcast_to(record.energy[begin:], (count, 1, len(record) - begin)))
    variables["step"] = (("cell", "sample"), np.tile(record.step[begin:] - record.step[begin], (count, 1)))
    variables["samples"] = (("cell", "replica"), np.full((count, 1), len(record) - begin))
    variables["outcome"] = (("cell", "replica"), np.full((count, 1), Outcome.FINISHED))
    axes = {"lr_set": np.append(rates[:, 0], rates[main, 0]), "wd_set": np.append(rates[:, 1], rates[main, 1])}
    axes |= dict.fromkeys(("elr_set", "radius_set"), np.full(count, np.nan))
    coordinates = {name: ("cell", values) for name, values in axes.items()}
    coordinates["cell_id"] = ("cell", np.arange(count).astype(str))
    facts = {"protocol": FixedLR.name, "dof": 1, "relaxation_time": np.append(times, times.max())}
    return xr.Dataset(variables, coordinates, facts)


def trace(
    record: Record,
    sizes: Mapping[str, int],
    rules: Sequence[Optimizer],
    times: Sequence[float],
    statuses: Sequence[Status],
    about: Mapping[str, Any],
) -> xr.Dataset:
    """The samples of the groups with decay as a trace of one cell; groups without decay have no pressure.

    ``sizes`` by the name of each group, ``times`` their relaxation times; ``about`` are further attributes.
    """
    chosen = [k for k, rule in enumerate(rules) if rule.decays]
    names, lengths = zip(*[list(sizes.items())[k] for k in chosen], strict=True)
    main = chosen[int(np.argmax(lengths))]
    rule, (lr, wd) = rules[main], rules[main].rates()
    groups = {name: values[:, chosen] for name, values in of_groups(record).items()}
    if any(rules[k].mobility is None for k in chosen):
        for name in ("noise_trace",) if "laplacian" in groups else ("noise_trace", "mean_grad_sq"):
            groups.pop(name)
    whole = of_all(groups) | {"energy": record.energy, "lr": record["lr"][:, main], "wd": record["wd"][:, main]}
    groups["radius_star"] = np.stack([star_along(record, k, rules[k]) for k in chosen], axis=1)
    arrays = {name: v[None, None] for name, v in whole.items()}
    arrays |= {f"group_{name}": v[None, None] for name, v in groups.items()}
    outcome = Outcome.DIVERGED if Status.DIVERGED in statuses else Outcome.FINISHED
    arrays |= {"step": record.step[None], "samples": np.array([[len(record)]]), "outcome": np.array([[outcome]])}
    facts = {
        **about, "producer": "watch", "optimizer": rule.title, "seed": 0, "dim": sum(lengths),
        "dof": sum(lengths) - len(lengths), "group_names": list(names), "group_sizes": list(lengths),
        "relaxation_time": max(times[k] for k in chosen), "group_relaxation_time": [times[k] for k in chosen],
        "group_status": [statuses[k].name.lower() for k in chosen],
        "group_lr_factor": [rules[k].rates()[0] / lr if lr else 1.0 for k in chosen],
        "groups_excluded": [name for name in sizes if name not in names],
    }  # fmt: skip
    facts |= {"mobility": MATRIX} if any(rules[k].mobility is None for k in chosen) else {}
    protocol = FixedLR(lr=lr * (rule.mobility or 1.0), wd=wd)
    return traces.make(protocol, arrays, facts, {"grad_sq": "point", "group_grad_sq": "point"})


def star_along(record: Record, group: int, rule: Optimizer) -> np.ndarray:
    """r* at each sample, at its settings, from the samples in the last quarter of the run up to it, (samples,).

    NaN where the optimizer is refused or the norm oscillates, or where momentum, betas or decay over ηλ changed within
    these samples.
    """
    if rule.refused or rule.oscillates:
        return np.full(len(record), np.nan)
    step, lr, wd = record.step, record["lr"][:, group], record["wd"][:, group]
    steps = laws.between(step, record["radius"][:, group], -record["decay"][:, group], lr, wd)
    last = np.arange(len(step))
    first = np.clip(np.minimum(np.searchsorted(step, 0.75 * step), last + 1 - LEAST), 0, None)
    with np.errstate(all="ignore"):
        growth = steps.growth / steps.radius**rule.update_power / steps.lr**2
        decay = steps.decay / (steps.radius**rule.decay_power * steps.lr * steps.wd)
        known = np.isfinite(growth) & np.isfinite(decay)
        sums = [np.append(0, np.cumsum(np.where(known, x, 0.0))) for x in (growth, decay, ~known)]
        of_growth, of_decay, unknown = (s[last] - s[first] for s in sums)
        found = (lr / wd * of_growth / of_decay) ** (1 / rule.power)
    known = (last >= LEAST - 1) & (unknown == 0)
    for setting in (1 - record["momentum"], 1 - record["second_beta"], record["decay_factor"]):
        known &= ~(np.abs(setting[first, group] / setting[last, group] - 1) > SAME_MEMORY)
    return np.where(known, found, np.nan)
