"""The presets: which grids, how many steps, how many samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from weightgas.analysis.compare import reference
from weightgas.losses import Isotropic, Linear, Loss, Noise
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
    """The three protocols of the isotropic noise model on the notebook's 17 x 17 grids: d = 3, σ = 1.

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
    cells contains that scatter. ``networks/along_run``: 64-32-32-10 (d = 3072), over-parameterised, along its run.

    demo: 15 cells and 20 000 steps per protocol. quick: the 7 x 5 grid of learning rates and weight decays at 60 000
    steps. standard and paper: 300 000 and 1 000 000 steps.
    """
    from weightgas.datasets import digits  # torch is loaded only where a network is trained
    from weightgas.networks import mlp

    data, middle, narrow, over = digits(), mlp(hidden=(20,)), mlp(hidden=(6, 6)), mlp(hidden=(32, 32))
    size, other = {"demo": (5, 3), "quick": (7, 5), "standard": (7, 5), "paper": (9, 9)}[preset]
    steps = {"demo": 20_000, "quick": 60_000, "standard": 300_000, "paper": 1_000_000}[preset]
    snapshots = {"demo": 400, "quick": 1000, "standard": 4000, "paper": 4000}[preset]
    lr, wd, elr = np.logspace(-2, 0, size), np.logspace(-3, -1, other), np.logspace(-2.25, -1, size)
    # One radius on the sphere: G depends on η_e alone, and the range contains the η_e of the fixed-LR grid.
    sphere, fixed_lr = FixedSphere(elr=np.logspace(-3, -0.7, 15)), FixedLR(lr=lr, wd=wd)
    # BatchNorm's eps breaks the scale invariance as 1/r²: radii stay above 1, at fixed ELR by a smaller weight decay.
    wide = (FixedSphere(elr=elr, radius=np.logspace(0, 1, other)), FixedELR(elr=elr, wd=wd / 10), fixed_lr)
    plan = [Trained(f"networks/{p.name}", p, middle, data, steps, _record(300, snapshots)) for p in wide]
    if preset != "demo":
        plan += [Trained(f"narrow/{p.name}", p, narrow, data, steps, _record(300)) for p in (sphere, fixed_lr)]
        partner_of = "narrow/fixed_lr"
        plan.append(Trained("narrow/partners", fixed_lr, narrow, data, steps, _record(300), partner_of=partner_of))
    length = max(10_000, steps // 3)
    along = FixedLR(lr=np.logspace(-3, 0, 6), wd=1e-3)
    record = _record(200, 500, length // 500, warmup=0)
    run = Trained("networks/along_run", along, over, data, length, record, start="random")
    return (*plan, run)


STORED = 64e6
"""Most bytes of directions for one cell of a chosen network: they are in memory and in every checkpoint."""


def architecture(preset: str, network: Network, data: Images, steps: int | None = None) -> tuple[Trained, ...]:
    """A network on a data set under the three protocols, and cold cells along their run from fresh weights.

    quick: four effective learning rates over half a decade, 6000 steps. standard: seven over a decade, two weight
    decays where it is fixed, 60 000 steps, directions stored on the sphere. paper: the published ranges, lengths and
    radii; the number of values in a range is not published; here there are four per decade of learning rates and two of
    weight decays. Its directions are from the last 100 000 steps, as published, as many as fit :data:`STORED`, at most
    4000.

    ``steps`` replaces the length.
    """
    if preset == "paper":
        return _published(network, data, steps)
    count, decays, length, samples, noises = {
        "quick": (4, 1, 6000, 150, 40),
        "standard": (7, 2, 60_000, 300, 150),
    }[preset]
    length = steps or length
    # Here networks of a few to a hundred groups equilibrate within thousands of steps: η_e of a few hundredths, ηλ of a
    # few thousandths. At fixed LR there are always two weight decays, so that cells share isotherms.
    rates, factor = 10 ** (np.arange(count) / 6), 10 ** (1 / 3)
    groups = len(network.groups(data))
    protocols = (
        FixedSphere(elr=0.01 * rates, radius=np.sqrt(groups)),
        FixedELR(elr=0.01 * rates, wd=1e-3 * factor ** np.arange(decays)),
        FixedLR(lr=0.3 * rates, wd=0.03 * factor ** np.arange(2)),
    )
    plan = []
    for protocol in protocols:
        on_sphere = preset == "standard" and protocol.projected
        stored = _stored(network.dim(data), min(1000, length)) if on_sphere else 0
        every = length // max(stored, 1)
        record = _record(samples, stored, every, noise_samples=noises)
        plan.append(Trained(f"networks/{protocol.name}", protocol, network, data, length, record))
    return (*plan, _cold(network, data, length))


def _published(network: Network, data: Images, steps: int | None) -> tuple[Trained, ...]:
    """The grids of arXiv 2511.07308 and its notebooks, as far as they are published."""
    setup = reference()["networks"]["setup"]
    ranges = (setup[name] for name in ("fixed_elr_and_sphere_lr", "fixed_lr", "wd"))
    elr, lr, wd = (np.geomspace(low, high, count) for (low, high), count in zip(ranges, (9, 13, 5), strict=True))
    length = steps or setup["steps"]
    window = min(setup["queue_size"] * setup["queue_every"], length)
    stored = _stored(network.dim(data), min(setup["queue_size"], window))
    every = window // stored
    protocols = (FixedSphere(elr=elr, radius=setup["radius"]), FixedELR(elr=elr, wd=wd), FixedLR(lr=lr, wd=wd))
    record = _record(300, stored, every)
    plan = [Trained(f"networks/{p.name}", p, network, data, length, record) for p in protocols]
    return (*plan, _cold(network, data, length))


def _cold(network: Network, data: Images, steps: int) -> Trained:
    """Cells whose ηλ is far too small for equilibrium in ``steps``: does the noise vanish, or is the time too short?"""
    cold, stored = FixedLR(lr=[0.01, 0.1], wd=1e-3), _stored(network.dim(data), min(400, steps))
    record = _record(200, stored, steps // stored, warmup=0, noise_samples=50)
    return Trained("networks/along_run", cold, network, data, steps, record, start="random")


def _stored(dim: int, most: int) -> int:
    return int(min(most, max(8, STORED // (4 * dim))))


SIZES = {"under": (6,), "middle": (20,), "over": (64,)}
"""Hidden layers of the networks of ``answer``: 384, 1280 and 4096 weights for 1797 digits."""


def answer(preset: str) -> tuple[Trained, ...]:
    """Is it an ideal gas? Three networks on digits under three protocols, at temperatures that overlap.

    The under-parameterised one cannot fit the digits, the over-parameterised one can. Effective learning rates over a
    decade in seven steps; with weight decay, there are two decays, so that cells share isotherms. There are two
    replicas in quick and four in standard: slow exchange between basins shows between replicas, not within one.

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
