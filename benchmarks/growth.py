"""How the stages of a run grow with its cells: seconds, peak memory and files, each stage in a process of its own.

A grid at fixed LR in d = 3 with 200 samples a cell is simulated into a run folder, opened, measured, judged and
reported. Seconds are those of the stage without imports: wall time, and that of the processor, which other processes do
not lengthen; memory is the peak of its process, imports included. A grid of START cells gives the part that does not
grow: a first compilation, figures. The slopes are those of log processor seconds in log cells, in all and without that
part.

    python benchmarks/growth.py [--quick] [--huge]

``--quick``: 625 and 2 500 cells instead of 2 500 and 10 000. ``--huge``: also 100 000 cells, half an hour on two cores.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

STAGES = ("simulate", "open", "measure", "verdict", "report")
SAMPLES = 200
STEPS = 20_000
START = 25


def stage(name: str, folder: Path, cells: int) -> None:
    """One stage, whose seconds and megabytes are printed."""
    from weightgas import FixedLR, measure, open_trace, simulate, trace, verdict
    from weightgas import report as reports
    from weightgas.settings import Record, Run

    rows = round(cells**0.5)
    protocol = FixedLR(lr=np.logspace(-3, -1, rows), wd=np.logspace(-3, -1, cells // rows))
    begun, used = time.perf_counter(), time.process_time()
    if name == "simulate":
        simulate(protocol, 3, STEPS, record=Record(samples=SAMPLES), run=Run(folder=folder, progress=False))
    elif name == "open":
        open_trace(folder)
    elif name == "measure":
        trace.save(measure(open_trace(folder)), folder / "state.zarr")
    elif name == "verdict":
        verdict(open_trace(folder), open_trace(folder / "state.zarr"))
    else:
        reports.of_run(folder)
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    unit = 1024**2 if sys.platform == "darwin" else 1024
    print(json.dumps([seconds, used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit]))


def grown(cells: int) -> dict[str, float]:
    """Seconds and megabytes of every stage of a run of so many cells, files of its trace and bytes of its report."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="growth-") as place:
        folder = Path(place, "run")
        for name in STAGES:
            command = [sys.executable, __file__, "--stage", name, str(folder), str(cells)]
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            seconds, used, megabytes = json.loads(printed.splitlines()[-1])
            found |= {f"{name}_seconds": seconds, f"{name}_cpu": used, f"{name}_MB": megabytes}
            print(f"{cells:8d} {name:10s} {seconds:9.1f} s {used:9.1f} s cpu {megabytes:9.0f} MB", flush=True)
        found["files"] = sum(path.is_file() for path in (folder / "trace.zarr").rglob("*"))
        found["trace_MB"] = sum(path.stat().st_size for path in (folder / "trace.zarr").rglob("*")) / 1e6
        found["page_MB"] = (folder / "report.html").stat().st_size / 1e6
        sizes = f"trace {found['trace_MB']:.1f} MB, page {found['page_MB']:.2f} MB"
        print(f"{cells:8d} {found['files']:.0f} files, {sizes}", flush=True)
    return {name: round(value, 2) for name, value in found.items()}


def slope(cells: list[int], seconds: np.ndarray) -> float:
    """The slope of log seconds in log cells."""
    return round(float(np.polyfit(np.log(cells), np.log(seconds), 1)[0]), 3)


def main() -> None:
    """Measure every size and print one JSON line."""
    if "--stage" in sys.argv:
        name, folder, cells = sys.argv[sys.argv.index("--stage") + 1 :]
        stage(name, Path(folder), int(cells))
        return
    sizes = [625, 2_500] if "--quick" in sys.argv else [2_500, 10_000]
    sizes += [100_000] if "--huge" in sys.argv else []
    found = {cells: grown(cells) for cells in (START, *sizes)}
    cpu = {name: np.array([found[cells][f"{name}_cpu"] for cells in sizes]) for name in STAGES}
    slopes = {name: slope(sizes, cpu[name]) for name in STAGES}
    growing = {name: slope(sizes, cpu[name] - found[START][f"{name}_cpu"]) for name in STAGES if name != "open"}
    print(json.dumps({"benchmark": "growth", "slopes": slopes, "slopes_without_start": growing, "detail": found}))


if __name__ == "__main__":
    main()
