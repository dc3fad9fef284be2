"""Make the table of docs/explanation/virial.md on annealing: the runs on which its limits and its error were chosen.

    python docs/pictures/annealing.py FOLDER

The cells are those of ``law.py`` alongside, of other networks, rates and seeds than the page of the law has. It takes
some twenty minutes; FOLDER keeps the runs, and the same call resumes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from law import CUT_HEAD, LR, Case, cells_of, cut_line, mlp, run, scored, table, write

import weightgas as wg

PAGE = Path(__file__).parents[1] / "explanation" / "virial.md"
SEEDS = (1, 2)
CASES = {
    "64-8-10": [Case(mlp(8), "digits", LR(lr=[0.15, 0.5, 0.8, 1.5], wd=0.003))],
    "64-18-10": [Case(mlp(18), "digits", LR(lr=[0.2, 0.6, 1.2], wd=0.003))],
    "64-16-10-10": [Case(mlp(16, 10), "digits", LR(lr=[0.1, 0.4], wd=0.003))],
    "64-16-10, momentum 0.9": [Case(mlp(16), "digits", LR(lr=[0.05, 0.15], wd=0.003), momentum=0.9)],
    "64-24-10": [
        Case(mlp(24), "digits", wg.FixedSphere(elr=[0.05, 0.07, 0.13], radius=1.0)),
        Case(mlp(24), "digits", wg.FixedELR(elr=[0.05], wd=0.003)),
    ],
    "196-8-10, fashion-mnist": [Case(mlp(8), "fashion_mnist_14", LR(lr=[0.05, 0.2], wd=0.003))],
}


def main() -> None:
    """Train, measure, cut, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    run(CASES, list(CASES), SEEDS, folder)
    cells = cells_of(CASES, folder)
    rows = [row for seeds in cells for row in seeds]
    settled = sum(row["stationary"] for row in rows)
    write(PAGE, {
        "annealing": table(CUT_HEAD, [cut_line(seeds) for seeds in cells]),
        "scored": f"{settled} of {len(rows)} cells are in equilibrium. {scored(rows)}",
    })  # fmt: skip


if __name__ == "__main__":
    main()
