"""What level 1 accepts: series of known correlation with four replicas and more, by the entire of ``assess``.

The cut of the slow part follows from the F distribution and one calibrated factor; this prints what they amount to.
First the false alarms at the default ``significance``, of exponential series alone; then the share of series called
equilibrium, with that of level 1 without the slow part. The seeds are others than those with which the form of the
test was chosen. Series with a slow part are of 400 samples: a fifth of the variance with a time of 200 under white
noise, and two basins a shift apart (in standard deviations of the white or correlated noise in them) between which a
replica changes at random with correlation times of 100 and 400.

    python benchmarks/level_one.py [--quick]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import synthetic
from weightgas.measurement import Criteria
from weightgas.measurement.stationarity import assess
from weightgas.measurement.stationarity.slow_part import slow_part
from weightgas.status import Status

Shape = tuple[int, int, int]
WITHOUT = Criteria(slow_part=1e9)


def basins(generator: np.random.Generator, shape: Shape, time: float) -> np.ndarray:
    """±1 with correlation exp(−lag/time)."""
    flips = generator.random(shape) < (1 - np.exp(-1 / time)) / 2
    first = np.where(generator.random((*shape[:2], 1)) < 0.5, 1.0, -1.0)
    return first * np.where(np.cumsum(flips, axis=-1) % 2, -1.0, 1.0)


def kinds(shift: float = 2.0, noise: float = 0.0) -> dict[str, Callable[[np.random.Generator, Shape], np.ndarray]]:
    """The series by name; those without a slow part begin with ``time``."""

    def exponential(time: float) -> Callable[[np.random.Generator, Shape], np.ndarray]:
        return lambda g, shape: synthetic.ar1(g, shape, time)

    def switching(time: float) -> Callable[[np.random.Generator, Shape], np.ndarray]:
        return lambda g, shape: shift / 2 * basins(g, shape, time) + synthetic.ar1(g, shape, noise)

    def fifth(g: np.random.Generator, shape: Shape) -> np.ndarray:
        return np.sqrt(0.8) * g.standard_normal(shape) + np.sqrt(0.2) * synthetic.ar1(g, shape, 200)

    fast = {f"time {t:g}": exponential(t) for t in (0, 2, 5, 10)}
    return fast | {"slow fifth, 200": fifth, "basins, 100": switching(100), "basins, 400": switching(400)}


def accepted(series: np.ndarray, criteria: Criteria | None = None) -> float:
    """Share of the series (series, replicas, samples) called equilibrium; by statistics alone."""
    count, replicas, samples = series.shape
    values = 0.01 * (1 + 0.3 * series)
    trace = synthetic.make(cells=count, replicas=replicas, samples=samples, sample_every=10**7, energy=values)
    return float(np.mean(assess(trace, criteria or Criteria())["status"].values == Status.EQUILIBRIUM))


def main() -> None:
    """Print false alarms and power."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    count = 100 if parser.parse_args().quick else 1000
    generator = np.random.default_rng(20_000)
    print("false alarms of the slow part alone, exponential series of 400 samples")
    for replicas in (4, 8, 16):
        for time in (0, 5, 20):
            found = [slow_part(x) for x in synthetic.ar1(generator, (20 * count, replicas, 400), time)]
            z, most = np.array([(one[2], max(one[:2])) for one in found]).T
            both = f"above 3: {np.mean(z > 3):.4f}, and twice the unit: {np.mean((z > 3) & (most > 2)):.4f}"
            print(f"  {replicas:2d} replicas, time {time:2d}: {both}")
    result = {}
    print("called equilibrium, four replicas x 400 samples (without the slow part)")
    for what, options in (("", {}), (", shift 1", {"shift": 1.0}), (", noise of time 5", {"noise": 5.0})):
        for name, make in kinds(**options).items():
            if what and "basins" not in name:
                continue
            series = make(generator, (count, 4, 400))
            result[name + what] = accepted(series)
            print(f"  {name + what:28s} {result[name + what]:.3f}  ({accepted(series, WITHOUT):.3f})", flush=True)
    worst = max(result[name] for name in ("slow fifth, 200", "basins, 100", "basins, 400"))
    print(json.dumps({"benchmark": "level_one", "ratio": result["time 5"] / max(worst, 1 / count), **result}))


if __name__ == "__main__":
    main()
