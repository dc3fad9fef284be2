"""Do the errors of averages over isotherms contain what replicas in different basins differ by?

A grid of 64-20-10 on digits with four replicas is measured as two halves of two replicas, in the three ways there are:
their differences are orthogonal, so independent. With errors of averages over isotherms that are right, the squared
difference of U and of T over the sum of their squared errors has the mean 1. Cells are those in equilibrium in both
halves. Printed with the errors within runs alone, and as ``weightgas.analysis.fluctuation.collect`` widens them, and
χ²/dof of all four replicas between the runs of one isotherm, with and without the test for a slow part at level 1.

    python benchmarks/isotherms.py [--quick] [RUN ...]

``RUN``: folders of runs with four replicas, in the place of the one that is trained (20 000 steps, some minutes).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from weightgas import FixedSphere, measure, train
from weightgas.analysis import isotherms
from weightgas.analysis.fluctuation import Isotherms, collect
from weightgas.measurement import Criteria
from weightgas.networks import mlp
from weightgas.settings import Record
from weightgas.status import Status
from weightgas.trace import open_trace

SPLITS = (([0, 1], [2, 3]), ([0, 2], [1, 3]), ([0, 3], [1, 2]))
WITHIN = isotherms.WIDENED


def traces(arguments: argparse.Namespace) -> Iterator[tuple[str, xr.Dataset]]:
    """The traces by name, in memory, without directions."""
    for run in arguments.runs:
        trace = open_trace(run / "trace.zarr")
        yield str(run), trace.drop_vars([n for n, v in trace.data_vars.items() if "snapshot" in v.dims]).load()
    if not arguments.runs:
        protocol = FixedSphere(elr=np.logspace(-2.25, -1, 5), radius=np.logspace(0, 1, 3))
        steps = 2000 if arguments.quick else 20_000
        record = Record(samples=300, noise_samples=300)
        yield "64-20-10", train(protocol, mlp(hidden=(20,)), "digits", steps, replicas=4, record=record)


def halves(trace: xr.Dataset) -> Iterator[tuple[xr.Dataset, xr.Dataset]]:
    """The states of two halves of the replicas, in the three ways, with the cells in equilibrium in both."""
    for pair in SPLITS:
        first, second = (measure(trace.isel(replica=half)) for half in pair)
        both = (first["status"].values == Status.EQUILIBRIUM) & (second["status"].values == Status.EQUILIBRIUM)
        status = np.where(both, Status.EQUILIBRIUM, Status.TOO_SHORT).astype(np.int8)
        yield first.assign(status=("cell", status)), second.assign(status=("cell", status))


def squares(one: Isotherms, other: Isotherms) -> np.ndarray:
    """Squared differences of U and T over their variance, (2, isotherms)."""
    u = (one.energy - other.energy) ** 2 / (one.energy_err**2 + other.energy_err**2)
    t = (one.temperature - other.temperature) ** 2 / (one.temperature_err**2 + other.temperature_err**2)
    return np.array([u, t])


def main() -> None:
    """Print the runs, then χ²/dof of the residuals over all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("runs", nargs="*", type=Path)
    found: dict[str, list[np.ndarray]] = {"within": [], "widened": []}
    for name, trace in traces(parser.parse_args()):
        print(name)
        for what, criteria in (("without the slow part", Criteria(slow_part=1e9)), ("as it is", Criteria())):
            state = measure(trace, criteria=criteria)
            ratios = {
                k: f"{s.ratio:.2f} ({s.freedom} dof, {s.z:.1f} errors{', rejected' * s.rejected})"
                for k, s in isotherms.consistency(state).items()
            }
            settled = int((state["status"].values == Status.EQUILIBRIUM).sum())
            print(f"  level 1 {what}: {settled} of {state.sizes['cell']} cells, χ²/dof {ratios}")
        for states in halves(trace):
            for key, least in (("within", np.inf), ("widened", WITHIN)):
                isotherms.WIDENED = least
                found[key].append(squares(*map(collect, states)))
        isotherms.WIDENED = WITHIN
    ratios = {}
    for key, parts in found.items():
        u, t = np.concatenate(parts, axis=1)
        ratios[key] = float(np.mean([u, t]))
        print(f"residuals, errors {key}: U {u.mean():.2f}, T {t.mean():.2f}, both {ratios[key]:.2f}, {2 * len(u)} dof")
    print(json.dumps({"benchmark": "isotherms", "ratio": ratios["within"] / ratios["widened"], **ratios}))


if __name__ == "__main__":
    main()
