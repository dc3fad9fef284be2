"""A custom loss and a custom gradient noise: plain Python functions of the weights, compiled by the simulation.

The functions take one vector of weights, and use NumPy, loops and ``math`` in the form that numba compiles; a compiled
function is used as it is. They are called only with unit vectors, since the loss is scale-invariant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from weightgas.errors import refuse, wrong_type


@dataclass(frozen=True, repr=False)
class CustomLoss:
    """A custom scale-invariant loss L(w) = L(w/‖w‖).

    Parameters
    ----------
    loss
        ``loss(w) -> float`` of weights ``w`` of shape (dim,), which it must not change; homogeneous of degree 0.
    gradient
        ``gradient(w, out)`` writes ∇L(w), of shape (dim,), into ``out``; ⟨w, ∇L⟩ = 0 and ∇L(cw) = ∇L(w)/c. By default
        central differences of the loss, with 2 dim calls per step, accurate to about 10⁻⁹.
    sampler
        ``sampler(dim, temperature, size, generator)`` returns ``size`` unit vectors (size, dim) of ρ ∝ exp(−L/T), the
        directions in which the runs start; it is called from Python. By default runs start in random directions, at the
        corresponding radius, and equilibrate during the warm-up.
    name
        Name in traces and reports, by default that of ``loss``.

    Raises
    ------
    TypeError
        If ``loss``, ``gradient`` or ``sampler`` is not callable, or ``name`` is not text.

    Other errors are found when a simulation begins, in its dimension: a function that fails or that numba cannot
    compile, a loss that is not scale-invariant or not finite, a gradient that is not that of the loss (ValueError).
    """

    loss: Callable[..., Any]
    gradient: Callable[..., Any] | None = None
    sampler: Callable[..., Any] | None = None
    name: str = ""

    def __post_init__(self) -> None:
        _callables(loss=self.loss, gradient=self.gradient, sampler=self.sampler)
        object.__setattr__(self, "name", _name(self.name, self.loss))

    def __repr__(self) -> str:
        return f"CustomLoss({self.name})"

    def sample(self, dim: int, temperature: float, size: int, generator: np.random.Generator) -> np.ndarray:
        """``size`` unit vectors as starting directions, (size, dim): from the sampler, or random ones."""
        if self.sampler is None:
            x = generator.standard_normal((size, dim))
        else:
            x = np.asarray(self.sampler(dim, temperature, size, generator), dtype=float)
        norm = np.linalg.norm(x, axis=-1, keepdims=True) if x.shape == (size, dim) else np.zeros(1)
        if not (np.isfinite(norm).all() and (norm > 0).all()):
            got = f"shape {x.shape}" if x.shape != (size, dim) else "a vector that is zero or not finite"
            raise refuse("sampler", f"unit vectors of shape ({size}, {dim})", got, f"Fix the sampler of {self.name}.")
        return x / norm


@dataclass(frozen=True, repr=False)
class CustomNoise:
    """A custom gradient noise on the unit sphere: any function of random normals and the weights.

    Parameters
    ----------
    noise
        ``noise(w, normals, out)`` writes the noise at the unit vector ``w``, of shape (dim,), into ``out``, from
        ``dim`` independent standard normals. Its mean must be zero, and its component along ``w`` is removed. If it is
        linear in the normals, its covariance is known, and the trace also has ``noise_cov_sq`` (up to 100 weights) and
        ``noise_curvature`` (up to 1000 weights).
    name
        Name in traces and reports, by default that of ``noise``.

    Raises
    ------
    TypeError
        If ``noise`` is not callable, or ``name`` is not text. Other errors are found when a simulation begins.
    """

    noise: Callable[..., Any]
    name: str = ""

    def __post_init__(self) -> None:
        _callables(noise=self.noise)
        object.__setattr__(self, "name", _name(self.name, self.noise))

    def __repr__(self) -> str:
        return f"CustomNoise({self.name})"


def _callables(**functions: Any) -> None:
    for name, function in functions.items():
        needed = name in ("loss", "noise")
        if not (callable(function) or (function is None and not needed)) or isinstance(function, type):
            fix = "Pass a function of the weights, as in weightgas.losses.CustomLoss and CustomNoise."
            raise wrong_type(name, "a function", function, fix)


def _name(name: Any, function: Callable[..., Any]) -> str:
    if not isinstance(name, str):
        raise wrong_type("name", "text", name, "Omit it for the name of the function.")
    return name or getattr(function, "__name__", type(function).__name__)
