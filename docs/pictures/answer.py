"""Put the tables and figures of the answer into the pages that show them, between their marks.

They are docs/results/answer.md, README.md and docs/results/index.md.

    weightgas reproduce answer --preset standard --out runs/answer
    weightgas reproduce isotropic --preset standard --out runs/isotropic    (or none: the page is linked)
    .venv/bin/python docs/pictures/answer.py runs/answer runs/isotropic

Runs whose training is complete are measured and judged again by today's code, others are excluded; the controls are
simulated in ``runs/answer/answer/controls``. The text around the marks is written by people: read it again when the
outcome changes.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import xarray as xr

from weightgas import open_trace
from weightgas.analysis import Findings
from weightgas.datasets import digits
from weightgas.experiments import answer, presets
from weightgas.experiments.controls import Control, controls_for
from weightgas.experiments.summary import kinds, select
from weightgas.networks import mlp
from weightgas.settings import Run
from weightgas.training import harmonic_wells
from weightgas.training.wells import LARGEST_DIM

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "results/answer.md"
SHARED = (HERE.parents[1] / "README.md", HERE.parent / "results/index.md")
"""Pages with the block ``short`` of the answer."""
PROTOCOLS = ("fixed_sphere", "fixed_elr", "fixed_lr")
EXPECTED = tuple(f"{size}/{protocol}" for size in presets.SIZES for protocol in PROTOCOLS)
NAMES = ("command", "short", "model", "networks", "hypotheses", "levels", "explained", "reasons", "wells")
BLOCK = re.compile(rf"<!-- ({'|'.join(NAMES)}) -->\n\n(.*?)\n\n<!-- end -->", re.DOTALL)
COMMAND = "weightgas reproduce answer --preset standard"


def inserted(page: str, written: str) -> str:
    """The page with every block of what was written; ValueError if they have different blocks."""
    found = {match[1]: match[0] for match in BLOCK.finditer(written)}
    if sorted(found) != sorted(match[1] for match in BLOCK.finditer(page)):
        raise ValueError(f"{PAGE.name}: expected the blocks {', '.join(found)}, got others. Put their marks into it.")
    return BLOCK.sub(lambda match: found[match[1]], page)


def shared(page: str, written: str) -> str:
    """Another page with the block ``short`` of what was written; ValueError if it has no such block."""
    found = next(match[0] for match in BLOCK.finditer(written) if match[1] == "short")
    text, count = re.subn(r"<!-- short -->\n\n.*?\n\n<!-- end -->", lambda _: found, page, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"page: expected one block short, got {count}. Put its marks into it.")
    return text


def runs_of(folder: Path) -> dict[str, Findings]:
    """The complete runs of the answer by ``SIZE/PROTOCOL``, measured and judged anew; FileNotFoundError without any."""
    data, found = digits(), {}
    names = [name for name in EXPECTED if (folder / name / "manifest.json").exists()]
    if not names:
        raise FileNotFoundError(f"{folder}: expected complete runs, got none of {', '.join(EXPECTED)}. Run: {COMMAND}")
    for name in names:
        print(name, flush=True)
        network = mlp(hidden=presets.SIZES[name.split("/")[0]])
        found[name] = answer.judged(open_trace(folder / name), None, network, data)
    return found


def controls_of(folder: Path, runs: dict[str, Findings]) -> dict[str, dict[str, Control]]:
    """The controls of every size, alongside its first run with a cell in equilibrium, in run folders."""
    found = {}
    for size in kinds(runs):
        first = next((run for run in select(runs, size).values() if run.settled.any()), None)
        if first is not None:
            print("controls", size, flush=True)
            found[size] = controls_for(first, run=Run(folder / size))
    return found


def wells_of(runs: dict[str, Findings]) -> dict[str, xr.Dataset]:
    """What H and Σ explain of the runs with directions that are small enough, of one replica."""
    found = {}
    for name, run in runs.items():
        if "directions" in run.traced and run.state.attrs["dim"] <= LARGEST_DIM:
            print("wells", name, flush=True)
            network = mlp(hidden=presets.SIZES[name.split("/")[0]])
            found[name] = harmonic_wells(run.traced, network, digits())
    return found


def main(folder: Path, model: Path | None = None) -> None:
    """Write ``folder/answer/answer.md`` anew, insert its blocks and copy its figures."""
    runs = runs_of(folder)
    ideal = {p: Findings(open_trace(model / "isotropic" / p)) for p in PROTOCOLS} if model else None
    wells = wells_of(runs)
    controls = controls_of(folder / "answer" / "controls", runs)
    lacking = [name for name in EXPECTED if name not in runs]
    command = COMMAND + (f" (not complete, and excluded: {', '.join(lacking)})" if lacking else "")
    written = answer.write(folder / "answer", runs, controls, command, ideal, wells).read_text(encoding="utf-8")
    PAGE.write_text(inserted(PAGE.read_text(encoding="utf-8"), written), encoding="utf-8")
    for page in SHARED:
        page.write_text(shared(page.read_text(encoding="utf-8"), written), encoding="utf-8")
    for picture in sorted((folder / "answer" / "pictures").glob("answer-*.png")):
        shutil.copy(picture, HERE / picture.name)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
