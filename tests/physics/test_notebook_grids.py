"""The paper's notebook, 3 × 289 cells at d = 3, σ = 1, against theory from the hyperparameters alone: r, U and S."""

import numpy as np
import pytest
from scipy.stats import kstest

from weightgas.losses import Isotropic
from weightgas.measurement import measure
from weightgas.protocols import FixedELR, FixedLR, FixedSphere, named
from weightgas.settings import Run
from weightgas.simulation import simulate
from weightgas.theory import vmf
from weightgas.theory.stationary import stationary_values

RATES = np.logspace(-3, -1, 17)
RADII = np.logspace(-1, 1, 17)
GRIDS = {"fixed_sphere": (FixedSphere, RADII), "fixed_elr": (FixedELR, RATES), "fixed_lr": (FixedLR, RATES)}
REPLICAS = 16
LARGEST_ERROR = {"radius": 0.003, "energy": 0.003, "entropy_direction": 0.01}


def run(protocol, relaxations, first=RATES, second=None, noise=None):
    """(hyperparameters (cells, 2), means and errors by name): as many relaxation times 1/η_e in every cell.

    Cells of about one η_e, which is √(ηλ) at fixed LR, run together and as long.
    """
    kind, full = GRIDS[protocol]
    second = full if second is None else second
    parts = np.array_split(second, min(4, len(second))) if protocol == "fixed_lr" else [second]
    held, values = [], {name: [] for name in LARGEST_ERROR}
    for rate in first:
        for part in parts:
            slowest = np.sqrt(rate * part.min()) if protocol == "fixed_lr" else rate
            steps = max(100_000, int(relaxations / slowest / REPLICAS))
            cells = kind([float(rate)], part.tolist())
            trace = simulate(cells, 3, steps, noise=noise, replicas=REPLICAS, seed=5, run=Run(progress=False))
            state = measure(trace)
            held.append(np.transpose(list(cells.cells().values())))
            for name, rows in values.items():
                rows.append(np.transpose([state[name].values, state[f"{name}_err"].values]))
    return np.concatenate(held), {name: np.concatenate(rows) for name, rows in values.items()}


def scores(protocol, held, values):
    """(measured − theory)/standard error by name, and the largest error, relative for r and U."""
    expected = stationary_values(named(protocol), 3, dict(zip(named(protocol).axes, held.T, strict=True)))
    z, errors = {}, {}
    for name, (value, error) in ((n, x.T) for n, x in values.items()):
        if protocol == "fixed_sphere" and name == "radius":
            np.testing.assert_allclose(value, held[:, 1], rtol=1e-12)
            continue
        z[name] = (value - expected[name]) / error
        errors[name] = np.max(error / (1 if name == "entropy_direction" else expected[name]))
    return z, errors, expected


@pytest.mark.thorough
@pytest.mark.parametrize("protocol", GRIDS)
def test_the_corners_of_the_grids(protocol):
    """Large steps, quickly; with 5 % more noise they are elsewhere."""
    corners = {"first": RATES[[-5, -1]], "second": GRIDS[protocol][1][[-5, -1]]}
    z, _, _ = scores(protocol, *run(protocol, 40_000, **corners))
    assert max(np.abs(x).max() for x in z.values()) < 4
    fault, _, _ = scores(protocol, *run(protocol, 40_000, **corners, noise=Isotropic(np.sqrt(1.05))))
    assert np.abs(fault["energy"]).max() > 5


@pytest.mark.slow
@pytest.mark.parametrize("protocol", GRIDS)
def test_every_cell_of_the_grids(protocol):
    """|z| < 4 at errors of 0.3 % (S: 0.01 nats), and z is distributed as it should be."""
    held, values = run(protocol, 160_000)
    z, errors, expected = scores(protocol, held, values)
    t, elr = expected["temperature"], expected["elr"]
    first = vmf.energy(3, t) + vmf.finite_step_energy(3, t, elr, named(protocol))
    off = (values["energy"][:, 0] - first) / values["energy"][:, 1]
    print(f"\n{protocol}: {len(held)} cells; first order alone: worst |z| of U {np.abs(off).max():.1f}")
    for name, x in z.items():
        chance = kstest(x, "norm").pvalue
        print(
            f"{name}: largest error {errors[name]:.2e}, worst |z| {np.abs(x).max():.2f}, mean {x.mean():+.3f}, "
            f"deviation {x.std():.3f}, KS p {chance:.3f}"
        )
    for name, x in z.items():
        assert errors[name] <= LARGEST_ERROR[name], name
        assert len(x) == 289 and np.abs(x).max() < 4, name
        assert abs(x.mean()) < 4 / np.sqrt(289) and abs(x.std() - 1) < 4 / np.sqrt(2 * 289), name
