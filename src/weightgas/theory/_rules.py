"""Gauss rules and orthonormal polynomials for the densities of the isotropic noise model.

Nodes are the eigenvalues of the Jacobi matrix (Golub and Welsch 1969), and weights are 1/Σ p_i² at the nodes. Unlike
the squared eigenvectors, these have a small relative error even if they are tiny.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal

Array = NDArray[np.float64]


class OverlapRule(NamedTuple):
    """Gauss rule for x = 1 + z with the von Mises–Fisher density of z, and its orthonormal polynomials in x."""

    nodes: Array
    weights: Array
    centers: Array
    widths: Array
    scale: float

    def polynomials(self, gap: Array, count: int) -> Array:
        """The first ``count`` polynomials at ``gap``, (count, ...): x p_i = w_{i+1} p_{i+1} + c_i p_i + w_i p_{i−1}."""
        x = gap / self.scale
        out = np.empty((count, *x.shape))
        out[0] = 1.0
        for i in range(count - 1):
            out[i + 1] = (x - self.centers[i]) * out[i]
            if i:
                out[i + 1] -= self.widths[i] * out[i - 1]
            out[i + 1] /= self.widths[i + 1]
        return out


def overlap_rule(dim: int, temperature: float, size: int) -> OverlapRule:
    """``size`` nodes for ρ(z) ∝ (1 − z²)^{(d−3)/2} e^{−z/T}, by the Stieltjes procedure on a fine grid in artanh z.

    In artanh z the density is analytic and falls off at both ends, so equal steps integrate it to rounding error; 1 + z
    has no cancellation at any temperature.
    """
    dof, kappa = dim - 1.0, 1 / temperature
    root = np.hypot(dof, 2 * kappa)
    mode = (dof + dof**2 / (root + 2 * kappa)) / (dof + root)  # 1 + z at the maximum of the density of artanh z
    width = (mode * (2 - mode) * (dof + 2 * (1 - mode) * kappa)) ** -0.5
    step = min(0.2, width / 3, (6.25 * (dof / 2 + 2 * size)) ** -0.5)  # the last: where x^(2 size) has its maximum
    count = int((80 / dof + 12 * width) / step) + 5
    t = np.log(mode / (2 - mode)) / 2 + step * np.arange(-count, count + 1)
    gap, rest = 2 / (1 + np.exp(-2 * t)), 2 / (1 + np.exp(2 * t))
    log_weight = dof / 2 * np.log(gap * rest) - kappa * gap
    log_weight -= log_weight.max()
    # Powers of 1 + z grow, so the upper tail must extend further.
    kept = (log_weight > -80) | ((gap > mode) & (log_weight > -400))
    gap, weight = gap[kept], np.exp(log_weight[kept])
    weight /= weight.sum()
    scale = float(weight @ gap)
    x = gap / scale
    centers, widths = np.empty(size), np.zeros(size)
    before = np.empty((size, x.size))
    p = np.ones_like(x)
    for i in range(size):
        before[i] = p
        centers[i] = weight @ (x * p * p)
        following = x * p
        for _ in range(2):  # twice is enough: orthogonal to rounding error
            following = following - (before[: i + 1] @ (weight * following)) @ before[: i + 1]
        norm = np.sqrt(weight @ following**2)
        if i + 1 < size:
            widths[i + 1] = norm
        p = following / norm
    found = OverlapRule(_nodes(centers, widths) * scale, np.empty(0), centers, widths, scale)
    weights = 1 / np.sum(found.polynomials(found.nodes, size) ** 2, axis=0)
    return found._replace(weights=weights)


@lru_cache(maxsize=64)
def normal_rule(size: int) -> tuple[Array, Array]:
    """Nodes and weights for a standard normal; cached, so do not change them."""
    nodes = _nodes(np.zeros(size), np.sqrt(np.arange(size)))
    return _kept(nodes, 1 / np.sum(hermite(nodes, size) ** 2, axis=0))


@lru_cache(maxsize=64)
def chi_square_rule(freedom: int, size: int) -> tuple[Array, Array]:
    """Nodes and weights for a chi-square variable; for 0 degrees of freedom, the number 0. Cached too."""
    if freedom == 0:
        return _kept(np.zeros(1), np.ones(1))
    order, alpha = np.arange(size, dtype=np.float64), freedom / 2 - 1
    centers, widths = 2 * order + (alpha + 1), np.sqrt(order * (order + alpha))
    found = OverlapRule(_nodes(centers, widths), np.empty(0), centers, widths, 1.0)
    return _kept(2 * found.nodes, 1 / np.sum(found.polynomials(found.nodes, size) ** 2, axis=0))


def _kept(nodes: Array, weights: Array) -> tuple[Array, Array]:
    nodes.flags.writeable = weights.flags.writeable = False
    return nodes, weights


def _nodes(centers: Array, widths: Array) -> Array:
    return np.asarray(eigh_tridiagonal(centers, widths[1:], eigvals_only=True))


def hermite(v: Array, count: int) -> Array:
    """The first ``count`` orthonormal Hermite polynomials of a standard normal at ``v``, (count, ...)."""
    out = np.empty((count, *v.shape))
    out[0] = 1.0
    for i in range(count - 1):
        out[i + 1] = v * out[i]
        if i:
            out[i + 1] -= np.sqrt(i) * out[i - 1]
        out[i + 1] /= np.sqrt(i + 1)
    return out
