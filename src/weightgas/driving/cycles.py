"""Experiments along paths: entropy production there and back as a function of the duration, and a heat engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from weightgas.driving import rates
from weightgas.driving.balance import closed_production
from weightgas.driving.ensemble import drive, resting_steps
from weightgas.driving.paths import Path, adiabat, isotherm
from weightgas.driving.quasi_static import linear_response
from weightgas.errors import SCHEDULE, positive_number, refuse, typed, whole_number, wrong_type
from weightgas.losses import Isotropic
from weightgas.theory import ideal_gas, vmf

_SAMPLES = 20
"""Samples of each leg, over which the rates of linear response are summed."""


def dissipation(
    path: Path,
    durations: Sequence[int],
    dim: int = 3,
    *,
    noise: Isotropic | None = None,
    seed: int = 0,
    replicas: int = 10_000,
    threads: int | None = None,
) -> xr.Dataset:
    """Entropy produced by a path there and back, for several durations, with the predictions of theory.

    The drive is path → rest → reversed path → rest, so that no entropy has to be measured or known
    (:func:`weightgas.driving.balance.closed_production`). For slow drives the production falls as 1/duration, with the
    coefficient of linear response; for sudden drives on a sphere it is (U₁ − U₀)(1/T₀ − 1/T₁).

    Parameters
    ----------
    path
        The path to drive.
    durations
        Steps one way: a list of whole numbers.
    dim, noise, seed, replicas, threads
        As for :func:`weightgas.drive`.

    Returns
    -------
    xarray.Dataset
        ``produced`` with its error ``produced_err`` and ``slow``, the prediction of linear response, (duration,) in
        nats; ``sudden``, the limit of two jumps in nats, NaN except on a sphere; ``relaxation``, the longest relaxation
        time at both ends in steps.

    Raises
    ------
    TypeError, ValueError
        For arguments that ``drive`` refuses.
    TraceError
        If a replica diverges.
    """
    if not isinstance(path, Path):
        raise TypeError(
            f"path: expected a weightgas.driving.Path, got {type(path).__name__}. Make one with weightgas.paths."
        )
    steps = _steps(durations, 1)
    rest = [resting_steps(path, progress, dim, noise) for progress in (0.0, 1.0)]
    there_and_back = [path, path.stay(), path.reversed(), path.stay(0.0)]
    produced, slow = [], []
    for n in steps:
        each = (n, 2 * rest[1], n, 2 * rest[0])
        trajectory = drive(there_and_back, dim, each, noise=noise, seed=seed, replicas=replicas, samples=_SAMPLES,
                       threads=threads)  # fmt: skip
        produced.append(closed_production(trajectory))
        slow.append(float(linear_response(trajectory)["entropy_production"][-1]))
    sudden = np.nan
    if path.kind.projected:
        half = float((noise or Isotropic()).sigma) ** 2 / 2
        sudden = float(rates.sudden_production(dim, *(path.at(x)["elr"] * half for x in (0.0, 1.0))))
    value, error = np.array(produced).T
    return xr.Dataset(
        {
            "produced": ("duration", value, {"units": "1", "long_name": "entropy produced there and back"}),
            "produced_err": ("duration", error, {"units": "1", "long_name": "its standard error"}),
            "slow": ("duration", np.array(slow), {"units": "1", "long_name": "linear response"}),
            "relaxation": ((), max(rest) / 5, {"units": "step", "long_name": "longest relaxation time at the ends"}),
            "sudden": ((), sudden, {"units": "1", "long_name": "two jumps"}),
        },
        {"duration": ("duration", np.array(steps), {"units": "step", "long_name": "steps one way"})},
        {"path": path.name, "protocol": path.protocol, "dim": dim, "seed": seed, "replicas": replicas},
    )


def _steps(durations: Any, minimum: int) -> list[int]:
    """Checked ``durations``: a list of whole numbers of steps."""
    fix = "Pass several numbers of steps, for instance [30, 300, 3000]."
    if not isinstance(durations, list | tuple | range | np.ndarray) or getattr(durations, "ndim", 1) != 1:
        raise wrong_type("durations", "a list of whole numbers", durations, fix)
    if not len(durations):
        raise refuse("durations", "at least one number of steps", durations, fix)
    return [whole_number("durations", n, minimum=minimum, bound=SCHEDULE, fix=fix) for n in durations]


def _pair(name: str, values: Sequence[float]) -> tuple[float, float]:
    """Two positive numbers."""
    if len(values) != 2:
        raise refuse(name, "two numbers", values, "Pass elr=(hot, cold) and radius=(smallest, largest).")
    first, second = (positive_number(name, value) for value in values)
    return first, second


@typed
def exponent(found: xr.Dataset, *, times: float = 20.0) -> tuple[float, float]:
    """Slope of ln(produced) against ln(duration), with its error; −1 is linear response.

    The fit is by weighted least squares. Points below three standard errors, which have no reliable logarithm, are
    excluded.

    Parameters
    ----------
    found
        The result of :func:`dissipation`.
    times
        Shortest duration in the fit, in relaxation times.

    Returns
    -------
    tuple of float
        The slope and its standard error.

    Raises
    ------
    TypeError, ValueError
        If ``found`` is not from ``dissipation``, or fewer than two points remain.
    """
    if not {"produced", "produced_err", "duration", "relaxation"} <= set(found.variables):
        raise wrong_type("found", "the result of weightgas.driving.dissipation", found, "Pass that.")
    value, error = found["produced"].values, found["produced_err"].values
    slow = (found["duration"].values >= times * float(found["relaxation"])) & (value > 3 * error)
    if slow.sum() < 2:
        expected = f"two drives of {times:g} relaxation times or more with a production above three errors"
        raise refuse("found", expected, int(slow.sum()), "Add durations or replicas.")
    x, y, weight = np.log(found["duration"].values[slow]), np.log(value[slow]), (value[slow] / error[slow]) ** 2
    centred = x - np.average(x, weights=weight)
    scale = np.sum(weight * centred**2)
    return float(np.sum(weight * centred * y) / scale), float(1 / np.sqrt(scale))


@typed
def carnot(
    elr: tuple[float, float],
    radius: tuple[float, float],
    durations: Sequence[int],
    dim: int = 3,
    *,
    cycles: int = 4,
    noise: Isotropic | None = None,
    seed: int = 0,
    replicas: int = 10_000,
    threads: int | None = None,
) -> xr.Dataset:
    """Efficiency of a heat engine on the sphere, for several durations of a cycle.

    The cycle has four legs with a quarter of the steps each: an isotherm at the hot ``elr`` from ``radius[0]`` to
    ``radius[1]``, an adiabat to the cold one, an isotherm back, and an adiabat. The efficiency −W/Q_hot, with Q_hot the
    heat of the hot isotherm, tends to 1 − T_cold/T_hot for slow cycles and small steps. At finite steps h, which are
    the ``elr``, it tends to 1 − T_c(1 + h_c/2)/(T_h(1 + h_h/2)), because pV = RT(1 + h/2) in a harmonic well.

    Parameters
    ----------
    elr
        The hot and the cold effective learning rate.
    radius
        Radii at the start and the end of the hot isotherm, for an engine the smaller one first.
    durations
        Steps of an entire cycle, at least 4: a list of whole numbers.
    cycles
        Number of cycles in the average, after a first one that is excluded.
    dim, noise, seed, replicas, threads
        As for :func:`weightgas.drive`.

    Returns
    -------
    xarray.Dataset
        Along ``duration``: ``efficiency`` and ``efficiency_err``; ``produced`` and ``produced_err`` in nats per cycle;
        ``slow``, the efficiency to first order in 1/duration, limit − [(T_c/T_h) Σ − (1 − T_c/T_h) C_V τ_L d ln T/dt]/
        (R ln V₂/V₁) with Σ the production of linear response. Its second term is heat that is exchanged on the isotherm
        because the gas lags behind on the adiabat. Also ``carnot``, 1 − T_cold/T_hot, and ``limit``, that of slow
        cycles at finite steps.

    Raises
    ------
    TypeError, ValueError
        For arguments that ``drive`` refuses, if the first ``elr`` is not the larger one, or if both radii are equal.
    """
    hot, cold = _pair("elr", elr)
    if hot <= cold:
        raise refuse("elr", "the larger (hot) one first", elr, "Pass elr=(hot, cold).")
    small, large = _pair("radius", radius)
    if small == large:
        raise refuse("radius", "two different radii", radius, "Pass radius=(smallest, largest).")
    cycles, stretch = whole_number("cycles", cycles), np.sqrt(hot / cold)
    legs = [
        isotherm(elr=hot, radius=(small, large)),
        adiabat(lr=hot * large**2, radius=(large, large * stretch)),
        isotherm(elr=cold, radius=(large * stretch, small * stretch)),
        adiabat(lr=hot * small**2, radius=(small * stretch, small)),
    ]
    durations = _steps(durations, 4)
    temperature = hot * float((noise or Isotropic()).sigma) ** 2 / 2
    gas_constant = float(ideal_gas.gas_constant(dim - 1))
    behind = vmf.heat_capacity(dim, temperature) * rates.energy_time(dim, temperature, hot) * np.log(hot / cold)
    limit = 1 - cold * (1 + cold / 2) / (hot * (1 + hot / 2))
    rows = []
    for n in durations:
        quarter = n // 4
        trajectory = drive(
            legs * (cycles + 1), dim, quarter, noise=noise, seed=seed, replicas=replicas, samples=_SAMPLES,
            threads=threads,
        )  # fmt: skip
        work, exchanged = (trajectory[name].values for name in ("work", "exchanged"))
        heat, ends = (
            trajectory["energy"].values - work,
            np.arange(len(legs) * (cycles + 1) + 1) * min(_SAMPLES, quarter),
        )
        first = ends[4]
        done = work[:, first] - work[:, -1]
        taken = (heat[:, ends[5::4]] - heat[:, ends[4:-4:4]]).sum(axis=1)
        efficiency = done.mean() / taken.mean()
        error = (done - efficiency * taken).std(ddof=1) / np.sqrt(replicas) / abs(taken.mean())
        boundary = (trajectory["energy"].values[:, -1] - trajectory["energy"].values[:, first]) / temperature
        produced = (boundary - (exchanged[:, -1] - exchanged[:, first])) / cycles
        lost = float(linear_response(trajectory)["entropy_production"][-1]) / (cycles + 1)
        left_over = behind / quarter * (1 - cold / hot)
        slow = limit - (cold / hot * lost - left_over) / (2 * gas_constant * np.log(large / small))
        rows.append((efficiency, error, produced.mean(), produced.std(ddof=1) / np.sqrt(replicas), slow))
    names = ("efficiency", "efficiency_err", "produced", "produced_err", "slow")
    variables = {name: ("duration", np.array(x)) for name, x in zip(names, zip(*rows, strict=True), strict=True)}
    coordinates = {"duration": ("duration", np.array(durations), {"units": "step", "long_name": "steps of a cycle"})}
    limits = {"carnot": ((), 1 - cold / hot), "limit": ((), limit)}
    return xr.Dataset({**variables, **limits}, coordinates, {"dim": dim, "seed": seed})
