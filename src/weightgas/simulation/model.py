"""What is simulated: a loss and a noise of one dimension, checked, in the axes in which the loss is diagonal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from weightgas.errors import refuse, whole_number
from weightgas.potentials import Isotropic, Linear, Noise, Potential, QuadraticForm


@dataclass(frozen=True, eq=False)
class Model:
    """A potential and a noise in ``dim`` dimensions.

    ``form`` is the loss; ``factor`` is B of the noise covariance Σ = B Bᵀ in the axes of the loss, (dim,) where the
    coordinates are independent, else (dim, dim). ``strength`` are a and b of a noise whose covariance is (a + b L) Σ.
    """

    potential: Potential
    noise: Noise
    dim: int
    form: QuadraticForm
    factor: np.ndarray
    strength: tuple[float, float] = (1.0, 0.0)

    @property
    def linear(self) -> bool:
        """Whether the loss is that of one overlap z = b·w̄ with a unit vector b, so that the density of z is counted."""
        return not self.form.curvature.any() and bool(abs(self.form.linear @ self.form.linear - 1) < 1e-12)

    @property
    def reducible(self) -> bool:
        """Whether overlap and radius are a Markov chain of their own: linear loss, isotropic noise of any strength."""
        return self.linear and self.factor.ndim == 1 and bool((self.factor == self.factor[0]).all())

    @property
    def spread(self) -> np.ndarray:
        """The factor as the kernel takes it: (dim, 1) or (dim, dim)."""
        return np.ascontiguousarray(self.factor[:, None] if self.factor.ndim == 1 else self.factor)

    def overlap(self, directions: np.ndarray) -> np.ndarray:
        """z = b·w̄ of unit vectors (…, dim)."""
        return directions @ self.form.linear

    def noise_trace(self, directions: np.ndarray) -> np.ndarray:
        """tr PΣP = (a + b L)(tr Σ − w̄ᵀΣw̄) of unit vectors (…, dim), shape (…)."""
        along = directions * self.factor if self.factor.ndim == 1 else directions @ self.factor
        strength = self.strength[0] + self.strength[1] * self.form.loss(directions)
        return strength * (np.sum(self.factor**2) - np.sum(along**2, axis=-1))

    def to_original(self, vectors: np.ndarray) -> np.ndarray:
        """From the axes of the loss to the coordinates the user gave it in."""
        return vectors if self.form.axes is None else vectors @ self.form.axes.T

    def to_axes(self, vectors: np.ndarray) -> np.ndarray:
        """From the user's coordinates to the axes of the loss."""
        return vectors if self.form.axes is None else vectors @ self.form.axes

    def attributes(self) -> dict[str, Any]:
        """Names and checksums, by which a trace says what was simulated."""
        form = self.form
        arrays = [np.float64(form.constant), form.linear, form.curvature, *([] if form.axes is None else [form.axes])]
        return {
            "potential": self.potential.name,
            "potential_crc": crc32(b"".join(np.ascontiguousarray(a, float).tobytes() for a in arrays)),
            "noise": self.noise.name,
            "noise_crc": crc32(np.ascontiguousarray(self.noise.factor(self.dim), float).tobytes()),
        }

    def facts(self) -> dict[str, float]:
        """What is known exactly of the loss and later checks need, where it is.

        ``laplacian_slope``: ΔL = slope · L + constant on the sphere, for a loss that is linear (−(d−1)) or quadratic
        (−2d), the two degrees of spherical harmonics; ``log_det_hessian`` at its minimum, unless it is degenerate, and
        the number of equal ``minima``: a quadratic loss has that of w̄ at −w̄ too.
        """
        form, dim = self.form, self.dim
        if form.linear.any() and form.curvature.any():
            return {}
        if form.linear.any():
            slope, hessian = 1.0 - dim, np.full(dim - 1, np.linalg.norm(form.linear))
        else:
            slope, hessian = -2.0 * dim, np.sort(form.curvature)[1:] - form.curvature.min()
        known = {"log_det_hessian": float(np.log(hessian).sum())} if hessian.min() > 0 else {}
        return {"laplacian_slope": slope, "minima": 1.0 if form.linear.any() else 2.0, **known}


def checked(potential: Potential | None, noise: Noise | None, dim: int) -> Model:
    """The model, by default linear loss and isotropic noise; TypeError or ValueError where a part of it is wrong."""
    potential = Linear() if potential is None else potential
    noise = Isotropic() if noise is None else noise
    if not isinstance(potential, Potential) or isinstance(potential, type):
        got = potential if isinstance(potential, type) else type(potential)
        raise TypeError(
            f"potential: expected an object with name, form and sample, got {got.__name__}. See weightgas.potentials."
        )
    if not isinstance(noise, Noise) or isinstance(noise, type):
        got = noise if isinstance(noise, type) else type(noise)
        raise TypeError(
            f"noise: expected an object with name and factor, got {got.__name__}. See weightgas.potentials."
        )
    dim = whole_number("dim", dim, minimum=2, fix="A sphere needs at least two weights.")
    form = potential.form(dim)
    shapes = {"linear": (form.linear, [(dim,)]), "curvature": (form.curvature, [(dim,)])}
    shapes |= {} if form.axes is None else {"axes": (form.axes, [(dim, dim)])}
    factor = np.asarray(noise.factor(dim), dtype=float)
    for name, (array, allowed) in {**shapes, "factor": (factor, [(dim,), (dim, dim)])}.items():
        if np.shape(array) not in allowed or not np.isfinite(array).all():
            expected = f"finite numbers of shape {' or '.join(map(str, allowed))}"
            raise refuse(name, expected, f"shape {np.shape(array)}", "Mend the potential or the noise.")
    same = factor.ndim == 1 and bool((factor == factor[0]).all())  # isotropic noise is so in any axes
    if form.axes is not None and not same:
        factor = form.axes.T @ (np.diag(factor) if factor.ndim == 1 else factor)
    offset, slope = (float(x) for x in getattr(noise, "strength", (1.0, 0.0)))
    if not np.isfinite([offset, slope]).all():
        raise refuse("noise", "a finite strength (a, b)", f"({offset}, {slope})", "Mend the noise.")
    return Model(potential, noise, dim, form, factor, (offset, slope))
