"""The gases of a network: sums over groups and layers are identities, pressures are equal, temperatures are known."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import gases
from weightgas import trace as traces
from weightgas.analysis.cells import in_equilibrium
from weightgas.analysis.layers import layer_gases, over_cells
from weightgas.errors import TraceError
from weightgas.measurement import Criteria, measure
from weightgas.protocols import FixedELR, FixedLR, FixedSphere

SIZES, SIGMAS = (40, 20, 20, 60), (0.2, 0.4, 0.6, 0.3)
NAMES = ("first.0", "second.0", "second.1", "third")
PROTOCOLS = {
    "fixed_lr": FixedLR(lr=0.5, wd=0.02),
    "fixed_elr": FixedELR(elr=0.01, wd=0.02),
    "fixed_sphere": FixedSphere(elr=0.01, radius=2.0),
}
EASY = Criteria(ess=4, relaxations=0.1, radius_trend=1, energy_trend=10, share_trend=10, rhat=10, turns=1e-3)


def free_gas(kind: str, *, fault: float = 1.0, samples: int = 400, every: int = 20) -> xr.Dataset:
    """Groups whose gradient is isotropic noise of strength σ_i/r_i alone, stepped in plain NumPy from r_i² ∝ √G_i.

    ``fault`` multiplies the step of the first group: its learning rate is not that of the others.
    """
    generator, protocol = np.random.default_rng(3), PROTOCOLS[kind]
    held = {axis: v[0] for axis, v in protocol.cells().items()}
    moment = np.array(SIGMAS) ** 2 * (np.array(SIZES) - 1)  # G_i
    share = np.sqrt(moment) / np.sqrt(moment).sum()
    total = {
        "fixed_lr": np.sqrt(held.get("lr", 0) / (2 * held.get("wd", 1))) * np.sqrt(moment).sum(),
        "fixed_elr": held.get("elr", 0) / (2 * held.get("wd", 1)) * np.sqrt(moment).sum() ** 2,
        "fixed_sphere": held.get("radius", 0) ** 2,
    }[kind]
    weights = [generator.standard_normal(d) for d in SIZES]
    weights = [w * np.sqrt(total * s) / np.linalg.norm(w) for w, s in zip(weights, share, strict=True)]
    rows: dict[str, list] = {name: [] for name in ("group_radius", "group_grad_sq", "radius", "grad_sq", "growth")}
    for step in range(1, samples * every + 1):
        if step % every == 1:
            sums = {"group_grad_sq": np.zeros(4), "grad_sq": 0.0, "growth": 0.0}
        r2 = np.array([w @ w for w in weights])
        size = held["lr"] if kind == "fixed_lr" else held["elr"] * r2.sum()
        gradients = []
        for w, sigma, square in zip(weights, SIGMAS, r2, strict=True):
            noise = sigma * generator.standard_normal(len(w)) / np.sqrt(square)
            gradients.append(noise - (noise @ w) / square * w)
        g2 = np.array([g @ g for g in gradients])
        sums["group_grad_sq"] += r2 * g2 / every
        sums["grad_sq"] += r2.sum() * g2.sum() / every
        decay = 1 - size * held.get("wd", 0.0)
        scale = np.array([fault, 1.0, 1.0, 1.0])
        weights = [decay * w - size * f * g for w, g, f in zip(weights, gradients, scale, strict=True)]
        square = sum(float(w @ w) for w in weights)
        sums["growth"] += (square / r2.sum() - 1) / every
        if kind == "fixed_sphere":
            weights = [w * held["radius"] / np.sqrt(square) for w in weights]
        if step % every == 0:
            now = np.array([np.linalg.norm(w) for w in weights])
            for name, value in (sums | {"group_radius": now, "radius": np.linalg.norm(now)}).items():
                rows[name].append(value)
    arrays = {name: np.array(values)[None, None] for name, values in rows.items()}
    growth = arrays.pop("growth")
    noise = np.broadcast_to(moment, arrays["group_radius"].shape)
    arrays |= {"group_noise_trace": noise, "group_mean_grad_sq": 0 * noise}
    arrays["noise_trace"] = arrays["radius"] ** 2 * (noise / arrays["group_radius"] ** 2).sum(-1)
    arrays["mean_grad_sq"] = 0 * arrays["noise_trace"]
    if kind == "fixed_sphere":
        arrays["radius_unprojected"] = arrays["radius"] * np.sqrt(1 + growth)
    arrays |= {
        "energy": generator.standard_normal((1, 1, samples)),
        "step": np.arange(1, samples + 1)[None] * every,
        "samples": np.full((1, 1), samples),
        "outcome": np.zeros((1, 1)),
    }
    about = {"producer": "test", "dim": sum(SIZES), "dof": sum(SIZES) - 4, "seed": 0, "steps": samples * every}
    about |= {"group_sizes": list(SIZES), "group_names": list(NAMES), "sample_every": every}
    return traces.make(protocol, arrays, about)


def measured(kind: str, by: str = "group", **options) -> tuple[xr.Dataset, xr.Dataset]:
    trace = free_gas(kind, **options)
    state = measure(trace, criteria=EASY)
    return layer_gases(trace, state, by=by), state


@pytest.mark.thorough
@pytest.mark.parametrize("kind", PROTOCOLS)
def test_a_free_gas_of_groups_has_the_temperatures_pressures_and_volumes_it_must_have(kind):
    """Against what the noise alone states: r_i² ∝ √G_i, p_i all one, T_i = η σ_i²/(2 r_i²)."""
    found, state = measured(kind)
    moment = np.array(SIGMAS) ** 2 * (np.array(SIZES) - 1)
    volumes = found["volume"].values[0]
    assert np.allclose(volumes / volumes.sum(), np.sqrt(moment) / np.sqrt(moment).sum(), rtol=0.1)
    pressure = PROTOCOLS[kind].cells().get("wd", state["pressure"].values)[0]
    for name, expected in (("pressure_ratio", 1.0), ("pressure", pressure)):
        z = (found[name].values[0] - expected) / found[f"{name}_err"].values[0]
        assert np.abs(z).max() < 4, (name, z)
        assert (found[f"{name}_err"] / expected).max() < 0.05  # so that a fault of a fifth would show
    held = {axis: v[0] for axis, v in PROTOCOLS[kind].cells().items()}
    step = held["lr"] if kind == "fixed_lr" else held["elr"] * 2 * volumes.sum()
    assert np.allclose(found["temperature"].values[0], step * np.array(SIGMAS) ** 2 / (4 * volumes), rtol=0.03)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", PROTOCOLS)
@pytest.mark.parametrize("by", ["group", "layer"])
def test_parts_add_up_to_the_whole(kind, by):
    found, state = measured(kind, by)
    assert list(found["part"].values) == (list(NAMES) if by == "group" else ["first", "second", "third"])
    for name in ("volume_sum", "heat_sum", "work_sum"):
        assert found[name].values == pytest.approx(1, rel=1e-12 if name != "work_sum" else 0.003), name
    r = found["dof"].values / 2
    assert (r * found["temperature"].values[0]).sum() == pytest.approx(
        float(state["temperature"][0]) * state.attrs["dof"] / 2, rel=0.02
    )  # there the averages of step and noise are taken apart
    assert found["volume"].values.sum() == pytest.approx(float(state["volume"][0]), rel=1e-12)
    assert found["heat_share"].values.sum() == pytest.approx(1)


@pytest.mark.thorough
def test_layers_are_the_sums_of_their_groups():
    groups, _ = measured("fixed_lr")
    layers, _ = measured("fixed_lr", "layer")
    r = groups["dof"].values / 2
    heat = (r * groups["temperature"].values[0])[1:3].sum()
    assert layers["temperature"].values[0, 1] == pytest.approx(heat / r[1:3].sum())
    assert layers["volume"].values[0, 1] == pytest.approx(groups["volume"].values[0, 1:3].sum())
    work = (groups["pressure"] * groups["volume"]).values[0, 1:3].sum()
    assert layers["pressure"].values[0, 1] == pytest.approx(work / layers["volume"].values[0, 1])


@pytest.mark.thorough
@pytest.mark.parametrize("kind", PROTOCOLS)
def test_a_group_with_a_learning_rate_of_its_own_has_another_pressure(kind):
    """The planted fault: its gradients push with the step of the others, its norm settles at its own."""
    found, _ = measured(kind, fault=1.3)
    z = (found["pressure_ratio"].values[0] - 1) / found["pressure_ratio_err"].values[0]
    assert z[0] < -4


@pytest.mark.thorough
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind == "fixed_lr" else pytest.mark.thorough) for kind in PROTOCOLS]
)
def test_networks_add_up_at_every_sample(kind):
    trace, state = gases.network(kind)
    square = trace["group_radius"] ** 2
    for name in ("noise_trace", "mean_grad_sq"):  # G is a mean over steps between which the norms move
        parts, whole = (trace[f"group_{name}"] / square).sum("group"), trace[name] / trace["radius"] ** 2
        np.testing.assert_allclose(parts, whole, rtol=1e-4)
    found = layer_gases(trace, state)
    assert list(found["part"].values) == ["layer1"] and found["groups"].values == [3]
    np.testing.assert_allclose(found["heat_sum"], 1, rtol=1e-4)
    np.testing.assert_allclose(found["volume_sum"], 1, rtol=1e-5)


def test_the_mean_over_cells_is_of_those_in_equilibrium_and_has_the_error_of_their_scatter():
    trace, state = gases.network("fixed_lr")
    found, good = layer_gases(trace, state, by="group"), in_equilibrium(state)
    mean = over_cells(found, state)
    values = found["temperature_ratio"].values[good]
    assert good.sum() > 1 and mean["temperature_ratio"].values == pytest.approx(values.mean(axis=0))
    error = values.std(axis=0, ddof=1) / np.sqrt(good.sum())
    assert mean["temperature_ratio_err"].values == pytest.approx(error)
    alone = over_cells(found.isel(cell=np.flatnonzero(good)[:1]), state.isel(cell=np.flatnonzero(good)[:1]))
    first = np.flatnonzero(good)[0]
    assert alone["pressure_ratio_err"].values == pytest.approx(found["pressure_ratio_err"].values[first])


def test_what_is_refused():
    trace, state = gases.network("fixed_lr")
    with pytest.raises(ValueError, match="by: expected one of group, layer, got 'filter'"):
        layer_gases(trace, state, by="filter")
    with pytest.raises(TraceError, match=r"expected group_radius, .*, got none"):
        layer_gases(gases.trace("fixed_lr"), gases.state("fixed_lr"))
    bare = trace.copy()
    bare.attrs = {name: value for name, value in trace.attrs.items() if name != "group_sizes"}
    with pytest.raises(TraceError, match="expected the attribute group_sizes, got none"):
        layer_gases(bare, state)
