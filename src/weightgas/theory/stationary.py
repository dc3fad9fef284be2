"""The isotropic noise model at any step size: the stationary state of its discrete step, by quadrature.

For L = 1 + z and noise of variance σ² in every tangent direction, radius and overlap form a Markov chain. With the step
h = η/r², K = 1 − hλr² = 1 − ηλ, e = h/K, n ~ N(0, 1), q ~ χ²_{d−2} and ζ = √(1 − z²),

    G = (ζ + σn)² + σ²q        z₊ = (z − e(ζ + σn)ζ)/√(1 + e²G)        r₊² = r² K² (1 + e²G)

    fixed sphere   K = 1, h = η_e, r fixed: a chain of z alone             step size: η_e
    fixed ELR      h = η_e; y = η_e λ r² and z, for any λ                 step size: η_e
    fixed LR       K = 1 − ηλ; h = η/r² and z, for any η and λ            step size: ηλ

Let ρ₀ be von Mises–Fisher in z, at the temperature at which a step leaves the mean of z unchanged, times a normal
density of ln r². The stationary density is ρ₀ Σ c_b φ_b with φ_b the orthonormal polynomials of ρ₀, and Σ_b c_b ∫ρ₀ φ_b
(Pφ_a − φ_a) = 0 for every a. Pφ, the mean of φ after a step, is computed by Gauss rules over z, ln r², n and q (a
Galerkin method; Atkinson and Han, Theoretical Numerical Analysis, ch. 12). The corrections to ρ₀ are close to
polynomials (:mod:`.finite_step` to first order), so twelve degrees reach about eight digits. No order in η_e is
neglected: the difference from :mod:`.vmf` and :mod:`.ideal_gas` is what those closed forms neglect.

On the sphere and at fixed LR there is a stationary state for every η_e and every 0 < ηλ < 1. At fixed ELR there is,
strictly, none: from every radius one sufficiently large gradient makes r grow without limit. The result is the
metastable state before that, and ``escape_time`` is its mean duration. The mean step has no fixed point for η_e²G ≥ 1.
A step so large that the quadrature error of U exceeds 10⁻⁴ is not resolved: η_e above about 0.5 in three dimensions at
σ = 1.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.special import gammainc

from weightgas.errors import positive_array, positive_number, refuse, renamed_names, typed, whole_number
from weightgas.theory import _logistic
from weightgas.theory._arguments import Kind, kind
from weightgas.theory._chain import Stationary, solve

__all__ = [
    "Stationary",
    "escape_time",
    "gibbs_slope",
    "response_ratio",
    "stationary_state",
    "stationary_values",
]

DEGREE = 12
"""Degree of the polynomials in z; in ln r² it is six tenths of that."""
_LEAST = 1e-200
"""Smallest step size times σ²: below it finite-step effects are negligible, and the quadrature would overflow."""
_MOST, _SPACING = 36, 1 / 9
"""Most step sizes that are solved one by one; more are interpolated on a logarithmic grid with this spacing."""


@typed
def stationary_state(
    protocol: Kind, dim: int, step_size: float, noise_var: float = 1.0, *, degree: int = DEGREE
) -> Stationary:
    """The stationary state of the isotropic noise model, exact except for the quadrature, in 10 to 25 ms; cached.

    Parameters
    ----------
    protocol
        A protocol class, such as :class:`weightgas.FixedLR`.
    dim
        Number of weights d, at least 2.
    step_size
        η_e on the fixed sphere and at fixed ELR, ηλ at fixed LR (``step_number`` of the protocol).
    noise_var
        σ², the variance of the noise in every tangent direction.
    degree
        Degree of the polynomials in z, at least 4.

    Returns
    -------
    Stationary
        The means of the state; NaN with a ``reason`` if there is none or it is not resolved.

    Raises
    ------
    TypeError, ValueError
        For anything but a protocol class, or a number of the wrong type or range.
    """
    protocol = kind(protocol)
    whole_number("dim", dim, minimum=2)
    step_size, noise_var = positive_number("step_size", step_size), positive_number("noise_var", noise_var)
    whole_number("degree", degree, minimum=4)
    if not _LEAST < step_size * noise_var < 1 / _LEAST:
        return Stationary(reason="the temperature is out of the range of the quadrature; take the closed forms")
    return solve(protocol, int(dim), step_size, noise_var, int(degree))


@typed
def stationary_values(
    protocol: Kind, dim: int, at: Mapping[str, ArrayLike], noise_var: float = 1.0
) -> dict[str, NDArray[np.float64]]:
    """Stationary means at many hyperparameters: radius (root mean square), E ln r, and those of :class:`Stationary`.

    ``protocol`` is a protocol class, and ``at`` has its hyperparameters by axis, as arrays that broadcast. One state is
    computed for each distinct step size; more than 36 are interpolated by splines in the logarithm of the step size,
    with a relative error of 10⁻⁵. The result has arrays by name, of the shape to which ``at`` broadcasts: ``radius``,
    ``log_radius`` and the numbers of the state from ``energy`` to ``conf_ratio``, NaN where there is no state or it is
    not resolved. ValueError if an axis is missing.
    """
    protocol = kind(protocol)
    if missing := [axis for axis in protocol.axes if axis not in at]:
        raise refuse("at", f"a value of each of {', '.join(protocol.axes)}", f"none of {missing[0]}", "Add it.")
    arrays = np.broadcast_arrays(*(np.asarray(v, float) for v in at.values()))
    at = dict(zip(at, arrays, strict=True))
    size = np.round(np.log(protocol.step_number(at)), 12)
    distinct, where = np.unique(size, return_inverse=True)
    nodes = _nodes(distinct[0], distinct[-1])
    if len(distinct) <= max(_MOST, len(nodes)):
        out = {name: values[where.reshape(size.shape)] for name, values in _solved(protocol, dim, distinct, noise_var)}
    else:
        out = {name: _between(nodes, values, size) for name, values in _solved(protocol, dim, nodes, noise_var)}
    unit = protocol.square_unit(at)
    return out | {
        "radius": np.sqrt(unit * out["square"]),
        "log_radius": (np.log(unit) + out["log_square"]) / 2,
    }


_MEANS = tuple(Stationary.__dataclass_fields__)[:10]


def _solved(protocol: Kind, dim: int, log_size: NDArray, noise_var: float) -> list[tuple[str, NDArray[np.float64]]]:
    states = [stationary_state(protocol, dim, float(np.exp(x)), noise_var) for x in log_size]
    return [(name, np.array([getattr(s, name) for s in states])) for name in _MEANS]


def _nodes(low: float, high: float, spacing: float = _SPACING) -> NDArray[np.float64]:
    """Both ends, and the multiples of the spacing between them that are not too near; twice the spacing from 96 on."""
    while high - low > 96 * spacing:
        spacing *= 2
    inner = spacing * np.arange(np.ceil(low / spacing + 0.5), np.floor(high / spacing - 0.5) + 1)
    return np.concatenate([[low], inner, [high]])


def _between(nodes: NDArray, values: NDArray, x: NDArray) -> NDArray[np.float64]:
    """Cubic spline, of the logarithm if all are positive; NaN beyond the first row of nodes with values."""
    good = np.append(np.isfinite(values), False)
    first = int(np.argmax(good))
    end = first + int(np.argmin(good[first:]))
    if end - first < 2:
        return np.full(x.shape, np.nan)
    nodes, values = nodes[first:end], values[first:end]
    positive = bool((values > 0).all())
    found = CubicSpline(nodes, np.log(values) if positive else values)(x)
    inside = (x >= nodes[0]) & (x <= nodes[-1])
    return np.where(inside, np.exp(found) if positive else found, np.nan)


@typed
def response_ratio(
    protocol: Kind, dim: int, step_size: ArrayLike, noise_var: float = 1.0
) -> float | NDArray[np.float64]:
    """Ratio of response to fluctuation, (dU/dT)/(Var U/T²) at constant σ²: 1 in continuous time.

    dU/dT is a central difference over the step size; arguments as for :func:`stationary_state`. ``step_size`` may be a
    list, which gives an array: many are interpolated by a spline, with a relative error of 2·10⁻⁵.
    """
    protocol = kind(protocol)
    whole_number("dim", dim, minimum=2)
    noise_var = positive_number("noise_var", noise_var)
    size = positive_array("step_size", step_size, fix="Pass one positive step size or a list of them.")
    log_size = np.round(np.log(size), 12)
    distinct, where = np.unique(log_size, return_inverse=True)
    low, high = distinct[[0, -1]]
    small = np.clip(np.log(0.05 / np.sqrt((dim - 1) * noise_var)), low, high)  # up to which the ratio leaves 1 slowly
    nodes = np.unique(np.concatenate([_nodes(low, small, 3 * _SPACING), _nodes(small, high)]))
    few = len(distinct) <= len(nodes)
    at = np.exp(distinct if few else nodes)
    ratios = np.array([_response_ratio(protocol, dim, float(x), noise_var) for x in at])
    found = ratios[where] if few else _between(nodes, ratios, log_size)
    return float(found[0]) if np.ndim(step_size) == 0 else found


def _response_ratio(protocol: Kind, dim: int, step_size: float, noise_var: float) -> float:
    around = [stationary_state(protocol, dim, step_size * f, noise_var) for f in (0.99, 1.0, 1.01)]
    rise, step = around[2].energy - around[0].energy, around[2].temperature - around[0].temperature
    return rise / step * around[1].temperature ** 2 / around[1].energy_variance


@typed
def gibbs_slope(cold: Stationary, hot: Stationary) -> float:
    """Expected Gibbs slope of two stationary states: the slope in the logistic regression "hot or cold" on the energy.

    For infinitely many energies, as many from each: the maximum of E_cold ln(1 − p) + E_hot ln p, where the logit of p
    is linear in the energy. In continuous time it is 1/T_cold − 1/T_hot. NaN if one of the states does not exist.
    """
    if cold.reason or hot.reason:
        return np.nan
    ideal = 1 / cold.temperature - 1 / hot.temperature
    return _logistic.slope((cold.gaps, cold.weights), (hot.gaps, hot.weights), ideal)


@typed
def escape_time(elr: float, noise_var: float, dim: int, *, bins: int = 600) -> float:
    """Mean number of steps until a run at fixed ELR escapes to infinite radius, from its stationary radius.

    In pure noise a step maps y = η_e λ r² to y((1 − y)² + η_e²σ²χ²_{d−1}). The run has escaped above the unstable fixed
    point of the mean step, y = 1 + √(1 − H), H = η_e²σ²(d−1). The chain of ln y is discretised on ``bins`` equal
    intervals (Ulam's method), and a linear system gives the escape time. It is infinite beyond 10¹², where rounding
    dominates, and 0 for H ≥ 1. ``noise_var`` is σ², ``dim`` is d. TypeError or ValueError for a number of the wrong
    type or sign.
    """
    dof = whole_number("dim", dim, minimum=2) - 1
    unit = positive_number("elr", elr) ** 2 * positive_number("noise_var", noise_var)
    mean = unit * dof
    if mean >= 1:
        return 0.0
    center, top = 1 - np.sqrt(1 - mean), 1 + np.sqrt(1 - mean)
    edges = np.linspace(np.log(center) - 5, np.log(top), whole_number("bins", bins, minimum=10) + 1)
    y = np.exp((edges[1:] + edges[:-1]) / 2)
    need = np.exp(edges) / y[:, None] - (1 - y[:, None]) ** 2
    below = gammainc(dof / 2, np.maximum(need, 0) / (2 * unit))
    below[:, 0] = 0.0  # a step below the lowest bin ends in it
    try:
        times = np.linalg.solve(np.eye(bins) - np.diff(below, axis=1), np.ones(bins))
    except np.linalg.LinAlgError:  # no escape within the precision of the numbers
        return np.inf
    value = float(times[np.argmin(np.abs(y - center))])
    return value if 0 < value < 1e12 else np.inf


__getattr__ = renamed_names(__name__, {"lifetime_fixed_elr": "escape_time(elr, noise_var, dim)"})
