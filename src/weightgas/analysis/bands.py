"""Hypothesis B, one family of densities: the bands of the covariance of directions against temperature.

If ρ_T ∝ e^{−Φ/T} with one Φ for all T, the covariance C of the directions in a narrow well of Φ is T (∂²Φ)⁻¹: its axes
do not depend on T, and its variance in any fixed subspace is proportional to T. So with E_b the sum of the variances in
a band b of directions,

    d ln E_b/d ln T = 1        for every band

The bands are subspaces: the first 4, the next 12, 48, 192 and the remaining principal directions of the samples of all
temperatures together, each divided by T. These directions come from one half of every run (in time) and the variances
from the other, and vice versa; within the half that determines them, the largest variances would be too large. The
exponent is the slope over the isotherms of a straight line through ln E_b; its error is increased by √(χ²/dof) where
they scatter about it by more than their errors.

Level 3: it can fail. Weakness: it tests second moments only, so other densities pass, such as those of noise that
depends on the loss. A finite step makes a direction of curvature h hotter by 1/(1 − η_e h/2), which counts as a
deviation. Runs in different minima of Φ are compared as if the minima were alike. Not judged: a band with fewer than
:data:`LEAST_INDEPENDENT` independent samples in half a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import xarray as xr

from weightgas.analysis.cells import isotherms
from weightgas.measurement.entropy.directions import chains, memory, scatter

EDGES = (0, 4, 16, 64, 256)
"""Ranks of the principal directions at which bands begin; the last band has all remaining ones."""
LEAST_INDEPENDENT = 20
"""Least number of independent samples in half a run, for a band in every run that is used."""
MOST_ROWS = 1024
"""The most samples from which the principal directions are computed, spread evenly over runs and time."""
_RECORD = "record directions (snapshots), which span many relaxation times, at two temperatures"


@dataclass(frozen=True)
class Bands:
    """Exponents d ln E_b/d ln T of the bands, with errors; 1 if hypothesis B holds, NaN in a band that is too slow.

    ``names`` are the ranks of each band; ``temperature`` (isotherms,); ``variance`` (isotherms, bands) E_b with its
    error. ``advice`` states what is missing.
    """

    names: tuple[str, ...]
    exponent: np.ndarray
    exponent_err: np.ndarray
    temperature: np.ndarray
    variance: np.ndarray
    variance_err: np.ndarray
    advice: str = ""


def bands(trace: xr.Dataset, state: xr.Dataset) -> Bands:
    """The bands of the stored directions of the cells in equilibrium; no bands with fewer than two temperatures."""
    number = isotherms(state)
    labels = np.unique(number[number >= 0])
    if "directions" not in trace:
        return _none(f"no directions stored: {_RECORD}")
    if len(labels) < 2:
        return _none("needs two temperatures in equilibrium: add effective learning rates")
    temperature = state["temperature"].values
    folds = [
        [(i, j, parts[fold] / np.sqrt(temperature[i])) for i, j, *parts in _halves(trace, number)] for fold in (0, 1)
    ]
    if len({number[i] for i, _, _ in folds[0]}) < 2:
        return _none(f"no directions stored at two temperatures in equilibrium: {_RECORD}")
    shape = (trace.sizes["cell"], trace.sizes["replica"])
    edges = _edges(folds[0], int(state.attrs["dof"]))
    found = [_variances(folds[one], folds[1 - one], edges, shape) for one in (0, 1)]
    value, within, slow = (np.stack([each[k] for each in found]) for k in range(3))
    cells = [
        _averaged(value[..., b].mean(axis=0), np.sqrt((within[..., b] ** 2).sum(axis=0)) / 2)
        for b in range(len(edges) - 1)
    ]
    return _fitted(cells, np.asarray(slow.any(axis=(0, 1, 2))), edges, number, labels, state)


def _none(advice: str) -> Bands:
    empty = np.empty(0)
    return Bands((), empty, empty, empty, np.empty((0, 0)), np.empty((0, 0)), advice)


def _halves(trace: xr.Dataset, number: np.ndarray) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Cell, replica and the two halves of a run, each about its own mean, of the cells that are used."""
    for i, j, x in chains(trace):
        if number[i] >= 0 and len(x) >= 2 * LEAST_INDEPENDENT:
            first, second = x[: len(x) // 2], x[len(x) // 2 :]
            yield i, j, first - first.mean(axis=0), second - second.mean(axis=0)


def _edges(runs: list[tuple[int, int, np.ndarray]], dof: int) -> list[int]:
    """Ranks at which bands begin and end, limited to those that the samples determine well."""
    most = min(dof, MOST_ROWS // 2, sum(len(x) for _, _, x in runs) // 4)
    return [*(edge for edge in EDGES if edge < most), dof]


def _variances(
    known: list[tuple[int, int, np.ndarray]], tested: list[tuple[int, int, np.ndarray]], edges: list[int], shape: tuple
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E_b/T of every run, its error, and whether it has too few independent samples, (cells, replicas, bands) each.

    The principal directions are those of ``known``, the variances those of ``tested``.
    """
    every = -(-sum(len(x) for _, _, x in known) // MOST_ROWS)
    rows = np.concatenate([x[i % every :: every] for i, (_, _, x) in enumerate(known)])
    _, axes = np.linalg.eigh(rows @ rows.T)
    main = rows.T @ axes[:, ::-1][:, : edges[-2] or 1]
    main /= np.linalg.norm(main, axis=0)
    value, error, slow = (np.full((*shape, len(edges) - 1), fill) for fill in (np.nan, np.nan, False))
    for i, j, x in tested:
        inside = x @ main
        for b, (low, high) in enumerate(pairwise(edges)):
            part = inside[:, low:high] if high <= main.shape[1] else x - inside[:, :low] @ main[:, :low].T
            own, squares = memory(part), np.sum(part**2, axis=1)
            independent = len(x) / own.single
            value[i, j, b] = squares.mean() / (1 - min(1 / independent, 0.5))  # the mean removes its own variance
            error[i, j, b] = squares.std() * np.sqrt(own.pairs / len(x))
            slow[i, j, b] = independent < LEAST_INDEPENDENT
    return value, error, slow


def _averaged(value: np.ndarray, within: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over the replicas of (cells, replicas) and their errors; NaN where there is none."""
    some = np.isfinite(value).all(axis=1)
    out = np.full((2, len(value)), np.nan)
    if some.any():
        out[:, some] = scatter(value[some], within[some])
    return out[0], out[1]


def _fitted(
    found: list[tuple[np.ndarray, np.ndarray]], slow: np.ndarray, edges: list[int], number: np.ndarray,
    labels: np.ndarray, state: xr.Dataset,
) -> Bands:  # fmt: skip
    """The exponents from E_b/T of the cells: 1 + d ln(E_b/T)/d ln T."""
    t, t_err = state["temperature"].values, state["temperature_err"].values
    rows = []
    for k in labels:
        here = (number == k) & np.isfinite(found[0][0])
        if here.any():
            n = here.sum()
            relative = np.sqrt(np.sum((t_err[here] / t[here]) ** 2)) / n
            e = [
                (v[here].mean(), np.hypot(np.sqrt(np.sum(s[here] ** 2)) / n, v[here].mean() * relative))
                for v, s in found
            ]
            rows.append((t[here].mean(), *np.transpose(e)))
    order = np.argsort([row[0] for row in rows])
    temperature, share, error = (np.array([rows[k][c] for k in order]) for c in range(3))
    lines = [_line(np.log(temperature), np.log(share[:, b]), error[:, b] / share[:, b]) for b in range(len(found))]
    slope, slope_err = np.array(lines).T
    slope, slope_err = np.where(slow, np.nan, 1 + slope), np.where(slow, np.nan, slope_err)
    names = [f"directions {low + 1} to {high}" for low, high in pairwise(edges)]
    names[-1] = f"directions from {edges[-2] + 1}"
    advice = f"fewer than {LEAST_INDEPENDENT} independent directions in half a run: store them over more steps"
    scale = temperature[:, None]
    return Bands(
        tuple(names), slope, slope_err, temperature, share * scale, error * scale, advice if slow.any() else ""
    )


def _line(x: np.ndarray, y: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Slope of a straight line and its error, increased where the points scatter by more than their errors."""
    weight = error**-2.0
    x, y = (v - np.sum(weight * v) / weight.sum() for v in (x, y))
    square = np.sum(weight * x**2)
    slope = np.sum(weight * x * y) / square
    chi = np.sum(weight * (y - slope * x) ** 2) / max(len(x) - 2, 1) if len(x) > 2 else 0.0
    return float(slope), float(np.sqrt(max(1.0, chi) / square))
