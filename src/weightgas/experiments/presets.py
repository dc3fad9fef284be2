"""The presets: their grids and numbers of steps and samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from weightgas.analysis.compare import reference
from weightgas.losses import Isotropic, Linear, Loss, Noise
from weightgas.measurement.stationarity.slow_part import LEAST_REPLICAS
from weightgas.protocols import FixedELR, FixedLR, FixedSphere, Protocol
from weightgas.settings import Record, Until

if TYPE_CHECKING:
    from weightgas.datasets import Images
    from weightgas.networks import Network


@dataclass(frozen=True)
class Simulated:
    """One run of ``simulate``: its folder's name and its arguments."""

    name: str
    protocol: Protocol
    dim: int
    steps: int
    replicas: int
    record: Record = field(default_factory=Record)
    loss: Loss = field(default_factory=Linear)
    noise: Noise = field(default_factory=Isotropic)
    until: Until | None = None


@dataclass(frozen=True)
class Trained:
    """One run of ``train``: its folder's name and its arguments."""

    name: str
    protocol: Protocol
    network: Network
    data: Images
    steps: int
    record: Record
    start: str = "predicted"
    replicas: int = 1
    partner_of: str | None = None
    """Name of a fixed-LR run: each cell is then on the sphere, with weights, radius and step of a cell of that run."""

    @property
    def groups(self) -> dict[str, int]:
        """The groups of the network and their sizes."""
        return self.network.groups(self.data)

    @property
    def auxiliary(self) -> bool:
        """Whether the run only serves another one or claims no stationary state, and so has no verdict."""
        return self.partner_of is not None or self.name.endswith("along_run")


def _record(samples: int, snapshots: int = 0, every: int = 25, **more: Any) -> Record:
    """What a training run records; noise and curvature at every sample unless given, since level 3 uses them."""
    options: dict[str, Any] = {"noise_samples": samples} | more
    return Record(samples=samples, snapshots=snapshots, snapshot_every=every, **options)


def isotropic(preset: str) -> tuple[Simulated, ...]:
    """The three protocols of the isotropic noise model on the 17 x 17 grids of the paper's notebook: d = 3, σ = 1.

    quick: a first look. standard: errors small enough for the published slopes. precise: every cell until its errors
    are 0.3 % in r and U and 0.01 nats in S. paper: the length of the notebook, with its stored directions for the
    published entropy.
    """
    steps, replicas, snapshots = {
        "quick": (2_400_000, 1, 0),
        "standard": (2_000_000, 8, 0),
        "precise": (2_000_000, 1, 0),
        "paper": (2_000_000, 1, 1000),
    }[preset]
    samples = 1200 if preset == "quick" else 400  # energies for the Gibbs slope, all from one replica
    rates, decays, radii = np.logspace(-3, -1, 17), np.logspace(-3, -1, 17), np.logspace(-1, 1, 17)
    protocols = (FixedSphere(elr=rates, radius=radii), FixedELR(elr=rates, wd=decays), FixedLR(lr=rates, wd=decays))
    record = Record(samples=samples, snapshots=snapshots)
    targets = {"energy": 0.003, "radius": 0.003, "entropy_direction": 0.01}
    until = Until(targets) if preset == "precise" else None
    return tuple(Simulated(f"isotropic/{p.name}", p, 3, steps, replicas, record, until=until) for p in protocols)


def networks(preset: str) -> tuple[Trained, ...]:
    """Scale-invariant MLPs on digits.

    ``networks/``: 64-20-10 (d = 1280) under the three protocols. ``narrow/``: 64-6-6-10 (d = 420) at fixed LR and on
    the sphere, for the radius law, and partners on the sphere that start from the weights of each fixed-LR cell: its
    loss has many basins, so replicas of one cell equilibrate at different energies, and an entropy integrated over its
    cells contains that scatter. ``networks/along_run``: 64-64-64-10 (d = 8192) on 300 digits, over-parameterised, along
    its run (:func:`along_run`).

    demo: 15 cells and 20 000 steps per protocol. quick: the 7 x 5 grid of learning rates and weight decays at 60 000
    steps. standard: 150 000 steps of four replicas, between which slow fluctuations are visible. paper: 1 000 000 steps
    of four replicas, six learning rates per decade, nine weight decays, five radii. Directions, one in 25 steps, are
    stored under all three protocols.
    """
    from weightgas.datasets import digits, subset  # torch is loaded only where a network is trained
    from weightgas.networks import mlp

    data, middle, narrow = digits(), mlp(hidden=(20,)), mlp(hidden=(6, 6))
    size, other = {"demo": (5, 3), "quick": (7, 5), "standard": (7, 5), "paper": (13, 9)}[preset]
    steps = {"demo": 20_000, "quick": 60_000, "standard": 150_000, "paper": 1_000_000}[preset]
    snapshots = {"demo": 400, "quick": 1000, "standard": 4000, "paper": 4000}[preset]
    replicas = _replicas(preset)
    lr, wd, radii = np.logspace(-2, 0, size), np.logspace(-3, -1, other), 5 if preset == "paper" else other
    elr = np.logspace(-3 if preset == "paper" else -2.25, -1, size)
    # One radius on the sphere: G depends on η_e alone, and the range contains the η_e of the fixed-LR grid.
    sphere, fixed_lr = FixedSphere(elr=np.logspace(-3, -0.7, 15)), FixedLR(lr=lr, wd=wd)
    # BatchNorm's eps breaks the scale invariance as 1/r²: radii stay above 1, at fixed ELR by a smaller weight decay.
    wide = (FixedSphere(elr=elr, radius=np.logspace(0, 1, radii)), FixedELR(elr=elr, wd=wd / 10), fixed_lr)
    record = _record(300, snapshots, **({"noise_samples": 150} if preset == "demo" else {}))
    plan = [Trained(f"networks/{p.name}", p, middle, data, steps, record, replicas=replicas) for p in wide]
    if preset != "demo":
        of = {"network": narrow, "data": data, "steps": steps, "record": _record(300), "replicas": replicas}
        plan += [Trained(f"narrow/{p.name}", p, **of) for p in (sphere, fixed_lr)]
        plan.append(Trained("narrow/partners", fixed_lr, partner_of="narrow/fixed_lr", **of))
    length = 2500 if preset == "demo" else max(10_000, steps // 3)
    return (*plan, along_run(mlp(hidden=(64, 64)), subset(data, 30), length, (1e-4, 1e-2)))


def along_run(network: Network, data: Images, steps: int, rates: tuple[float, float]) -> Trained:
    """The over-parameterised experiment as published: fixed ELR, seven η_e, one λ, samples spaced in the logarithm.

    It records loss, r − r₀, tr Σ and ‖∇L‖² from fresh weights, to decide whether the noise vanishes or the run is too
    short. ``rates`` are the smallest and the largest η_e.
    """
    low, high = rates
    protocol = FixedELR(elr=np.geomspace(low, high, 7), wd=1e-3)
    record = Record(samples=LOGS, log_spaced=True, warmup=0, curvature_batches=0)
    return Trained("networks/along_run", protocol, network, data, steps, record, start="random")


LOGS = 151
"""Samples of a published run, spaced in the logarithm of the step."""


def architecture(preset: str, network: Network, data: Images, steps: int | None = None) -> tuple[Trained, ...]:
    """A network on a data set under the three protocols, and along its run from fresh weights.

    quick: 3 x 3 cells per protocol, the smallest grid for the published fit of the entropy, 6000 steps, 200 directions.
    standard: 7 x 3 cells, 60 000 steps, four replicas, 1000 directions. Directions are stored one in 25 steps, as
    published, since the published entropy depends on their spacing. paper: :func:`_published`.

    ``steps`` replaces the length; a run that is too short has fewer directions.
    """
    if preset == "paper":
        return _published(network, data, steps)
    count, length, samples, noises, stored = {
        "quick": (3, 6000, 150, 40, 200),
        "standard": (7, 60_000, 300, 150, 1000),
    }[preset]
    length = steps or length
    # Here networks of a few to a hundred groups equilibrate within thousands of steps: η_e of a few hundredths, ηλ of a
    # few thousandths. The weight decays are so close that cells share isotherms at fixed LR.
    rates, others = 10 ** (np.arange(count) / 6), 10 ** (np.arange(3) / 6)
    groups = len(network.groups(data))
    protocols = (
        FixedSphere(elr=0.01 * rates, radius=np.sqrt(groups) * others),
        FixedELR(elr=0.01 * rates, wd=1e-3 * others),
        FixedLR(lr=0.3 * rates, wd=0.03 * others),
    )
    record = _record(samples, *_directions(stored, length), noise_samples=noises)
    replicas = _replicas(preset)
    plan = [Trained(f"networks/{p.name}", p, network, data, length, record, replicas=replicas) for p in protocols]
    return (*plan, along_run(network, data, length, (1e-4, 1e-2)))


def _replicas(preset: str) -> int:
    """Replicas of a cell: four for a run that is judged, the smallest number that shows slow fluctuations."""
    return 1 if preset in ("demo", "quick") else LEAST_REPLICAS


def _published(network: Network, data: Images, steps: int | None) -> tuple[Trained, ...]:
    """The set-up of arXiv 2511.07308 and its notebooks, counted from their figures (``analysis/reference.json``).

    Six learning rates per decade; at fixed LR up to 0.1 for a ConvNet, otherwise up to 1. Nine weight decays for a
    ConvNet (higher ones on CIFAR-100), otherwise five; five radii. One replica and 1 000 000 steps, as published. Every
    run starts at ‖w‖ = 1 without a warm-up, and stores 4000 directions, one in 25 steps. The head of a ConvNet has a
    frozen bias.
    """
    published = reference()["networks"]
    setup = published["setup"]
    grids, kind = setup["grids"], str(network.settings()["network"])
    family = "convnets" if kind == "convnet" else "resnets"
    if kind == "convnet":
        network = replace(network, head_bias=True)  # type: ignore[type-var]
    of_elr, of_lr, of_wd = grids["fixed_elr_and_sphere"], grids["fixed_lr"][family], grids["wd"]
    high = family == "convnets" and data.name.startswith("cifar100")
    elr, lr = (_series(of[axis], of[f"{axis}_count"]) for axis, of in (("elr", of_elr), ("lr", of_lr)))
    wd = _series(of_wd["convnet_cifar100" if high else "default"], of_wd[f"count_{family}"])
    length = steps or setup["steps"]
    protocols = (FixedSphere(elr=elr, radius=grids["radius"]), FixedELR(elr=elr, wd=wd), FixedLR(lr=lr, wd=wd))
    record = _record(300, *_directions(setup["queue_size"], length, setup["queue_every"]), warmup=0)
    plan = [Trained(f"networks/{p.name}", p, network, data, length, record, start="unit") for p in protocols]
    low, most = published["overparameterised_resnet18_cifar10"]["elr"]
    return (*plan, replace(along_run(network, data, length, (low, most)), start="unit"))


def _series(ends: Sequence[float], count: int) -> np.ndarray:
    low, high = ends
    return np.geomspace(low, high, count)


def _directions(count: int, steps: int, every: int = 25) -> tuple[int, int]:
    """``count`` directions, one in ``every`` steps, or as many as fit into ``steps``; and ``every``."""
    return min(count, steps // every), every


SIZES = {"under": (6,), "middle": (20,), "over": (64,)}
"""Hidden layers of the networks of ``answer``: 384, 1280 and 4096 weights for 1797 digits."""


def answer(preset: str) -> tuple[Trained, ...]:
    """Is it an ideal gas? Three networks on digits under three protocols, at temperatures that overlap.

    The under-parameterised network cannot fit the digits, the over-parameterised one can. There are seven effective
    learning rates over a decade, and two weight decays where there is decay, so that cells share isotherms. There are
    two replicas in quick and four in standard: slow exchange between basins is visible between replicas, not within
    one.

    quick: 20 000 steps, a first look. standard: 100 000.
    """
    from weightgas.datasets import digits  # torch is loaded only where a network is trained
    from weightgas.networks import mlp

    data, (steps, replicas) = digits(), {"quick": (20_000, 2), "standard": (100_000, 4)}[preset]
    factor = 10 ** (1 / 6)
    plan = []
    for size, hidden in SIZES.items():
        network = mlp(hidden=hidden)
        # A weight decay for which radii stay above 1, where the eps of BatchNorm is negligible: the noise of the wide
        # network is smaller.
        decay = (1e-3 if size == "over" else 1e-2) * np.array([1, factor**2])
        protocols = (
            FixedSphere(elr=0.01 * factor ** np.arange(7.0), radius=10.0),
            FixedELR(elr=0.01 * factor ** np.arange(7.0), wd=decay / 10),
            FixedLR(lr=0.05 * factor ** np.arange(7.0), wd=decay),
        )
        for protocol in protocols:
            # Directions for the entropies that are not integrated; only temperature matters, so one protocol suffices.
            snapshots = 1000 if protocol.projected else 0
            record = _record(400, snapshots, steps // 1000)
            plan.append(Trained(f"{size}/{protocol.name}", protocol, network, data, steps, record, replicas=replicas))
    return tuple(plan)
