"""The public functions of the library, each with arguments that are right, for tests that replace them."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import torch
import xarray as xr

import weightgas as wg
from hostile import Target

MODULES = (
    "theory.ideal_gas", "theory.vmf", "theory.finite_step", "theory.stationary", "theory.relaxation", "protocols",
    "optimizers", "settings", "losses", "networks", "datasets", "systems", "monitoring", "symmetry", "forecast",
    "trace", "status", "simulation", "training", "measurement", "analysis", "driving", "figures", "report",
    "experiments", "quantities", "runs",
)  # fmt: skip
"""The modules whose functions a user calls."""

NOT_CALLED = {
    "results, made by the library": (
        "analysis.Check analysis.Hypothesis analysis.Key analysis.Level analysis.Verdict experiments.Control "
        "experiments.Cost experiments.Experiment forecast.Equivalent forecast.GroupForecast forecast.Forecast "
        "monitoring.Gas monitoring.GroupState monitoring.NormForecast monitoring.GroupSchedule monitoring.ScheduleView "
        "symmetry.Symmetries symmetry.Group theory.stationary.Stationary training.Cost "
        "losses.QuadraticForm networks.OwnModule protocols.Relation "
        "status.Outcome status.Cause status.Status status.names status.flags"
    ),
    "bases and structural types": (
        "losses.Noise losses.Loss networks.Data networks.Network systems.System systems.ThermalSystem "
        "optimizers.Optimizer optimizers.Unknown optimizers.Normalised protocols.PlainStep protocols.ProjectedStep "
        "protocols.Protocol protocols.ScaledStep settings.Settings"
    ),
    "on networks that are trained for this": (
        "analysis.expansion analysis.virial analysis.anisotropic training.mean_weights training.harmonic_wells "
        "training.harmonic_gas"
    ),
    "between producers and stores": (
        "trace.make trace.joined trace.halve trace.lengthen trace.create_store trace.write_cells trace.mark_failed "
        "trace.used_for trace.completed_cells trace.cells_per_write trace.is_old trace.upgrade trace.in_names_of_today "
        "trace.column "
        "runs.RunFolder runs.Shard runs.checked_client runs.duration runs.environment runs.finish runs.in_chunks "
        "runs.is_complete runs.prepare runs.preparing runs.progress runs.shard_of runs.subset runs.to_do runs.unseen "
        "runs.workers runs.write_atomically runs.Growing runs.tidy "
        "runs.manifest runs.remove runs.remove_folder runs.save_state "
        "settings.option settings.moved settings.producer networks.gradients networks.losses networks.shared_losses "
        "networks.together training.planned optimizers.recogniser optimizers.innermost optimizers.stepper "
        "optimizers.recognised report.section report.sections"
    ),
}
"""Public names that are no targets, by the reason."""

SLOW = {"experiments.reproduce", "experiments.controls_at", "experiments.controls_for"}
"""They run for minutes if their arguments are right."""


@cache
def gas(sphere: bool = False) -> tuple[xr.Dataset, xr.Dataset]:
    """Trace and state of a simulated grid."""
    protocol = wg.FixedSphere([0.01, 0.03, 0.1, 0.3]) if sphere else wg.FixedLR(lr=[0.02, 0.05, 0.1], wd=[0.02, 0.05])
    trace = wg.simulate(protocol, 3, 4000, record=wg.Record(samples=40), run=wg.Run(progress=False, threads=1))
    return trace, wg.measure(trace, criteria=wg.measurement.Criteria(ess=4, relaxations=0.1, radius_trend=1, rhat=10))


@cache
def predicted() -> xr.Dataset:
    from weightgas.analysis.equation_of_state import radius_from_sphere

    return radius_from_sphere(gas()[1], gas(sphere=True)[1])


@cache
def network() -> tuple[Any, Any]:
    return wg.networks.mlp(hidden=(3,)), wg.datasets.subset(wg.datasets.digits(), 8)


@cache
def layers() -> tuple[xr.Dataset, xr.Dataset]:
    """Trace and state of a small network."""
    trace = wg.train(
        wg.FixedLR([0.1, 0.2], [0.02, 0.05]), *network(), 40, batch_size=8, run=wg.Run(progress=False),
        record=wg.Record(samples=20, noise_batches=4, snapshots=10, snapshot_every=2),
    )  # fmt: skip
    return trace, wg.measure(trace)


@cache
def driven(there_and_back: bool = False) -> xr.Dataset:
    path = wg.paths.isotherm(elr=0.02, radius=wg.paths.Geometric(1.0, 1.2))
    legs = [path, path.stay(), path.reversed(), path.stay(0.0)] if there_and_back else path
    return wg.drive(legs, 3, 60, replicas=200, samples=6, threads=1)


@cache
def dissipated() -> xr.Dataset:
    heated = wg.paths.isochore(radius=1.0, elr=(0.02, 0.08))
    return wg.driving.dissipation(heated, (20, 40, 80, 160), 3, replicas=2000, threads=1)


def model() -> torch.nn.Module:
    """One scale-invariant layer, and a readout that is not trained."""
    made = torch.nn.Sequential(torch.nn.Linear(4, 3, bias=False), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 2))
    for name, weights in made.named_parameters():
        weights.requires_grad_(name == "0.weight")
    return made


def batches() -> list[Any]:
    made = torch.Generator().manual_seed(1)
    return [(torch.randn(8, 4, generator=made), torch.randint(2, (8,), generator=made)) for _ in range(4)]


def loss(net: Any, batch: Any) -> Any:
    return torch.nn.functional.cross_entropy(net(batch[0]), batch[1])


def first(trace: xr.Dataset, state: xr.Dataset) -> float:
    return float(state["energy"][0])


def own_loss(w: Any) -> float:
    return float(w[0] / np.sqrt(np.sum(w**2)))


def own_noise(w: Any, normals: Any, out: Any) -> None:
    out[:] = normals


def generator() -> np.random.Generator:
    return np.random.default_rng(1)


def forecast() -> Any:
    return wg.predict(wg.optimizers.SGD(lr=0.1, wd=5e-4), dim=10, grad_sq=0.5, radius=1.0, steps=1000, batch_size=32)


USUAL: dict[str, Callable[[], Any]] = {
    "trace": lambda: gas()[0], "state": lambda: gas()[1], "data": lambda: network()[1], "network": lambda: network()[0],
    "run": lambda: wg.Findings(*gas()), "runs": lambda: {"gas": wg.Findings(*gas())}, "trajectory": driven,
    "protocol": lambda: wg.FixedLR, "generator": generator, "model": model, "dim": lambda: 3, "noise_var": lambda: 1.0,
    "temperature": lambda: 0.3, "elr": lambda: 0.02, "radius": lambda: 1.1, "wd": lambda: 0.02, "lr": lambda: 0.1,
    "grad_sq": lambda: 2.0, "dof": lambda: 2, "step": lambda: 0.01, "energy": lambda: 0.4, "z": lambda: 0.5,
    "energy_variance": lambda: 0.1, "laplacian": lambda: 1.0, "laplacian_slope": lambda: 1.0, "size": lambda: 5,
    "noise_trace": lambda: 2.0, "mean_grad_sq": lambda: 0.5, "entropy": lambda: 1.0, "volume": lambda: 0.6,
    "pressure": lambda: 0.5, "grad_curvature": lambda: 0.3, "hot": lambda: 0.4, "cold": lambda: 0.3,
    "step_size": lambda: 0.02, "curvature": lambda: 1.0, "momentum": lambda: 0.9,
    "settings": lambda: {"protocol": "fixed_lr", "lr": 0.1, "wd": 0.1},
    "matrix": lambda: [0.0, 1.0, 2.0], "eigenvalues": lambda: [0.0, 1.0, 2.0], "correlation": lambda: 0.5,
    "variances": lambda: [0.1, 0.2], "optimizer": lambda: wg.optimizers.SGD(lr=0.1, wd=0.01), "steps": lambda: 400,
}  # fmt: skip
"""Arguments by the name of the parameter."""

QUIET = {"run": lambda: wg.Run(progress=False, threads=1)}
PARTICULAR: dict[str, dict[str, Callable[[], Any]]] = {
    "analysis.annealing": {"state": lambda: layers()[1]},
    "analysis.bootstrap": {"statistic": lambda: first, "state": lambda: gas()[1], "draws": lambda: 10},
    "analysis.layer_gases": {"trace": lambda: layers()[0], "state": lambda: layers()[1]},
    "analysis.Findings": {"trace": lambda: gas()[0], "state": lambda: gas()[1]},
    "datasets.Images": {"name": lambda: "mine", "inputs": lambda: np.zeros((4, 3), np.float32),
                        "labels": lambda: np.array([0, 1, 0, 1]), "classes": lambda: 2},
    "datasets.named": {"name": lambda: "digits"},
    "datasets.subset": {"per_class": lambda: 2},
    "datasets.with_label_noise": {"share": lambda: 0.2},
    "driving.drive": {"legs": lambda: wg.paths.isotherm(elr=0.02, radius=1.0), "steps": lambda: 20,
                      "replicas": lambda: 20, "samples": lambda: 5, "threads": lambda: 1},
    "driving.dissipation": {"path": lambda: wg.paths.isotherm(elr=0.02, radius=wg.paths.Geometric(1.0, 1.2)),
                            "durations": lambda: (10, 20), "replicas": lambda: 50, "threads": lambda: 1},
    "driving.closed_production": {"trajectory": lambda: driven(there_and_back=True)},
    "driving.exponent": {"found": lambda: dissipated(), "times": lambda: 0.1},
    "driving.carnot": {"elr": lambda: (0.02, 0.01), "radius": lambda: (1.0, 1.2), "durations": lambda: (40,),
                       "replicas": lambda: 50, "cycles": lambda: 2, "threads": lambda: 1},
    "driving.isochore": {"elr": lambda: wg.paths.Geometric(0.01, 0.02)},
    "driving.isobar": {"elr": lambda: wg.paths.Geometric(0.01, 0.02)},
    "driving.isotherm": {"radius": lambda: wg.paths.Geometric(1.0, 1.2)},
    "driving.adiabat": {"radius": lambda: wg.paths.Geometric(1.0, 1.2)},
    "driving.Path": {"elr": lambda: 0.02, "radius": lambda: wg.paths.Geometric(1.0, 1.2)},
    "experiments.controls_at": {"samples": lambda: 50, "names": lambda: ("ideal",), **QUIET},
    "experiments.controls_for": {"run": lambda: gas()[0], "state": lambda: gas()[1]},
    "experiments.estimate_cost": {"name": lambda: "isotropic"},
    "experiments.reproduce": {"name": lambda: "isotropic", "run": lambda: "here"},
    "figures.Figure": {"name": lambda: "mine", "caption": lambda: "A figure.", "draw": lambda: wg.figures.radius},
    "figures.pressure": {"run": lambda: wg.Findings(*gas(sphere=True))},
    "figures.radius_from_sphere": {"predicted": lambda: predicted()},
    "datasets.blank": {"name": lambda: "fashion_mnist_14"},
    "figures.entropies": {"run": lambda: wg.Findings(*layers())},
    "figures.along_run": {"trace": lambda: gas()[0]},
    "figures.watched": {"trace": lambda: watched().trace()},
    "figures.layers": {"runs": lambda: {"net": wg.Findings(*layers())}},
    "figures.group_temperatures": {"run": lambda: wg.Findings(*layers())},
    "figures.noise": {"run": lambda: wg.Findings(*layers())},
    "figures.paths": {"trajectories": lambda: {"isotherm": driven()}},
    "forecast.predict": {"dim": lambda: 10, "radius": lambda: 1.0, "grad_sq": lambda: 0.5},
    "losses.CustomLoss": {"loss": lambda: own_loss},
    "losses.CustomNoise": {"noise": lambda: own_noise},
    "losses.LossDependent": {"slope": lambda: 0.5, "offset": lambda: 1.0},
    "losses.Covariance": {"matrix": lambda: [0.1, 1.0, 2.0]},
    "networks.mlp": {"hidden": lambda: (3,)}, "networks.MLP": {"hidden": lambda: (3,)},
    "networks.convnet": {"width": lambda: 2}, "networks.ConvNet": {"width": lambda: 2},
    "networks.resnet18": {"width": lambda: 1}, "networks.ResNet18": {"width": lambda: 1},
    "networks.named": {"name": lambda: "mlp"},
    "networks.module": {"groups": lambda: {"0.weight": ["0.weight"]}},
    "training.network_of": {"data": lambda: plain_images()},
    "training.fitting": {}, "training.cost": {"runs": lambda: 2, "batch_size": lambda: 8},
    "training.train": {"protocol": lambda: wg.FixedLR(0.1, 0.02), "steps": lambda: 10, "batch_size": lambda: 8,
                       "record": lambda: wg.Record(samples=5), **QUIET},
    "monitoring.watch": {"model": model, "optimizer": None, "groups": lambda: {"first": ["0.weight"]}},
    "optimizers.named": {"name": lambda: "sgd"},
    "optimizers.Muon": {"update_memory": lambda: 1.0, "update_sq": lambda: 1.0},
    "optimizers.checked": {},
    "protocols.named": {"name": lambda: "fixed_lr"}, "protocols.load": {"place": lambda: "weightgas:FixedLR"},
    "quantities.Quantity": {"name": lambda: "mine", "measure": lambda: own_loss},
    "quantities.of": {"name": lambda: "energy"}, "quantities.in_nats": {"name": lambda: "energy"},
    "report.Content": {"title": lambda: "t"}, "report.Section": {"title": lambda: "t"},
    "report.Table": {"caption": lambda: "t", "columns": lambda: ["a"], "rows": lambda: [["1"]]},
    "report.Picture": {"figure": lambda: wg.figures.radius(wg.Findings(*gas())), "caption": lambda: "c"},
    "report.System": {"title": lambda: "t", "runs": lambda: {"a": wg.Findings(*gas())}},
    "report.write": {"path": lambda: "r.html", "content": lambda: wg.report.Content("t")},
    "report.render": {"content": lambda: wg.report.Content("t")},
    "report.findings": {"folder": lambda: saved()}, "report.of_run": {"folder": lambda: saved()},
    "runs.convert": {"folder": lambda: saved()},
    "settings.Until": {"targets": lambda: 0.05},
    "simulation.simulate": {"protocol": lambda: wg.FixedLR(0.1, 0.1), "record": lambda: wg.Record(samples=8), **QUIET},
    "symmetry.symmetries": {"model": model, "loss_fn": lambda: loss, "batches": batches},
    "systems.WellAutoregression": {"dim": lambda: 3},
    "theory.stationary.gibbs_slope": {"cold": lambda: point(0.01), "hot": lambda: point(0.02)},
    "theory.stationary.stationary_values": {"at": lambda: {"lr": 0.1, "wd": 0.1}},
    "theory.stationary.escape_time": {"bins": lambda: 60},
    "trace.save": {"data": lambda: gas()[0], "path": lambda: "t.zarr", "force": lambda: True},
    "trace.open_trace": {"path": lambda: saved()}, "trace.read": {"store": lambda: saved() + "/trace.zarr"},
    "trace.extend": {"first": lambda: gas()[0], "second": lambda: gas()[0], "along": lambda: "sample"},
    "trace.fixed": {"data": lambda: gas()[0]}, "trace.kind_of": {"data": lambda: gas()[0]},
    "trace.holds": {"name": lambda: "energy"}, "trace.grid": {"data": lambda: gas()[1]},
    "datasets.cifar10": {"data_dir": lambda: "none-here"}, "datasets.cifar100": {"data_dir": lambda: "none-here"},
    "settings.Run": {},
}  # fmt: skip
SHARED = model()
"""The model that the usual call of watch watches: its optimizer has to have the weights of that one."""
PARTICULAR["monitoring.watch"] |= {
    "model": lambda: SHARED,
    "optimizer": lambda: torch.optim.SGD([SHARED[0].weight], 0.1),
}
FILES = {f"datasets.{name}" for name in ("cifar10", "cifar100", "fashion_mnist", "fashion_mnist_14", "mnist")}
RAISES = FILES | {"trace.extend"}
"""Their usual call is refused: there may be no such files, and a run does not continue itself."""
FREE = ("download", "client", "command", "fix", "old", "choice", "schedule_of")
"""Parameters that are not replaced: they reach the network, or take anything."""


@cache
def saved() -> str:
    import tempfile
    from pathlib import Path

    folder = str(Path(tempfile.mkdtemp(), "run"))
    wg.simulate(wg.FixedLR([0.05, 0.1], [0.05, 0.1]), 3, 800, record=wg.Record(samples=8),
                run=wg.Run(folder, progress=False, threads=1))  # fmt: skip
    return folder


def plain_images() -> Any:
    return wg.datasets.Images("mine", np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32),
                              np.arange(16) % 2, 2)  # fmt: skip


def point(elr: float) -> Any:
    return wg.theory.stationary.stationary_state(wg.FixedSphere, 3, elr)


@cache
def watched() -> Any:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, weight_decay=0.01)
    watching = wg.watch(net, optimizer, groups={"first": ["0.weight"]}, every=2)
    for _ in range(6):
        for batch in batches():
            optimizer.zero_grad()
            loss(net, batch).backward()
            optimizer.step()
    return watching


def methods() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Methods of objects that a user makes or is given."""
    sgd = wg.optimizers.SGD(lr=0.1, wd=0.01, momentum=0.5)
    adam = wg.optimizers.AdamW(lr=1e-3, wd=0.1)
    muon = wg.optimizers.Muon(lr=1e-2, wd=0.1, update_memory=1.0, update_sq=1.0)
    for one in (sgd, adam, wg.optimizers.AdamL2(lr=1e-3, wd=0.1), wg.optimizers.Lion(lr=1e-4, wd=0.1), muon):
        for name in ("radius", "relaxation_time", "angle", "growth", "temperature", "rescaled", "at_batch_size", "at"):
            yield f"optimizers.{type(one).__name__}.{name}", getattr(one, name)
    for name in ("rescaled", "at_batch_size", "at_fixed_norm", "as_optimizer", "expected", "out_of_equilibrium",
                 "score", "save"):  # fmt: skip
        yield f"forecast.Forecast.{name}", getattr(forecast(), name)
    yield "forecast.Forecast.load", wg.Forecast.load
    yield "forecast.GroupForecast.radius_at", forecast().groups[0].radius_at
    for one in (wg.losses.Linear(), wg.losses.Quadratic([0, 1, 2])):
        yield f"losses.{type(one).__name__}.form", one.form
        yield f"losses.{type(one).__name__}.sample", one.sample
    for one in (wg.losses.Isotropic(), wg.losses.Covariance([1, 2, 3]), wg.losses.LossDependent(0.5)):
        yield f"losses.{type(one).__name__}.factor", one.factor
    systems = wg.systems
    for one in (systems.UniformSphere(3), systems.VonMisesFisher(3, 0.5), systems.Bingham([0, 1, 2], 0.5),
                systems.SphereAutoregression(3, 0.5), systems.WellAutoregression(3, [0.1, 0.2])):  # fmt: skip
        yield f"systems.{type(one).__name__}.sample", one.sample
    path = wg.paths.isotherm(elr=0.02, radius=wg.paths.Geometric(1.0, 1.2))
    for name in ("at", "stay", "values"):
        yield f"driving.Path.{name}", getattr(path, name)
    yield "monitoring.Gas.csv", watched().csv
    yield "monitoring.Gas.forecast", watched().forecast
    yield "monitoring.Gas.loss", watched().loss
    yield "monitoring.Gas.load_state_dict", watched().load_state_dict
    yield "settings.Record.of", wg.Record().of
    yield "settings.Run.given", wg.Run.given
    yield "analysis.Verdict.check", wg.Findings(*gas()).verdict.check


METHODS: dict[str, dict[str, Callable[[], Any]]] = {
    "forecast.Forecast.save": {"path": lambda: "f.json"},
    "forecast.Forecast.score": {"measured": lambda: {"weights": 1.0}},
    "forecast.Forecast.expected": {"name": lambda: "weights"},
    "forecast.Forecast.load": {"path": lambda: kept()},
    "forecast.Forecast.as_optimizer": {"optimizer": lambda: wg.optimizers.AdamW()},
    "driving.Path.at": {"progress": lambda: 0.5}, "driving.Path.values": {"steps": lambda: 10},
    "monitoring.Gas.csv": {"path": lambda: "g.csv"}, "monitoring.Gas.forecast": {"step": lambda: 100},
    "monitoring.Gas.loss": {"value": lambda: 0.5},
    "monitoring.Gas.load_state_dict": {"state": lambda: watched().state_dict()},
    "settings.Record.of": {"producer": lambda: "simulate"}, "settings.Run.given": {"value": lambda: "here"},
    "analysis.Verdict.check": {"key": lambda: "gas_law"},
}  # fmt: skip
METHODS |= {
    f"optimizers.{kind}.{name}": {"dim": lambda: 10, "grad_sq": lambda: 0.5, "dof": lambda: 9, "ratio": lambda: 2.0,
                                  "noise_trace": lambda: 0.3, "factor": lambda: 2.0}
    for kind in ("SGD", "AdamW", "AdamL2", "Lion", "Muon")
    for name in ("radius", "relaxation_time", "angle", "growth", "temperature", "rescaled", "at_batch_size", "at")
}  # fmt: skip
METHODS |= {"forecast.Forecast.rescaled": {"factor": lambda: 2.0}}
METHODS |= {"forecast.Forecast.at_batch_size": {"batch_size": lambda: 64}}


@cache
def kept() -> str:
    import tempfile
    from pathlib import Path

    path = str(Path(tempfile.mkdtemp(), "f.json"))
    forecast().save(path)
    return path


def public() -> Iterator[tuple[str, Any]]:
    """Every public function and class of ``MODULES``, once, by its first name."""
    seen: set[int] = set()
    for module in MODULES:
        found = import_module(f"weightgas.{module}")
        names = getattr(found, "__all__", None) or [
            n for n, v in vars(found).items()
            if not n.startswith("_") and getattr(v, "__module__", "") == f"weightgas.{module}"
        ]  # fmt: skip
        for name in names:
            value = getattr(found, name)
            made_here = getattr(value, "__module__", "").startswith("weightgas")
            if callable(value) and made_here and not isinstance(value, types.GenericAlias) and id(value) not in seen:
                seen.add(id(value))
                yield f"{module}.{name}", value


def targets() -> dict[str, Target]:
    """Every target by its name."""
    skipped = {name for names in NOT_CALLED.values() for name in names.split()}
    found = {}
    for name, function in (*public(), *methods()):
        if name in skipped:
            continue
        particular = PARTICULAR.get(name, {}) | METHODS.get(name, {})
        found[name] = Target(name, function, _arguments(function, particular), name in SLOW, FREE)
    return found


def _arguments(
    function: Callable[..., Any], particular: Mapping[str, Callable[[], Any]]
) -> dict[str, Callable[[], Any]]:
    known = inspect.signature(function).parameters
    makers = {name: make for name, make in particular.items() if name in known}
    for name, parameter in known.items():
        needed = parameter.default is parameter.empty and parameter.kind not in (4, 2)
        if needed and name not in makers and name in USUAL:
            makers[name] = USUAL[name]
    return makers
