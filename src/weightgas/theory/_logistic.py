"""The Gibbs slope of two known densities of the energy."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

_MOST, _CLOSE = 50, 1e-10

Density = tuple[ArrayLike, ArrayLike]
"""Energies, and the probability of each."""


def slope(cold: Density, hot: Density, guess: float = 0.0) -> float:
    """Slope in the logistic regression "hot or cold" on the energy, for infinitely many energies, as many from each.

    The maximum of E_cold ln(1 − p) + E_hot ln p, where the logit of p is linear in the energy, by Newton's method from
    ``guess``.
    """
    each = [(np.asarray(x), np.asarray(w)) for x, w in (cold, hot)]
    energy, weight = (np.concatenate(pair) for pair in zip(*each, strict=True))
    hotter = np.arange(len(energy)) >= len(each[0][0])
    means = [float(np.average(x, weights=w)) for x, w in each]
    scale = np.sqrt(sum(np.average((x - m) ** 2, weights=w) for (x, w), m in zip(each, means, strict=True)))
    design = np.stack([np.ones_like(energy), (energy - sum(means) / 2) / scale], axis=1)
    beta = np.array([0.0, guess * scale])
    for _ in range(_MOST):
        p = expit(design @ beta)
        information = (design * (weight * p * (1 - p))[:, None]).T @ design
        change = np.linalg.solve(information, design.T @ (weight * (hotter - p)))
        beta += np.clip(change, -5, 5)
        if np.abs(change).max() < _CLOSE:
            break
    return float(beta[1] / scale)
