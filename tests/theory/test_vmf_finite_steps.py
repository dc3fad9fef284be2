"""Finite-step corrections of the von Mises-Fisher gas, against simulated steps and exact one-dimensional integrals."""

import numpy as np
import pytest
from scipy.special import eval_gegenbauer, roots_jacobi

from calls import flat
from representatives import names_except
from weightgas.protocols import FixedELR, FixedLR, named
from weightgas.theory import vmf

PROTOCOLS = ["fixed_sphere", "fixed_elr", "fixed_lr"]

# --- simulation ---


def simulate(protocol, dim, temperature, elr, noise_factor=1.0, replicas=2000, steps=3000, burn=100):
    """Run the chain of (radius, overlap) and return (delta U, its standard error, mean eta / r^2).

    Exact for the isotropic model: per step one normal along the gradient and one chi-square for the other dim - 2
    tangent directions. The sums of increments whose mean is exactly zero serve as control variates, which makes the
    error some 15 times smaller: over the replicas U is regressed on them. Replicas are independent.
    """
    generator = np.random.default_rng(1)
    noise_var = 2 * temperature / elr
    grad_sq = (dim - 1) * (noise_var + temperature * (1 - vmf.energy(dim, temperature)))
    decay = 1 - np.sqrt(1 - elr**2 * grad_sq)  # eta lambda of a run whose radius is about 1
    update = noise_factor * noise_var
    overlap, square = vmf.sample_energy(dim, temperature, replicas, generator) - 1, np.ones(replicas)
    energy, rate, controls = np.zeros(replicas), np.zeros(replicas), np.zeros((6, replicas))
    for step in range(burn + steps):
        normal = generator.standard_normal(replicas)
        others = 2 * generator.standard_gamma((dim - 2) / 2, replicas)
        sine = np.sqrt(1 - overlap**2)
        size = elr / square if protocol == "fixed_lr" else elr
        shrink = {"fixed_sphere": 1.0, "fixed_elr": 1 - decay * square, "fixed_lr": 1 - decay}[protocol]
        if step >= burn:
            energy += 1 + overlap
            rate += size
            mine, theirs = normal**2 - 1, others - (dim - 2)
            controls += sine * normal, overlap * sine * normal, mine, theirs, overlap * mine, overlap * theirs
        along = sine + np.sqrt(update) * normal  # the gradient along the meridian
        growth = shrink**2 + size**2 * (along**2 + update * others)
        overlap = np.clip((shrink * overlap - size * along * sine) / np.sqrt(growth), -1, 1)
        if protocol != "fixed_sphere":
            square = square * growth
    energy, rate = energy / steps, rate / steps
    measured = rate.mean() * noise_var / 2
    response = vmf.heat_capacity(dim, measured) * noise_var / 2
    design = np.vstack([np.ones(replicas), controls / steps]).T
    values = energy - response * (rate - rate.mean()) - vmf.energy(dim, measured)
    fit, *_ = np.linalg.lstsq(design, values)
    variance = np.sum((values - design @ fit) ** 2) / (replicas - design.shape[1])
    error = np.sqrt(variance * np.linalg.inv(design.T @ design)[0, 0])
    return fit[0], error, rate.mean()


def score(protocol, dim, temperature, elr, formula, **fault):
    """z-score of delta U - ``formula``, from runs at 2 eta_e and eta_e so that the second order cancels."""
    misfits, errors = [], []
    for size in (2 * elr, elr):
        change, error, mean_elr = simulate(protocol, dim, temperature, size, **flat(**fault))
        noise_var = 2 * temperature / size
        misfits.append(change - formula(dim, mean_elr * noise_var / 2, mean_elr))
        errors.append(error)
    # The misfit f(h) goes as h^2, and 4 f(h) - f(2h) is free of that.
    return (4 * misfits[1] - misfits[0]) / np.hypot(4 * errors[1], errors[0])


def theory(protocol, factor=1.0):
    return lambda dim, temperature, elr: factor * vmf.finite_step_energy(dim, temperature, elr, named(protocol))


CASES = [
    ("fixed_sphere", 3, 0.05, 0.04),
    ("fixed_sphere", 10, 0.2, 0.02),
    ("fixed_elr", 3, 0.05, 0.04),
    ("fixed_elr", 10, 0.05, 0.04),
    ("fixed_lr", 3, 0.2, 0.04),
    ("fixed_lr", 10, 0.05, 0.04),
]


@pytest.mark.parametrize("case", names_except(CASES[2:3], CASES))
def test_energy_of_finite_steps(case):
    assert abs(score(*case, theory(case[0]))) < 4


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("case", "formula", "fault"),
    [
        (CASES[1], theory("fixed_elr"), {}),
        (CASES[3], theory("fixed_sphere"), {}),
        (CASES[3], theory("fixed_elr", factor=0.5), {}),
        (CASES[5], theory("fixed_elr"), {}),
        (CASES[5], theory("fixed_lr"), {"noise_factor": 1.05}),
    ],
    ids=["sphere by ELR", "ELR by sphere", "factor 2", "LR by ELR", "5 % more noise"],
)
def test_planted_faults_are_seen(case, formula, fault):
    assert abs(score(*case, formula, **fault)) > 4


# --- integrals ---


@pytest.mark.parametrize("dim", [2, 3, 10, 100])
@pytest.mark.parametrize("temperature", [0.02, 0.3, 5.0])
@pytest.mark.parametrize(
    ("protocol", "slope"), [("fixed_sphere", lambda d: -(d + 1) / 2), ("fixed_elr", lambda d: (d - 3) / 2)]
)
def test_first_order_of_the_perturbed_density(dim, temperature, protocol, slope):
    """Integrate rho_0 (1 + h phi) over the polar angle: changes of U and S = -<ln rho> by central difference."""
    angle = (np.arange(20_000) + 0.5) * np.pi / 20_000
    z = -np.cos(angle)
    weight = np.exp(-(1 + z) / temperature + (dim - 2) * np.log(np.sin(angle)))
    weight /= weight.sum()
    phi = slope(dim) * z - z**2 / (4 * temperature)
    log_reference = -z / temperature

    def state(elr):
        factor = 1 + elr * phi
        norm = np.sum(weight * factor)
        energy = np.sum(weight * factor * (1 + z)) / norm
        return np.array([energy, -np.sum(weight * factor * (log_reference + np.log(factor / norm))) / norm])

    elr = 1e-4 / np.max(np.abs(phi))
    energy_slope, entropy_slope = (state(elr) - state(-elr)) / (2 * elr)
    scale = np.sqrt(vmf.energy_variance(dim, temperature)) * np.sqrt(np.sum(weight * phi**2))
    assert vmf.finite_step_energy(dim, temperature, 1.0, named(protocol)) == pytest.approx(
        energy_slope, abs=1e-6 * scale
    )
    assert vmf.finite_step_entropy(dim, temperature, 1.0, named(protocol)) == pytest.approx(
        entropy_slope, abs=1e-6 * scale / temperature
    )


def fluctuation_term(dim, temperature, modes=80):
    """Exact first-order effect on U of the fluctuating radius at fixed LR, over eta_e v.

    With x = ln r^2, var x = h T and relaxation rate 4 dof T (in units of h = eta_e), the overlap has the generator
    e^-x D + e^-2x T N; D = -(1-z^2) d/dz, N = (1-z^2) d^2/dz^2 - dof z d/dz. Second-order perturbation in x gives
    1 - dof T <zeta R (L + T N) f> / v with L = D + T N, zeta = z - <z>, L f = zeta, R = (4 dof T - L)^-1. Here these
    operators are matrices in Gegenbauer polynomials.
    """
    dof, index = dim - 1, (dim - 2) / 2
    z, weight = roots_jacobi(200, index - 0.5, index - 0.5)
    order = np.arange(modes)
    values = np.array([eval_gegenbauer(n, index, z) for n in order])
    slopes = np.array([np.zeros_like(z)] + [2 * index * eval_gegenbauer(n - 1, index + 1, z) for n in order[1:]])
    norm = np.sqrt(np.sum(values**2 * weight, axis=1))[:, None]
    values, slopes = values / norm, slopes / norm
    project = values * weight
    noise = temperature * np.diag(-order * (order + dim - 2.0))
    generator = project @ (-(1 - z**2) * slopes).T + noise
    density = weight * np.exp(-(1 + z) / temperature)
    density /= density.sum()
    zeta = z - density @ z
    solution, *_ = np.linalg.lstsq(generator, project @ zeta)
    source = (generator + noise) @ solution
    resolved = np.linalg.solve(4 * dof * temperature * np.eye(modes) - generator, source)
    return 1 - dof * temperature * (density @ (zeta * (values.T @ resolved))) / (density @ zeta**2)


@pytest.mark.parametrize("dim", [3, 4, 10, 100])
@pytest.mark.parametrize("temperature", [0.02, 0.1, 0.5, 1.0, 10.0])
def test_fluctuating_temperature_at_fixed_lr(dim, temperature):
    extra = vmf.finite_step_energy(dim, temperature, 1.0, FixedLR) - vmf.finite_step_energy(
        dim, temperature, 1.0, FixedELR
    )
    bracket = extra / vmf.energy_variance(dim, temperature)
    assert bracket == pytest.approx(fluctuation_term(dim, temperature), abs=0.03)
    assert 0.6 <= bracket <= 1


# --- limits ---


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_limits_are_finite(protocol):
    dim, temperature = np.array([2, 10, 3_000_000])[:, None], np.array([1e-300, 1e-100, 1.0, 1e300])
    change = vmf.finite_step_energy(dim, temperature, 0.01, named(protocol))
    assert np.all(np.isfinite(change))
    np.testing.assert_allclose(change[:, 0], 0.01 * (dim[:, 0] - 1) * 1e-300 / 4, rtol=1e-12)
    assert np.all(np.isfinite(vmf.finite_step_entropy(dim, temperature, 0.01, named(protocol))))


def test_is_linear_in_the_step():
    steps = np.array([0.01, 0.02])
    for protocol in PROTOCOLS:
        small, large = vmf.finite_step_energy(10, 0.1, steps, named(protocol))
        assert large == pytest.approx(2 * small)
