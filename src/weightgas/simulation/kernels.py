"""The compiled step of the simulation.

Each task is one replica of one cell. Only its weights and its random stream are kept from call to call, so the results
are bit-equal for any number of threads and any division into calls. :mod:`weightgas.simulation.reference` is the same
step in plain NumPy.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from weightgas.simulation.density import count

LOSS, LOSS_SQ, GRAD_SQ, NOISE_SQ, MEAN_GRAD_SQ, LAPLACIAN, GRAD_CURVATURE, GROWTH = range(COLUMNS := 8)
"""Columns of the sums over steps: L, L², G, ‖noise‖², ‖∇L‖², ΔL, ∇L·H∇L, (‖w₊‖² − r²)/r² before the projection."""
RADIUS, ENERGY, OVERLAP, NOISE_TRACE_SQ, NOISE_COV_SQ, NOISE_CURVATURE = range(POINTS := 6)
"""Columns of the values at the end of a sample: r, L, b·w̄, (tr Σ)², tr Σ² and tr HΣ."""

part = numba.njit(  # type: ignore
    forceinline=True, _nrt=False, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True
)
"""Compiles a part of a step, which allocates no array and is called by compiled code only.

With ``_nrt`` numba counts the references to every array in every step, which takes as long as a step in d = 4.
"""


def _ziggurat_table(layers: int = 256, edge: float = 3.6541528853610088) -> np.ndarray:
    """Right edges of layers of equal area under exp(−x²/2), by Marsaglia and Tsang (2000) as in Doornik (2005)."""
    area = edge * math.exp(-0.5 * edge * edge) + math.sqrt(math.pi / 2) * math.erfc(edge / math.sqrt(2))
    x = np.empty(layers + 1)
    x[0] = area / math.exp(-0.5 * edge * edge)
    x[1] = edge
    for i in range(1, layers - 1):
        x[i + 1] = math.sqrt(-2 * math.log(area / x[i] + math.exp(-0.5 * x[i] ** 2)))
    x[layers] = 0.0
    return x


_EDGES = _ziggurat_table()
_INNER = _EDGES[1:] / _EDGES[:-1]
_TAIL = float(_EDGES[1])


@part
def _next(s):  # pragma: no cover - compiled
    """One 64-bit word of xoshiro256++ (Blackman and Vigna 2021) from the state ``s`` of four words."""
    total = s[0] + s[3]
    word = ((total << np.uint64(23)) | (total >> np.uint64(41))) + s[0]
    shifted = s[1] << np.uint64(17)
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= shifted
    s[3] = (s[3] << np.uint64(45)) | (s[3] >> np.uint64(19))
    return word


@numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore
def _rare(s, layer, u):  # pragma: no cover - compiled
    """The rest of the ziggurat, about one draw in a hundred: (accepted, value)."""
    x = u * _EDGES[layer]
    if layer == 0:
        while True:
            a = -math.log(1.0 - (_next(s) >> np.uint64(11)) * 2.0**-53) / _TAIL
            b = -math.log(1.0 - (_next(s) >> np.uint64(11)) * 2.0**-53)
            if b + b >= a * a:
                return True, (_TAIL + a) if u > 0 else -(_TAIL + a)
    outer = math.exp(-0.5 * (_EDGES[layer] ** 2 - x * x))
    inner = math.exp(-0.5 * (_EDGES[layer + 1] ** 2 - x * x))
    return inner + (_next(s) >> np.uint64(11)) * 2.0**-53 * (outer - inner) < 1.0, x


@part
def _fill(s, out):  # pragma: no cover - compiled
    """Fill ``out`` with standard normals: the low byte selects the layer, the top 53 bits the position.

    The state is in four local variables, so that it stays in registers: this saves a third of the step at d = 10.
    """
    s0, s1, s2, s3 = s[0], s[1], s[2], s[3]
    for i in range(out.size):
        while True:
            total = s0 + s3  # as in _next
            word = ((total << np.uint64(23)) | (total >> np.uint64(41))) + s0
            shifted = s1 << np.uint64(17)
            s2 ^= s0
            s3 ^= s1
            s1 ^= s2
            s0 ^= s3
            s2 ^= shifted
            s3 = (s3 << np.uint64(45)) | (s3 >> np.uint64(19))
            layer = np.int64(word & np.uint64(255))
            u = np.int64(word) * 2.0**-63
            if abs(u) < _INNER[layer]:
                out[i] = u * _EDGES[layer]
                break
            s[0], s[1], s[2], s[3] = s0, s1, s2, s3
            accepted, value = _rare(s, layer, u)
            s0, s1, s2, s3 = s[0], s[1], s[2], s[3]
            if accepted:
                out[i] = value
                break
    s[0], s[1], s[2], s[3] = s0, s1, s2, s3


@numba.njit(cache=True)
def standard_normals(stream, out):  # pragma: no cover - compiled
    """Fill ``out`` with standard normals and advance ``stream`` (four uint64), as a task of :func:`advance` does."""
    _fill(stream, out)


@part
def _correlated(columns, draws, noise):  # pragma: no cover - compiled
    """The factor of the covariance, by its columns, times the normals ``draws``, into ``noise``."""
    n = noise.size
    if n < 8:  # too short for vectors
        for i in range(n):
            value = 0.0
            for j in range(n):
                value += columns[j, i] * draws[j]
            noise[i] = value
        return
    for i in range(n):
        noise[i] = 0.0
    for j in range(n):  # a column at once is a vector operation, and adds in the same order
        for i in range(n):
            noise[i] += columns[j, i] * draws[j]


@part
def _gradient(x, inverse, constant, linear, curvature, offset, slope, amplitude, noise):  # pragma: no cover - compiled
    """The gradient on the unit sphere, ∇L + P n, in place of ``noise``; 1/r is ``inverse``.

    Returns L, b·w̄, uᵀ(b + Au), and the squares G, ‖P n‖², ‖∇L‖² and ∇L·A∇L.
    """
    along_noise = along_mean = along_linear = 0.0
    for i in range(x.size):
        u = x[i] * inverse
        along_noise += noise[i] * u
        along_linear += linear[i] * u
        along_mean += (linear[i] + curvature[i] * u) * u
    loss = constant + along_linear + 0.5 * (along_mean - along_linear)
    variance = offset + slope * loss
    if variance < 0.0 and variance > -1e-14 * abs(slope):  # a loss of zero, except for rounding
        variance = 0.0
    strength = math.sqrt(variance) if slope != 0.0 else amplitude
    grad_sq = noise_sq = mean_sq = curved_sq = 0.0
    for i in range(x.size):
        u = x[i] * inverse
        mean = linear[i] + curvature[i] * u - along_mean * u
        noise_part = strength * (noise[i] - along_noise * u)
        mean_sq += mean * mean
        curved_sq += curvature[i] * mean * mean
        noise_sq += noise_part * noise_part
        tangent = mean + noise_part
        grad_sq += tangent * tangent
        noise[i] = tangent
    return loss, along_linear, along_mean, grad_sq, noise_sq, mean_sq, curved_sq


@part
def _move(x, tangent, scaled, projected, rate, decay, r, inverse, r2, grad_sq):  # pragma: no cover - compiled
    """Step in place. Returns the new r², and (‖w₊‖² − r²)/r² before the projection."""
    elr = rate if scaled else rate * inverse * inverse
    growth = 0.0
    if projected:
        growth = elr * elr * grad_sq
        keep = 1.0 / math.sqrt(1.0 + growth)
        size = elr * r * keep
    elif scaled:
        keep, size = 1.0 - rate * decay * r2, rate * r
    else:
        keep, size = 1.0 - rate * decay, rate * inverse
    r2_new = 0.0
    for i in range(x.size):
        x[i] = keep * x[i] - size * tangent[i]
        r2_new += x[i] * x[i]
    if projected:
        # Rounding errors would accumulate in the radius over millions of steps; it is reset when they are visible.
        if abs(r2_new - r2) > 1e-14 * r2:
            scale = math.sqrt(r2 / r2_new)
            for i in range(x.size):
                x[i] *= scale
        r2_new = r2
    return r2_new, growth


@numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore
def _read(x, r2, constant, linear, curvature, variances, offset, slope, out):  # pragma: no cover - compiled
    """The values at the end of a sample, into ``out`` (POINTS)."""
    inverse = 1.0 / math.sqrt(r2)
    along_linear = curved = 0.0
    for i in range(x.size):
        u = x[i] * inverse
        along_linear += linear[i] * u
        curved += curvature[i] * u * u
    loss = constant + along_linear + 0.5 * curved
    out[RADIUS], out[ENERGY], out[OVERLAP] = math.sqrt(r2), loss, along_linear
    # of P Σ P, P = I − uuᵀ: tr Σ − uᵀΣu and tr Σ² − 2 uᵀΣ²u + (uᵀΣu)²
    total = squares = along = along_sq = crossed = 0.0
    for i in range(x.size):
        row = 0.0
        u = x[i] * inverse
        variance = variances[i, i]
        for j in range(x.size):
            row += variances[i, j] * x[j] * inverse
            squares += variances[i, j] * variances[i, j]
        total += variance
        along += row * u
        along_sq += row * row
        crossed += curvature[i] * (variance - 2 * u * row)
    strength = offset + slope * loss
    # H = P A P − (uᵀ(b + Au)) P, and diag PΣP = Σᵢᵢ − 2 uᵢ(Σu)ᵢ + uᵢ² uᵀΣu
    crossed += curved * along - (along_linear + curved) * (total - along)
    out[NOISE_CURVATURE] = strength * crossed
    out[NOISE_TRACE_SQ] = (strength * (total - along)) ** 2
    out[NOISE_COV_SQ] = strength * strength * (squares - 2 * along_sq + along * along)


@numba.njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")  # type: ignore
def advance(portion, scaled, projected, span, runs, form, heat, variances, tallied):  # pragma: no cover - compiled
    """Advance the tasks of a portion in place by the samples of a span, and reduce their steps to these samples.

    The step size is η, or η_e r² if ``scaled``; if ``projected``, the step ends on the sphere and has no decay. The
    groups are those of :mod:`.arguments`: Portion, Span, Tasks with streams of 4 words, Form, Heat with (d, d),
    Tallied. ``variances`` (d, d) is the spread times its transpose.
    """
    begin_task, end_task, stop = portion
    first, samples, steps, begin = span
    w, stream, rates, decays, radii = runs
    constant, linear, curvature = form
    spread, offset, slope = heat
    means, points, every, moments, counts, blocks, origin, width, snapshot_first, snapshot_every, snapshots = tallied
    # copies overlap no array that is written
    columns, linear, curvature = spread.T.copy(), linear.copy(), curvature.copy()
    d = w.shape[1]
    trace = curvature.sum()
    amplitude = math.sqrt(offset)
    for task in range(begin_task, end_task):
        s = stream[task].copy()
        x = w[task].copy()
        noise = np.empty(d)
        draws = np.empty(d)
        rate, decay = rates[task], decays[task]
        r2 = 0.0
        for i in range(d):
            r2 += x[i] * x[i]
        if projected:
            r2 = radii[task] * radii[task]
        clock = begin % every if every else 0
        now = begin
        kept = max(0, (begin - snapshot_first) // snapshot_every + 1)
        next_snapshot = snapshot_first + kept * snapshot_every
        for sample in range(first, first + samples):
            sum_loss = sum_loss_sq = sum_grad = sum_noise = sum_mean = sum_growth = sum_laplacian = sum_curved = 0.0
            for _ in range(steps):
                if stop[0]:
                    return
                r = math.sqrt(r2)
                inverse = 1.0 / r
                _fill(s, draws)
                _correlated(columns, draws, noise)
                loss, along_linear, along_mean, grad_sq, noise_sq, mean_sq, curved_sq = _gradient(
                    x, inverse, constant, linear, curvature, offset, slope, amplitude, noise
                )
                r2, growth = _move(x, noise, scaled, projected, rate, decay, r, inverse, r2, grad_sq)
                sum_growth += growth
                sum_loss += loss
                sum_loss_sq += loss * loss
                sum_grad += grad_sq
                sum_noise += noise_sq
                sum_mean += mean_sq
                # Harmonics of degree 1 and 2: Δ(b·w̄) = −(d−1) b·w̄ and Δ(½ w̄ᵀAw̄) = tr A − d w̄ᵀAw̄.
                sum_laplacian += trace - d * (along_mean - along_linear) - (d - 1) * along_linear
                sum_curved += curved_sq - along_mean * mean_sq
                clock += 1
                now += 1
                if clock == every:
                    clock = 0
                    logit = math.log((1.0 + along_linear) / (1.0 - along_linear))
                    count(logit, task, now, blocks[sample], moments, counts, origin, width)
                if now == next_snapshot and kept < snapshots.shape[1]:
                    inverse = 1.0 / math.sqrt(r2)
                    for i in range(d):
                        snapshots[task, kept, i] = x[i] * inverse
                    kept += 1
                    next_snapshot += snapshot_every
            means[task, sample, LOSS] = sum_loss / steps
            means[task, sample, LOSS_SQ] = sum_loss_sq / steps
            means[task, sample, GRAD_SQ] = sum_grad / steps
            means[task, sample, NOISE_SQ] = sum_noise / steps
            means[task, sample, MEAN_GRAD_SQ] = sum_mean / steps
            means[task, sample, LAPLACIAN] = sum_laplacian / steps
            means[task, sample, GRAD_CURVATURE] = sum_curved / steps
            means[task, sample, GROWTH] = sum_growth / steps
            _read(x, r2, constant, linear, curvature, variances, offset, slope, points[task, sample])
        for i in range(d):  # one by one: numba drops ``w[task] = x`` where w was unpacked from a tuple
            w[task, i] = x[i]
        for i in range(4):
            stream[task, i] = s[i]
