"""Which grids, how long, how often: everything that tells one preset from another, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from weightgas.potentials import Isotropic, Linear, Noise, Potential
from weightgas.protocols import FixedELR, FixedLR, FixedSphere, Protocol


@dataclass(frozen=True)
class Simulated:
    """One run of ``simulate``: its folder's name and its arguments."""

    name: str
    protocol: Protocol
    dim: int
    steps: int
    replicas: int
    readings: int = 400
    snapshots: int = 0
    potential: Potential = field(default_factory=Linear)
    noise: Noise = field(default_factory=Isotropic)
    precision: Mapping[str, float] | None = None
    """Standard errors until which every cell runs, ``steps`` being the first round."""


@dataclass(frozen=True)
class Trained:
    """One run of ``train`` on digits: its folder's name and its arguments."""

    name: str
    protocol: Protocol
    hidden: tuple[int, ...]
    steps: int
    readings: int
    snapshots: int
    snapshot_every: int
    warmup: int | None = None
    start: str = "predicted"
    replicas: int = 1
    noise_readings: int | None = None
    """Readings that also hold noise and curvature; None for all, since the evidence rests on them."""
    partner_of: str | None = None
    """Name of a fixed-LR run: each cell is then one on the sphere of that cell's radius and step, from its weights."""

    @property
    def auxiliary(self) -> bool:
        """Whether the run serves another one or claims no stationary state, and so gets no verdict of its own."""
        return self.partner_of is not None or self.name.endswith("along_run")


def isotropic(preset: str) -> tuple[Simulated, ...]:
    """The three protocols of the isotropic noise model on the notebook's 17 x 17 grids: d = 3, σ = 1.

    quick: a first look. standard: errors small enough for the published slopes. precise: every cell until its errors
    are 0.3 % in r and U and 0.01 nats in S. paper: the notebook's own length, with its stored directions for the
    published entropy.
    """
    steps, replicas, snapshots = {
        "quick": (2_400_000, 1, 0),
        "standard": (2_000_000, 8, 0),
        "precise": (2_000_000, 1, 0),
        "paper": (2_000_000, 1, 1000),
    }[preset]
    readings = 1200 if preset == "quick" else 400  # energies for the Gibbs slope, where one replica must give them all
    rates, decays, radii = np.logspace(-3, -1, 17), np.logspace(-3, -1, 17), np.logspace(-1, 1, 17)
    protocols = (FixedSphere(elr=rates, radius=radii), FixedELR(elr=rates, wd=decays), FixedLR(lr=rates, wd=decays))
    goal = {"energy": 0.003, "radius": 0.003, "entropy_direction": 0.01} if preset == "precise" else None
    return tuple(
        Simulated(f"isotropic/{p.name}", p, 3, steps, replicas, readings, snapshots, precision=goal) for p in protocols
    )


def networks(preset: str) -> tuple[Trained, ...]:
    """Scale-invariant MLPs on digits.

    ``networks/``: 64-20-10 (d = 1280) under the three protocols. ``narrow/``: 64-6-6-10 (d = 420) at fixed LR and on
    the sphere, for the radius law, and partners on the sphere that start from the weights of each fixed-LR cell: its
    loss has many basins, replicas of one cell settle at different energies, and an entropy integrated over its cells
    measures that scatter. ``networks/along_run``: 64-32-32-10 (d = 3072),
    over-parameterised, along its run.

    demo: 15 cells and 20 000 steps a protocol. quick: the 7 x 5 grid of learning rates and weight decays at 60 000
    steps. standard and paper: 300 000 and 1 000 000 steps.
    """
    size, other = {"demo": (5, 3), "quick": (7, 5), "standard": (7, 5), "paper": (9, 9)}[preset]
    steps = {"demo": 20_000, "quick": 60_000, "standard": 300_000, "paper": 1_000_000}[preset]
    snapshots = {"demo": 400, "quick": 1000, "standard": 4000, "paper": 4000}[preset]
    lr, wd, elr = np.logspace(-2, 0, size), np.logspace(-3, -1, other), np.logspace(-2.25, -1, size)
    # One radius on the sphere: G depends on η_e alone, and the range holds the η_e of the fixed-LR grid.
    sphere, fixed_lr = FixedSphere(elr=np.logspace(-3, -0.7, 15)), FixedLR(lr=lr, wd=wd)
    # BatchNorm's eps breaks the scale invariance as 1/r²: radii stay above 1, at fixed ELR by a smaller weight decay.
    wide = (FixedSphere(elr=elr, radius=np.logspace(0, 1, other)), FixedELR(elr=elr, wd=wd / 10), fixed_lr)
    plan = [Trained(f"networks/{p.name}", p, (20,), steps, 300, snapshots, 25) for p in wide]
    if preset != "demo":
        plan += [Trained(f"narrow/{p.name}", p, (6, 6), steps, 300, 0, 25) for p in (sphere, fixed_lr)]
        plan.append(Trained("narrow/partners", fixed_lr, (6, 6), steps, 300, 0, 25, partner_of="narrow/fixed_lr"))
    length = max(10_000, steps // 3)
    along = FixedLR(lr=np.logspace(-3, 0, 6), wd=1e-3)
    return (
        *plan,
        Trained("networks/along_run", along, (32, 32), length, 200, 500, length // 500, warmup=0, start="random"),
    )


SIZES = {"under": (6,), "middle": (20,), "over": (64,)}
"""Hidden layers of the networks of ``answer``: 384, 1280 and 4096 weights for 1797 digits."""


def answer(preset: str) -> tuple[Trained, ...]:
    """Is it an ideal gas? Three networks on digits under three protocols, at temperatures that overlap.

    The under-parameterised one cannot fit the digits, the over-parameterised one can. Effective learning rates over a
    decade in seven steps; where weight decay is held, two of them, so that cells share isotherms. Two replicas.

    quick: 20 000 steps, a first look. standard: 100 000.
    """
    steps = {"quick": 20_000, "standard": 100_000}[preset]
    factor = 10 ** (1 / 6)
    plan = []
    for size, hidden in SIZES.items():
        # A weight decay for which radii stay above 1, where BatchNorm's eps does not show: the noise of the wide
        # network is smaller.
        decay = (1e-3 if size == "over" else 1e-2) * np.array([1, factor**2])
        protocols = (
            FixedSphere(elr=0.01 * factor ** np.arange(7.0), radius=10.0),
            FixedELR(elr=0.01 * factor ** np.arange(7.0), wd=decay / 10),
            FixedLR(lr=0.05 * factor ** np.arange(7.0), wd=decay),
        )
        for protocol in protocols:
            # Directions for the entropies that are not integrated; temperature alone matters, so one protocol will do.
            snapshots = 1000 if protocol.name == "fixed_sphere" else 0
            every = steps // 1000
            name = f"{size}/{protocol.name}"
            plan.append(Trained(name, protocol, hidden, steps, 400, snapshots, every, replicas=2))
    return tuple(plan)
