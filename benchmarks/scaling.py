"""What ``simulate`` costs: against cells, replicas, steps, dimension and threads, in time and in memory.

Time and memory are those of the entire call: start, samples, density. Memory is the peak of a fresh process above what
it holds after the imports. The slope in steps is that of the time without the start, which does not grow with them. The
ratio is 12 s over the time of the notebook's three grids, 3 x 289 cells of 2 000 000
steps in d = 3 with the default method. Alongside it: the slopes of log time in log steps and in log cells; the energy
in the dimensions of the paper's networks, over 289 cells.

    python benchmarks/scaling.py [--quick]
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np

from weightgas import FixedLR, FixedSphere, simulate
from weightgas.experiments import presets
from weightgas.settings import Evaluate, Record, Run
from weightgas.theory import vmf

RATES = np.logspace(-3, -1, 17)
METHODS = ("reduced", "full")
DIMS = {43_692: 12_000_000, 2_790_240: 1_000_000}
"""Dimensions of the paper's networks, and the steps that their energies are measured over."""


def grid(cells: int) -> FixedLR:
    """So many cells of the notebook's ranges, paired."""
    at = np.linspace(0, 1, cells)
    return FixedLR(lr=10 ** (-3 + 2 * at), wd=10 ** (-3 + 2 * np.random.default_rng(0).permutation(at)), paired=True)


def seconds(cells: int, steps: int, method: Any, dim: int = 3, replicas: int = 1, threads: int | None = None) -> float:
    """The best of two calls, without the warm-up."""
    protocol, times = grid(cells), []
    for _ in range(2):
        begun = time.perf_counter()
        simulate(
            protocol,
            dim,
            steps,
            replicas=replicas,
            record=Record(warmup=0),
            run=Run(threads=threads, progress=False),
            evaluate=Evaluate(method=method),
        )
        times.append(time.perf_counter() - begun)
    return min(times)


def slope(x: list[int], y: list[float]) -> float:
    """Of log y in log x."""
    return round(float(np.polyfit(np.log(x), np.log(y), 1)[0]), 3)


def costs(scale: int) -> dict[str, Any]:
    """Nanoseconds per cell-step (replica-step, weight-step), and the slopes."""
    found: dict[str, Any] = {}
    for method in METHODS:
        long = 2_000_000 // scale
        steps = [long // 4, long // 2, long, 2 * long]
        start = seconds(128, 400, method)
        in_steps = [seconds(128, n, method) - start for n in steps]
        found[f"{method}_start_ms_per_run"] = round(1e3 * start / 128, 2)
        cells = [128, 256, 512, 1024]
        in_cells = [seconds(n, long // 4, method) for n in cells]
        found |= {
            f"{method}_slope_in_steps": slope(steps, in_steps),
            f"{method}_slope_in_cells": slope(cells, in_cells),
        }
        shapes = {"1 x 1": (1, 1), "289 x 1": (289, 1), "1 x 289": (1, 289), "1 x 1000": (1, 1000)}
        for name, (many, replicas) in shapes.items():
            for threads in (1, numba.config.NUMBA_NUM_THREADS):
                work = (4 if many * replicas == 1 else 1) * long // 4
                took = seconds(many, work, method, replicas=replicas, threads=threads)
                found[f"{method}_{name}_threads_{threads}_ns"] = round(1e9 * took / work / many / replicas, 2)
    for dim in (2, 3, 10, 100, 1000):
        work = max(400, 1_200_000 // scale // dim)
        few, many = (seconds(289, n, "full", dim) for n in (work, 5 * work))  # the start is excluded
        found[f"full_d_{dim}_ns"] = round(1e9 * (many - few) / (4 * work) / 289, 2)
        found[f"full_d_{dim}_ns_per_weight"] = round(found[f"full_d_{dim}_ns"] / dim, 2)
    for dim in (3, 1000, *DIMS):
        work = 400_000 // scale
        few, many = (seconds(289, n, "reduced", dim) for n in (work, 3 * work))
        found[f"reduced_d_{dim}_ns"] = round(1e9 * (many - few) / (2 * work) / 289, 2)
    return found


def notebook(steps: int) -> float:
    """Seconds of the notebook's three grids, scaled to their full length."""
    begun = time.perf_counter()
    for run in presets.isotropic("paper"):
        simulate(run.protocol, run.dim, steps, record=Record(warmup=0), run=Run(progress=False))
    return (time.perf_counter() - begun) * 2_000_000 / steps


def memory(steps: int) -> float:
    """Peak megabytes of a grid of the notebook in this process, above what it holds after imports and compilation."""
    protocol = FixedLR(lr=RATES, wd=RATES)
    simulate(FixedLR(lr=0.1, wd=0.1), 3, 400, run=Run(progress=False))
    before = peak()
    simulate(protocol, 3, steps, run=Run(progress=False))
    return peak() - before


def peak() -> float:
    """Megabytes: of this program where the system shows; ru_maxrss begins with what the parent had before exec."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line) / 1024
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def networks(scale: int) -> dict[str, Any]:
    """U and 1 − U in the dimensions of networks: the worst of the relative errors of 289 cells, and the seconds.

    On the sphere, κ/d from 0.1 to 100 in 17 steps, 17 runs of each. A run starts in a direction drawn from the Gibbs
    distribution. So it is right from the first step on, whatever its length; how many relaxation times 1/(η_e(A +
    η_e(d − 1)/2)), A = 1 − U, the slowest runs cover states how far the steps by themselves keep it there. A step is
    finite: U is A/(2(κ/d)²d) above the closed form.
    """
    found: dict[str, Any] = {}
    for dim, steps in DIMS.items():
        kappa = np.logspace(-1, 2, 17) * dim
        elr, steps = 2 / kappa, steps // scale
        begun = time.perf_counter()
        trace = simulate(
            FixedSphere(elr=elr, radius=1.0),
            dim,
            steps,
            replicas=17,
            record=Record(samples=20),
            run=Run(progress=False),
        )
        found[f"d_{dim}_seconds"] = round(time.perf_counter() - begun, 2)
        energy, exact = trace["energy_mean"].mean("sample").values, vmf.energy(dim, 1 / kappa)[:, None]
        found[f"d_{dim}_worst_error_in_U"] = round(float(np.max(np.abs(energy / exact - 1))), 5)
        found[f"d_{dim}_worst_error_in_1-U"] = round(float(np.max(np.abs((1 - energy) / (1 - exact) - 1))), 5)
        times = steps * elr * (1 - exact[:, 0] + elr * (dim - 1) / 2)
        found[f"d_{dim}_relaxation_times"] = [round(float(f(times)), 3) for f in (np.min, np.max)]
    return found


def main() -> None:
    """Measure all and print one JSON line."""
    if "--memory" in sys.argv:
        print(memory(int(sys.argv[-1])))
        return
    scale = 10 if "--quick" in sys.argv else 1
    for method in METHODS:
        seconds(2, 400, method)  # compile
    grids = [notebook(2_000_000 // scale) for _ in range(1 if scale > 1 else 3)]
    detail: dict[str, Any] = {"notebook_seconds": round(statistics.median(grids), 2)}
    for steps in (2_000_000 // scale, 20_000_000 // scale):
        command = [sys.executable, __file__, "--memory", str(steps)]
        detail[f"memory_MB_{steps}_steps"] = round(float(subprocess.check_output(command, text=True)), 1)
    detail |= networks(scale) | costs(scale)
    ratio = round(12 / detail["notebook_seconds"], 2)
    print(json.dumps({"benchmark": "scaling", "ratio": ratio, "unit": "12 s / the notebook's grids", "detail": detail}))


if __name__ == "__main__":
    main()
