"""Null gases: gases whose answer is known, at the dimension, temperature and effective sample size of a run.

A verdict says little without them: what do the same checks say of a gas that is ideal, and of three that are not, when
there are as many independent samples? All have the quadratic loss ½ w̄ᵀAw̄ on the fixed sphere, eigenvalues 0 and
2/9 … 2, and noise of equal trace:

``ideal``             isotropic noise: Gibbs, exactly but for the finite step
``anisotropic``       variances from 0.1 to 10, largest where the curvature is: hot and cold directions
``hessian``           Σ ∝ A: what mini-batches of a least-squares loss have
``loss-dependent``    Σ ∝ (1 + L/U)/2: noise that dies with the loss, as in a network that can fit its data

They pass the bookkeeping as any stationary run does. At low temperature, with h and s the eigenvalues of A and Σ:
T_conf/T = (d−1) h·s/(Σh Σs) and (Var U/T²)/(dU/dT) = (d−1) Σs²/(Σs)² = (d−1)/d_eff, both 1 for the ideal gas.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from weightgas.analysis import Verdict, verdict
from weightgas.analysis.cells import in_equilibrium, isotherms
from weightgas.errors import TraceError, positive_number, whole_number
from weightgas.losses import Covariance, Isotropic, LossDependent, Noise, Quadratic
from weightgas.measurement import measure
from weightgas.protocols import FixedSphere
from weightgas.simulation import simulate

NAMES = ("ideal", "anisotropic", "hessian", "loss-dependent")

LARGEST_DIM = 4096
"""More weights than this are simulated as this many: half a minute on two cores."""
STEP = 0.04
"""Largest η_e times curvature."""
TEMPERATURES = 4
RELAXATIONS = 1.5
"""Relaxation times of the softest direction between two samples, so that they are nearly independent."""
SAMPLES = (100, 4000)
"""Least and most samples."""


@dataclass(frozen=True)
class Null:
    """A null gas: its trace, state and verdict."""

    name: str
    trace: xr.Dataset
    state: xr.Dataset
    verdict: Verdict


def curvatures(dim: int) -> np.ndarray:
    """Eigenvalues of A, (dim,): 0, and 2/9 … 2 evenly."""
    return np.append(0.0, np.linspace(2 / 9, 2, dim - 1)) if dim > 2 else np.array([0.0, 2.0])


def noise(name: str, dim: int, noise_var: float, energy: float) -> Noise:
    """The noise of a null gas, tr Σ = ``noise_var`` · (dim − 1) at the minimum; ValueError for an unknown name.

    ``energy`` is the mean energy of the ideal gas, which the loss-dependent one is compared with.
    """
    if name == "ideal":
        return Isotropic(np.sqrt(noise_var))
    if name == "loss-dependent":
        return LossDependent(0.5 / energy, 0.5, Isotropic(np.sqrt(noise_var)))
    if name not in NAMES:
        raise ValueError(f"name: expected one of {', '.join(NAMES)}, got {name!r}. Choose from that list.")
    shape = np.logspace(-1, 1, dim) if name == "anisotropic" else curvatures(dim)
    return Covariance(shape * (noise_var * (dim - 1) / shape[1:].sum()), name)


def null_gases(
    dim: int,
    temperature: float,
    samples: int,
    *,
    replicas: int = 1,
    names: tuple[str, ...] = NAMES,
    seed: int = 0,
    threads: int | None = None,
    out: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> dict[str, Null]:
    """Simulate, measure and judge the null gases at four temperatures about ``temperature``.

    Parameters
    ----------
    dim
        Number of weights, at least 2.
    temperature
        The middle of the temperatures; they are spaced so that neighbouring energies overlap, ΔT/T = 1.5 √(2/(d−1)) and
        at most 0.35.
    samples
        Samples of each temperature, nearly independent ones, so this is the effective sample size.
    replicas
        Runs that share the samples.
    names
        Which of :data:`NAMES`.
    seed, threads, force
        As in ``simulate``.
    out
        A folder: each gas becomes a run folder in it, and the same call takes them up again.

    Raises
    ------
    TypeError, ValueError
        For a number of the wrong kind or sign, or an unknown name.
    RunExistsError, OSError
        If ``out`` holds other runs or cannot be written.
    """
    dim = whole_number("dim", dim, minimum=2, fix="A sphere needs at least two weights.")
    temperature = positive_number("temperature", temperature)
    samples = whole_number("samples", samples, minimum=8, fix="Ask for at least 8 samples.")
    replicas = whole_number("replicas", replicas)
    # A hot gas of many weights would not stay in its minimum: the loss is made steeper until RT is a tenth of it.
    scale = max(1.0, 5 * (dim - 1) * temperature)
    eigenvalues = scale * curvatures(dim)
    spacing = 1 + min(1.5 * np.sqrt(2 / (dim - 1)), 0.35)
    elr = STEP / eigenvalues.max() * spacing ** (np.arange(TEMPERATURES) - TEMPERATURES + 1.0)
    noise_var = 2 * temperature / np.exp(np.log(elr).mean())
    each = max(8, -(-samples // replicas))
    every = int(np.ceil(RELAXATIONS / (elr.min() * eigenvalues[1])))
    found = {}
    for name in names:
        trace = simulate(
            FixedSphere(elr=elr),
            dim,
            each * every,
            loss=Quadratic(eigenvalues),
            noise=noise(name, dim, noise_var, (dim - 1) / 2 * temperature),
            seed=seed,
            replicas=replicas,
            samples=each,
            warmup=20 * every,
            threads=threads,
            out=None if out is None else Path(out) / name,
            force=force,
            progress=False,
        )
        state = measure(trace)
        title = f"null gas, {name}, d = {dim}, T = {temperature:.2g}, {each * replicas} samples"
        found[name] = Null(name, trace, state, verdict(trace, state, title=title))
    return found


def beside(trace: xr.Dataset, state: xr.Dataset | None = None, **options: Any) -> dict[str, Null]:
    """The null gases at the d, T and effective sample size of a run: ``{name: Null}``.

    T is the geometric mean over the isotherms in equilibrium and the effective sample size their median, from 100 to
    4000. More than 4096 weights are simulated as 4096.

    Parameters
    ----------
    trace, state
        A run and what ``measure`` made of it; measured here if not given.
    options
        ``names, seed, threads, out, force`` of :func:`null_gases`.

    Raises
    ------
    TraceError
        If no cell of the run is in equilibrium.
    """
    state = measure(trace) if state is None else state
    number, good = isotherms(state), in_equilibrium(state)
    if not (number >= 0).any():
        got = f"{int(good.sum())} of {len(good)}"
        raise TraceError(f"state: expected a cell in equilibrium with a temperature, got {got}. Add steps.")
    labels = np.unique(number[number >= 0])
    temperature = [state["temperature"].values[number == k].mean() for k in labels]
    effective = np.median([state["ess"].values[number == k].sum() for k in labels])
    return null_gases(
        min(int(state.attrs["dim"]), LARGEST_DIM),
        float(np.exp(np.log(temperature).mean())),
        int(np.clip(effective, *SAMPLES)),
        replicas=min(trace.sizes["replica"], 8),
        **options,
    )
