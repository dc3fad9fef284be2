"""Controls: simulations with a known answer, at the dimension, temperature and effective sample size of a run.

They show how the same checks judge an ideal gas, and five gases that are not ideal, with as many independent samples.
All have a quadratic loss ½ w̄ᵀAw̄ on the fixed sphere, with eigenvalues 0 and 2/9 … 2 (times a constant), and noise of
equal trace:

``ideal``             isotropic noise: Gibbs, exactly except for the finite step
``anisotropic``       variances from 0.1 to 10, largest where the curvature is: hot and cold directions
``hessian``           Σ ∝ A: the noise of mini-batches of a least-squares loss
``loss-dependent``    Σ ∝ (1 + L/U)/2: noise that falls with the loss, as in a network that can fit its data
``rotated``           variances from 0.03 to 30 on axes of their own: Σ and H, 1/9 … 2, do not commute; at most
                      24 weights
``large step``        Σ ∝ A at a larger step, η_eκ/2 = 0.2 or that of the run, κ = tr(HΣ)/tr Σ

Like any stationary run, they satisfy the identities. All except the loss-dependent one are harmonic, so their results
follow from H, Σ and η_e (:attr:`Control.wells`). At low temperature and small steps, with h and s the eigenvalues of A
and Σ where they commute, T_conf/T = (d−1) h·s/(Σh Σs) and (Var U/T²)/(dU/dT) = (d−1) Σs²/(Σs)² = (d−1)/d_eff, both 1
for the ideal gas.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr

from weightgas.analysis.cells import isotherms
from weightgas.analysis.checks import Verdict
from weightgas.analysis.findings import Findings, findings
from weightgas.errors import (
    TraceError,
    finite_number,
    one_of,
    positive_number,
    refuse,
    seed_number,
    typed,
    whole_number,
)
from weightgas.losses import Covariance, Isotropic, LossDependent, Noise, Quadratic
from weightgas.protocols import FixedSphere
from weightgas.runs.journal import named
from weightgas.settings import Record, Run, producer
from weightgas.simulation import model, simulate
from weightgas.simulation.run import estimated_seconds as simulation_seconds
from weightgas.theory.anisotropic import AnisotropicGas

NAMES = ("ideal", "anisotropic", "hessian", "loss-dependent", "rotated", "large step")

LARGEST_DIM, LARGEST_ROTATED = 4096, 24
"""Largest number of weights that is simulated, in minutes on two cores; that with a dense covariance."""
STEP = 0.04
"""Largest η_e times curvature, except in the gas ``large step``."""
LARGE_STEP, SMALLEST_STEP, LARGEST_STEP = 0.2, 0.05, 0.35
"""η_eκ/2 of the gas ``large step`` in the middle of its temperatures: default, smallest and largest value."""
SHORT_TAIL = 50
"""Smallest number of weights for which the variance of the energy of the loss-dependent gas has a finite error."""
LARGEST_WELL = 512
"""Largest number of weights for which the wells are made: their covariances are dense."""
TEMPERATURES = 4
FEW = 5.0
"""Cost of a step, in units of that of many runs side by side, of the few runs of a control."""
RELAXATIONS = 1.5
"""Relaxation times of the softest direction between two samples, so that they are nearly independent."""
SAMPLES = (100, 4000)
"""Smallest and largest number of samples."""
STORED, MOST_STORED = 64e6, 1000
"""Largest size in bytes of the directions of a control, and largest number of them for each run."""


@dataclass(frozen=True)
class Control:
    """A reference simulation with its trace, state and verdict.

    ``wells`` (cells) are the predictions of a harmonic well with its H, Σ and η_e, to all orders in the step; there are
    none for the loss-dependent noise.
    """

    name: str
    findings: Findings
    wells: tuple[AnisotropicGas, ...] = ()

    @property
    def trace(self) -> xr.Dataset:
        """Its trace."""
        return self.findings.traced

    @property
    def state(self) -> xr.Dataset:
        """Its state."""
        return self.findings.state

    @property
    def verdict(self) -> Verdict:
        """Its verdict."""
        return self.findings.verdict


def curvatures(dim: int) -> np.ndarray:
    """Eigenvalues of A, (dim,): 0, and 2/9 … 2 evenly."""
    return np.append(0.0, np.linspace(2 / 9, 2, dim - 1)) if dim > 2 else np.array([0.0, 2.0])


def _curvatures(name: str, dim: int) -> np.ndarray:
    """Eigenvalues of A of a control: logarithmically spaced where Σ and H do not commute, so that it matters more."""
    if name == "rotated":
        return np.append(0.0, np.geomspace(1 / 9, 2, dim - 1)) if dim > 2 else curvatures(dim)
    return curvatures(dim)


def noise(name: str, dim: int, noise_var: float, energy: float) -> Noise:
    """The noise of a control, tr Σ = ``noise_var`` · (dim − 1) at the minimum; ValueError for an unknown name.

    ``energy`` is the mean energy of the ideal gas, which the loss-dependent noise needs as a scale.
    """
    if name == "ideal":
        return Isotropic(np.sqrt(noise_var))
    if name == "loss-dependent":
        return LossDependent(0.5 / energy, 0.5, Isotropic(np.sqrt(noise_var)))
    if name not in NAMES:
        raise refuse("name", f"one of {', '.join(NAMES)}", name, "Choose from that list.")
    return Covariance(_covariance(name, dim) * noise_var, name)


def _covariance(name: str, dim: int) -> np.ndarray:
    """Σ/σ² of a constant noise, (dim,) or (dim, dim), with trace dim − 1 on the tangent space of the minimum."""
    if name == "ideal":
        return np.ones(dim)
    if name == "rotated":
        axes = np.linalg.qr(np.random.default_rng(0).standard_normal((dim - 1, dim - 1)))[0]
        shape = np.logspace(-1.5, 1.5, dim - 1)
        turned = np.zeros((dim, dim))
        turned[1:, 1:] = (axes * shape) @ axes.T * ((dim - 1) / shape.sum())
        return turned
    shape = np.logspace(-1, 1, dim) if name == "anisotropic" else curvatures(dim)
    return shape * ((dim - 1) / shape[1:].sum())


@producer
@typed
def controls_at(
    dim: int,
    temperature: float,
    samples: int,
    *,
    replicas: int = 1,
    names: tuple[str, ...] = NAMES,
    step: float = LARGE_STEP,
    seed: int = 0,
    run: Run | str | os.PathLike[str] | None = None,
) -> dict[str, Control]:
    """Simulate, measure and judge the controls at four temperatures about ``temperature``.

    Parameters
    ----------
    dim
        Number of weights, at least 2.
    temperature
        The middle of the temperatures. Their spacing lets the energies at adjacent temperatures overlap:
        ΔT/T = 1.5 √(2/(d−1)), at most 0.35.
    samples
        Number of samples at each temperature. They are nearly independent, so this is the effective sample size.
    replicas
        Number of runs at each temperature, which share the samples.
    names
        The controls: some of ``ideal``, ``anisotropic``, ``hessian``, ``loss-dependent``, ``rotated``, ``large step``.
    step
        η_eκ/2 of the gas ``large step``, from 0.05 to 0.35.
    seed
        As in ``simulate``.
    run
        A folder, or a :class:`~weightgas.Run` with one: each control becomes a run folder in it, which the same call
        resumes.

    Returns
    -------
    dict
        By name, each :class:`Control`.

    Raises
    ------
    TypeError, ValueError
        For a number of the wrong type or sign, or an unknown name.
    RunExistsError, OSError
        If the folder has other runs or cannot be written.
    """
    dim = whole_number("dim", dim, minimum=2, fix="A sphere needs at least two weights.")
    temperature = positive_number("temperature", temperature)
    if not 1e-100 < temperature < 1e100:
        raise refuse("temperature", "a number from 1e-100 to 1e100", temperature, "Beyond, curvatures would overflow.")
    samples = whole_number("samples", samples, minimum=8, fix="Ask for at least 8 samples.")
    replicas, run = whole_number("replicas", replicas), Run.given(run)
    if not SMALLEST_STEP <= finite_number("step", step) <= LARGEST_STEP:
        raise refuse("step", f"η_eκ/2 from {SMALLEST_STEP:g} to {LARGEST_STEP:g}", step, "For instance 0.2.")
    plan = _Plan(temperature, max(8, -(-samples // replicas)), replicas, float(step), seed_number(seed))
    found = {}
    for name in [one_of("names", each, NAMES) for each in names]:
        here = replace(run, folder=None if run.folder is None else Path(run.folder) / name, progress=False)
        with named(f"control {name}"):
            found[name] = _control(name, _dim(name, dim), plan, here)
    return found


def _dim(name: str, dim: int) -> int:
    """The number of weights of a control."""
    return min(dim, LARGEST_ROTATED) if name == "rotated" else dim


def estimated_seconds(dim: int, samples: int, replicas: int = 1, threads: int | None = None) -> float:
    """Rough wall time in seconds of simulating the controls alongside a run of so many samples at a temperature."""
    dim, samples = min(dim, LARGEST_DIM), int(np.clip(samples, *SAMPLES))
    plan, total = _Plan(1e-5, max(8, -(-samples // replicas)), replicas, LARGE_STEP, 0), 0.0
    for name in NAMES:
        what = _Simulation.of(name, _dim(name, dim), plan)
        known = model.resolved(what.loss, what.noise, _dim(name, dim))
        total += simulation_seconds(what.protocol, known, what.steps, replicas, threads)
    return FEW * total


@dataclass(frozen=True)
class _Plan:
    """The common settings of the controls of a call; ``each`` is the number of samples of a run."""

    temperature: float
    each: int
    replicas: int
    step: float
    seed: int


@dataclass(frozen=True)
class _Simulation:
    """What is simulated for a control: the temperatures are those of the rates, and H has the eigenvalues ``hessian``.

    ``covariance`` is Σ, (dim,) or (dim, dim), where it is constant.
    """

    protocol: FixedSphere
    hessian: np.ndarray
    noise: Noise
    covariance: np.ndarray | None
    steps: int
    record: Record

    @classmethod
    def of(cls, name: str, dim: int, plan: _Plan) -> Self:
        """That of a control."""
        h = _curvatures(name, dim)
        # Equations of state are those of a harmonic well: the loss is made steeper until RT is a hundredth of it, and
        # no direction is wider than (1/200)^½. Where the noise grows with the loss, the density of the energy has a
        # power-law tail, which in few dimensions is cut off only by the finite height of the loss: there RT is a tenth
        # of it.
        scale = max(1.0, 50 * (dim - 1) * plan.temperature, 200 * plan.temperature / h[1])
        if name == "loss-dependent" and dim < SHORT_TAIL:
            scale = max(1.0, 5 * (dim - 1) * plan.temperature)
        spacing = 1 + min(1.5 * np.sqrt(2 / (dim - 1)), 0.35)
        powers = spacing ** (np.arange(TEMPERATURES) - TEMPERATURES + 1.0)
        elr = STEP / (scale * h.max()) * powers
        if name == "large step":
            scale *= 10  # only step times curvature matters, and simulations are judged at small steps
            middle = np.exp(np.log(powers).mean())
            elr = 2 * plan.step / (scale * np.sum(h**2) / h.sum()) * powers / middle
        noise_var = 2 * plan.temperature / np.exp(np.log(elr).mean())
        every = int(np.ceil(RELAXATIONS / (elr.min() * scale * h[1])))
        stored = int(np.clip(STORED / (4 * dim * TEMPERATURES * plan.replicas), 8, min(plan.each, MOST_STORED)))
        return cls(
            FixedSphere(elr=elr),
            scale * h,
            noise(name, dim, noise_var, (dim - 1) / 2 * plan.temperature),
            None if name == "loss-dependent" else _covariance(name, dim) * noise_var,
            plan.each * every,
            Record(samples=plan.each, warmup=20 * every, snapshots=stored, snapshot_every=every),
        )

    @property
    def loss(self) -> Quadratic:
        return Quadratic(self.hessian)

    @property
    def wells(self) -> tuple[AnisotropicGas, ...]:
        """The predictions for its temperatures, where the noise is constant."""
        if self.covariance is None or len(self.hessian) > LARGEST_WELL:
            return ()
        full = self.covariance.ndim == 2
        tangent = self.covariance[1:, 1:] if full else self.covariance[1:]
        hessian = np.diag(self.hessian[1:]) if full else self.hessian[1:]
        return tuple(AnisotropicGas(hessian, tangent, float(x)) for x in np.atleast_1d(self.protocol.elr))


def _control(name: str, dim: int, plan: _Plan, run: Run) -> Control:
    """Simulate one control, and compute the predictions of its harmonic well."""
    what = _Simulation.of(name, dim, plan)
    trace = simulate(
        what.protocol, dim, what.steps, loss=what.loss, noise=what.noise, seed=plan.seed,
        replicas=plan.replicas, record=what.record, run=run,
    )  # fmt: skip
    title = f"control, {name}, d = {dim}, T = {plan.temperature:.2g}, {plan.each * plan.replicas} samples"
    return Control(name, Findings(trace, title=title), what.wells)


def controls_for(run: xr.Dataset | Findings, state: xr.Dataset | None = None, /, **options: Any) -> dict[str, Control]:
    """Simulate and judge the controls at the d, T and effective sample size of a run.

    T is the geometric mean over the isotherms in equilibrium, and the effective sample size is their median, limited to
    100 to 4000. More than 4096 weights are simulated as 4096. The step of the gas ``large step`` is the median η_eκ/2
    of the run, limited to 0.05 to 0.35.

    Parameters
    ----------
    run, state
        A trace and its state (measured if not given), or Findings.
    options
        ``names, seed, run`` of :func:`controls_at`.

    Returns
    -------
    dict
        By name, each :class:`Control`.

    Raises
    ------
    TraceError
        If no cell of the run is in equilibrium.
    """
    found = findings(run, state)
    trace, state = found.traced, found.state
    number, good = isotherms(state), found.settled
    if not (number >= 0).any():
        got = f"{int(good.sum())} of {len(good)}"
        raise TraceError(f"state: expected a cell in equilibrium with a temperature, got {got}. Add steps.")
    labels = np.unique(number[number >= 0])
    temperature = [state["temperature"].values[number == k].mean() for k in labels]
    effective = np.median([state["ess"].values[number == k].sum() for k in labels])
    known = found.reasons["finite_step"].values[good]
    step = float(np.clip(np.nanmedian(known), SMALLEST_STEP, LARGEST_STEP)) if np.isfinite(known).any() else LARGE_STEP
    return controls_at(
        min(int(state.attrs["dim"]), LARGEST_DIM),
        float(np.exp(np.log(temperature).mean())),
        int(np.clip(effective, *SAMPLES)),
        replicas=min(trace.sizes["replica"], 8),
        step=step,
        **options,
    )
