"""The Gibbs slope: the test that ln P₂(U)/P₁(U) is linear in U with slope 1/T₁ − 1/T₂.

Two runs at temperatures T₁ < T₂ sample ρ ∝ e^{−L/T} if and only if the logarithm of the ratio of their energy
densities is linear in U with that slope. Simulated runs whose loss has a ``laplacian_slope`` s are corrected for the
finite step, networks are not (:mod:`weightgas.theory.finite_step`):

    expected = 1/T₁ − 1/T₂ − (2/σ²)(T₂ − T₁)(s/2 + c)

For a linear loss this is multiplied by the result of the same regression for two states of isotropic noise at these
step sizes, divided by the formula at their temperatures, and so is exact to all orders
(:mod:`weightgas.theory.stationary`).

The slope is measured by maximum likelihood: a logistic regression of "which run" on the energies of all samples after
the burn-in. Its error is a sandwich estimate: every sample has an influence f on the estimate (minus its mean over the
isotherm), and the variance is Σ f² over the samples of each run times N/ESS of the series f. Influences of several
pairs add, so the error of the mean over all neighbouring pairs includes their common runs. At 5 % this rejects true
Gibbs states in 4 to 6 % of cases. Thinning to independent samples instead loses a quarter of the precision and rejects
6 to 14 %.

Level 3: it can fail. Weakness: it needs overlap, ln(T₂/T₁) below about 4√(2/dof) (:mod:`weightgas.analysis.planner`).
Cells of one isotherm count as runs with one density; where they disagree, since basins differ in energy, the error is
multiplied by √(χ²/dof) (:mod:`weightgas.analysis.isotherms`). Source: Shirts (2013), J. Chem. Theory Comput. 9, 909;
sandwich: White (1982), Econometrica 50, 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import xarray as xr
from scipy.special import expit
from scipy.stats import t as student

from weightgas.analysis import planner
from weightgas.analysis.fluctuation import Isotherms, collect, laplacian_slope, linear_loss_noise, step_sizes
from weightgas.analysis.isotherms import factor
from weightgas.measurement.stationarity import sample_sizes
from weightgas.runs import memory
from weightgas.theory import finite_step, stationary
from weightgas.trace import batches, kind_of

LEAST_OVERLAP = 0.05
"""Smallest common share of the two histograms; below it, the slope depends on a few samples."""
LEAST_SAMPLES = 20
"""Least effective sample size of an isotherm."""
WINDOW = 4.0
"""Width of the window of lags from which N/ESS is estimated, in integrated correlation times N/ESS."""

_COPIES = 8
"""Number of arrays as large as all energies that are in memory at the same time."""

Series = Sequence[np.ndarray]
"""Energies of one isotherm: an array (replicas, samples) for each of its cells."""


@dataclass(frozen=True)
class GibbsSlope:
    """Measured over expected slope of neighbouring isotherms with errors, their overlap, and the mean over the chain.

    ``expected`` is the slope of each pair in 1/energy, ``corrected`` whether it includes the finite step. ``advice``
    states what to add if pairs lack overlap.
    """

    cold: np.ndarray
    hot: np.ndarray
    ratio: np.ndarray
    ratio_err: np.ndarray
    overlap: np.ndarray
    mean: float
    mean_err: float
    advice: str
    expected: np.ndarray
    corrected: bool


@dataclass(frozen=True)
class Slope:
    """Slope of ln P_hot/P_cold in the energy, and the influence of every sample on it, in the order of the series."""

    value: float
    cold: Series
    hot: Series


def gibbs_slope(trace: xr.Dataset, state: xr.Dataset, isotherms: Isotherms | None = None) -> GibbsSlope:
    """The slopes between neighbouring temperatures of a trace and its state.

    Pairs without overlap are NaN, and ``advice`` lists the effective learning rates to add. ``isotherms`` as in
    ``fluctuation_response``.
    """
    t = collect(state) if isotherms is None else isotherms
    size = _COPIES * trace["energy"].nbytes
    memory.foresee(size, f"the energies of {trace.sizes['cell']} cells", "Analyse some cells: isel(cell=...) of both.")
    pairs = max(len(t.temperature) - 1, 0)
    energies = _energies(trace, state)
    series = [[energies[i] for i in np.flatnonzero(t.number == k)] for k in range(len(t.temperature))]
    effective = np.array([_effective(s) for s in series])
    enough = effective >= LEAST_SAMPLES
    expected = _expected(state, t) if pairs else np.empty(0)
    overlap = np.array([_overlap(a, b) for a, b in pairwise(series)])
    usable = [
        k for k in range(pairs) if overlap[k] >= LEAST_OVERLAP and enough[k] and enough[k + 1] and expected[k] > 0
    ]
    ratio, error = np.full(pairs, np.nan), np.full(pairs, np.nan)
    mean, mean_err = float("nan"), float("nan")
    if usable:
        slopes = [fit(series[k], series[k + 1]) for k in usable]
        inefficiency = np.array([sum(x.size for x in s) for s in series]) / np.maximum(effective, 1)
        ratio[usable], error[usable], mean, mean_err = combine(slopes, np.array(usable), expected, t, inefficiency)
        error, mean_err = error * factor(t.scatter), mean_err * factor(t.scatter)
    gaps = overlap < LEAST_OVERLAP
    return GibbsSlope(
        t.temperature[:-1], t.temperature[1:], ratio, error, overlap, mean, mean_err, _advice(state, t, gaps, enough),
        expected, laplacian_slope(state) is not None,
    )  # fmt: skip


def logistic_slope(cold: np.ndarray, hot: np.ndarray) -> tuple[float, float]:
    """Maximum-likelihood slope of ln P_hot/P_cold in the energy, and its standard error.

    ``cold`` and ``hot`` are series (samples,) or (replicas, samples), in the order of time.
    """
    slope = fit([np.atleast_2d(cold)], [np.atleast_2d(hot)])
    return slope.value, float(_errors([[slope.cold, slope.hot]], np.zeros(1))[0])


def fit(cold: Series, hot: Series) -> Slope:
    """Logistic regression of "hot or cold" on the energy, by Newton's method."""
    shapes = [s.shape for s in (*cold, *hot)]
    x = np.concatenate([s.ravel() for s in (*cold, *hot)])
    hotter = np.arange(len(x)) >= sum(s.size for s in cold)
    center, scale = x.mean(), x.std()
    design = np.stack([np.ones_like(x), (x - center) / scale], axis=1)
    beta, information, rest = np.zeros(2), np.eye(2), np.zeros_like(x)
    for _ in range(50):
        p = expit(design @ beta)
        rest = hotter - p
        information = (design * (p * (1 - p))[:, None]).T @ design
        change = np.linalg.solve(information, design.T @ rest)
        if np.abs(change).max() < 1e-9:
            break
        beta += np.clip(change, -5, 5)
    influence = (design @ np.linalg.inv(information)[1]) * rest / scale
    parts = _split(influence, shapes)
    return Slope(float(beta[1] / scale), _centered(parts[: len(cold)]), _centered(parts[len(cold) :]))


def combine(
    slopes: Sequence[Slope], pairs: np.ndarray, expected: np.ndarray, t: Isotherms, inefficiency: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Ratios of the slopes of the ``pairs`` (k, k + 1), their errors, their best mean, and its error.

    The weights are those of generalised least squares, with the same N/ESS for all influences of an isotherm,
    ``inefficiency`` (isotherms,): with separate values the weights would follow the noise of the errors and make the
    error too small. The error of the mean comes from the influences on the mean. The independent errors of the
    temperatures enter through the expected slopes.
    """
    n, isotherms = len(pairs), len(t.temperature)
    ratio = np.array([s.value for s in slopes]) / expected[pairs]
    through_temperature = np.zeros((n, isotherms))
    influences: list[dict[int, np.ndarray]] = [{} for _ in range(isotherms)]  # of each pair on the samples, flat
    shapes: list[list[tuple[int, ...]]] = [[] for _ in range(isotherms)]
    for i, (k, slope) in enumerate(zip(pairs, slopes, strict=True)):
        rates = np.array([1.0, -1.0]) / t.temperature[k : k + 2] ** 2
        through_temperature[i, k : k + 2] = ratio[i] / expected[k] * rates * t.temperature_err[k : k + 2]
        for m, parts in ((k, slope.cold), (k + 1, slope.hot)):
            influences[m][i] = np.concatenate([f.ravel() for f in parts]) / expected[k]
            shapes[m] = [f.shape for f in parts]
    covariance = through_temperature @ through_temperature.T
    for m, of_pair in enumerate(influences):
        for i, f in of_pair.items():
            for j, g in of_pair.items():
                covariance[i, j] += inefficiency[m] * (f @ g)

    def errors(weights: np.ndarray) -> np.ndarray:
        """Standard errors of the sums of the ratios with these weights, (sums, pairs): (sums,)."""
        sums: list[list[Series]] = [[] for _ in weights]
        for of_sum, weight in zip(sums, weights, strict=True):
            for of_pair, shape in zip(influences, shapes, strict=True):
                used = [weight[i] * f for i, f in of_pair.items() if weight[i] != 0]
                of_sum += [_split(np.sum(used, axis=0), shape)] if used else []
        return _errors(sums, np.sum((weights @ through_temperature) ** 2, axis=1))

    weight = np.linalg.solve(covariance, np.ones(n))
    weight /= weight.sum()
    return ratio, errors(np.eye(n)), float(weight @ ratio), float(errors(weight[None])[0])


def _expected(state: xr.Dataset, t: Isotherms) -> np.ndarray:
    cold, hot = t.temperature[:-1], t.temperature[1:]
    slope = laplacian_slope(state)
    if slope is None:
        return 1 / cold - 1 / hot
    where = (kind_of(state), int(state.attrs["dim"]), slope)
    first = np.asarray(finite_step.gibbs_slope(cold, hot, t.noise_var, *where))
    noise_var = linear_loss_noise(state, t)
    if noise_var is None:
        return first
    states = [stationary.stationary_state(*where[:2], size, noise_var) for size in step_sizes(state, t)]
    own = np.array([s.temperature for s in states])
    exact = np.array([stationary.gibbs_slope(a, b) for a, b in pairwise(states)])
    exact /= np.asarray(finite_step.gibbs_slope(own[:-1], own[1:], noise_var, *where))
    return np.where(np.isfinite(exact), first * exact, first)


def _energies(trace: xr.Dataset, state: xr.Dataset) -> list[np.ndarray]:
    """Instantaneous energies of every cell after its burn-in, (replicas, samples) each."""
    found: list[np.ndarray] = []
    for cells, batch in batches.each(trace, "energy", "samples"):
        ends = zip(state["burn_in"].values[cells], batch["samples"].values.min(axis=1), strict=True)
        found += [batch["energy"].values[i, :, int(a) : int(b)] for i, (a, b) in enumerate(ends)]
    return found


def _effective(series: Series) -> float:
    """Effective samples of one isotherm; 0 if they do not vary or are not numbers."""
    good = all(np.isfinite(s).all() and s.size for s in series) and any(np.ptp(s) > 0 for s in series)
    return float(np.sum(sample_sizes([s for s in series if s.shape[1] >= 4 and np.ptp(s) > 0]))) if good else 0.0


def _centered(series: Series) -> Series:
    """Subtract the mean over the isotherm, since the number of its samples is not random."""
    mean = np.mean(np.concatenate([s.ravel() for s in series]))
    return [s - mean for s in series]


def _errors(sums: Sequence[Sequence[Series]], more: np.ndarray) -> np.ndarray:
    """Standard error of each sum of independent series of influences, with ``more`` variance from other sources.

    Σ f² N/ESS of each series. N/ESS includes lags up to about ± w N/(2 ESS), w = WINDOW. So it is too small by a share
    of w/ESS, since its autocovariances are about the mean of the run. It has ESS/w degrees of freedom, for which
    Student's t gives an error whose ±1.96 covers 95 % (Welch–Satterthwaite for several series).
    """
    parts = [(number, f) for number, of in enumerate(sums) for series in of for f in series if np.ptp(f) > 0]
    where, ess = np.array([number for number, _ in parts], int), sample_sizes([f for _, f in parts])
    variances = np.array([np.sum(f**2) * f.size for _, f in parts]) / ess * (1 + WINDOW / ess)
    total = np.bincount(where, variances, len(sums)) + more
    scatter = np.bincount(where, variances**2 * WINDOW / ess, len(sums))
    with np.errstate(divide="ignore", invalid="ignore"):  # no series that varies: the rest is known
        wider = np.where(scatter > 0, student.ppf(0.975, total**2 / scatter) / 1.96, 1.0)
    return np.where(total > 0, np.sqrt(np.maximum(total, 0)) * wider, 0.0)


def _split(values: np.ndarray, shapes: Sequence[tuple[int, ...]]) -> Series:
    """Split the flat values of one isotherm or more into their series."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(values, ends), shapes, strict=True)]


def _overlap(a: Series, b: Series) -> float:
    """Common share of two histograms, ∫ min(P₁, P₂); NaN unless the energies are numbers and vary."""
    first, second = (np.concatenate([s.ravel() for s in x]) for x in (a, b))
    both = np.concatenate([first, second])
    if not (len(first) and len(second) and np.isfinite(both).all() and np.ptp(both) > 0):
        return float("nan")
    edges = np.histogram_bin_edges(both, bins=30)
    shares = [np.histogram(x, edges)[0] / len(x) for x in (first, second)]
    return float(np.minimum(*shares).sum())


def _advice(state: xr.Dataset, t: Isotherms, gaps: np.ndarray, enough: np.ndarray) -> str:
    if not len(gaps):
        return "needs two temperatures in equilibrium: " + planner.plan(state, isotherms=t).advice
    if gaps.any():
        plan = planner.plan(state, isotherms=t, gaps=gaps)
        return f"no overlap between {int(gaps.sum())} of {len(gaps)} neighbouring temperatures: {plan.advice}"
    few = f"{int(np.sum(~enough))} of {len(enough)} temperatures have energies that do not vary or are not finite, or"
    return "" if enough.all() else f"{few} fewer than {LEAST_SAMPLES} independent samples: add steps"
