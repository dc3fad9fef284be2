"""``weightgas doctor``: checks of this machine, or of a run for damage."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from weightgas.cli import options as opt
from weightgas.cli.health import examined
from weightgas.cli.session import FAILED, session


class Problem(Exception):
    """A problem on this machine, and how to fix it."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.fix = fix


def doctor(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN", help="A run folder, a folder of run folders or a .zarr store: check that, not the machine."
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder in which runs will be written.")] = Path("runs"),
    debug: opt.Debug = False,
) -> None:
    """Check this machine, or a run, and print how to fix what is wrong.

    The checks of the machine: Python, versions of packages, compiler, torch
    and its devices, data, folders, cores, time. Those of a run: its trace,
    state, settings and checkpoints. Nothing is changed. Exit code 1 if there
    is a problem.

      weightgas doctor
      weightgas doctor runs/simulate-fixed-lr
    """
    with session("doctor", opt.Show(quiet=True, debug=debug)):
        if source is not None:
            if not examined(source):
                raise typer.Exit(FAILED)
            return
        checks: dict[str, Callable[[], str]] = {
            "python": _python,
            "packages": _packages,
            "simulation": _simulation,
            "compiled code is kept": _cache,
            "torch": _torch,
            "data": _data,
            "runs folder": lambda: _folder(out),
            "cores": _cores,
            "time": _clock,
            "text": _text,
        }
        problems = 0
        for name, check in checks.items():
            try:
                print(f"ok       {name}: {check()}", flush=True)
            except Exception as error:
                problems += 1
                fix = (
                    error.fix
                    if isinstance(error, Problem)
                    else "Reinstall weightgas: pip install --force-reinstall weightgas"
                )
                kind = "" if isinstance(error, Problem) else f"{type(error).__name__}: "
                print(f"problem  {name}: {kind}{' '.join(str(error).split())}\n         {fix}", flush=True)
        print("All is well." if not problems else f"{problems} problem{'s' if problems > 1 else ''}.")
        if problems:
            raise typer.Exit(FAILED)


def _python() -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"


def _packages() -> str:
    from importlib import metadata

    from packaging.requirements import Requirement

    try:
        asked = [Requirement(text) for text in metadata.requires("weightgas") or []]
    except metadata.PackageNotFoundError:
        raise Problem(
            "weightgas runs from its source and is not installed", "In its folder: pip install --editable ."
        ) from None
    needed = [
        requirement for requirement in asked if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    ]
    wrong, found = [], []
    for requirement in needed:
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            version = "not installed"
        found.append(f"{requirement.name} {version}")
        if version == "not installed" or not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name}: {version}, expected {requirement.specifier}")
    if wrong:
        raise Problem(
            "; ".join(wrong), f"pip install {' '.join(repr(str(r)) for r in needed if r.name in ' '.join(wrong))}"
        )
    return f"weightgas {metadata.version('weightgas')}, " + ", ".join(found)


def _simulation() -> str:
    from weightgas.measurement import measure
    from weightgas.protocols import FixedLR
    from weightgas.settings import Run
    from weightgas.simulation import simulate

    begun = time.perf_counter()
    trace = simulate(FixedLR(0.1, 0.1), 3, 20_000, run=Run(progress=False))
    radius = float(measure(trace)["radius"][0])
    if not 0.9 < radius < 1.2:  # r⁴ = ησ²(d−1)/(2λ) gives 1, a little more at a finite step
        raise Problem(
            f"a short run has the radius {radius:.3f}, expected about 1",
            "Report this with your processor and versions.",
        )
    return f"compiles and runs, {time.perf_counter() - begun:.1f} s"


def _cache() -> str:
    from weightgas import simulation

    chosen = os.environ.get("NUMBA_CACHE_DIR")
    place = Path(chosen) if chosen else Path(simulation.__file__).parent / "__pycache__"
    try:
        _write(place)
    except OSError as error:
        raise Problem(
            f"{place} cannot be written ({error.strerror}), so every start compiles again, for some seconds",
            "Set the variable NUMBA_CACHE_DIR to a folder that you may write to.",
        ) from None
    return str(place)


def _torch() -> str:
    try:
        import torch
    except ImportError as error:
        raise Problem(f"cannot be imported ({error})", "Networks, train and watch need it: pip install torch") from None
    torch.ones(8, 8).mm(torch.ones(8, 8))
    devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return f"{torch.__version__}, {torch.get_num_threads()} threads, devices {', '.join(devices)}"


def _data() -> str:
    from weightgas import datasets

    images = datasets.digits()
    return f"{len(images)} digits of {images.inputs.shape[1]} pixels"


def _folder(out: Path) -> str:
    parent = next(p for p in (out.resolve(), *out.resolve().parents) if p.exists())
    try:
        _write(parent)
    except OSError as error:
        raise Problem(
            f"{out}: {error.strerror}", "Work in a folder that you may write to, or name one with --out."
        ) from None
    free = shutil.disk_usage(parent).free / 1e9
    if free < 1:
        raise Problem(f"{out}: {free:.2f} GB free", "Free some space, or name another folder with --out.")
    return f"{out.resolve()}, {free:.0f} GB free"


def _cores() -> str:
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{usable} of {cores} for this process{load}"


def _clock() -> str:
    clock = time.get_clock_info("perf_counter")
    if time.time() < 1.7e9:
        raise Problem(f"the date is {time.strftime('%Y-%m-%d')}", "Set the system time: manifests contain dates.")
    return f"{time.strftime('%Y-%m-%d %H:%M:%S %Z')}, resolution {clock.resolution:.0e} s"


def _text() -> str:
    encoding = (sys.stdout.encoding or "ascii").lower()
    if "utf" in encoding:
        return encoding
    return f"{encoding}: Greek letters are printed as words; to print letters, set PYTHONIOENCODING=utf-8"


def _write(folder: Path) -> None:
    """Write and remove a file in a folder, which is then unchanged."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"weightgas")
    finally:
        if made:
            folder.rmdir()
