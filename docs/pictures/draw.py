"""The picture of the README: energy and entropy of the isotropic noise model, measured alongside theory.

    .venv/bin/python docs/pictures/draw.py

Runs a grid smaller than the paper's, for some seconds, and writes ``energy_and_entropy.png`` alongside itself.
"""

from pathlib import Path

import numpy as np

import weightgas as wg


def main() -> None:
    """Simulate, measure, draw."""
    protocol = wg.FixedLR(lr=np.logspace(-3, -1, 9), wd=np.logspace(-3, -1, 5))
    state = wg.measure(wg.simulate(protocol, dim=3, steps=2_000_000, seed=0))
    picture = Path(__file__).resolve().parent / "energy_and_entropy.png"
    wg.figures.energy_and_entropy(state).savefig(picture, dpi=200)


if __name__ == "__main__":
    main()
