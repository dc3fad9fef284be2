"""Draw docs/pictures/soft-directions.png, and write what it shows into docs/explanation/anisotropic.md.

    python docs/pictures/soft_directions.py FOLDER

Variance of the weights against that of the harmonic gas, in the axes of H, and the entropy from both. A run at two
temperatures, kept in FOLDER: some five minutes. H and Σ are matrices, means over 12 stored weights.
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import xarray as xr
from law import mlp, write
from matplotlib.figure import Figure

import weightgas as wg
from weightgas import probes
from weightgas.figures.canvas import MARKERS, OKABE_ITO
from weightgas.measurement.entropy.directions import chains, group_sizes
from weightgas.networks import Network
from weightgas.theory.anisotropic import AnisotropicGas
from weightgas.training.means import trained, weights_of
from weightgas.training.wells import Point, rate_of

HERE = Path(__file__).parent
PAGE = HERE.parent / "explanation" / "anisotropic.md"
ELR, STEPS, SNAPSHOTS, SPACING, WELLS, BATCHES = (0.01, 0.02), 100_000, 1000, 75, 12, 1500
EDGES, STIFF, SOFT = 10.0 ** np.arange(-3, 2.1, 0.5), 0.3, 0.03
"""Edges of the bins of curvature, from where on a direction is called stiff, and up to where soft."""


def matrices(point: Point, disjoint: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """H and Σ (dim, dim) at one set of weights, on the unit sphere."""
    hessian = point.tangent(point.tangent(point.curved(np.eye(len(point.weights)), disjoint)).T) * point.radius**2
    draws = generator.integers(len(point.inputs), size=(BATCHES, disjoint.shape[1]))
    rows = np.concatenate([point.gradients(point.weights.expand(len(p), -1), p) for p in np.array_split(draws, 12)])
    return (hessian + hessian.T) / 2, np.cov((point.tangent(rows) * point.radius).T)


def variances(trace: xr.Dataset, network: Network, cell: int) -> dict[str, np.ndarray]:
    """Of each axis of the mean H of a cell: curvature h, variance, that of the harmonic gas, and its share in a run."""
    network, images = trained(trace, network, "digits", directions=True)
    disjoint = probes.disjoint_batches(len(images), int(trace.attrs["batch_size"]))
    of_cell = [(j, x) for i, j, x in chains(trace) if i == cell]
    j, x = of_cell[0]
    weights, generator = weights_of(trace, cell, j, x), np.random.default_rng(0)
    points = [
        Point(network, images, weights[k], group_sizes(trace)) for k in np.linspace(0, len(x) - 1, WELLS).astype(int)
    ]
    found = [matrices(point, disjoint, generator) for point in points]
    hessian, noise = (np.mean([each[k] for each in found], axis=0) for k in (0, 1))
    h, axes = np.linalg.eigh(hessian)
    h, axes, rate = h[::-1], axes[:, ::-1], rate_of(trace, cell, j)  # stiffest first
    measured = np.var(x @ axes, axis=0, ddof=1)
    steep = h > EDGES[0]
    gas = AnisotropicGas(h[steep], axes[:, steep].T @ noise @ axes[:, steep], rate)
    with np.errstate(all="ignore"):
        harmonic = rate * np.einsum("ji,jk,ki->i", axes, noise, axes) / (2 * h - rate * h**2)
        span = rate * h * SPACING * (len(x) - 1)
        within = 1 - 2 / span * (1 - (1 - np.exp(-span)) / span)  # of an Ornstein–Uhlenbeck process in a run so long
    found = {"h": h, "measured": measured, "harmonic": harmonic, "within": within}
    found = {name: value[steep] for name, value in found.items()}
    return found | {"fluctuation": fluctuations(trace, cell, j, (x - x.mean(axis=0)) @ axes[:, steep], found["h"], gas)}


def fluctuations(trace: xr.Dataset, cell: int, j: int, y: np.ndarray, h: np.ndarray, gas: AnisotropicGas) -> np.ndarray:
    """Var U over that of the gas: of normal weights of their covariance, of ½⟨w, Hw⟩ of the weights, and measured."""
    normal = np.sum((np.sqrt(h[:, None] * h) * np.cov(y.T)) ** 2) / 2
    energy = trace["energy"].values[cell, j]
    return np.array([normal, np.var(y**2 @ h / 2), np.var(energy[len(energy) // 10 :])]) / gas.energy_variance


def entropy_slope(cells: list[dict[str, np.ndarray]], name: str, temperature: np.ndarray) -> np.ndarray:
    """ΔS/Δ ln T, S = ½ Σ ln C, of the stiffest directions: of the first, the first two, and so on."""
    count = min(len(cell["h"]) for cell in cells)
    grown = np.log(cells[1][name][:count] / cells[0][name][:count])
    return np.cumsum(grown) / 2 / np.log(temperature[1] / temperature[0])


def summary(cells: list[dict[str, np.ndarray]], temperature: np.ndarray) -> str:
    """What the figure shows, in sentences."""

    def ratio(low: float, high: float) -> str:
        within = [(cell["h"] >= low) & (cell["h"] < high) for cell in cells]
        found = [
            np.median((cell["measured"] / cell["harmonic"])[some]) for cell, some in zip(cells, within, strict=True)
        ]
        return f"{found[0]:.2f} and {found[1]:.2f}"

    of = {name: entropy_slope(cells, name, temperature) for name in ("measured", "harmonic")}
    stiff, count = int(min(np.sum(cell["h"] >= STIFF) for cell in cells)), len(of["measured"])
    fluctuation = [
        f"{cold:.2f} and {hot:.2f}" for cold, hot in zip(*(cell["fluctuation"] for cell in cells), strict=True)
    ]
    seen = [f"{of['measured'][n - 1]:.1f} and {of['harmonic'][n - 1]:.1f}" for n in (stiff, count)]
    return (
        f"Where h is at least {STIFF:g} the variance is {ratio(STIFF, np.inf)} times that of the harmonic gas at the "
        f"two temperatures, in the median; where it is below {SOFT:g}, {ratio(0, SOFT)} times. ΔS/Δ ln T, measured "
        f"and of the harmonic gas, is {seen[0]} in the {stiff} stiff directions and {seen[1]} in all {count} with a "
        "curvature. Var U, over that of the harmonic gas, is "
        f"{fluctuation[0]} for normal weights with the measured covariance, {fluctuation[1]} for the quadratic form "
        f"⟨w, Hw⟩/2 of the weights themselves, and {fluctuation[2]} for the loss."
    )


def figure(cells: list[dict[str, np.ndarray]], temperature: np.ndarray) -> Figure:
    """Ratio by curvature at both temperatures, and ½ Σ ln C of the hotter over the colder, added up by stiffness."""
    out = Figure(figsize=(9, 3.4), dpi=150, layout="constrained")
    left, right = out.subplots(1, 2)
    for k, (cell, elr) in enumerate(zip(cells, ELR, strict=True)):
        ratio, centre, window = [], [], []
        for low, high in pairwise(EDGES.tolist()):
            inside = (cell["h"] > low) & (cell["h"] <= high)
            if inside.sum() >= 3:
                ratio.append(np.median(cell["measured"][inside] / cell["harmonic"][inside]))
                window.append(np.median(cell["within"][inside]))
                centre.append(np.median(cell["h"][inside]))
        left.plot(centre, ratio, MARKERS[k], color=OKABE_ITO[k], label=f"$\\eta_e$ = {elr:g}")
        left.plot(centre, window, color=OKABE_ITO[k], lw=1, label="a harmonic well in a run so long" if k else None)
    left.axhline(1, color="0.6", lw=0.8)
    left.set(xscale="log", yscale="log", xlabel="curvature $h$", ylabel="variance / harmonic")
    left.legend(frameon=False)
    for name, style in (("harmonic", "--"), ("measured", "-")):
        slope = entropy_slope(cells, name, temperature)
        right.plot(np.arange(1, len(slope) + 1), slope, style, color="k", label=name)
    right.set(xlabel="directions, stiffest first", ylabel=r"$\Delta S/\Delta\ln T$ of these directions")
    right.legend(frameon=False)
    return out


def main() -> None:
    """Train, measure, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    run = wg.Run(parser.parse_args().folder, threads=1, progress=False)
    network = mlp(6)
    record = wg.Record(samples=1000, snapshots=SNAPSHOTS, snapshot_every=SPACING, noise_samples=100)
    protocol = wg.FixedSphere(elr=list(ELR), radius=1.0)
    trace = wg.train(protocol, network, "digits", STEPS, replicas=2, seed=10, record=record, run=run)
    state = wg.measure(trace)
    cells = [variances(trace, network, cell) for cell in range(len(ELR))]
    temperature = state["temperature"].values
    figure(cells, temperature).savefig(HERE / "soft-directions.png", dpi=150)
    write(PAGE, {"soft": summary(cells, temperature)})


if __name__ == "__main__":
    main()
