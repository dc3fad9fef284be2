"""A custom protocol, entire in this file: a thermostat that steers η_e so that T stays at a target."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
from numpy.typing import ArrayLike

from calls import flat
from own_functions import GROWING, TILT
from weightgas import (
    FixedLR,
    FixedSphere,
    datasets,
    extend,
    measure,
    networks,
    open_trace,
    protocols,
    save_trace,
    simulate,
    streams,
    train,
    verdict,
)
from weightgas.analysis.maxwell import slopes
from weightgas.errors import TraceError
from weightgas.losses import Isotropic, LossDependent, Quadratic
from weightgas.protocols import PlainStep, ProjectedStep, ScaledStep


@dataclass(frozen=True)
class Thermostat(ProjectedStep):
    """w ← r · normalize(w − η_e r² g), with η_e = 2T/σ² of the noise at the last sample: NVT, whatever the noise does.

    ``gain`` is the share of the distance, in the logarithm, that a sample makes up for.
    """

    temperature: ArrayLike
    radius: ArrayLike = 1.0
    gain: float = 0.5
    paired: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "thermostat"
    title: ClassVar[str] = "thermostat"
    axes: ClassVar[tuple[str, str]] = ("temperature", "radius")
    holds: ClassVar[str] = "T and r (so V): NVT, minimises F"
    steers: ClassVar[str] = "elr"
    isotherm_name: ClassVar[str] = "temperature"
    isotherm_text: ClassVar[str] = "temperature"

    def steered(self, at, noise_var, rate=None):
        """η_e = 2T/σ², approached from the rate before."""
        wanted = 2 * at["temperature"] / noise_var
        return wanted if rate is None else rate * (wanted / rate) ** self.gain


@dataclass(frozen=True)
class FixedProduct(PlainStep):
    """The step of fixed LR over η and ηλ."""

    lr: ArrayLike
    product: ArrayLike
    paired: bool = field(default=False, kw_only=True)

    name: ClassVar[str] = "lr_and_product"
    title: ClassVar[str] = "fixed product"
    axes: ClassVar[tuple[str, str]] = ("lr", "product")
    isotherm_name: ClassVar[str] = "product"
    isotherm_text: ClassVar[str] = "product"

    @staticmethod
    def decay(at):
        """λ = ηλ/η."""
        return at["product"] / at["lr"]


QUIET = {"progress": False, "threads": 1}
SHORT = flat(samples=80, replicas=4, seed=3, **QUIET)
GASES = {
    "reduced": ({}, {}),
    "diagonal": ({"evaluate": None}, {"method": "full"}),
    "general": ({"optimizer": None}, {"momentum": 0.5}),
}


def constant(gas, protocol, monkeypatch):
    """A run with constant noise whose random numbers are not those of its protocol, so that two can be compared."""
    draw = streams.sequence
    with monkeypatch.context() as patch:
        patch.setattr(streams, "sequence", lambda seed, _, __, *rest: draw(seed, "same", {}, *rest))
        return simulate(protocol, 5, 8000, noise=Isotropic(0.7), **flat(samples=80, seed=3, **GASES[gas][1], **QUIET))


@pytest.mark.parametrize("gas", GASES)
def test_with_constant_noise_it_is_the_fixed_sphere_step_by_step(gas, monkeypatch):
    ours = constant(gas, Thermostat(temperature=0.01, radius=2.0), monkeypatch)
    share = 1 - GASES[gas][1].get("momentum", 0.0)  # the rate of a sphere is set before what momentum makes of it
    theirs = constant(gas, FixedSphere(elr=share * 2 * 0.01 / 0.49, radius=2.0), monkeypatch)
    np.testing.assert_allclose(ours["elr"], 2 * 0.01 / 0.49, rtol=1e-9)
    np.testing.assert_allclose(ours["energy"][:, :, :20], theirs["energy"][:, :, :20], rtol=1e-5)
    np.testing.assert_allclose(ours["radius"], 2.0, rtol=1e-12)
    other = constant(gas, FixedSphere(elr=share * 2.02 * 0.01 / 0.49, radius=2.0), monkeypatch)
    assert not np.allclose(ours["energy"][:, :, :20], other["energy"][:, :, :20], rtol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("gas", ["reduced", "own functions"])
def test_it_keeps_the_temperature_whatever_the_noise_does(gas):
    """Samples two steps apart follow noise that changes with the weights; a rate that is fixed does not."""
    target = np.array([0.01, 0.05])
    model = {"noise": LossDependent(2.0, 0.2)} if gas == "reduced" else {"loss": TILT, "noise": GROWING}
    often = flat(samples=3000, replicas=4, seed=3, **QUIET)
    state = measure(simulate(Thermostat(target, gain=1.0), 5, 6000, **model, **often))
    assert (np.abs(state["temperature"] - target) < 4 * state["temperature_err"] + 0.02 * target).all()
    if gas == "reduced":
        noise_var = float(2 * state["temperature"][0] / state["elr"][0])  # that of the colder cell, for both
        free = measure(simulate(FixedSphere(2 * target / noise_var), 5, 6000, **model, **often))
        assert abs(float(free["temperature"][1]) / target[1] - 1) > 0.1


def test_its_pressure_and_radius_are_those_of_the_sphere():
    state = measure(simulate(Thermostat([0.01, 0.02], [1.0, 2.0]), 5, 40_000, **SHORT))
    expected = state["elr"] * state["grad_sq"] / (2 * state["radius"] ** 2)
    np.testing.assert_allclose(state["pressure"], expected, rtol=1e-6)
    np.testing.assert_allclose(state["radius"], np.tile([1.0, 2.0], 2), rtol=1e-12)


def test_it_is_judged_like_any_protocol():
    trace = simulate(Thermostat([0.01, 0.014, 0.02], [1.0, 2.0]), 10, 60_000, **SHORT)
    found = verdict(trace, measure(trace))
    assert "thermostat" in str(found) and "Gibbs slope" in str(found)
    hotter = simulate(Thermostat([0.01, 0.02]), 6, 60_000, loss=Quadratic(np.arange(6.0)), **SHORT)
    assert str(verdict(hotter, measure(hotter)))


def test_a_trace_of_it_is_stored_opened_resumed_and_refused_where_it_is_unknown(tmp_path, monkeypatch):
    protocol = Thermostat([0.01, 0.02], gain=0.3)
    noise = LossDependent(2.0, 0.2)
    first = simulate(protocol, 5, 4000, noise=noise, **flat(samples=40, seed=3, **QUIET))
    save_trace(first, tmp_path / "t.zarr")
    opened = open_trace(tmp_path / "t.zarr")
    assert opened.identical(first) or (opened["elr"].values == first["elr"].values).all()
    assert protocols.from_settings(protocol.settings()) == protocol
    more = simulate(protocol, 5, 4000, noise=noise, **flat(samples=40, seed=3, resume_from=opened, **QUIET))
    whole = extend(opened, more, "sample")
    plain = simulate(protocol, 5, 8000, noise=noise, **flat(samples=80, seed=3, warmup=400, **QUIET))
    np.testing.assert_array_equal(whole["elr"], plain["elr"])
    monkeypatch.delitem(protocols.PROTOCOLS, "thermostat")
    with pytest.raises(TraceError, match=r"got 'thermostat'.*test_protocol:Thermostat: import that first"):
        open_trace(tmp_path / "t.zarr")


def test_its_name_is_its_own_and_its_axes_no_members():
    with pytest.raises(ValueError, match="a new name for a protocol, got 'fixed_sphere'"):

        class Other(ProjectedStep):
            name = "fixed_sphere"
            axes = ("temperature", "radius")

    with pytest.raises(ValueError, match="not members of Protocol, got 'rate'"):

        class Another(ProjectedStep):
            name = "another"
            axes = ("rate", "radius")


@pytest.mark.thorough
@pytest.mark.parametrize("at_once", [None, 1])
def test_it_trains_a_network(at_once):
    target = np.array([2e-4, 8e-4])
    data = datasets.subset(datasets.digits(), 20)
    how = flat(samples=60, warmup=300, noise_batches=8, seed=1, cells_at_once=at_once, compile=False, **QUIET)
    trace = train(Thermostat(target, gain=0.2), networks.mlp(), data, 1200, batch_size=16, **how)
    state = measure(trace)
    assert np.ptp(trace["elr"].values, axis=2).min() > 0  # it was steered
    np.testing.assert_allclose(state["temperature"], target, rtol=0.1)
    np.testing.assert_allclose(state["radius"], 1.0, rtol=1e-5)
    assert "thermostat" in str(verdict(trace, state))


def test_an_axis_other_than_the_decay_gives_it_by_a_method(monkeypatch):
    """λ = ηλ/η and the same random numbers: step by step the run of fixed LR. S has no slope along λ."""
    own, lr = FixedProduct([0.01, 0.1], [1e-2]), FixedLR([0.01, 0.1], [1.0, 0.1], paired=True)
    found, same = (constant("reduced", protocol, monkeypatch) for protocol in (own, lr))
    np.testing.assert_allclose(found["radius"].values, same["radius"].values, rtol=1e-12)
    state, expected = measure(found), measure(same)
    for name in ("temperature", "pressure", "compressibility"):
        np.testing.assert_allclose(state[name].values, expected[name].values, rtol=1e-9)
    assert slopes(state) == () and FixedLR.relations() and not FixedProduct.relations()


@pytest.mark.parametrize(
    ("base", "axes", "message"),
    [
        (
            PlainStep,
            ("lr", "product"),
            r"an axis 'wd', or a method decay, got .*Define decay\(at\), a static or",
        ),
        (ScaledStep, ("product", "wd"), "an axis 'elr', or a method rate"),
        (ProjectedStep, ("elr", "size"), "an axis 'radius', or a method fixed_radius"),
    ],
)
def test_a_step_without_one_of_its_hyperparameters_is_refused_where_it_is_defined(base, axes, message):
    with pytest.raises(ValueError, match=message):
        type("Incomplete", (base,), {"name": "incomplete", "axes": axes})
    assert "incomplete" not in protocols.PROTOCOLS
