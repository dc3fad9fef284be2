"""States that are exact: the isotropic noise model at its closed form, with small known errors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from weightgas.protocols import AXES, FixedELR, FixedLR, FixedSphere, Protocol
from weightgas.status import Status
from weightgas.theory import ideal_gas, vmf

DIM = 3
ERROR = 1e-3


def exact_state(protocol: Protocol, *, entropy_scale: float = 1.0) -> xr.Dataset:
    """The state that a perfect measurement of the model would give in the limit of small steps, d = 3 and σ = 1.

    ``entropy_scale`` multiplies the entropy of the direction: a planted fault for checks that need an independent
    entropy.
    """
    cells = protocol.cells()
    dof, noise = DIM - 1, float(DIM - 1)
    if isinstance(protocol, FixedLR):
        radius = FixedLR.stationary_radius({"lr": cells["lr"], "wd": cells["wd"]}, noise, discrete=False)
        elr = cells["lr"] / radius**2
    elif isinstance(protocol, FixedELR):
        elr = cells["elr"]
        radius = FixedELR.stationary_radius({"elr": elr, "wd": cells["wd"]}, noise, discrete=False)
    else:
        elr, radius = cells["elr"], cells["radius"]
    temperature = ideal_gas.temperature(elr, noise, dof)
    direction = entropy_scale * vmf.entropy(DIM, temperature)
    values = {
        "radius": radius,
        "elr": elr,
        "temperature": temperature,
        "energy": vmf.energy(DIM, temperature),
        "energy_variance": vmf.energy_variance(DIM, temperature),
        "entropy_direction": direction,
        "entropy": direction + dof * np.log(radius),
        "volume": radius**2 / 2,
        "pressure": cells.get("wd", ideal_gas.gas_constant(dof) * temperature / (radius**2 / 2)),
        "grad_sq": np.full(len(elr), noise),
        "noise_trace": np.full(len(elr), noise),
        "mean_grad_sq": np.zeros(len(elr)),
        "compressibility": np.ones(len(elr)),
        "log_radius_entropy": dof * np.log(radius),
    }
    variables = {}
    for name, value in values.items():
        variables[name] = ("cell", np.asarray(value, float))
        relative = ERROR if name.startswith("entropy") else ERROR * np.abs(value)
        variables[f"{name}_err"] = ("cell", np.broadcast_to(np.asarray(relative, float), elr.shape).copy())
    variables["status"] = ("cell", np.full(len(elr), int(Status.EQUILIBRIUM), np.int8))
    variables["ess"] = ("cell", np.full(len(elr), 1e4))
    variables["burn_in"] = ("cell", np.zeros(len(elr), int))
    variables["samples_kept"] = ("cell", np.full(len(elr), 100))
    variables["relaxations"] = ("cell", np.full(len(elr), 50.0))
    coordinates = {f"{a}_set": ("cell", cells.get(a, np.full(len(elr), np.nan))) for a in AXES}
    coordinates["cell_id"] = ("cell", [str(i) for i in range(len(elr))])
    attributes = {
        "protocol": protocol.name, "dim": DIM, "dof": dof, "producer": "simulate",
        "loss": "linear", "noise": "isotropic(sigma=1)", "noise_isotropic": 1, "noise_state_dependent": 0,
    }  # fmt: skip
    return xr.Dataset(variables, coordinates, attributes)


@pytest.fixture
def make_state() -> Callable[..., xr.Dataset]:
    """The maker of exact states."""
    return exact_state


@pytest.fixture
def elr_state() -> xr.Dataset:
    """A 9 x 9 grid at fixed ELR."""
    return exact_state(FixedELR(elr=np.logspace(-3, -1.5, 9), wd=np.logspace(-3, -1, 9)))


@pytest.fixture
def lr_state() -> xr.Dataset:
    """A 9 x 9 grid at fixed LR."""
    return exact_state(FixedLR(lr=np.logspace(-3, -1.5, 9), wd=np.logspace(-3, -1, 9)))


@pytest.fixture
def sphere_state() -> xr.Dataset:
    """A 9 x 5 grid on the sphere."""
    return exact_state(FixedSphere(elr=np.logspace(-3, -1.5, 9), radius=np.logspace(-1, 1, 5)))
