"""The checks of a custom loss and noise before a simulation begins, at some points of the sphere.

The points are the same in every call. A loss must be a finite number at each of them, and homogeneous of degree 0. A
gradient must be that of the loss, tangent, and of degree −1. A noise must be finite, depend only on weights and
normals, and have mean zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

import numpy as np

from weightgas.errors import refuse
from weightgas.simulation.compiled import SHIFT, CompiledLoss, CompiledNoise, plain

POINTS, DRAWS = 8, 4000
SCALES = (0.5, 2.0, 30.0)
INVARIANCE = 1e-6
"""Largest change of the loss with the norm, in units of its spread over the sphere (BatchNorm's eps causes one)."""
AGREEMENT = 1e-3
"""Largest difference of a directional derivative, in units of its size over all directions."""
LARGEST_MEAN = 6.0
"""Largest mean of the noise, in standard errors of ``DRAWS`` draws, over all coordinates and points."""


def points(dim: int, count: int = POINTS) -> np.ndarray:
    """The unit vectors (count, dim) at which functions are checked."""
    x = np.random.default_rng(dim).standard_normal((count, dim))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def try_in_python(what: str, function: Callable[..., Any], dim: int, outputs: int, normals: int = 0) -> Any:
    """Call a function once as plain Python, where a wrong index raises an error.

    Its arguments are w, ``normals`` arrays of normals, and ``outputs`` arrays to write to. The result is its return
    value, or the array that it wrote. ValueError if it raises, changes its input, does not return a number or does not
    write the output.
    """
    name = getattr(function, "__name__", repr(function))
    w = points(dim, 2)
    given = [w[0].copy(), *[w[1].copy()] * normals]
    out = [np.full(dim, np.nan) for _ in range(outputs)]
    try:
        with np.errstate(all="ignore"):
            found = plain(function)(*given, *out)
    except (Exception, SystemExit) as error:
        takes = ["w", *["normals"] * normals, *["out"] * outputs]
        raise ValueError(
            f"{what}: expected a function of {', '.join(takes)}, each of shape ({dim},), got {type(error).__name__} "
            f"from {name}: {error}. Fix the function, or dim."
        ) from error
    if any((a != b).any() for a, b in zip(given, [w[0], *[w[1]] * normals], strict=True)):
        raise ValueError(f"{what}: expected {name} to leave its input alone, got changed weights. Work on a copy.")
    if outputs:
        _all_finite(what, name, out[0], w[0], "Write every entry of the last argument.")
        return out[0]
    if np.ndim(found) != 0 or np.asarray(found).dtype.kind not in "iuf":
        raise refuse(what, f"{name} to return one number", found, "Return a float.")
    return float(np.asarray(found))


def check_loss(compiled: CompiledLoss, dim: int) -> None:
    """ValueError, with a description, if a loss or its gradient is wrong."""
    gradient = compiled.loss.gradient
    name = compiled.loss.name
    w = points(dim)
    value, slope = compiled.both(w)
    _all_finite("loss", name, value, w, "It must be finite everywhere on the sphere.")
    spread = max(float(np.ptp(value)), 1e-9 * float(np.abs(value).max()))
    for scale in SCALES:
        change = compiled.both(scale * w)[0] - value
        worst = int(np.argmax(np.where(np.isfinite(change), np.abs(change), np.inf)))
        if not abs(change[worst]) <= INVARIANCE * spread:
            raise ValueError(
                f"loss: expected a loss that does not depend on the norm of w, got L({scale:g}w) − L(w) = "
                f"{change[worst]:.3g} at w = {_vector(w[worst])} of {name}. Divide by the norm: "
                "w / np.sqrt(np.sum(w**2))."
            )
    if gradient is None:
        return
    name = getattr(gradient, "__name__", name)
    _all_finite("gradient", name, slope, w, "It must be finite everywhere on the sphere.")
    size = float(np.sqrt(np.mean(slope**2)))
    noise = 1e-9 * max(float(np.abs(value).max()), spread)
    fix = "Differentiate L(w/‖w‖): project ∇L on the tangent space and divide it by the norm."
    radial = np.abs(np.sum(w * slope, axis=1))
    if radial.max() > AGREEMENT * size + noise:
        worst = int(radial.argmax())
        got = f"{float(np.sum(w[worst] * slope[worst])):.3g} at w = {_vector(w[worst])} of {name}"
        raise ValueError(f"gradient: expected ⟨w, ∇L⟩ = 0, as L does not depend on the norm, got {got}. {fix}")
    ways = np.random.default_rng(dim + 1).standard_normal(w.shape)
    ways -= np.sum(ways * w, axis=1, keepdims=True) * w
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    measured = (_losses(compiled, w + SHIFT * ways) - _losses(compiled, w - SHIFT * ways)) / (2 * SHIFT)
    given = np.sum(ways * slope, axis=1)
    # the component of a gradient along a random direction is 1/√dim of its length
    allowed = AGREEMENT * max(size, float(np.sqrt(np.mean(measured**2)))) + noise
    off = np.abs(given - measured)
    if off.max() > allowed:
        worst = int(off.argmax())
        raise ValueError(
            f"gradient: expected that of the loss, got {given[worst]:.4g} for {measured[worst]:.4g} along a random "
            f"direction at w = {_vector(w[worst])} of {name}. {fix}"
        )
    twice = compiled.both(2 * w)[1]
    if np.abs(twice - slope / 2).max() > AGREEMENT * max(float(np.abs(slope).max()), noise):
        raise ValueError(
            f"gradient: expected ∇L(2w) = ∇L(w)/2, got a difference of {np.abs(twice - slope / 2).max():.3g} from "
            f"{name}. {fix}"
        )


def check_noise(compiled: CompiledNoise, dim: int) -> bool:
    """Whether a noise is linear in its normals; ValueError, with a description, if it is wrong."""
    name = compiled.noise.name
    w, generator = points(dim), np.random.default_rng(dim)
    first, second = generator.standard_normal((2, *w.shape))
    a, b = compiled.make(w, first), compiled.make(w, second)
    _all_finite("noise", name, a, w, "It must be finite everywhere on the sphere.")
    if not np.array_equal(a, compiled.make(w, first)):
        raise ValueError(
            f"noise: expected {name} to give the same for the same normals, got two results. Make the noise of the "
            "normals alone, so that the seed fixes the run."
        )
    if not a.any():
        raise ValueError(f"noise: expected {name} to be noise, got zeros. Without noise there is no temperature.")
    size = float(np.abs(np.concatenate([a, b])).max())
    sum_of = compiled.make(w, first - 0.5 * second)
    if np.abs(sum_of - (a - 0.5 * b)).max() < 1e-9 * size:
        return True
    few = w[:2]
    many = np.repeat(few, DRAWS, axis=0)
    drawn = compiled.make(many, generator.standard_normal(many.shape)).reshape(len(few), DRAWS, dim)
    drawn -= np.sum(drawn * few[:, None], axis=-1, keepdims=True) * few[:, None]
    scatter = np.maximum(drawn.std(axis=1), 1e-300) / np.sqrt(DRAWS)
    score = drawn.mean(axis=1) / scatter
    if np.abs(score).max() > LARGEST_MEAN:
        i, k = np.unravel_index(np.argmax(np.abs(score)), score.shape)
        raise ValueError(
            f"noise: expected noise of mean zero, got a mean of {drawn.mean(axis=1)[i, k]:.3g} ± {scatter[i, k]:.1g} "
            f"in coordinate {k} at w = {_vector(few[i])} of {name}. Subtract the mean; it belongs to the gradient."
        )
    return False


def noise_trace(compiled: CompiledNoise, directions: np.ndarray, *, linear: bool) -> np.ndarray:
    """tr Σ on the tangent space at unit vectors (n, dim): shape (n,), exact for linear noise, else from 64 draws."""
    dim = directions.shape[1]
    if linear:
        normals, weight = np.eye(dim), 1.0
    else:
        normals, weight = np.random.default_rng(dim).standard_normal((64, dim)), 1 / 64
    total = np.empty(len(directions))
    for i, w in enumerate(directions):
        made = compiled.make(np.tile(w, (len(normals), 1)), normals)
        made -= np.outer(made @ w, w)
        total[i] = weight * np.sum(made**2)
    return total


def fingerprint(*arrays: np.ndarray) -> int:
    """Checksum of the values of functions at the points, which identifies the functions in a run."""
    return crc32(b"".join(np.ascontiguousarray(a, float).tobytes() for a in arrays))


def _losses(compiled: CompiledLoss, weights: np.ndarray) -> np.ndarray:
    """L of weights (n, dim), without the gradient."""
    return np.array([float(compiled.function(w)) for w in np.ascontiguousarray(weights)])


def _all_finite(what: str, name: str, values: np.ndarray, weights: np.ndarray, fix: str) -> None:
    if np.isfinite(values).all():
        return
    wrong = ~np.isfinite(values)
    at = weights if weights.ndim == 1 else weights[int(np.argmax(wrong.reshape(len(weights), -1).any(axis=1)))]
    got = f"{values[wrong][0]} at w = {_vector(at)}"
    raise ValueError(f"{what}: expected finite numbers from {name}, got {got}. {fix}")


def _vector(w: np.ndarray) -> str:
    """A vector in short form."""
    shown = ", ".join(f"{x:.3g}" for x in w[:4])
    return f"[{shown}{', …' if len(w) > 4 else ''}]"
