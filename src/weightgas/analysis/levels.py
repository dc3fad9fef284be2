"""The three levels of a verdict, from the results of the analyses (:mod:`weightgas.analysis.checks`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from weightgas.analysis.bands import Bands
from weightgas.analysis.cells import in_equilibrium, plain_mean
from weightgas.analysis.checks import (
    CONSISTENCY_TOLERANCE,
    DIAGNOSTIC_TOLERANCE,
    Check,
    Key,
    Level,
    all_of,
    ideal,
    judge,
    judged,
)
from weightgas.analysis.clausius import Clausius
from weightgas.analysis.configurational import Configurational
from weightgas.analysis.fluctuation import Fluctuation
from weightgas.analysis.gibbs import GibbsSlope
from weightgas.analysis.isotherms import Scatter
from weightgas.analysis.maxwell import Slope
from weightgas.measurement.stationarity.slow_part import LEAST_REPLICAS
from weightgas.status import Status

NAN = float("nan")
QUESTIONS = ("Is it stationary?", "Are the identities satisfied?", "Is it an ideal gas?")
_TIMES = (Key.ESS, Key.RELAXATIONS, Key.SHARE_RELAXATIONS, Key.ENERGY_RELAXATIONS, Key.TURNS, Key.ESS_DIRECTION)
_EXCESSES = (Key.RHAT, Key.SLOW_BETWEEN, Key.SLOW_LOWEST)


def stationary(state: xr.Dataset, scatter: Mapping[str, Scatter]) -> Level:
    """Level 1: the share of cells in equilibrium, the worst value for each criterion, and whether the cells that share
    a temperature agree (``scatter``, from :func:`weightgas.analysis.isotherms.consistency`).
    """
    counts = Counter(Status(int(s)) for s in state["status"].values)
    good = in_equilibrium(state)
    share = float(good.mean())
    note = ", ".join(f"{n} {status.name.lower().replace('_', ' ')}" for status, n in sorted(counts.items()))
    answer = "yes" if share >= 0.8 else ("undecided" if good.sum() >= 2 else "no")
    checks = [Check(Key.CELLS, share, NAN, 1.0, answer, note)]
    if good.any():
        for key in _TIMES:
            values = state[key.value].values[good] if key.value in state else np.empty(0)
            least = float(np.nanmin(values)) if np.isfinite(values).any() else np.inf
            if least < 1e12:  # on the sphere the radius has no relaxation time
                checks.append(Check(key, least, NAN, NAN))
        checks += _excesses(state.isel(cell=good))
        isotherms = [_of_isotherms(name, found) for name, found in scatter.items()]
        if answer == "yes" and "no" in {check.outcome for check in isotherms}:
            answer = "undecided"
        checks += isotherms
    return Level(1, QUESTIONS[0], answer, tuple(checks))


def _of_isotherms(name: str, found: Scatter) -> Check:
    """Whether the runs that share a temperature agree in U or tr Σ."""
    of = {"energy": "U", "noise_trace": "tr Σ"}[name]
    if not found.freedom:
        return Check(Key.ISOTHERMS, NAN, NAN, 1.0, "undecided", "no two runs share a temperature", of)
    note = f"{found.freedom} degrees of freedom, {found.z:.1f} standard errors"
    if found.rejected:
        note += "; errors of averages over an isotherm are those of its cells and replicas"
    return Check(Key.ISOTHERMS, found.ratio, NAN, 1.0, "no" if found.rejected else "yes", note, of)


def _excesses(state: xr.Dataset) -> list[Check]:
    """The largest excess of each kind over the cells; a check without a number where replicas are missing."""
    found = {key: state[key.value].values for key in _EXCESSES if key.value in state}
    checks = [Check(key, float(np.nanmax(x)), NAN, NAN) for key, x in found.items() if np.isfinite(x).any()]
    if Key.SLOW_BETWEEN in found and not np.isfinite(found[Key.SLOW_BETWEEN]).any():
        note = f"needs {LEAST_REPLICAS} replicas: a slow part under fast noise, or another basin, may be undetected"
        checks.append(Check(Key.SLOW_BETWEEN, NAN, NAN, NAN, "undecided", note))
    return checks


def consistency(state: xr.Dataset, equation: xr.Dataset, radius: xr.Dataset, slopes: Sequence[Slope]) -> Level:
    """Level 2: Z over (1 + SNR)/(1 − ηλ/2), the radius over its prediction, and the Maxwell relations."""
    good, checks = in_equilibrium(state), []
    for key, name, found in ((Key.COMPRESSIBILITY, "ratio", equation), (Key.RADIUS, "ratio_discrete", radius)):
        ratio, error = found[name].values[good], found["ratio_err"].values[good]
        if np.isfinite(ratio).any():
            mean, spread = plain_mean(ratio, error)
            worst = ratio[np.nanargmax(np.abs(ratio - 1))]
            checks.append(judged(key, mean, spread, 1.0, CONSISTENCY_TOLERANCE, f"worst cell {worst:.4f}"))
    for s in slopes:
        if np.isfinite(s.theory):
            checks.append(judged(Key.MAXWELL, s.value, s.error, s.theory, CONSISTENCY_TOLERANCE, of=s.name))
    return Level(2, QUESTIONS[1], all_of(checks), tuple(checks))


def diagnostics(
    state: xr.Dataset,
    equations: Sequence[Check],
    bands: Bands,
    conf: Configurational,
    fluctuation: Fluctuation,
    gibbs: GibbsSlope,
    entropies: Sequence[Clausius],
) -> Level:
    """Level 3: the checks of the hypotheses A, B and C, and related numbers that are not judged.

    ``equations``: those of A (:func:`weightgas.analysis.equations.equations`).
    """
    note = f"cells from {conf.least:.3g} to {conf.most:.3g}" if np.isfinite(conf.least) else conf.advice
    f = fluctuation
    checks = (
        *equations,
        *_bands(bands),
        judged(Key.CONFIGURATIONAL, conf.mean, conf.mean_err, note=note),
        judged(Key.FLUCTUATION, f.whole, f.whole_err, note=f.advice),
        judged(Key.GIBBS_SLOPE, gibbs.mean, gibbs.mean_err, note=gibbs.advice),
        *(_clausius(found) for found in entropies),
        *_reported(state),
    )
    return Level(3, QUESTIONS[2], ideal(checks), checks)


def _bands(found: Bands) -> list[Check]:
    """The exponent of every band; without any, one check with the reason."""
    if not found.names:
        return [judged(Key.BAND, NAN, NAN, note=found.advice)]
    rows = zip(found.names, found.exponent, found.exponent_err, strict=True)
    return [judged(Key.BAND, *values, note="" if np.isfinite(values[1]) else found.advice, of=n) for n, *values in rows]


def _clausius(found: Clausius) -> Check:
    """The check by one independent entropy. It can falsify; passing means little, since anisotropic noise passes
    too."""
    outcome = judge(found.whole, found.whole_err, 1.0, DIAGNOSTIC_TOLERANCE) if found.judged else ""
    note = found.advice or ("passes; so does anisotropic noise" if outcome == "yes" else "")
    of = f"entropy by {found.method.replace('_', ' ')}"
    return Check(Key.CLAUSIUS, found.whole, found.whole_err, 1.0, outcome if outcome == "no" else "", note, of)


def _reported(state: xr.Dataset) -> list[Check]:
    """The effective rank of the noise covariance, and the spread of the temperatures of the groups."""
    good, checks, dof = in_equilibrium(state), [], int(state.attrs["dof"])
    if "noise_dim" in state and np.isfinite(state["noise_dim"].values[good]).any():
        mean, error = plain_mean(state["noise_dim"].values[good], state["noise_dim_err"].values[good])
        if not error > 1e-9 * mean:  # known exactly, except for rounding
            mean, error = float(np.nanmean(state["noise_dim"].values[good])), NAN
        checks.append(Check(Key.NOISE_DIM, mean, error, float(dof), "", f"of {dof}"))
    if "temperature_group" in state and state.sizes.get("group", 1) > 1:
        ratio = state["temperature_group"].values[good] / state["temperature"].values[good, None]
        hottest, coldest = np.nanmean(ratio.max(axis=1)), np.nanmean(ratio.min(axis=1))
        note = f"coldest group at {coldest:.3g} T, hottest at {hottest:.3g} T, mean over cells"
        checks.append(Check(Key.GROUP_TEMPERATURES, float(hottest / coldest), NAN, 1.0, "", note))
    return checks
