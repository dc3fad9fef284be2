"""Traces whose statistics are known exactly: independent or AR(1) samples, put together without any simulation."""

import numpy as np
import xarray as xr
from scipy.signal import lfilter

from weightgas import trace as traces
from weightgas.protocols import FixedELR, FixedLR, FixedSphere, Protocol


def ar1(generator: np.random.Generator, shape: tuple[int, ...], time: float) -> np.ndarray:
    """Stationary unit-variance series along the last axis with correlation exp(−lag/time); time 0 is independent."""
    rho = np.exp(-1 / time) if time > 0 else 0.0
    steps = generator.standard_normal(shape) * np.sqrt(1 - rho**2)
    steps[..., 0] /= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], steps, axis=-1)


def protocol_of_kind(kind: str, cells: int) -> Protocol:
    """A protocol with that many cells, all fast to settle."""
    values = np.linspace(0.01, 0.02, cells).tolist()
    if kind == "fixed_sphere":
        return FixedSphere(elr=0.01, radius=np.linspace(1, 2, cells).tolist())
    return FixedLR(lr=values, wd=0.1) if kind == "fixed_lr" else FixedELR(elr=values, wd=0.1)


def make(
    kind: str = "fixed_sphere",
    cells: int = 1,
    replicas: int = 1,
    samples: int = 400,
    *,
    time: float = 0.0,
    seed: int = 0,
    sample_every: int = 1000,
    attributes: dict | None = None,
    **values: np.ndarray,
) -> xr.Dataset:
    """A trace with energies 0.01 (1 + 0.3 x), x an AR(1) series; ``values`` replaces variables."""
    generator = np.random.default_rng(seed)
    shape = (cells, replicas, samples)
    noise = 2 + 0.1 * generator.standard_normal(shape)
    drift = 0.02 + 0.001 * generator.standard_normal(shape)
    protocol = protocol_of_kind(kind, cells)
    radius = np.exp(0.001 * ar1(generator, shape, time))
    if kind == "fixed_sphere":
        radius = np.broadcast_to(protocol.cells()["radius"][:, None, None], shape)
        values.setdefault("radius_unprojected", radius * np.sqrt(1 + 1e-4 * (noise + drift)))
    found = {
        "step": np.tile(np.arange(1, samples + 1) * sample_every, (cells, 1)),
        "samples": np.full((cells, replicas), samples),
        "outcome": np.zeros((cells, replicas)),
        "radius": radius,
        "energy": 0.01 * (1 + 0.3 * ar1(generator, shape, time)),
        "noise_trace": noise,
        "mean_grad_sq": drift,
        "grad_sq": noise + drift,
        **values,
    }
    about = {"producer": "test", "dim": 3, "dof": 2, "seed": seed, "steps": samples * sample_every}
    return traces.make(protocol, found, {**about, "sample_every": sample_every, **(attributes or {})})
