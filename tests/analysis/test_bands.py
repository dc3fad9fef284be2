"""The bands of the covariance against temperature: exact chains whose covariance grows as a known power of T."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import xarray as xr

from synthetic import ar1
from weightgas.analysis.bands import EDGES, LEAST_INDEPENDENT, bands
from weightgas.measurement import measure
from weightgas.protocols import FixedSphere
from weightgas.settings import Record, Run
from weightgas.simulation import simulate

DIM, SAMPLES, REPLICAS = 20, 600, 4
RATES = np.array([0.01, 0.02, 0.04])


@cache
def simulated() -> tuple[xr.Dataset, xr.Dataset]:
    """A trace with room for the directions, and its state."""
    record = Record(samples=100, snapshots=SAMPLES, snapshot_every=1)
    trace = simulate(FixedSphere(elr=RATES), DIM, 6000, replicas=REPLICAS, record=record, run=Run(threads=1))
    state = measure(trace.drop_vars("directions"))
    state["status"][:] = 0
    return trace, state


def made(powers: np.ndarray, time: float = 1.0, seed: int = 0, turn: bool = False) -> tuple[xr.Dataset, xr.Dataset]:
    """A trace whose directions, about the first axis, have variances v_k T^power_k; ``turn``: other axes at each T."""
    trace, state = simulated()
    generator = np.random.default_rng(seed)
    shape = 1e-4 * np.logspace(0, -2, DIM - 1)
    x = np.zeros((len(RATES), REPLICAS, SAMPLES, DIM))
    for i, t in enumerate(state["temperature"].values):
        scale = np.sqrt(shape * (t / 0.01) ** powers)[:, None, None]
        noise = np.moveaxis(scale * ar1(generator, (DIM - 1, REPLICAS, SAMPLES), time), 0, -1)
        x[i, ..., 1:] = noise @ np.linalg.qr(generator.standard_normal((DIM - 1,) * 2))[0] if turn else noise
    x[..., 0] = 1.0
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    return trace.assign(directions=(trace["directions"].dims, x.astype(np.float32))), state


@pytest.mark.thorough
def test_one_family_has_the_exponent_one_in_every_band():
    """Within errors over seeds, and errors that are those of the scatter."""
    found = [bands(*made(np.ones(DIM - 1), seed=seed)) for seed in range(4)]
    assert found[0].names == ("directions 1 to 4", "directions 5 to 16", "directions from 17")
    z = np.array([(f.exponent - 1) / f.exponent_err for f in found])
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert 0.5 < z.std() < 1.5
    assert all((f.exponent_err < 0.05).all() for f in found)


@pytest.mark.thorough
def test_bands_that_grow_with_another_power_are_seen_and_which():
    powers = np.where(np.arange(DIM - 1) < 4, 1.5, 1.0)
    found = bands(*made(powers))
    assert abs(found.exponent[0] - 1.5) < 5 * found.exponent_err[0] and found.exponent[0] > 1.3
    assert np.all(np.abs(found.exponent[1:] - 1) < 5 * found.exponent_err[1:])


@pytest.mark.thorough
def test_the_same_spectrum_on_other_axes_is_no_bias_of_the_bands():
    """Runs in different minima that are alike: no temperature owns the principal directions of all."""
    found = bands(*made(np.ones(DIM - 1), turn=True))
    assert np.all(np.abs(found.exponent - 1) < 5 * found.exponent_err + 0.05)


@pytest.mark.thorough
def test_a_band_that_is_too_slow_is_not_judged():
    found = bands(*made(np.ones(DIM - 1), time=60.0))
    assert np.isnan(found.exponent).all() and "independent directions" in found.advice


def test_what_is_missing_is_named():
    trace, state = made(np.ones(DIM - 1))
    assert "no directions stored" in bands(trace.drop_vars("directions"), state).advice
    assert "two temperatures" in bands(trace.isel(cell=[0]), state.isel(cell=[0])).advice
    short = trace.isel(snapshot=slice(0, LEAST_INDEPENDENT))
    assert "no directions stored at two temperatures" in bands(short, state).advice
    assert EDGES[0] == 0


@pytest.mark.thorough
def test_errors_cover_over_many_seeds():
    found = [bands(*made(np.ones(DIM - 1), time=3.0, seed=seed)) for seed in range(60)]
    z = np.array([(f.exponent - 1) / f.exponent_err for f in found])
    assert 0.9 < np.mean(np.abs(z) < 1.96) <= 1.0
