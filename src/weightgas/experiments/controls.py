"""Controls: simulations with a known answer, at the dimension, temperature and effective sample size of a run.

They show how the same checks judge an ideal gas, and three gases that are not ideal, from as many independent samples.
All have the quadratic loss ½ w̄ᵀAw̄ on the fixed sphere, eigenvalues 0 and 2/9 … 2, and noise of equal trace:

``ideal``             isotropic noise: Gibbs, exactly except for the finite step
``anisotropic``       variances from 0.1 to 10, largest where the curvature is: hot and cold directions
``hessian``           Σ ∝ A: the noise of mini-batches of a least-squares loss
``loss-dependent``    Σ ∝ (1 + L/U)/2: noise that falls with the loss, as in a network that can fit its data

They satisfy the identities, like any stationary run. At low temperature, with h and s the eigenvalues of A and Σ:
T_conf/T = (d−1) h·s/(Σh Σs) and (Var U/T²)/(dU/dT) = (d−1) Σs²/(Σs)² = (d−1)/d_eff, both 1 for the ideal gas.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from weightgas.analysis.cells import isotherms
from weightgas.analysis.checks import Verdict
from weightgas.analysis.findings import Findings, findings
from weightgas.errors import TraceError, one_of, positive_number, refuse, seed_number, typed, whole_number
from weightgas.losses import Covariance, Isotropic, LossDependent, Noise, Quadratic
from weightgas.protocols import FixedSphere
from weightgas.settings import Record, Run, producer
from weightgas.simulation import simulate

NAMES = ("ideal", "anisotropic", "hessian", "loss-dependent")

LARGEST_DIM = 4096
"""Largest number of weights that is simulated: half a minute on two cores."""
STEP = 0.04
"""Largest η_e times curvature."""
TEMPERATURES = 4
RELAXATIONS = 1.5
"""Relaxation times of the softest direction between two samples, so that they are nearly independent."""
SAMPLES = (100, 4000)
"""Smallest and largest number of samples."""
STORED, MOST_STORED = 64e6, 1000
"""Largest size in bytes of the directions of a control, and largest number of them for each run."""


@dataclass(frozen=True)
class Control:
    """A reference simulation with its trace, state and verdict."""

    name: str
    findings: Findings

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
    shape = np.logspace(-1, 1, dim) if name == "anisotropic" else curvatures(dim)
    return Covariance(shape * (noise_var * (dim - 1) / shape[1:].sum()), name)


@producer
@typed
def controls_at(
    dim: int,
    temperature: float,
    samples: int,
    *,
    replicas: int = 1,
    names: tuple[str, ...] = NAMES,
    seed: int = 0,
    run: Run | str | os.PathLike[str] | None = None,
) -> dict[str, Control]:
    """Simulate, measure and judge the controls at four temperatures about ``temperature``.

    Parameters
    ----------
    dim
        Number of weights, at least 2.
    temperature
        The middle of the temperatures. Their spacing lets neighbouring energies overlap: ΔT/T = 1.5 √(2/(d−1)), at most
        0.35.
    samples
        Samples at each temperature; they are nearly independent, so this is the effective sample size.
    replicas
        Runs that share the samples.
    names
        Which of :data:`NAMES`.
    seed
        As in ``simulate``.
    run
        A folder, or a :class:`~weightgas.Run` with one: each control becomes a run folder in it, which the same call
        resumes.

    Raises
    ------
    TypeError, ValueError
        For a number of the wrong kind or sign, or an unknown name.
    RunExistsError, OSError
        If the folder holds other runs or cannot be written.
    """
    dim = whole_number("dim", dim, minimum=2, fix="A sphere needs at least two weights.")
    temperature = positive_number("temperature", temperature)
    samples = whole_number("samples", samples, minimum=8, fix="Ask for at least 8 samples.")
    replicas, run = whole_number("replicas", replicas), Run.given(run)
    # Equations of state are those of a harmonic well: the loss is made steeper until RT is a hundredth of it.
    scale = max(1.0, 50 * (dim - 1) * temperature)
    eigenvalues = scale * curvatures(dim)
    spacing = 1 + min(1.5 * np.sqrt(2 / (dim - 1)), 0.35)
    elr = STEP / eigenvalues.max() * spacing ** (np.arange(TEMPERATURES) - TEMPERATURES + 1.0)
    noise_var = 2 * temperature / np.exp(np.log(elr).mean())
    each = max(8, -(-samples // replicas))
    stored = int(np.clip(STORED / (4 * dim * TEMPERATURES * replicas), 8, min(each, MOST_STORED)))
    every = int(np.ceil(RELAXATIONS / (elr.min() * eigenvalues[1])))
    found, seed = {}, seed_number(seed)
    for name in [one_of("names", each, NAMES) for each in names]:
        trace = simulate(
            FixedSphere(elr=elr),
            dim,
            each * every,
            loss=Quadratic(eigenvalues),
            noise=noise(name, dim, noise_var, (dim - 1) / 2 * temperature),
            seed=seed,
            replicas=replicas,
            record=Record(samples=each, warmup=20 * every, snapshots=stored, snapshot_every=every),
            run=replace(run, folder=None if run.folder is None else Path(run.folder) / name, progress=False),
        )
        title = f"control, {name}, d = {dim}, T = {temperature:.2g}, {each * replicas} samples"
        found[name] = Control(name, Findings(trace, title=title))
    return found


def controls_for(run: xr.Dataset | Findings, state: xr.Dataset | None = None, /, **options: Any) -> dict[str, Control]:
    """The controls at the d, T and effective sample size of a run: ``{name: Control}``.

    T is the geometric mean over the isotherms in equilibrium and the effective sample size their median, from 100 to
    4000. More than 4096 weights are simulated as 4096.

    Parameters
    ----------
    run, state
        A trace and its state (measured here if not given), or Findings.
    options
        ``names, seed, run`` of :func:`controls_at`.

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
    return controls_at(
        min(int(state.attrs["dim"]), LARGEST_DIM),
        float(np.exp(np.log(temperature).mean())),
        int(np.clip(effective, *SAMPLES)),
        replicas=min(trace.sizes["replica"], 8),
        **options,
    )
