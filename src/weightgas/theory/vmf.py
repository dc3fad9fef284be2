"""The solvable gas: loss L = 1 + z with z = μ·w/r, a von Mises–Fisher distribution of the direction.

ρ(w/r) = exp(−z/T)/𝒵 on the unit sphere of ``dim`` dimensions, about the mean direction −μ with concentration κ = 1/T.
Densities and entropies refer to the surface measure of the unit sphere, in nats; T and U are in units of the loss.
With A = I_{dim/2}(κ)/I_{dim/2−1}(κ) and dof = dim − 1 (all exact for this density):

    ⟨z⟩ = −A        U = ⟨L⟩ = 1 − A        v = Var z = dA/dκ        C = dU/dT = v/T²
    ln 𝒵 = (dim/2) ln 2π + ln I_{dim/2−1}(κ) − (dim/2 − 1) ln κ        (𝒵 without the 1 in L)
    S = ln 𝒵 − κ (1 − U)        F = U − TS = 1 − T ln 𝒵

Valid for 2 ≤ dim ≤ 3e6 and 1e-300 ≤ T ≤ 1e300 (method: ``weightgas.theory._bessel``). Compared with quadrature, the
relative error is below 1e-12 for U, A, v and C, and below 1e-12 max(1, |value|) for S, F and ln 𝒵. Where ln 𝒵 crosses
zero it is ill-conditioned: one rounding of T changes it by κA times 1e-16.

``elr`` is the effective learning rate η_e of a simulation with finite steps; the stationary density of arXiv 2511.07308
is the limit η_e → 0 at constant T = η_e σ²/2.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, xlog1py

from weightgas.errors import DRAWS, positive_number, refuse, typed, whole_number
from weightgas.theory._arguments import Kind, Numbers, broadcasting, dimension, finite, kind, positive
from weightgas.theory._bessel import Bessel, bessel

Size = int | tuple[int, ...]

# --- equilibrium ---


@broadcasting
def mean_overlap(dim: ArrayLike, temperature: ArrayLike) -> Numbers:
    """Mean overlap ⟨z⟩ = −A(1/T): −1 for T → 0, and −1/(dim T) for T → ∞."""
    return -_bessel(dim, temperature).ratio


@broadcasting
def energy(dim: ArrayLike, temperature: ArrayLike) -> Numbers:
    """Energy U = ⟨L⟩ = 1 − A(1/T): (dim − 1) T/2 at low T, 1 at high T; accurate even where U is tiny."""
    return _bessel(dim, temperature).complement


@broadcasting
def energy_variance(dim: ArrayLike, temperature: ArrayLike) -> Numbers:
    """Variance of the energy, v = Var L = Var z = dA/dκ: (dim − 1) T²/2 at low T, 1/dim at high T.

    Below T ≈ 1e-160 it underflows to 0; :func:`heat_capacity` does not.
    """
    return _bessel(dim, temperature).slope


@broadcasting
def heat_capacity(dim: ArrayLike, temperature: ArrayLike) -> Numbers:
    """Heat capacity C = dU/dT = v/T² = T dS/dT: R = (dim − 1)/2 at low T, 1/(dim T²) at high T."""
    return _bessel(dim, temperature).scaled_slope


@broadcasting
def log_partition(dim: ArrayLike, temperature: ArrayLike) -> Numbers:
    """Logarithm of the partition function 𝒵 = ∫ exp(−z/T) over the unit sphere; ln of its area for T → ∞."""
    kappa = 1 / _temperature(temperature)
    return _bessel(dim, temperature).log_partition_minus_kappa + kappa


@broadcasting
def entropy(dim: ArrayLike, temperature: ArrayLike) -> Numbers:
    """Direction entropy S = ln 𝒵 − κ (1 − U) in nats: R ln(2πeT) at low T, ln(area) at high T."""
    gas = _bessel(dim, temperature)
    return gas.log_partition_minus_kappa + gas.complement / _temperature(temperature)


@broadcasting
def helmholtz(dim: ArrayLike, temperature: ArrayLike) -> Numbers:
    """Helmholtz potential F = U − TS = 1 − T ln 𝒵 of the direction."""
    return -_temperature(temperature) * _bessel(dim, temperature).log_partition_minus_kappa


@broadcasting
def log_density_overlap(z: ArrayLike, dim: ArrayLike, temperature: ArrayLike) -> Numbers:
    """Logarithm of the density of the overlap z, area(S^{dim−2}) (1 − z²)^{(dim−3)/2} exp(−z/T)/𝒵 in [−1, 1].

    Outside of this interval it is −∞. At |z| = 1 it is +∞ for dim = 2 and −∞ for dim > 3.
    """
    z, dim, kappa = finite("z", z), dimension("dim", dim), 1 / _temperature(temperature)
    inside = np.abs(z) <= 1
    height = np.where(inside, z, 0.0)
    half = (dim - 1) / 2
    log_area = np.log(2) + half * np.log(np.pi) - gammaln(half)
    log_width = xlog1py(half - 1, height) + xlog1py(half - 1, -height)
    log_boltzmann = -kappa * (1 + height) - bessel(dim, kappa).log_partition_minus_kappa
    return np.where(inside, log_area + log_width + log_boltzmann, -np.inf)[()]


# --- finite steps ---


@broadcasting
def finite_step_energy(dim: ArrayLike, temperature: ArrayLike, elr: ArrayLike, protocol: Kind) -> Numbers:
    """Correction δU to the energy of a run with finite steps, first order in η_e at constant temperature.

    On the sphere and at fixed ELR the stationary density is exp(−z/T) (1 + η_e φ), so δU = η_e Cov(z, φ):

        FixedSphere   φ = −((dim+1)/2) z − z²/(4T)    δU = η_e [dof T A − (3 dim + 1) v]/4
        FixedELR      φ = +((dim−3)/2) z − z²/(4T)    δU = η_e [dof T A + (dim − 5) v]/4
        FixedLR       that of fixed ELR + η_e v [1 − dof T (1 + dof T/m)/(4 dof T + m)],  m = dof T² A/v

    With weight decay the direction moves with the effective learning rate η_e/(1 − ηλ): hence fixed ELR differs from
    the sphere. At fixed LR the temperature also fluctuates with the radius, Var(ln r²) = η_e T, as fast as the
    direction moves. This term is also of first order; its bracket is exact for low and for high T and assumes one
    relaxation rate m of the overlap in between (error at most 0.04 in a bracket of 0.6 to 1, at dim = 2). At fixed LR
    ``elr`` is E[η/r²] of the run and T = E[η/r²] σ²/2.
    """
    dim, elr, gas = dimension("dim", dim), positive("elr", elr), _bessel(dim, temperature)
    protocol = kind(protocol)
    weight = -(3 * dim + 1) if protocol.projected else dim - 5
    change = ((dim - 1) * gas.ratio_over_kappa + weight * gas.slope) / 4
    if not protocol.scaled:
        kappa = 1 / _temperature(temperature)
        # m / (dof T) = T A / v, with numerator and denominator scaled so that neither underflows.
        unit = np.maximum(kappa, 1.0)
        rate = gas.ratio_over_kappa * unit * unit / np.where(kappa > 1, gas.scaled_slope, gas.slope)
        change = change + gas.slope * (1 - (1 + 1 / rate) / (4 + rate))
    return elr * change


@broadcasting
def finite_step_entropy(dim: ArrayLike, temperature: ArrayLike, elr: ArrayLike, protocol: Kind) -> Numbers:
    """Correction δS to the direction entropy of a run with finite steps, first order in η_e: δS = δU/T.

    Because S = −⟨ln ρ⟩ and ln ρ₀ = −z/T − ln 𝒵, any small change of the density obeys T dS = dU.
    """
    return finite_step_energy(dim, temperature, elr, protocol) / _temperature(temperature)


# --- sampling ---


@typed
def sample(dim: int, temperature: float, size: Size, generator: np.random.Generator) -> NDArray[np.float64]:
    """Independent directions of the gas: unit vectors of shape ``size + (dim,)``, with μ the first axis, z = w[..., 0].

    Exact, by Wood (1994), Commun. Stat. Simul. Comput. 23, 157; ``dim`` and ``temperature`` are numbers.
    """
    above, below = _sample_gaps(dim, temperature, size, generator)
    if above.size * dim > DRAWS.most:
        raise refuse("size", f"at most {DRAWS.most} numbers, size times dim", size, DRAWS.reason)
    tangent = generator.standard_normal((*above.shape, int(dim) - 1))
    tangent *= (np.sqrt(above * below) / np.linalg.norm(tangent, axis=-1))[..., None]
    return np.concatenate([(above - 1)[..., None], tangent], axis=-1)


@typed
def sample_energy(dim: int, temperature: float, size: Size, generator: np.random.Generator) -> NDArray[np.float64]:
    """Independent energies L = 1 + z of the gas, of shape ``size``, with full relative accuracy even where tiny."""
    return _sample_gaps(dim, temperature, size, generator)[0]


def _sample_gaps(
    dim: int, temperature: float, size: Size, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw (1 + z, 1 - z), both without cancellation."""
    dof = whole_number("dim", dim, minimum=2) - 1.0
    kappa = 1 / float(_temperature(positive_number("temperature", temperature)))
    sizes = size if isinstance(size, tuple | list) else (size,)
    shape = tuple(whole_number("size", one, minimum=0) for one in sizes)
    if math.prod(shape) > DRAWS.most:
        raise refuse("size", f"at most {DRAWS.most} numbers", size, DRAWS.reason)
    count = int(np.prod(shape))
    # Wood's envelope: z = -(1 - (1+b) B) / (1 - (1-b) B) with B ~ Beta(dof/2, dof/2), that is (with B a ratio of
    # gamma variates) 1 + z = 2 b g1 / (g2 + b g1); ``centre`` is 1 + z at the peak of target over envelope.
    b = dof / (2 * kappa + np.hypot(2 * kappa, dof))
    centre = 2 * b / (1 + b)
    above, below = np.empty(count), np.empty(count)
    missing = np.arange(count)
    while missing.size:
        g1, g2 = generator.standard_gamma(dof / 2, (2, missing.size))
        total = g2 + b * g1
        gap, rest = 2 * b * g1 / total, 2 * g2 / total
        excess = gap - centre
        log_ratio = dof * np.log1p(excess * (1 - centre) / (centre * (2 - centre))) - kappa * excess
        accepted = -generator.standard_exponential(missing.size) <= log_ratio
        above[missing[accepted]], below[missing[accepted]] = gap[accepted], rest[accepted]
        missing = missing[~accepted]
    return above.reshape(shape), below.reshape(shape)


# --- shared ---


def _temperature(temperature: ArrayLike) -> NDArray[np.float64]:
    """Check the temperature; outside 1e-300 ... 1e300 its inverse would not be a floating-point number."""
    value = positive("temperature", temperature)
    if np.any((value < 1e-300) | (value > 1e300)):
        raise refuse("temperature", "a number from 1e-300 to 1e300", temperature, "Use a limiting formula beyond.")
    return value


def _bessel(dim: ArrayLike, temperature: ArrayLike) -> Bessel:
    return bessel(dimension("dim", dim), 1 / _temperature(temperature))
