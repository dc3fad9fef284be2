"""The compiled step with all weights, many runs side by side: a loss c + b·w̄ + ½ Σ aᵢw̄ᵢ², independent noises.

Weights and noise are stored dimension after dimension, with all lanes of one dimension adjacent. So a step is three
passes over the dimensions, whose inner loops are vector instructions. With u = w/r, the noise n and m = b + au:

1. uᵀn, uᵀb, uᵀm                      2. ∇L = m − (uᵀm)u, P n = n − (uᵀn)u, G = ‖∇L + P n‖², …
3. w ← Kw − C(∇L + P n), r² = ‖w‖²    K and C of the three protocols below

On the sphere K = R/(r√(1 + η_e²G)) with R the fixed radius and r its value after rounding, so that rounding errors do
not accumulate. If there are fewer lanes than in a vector, they are computed one by one, by the same arithmetic in the
same order: a run is bit-equal whatever runs alongside it. The step is :func:`weightgas.simulation.reference.step`, and
the lanes are those of :mod:`.lanes`.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from weightgas.simulation import kernels, lanes
from weightgas.simulation.density import visit
from weightgas.simulation.lanes import FEW, ROOM, WIDTH, as_bits, as_float, fma
from weightgas.simulation.lanes import log as _log

STREAM = 6
"""Words of a run: four of the generator, the second of a pair of normals for the next step, and whether there is one
(the same for all runs of a call)."""
_CACHE = 2**16
"""Number of weights of all lanes together that fit into the cache."""
_SHARED, _ALONE = 4, 3
"""Rough cost of what lanes share and of a single lane, relative to one of many; for the choice of their number."""
(_RATE, _DECAY, _RADIUS, _INVERSE, _SQUARE, _NOISE, _LINEAR, _MEAN, _STRENGTH, _MEAN_SQ, _CURVED, _NOISE_SQ, _GRAD_SQ,
 _KEEP, _UPDATE, _SUMS) = range(16)  # fmt: skip
"""Quantities of a lane, WIDTH of each: η or η_e, λ, R, 1/r, r², uᵀn, uᵀb, uᵀm, strength, squares, K, C."""


def lanes_for(tasks: int, threads: int, dim: int) -> int:
    """The fastest number of lanes side by side on so many threads; it changes no result."""
    most = min(max(16, min(WIDTH, _CACHE // dim)), tasks)

    def cost(n: int) -> int:
        each = _ALONE * n if n < FEW else _SHARED + -(-n // 8) * 8
        return math.ceil(math.ceil(tasks / n) / threads) * each

    return min(range(1, most + 1), key=cost)


@numba.njit(inline="always")
def _products(x, n, b, a, s, square, noise, linear, curved):  # pragma: no cover - compiled
    """‖w‖², wᵀn, wᵀb and wᵀaw, with one more dimension."""
    return fma(x, x, square), fma(s * n, x, noise), fma(b, x, linear), fma(a * x, x, curved)


@numba.njit(inline="always")
def _along(square, noise, linear, curved, constant, offset, slope, amplitude):  # pragma: no cover - compiled
    """1/r, uᵀn, uᵀb, uᵀm, the loss and the amplitude of the noise at this loss."""
    inverse = 1.0 / math.sqrt(square)
    linear = linear * inverse
    mean = fma(curved * inverse, inverse, linear)
    loss = constant + 0.5 * (linear + mean)
    variance = offset + slope * loss
    nothing = (variance < 0.0) & (variance > -1e-14 * abs(slope))  # a loss of zero, except for rounding
    variance = 0.0 if nothing else variance
    strength = math.sqrt(variance) if slope != 0.0 else amplitude
    return inverse, noise * inverse, linear, mean, loss, strength


@numba.njit(inline="always")
def _tangent(x, n, b, a, s, inverse, noise, mean, strength, mean_sq, curved, noise_sq, grad_sq):  # pragma: no cover
    """∇L + P n in one dimension, and ‖∇L‖², ∇L·a∇L, ‖P n‖² and G with one more dimension."""
    u = x * inverse
    drift = fma(a, u, b) - mean * u
    heat = strength * fma(s, n, -(noise * u))
    tangent = drift + heat
    mean_sq, curved = fma(drift, drift, mean_sq), fma(a * drift, drift, curved)
    return tangent, mean_sq, curved, fma(heat, heat, noise_sq), fma(tangent, tangent, grad_sq)


@numba.njit(inline="always")
def _factors(scaled, projected, rate, decay, radius, square, inverse, grad_sq):  # pragma: no cover - compiled
    """K and C of w ← Kw − C(∇L + P n), and (‖w₊‖² − r²)/r² before the projection on the sphere."""
    if projected:
        elr = rate if scaled else rate * inverse * inverse
        growth = elr * elr * grad_sq
        scale = radius / math.sqrt(1.0 + growth)
        return scale * inverse, elr * scale, growth
    if scaled:
        return 1.0 - rate * decay * square, rate * square * inverse, 0.0
    return 1.0 - rate * decay, rate * inverse, 0.0


@numba.njit(inline="always")
def _add(f, lane, dim, trace, loss, linear, mean, mean_sq, curved, noise_sq, grad_sq, growth):  # pragma: no cover
    """Add the values of a step to the sums of a lane."""
    f[(_SUMS + kernels.LOSS) * WIDTH + lane] += loss
    f[(_SUMS + kernels.LOSS_SQ) * WIDTH + lane] += loss * loss
    f[(_SUMS + kernels.GRAD_SQ) * WIDTH + lane] += grad_sq
    f[(_SUMS + kernels.NOISE_SQ) * WIDTH + lane] += noise_sq
    f[(_SUMS + kernels.MEAN_GRAD_SQ) * WIDTH + lane] += mean_sq
    # Harmonics of degree 1 and 2: Δ(b·w̄) = −(d−1) b·w̄ and Δ(½ w̄ᵀAw̄) = tr A − d w̄ᵀAw̄.
    f[(_SUMS + kernels.LAPLACIAN) * WIDTH + lane] += trace + linear - dim * mean
    f[(_SUMS + kernels.GRAD_CURVATURE) * WIDTH + lane] += curved - mean * mean_sq
    f[(_SUMS + kernels.GROWTH) * WIDTH + lane] += growth


@numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore
def _beside(f, x, normals, begin, steps, half, flags, form, heat, trace):  # pragma: no cover - compiled
    """Steps of lanes that fill vectors; ``begin`` is the number of their first normal in :func:`.lanes.fill`."""
    (scaled, projected), (constant, linear, curvature), (spread, offset, slope) = flags, form, heat
    dim, lanes = x.shape
    amplitude = math.sqrt(offset)
    for step in range(steps):
        first = begin + step * dim
        for l in range(lanes):
            f[_SQUARE * WIDTH + l] = f[_NOISE * WIDTH + l] = f[_LINEAR * WIDTH + l] = f[_MEAN * WIDTH + l] = 0.0
            f[_MEAN_SQ * WIDTH + l] = f[_CURVED * WIDTH + l] = 0.0
            f[_NOISE_SQ * WIDTH + l] = f[_GRAD_SQ * WIDTH + l] = 0.0
        for i in range(dim):
            b, a, s = linear[i], curvature[i], spread[i]
            row = ((first + i) & 1) * half + ((first + i) >> 1)
            for l in range(lanes):
                square, noise, along, curved = _products(
                    x[i, l], normals[row, l], b, a, s, f[_SQUARE * WIDTH + l], f[_NOISE * WIDTH + l],
                    f[_LINEAR * WIDTH + l], f[_MEAN * WIDTH + l],
                )  # fmt: skip
                f[_SQUARE * WIDTH + l], f[_NOISE * WIDTH + l] = square, noise
                f[_LINEAR * WIDTH + l], f[_MEAN * WIDTH + l] = along, curved
        for l in range(lanes):
            inverse, noise, along, mean, loss, strength = _along(
                f[_SQUARE * WIDTH + l], f[_NOISE * WIDTH + l], f[_LINEAR * WIDTH + l], f[_MEAN * WIDTH + l],
                constant, offset, slope, amplitude,
            )  # fmt: skip
            f[_INVERSE * WIDTH + l], f[_NOISE * WIDTH + l], f[_LINEAR * WIDTH + l] = inverse, noise, along
            f[_MEAN * WIDTH + l], f[_STRENGTH * WIDTH + l], f[_KEEP * WIDTH + l] = mean, strength, loss
        for i in range(dim):
            b, a, s = linear[i], curvature[i], spread[i]
            row = ((first + i) & 1) * half + ((first + i) >> 1)
            for l in range(lanes):
                tangent, mean_sq, curved, noise_sq, grad_sq = _tangent(
                    x[i, l], normals[row, l], b, a, s, f[_INVERSE * WIDTH + l], f[_NOISE * WIDTH + l],
                    f[_MEAN * WIDTH + l], f[_STRENGTH * WIDTH + l], f[_MEAN_SQ * WIDTH + l], f[_CURVED * WIDTH + l],
                    f[_NOISE_SQ * WIDTH + l], f[_GRAD_SQ * WIDTH + l],
                )  # fmt: skip
                normals[row, l] = tangent
                f[_MEAN_SQ * WIDTH + l], f[_CURVED * WIDTH + l] = mean_sq, curved
                f[_NOISE_SQ * WIDTH + l], f[_GRAD_SQ * WIDTH + l] = noise_sq, grad_sq
        for l in range(lanes):
            loss, grad_sq = f[_KEEP * WIDTH + l], f[_GRAD_SQ * WIDTH + l]
            f[_KEEP * WIDTH + l], f[_UPDATE * WIDTH + l], growth = _factors(
                scaled, projected, f[_RATE * WIDTH + l], f[_DECAY * WIDTH + l], f[_RADIUS * WIDTH + l],
                f[_SQUARE * WIDTH + l], f[_INVERSE * WIDTH + l], grad_sq,
            )  # fmt: skip
            _add(f, l, dim, trace, loss, f[_LINEAR * WIDTH + l], f[_MEAN * WIDTH + l], f[_MEAN_SQ * WIDTH + l],
                 f[_CURVED * WIDTH + l], f[_NOISE_SQ * WIDTH + l], grad_sq, growth)  # fmt: skip
        for i in range(dim):
            row = ((first + i) & 1) * half + ((first + i) >> 1)
            for l in range(lanes):
                x[i, l] = fma(f[_KEEP * WIDTH + l], x[i, l], -(f[_UPDATE * WIDTH + l] * normals[row, l]))


@numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore
def _apart(f, x, normals, begin, steps, half, flags, form, heat, trace):  # pragma: no cover - compiled
    """:func:`_beside` for fewer lanes, one by one."""
    (scaled, projected), (constant, linear, curvature), (spread, offset, slope) = flags, form, heat
    dim, lanes = x.shape
    amplitude = math.sqrt(offset)
    for l in range(lanes):
        for step in range(steps):
            first = begin + step * dim
            square = noise = along = curved = 0.0
            for i in range(dim):
                n = normals[((first + i) & 1) * half + ((first + i) >> 1), l]
                square, noise, along, curved = _products(
                    x[i, l], n, linear[i], curvature[i], spread[i], square, noise, along, curved
                )
            inverse, noise, along, mean, loss, strength = _along(
                square, noise, along, curved, constant, offset, slope, amplitude
            )
            mean_sq = curved = noise_sq = grad_sq = 0.0
            for i in range(dim):
                row = ((first + i) & 1) * half + ((first + i) >> 1)
                normals[row, l], mean_sq, curved, noise_sq, grad_sq = _tangent(
                    x[i, l], normals[row, l], linear[i], curvature[i], spread[i], inverse, noise, mean, strength,
                    mean_sq, curved, noise_sq, grad_sq,
                )  # fmt: skip
            keep, update, growth = _factors(
                scaled, projected, f[_RATE * WIDTH + l], f[_DECAY * WIDTH + l], f[_RADIUS * WIDTH + l], square, inverse,
                grad_sq,
            )  # fmt: skip
            _add(f, l, dim, trace, loss, along, mean, mean_sq, curved, noise_sq, grad_sq, growth)
            for i in range(dim):
                row = ((first + i) & 1) * half + ((first + i) >> 1)
                x[i, l] = fma(keep, x[i, l], -(update * normals[row, l]))


@numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore
def _logits(x, out, linear):  # pragma: no cover - compiled
    """ln((1 + z)/(1 − z)) of every lane, z = b·w̄, into the first of ``out`` (2·WIDTH)."""
    dim, lanes = x.shape
    out[:] = 0.0
    for i in range(dim):
        for l in range(lanes):
            out[l] = fma(linear[i], x[i, l], out[l])
            out[WIDTH + l] = fma(x[i, l], x[i, l], out[WIDTH + l])
    for l in range(lanes):
        z = out[l] / math.sqrt(out[WIDTH + l])
        above, below = 1.0 + z, 1.0 - z  # rounding may put z slightly outside ±1
        above, below = above if above > 1e-300 else 1e-300, below if below > 1e-300 else 1e-300
        out[l] = _log(above / below)


@numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore
def _read(x, lane, constant, linear, curvature, spread, offset, slope, out):  # pragma: no cover - compiled
    """The values at the end of a sample, into ``out`` (POINTS)."""
    square = 0.0
    for i in range(linear.size):
        square = fma(x[i, lane], x[i, lane], square)
    radius = math.sqrt(square)
    along_linear = curved = total = squares = along = along_sq = crossed = 0.0
    for i in range(linear.size):
        u, variance = x[i, lane] / radius, spread[i] * spread[i]
        row = variance * u
        along_linear += linear[i] * u
        curved += curvature[i] * u * u
        total += variance
        squares += variance * variance
        along += row * u
        along_sq += row * row
        crossed += curvature[i] * (variance - 2 * u * row)
    loss = constant + along_linear + 0.5 * curved
    strength = offset + slope * loss
    # tr PΣP = tr Σ − uᵀΣu, tr (PΣP)² = tr Σ² − 2 uᵀΣ²u + (uᵀΣu)²; H = P A P − (uᵀ(b + Au)) P on the sphere,
    # diag PΣP = Σᵢᵢ − 2 uᵢ(Σu)ᵢ + uᵢ² uᵀΣu
    crossed += curved * along - (along_linear + curved) * (total - along)
    out[kernels.RADIUS], out[kernels.ENERGY], out[kernels.OVERLAP] = radius, loss, along_linear
    out[kernels.NOISE_TRACE_SQ] = (strength * (total - along)) ** 2
    out[kernels.NOISE_COV_SQ] = strength * strength * (squares - 2 * along_sq + along * along)
    out[kernels.NOISE_CURVATURE] = strength * crossed


@numba.njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")  # type: ignore
def advance(portion, scaled, projected, span, runs, form, heat, together, tallied):  # pragma: no cover - compiled
    """As :func:`.kernels.advance`, for standard deviations ``spread`` (d,) of the noise and ``stream`` (N, STREAM).

    ``together`` lanes are kept side by side.
    """
    begin_task, end_task, stop = portion
    first, samples, steps, begin = span
    w, stream, rate, decay, radius = runs
    constant, linear, curvature = form
    spread, offset, slope = heat
    means, points, every, moments, counts, blocks, origin, width, snapshot_first, snapshot_every, snapshots = tallied
    flags = (scaled, projected)
    dim = w.shape[1]
    trace = curvature.sum()
    for start in range(begin_task, end_task, together):
        many = min(together, end_task - start)
        f = np.zeros((_SUMS + kernels.COLUMNS) * WIDTH)
        # Vectors are filled up with lanes that repeat the last run and whose results are not used.
        wide = many if many < FEW else (many + 7) // 8 * 8
        chunk = max(1, ROOM // (dim * wide))
        half = (chunk * dim + 2) // 2
        x, normals, logits = np.empty((dim, wide)), np.empty((2 * half, wide)), np.empty(2 * WIDTH)
        state, words = np.zeros(STREAM * WIDTH, np.uint64), np.empty(2 * ROOM, np.uint64)
        lanes.load(stream, start, many, state)
        for lane in range(wide):
            task = start + min(lane, many - 1)
            f[_RATE * WIDTH + lane], f[_DECAY * WIDTH + lane] = rate[task], decay[task]
            f[_RADIUS * WIDTH + lane] = radius[task]
            normals[half, lane] = as_float(state[4 * WIDTH + lane])
            for i in range(dim):
                x[i, lane] = w[task, i]
        spare = np.int64(state[5 * WIDTH])
        clock = begin % every if every else 0
        now = begin
        kept = max(0, (begin - snapshot_first) // snapshot_every + 1)
        next_snapshot = snapshot_first + kept * snapshot_every
        for sample in range(first, first + samples):
            f[_SUMS * WIDTH :] = 0.0
            done = 0
            while done < steps:
                if stop[0]:
                    return
                some = min(chunk, steps - done)
                numbers = spare + some * dim
                lanes.fill(state, words, normals, spare, (numbers + 1) // 2)
                taken = 0
                while taken < some:  # to the next visit, or to the end of the chunk
                    go = some - taken
                    if every:
                        go = min(go, every - clock)
                    if kept < snapshots.shape[1]:
                        go = min(go, next_snapshot - now)
                    at = spare + taken * dim
                    if wide < FEW:
                        _apart(f, x, normals, at, go, half, flags, form, heat, trace)
                    else:
                        _beside(f, x, normals, at, go, half, flags, form, heat, trace)
                    taken, clock, now = taken + go, clock + go, now + go
                    if clock == every:
                        clock = 0
                        _logits(x, logits, linear)
                        visit(logits, many, start, now, blocks[sample], moments, counts, origin, width)
                    if now == next_snapshot and kept < snapshots.shape[1]:
                        for lane in range(many):
                            square = 0.0
                            for i in range(dim):
                                square = fma(x[i, lane], x[i, lane], square)
                            for i in range(dim):
                                snapshots[start + lane, kept, i] = x[i, lane] / math.sqrt(square)
                        kept, next_snapshot = kept + 1, next_snapshot + snapshot_every
                spare = numbers & 1
                for lane in range(wide):
                    normals[half, lane] = normals[half + (numbers - 1) // 2, lane]
                done += some
            for lane in range(many):
                for column in range(kernels.COLUMNS):
                    means[start + lane, sample, column] = f[(_SUMS + column) * WIDTH + lane] / steps
                out = points[start + lane, sample]
                _read(x, lane, constant, linear, curvature, spread, offset, slope, out)
        for lane in range(many):
            state[4 * WIDTH + lane] = as_bits(normals[half, lane]) if spare else np.uint64(0)
            state[5 * WIDTH + lane] = np.uint64(spare)
            for i in range(dim):
                w[start + lane, i] = x[i, lane]
        lanes.save(state, start, many, stream)
