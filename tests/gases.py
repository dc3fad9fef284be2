"""Small measured runs that the tests of figures and reports share: simulations, a reference gas, and a network."""

from __future__ import annotations

from functools import cache

import numpy as np
import xarray as xr

from weightgas.losses import Covariance, Quadratic
from weightgas.measurement import Criteria, measure
from weightgas.protocols import FixedELR, FixedLR, FixedSphere, Protocol
from weightgas.settings import Record, Run
from weightgas.simulation import simulate

RATES, DECAYS, RADII = np.logspace(-2.5, -1.5, 5), np.logspace(-2, -1, 4), np.logspace(-1, 1, 4)
PROTOCOLS: dict[str, Protocol] = {
    "fixed_lr": FixedLR(lr=RATES, wd=np.logspace(-2, -1, 5)),
    "fixed_elr": FixedELR(elr=RATES, wd=DECAYS),
    "fixed_sphere": FixedSphere(elr=RATES, radius=RADII),
}
KINDS = tuple(PROTOCOLS)
EASY = Criteria(ess=4, relaxations=0.1, radius_trend=1, energy_trend=10, rhat=10, turns=1e-3)


@cache
def trace(kind: str) -> xr.Dataset:
    """A simulated grid of the isotropic noise model, d = 3."""
    return simulate(PROTOCOLS[kind], 3, 40_000, record=Record(samples=80), run=Run(threads=1, progress=False))


@cache
def _state(kind: str) -> xr.Dataset:
    return measure(trace(kind), criteria=EASY)


def state(kind: str) -> xr.Dataset:
    """Its state, a copy that may be changed."""
    return _state(kind).copy(deep=True)


@cache
def control(kind: str) -> tuple[xr.Dataset, xr.Dataset]:
    """Trace and state of a reference gas, ``"ideal"`` or ``"anisotropic"``, d = 10."""
    variances = np.logspace(-1, 1, 10)
    noise = Covariance(10 * variances / variances.sum(), "anisotropic") if kind == "anisotropic" else None
    protocol = FixedSphere(elr=0.02 / 1.35 ** np.arange(4)[::-1])
    found = simulate(
        protocol,
        10,
        100_000,
        loss=Quadratic(np.linspace(0, 2, 10)),
        noise=noise,
        record=Record(samples=200),
        run=Run(threads=1),
    )
    return found, measure(found, criteria=EASY)


@cache
def network(kind: str) -> tuple[xr.Dataset, xr.Dataset]:
    """Trace and state of a very small network, too short to settle unless judged by easy criteria."""
    from weightgas import datasets, networks, training

    protocols = {
        "fixed_lr": FixedLR(lr=np.logspace(-1, 0, 4), wd=np.logspace(-2, -1, 3)),
        "fixed_elr": FixedELR(elr=np.logspace(-2, -1, 4), wd=np.logspace(-2, -1, 3)),
        "fixed_sphere": FixedSphere(elr=np.logspace(-2, -1, 4), radius=[0.5, 1.0, 2.0]),
    }
    found = training.train(
        protocols[kind],
        networks.mlp(hidden=(3,)),
        datasets.digits(),
        steps=300,
        batch_size=16,
        record=Record(samples=60, noise_batches=4, snapshots=70, snapshot_every=4),
        run=Run(progress=False),
    )
    return found, measure(found, criteria=EASY)
