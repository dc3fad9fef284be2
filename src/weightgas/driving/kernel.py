"""The compiled step along a path: hyperparameters that change at every step, with heat and work of the gas.

The step is that of :mod:`weightgas.simulation.reduced`, for the loss of one overlap and isotropic noise. It also
computes sums that need the weights before and after a step (:mod:`.ensemble` defines them). With L, V before and L₊, V₊
after the step, Ĝ = σ²(d−1) + 1 − z² the mean second moment of its gradient, and η_e = η/(2V) at fixed LR:

    p_in dV = (η_e Ĝ/4) ln(V₊/V)                  the pressure of the gas, p_in V = η_e Ĝ/4, during the step;
              (ηĜ/8)(1/V − 1/V₊) at fixed LR      the same integral with η_e = η/(2V)
    p dV    = λ (V₊ − V), on the sphere p_in dV   the pressure of the surroundings
    β       = 2/(η_e σ²); at fixed LR 4V̄/(ησ²), V̄ = (V + V₊)/2
    work −= p dV      inner work −= p_in dV       exchanged += β (L₊ − L + p dV)
    update term += C²G/2     decay −= sλ(2−sλ) V         C = s/r, s = η or η_e r²

V̄ is the midpoint (Stratonovich; Sekimoto 1998), and the integrals over V are exact: terms that depend on V alone sum
to zero over any closed path, despite fluctuations. The first-order rule would add spurious entropy in a steady state.
"""

from __future__ import annotations

import math

import numpy as np

from weightgas.simulation import kernels, lanes, reduced
from weightgas.simulation.compiling import numba
from weightgas.simulation.lanes import CHUNK, ROOM, STREAM, WIDTH, WORDS, fma
from weightgas.simulation.lanes import log as _log

WORK, INNER_WORK, EXCHANGED, UPDATE, DECAY = range(5)
SUMS = 5
"""The sums of a run, from the start of the first leg."""
LOSS, VOLUME, FIRST_SUM = 0, 1, 2
COLUMNS = FIRST_SUM + SUMS
"""The values of a run at a mark: its position, and its sums."""
_SUM = (reduced._SUMS + kernels.GRAD_SQ) * WIDTH


@numba.njit(cache=True, nogil=True, no_cfunc_wrapper=True, error_model="numpy")  # type: ignore
def advance(
    portion, scaled, projected, w, stream, volume, sums, schedule, marks, dim, variance, together, found
):  # pragma: no cover - compiled
    """Advance N runs along the steps of ``schedule`` (η or η_e, λ and r of each), and record values after ``marks``.

    ``w`` (N, 2) is y and t² (whose root would be rounded at every call). ``w``, ``stream`` (N, STREAM), ``volume`` (N,)
    and ``sums`` (N, SUMS) are updated in place. ``found`` is (N, marks, COLUMNS); the last mark is the number of steps.
    ``together`` lanes are computed side by side.
    """
    rate, decay, radius = schedule
    flags, heat = (scaled, projected), (variance, 1.0, 0.0)
    (begin_run, end_run, stop), steps = portion, rate.shape[0]
    for start in range(begin_run, end_run, together):
        many = min(together, end_run - start)
        f = np.zeros((reduced._SUMS + kernels.COLUMNS) * WIDTH)
        normals = np.empty(2 * ROOM)
        state, words = np.empty(STREAM * WIDTH, np.uint64), np.empty(WORDS * ROOM, np.uint64)
        overlap, room, kept = np.empty(WIDTH), np.empty(WIDTH), np.zeros(SUMS * WIDTH)
        lanes.load(stream, start, many, state)
        for i in range(many):
            y, across_sq = w[start + i, 0], w[start + i, 1]
            f[reduced._Y * WIDTH + i], f[reduced._ACROSS_SQ * WIDTH + i] = y, across_sq
            overlap[i], room[i] = y / math.sqrt(fma(y, y, across_sq)), volume[start + i]
            for number in range(SUMS):
                kept[number * WIDTH + i] = sums[start + i, number]
        done = sample = 0
        while done < steps:
            if stop[0]:
                return
            some = min(CHUNK, marks[sample] - done)
            lanes.draw(state, words, normals, some, many, dim - 2)
            for step in range(some):
                now = (rate[done + step], decay[done + step], radius[done + step])
                for i in range(many):
                    f[reduced._RATE * WIDTH + i], f[reduced._DECAY * WIDTH + i] = now[0], now[1]
                    f[reduced._RADIUS * WIDTH + i] = now[2]
                    f[_SUM + i] = 0.0
                reduced._step(f, normals, step * many, many, flags, 1.0, heat)
                _book(f, overlap, room, kept, many, flags, now, dim, variance)
            done += some
            if done == marks[sample]:
                for i in range(many):
                    found[start + i, sample, LOSS] = 1.0 + overlap[i]
                    found[start + i, sample, VOLUME] = room[i]
                    for number in range(SUMS):
                        found[start + i, sample, FIRST_SUM + number] = kept[number * WIDTH + i]
                sample += 1
        for i in range(many):
            y, across_sq = f[reduced._Y * WIDTH + i], f[reduced._ACROSS_SQ * WIDTH + i]
            w[start + i, 0], w[start + i, 1], volume[start + i] = y, across_sq, room[i]
            for number in range(SUMS):
                sums[start + i, number] = kept[number * WIDTH + i]
        lanes.save(state, start, many, stream)


@numba.njit(inline="always")
def _book(f, overlap, room, kept, many, flags, now, dim, variance):  # pragma: no cover - compiled
    """Add the last step of every lane to its sums, and update ``overlap`` and ``room``, the z and V before it."""
    (scaled, projected), (rate, decay, radius) = flags, now
    for i in range(many):
        y, across_sq = f[reduced._Y * WIDTH + i], f[reduced._ACROSS_SQ * WIDTH + i]
        square, grad_sq = fma(y, y, across_sq), f[_SUM + i]
        z, before = overlap[i], room[i]
        z_new = y / math.sqrt(square)
        after = 0.5 * radius * radius if projected else 0.5 * square
        change = after - before
        elr = rate if scaled else rate / (2.0 * before)
        taken = decay * elr * 2.0 * before
        mean_sq = fma(-z, z, fma(variance, dim - 1.0, 1.0))
        update = elr * elr * before * grad_sq
        if scaled:
            inner = 0.25 * elr * mean_sq * _log(after / before)
            beta = 2.0 / (rate * variance)
        else:
            inner = 0.125 * rate * mean_sq * change / (before * after)
            beta = 2.0 * (before + after) / (rate * variance)
        if projected:
            outer, decayed = inner, change - update
        else:
            outer, decayed = decay * change, -taken * (2.0 - taken) * before
        kept[WORK * WIDTH + i] -= outer
        kept[INNER_WORK * WIDTH + i] -= inner
        kept[EXCHANGED * WIDTH + i] = fma(beta, z_new - z + outer, kept[EXCHANGED * WIDTH + i])
        kept[UPDATE * WIDTH + i] += update
        kept[DECAY * WIDTH + i] += decayed
        overlap[i], room[i] = z_new, after
