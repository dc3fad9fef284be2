"""The anisotropic gas: the stationary state of SGD with any noise in a harmonic well, from H, Σ and η_e alone.

About the minimum, on the tangent space of the sphere, the step is w₊ = w − η_e(Hw + n) with E n nᵀ = Σ. Its stationary
covariance solves the discrete Lyapunov equation HC + CH − η_e HCH = η_e Σ, in the eigenbasis of H

    C_ij = η_e Σ_ij/(h_i + h_j − η_e h_i h_j)

and with Gaussian noise the state is Gaussian. Mean and variance of the loss, its density, ‖∇L‖², T_conf, the Gibbs
slope and the entropy then follow from C. At small steps tr HC does not depend on whether H and Σ commute: U − L(m) = RT
for any noise. The fluctuations do depend on it,

    (Var U/T²)/R = D Σ_ij Σ_ij² 4h_ih_j/(h_i + h_j)²/(tr Σ)²  ≤  D tr Σ²/(tr Σ)² = D/d_eff      (η_e h ≪ 1)

with equality where H and Σ commute; D is the dimension of the tangent space.

This is exact for a quadratic loss in flat space and Gaussian noise of constant Σ. On the sphere it is the leading order
in C.
Source: Mandt, Hoffman and Blei, arXiv 1704.04289 (continuous time); Liu, Ziyin and Ueda, arXiv 2012.03636 (discrete).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft

from weightgas.errors import refuse
from weightgas.theory import _logistic
from weightgas.theory._arguments import broadcasting, finite, positive

_POINTS, _WIDTHS = 2**14, 30.0
"""Points of the grid of losses, and its length in standard deviations of the loss."""


@dataclass(frozen=True, eq=False)
class AnisotropicGas:
    """The stationary state of w₊ = w − η_e(Hw + n) in a harmonic well.

    Parameters
    ----------
    hessian
        H on the unit sphere, (D, D), symmetric and positive definite, or its eigenvalues (D,).
    noise
        Σ, the covariance of the gradient on the unit sphere, in the same axes as ``hessian``: (D, D), symmetric and
        positive semi-definite, or its diagonal (D,).
    elr
        Effective learning rate η_e.

    Raises
    ------
    ValueError
        If a matrix is not symmetric, H not positive, shapes disagree, or η_e h ≥ 2 for an eigenvalue: then the step
        diverges.
    """

    hessian: ArrayLike
    noise: ArrayLike
    elr: float
    curvatures: NDArray[np.float64] = field(init=False, repr=False)
    _axes: NDArray[np.float64] | None = field(init=False, repr=False)
    _noise: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        hessian, noise = _symmetric("hessian", self.hessian), _symmetric("noise", self.noise)
        if len(hessian) != len(noise):
            fix = "Pass both in the same dimension."
            raise refuse("noise", f"{len(hessian)} rows, as many as the Hessian has", len(noise), fix)
        curvatures, axes = (hessian, None) if hessian.ndim == 1 else np.linalg.eigh(hessian)
        noise = np.diag(noise) if noise.ndim == 1 else noise
        step = float(positive("elr", self.elr)) * curvatures
        if not (curvatures > 0).all():
            fix = "Exclude directions without curvature: they have no stationary state."
            raise refuse("hessian", "positive eigenvalues", float(curvatures.min()), fix)
        if not (step < 2).all():
            fix = "The step diverges; lower elr."
            raise refuse("elr", "η_e h below 2 for every eigenvalue h of the Hessian", float(step.max()), fix)
        turned = noise if axes is None else axes.T @ noise @ axes
        for name, value in (("curvatures", curvatures), ("_axes", axes), ("_noise", turned)):
            object.__setattr__(self, name, value)

    @cached_property
    def _covariance(self) -> NDArray[np.float64]:
        """C in the eigenbasis of H."""
        h = self.curvatures
        return self.elr * self._noise / (h[:, None] + h - self.elr * h[:, None] * h)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Covariance C of the weights, (D, D), in the axes of ``hessian``."""
        return self._covariance if self._axes is None else self._axes @ self._covariance @ self._axes.T

    @property
    def temperature(self) -> float:
        """Temperature T = η_e tr Σ/(2D)."""
        return self.elr * float(np.trace(self._noise)) / (2 * len(self.curvatures))

    @property
    def energy(self) -> float:
        """Energy above the minimum, U − L(m) = ½ tr HC."""
        return float(self.curvatures @ np.diag(self._covariance)) / 2

    @property
    def grad_sq(self) -> float:
        """Mean squared gradient E‖∇L‖² = tr H²C."""
        return float(self.curvatures**2 @ np.diag(self._covariance))

    @property
    def temperature_conf(self) -> float:
        """Configurational temperature E‖∇L‖²/tr H; equal to T for isotropic noise and small steps."""
        return self.grad_sq / float(self.curvatures.sum())

    @property
    def energy_variance(self) -> float:
        """Variance of the energy, Var U = ½ tr (HC)²."""
        h = self.curvatures
        return float(np.sum(self._covariance**2 * h * h[:, None])) / 2

    @property
    def entropy(self) -> float:
        """Entropy ½ ln det 2πeC in nats; −∞ if a direction has no noise."""
        sign, log_det = np.linalg.slogdet(self._covariance)
        return float(len(self.curvatures) / 2 * np.log(2 * np.pi * np.e) + log_det / 2) if sign > 0 else -np.inf

    @property
    def fluctuation(self) -> float:
        """Fluctuation (Var U/T²)/R with R = D/2, at this step size."""
        return self.energy_variance / self.temperature**2 / (len(self.curvatures) / 2)

    @cached_property
    def modes(self) -> NDArray[np.float64]:
        """Eigenvalues λ_k ≥ 0 of √H C √H, ascending: U − L(m) = ½ Σ λ_k z_k² with independent standard normals z_k."""
        root = np.sqrt(self.curvatures)
        found = np.linalg.eigvalsh(self._covariance * root * root[:, None])
        return np.maximum(found, 0.0).astype(np.float64)

    @cached_property
    def energy_bins(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Losses above L(m) in the middle of equal bins, and the probability of each bin.

        By Fourier inversion of Π (1 − iλ_k t)^{−½} times the transform of a bin, which smooths the singularity that a
        single mode has at zero.
        """
        spread = np.sqrt(self.energy_variance)
        low, width = max(self.energy - _WIDTHS / 2 * spread, 0.0) - spread, _WIDTHS * spread
        count = _POINTS
        bin_ = width / count
        t = 2 * np.pi / width * np.arange(count // 2 + 1)
        log_characteristic = np.zeros(len(t), complex)
        for part in np.array_split(self.modes[self.modes > 0], max(1, len(self.modes) // 64)):
            log_characteristic -= 0.5 * np.log(1 - 1j * t[:, None] * part).sum(axis=1)
        with np.errstate(under="ignore"):
            characteristic = np.exp(log_characteristic - 1j * t * (low + bin_ / 2)) * np.sinc(t * bin_ / (2 * np.pi))
            found = irfft(np.conj(characteristic), count)
        share = np.maximum(np.asarray(found, np.float64), 0.0)
        return low + bin_ * (np.arange(count) + 0.5), share / share.sum()

    def energy_cdf(self, energy: ArrayLike) -> NDArray[np.float64]:
        """Probability that the loss is at most ``energy`` above L(m), from :attr:`energy_bins`."""
        middle, share = self.energy_bins
        edges = np.append(middle, 2 * middle[-1] - middle[-2]) - (middle[1] - middle[0]) / 2
        return np.interp(finite("energy", energy), edges, np.append(0.0, np.cumsum(share)), left=0.0, right=1.0)

    def gibbs_slope(self, hot: AnisotropicGas) -> float:
        """Slope in the logistic regression "hot or this gas" on the loss, for infinitely many samples of both.

        1/T − 1/T_hot for isotropic noise and small steps.
        """
        return _logistic.slope(self.energy_bins, hot.energy_bins)


@broadcasting
def fluctuation(hessian: ArrayLike, noise: ArrayLike) -> float:
    """Fluctuation (Var U/T²)/R at small steps, D Σ_ij Σ_ij² 4h_ih_j/(h_i + h_j)²/(tr Σ)².

    Arguments as for :class:`AnisotropicGas`. Where H and Σ commute it has its upper bound D/d_eff
    (:func:`fluctuation_bound`); it is 1 for isotropic noise.
    """
    gas = AnisotropicGas(hessian, noise, 1e-9 / float(np.abs(np.asarray(hessian, float)).sum()))
    return gas.fluctuation


def fluctuation_bound(noise: ArrayLike) -> float:
    """Largest fluctuation (Var U/T²)/R that any curvature allows at small steps, D tr Σ²/(tr Σ)² = D/d_eff."""
    matrix = _symmetric("noise", noise)
    trace = matrix.sum() if matrix.ndim == 1 else np.trace(matrix)
    return float(len(matrix) * np.sum(matrix**2) / trace**2)


def _symmetric(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """A symmetric matrix, or a diagonal, as float64."""
    matrix = finite(name, value)
    if matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] > 0:
        if np.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-10 * np.abs(matrix).max()):
            return (matrix + matrix.T) / 2
        raise refuse(name, "a symmetric matrix", f"one off by {np.abs(matrix - matrix.T).max():.3g}", "Symmetrise it.")
    if matrix.ndim != 1 or not len(matrix):
        raise refuse(name, "a square matrix or its diagonal", f"shape {matrix.shape}", "Pass shape (D, D) or (D,).")
    return matrix
