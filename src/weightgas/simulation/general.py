"""The compiled step of all other gases: a custom loss or noise, noise that follows the curvature, momentum.

    v ← αv + g + λw,   w ← w − s v            s = η (fixed LR), η_e ‖w‖² (fixed ELR)
    v ← αv + g,        w₊ = w − s v,  s = η_e r²,  w ← w₊ r/‖w₊‖,  v ← v ‖w₊‖/r          (fixed sphere)

as in ``torch.optim.SGD``, with decay in the buffer; Nesterov's momentum has g + λw + αv in place of v. On the sphere
the buffer is scaled like a gradient, ∝ 1/‖w‖, so that the directions are those of a run with free norm. Without this
scaling T_conf would be too low by η̂_e²G/(2(1 − α)). Without momentum it is the step of :mod:`.kernels`, which is
faster and has the same columns. The buffer starts at zero. If a number is not finite, the run of that task ends;
``failed`` is the step and ``cause`` the number.

The curvature of a custom loss follows from differences of the gradient at the end of every sample. The covariance of a
custom noise is known if it is linear in the normals. :mod:`weightgas.simulation.reference` has the plain step.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from weightgas.simulation import kernels
from weightgas.simulation.compiled import TURN
from weightgas.simulation.density import count
from weightgas.status import Cause

SPREAD, CURVED, OWN = 0, 1, 2
"""Kinds of noise: from a covariance, from the curvature, by a function."""
LARGEST_COVARIANCE, LARGEST_ALIGNMENT = 100, 1000
"""Most dimensions for which tr Σ², at cubic cost, and tr HΣ, at quadratic cost, are computed."""
_LOSS, _GRADIENT, _NOISE, _WEIGHTS = (int(c) for c in (Cause.LOSS, Cause.GRADIENT, Cause.NOISE, Cause.WEIGHTS))
_LAPLACIAN, _CURVED_SQ, _ALONG = 0, 1, 2


@kernels.part
def _mean(u, known, own, constant, linear, curvature, out, facts):  # pragma: no cover - compiled
    """L at the unit vector ``u``, with ∇L in ``out``; for a form, ΔL, ∇L·H∇L and the slope along u in ``facts``."""
    d = u.size
    if not known:
        loss = own(u, out)
        along = 0.0
        for i in range(d):
            along += out[i] * u[i]
        for i in range(d):
            out[i] -= along * u[i]
        return loss
    along = along_linear = squares = curved = 0.0
    for i in range(d):
        along_linear += linear[i] * u[i]
        along += (linear[i] + curvature[i] * u[i]) * u[i]
    for i in range(d):
        out[i] = linear[i] + curvature[i] * u[i] - along * u[i]
        squares += out[i] * out[i]
        curved += curvature[i] * out[i] * out[i]
    trace = 0.0
    for i in range(d):
        trace += curvature[i]
    facts[_LAPLACIAN] = trace - d * (along - along_linear) - (d - 1) * along_linear
    facts[_CURVED_SQ] = curved - along * squares
    facts[_ALONG] = along
    return constant + along_linear + 0.5 * (along - along_linear)


@kernels.part
def _heat(u, kind, own, spread, curvature, along, strength, normals, out):  # pragma: no cover - compiled
    """The noise at the unit vector ``u`` into ``out``, projected on the tangent space."""
    d = u.size
    if kind == OWN:
        own(u, normals, out)
    elif kind == CURVED:
        for i in range(d):
            out[i] = spread[i, 0] * math.sqrt(max(curvature[i] - along, 0.0)) * normals[i]
    elif spread.shape[1] == 1:
        for i in range(d):
            out[i] = spread[i, 0] * normals[i]
    else:
        for i in range(d):
            value = 0.0
            for j in range(d):
                value += spread[i, j] * normals[j]
            out[i] = value
    radial = 0.0
    for i in range(d):
        radial += out[i] * u[i]
    for i in range(d):
        out[i] = strength * (out[i] - radial * u[i])


@kernels.part
def _bend(u, way, known, own, curvature, along, moved, above, below):  # pragma: no cover - compiled
    """way·H way for a tangent vector ``way``, H the Hessian on the sphere; by differences if it is not known."""
    d = u.size
    square = 0.0
    for i in range(d):
        square += way[i] * way[i]
    if known:
        bent = 0.0
        for i in range(d):
            bent += curvature[i] * way[i] * way[i]
        return bent - along * square
    if square == 0.0:
        return 0.0
    step = TURN / math.sqrt(square)
    for i in range(d):
        moved[i] = u[i] + step * way[i]
    own(moved, above)
    for i in range(d):
        moved[i] = u[i] - step * way[i]
    own(moved, below)
    bent = 0.0
    for i in range(d):
        bent += (above[i] - below[i]) * way[i]
    return bent / (2.0 * step)


@kernels.part
def _laplacian(u, own, moved, above, below):  # pragma: no cover - compiled
    """ΔL on the unit sphere; it equals that of the flat space since L does not depend on the norm."""
    total = 0.0
    for i in range(u.size):
        moved[i] = u[i]
    for i in range(u.size):
        moved[i] = u[i] + TURN
        own(moved, above)
        moved[i] = u[i] - TURN
        own(moved, below)
        moved[i] = u[i]
        total += (above[i] - below[i]) / (2.0 * TURN)
    return total


@kernels.part
def _covariance(
    u, kind, noise, spread, curvature, along, strength, known, own, scratch, columns, out
):  # pragma: no cover - compiled
    """(tr Σ)², tr Σ² and tr HΣ into ``out``: Σ = C Cᵀ, the columns of C being the noise of unit normals."""
    d = u.size
    unit, moved, above, below = scratch[0], scratch[1], scratch[2], scratch[3]
    total = crossed = squares = 0.0
    for i in range(d):
        for k in range(d):
            unit[k] = 1.0 if k == i else 0.0
        column = columns[i if d <= LARGEST_COVARIANCE else 0]
        _heat(u, kind, noise, spread, curvature, along, strength, unit, column)
        for k in range(d):
            total += column[k] * column[k]
        crossed += _bend(u, column, known, own, curvature, along, moved, above, below)
    if d <= LARGEST_COVARIANCE:
        for i in range(d):
            for j in range(d):
                product = 0.0
                for k in range(d):
                    product += columns[i, k] * columns[j, k]
                squares += product * product
    out[0], out[1], out[2] = total * total, squares, crossed


@kernels.part
def _move(x, v, tangent, scaled, projected, rate, decay, momentum, nesterov, r2):  # pragma: no cover - compiled
    """Step weights and buffer in place. Returns the new r², whether it is finite and above 0, and (‖w₊‖² − r²)/r².

    The last is the growth before the projection.
    """
    r, size = math.sqrt(r2), rate * r2 if scaled else rate
    r2_new = pulled = pushed = 0.0
    for i in range(x.size):
        gradient = tangent[i] / r + decay * x[i]
        v[i] = momentum * v[i] + gradient
        move = gradient + momentum * v[i] if nesterov else v[i]
        pulled += x[i] * move
        pushed += move * move
        x[i] -= size * move
        r2_new += x[i] * x[i]
    sound = math.isfinite(r2_new) and r2_new > 0.0
    if not (projected and sound):
        return r2_new, sound, 0.0
    scale = math.sqrt(r2 / r2_new)
    for i in range(x.size):
        x[i] *= scale
        v[i] /= scale
    return r2, sound, (size * size * pushed - 2.0 * size * pulled) / r2


@kernels.part
def _cause(loss, mean_sq, noise_sq):  # pragma: no cover - compiled
    """Which number of a step is not finite, 0 if none."""
    if not math.isfinite(loss):
        return _LOSS
    if not math.isfinite(mean_sq):
        return _GRADIENT
    return 0 if math.isfinite(noise_sq) else _NOISE


@kernels.part
def _strength(loss, offset, slope):  # pragma: no cover - compiled
    """Standard deviation of the noise at a loss, in units of its factor."""
    variance = offset + slope * loss
    if variance < 0.0 and variance > -1e-14 * abs(slope):  # a loss of zero, except for rounding
        variance = 0.0
    return math.sqrt(variance) if slope != 0.0 else 1.0


@kernels.part
def _read(
    x, r2, steps, sums, how, own, fill, form, heat, u, mean, facts, scratch, columns, found, means, points
):  # pragma: no cover
    """The end of a sample: its means, with the Laplacian of a custom loss at its end, and the values there."""
    for column in range(kernels.COLUMNS):
        means[column] = sums[column] / steps
    known, noise_kind, covariant = how
    (constant, linear, curvature), (spread, offset, slope) = form, heat
    along_linear = 0.0
    for i in range(x.size):
        u[i] = x[i] / math.sqrt(r2)
        along_linear += linear[i] * u[i]
    loss = _mean(u, known, own, constant, linear, curvature, mean, facts)
    if not known:
        means[kernels.LAPLACIAN] = _laplacian(u, own, scratch[1], scratch[2], scratch[3])
    points[kernels.RADIUS], points[kernels.ENERGY], points[kernels.OVERLAP] = math.sqrt(r2), loss, along_linear
    if covariant:
        strength = math.sqrt(max(offset + slope * loss, 0.0)) if slope != 0.0 else 1.0
        _covariance(
            u, noise_kind, fill, spread, curvature, facts[_ALONG], strength, known, own, scratch, columns, found
        )
    points[kernels.NOISE_TRACE_SQ], points[kernels.NOISE_COV_SQ] = found[0], found[1]
    points[kernels.NOISE_CURVATURE] = found[2]


@numba.njit(error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore
def _run(
    task, stop, scaled, projected, span, runs, buffers, how, own, fill, form, heat, tallied
):  # pragma: no cover - compiled
    """One task of :func:`advance`."""
    first, samples, steps, begin = span
    w, stream, rates, decays, radii = runs
    velocity, failed, cause, momentum, nesterov = buffers
    (constant, linear, curvature), (spread, offset, slope) = form, heat
    known, noise_kind, _ = how
    means, points, every, moments, counts, blocks, origin, width, snapshot_first, snapshot_every, snapshots = tallied
    d = w.shape[1]
    s, x, v = stream[task].copy(), w[task].copy(), velocity[task].copy()
    u, mean, noise, draws = np.empty(d), np.empty(d), np.empty(d), np.empty(d)
    scratch, columns = np.empty((4, d)), np.empty((d if d <= LARGEST_COVARIANCE else 1, d))
    facts, found, sums = np.zeros(3), np.zeros(3), np.zeros(kernels.COLUMNS)
    rate, decay = rates[task], decays[task] if not projected else 0.0
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
        sums[:] = 0.0
        for _ in range(steps):
            if stop[0]:
                return
            if cause[task] != 0:
                break
            r = math.sqrt(r2)
            along_linear = 0.0
            for i in range(d):
                u[i] = x[i] / r
                along_linear += linear[i] * u[i]
            loss = _mean(u, known, own, constant, linear, curvature, mean, facts)
            kernels._fill(s, draws)
            strength = _strength(loss, offset, slope)
            _heat(u, noise_kind, fill, spread, curvature, facts[_ALONG], strength, draws, noise)
            grad_sq = noise_sq = mean_sq = 0.0
            for i in range(d):
                mean_sq += mean[i] * mean[i]
                noise_sq += noise[i] * noise[i]
                noise[i] += mean[i]
                grad_sq += noise[i] * noise[i]
            now += 1
            cause[task] = _cause(loss, mean_sq, noise_sq)
            on_sphere = projected and cause[task] == 0
            r2, sound, growth = _move(x, v, noise, scaled, on_sphere, rate, decay, momentum, nesterov, r2)
            if cause[task] == 0 and not sound:
                cause[task] = _WEIGHTS
            if cause[task] != 0:
                failed[task] = now
                break
            sums[kernels.GROWTH] += growth
            sums[kernels.LOSS] += loss
            sums[kernels.LOSS_SQ] += loss * loss
            sums[kernels.GRAD_SQ] += grad_sq
            sums[kernels.NOISE_SQ] += noise_sq
            sums[kernels.MEAN_GRAD_SQ] += mean_sq
            sums[kernels.LAPLACIAN] += facts[_LAPLACIAN]
            sums[kernels.GRAD_CURVATURE] += facts[_CURVED_SQ]
            clock += 1
            if clock == every:
                clock = 0
                logit = math.log((1.0 + along_linear) / (1.0 - along_linear))
                count(logit, task, now, blocks[sample], moments, counts, origin, width)
            if now == next_snapshot and kept < snapshots.shape[1]:
                for i in range(d):
                    snapshots[task, kept, i] = x[i] / math.sqrt(r2)
                kept += 1
                next_snapshot += snapshot_every
        if cause[task] != 0:
            means[task, sample, kernels.LOSS] = np.nan
            continue
        _read(x, r2, steps, sums, how, own, fill, form, heat, u, mean, facts, scratch, columns, found,
              means[task, sample], points[task, sample])  # fmt: skip
    for i in range(d):
        w[task, i], velocity[task, i] = x[i], v[i]
    for i in range(s.size):
        stream[task, i] = s[i]


@numba.njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")  # type: ignore
def advance(
    portion, scaled, projected, span, runs, buffers, how, own, fill, form, heat, tallied
):  # pragma: no cover - compiled
    """As :func:`.kernels.advance`, with the group Buffers of :mod:`.arguments`.

    ``how``: whether the loss is the ``form`` (else ``own``); the kind of noise, SPREAD, CURVED or OWN, the last by
    ``fill``; and whether its covariance is recorded.
    """
    begin_task, end_task, stop = portion
    for task in range(begin_task, end_task):
        _run(task, stop, scaled, projected, span, runs, buffers, how, own, fill, form, heat, tallied)
