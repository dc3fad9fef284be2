"""Random numbers for many runs side by side, in loops over lanes that the compiler turns into vector instructions.

A lane is one run with its own stream, xoshiro256++ (Blackman and Vigna 2021). Arrays are flat, quantity after quantity,
``WIDTH`` lanes each, so that the compiler detects that they do not overlap. Every lane does the same arithmetic,
without branches and calls: logarithm, sine and cosine are polynomials, and fused multiply-adds are explicit and occur
nowhere else. So the numbers of a lane are bit-equal alone, alongside others, and with any number of threads.

Normals are pairs by Box and Muller (1958), R = √(−2 ln u), cos φ and sin φ, with u and φ of 52 bits each, so that
|n| < 8.5. A χ² of k ≥ 2 degrees is 2D v³ by Marsaglia and Tsang (2000), D = k/2 − ⅓, v = 1 + x/√(9D), accepted in 95 %
of the lanes at k = 2 and in more above. Rejected draws are repeated from a second stream of the run, lane by lane, so
that the position of the first stream depends only on the number of steps.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.polynomial import Chebyshev, Polynomial

WIDTH = 64
"""Largest number of lanes side by side: enough to hide the latency of square roots, few enough for the cache."""
STREAM = 8
"""Words of a run's two streams: the second is for repeated draws."""
FEW = 5
"""Fewer lanes than this are computed one by one, by the same arithmetic, rather than as a vector."""
CHUNK = 16
"""Steps for which random numbers are drawn together."""
ROOM = CHUNK * WIDTH
WORDS = 3
"""Largest number of words per step: two for a pair of normals, one for the test of a χ²."""


def _fma(typingctx, a, b, c):  # pragma: no cover - compiled
    signature = types.float64(types.float64, types.float64, types.float64)
    return signature, lambda context, builder, signature, arguments: builder.fma(*arguments)


def _as_float(typingctx, bits):  # pragma: no cover - compiled
    signature = types.float64(types.uint64)
    return signature, lambda context, builder, signature, arguments: builder.bitcast(arguments[0], ir.DoubleType())


def _as_bits(typingctx, number):  # pragma: no cover - compiled
    signature = types.uint64(types.float64)
    return signature, lambda context, builder, signature, arguments: builder.bitcast(arguments[0], ir.IntType(64))


fma: Any = intrinsic(_fma)
"""a·b + c, rounded once."""
as_float: Any = intrinsic(_as_float)
"""The float64 of 64 bits."""
as_bits: Any = intrinsic(_as_bits)
"""The 64 bits of a float64."""


def _log_series() -> tuple[float, ...]:
    """Coefficients of ln(1 + x)/x on √½ ≤ 1 + x ≤ √2, interpolated at the Chebyshev points: accurate to 4·10⁻¹⁵."""
    ends = [math.sqrt(0.5) - 1, math.sqrt(2) - 1]
    found = Chebyshev.interpolate(lambda x: np.log1p(x) / x, 17, domain=ends).convert(kind=Polynomial)
    return tuple(float(c) for c in found.coef)


_L = _log_series()
_S = tuple((-1) ** k / math.factorial(2 * k + 1) * (math.pi / 4) ** (2 * k + 1) for k in range(8))
_C = tuple((-1) ** k / math.factorial(2 * k) * (math.pi / 4) ** (2 * k) for k in range(9))
"""Of sin and cos of πa/4, 0 ≤ a < 1: the Taylor series, accurate to the last bit."""
_MANTISSA, _ONE = np.uint64(0x000FFFFFFFFFFFFF), np.uint64(0x3FF0000000000000)
_INTEGER, _SIGN = np.uint64(0x4330000000000000), np.uint64(0x8000000000000000)
_EXPONENT = 2.0**52 + 1023
_ROOT_TWO, _LN_TWO = math.sqrt(2), math.log(2)


@numba.njit(inline="always")
def log(x):  # pragma: no cover - compiled
    """ln x of a positive normal number; 710 for infinity, undefined for NaN."""
    bits = as_bits(x)
    exponent = as_float((bits >> np.uint64(52)) | _INTEGER) - _EXPONENT
    part = as_float((bits & _MANTISSA) | _ONE)
    large = part > _ROOT_TWO
    part = 0.5 * part if large else part
    exponent = exponent + 1.0 if large else exponent
    x = part - 1.0
    y = x * x
    even = fma(fma(fma(fma(_L[16], y, _L[14]), y, _L[12]), y, _L[10]), y, _L[8])
    even = fma(fma(fma(fma(even, y, _L[6]), y, _L[4]), y, _L[2]), y, _L[0])
    odd = fma(fma(fma(fma(_L[17], y, _L[15]), y, _L[13]), y, _L[11]), y, _L[9])
    odd = fma(fma(fma(fma(odd, y, _L[7]), y, _L[5]), y, _L[3]), y, _L[1])
    return fma(exponent, _LN_TWO, x * fma(odd, x, even))


@numba.njit(inline="always")
def pair(first, second):  # pragma: no cover - compiled
    """Two independent standard normals from two words."""
    u = 2.0 - as_float((first >> np.uint64(12)) | _ONE)  # (0, 1]
    a = as_float((second >> np.uint64(12)) | _ONE) - 1.0  # [0, 1); the octant is in the three lowest bits
    radius = math.sqrt(-2.0 * log(u))
    y = a * a
    sine = fma(fma(fma(fma(_S[7], y, _S[6]), y, _S[5]), y, _S[4]), y, _S[3])
    sine = a * fma(fma(fma(sine, y, _S[2]), y, _S[1]), y, _S[0])
    cosine = fma(fma(fma(fma(_C[8], y, _C[7]), y, _C[6]), y, _C[5]), y, _C[4])
    cosine = fma(fma(fma(fma(cosine, y, _C[3]), y, _C[2]), y, _C[1]), y, _C[0])
    swap = (second & np.uint64(1)) != np.uint64(0)
    p, q = sine if swap else cosine, cosine if swap else sine
    p = as_float(as_bits(p) ^ ((second << np.uint64(62)) & _SIGN))
    q = as_float(as_bits(q) ^ ((second << np.uint64(61)) & _SIGN))
    return radius * p, radius * q


@numba.njit(inline="always")
def _turn(s0, s1, s2, s3):  # pragma: no cover - compiled
    """One word of xoshiro256++ and the four words of its next state."""
    total = s0 + s3
    word = ((total << np.uint64(23)) | (total >> np.uint64(41))) + s0
    shifted = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    s3 = (s3 << np.uint64(45)) | (s3 >> np.uint64(19))
    return word, s0, s1, s2, s3


@numba.njit(inline="always")
def _next(state, lane):  # pragma: no cover - compiled
    """One word of a lane, or from 4·WIDTH on of its second stream; ``state`` is STREAM·WIDTH words."""
    s0, s1 = state[lane], state[WIDTH + lane]
    s2, s3 = state[2 * WIDTH + lane], state[3 * WIDTH + lane]
    word, s0, s1, s2, s3 = _turn(s0, s1, s2, s3)
    state[lane], state[WIDTH + lane] = s0, s1
    state[2 * WIDTH + lane], state[3 * WIDTH + lane] = s2, s3
    return word


@numba.njit(cache=True, error_model="numpy")
def draw(state, words, normals, steps, lanes, degrees):  # pragma: no cover - compiled
    """A standard normal and a χ² of ``degrees`` for each of ``steps`` (at most CHUNK) steps and ``lanes`` lanes.

    They go into ``normals`` (2·ROOM), at step · lanes + lane and ROOM further on. ``state`` (STREAM·WIDTH) advances;
    ``words`` (3·ROOM) is work space.
    """
    kinds = 3 if degrees > 1 else 2
    for step in range(steps):
        for kind in range(kinds):
            place = kind * ROOM + step * lanes
            for lane in range(lanes):
                words[place + lane] = _next(state, lane)
    count = steps * lanes
    if degrees < 2:
        one = float(degrees)
        for i in range(count):
            first, second = pair(words[i], words[ROOM + i])
            normals[i] = first
            normals[ROOM + i] = one * second * second
        return
    depth = degrees / 2 - 1 / 3
    slope = 1 / math.sqrt(9 * depth)
    missing = 0
    for i in range(count):
        first, second = pair(words[i], words[ROOM + i])
        v, taken = _candidate(second, words[2 * ROOM + i], depth, slope)
        normals[i] = first
        normals[ROOM + i] = 2.0 * depth * v if taken else -1.0
        missing += 0 if taken else 1
    if missing:
        for i in range(count):
            if normals[ROOM + i] < 0.0:
                normals[ROOM + i] = _again(state, 4 * WIDTH + i % lanes, depth, slope)


@numba.njit(inline="always")
def _candidate(x, word, depth, slope):  # pragma: no cover - compiled
    """v³ of a standard normal x and a word, and whether Marsaglia and Tsang's test accepts it."""
    u = 2.0 - as_float((word >> np.uint64(12)) | _ONE)  # (0, 1]
    v = fma(slope, x, 1.0)
    positive = v > 0.0
    v = v if positive else 1.0
    cube = v * v * v
    taken = log(u) < fma(0.5 * x, x, depth * (1.0 - cube + 3.0 * log(v)))
    return cube, positive & taken


@numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore
def _again(state, lane, depth, slope):  # pragma: no cover - compiled
    """A χ² from candidates of the second stream."""
    while True:
        first, second = _next(state, lane), _next(state, lane)
        _, x = pair(first, second)
        v, taken = _candidate(x, _next(state, lane), depth, slope)
        if taken:
            return 2.0 * depth * v


@numba.njit(cache=True, error_model="numpy")
def fill(state, words, normals, first, pairs):  # pragma: no cover - compiled
    """Standard normals of every lane, from pair ``first`` to before ``pairs``, into ``normals`` (2·rows, lanes).

    Number j of a lane is in row (j >> 1), or ``rows`` further on if j is odd: both of a pair are used, one after the
    other. ``words`` (2·ROOM) is work space, which is reused so that it stays in the cache.
    """
    lanes = normals.shape[1]
    flat, half, most = normals.ravel(), normals.size // 2, ROOM // lanes
    for begin in range(first, pairs, most):
        some = min(most, pairs - begin)
        count = some * lanes
        if lanes < FEW:  # one lane after the other, its state in registers
            for lane in range(lanes):
                s0, s1 = state[lane], state[WIDTH + lane]
                s2, s3 = state[2 * WIDTH + lane], state[3 * WIDTH + lane]
                for k in range(some):
                    words[k * lanes + lane], s0, s1, s2, s3 = _turn(s0, s1, s2, s3)
                    words[ROOM + k * lanes + lane], s0, s1, s2, s3 = _turn(s0, s1, s2, s3)
                state[lane], state[WIDTH + lane] = s0, s1
                state[2 * WIDTH + lane], state[3 * WIDTH + lane] = s2, s3
        else:
            for k in range(some):
                place = k * lanes
                for lane in range(lanes):
                    s0, s1 = state[lane], state[WIDTH + lane]
                    s2, s3 = state[2 * WIDTH + lane], state[3 * WIDTH + lane]
                    words[place + lane], s0, s1, s2, s3 = _turn(s0, s1, s2, s3)
                    words[ROOM + place + lane], s0, s1, s2, s3 = _turn(s0, s1, s2, s3)
                    state[lane], state[WIDTH + lane] = s0, s1
                    state[2 * WIDTH + lane], state[3 * WIDTH + lane] = s2, s3
        # Views: an index that numba cannot prove to be non-negative would prevent vectorisation of the loop.
        place = begin * lanes
        one, two = flat[place : place + count], flat[half + place : half + place + count]
        for i in range(count):
            one[i], two[i] = pair(words[i], words[ROOM + i])


@numba.njit(cache=True, error_model="numpy")
def draws(streams, steps, degrees):  # pragma: no cover - compiled
    """(normals, χ²) of ``degrees``, (runs, steps) each, from ``streams`` (runs, STREAM), which advance: for tests."""
    runs = streams.shape[0]
    out = np.empty((2, runs, steps))
    state, words, normals = np.empty(STREAM * WIDTH, np.uint64), np.empty(WORDS * ROOM, np.uint64), np.empty(2 * ROOM)
    for first in range(0, runs, WIDTH):
        lanes = min(WIDTH, runs - first)
        load(streams, first, lanes, state)
        for begin in range(0, steps, CHUNK):
            some = min(CHUNK, steps - begin)
            draw(state, words, normals, some, lanes, degrees)
            for step in range(some):
                for lane in range(lanes):
                    out[0, first + lane, begin + step] = normals[step * lanes + lane]
                    out[1, first + lane, begin + step] = normals[ROOM + step * lanes + lane]
        save(state, first, lanes, streams)
    return out


@numba.njit(cache=True)
def load(streams, first, lanes, state):  # pragma: no cover - compiled
    """The streams (runs, STREAM) from run ``first`` on into the lanes."""
    for lane in range(lanes):
        for word in range(streams.shape[1]):
            state[word * WIDTH + lane] = streams[first + lane, word]


@numba.njit(no_cpython_wrapper=True, no_cfunc_wrapper=True)  # type: ignore
def save(state, first, lanes, streams):  # pragma: no cover - compiled
    """The lanes back into the streams."""
    for lane in range(lanes):
        for word in range(streams.shape[1]):
            streams[first + lane, word] = state[word * WIDTH + lane]
