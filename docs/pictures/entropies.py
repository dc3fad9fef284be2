"""Who is right when: every estimator of the entropy on the solvable systems.

The study behind docs/explanation/entropies.md.

    .venv/bin/python docs/pictures/entropies.py

Draws samples of every system, simulates one gas, estimates, and writes the tables of the page between their marks.
About two minutes on one core.
"""

from pathlib import Path

import numpy as np
import xarray as xr

import weightgas as wg
from weightgas.measurement import Criteria, stationarity
from weightgas.measurement.blocks import Blocks
from weightgas.measurement.entropy import Entropy, anchor_of, density, integration, knn, published, quasi_harmonic
from weightgas.protocols import FixedSphere
from weightgas.systems import (
    Bingham,
    SphereAutoregression,
    System,
    ThermalSystem,
    UniformSphere,
    VonMisesFisher,
    WellAutoregression,
)

PAGE = Path(__file__).resolve().parent.parent / "explanation" / "entropies.md"
SAMPLES = 1000
DIMENSIONS = (3, 10, 100, 1000, 20_000)
DECADES, TEMPERATURES = 1.5, 8

Rows = list[list[str]]


def systems(dim: int) -> list[tuple[str, System]]:
    """The rows of one dimension: what a system is, and the system."""
    unequal = np.geomspace(0.1, 10, dim - 1) * 0.01 / dim
    found: list[tuple[str, System]] = [
        ("uniform", UniformSphere(dim)),
        ("von Mises–Fisher, T = 0.01/d", VonMisesFisher(dim, 0.01 / dim)),
        ("von Mises–Fisher, T = 1/d", VonMisesFisher(dim, 1 / dim)),
        ("well, variances over two decades", WellAutoregression(dim, unequal)),
        ("well, correlation 0.9", WellAutoregression(dim, 0.01 / dim, 0.9)),
        ("uniform, correlation 0.9", SphereAutoregression(dim, 0.9)),
    ]
    if dim <= 1000:
        found.insert(3, ("Bingham, two wells, T = 0.01/d", Bingham(np.linspace(0, 1, dim), 0.01 / dim)))
    return found


def stored(x: np.ndarray) -> xr.Dataset:
    """What the estimators need of a trace with these directions."""
    directions = x[None, None].astype(np.float32)
    return xr.Dataset({"directions": (("cell", "replica", "snapshot", "weight"), directions)})


def integrated(system: ThermalSystem, generator: np.random.Generator) -> tuple[float, float, int]:
    """Entropy, error and flag from energies at eight temperatures over 1.5 decades up to that of the system.

    Anchored as a harmonic well at the coldest; flagged where that omits more than 1 % of the change.
    """
    temperature = system.temperature * np.geomspace(10**-DECADES, 1, TEMPERATURES)
    if isinstance(system, Bingham):
        a = np.asarray(system.eigenvalues, float)
        each = [Bingham(a, t) for t in temperature]
        energy = np.array([one.energy(one.sample(SAMPLES, generator)) for one in each])
        attributes = {"log_det_hessian": np.log(a[1:] - a[0]).sum(), "minima": 2}
    else:
        energy = np.array([wg.theory.vmf.sample_energy(system.dim, t, SAMPLES, generator) for t in temperature])
        attributes = {"log_det_hessian": 0.0}
    dims = ("cell", "replica", "sample")
    noise = np.broadcast_to(2 * temperature[:, None, None] * (system.dim - 1), (TEMPERATURES, 1, SAMPLES))
    trace = xr.Dataset({"energy": (dims, energy[:, None]), "noise_trace": (dims, noise)})
    same = np.ones(TEMPERATURES)
    blocks = Blocks(trace, 0 * same.astype(int), np.full(TEMPERATURES, SAMPLES), same)
    anchor = anchor_of("gaussian", {"dof": system.dim - 1, **attributes})
    cells = {"elr": same[:, None]}
    found = integration.estimate(blocks, cells, system.dim - 1, same.astype(bool), anchor)
    poor = found.anchor_neglected > 0.01 * (found.entropy[-1] - found.entropy[0])
    return float(found.entropy[-1]), float(found.error[-1]), int(poor)


def counted(system: VonMisesFisher, generator: np.random.Generator) -> tuple[float, float, int]:
    """Entropy and error from counts of the overlap in eight blocks."""
    energy = wg.theory.vmf.sample_energy(system.dim, system.temperature, (8, SAMPLES // 8), generator)
    logit = np.log(energy) - np.log(2 - energy)
    width = logit.std() * 20 / 256
    origin = logit.mean() - 128 * width
    place = np.clip((logit - origin) // width, 0, 255).astype(int)
    counts = np.array([np.bincount(block, minlength=256) for block in place])
    trace = xr.Dataset(
        {
            "overlap_counts": (("cell", "replica", "block", "bin"), counts[None, None]),
            "overlap_origin": ("cell", [origin]),
            "overlap_width": ("cell", [width]),
            "samples": (("cell", "replica"), [[SAMPLES]]),
            "sample": np.arange(SAMPLES),
        },
        attrs={"dim": system.dim},
    )
    (value,), (error,) = density.estimate(trace, np.zeros(1, int))
    return float(value), float(error), 0


def only(found: Entropy) -> tuple[float, float, int]:
    """Value, error and flag of the first cell."""
    return float(found.value[0]), float(found.error[0]), int(found.flag[0])


def shown(truth: float, value: float, error: float, flag: int) -> str:
    """Error in nats, its standard error, the flag; bold where right and not flagged, ! where off by 4 and not."""
    off = value - truth
    digits = 2 if abs(off) < 10 else 1 if abs(off) < 100 else 0
    text = f"{off:+.{digits}f}" + (f" ± {error:.{digits}f}" if np.isfinite(error) else "")
    if flag:
        return f"{text} ({flag})"
    if not np.isfinite(error):
        return text
    return f"**{text}**" if abs(off) < 4 * error else f"{text} !"


def rows(generator: np.random.Generator) -> Rows:
    """One row for each system: d, what, S, and the error of every method."""
    found = []
    for dim in DIMENSIONS:
        for what, system in systems(dim):
            trace = stored(system.sample(SAMPLES, generator))
            cells = [
                shown(system.entropy, *only(published.estimate(trace))),
                shown(system.entropy, *only(knn.estimate(trace))),
                shown(system.entropy, *only(quasi_harmonic.estimate(trace))),
                shown(system.entropy, *integrated(system, generator)) if isinstance(system, ThermalSystem) else "",
                shown(system.entropy, *counted(system, generator)) if isinstance(system, VonMisesFisher) else "",
            ]
            found.append([f"{dim}", what, f"{system.entropy:.1f}", *cells])
            print(*found[-1], sep=" | ", flush=True)
    return found


def enough(generator: np.random.Generator) -> Rows:
    """Quasi-harmonic with twenty samples per dimension, independent and correlated."""
    found = []
    for dim in (3, 10, 100, 500):
        unequal = np.geomspace(0.1, 10, dim - 1) * 0.01 / dim
        for rho in (0.0, 0.9):
            system = WellAutoregression(dim, unequal, rho)
            for each in (2, 20, 200):
                if each * dim > 20_000:
                    continue
                value, error, flag = quasi_harmonic.covariance_entropy(system.sample(each * dim, generator))
                found.append([f"{dim}", f"{rho:g}", f"{each * dim}", shown(system.entropy, value, error, flag)])
    return found


def simulated() -> Rows:
    """A gas of 1000 weights on the sphere at eight temperatures, measured by everything."""
    dim, steps, count = 1000, 400_000, 500
    temperature = 1e-4 * np.geomspace(1, 10**DECADES, TEMPERATURES)
    protocol = wg.FixedSphere(elr=(2 * temperature).tolist(), radius=1.0)
    trace = wg.simulate(
        protocol,
        dim,
        steps,
        record=wg.Record(snapshots=count, snapshot_every=steps // count),
        run=wg.Run(threads=1, progress=False),
    )
    level_one = stationarity.assess(trace, Criteria())
    correlation = level_one["correlation"].values
    samples = trace["samples"].values.min(axis=1)
    blocks = Blocks(trace, level_one["burn_in"].values, samples, correlation)
    shift = wg.theory.vmf.finite_step_entropy(dim, temperature, 2 * temperature, FixedSphere)
    truth = np.asarray(wg.theory.vmf.entropy(dim, temperature) + shift)
    everywhere = np.ones(TEMPERATURES, bool)
    cells = {"elr": trace["elr_set"].values[:, None]}
    by_energy = integration.estimate(blocks, cells, dim - 1, everywhere, float(truth[0]))
    times = correlation * trace.attrs["sample_every"]
    estimates = {
        "published": published.estimate(trace),
        "knn": knn.estimate(trace, times),
        "quasi_harmonic": quasi_harmonic.estimate(trace, times),
    }
    by_counts = density.estimate(trace, level_one["burn_in"].values, correlation)
    found = []
    columns = {
        **{name: (found_by.value, found_by.error, found_by.flag) for name, found_by in estimates.items()},
        "integration": (by_energy.entropy, by_energy.error, np.zeros(TEMPERATURES)),
        "density": (*by_counts, np.zeros(TEMPERATURES)),
    }
    for i in range(TEMPERATURES):
        one = [
            shown(float(truth[i]), float(value[i]), float(error[i]), int(flag[i]))
            for value, error, flag in columns.values()
        ]
        if i == 0:
            one[list(columns).index("integration")] = "anchor"
        found.append([f"{temperature[i]:.2g}", f"{truth[i]:.1f}", *one])
    return found


def write(tables: dict[str, tuple[str, Rows]]) -> None:
    """Put tables, each with its heads joined by |, into the page between ``<!-- NAME -->`` and ``<!-- end -->``."""
    text = PAGE.read_text(encoding="utf-8")
    for name, (heads, lines) in tables.items():
        table = [f"| {heads} |", "|" + "---|" * (heads.count("|") + 1), *(f"| {' | '.join(line)} |" for line in lines)]
        before, rest = text.split(f"<!-- {name} -->\n")
        text = f"{before}<!-- {name} -->\n\n" + "\n".join(table) + "\n\n" + rest[rest.index("<!-- end -->") :]
    PAGE.write_text(text, encoding="utf-8")


def main() -> None:
    """Estimate, simulate, write."""
    generator = np.random.default_rng(0)
    methods = "published | knn | quasi_harmonic | integration | density"
    write(
        {
            "systems": (f"d | system | S | {methods}", rows(generator)),
            "enough": ("d | correlation | samples | quasi_harmonic", enough(generator)),
            "simulated": (f"T | S | {methods}", simulated()),
        }
    )


if __name__ == "__main__":
    main()
