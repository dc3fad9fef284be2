"""How often 95 % intervals contain the truth in short runs: U and Var U of von Mises–Fisher gases, one run a seed.

A single replica each, on the unit sphere, of 200 samples of the loss at evenly spaced steps; the truth is the
stationary density of the discrete step, to all orders (:mod:`weightgas.theory.stationary`). The length is such that a
run has about 20 to 60 effective samples of the energy. ``all`` are all seeds, ``level 1`` those that are called
equilibrium; ``given`` the share of seeds with a number for Var U.

    python benchmarks/intervals.py [--quick]
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import xarray as xr

from weightgas import FixedSphere, measure, simulate
from weightgas.losses import Isotropic
from weightgas.settings import Record, Run
from weightgas.status import Status
from weightgas.theory import stationary

ELR = {3: 0.05, 50: 0.01}
TIME = {3: 19.5, 50: 98.0}
"""Integrated correlation time of the energy, in steps: steps to an effective sample."""
SAMPLES = 200
EFFECTIVE = (20, 30, 40, 50, 60)


def runs(dim: int, seeds: int, effective: float, seed: int) -> xr.Dataset:
    """A trace whose cells are the replicas of one cell."""
    steps = int(np.ceil(effective * TIME[dim] / SAMPLES)) * SAMPLES
    protocol, record = FixedSphere(elr=ELR[dim], radius=1), Record(samples=SAMPLES)
    options = {"noise": Isotropic(1.0), "record": record, "run": Run(progress=False)}
    return replicas_as_cells(simulate(protocol, dim, steps=steps, replicas=seeds, seed=seed, **options))


def replicas_as_cells(trace: xr.Dataset) -> xr.Dataset:
    """Each replica of the one cell as a cell with one replica."""
    seeds = trace.sizes["replica"]
    one = {
        name: v.isel(cell=[0]).transpose("replica", "cell", ...).rename(replica="cell", cell="replica")
        if "replica" in v.dims
        else v.isel(cell=np.zeros(seeds, int))
        for name, v in trace.drop_vars(list(trace.coords)).data_vars.items()
    }
    coordinates = {k: ("cell", np.repeat(c.values, seeds)) for k, c in trace.coords.items()}
    coordinates["cell_id"] = ("cell", [f"replica {i}" for i in range(seeds)])
    return xr.Dataset(one, coordinates, trace.attrs)


def covered(state: xr.Dataset, name: str, truth: float, which: np.ndarray) -> float:
    """Share of the 95 % intervals of ``which`` cells that contain the truth, of those that have a number."""
    value, error = state[name].values[which], state[f"{name}_err"].values[which]
    known = np.isfinite(value) & np.isfinite(error)
    return float(np.mean(np.abs(value - truth)[known] < 1.96 * error[known])) if known.any() else float("nan")


def main() -> None:
    """Print one line for each dimension and length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    seeds = 200 if parser.parse_args().quick else 1000
    detail, worst = {}, 1.0
    print("  d  ESS    U: all  level 1 (share)   Var U: all  level 1  given (of level 1)  bias")
    for dim in ELR:
        exact = stationary.stationary_state(FixedSphere, dim, ELR[dim], 1.0)
        for effective in EFFECTIVE:
            state = measure(runs(dim, seeds, effective, seed=30_000 + effective))
            every, good = np.ones(seeds, bool), state["status"].values == Status.EQUILIBRIUM
            u = [covered(state, "energy", exact.energy, which) for which in (every, good)]
            v = [covered(state, "energy_variance", exact.energy_variance, which) for which in (every, good)]
            number = np.isfinite(state["energy_variance"].values)
            bias = np.nanmean(state["energy_variance"].values) / exact.energy_variance - 1
            given = (number.mean(), number[good].mean())
            print(
                f"{dim:3d}  {float(state['ess'].median()):3.0f}   {u[0]:.3f}  {u[1]:.3f} ({good.mean():.2f})    "
                f"  {v[0]:.3f}  {v[1]:.3f}  {given[0]:.2f} ({given[1]:.2f})  {bias:+.3f}",
                flush=True,
            )
            detail[f"d {dim}, ESS {effective}"] = {"energy": u, "variance": v, "given": given}
            worst = min(worst, *u)
    print(json.dumps({"benchmark": "intervals", "ratio": worst / 0.95, "detail": detail}))


if __name__ == "__main__":
    main()
