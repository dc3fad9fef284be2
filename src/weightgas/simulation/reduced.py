"""The compiled step for the loss of one overlap and isotropic noise: two numbers per run, in any dimension.

For L = c + z, z = μᵀw̄, and noise of variance σ² in every tangent direction, the pair y = w·μ, t = ‖w − yμ‖ is a Markov
chain, since all directions perpendicular to μ are equivalent. With n ~ N(0, 1), q ~ χ²_{d−2}, ζ = t/r, a = ζ + σn and
the step w ← Kw − Cg̃ (g̃ the gradient on the unit sphere),

    y ← Ky − Caζ        t² ← (Kt + Caz)² + C²σ²q        G = a² + σ²q

K = 1 − ηλ, C = η/r (fixed LR); K = 1 − η_e r²λ, C = η_e r (fixed ELR); K = 1, C = η_e r and back to r (sphere). The
chain is exact, and costs the same in three dimensions as in three million:
:func:`weightgas.simulation.reference.reduced_step`. It records what the full step records, with the columns of
:mod:`.kernels`. Lanes are those of :mod:`.lanes`.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from weightgas.simulation import kernels, lanes
from weightgas.simulation.density import visit
from weightgas.simulation.lanes import CHUNK, ROOM, STREAM, WIDTH, WORDS, fma
from weightgas.simulation.lanes import log as _log

_Y, _ACROSS_SQ, _RATE, _DECAY, _RADIUS, _SUMS = range(6)
_LATENCY, _EACH = 20.0, 2.5
"""Rough nanoseconds of a step: those that lanes share and those of a lane; for the choice of their number."""


def lanes_for(tasks: int, threads: int) -> int:
    """The fastest number of lanes side by side on so many threads; it changes no result."""
    sizes = [min(n, tasks) for n in range(8, WIDTH + 1, 8)]
    return min(sizes, key=lambda n: math.ceil(math.ceil(tasks / n) / threads) * (_LATENCY + n * _EACH))


def packed(weights: np.ndarray, stream: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The form in a trace of y and t² (N, 2) and words (N, STREAM): y and t, and the words followed by the bits of t².

    The root is rounded, so a run continued from t alone would differ from one without interruption.
    """
    bits = np.ascontiguousarray(weights[:, 1]).view(np.uint64)
    with np.errstate(invalid="ignore"):  # for a run that diverged
        return np.column_stack([weights[:, 0], np.sqrt(weights[:, 1])]), np.column_stack([stream, bits])


def unpacked(weights: np.ndarray, stream: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of :func:`packed`."""
    across_sq = np.ascontiguousarray(stream[:, STREAM]).view(np.float64)
    return np.column_stack([weights[:, 0], across_sq]), np.ascontiguousarray(stream[:, :STREAM])


@numba.njit(inline="always")
def _step(f, normals, place, lanes, flags, constant, heat):  # pragma: no cover - compiled
    """One step of every lane, added to the sums; ``place`` is the position of its draws."""
    (scaled, projected), (variance, offset, slope) = flags, heat
    least = -1e-14 * abs(slope)  # a variance above this is zero, except for the rounding of the loss
    for i in range(lanes):
        y, across_sq = f[_Y * WIDTH + i], f[_ACROSS_SQ * WIDTH + i]
        rate, decay = f[_RATE * WIDTH + i], f[_DECAY * WIDTH + i]
        square = fma(y, y, across_sq)
        radius, across = math.sqrt(square), math.sqrt(across_sq)
        inverse = 1.0 / radius
        z, zeta = y * inverse, across * inverse
        loss = constant + z
        share = offset + slope * loss
        share = 0.0 if share < 0.0 and share > least else share
        strength = variance * share
        noise = math.sqrt(strength) * normals[place + i]
        rest = strength * normals[ROOM + place + i]
        a = zeta + noise
        grad_sq = fma(a, a, rest)
        elr = rate if scaled else rate * inverse * inverse
        if projected:
            keep, update = 1.0, elr * radius
        elif scaled:
            keep, update = 1.0 - rate * decay * square, rate * radius
        else:
            keep, update = 1.0 - rate * decay, rate * inverse
        y_new = fma(keep, y, -(update * a * zeta))
        along = fma(keep, across, update * a * z)
        across_sq = fma(along, along, update * update * rest)
        if projected:
            scale = f[_RADIUS * WIDTH + i] / math.sqrt(fma(y_new, y_new, across_sq))
            y_new, across_sq = y_new * scale, across_sq * scale * scale
            f[(_SUMS + kernels.GROWTH) * WIDTH + i] += elr * elr * grad_sq
        f[_Y * WIDTH + i], f[_ACROSS_SQ * WIDTH + i] = y_new, across_sq
        mean_sq = zeta * zeta
        f[(_SUMS + kernels.LOSS) * WIDTH + i] += loss
        f[(_SUMS + kernels.LOSS_SQ) * WIDTH + i] += loss * loss
        f[(_SUMS + kernels.GRAD_SQ) * WIDTH + i] += grad_sq
        f[(_SUMS + kernels.NOISE_SQ) * WIDTH + i] += fma(noise, noise, rest)
        f[(_SUMS + kernels.MEAN_GRAD_SQ) * WIDTH + i] += mean_sq
        f[(_SUMS + kernels.LAPLACIAN) * WIDTH + i] += z
        f[(_SUMS + kernels.GRAD_CURVATURE) * WIDTH + i] -= z * mean_sq


@numba.njit(inline="always")
def _logits(f, out, lanes):  # pragma: no cover - compiled
    """ln((1 + z)/(1 − z)) = ±2 ln((|y| + r)/t) of every lane, without cancellation."""
    for i in range(lanes):
        y, across_sq = f[_Y * WIDTH + i], f[_ACROSS_SQ * WIDTH + i]
        radius = math.sqrt(fma(y, y, across_sq))
        logit = 2.0 * _log((abs(y) + radius) / math.sqrt(across_sq))
        out[i] = logit if y > 0.0 else -logit


@numba.njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")  # type: ignore
def advance(
    portion, scaled, projected, span, runs, constant, dim, heat, together, tallied
):  # pragma: no cover - compiled
    """As :func:`.kernels.advance`, for weights (N, 2), y and t² of each run, and Heat with σ² as ``spread``.

    ``together`` lanes are kept side by side.
    """
    begin_task, end_task, stop = portion
    first, samples, steps, begin = span
    w, stream, rate, decay, radii = runs
    variance, offset, slope = heat
    means, points, every, moments, counts, blocks, origin, width, _, _, _ = tallied
    flags = (scaled, projected)
    for start in range(begin_task, end_task, together):
        many = min(together, end_task - start)
        f = np.zeros((_SUMS + kernels.COLUMNS) * WIDTH)
        logits, normals = np.empty(WIDTH), np.empty(2 * ROOM)
        state, words = np.empty(STREAM * WIDTH, np.uint64), np.empty(WORDS * ROOM, np.uint64)
        lanes.load(stream, start, many, state)
        for i in range(many):
            f[_Y * WIDTH + i], f[_ACROSS_SQ * WIDTH + i] = w[start + i, 0], w[start + i, 1]
            f[_RATE * WIDTH + i], f[_DECAY * WIDTH + i] = rate[start + i], decay[start + i]
            f[_RADIUS * WIDTH + i] = radii[start + i]
        clock = begin % every if every else 0
        now = begin
        for sample in range(first, first + samples):
            f[_SUMS * WIDTH :] = 0.0
            done = 0
            while done < steps:
                if stop[0]:
                    return
                some = min(CHUNK, steps - done)
                lanes.draw(state, words, normals, some, many, dim - 2)
                for step in range(some):
                    _step(f, normals, step * many, many, flags, constant, (variance, offset, slope))
                    clock += 1
                    now += 1
                    if clock == every:
                        clock = 0
                        _logits(f, logits, many)
                        visit(logits, many, start, now, blocks[sample], moments, counts, origin, width)
                done += some
            for i in range(many):
                task = start + i
                for column in range(kernels.COLUMNS):
                    means[task, sample, column] = f[(_SUMS + column) * WIDTH + i] / steps
                means[task, sample, kernels.LAPLACIAN] *= 1.0 - dim
                y, across_sq = f[_Y * WIDTH + i], f[_ACROSS_SQ * WIDTH + i]
                radius = math.sqrt(fma(y, y, across_sq))
                z = y / radius
                strength = variance * (offset + slope * (constant + z))
                points[task, sample, kernels.RADIUS] = radius
                points[task, sample, kernels.ENERGY] = constant + z
                points[task, sample, kernels.OVERLAP] = z
                points[task, sample, kernels.NOISE_TRACE_SQ] = (strength * (dim - 1)) ** 2
                points[task, sample, kernels.NOISE_COV_SQ] = strength * strength * (dim - 1)
                points[task, sample, kernels.NOISE_CURVATURE] = -z * strength * (dim - 1)
        for i in range(many):
            w[start + i, 0], w[start + i, 1] = f[_Y * WIDTH + i], f[_ACROSS_SQ * WIDTH + i]
        lanes.save(state, start, many, stream)
