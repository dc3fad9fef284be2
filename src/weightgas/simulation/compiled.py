"""Custom functions, compiled: one signature for each kind, so that one kernel runs them all.

A function that raises counts as one that returns NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numba
import numpy as np
from numba import types

from weightgas.losses import CustomLoss, CustomNoise, QuadraticForm

_VECTOR = types.float64[::1]
LOSS_SIGNATURE = types.float64(_VECTOR, _VECTOR)
NOISE_SIGNATURE = types.void(_VECTOR, _VECTOR, _VECTOR)
SHIFT = 6e-6
"""Displacement of central differences of the loss: the cube root of the rounding of a float."""
TURN = 1e-4
"""That of the gradient, for curvatures: rounding and truncation are both about 10⁻⁸ of it."""


@numba.cfunc(LOSS_SIGNATURE, cache=True)
def no_loss(w, out):  # pragma: no cover - compiled
    """Placeholder where the loss is known as a form."""
    return 0.0


@numba.cfunc(NOISE_SIGNATURE, cache=True)
def no_noise(w, normals, out):  # pragma: no cover - compiled
    """Placeholder where the noise is known by its covariance."""
    out[0] = 0.0


@dataclass(frozen=True, eq=False)
class CompiledLoss:
    """A custom loss: ``evaluate(w, out)`` returns L and writes ∇L, as the kernel calls it."""

    loss: CustomLoss
    function: Any
    evaluate: Any

    def both(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """L (…) and ∇L (…, dim) of weights (…, dim)."""
        rows = np.ascontiguousarray(weights, dtype=float).reshape(-1, weights.shape[-1])
        value, gradient = np.empty(len(rows)), np.empty_like(rows)
        _evaluate(self.evaluate, rows, value, gradient)
        return value.reshape(weights.shape[:-1]), gradient.reshape(weights.shape)


@dataclass(frozen=True, eq=False)
class CompiledNoise:
    """A custom noise: ``fill(w, normals, out)``, as the kernel calls it."""

    noise: CustomNoise
    fill: Any

    def make(self, directions: np.ndarray, normals: np.ndarray) -> np.ndarray:
        """The noise (n, dim) at directions (n, dim) from normals (n, dim), not projected."""
        out = np.empty_like(directions)
        _fill(self.fill, np.ascontiguousarray(directions), np.ascontiguousarray(normals), out)
        return out


@dataclass(frozen=True)
class CustomForm(QuadraticForm):
    """A custom loss in place of a :class:`QuadraticForm`; it has no coefficients."""

    compiled: CompiledLoss | None = None

    def loss(self, directions: np.ndarray) -> np.ndarray:
        """L of unit vectors (…, dim): shape (…)."""
        assert self.compiled is not None
        return self.compiled.both(directions)[0]

    def mean_grad_sq(self, directions: np.ndarray) -> np.ndarray:
        """‖∇L‖² (tangent part) of unit vectors (…, dim): shape (…)."""
        assert self.compiled is not None
        gradient = self.compiled.both(directions)[1]
        radial = np.sum(gradient * directions, axis=-1, keepdims=True)
        return np.sum((gradient - radial * directions) ** 2, axis=-1)


def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """The Python function of a compiled one, else the function itself."""
    return getattr(function, "py_func", function)


@lru_cache(maxsize=64)
def compile_loss(loss: CustomLoss) -> CompiledLoss:
    """Compile loss and gradient; ValueError if numba cannot, which states which of them and why."""
    function = _jitted("loss", loss.loss, (_VECTOR,), types.float64)
    if loss.gradient is None:
        evaluate = _with_differences(function)
    else:
        evaluate = _with_gradient(function, _jitted("gradient", loss.gradient, (_VECTOR, _VECTOR), types.none))
    return CompiledLoss(loss, function, numba.cfunc(LOSS_SIGNATURE, error_model="numpy")(evaluate))


@lru_cache(maxsize=64)
def compile_noise(noise: CustomNoise) -> CompiledNoise:
    """Compile a noise; ValueError if numba cannot."""
    function = _jitted("noise", noise.noise, (_VECTOR, _VECTOR, _VECTOR), types.none)

    def fill(w, normals, out):  # pragma: no cover - compiled
        try:
            function(w, normals, out)
        except Exception:
            out[0] = np.nan

    return CompiledNoise(noise, numba.cfunc(NOISE_SIGNATURE, error_model="numpy")(fill))


def _with_gradient(loss: Any, gradient: Any) -> Callable[..., float]:
    def evaluate(w, out):  # pragma: no cover - compiled
        try:
            gradient(w, out)
            value = loss(w)
        except Exception:
            value = np.nan
        return value

    return evaluate


def _with_differences(loss: Any) -> Callable[..., float]:
    def evaluate(w, out):  # pragma: no cover - compiled
        try:
            moved = w.copy()
            for i in range(w.size):
                moved[i] = w[i] + SHIFT
                above = loss(moved)
                moved[i] = w[i] - SHIFT
                out[i] = (above - loss(moved)) / (2.0 * SHIFT)
                moved[i] = w[i]
            value = loss(w)
        except Exception:
            value = np.nan
        return value

    return evaluate


def _jitted(what: str, function: Callable[..., Any], arguments: tuple[Any, ...], returns: Any) -> Any:
    """``function`` compiled for these arguments."""
    compiled: Any = function if hasattr(function, "py_func") else numba.njit(error_model="numpy")(function)
    name = getattr(function, "__name__", repr(function))
    fix = "Write it for arrays of float64 with NumPy, loops and math; functions that it calls need @numba.njit."
    try:
        compiled.compile(arguments)
        found = compiled.overloads[arguments].signature.return_type
    except Exception as error:  # numba raises errors of its own and those of the function
        raise ValueError(
            f"{what}: expected a function that numba can compile, got {name}: {_reason(error)}. {fix}"
        ) from error
    if returns == types.none and found != types.none:
        raise ValueError(f"{what}: expected {name} to write into its last argument, got one that returns {found}.")
    if returns != types.none and not isinstance(found, types.Float | types.Integer):
        raise ValueError(f"{what}: expected {name} to return a number, got {found}. {fix}")
    return compiled


def _reason(error: Exception) -> str:
    """The essential part of a numba message in one line, without compiler stages and web addresses."""
    noise = ("Failed in", "During", "File", "This error", "For more information", "To see", "If you think", "Please")
    lines = [line.strip() for line in str(error).splitlines()]
    kept = [s for s in lines if s and not s.startswith((*noise, "https", "<source", "^", "- "))]
    place = next((s for s in lines if s.startswith("File")), "")
    return "; ".join(kept[:3])[:300] + (f" ({place})" if place else "")


@numba.njit(cache=True)
def _evaluate(evaluate, weights, value, gradient):  # pragma: no cover - compiled
    for i in range(len(weights)):
        value[i] = evaluate(weights[i], gradient[i])


@numba.njit(cache=True)
def _fill(fill, weights, normals, out):  # pragma: no cover - compiled
    for i in range(len(weights)):
        fill(weights[i], normals[i], out[i])
