"""The Galerkin solution of the equations in :mod:`weightgas.theory.stationary`."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from weightgas.theory import vmf
from weightgas.theory._arguments import Kind
from weightgas.theory._rules import Array, OverlapRule, chi_square_rule, hermite, normal_rule, overlap_rule

_TOLERANCE = 1e-4
"""Largest relative change of U without the highest degree for which the state counts as resolved."""


@dataclass(frozen=True)
class Stationary:
    """Means over the stationary state of the isotropic noise model; NaN with a ``reason`` if there is no such state.

    energy, energy_variance    U = E[1 + z] and Var z
    entropy_direction          S(w̄) in nats, with respect to the surface of the unit sphere
    mean_grad_sq               E‖∇L‖² = E[1 − z²] on the unit sphere
    elr                        E[η/r²]; η_e if that is fixed
    temperature                T = E[η/r²] σ²/2
    square, log_square         E[x] and E[ln x], x = r²/η; η_e λ r² if the step is scaled, 1 on a sphere
    log_square_variance        Var ln r²
    conf_ratio                 T_conf/T = E‖∇L‖²/(T E[ΔL]), ΔL = −(d−1)z: 1 in continuous time
    error                      relative change of U, or E[r²], when the highest degrees are excluded
    reason                     why there is no state or it is not resolved; empty if there is one
    gaps, weights              nodes and weights for means over 1 + z in this state
    """

    energy: float = np.nan
    energy_variance: float = np.nan
    entropy_direction: float = np.nan
    mean_grad_sq: float = np.nan
    elr: float = np.nan
    temperature: float = np.nan
    square: float = np.nan
    log_square: float = np.nan
    log_square_variance: float = np.nan
    conf_ratio: float = np.nan
    error: float = np.nan
    reason: str = ""
    gaps: tuple[float, ...] = field(default=(), repr=False)
    weights: tuple[float, ...] = field(default=(), repr=False)


class _Reference(NamedTuple):
    """The parameters of ρ₀: h and ηλ = η_e λ r² at the centre of ln r²; the spread of ln r²; T of the direction."""

    size: float
    decay: float
    spread: float
    temperature: float


def _reference(protocol: Kind, dim: int, step: float, noise_var: float) -> _Reference:
    """The parameters from the mean step; NaN where it has no fixed point.

    The temperature of the direction is that at which a step does not change the mean of z. In high dimensions the
    temperature of continuous time would be off by many widths of the density.
    """
    at = _radius(protocol, dim, step, noise_var, None)
    if not np.isfinite(at.size + at.decay + at.spread):
        return at

    def moves(log_temperature: float) -> float:
        rule = overlap_rule(dim, float(np.exp(log_temperature)), 8)
        gap, _, weight = _after(rule.nodes, np.array(at.size / (1 - at.decay)), noise_var, dim, 6)
        return float(rule.weights @ (gap @ weight) / (rule.weights @ rule.nodes) - 1)

    start = np.log(at.temperature)
    if moves(start - 1) > 0 > moves(start + 2):
        found = float(brentq(moves, start - 1, start + 2, xtol=2e-3))  # type: ignore[arg-type]
        return _radius(protocol, dim, step, noise_var, float(np.exp(found)))
    return at


def _radius(protocol: Kind, dim: int, step: float, noise_var: float, temperature: float | None) -> _Reference:
    """With ‖∇L‖² at the ``temperature`` of the direction, by default h σ²/2."""
    dof = dim - 1

    def at_temperature(t: float) -> float:
        return dof * (noise_var + t * (1 - float(vmf.energy(dim, t))))

    fixed = None if temperature is None else at_temperature(temperature)

    def grad_sq(size: float) -> float:
        return at_temperature(size * noise_var / 2) if fixed is None else fixed

    size, decay, spread = protocol.mean_step(step, noise_var, dof, grad_sq)
    return _Reference(size, decay, spread, size * noise_var / 2 if temperature is None else temperature)


@lru_cache(maxsize=4096)
def solve(protocol: Kind, dim: int, step: float, noise_var: float, degree: int) -> Stationary:
    """:func:`weightgas.theory.stationary.stationary_state` of checked arguments."""
    at = _reference(protocol, dim, step, noise_var)
    if not np.isfinite(at.size + at.decay + at.spread):
        return Stationary(reason=f"{protocol.limit}: the mean step has no stationary radius; lower the learning rate")
    powers = 0 if protocol.projected else round(0.6 * degree)
    rule = overlap_rule(dim, at.temperature, degree + 6)
    v, v_weight = normal_rule(powers + 5) if powers else (np.zeros(1), np.ones(1))
    u = at.spread * v  # ln r² from its centre
    if protocol.scaled and at.decay * np.exp(u.max()) >= 1:
        return Stationary(reason="the radius spreads up to where it is unstable; lower the effective learning rate")
    keep = 1 - at.decay * (np.exp(u) if protocol.scaled else np.ones_like(u))
    size = at.size * (np.ones_like(u) if protocol.scaled else np.exp(-u)) / keep
    if _misses(rule.nodes, float(size[v_weight > 1e-3].max()), noise_var, dim, degree):
        return Stationary(reason="the step is too large for the quadrature; lower the learning rate")
    gap, growth, weight = _after(rule.nodes[:, None], size, noise_var, dim, degree)
    nodes = (rule.nodes.size * u.size, weight.size)
    after = rule.polynomials(gap, degree + 1).reshape(degree + 1, *nodes) * weight
    radial, radial_after = np.ones((1, 1)), np.ones((1, *nodes))
    if powers:
        log_ratio = u[:, None] + 2 * np.log(keep)[:, None] + np.log1p(growth)
        radial, radial_after = hermite(v, powers + 1), hermite(log_ratio / at.spread, powers + 1)
        radial_after = radial_after.reshape(powers + 1, *nodes)
    mean_after = np.matmul(after.transpose(1, 0, 2), radial_after.transpose(1, 2, 0))
    i, j = np.indices((degree + 1, powers + 1)).reshape(2, -1)
    kept = i * powers + j * degree <= degree * powers
    i, j = i[kept], j[kept]
    basis = rule.polynomials(rule.nodes, degree + 1)[i][:, :, None] * radial[j][:, None, :]
    basis = basis.reshape(len(i), -1)
    node_weight = (rule.weights[:, None] * v_weight).ravel()
    system = mean_after[:, i, j].T @ (node_weight * basis).T - np.eye(len(i))
    coarse = (i < degree) & (j < max(1, powers))
    shape = (rule.nodes.size, u.size)
    less, density = (_density(system[np.ix_(k, k)], basis[k]) for k in (coarse, coarse | True))
    seen = np.stack([np.repeat(rule.nodes, u.size), np.tile(np.exp(u), rule.nodes.size)]) * node_weight
    error = float(np.abs((seen @ less) / (seen @ density) - 1).max())
    return _means(protocol, dim, noise_var, at, rule, u, v_weight, density.reshape(shape), error)


def _density(system: Array, basis: Array) -> Array:
    """ρ/ρ₀ at the nodes; the first function is 1, whose row of the system is 0 and whose coefficient is 1."""
    return np.append(1.0, np.linalg.solve(system[1:, 1:], -system[1:, 0])) @ basis


def _means(
    protocol: Kind, dim: int, noise_var: float, at: _Reference, rule: OverlapRule, u: Array, v_weight: Array,
    density: Array, error: float,
) -> Stationary:  # fmt: skip
    joint = density * rule.weights[:, None] * v_weight
    ratio, of_radius, x = density @ v_weight, joint.sum(axis=0), rule.nodes
    if not error < _TOLERANCE or ratio[rule.weights > 1e-10].min() <= 0:
        return Stationary(reason="the step is too large for the polynomials; lower the learning rate")
    of_overlap = rule.weights * ratio
    energy = float(of_overlap @ x)
    drift = float(of_overlap @ (x * (2 - x)))
    start = at.temperature
    # S = −E ln ρ, and ln ρ₀ = −z/T − ln 𝒵.
    excess = float(of_overlap @ np.log(np.maximum(ratio, 1e-300)))
    entropy = float(vmf.entropy(dim, start)) + (energy - float(vmf.energy(dim, start))) / start - excess
    mean_u = float(of_radius @ u)
    elr = at.size if protocol.scaled else at.size * float(of_radius @ np.exp(-u))
    unit = 1.0 if protocol.projected else at.decay if protocol.scaled else 1 / at.size
    temperature = elr * noise_var / 2
    return Stationary(
        energy=energy,
        energy_variance=float(of_overlap @ (x - energy) ** 2),
        entropy_direction=entropy,
        mean_grad_sq=drift,
        elr=elr,
        temperature=temperature,
        square=unit * float(of_radius @ np.exp(u)),
        log_square=float(np.log(unit)) + mean_u,
        log_square_variance=float(of_radius @ (u - mean_u) ** 2),
        conf_ratio=drift / ((dim - 1) * (1 - energy) * temperature),
        error=error,
        gaps=tuple(x.tolist()),
        weights=tuple(of_overlap.tolist()),
    )


def _after(gap: Array, size: Array, noise_var: float, dim: int, degree: int) -> tuple[Array, Array, Array]:
    """1 + z and e²G after steps e = ``size`` from 1 + z = ``gap``, for every node of the noise, and its weights."""
    (n, n_weight), (q, q_weight) = normal_rule(degree + 6), chi_square_rule(dim - 2, degree)
    n, q, weight = np.repeat(n, q.size), np.tile(q, n.size), np.outer(n_weight, q_weight).ravel()
    gap, size = gap[..., None], size[..., None]
    sine = np.sqrt(np.maximum(gap * (2 - gap), 0.0))  # rounding may put a node beyond z = 1
    along = sine + np.sqrt(noise_var) * n
    growth = size**2 * (along**2 + noise_var * q)
    root = np.sqrt(1 + growth)
    return (growth / (1 + root) + gap - size * along * sine) / root, growth, weight


def _misses(nodes: Array, size: float, noise_var: float, dim: int, degree: int) -> bool:
    """Whether more nodes for the noise change the mean of 1 + z after a step e = ``size`` from the middle."""
    middle, means = nodes[len(nodes) // 3], []
    for more in (0, 4):
        gap, _, weight = _after(middle, np.array(size), noise_var, dim, degree + more)
        means.append(float(gap @ weight))
    return abs(means[1] - means[0]) > _TOLERANCE * size * means[1]
