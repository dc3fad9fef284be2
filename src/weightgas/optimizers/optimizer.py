"""The base of all optimizers: settings, closed forms, equivalents, recognition of torch optimizers, and steps.

A step is w₊ = w − a − η u, with a the decay. The squared norm r² of a scale-invariant group changes by two power laws.
Its growth by the update goes as r^b with b = ``update_power`` (−2 where the update is proportional to the gradient, 0
where it is normalised), its decay as r^c with c = ``decay_power`` (2; 3 for coupled decay in an adaptive optimizer). So
r^m with m = c − b = ``power`` relaxes exponentially near r*, and for constant b and c everywhere.

The conventions of weight decay:

``coupled``      λ w is added to the gradient (``torch.optim.SGD``, ``torch.optim.Adam``)
``decoupled``    w ← (1 − ηλ) w alongside the update (Loshchilov and Hutter 2019)

A custom optimizer is a subclass of :class:`Optimizer`, or of :class:`weightgas.optimizers.Normalised` where the length
of its update does not depend on r. It overrides what differs; no other code has to be changed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import root_scalar

from weightgas.errors import positive_number, refuse
from weightgas.optimizers.settings import given, known
from weightgas.theory._arguments import Numbers, nonnegative

Array = NDArray[np.float64]
Tensor = Any
"""A ``torch.Tensor``. This package never imports torch: it calls the methods of the tensors that it is given."""

COUPLED, DECOUPLED, NONE = "coupled", "decoupled", "no"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Pieces:
    """A run in pieces of constant learning rate: ``edges`` (pieces + 1,) are the steps at their ends.

    ``target``, r*, and ``time``, the relaxation time, are those of each piece, (pieces,); None without decay.
    """

    edges: NDArray[np.int64]
    target: Array | None
    time: Array | None


@dataclass(frozen=True, eq=False)
class Optimizer:
    """Base of the optimizers: learning rate η, weight decay λ and their consequences; fields and arguments broadcast.

    ``lr`` and ``wd`` may be omitted if a protocol or a parameter group gives them; without them a method that needs
    them raises ValueError. A closed form that is not known is NaN; ``holds_when`` are the assumptions, in words.
    """

    lr: ArrayLike | None = None
    wd: ArrayLike | None = None

    holds_when: ClassVar[str] = ""
    needs: ClassVar[Mapping[str, str]] = {}
    """Those of ``dim``, ``grad_sq`` and the settings to a power of which r* is proportional, with the power as text."""
    times_need_data: ClassVar[bool] = False
    """Whether relaxation time and angle also depend on ``needs``; those of most optimizers do not."""
    update_power: ClassVar[int] = 0
    decay_power: ClassVar[int] = 2
    batch_powers: ClassVar[tuple[float, float]] = (0.5, 0.5)
    """Powers of the ratio of batch sizes by which lr and wd change with it."""
    torch_name: ClassVar[str] = ""
    """The class of ``torch.optim`` that makes this step."""

    def __post_init__(self) -> None:
        for name in ("lr", "wd"):
            if getattr(self, name) is not None:
                nonnegative(name, getattr(self, name))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(np.array_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))

    # --- what it is ---

    @property
    def label(self) -> str:
        """Its name for a reader."""
        return type(self).__name__

    def words(self) -> list[str]:
        """Its own settings for a reader, as in ``momentum 0.9``."""
        return []

    @property
    def convention(self) -> str:
        """Whether decay is coupled or decoupled; ``no`` without decay."""
        return DECOUPLED if self.decays else NONE

    @property
    def refused(self) -> str:
        """Why neither r* nor the relaxation time can be known; empty where they can."""
        return ""

    @property
    def oscillates(self) -> str:
        """Why the norm oscillates about r*, so that no law of first order in time holds; empty where it does not."""
        return ""

    @property
    def averaged_steps(self) -> float:
        """Steps over which the squares of gradients are averaged that divide a step; 0 where none do."""
        return 0.0

    @property
    def origin(self) -> str:
        """Where its decay is known from, to go after the title."""
        return ", known from its class" if self.decays else ""

    @property
    def decay_known(self) -> bool:
        """Whether the decay of a step is known."""
        return True

    @property
    def decay_factor(self) -> float:
        """Decay of the present weights in one step over ηλ where it had to be measured; else NaN."""
        return math.nan

    @property
    def decays(self) -> bool:
        """Whether there is weight decay."""
        return bool(self.wd) if isinstance(self.wd, float) else self.wd is not None and bool(np.any(self.wd))

    @property
    def title(self) -> str:
        """Name, own settings and convention of decay in one line."""
        return f"{', '.join([self.label, *self.words()])}; {self.convention} decay"

    def __str__(self) -> str:
        known = {name: getattr(self, name) for name in ("lr", "wd") if getattr(self, name) is not None}
        rates = [f"{name} {value:.4g}" for name, value in known.items() if np.ndim(value) == 0]
        return f"{self.label}: " + ", ".join([*rates, *self.words(), f"{self.convention} decay"])

    # --- closed forms ---

    @property
    def decay(self) -> Numbers:
        """x = ηλ, the intrinsic learning rate; ValueError where one of them is missing or 0."""
        return given("lr", self.lr) * given("wd", self.wd)

    @property
    def power(self) -> int:
        """m of r^m, the power of the radius that relaxes exponentially near r*."""
        return self.decay_power - self.update_power

    @property
    def mobility(self) -> float | None:
        """c where a long run of steps acts as plain SGD with the learning rate c η; None: the mobility is a matrix.

        With c there are temperature and pressure, T = c η tr Σ / (2 dof r²).
        """
        return None

    def missing(self, **data: Any) -> list[str]:
        """Which names of ``needs`` are None in ``data`` (``dim``, ``grad_sq``) and in the settings."""
        return [name for name in self.needs if data.get(name, getattr(self, name, None)) is None]

    def radius(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """r*, where decay and update terms balance in the mean; NaN where the step is unstable or no form is known."""
        return np.float64(np.nan)

    def relaxation_time(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """Steps in which a small deviation of the radius falls to 1/e."""
        return np.float64(np.nan)

    def angle(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> Numbers:
        """Angle between the weights before and after one step, in radians."""
        return np.float64(np.nan)

    def growth(self, dim: ArrayLike | None = None, grad_sq: ArrayLike | None = None) -> tuple[int, Numbers]:
        """(n, drⁿ/dt) without decay: the law rⁿ = r₀ⁿ + rate t."""
        return 2 - self.update_power, np.float64(np.nan)

    def temperature(self, radius: ArrayLike, noise_trace: ArrayLike, dof: ArrayLike) -> Numbers | None:
        """None: the mobility of an adaptive optimizer is a matrix; only the configurational temperature is defined."""
        return None

    # --- the norm along a run ---

    def filling(self, count: int) -> tuple[Array, Array]:
        """Update term and decay of the first ``count`` steps over those with full buffers, (count,) each."""
        return np.ones(count), np.ones(count)

    def norms(self, run: Pieces, start: float, dim: float, grad_sq: float | None) -> Array:
        """r after each piece of ``run``, (pieces,), from r₀ = ``start``; ``lr`` may be one for each piece.

        r^m ← r*^m + (r^m - r*^m) e^(-s/t)   over s steps, t the relaxation time;   without decay dr^n/dt = rate
        """
        steps = np.diff(run.edges)
        update, decay = (np.add.reduceat(share, run.edges[:-1]) / steps for share in self.filling(run.edges[-1]))
        if run.target is None or run.time is None:
            power, rate = self.growth(dim, grad_sq)
            return (start**power + np.cumsum(steps * rate * update)) ** (1 / power)
        y, out = start**self.power, []
        ends = run.target**self.power * update / decay
        for share, end in zip(np.exp(-steps / run.time * decay).tolist(), ends.tolist(), strict=True):
            y = end + (y - end) * share
            out.append(y)
        return np.array(out) ** (1 / self.power)

    def steps_to(self, radius: float, star: float, time: float, within: float) -> float:
        """Steps until r is within the share ``within`` of r* = ``star``, with the relaxation time ``time``."""
        off = (radius / star) ** self.power - 1
        near = (1 + within) ** self.power - 1 if off > 0 else 1 - (1 - within) ** self.power
        return float(max(time * np.log(abs(off) / near), 0.0)) if off else 0.0

    # --- equivalent hyperparameters ---

    def at(self, lr: ArrayLike | None, wd: ArrayLike | None) -> Self:
        """The same with another learning rate and decay."""
        return replace(self, lr=lr, wd=wd)

    def rescaled(self, factor: float) -> tuple[float, Self]:
        """(c, optimizer): weights times c = ``factor`` with (cη, λ/c); the same run bit by bit for c a power of two."""
        c = positive_number("factor", factor)
        return c, replace(self, lr=given("lr", self.lr) * c, wd=known("wd", self.wd) / c)

    def at_batch_size(self, ratio: float) -> Self:
        """The optimizer of the same run per sample at ``ratio`` times the batch size, if noise outweighs the mean."""
        lr, wd = (positive_number("ratio", ratio) ** power for power in self.batch_powers)
        return replace(self, lr=given("lr", self.lr) * lr, wd=known("wd", self.wd) * wd)

    def turning(self, angle: float, radius: float, dim: float | None, grad_sq: float | None) -> Self:
        """The optimizer with the lr and wd that give this ``angle`` per step and this stationary ``radius``."""

        def gap(log_decay: float) -> float:
            return float(np.asarray(self.at(1.0, math.exp(log_decay)).angle())) - angle

        # The first crossing: where the memory of the updates is given as a number, large decay has no angle.
        grid = np.log(np.geomspace(1e-14, 0.5, 100)).tolist()
        above = next((i for i, log_decay in enumerate(grid) if gap(log_decay) > 0), 0)
        if above == 0:
            raise refuse("angle", "one that this optimizer can have at eta lambda < 0.5", angle, "Lower lr or wd.")
        decay = math.exp(root_scalar(gap, bracket=(grid[above - 1], grid[above]), xtol=1e-13).root)
        # At fixed eta lambda, r* goes as lr^(2/m): lr^(1/2) for SGD, lr for updates of fixed length.
        unit = float(np.asarray(self.at(1.0, decay).radius(dim, grad_sq)))
        lr = (radius / unit) ** (self.power / 2)
        return self.at(lr, decay / lr)

    def at_fixed_norm(self, stationary: float, radius: float) -> tuple[Self, bool]:
        """(optimizer, exact) without decay, for a projection to ``radius`` after every step; r* is ``stationary``."""
        x = float(self.decay) if self.decays else 0.0
        if not 0 < x < 1:
            raise refuse("wd", "0 < lr wd < 1", self.wd, "Only such a run has an equivalent on a sphere.")
        kept, exact = self._projected(x)
        lr = float(given("lr", self.lr)) * (radius / stationary) ** (self.power / 2) / kept
        return self.at(lr, 0.0), exact

    def _projected(self, decay: float) -> tuple[float, bool]:
        """Length of a step of the run with decay over that on the sphere, and whether that is exact."""
        return 1 - decay, False

    # --- a parameter group of torch ---

    def rates(self) -> tuple[float, float]:
        """(lr, wd) as floats, NaN where they are missing."""
        lr, wd = (math.nan if value is None else value for value in (self.lr, self.wd))
        return float(lr), float(wd)  # type: ignore[arg-type]

    @classmethod
    def of(cls, optimizer: Any, group: Mapping[str, Any]) -> Self | None:
        """This optimizer with the settings of a parameter group of a torch ``optimizer``; None for other optimizers."""
        return cls.from_group(group) if cls.torch_name and torch_class(optimizer) == cls.torch_name else None

    @classmethod
    def from_group(cls, group: Mapping[str, Any], **more: Any) -> Self:
        """With ``lr``, ``weight_decay`` and all settings that the group has by name; ``more`` takes precedence."""
        lr = group.get("lr")
        found = {"lr": None if lr is None else float(lr), "wd": float(group.get("weight_decay", 0.0))}
        for name in (f.name for f in fields(cls) if f.name in group and f.name not in found | more):
            value = group[name]
            many = isinstance(value, tuple | list)
            found[name] = tuple(map(float, value)) if many else value if isinstance(value, bool) else float(value)
        return cls(**(found | more))

    def decay_share(self, age: float = math.inf) -> float | None:
        """ε if the decay of a step is a = ε w; None if it is not a multiple of w (:meth:`decay_vector`).

        ``age`` is the number of gradients in the momentum buffer, that of this step included; infinite if unknown.
        """
        lr, wd = self.rates()
        return lr * wd if self.decays else 0.0

    def decay_vector(self, group: Mapping[str, Any], state: Mapping[str, Any], weights: Tensor) -> Tensor:
        """The decay a of a step in float64, from the ``state`` with which the torch optimizer made it."""
        raise NotImplementedError(f"{self.label}: decay_share is None, so its class has to define decay_vector")

    def undone(
        self, group: Mapping[str, Any], state: Mapping[str, Any], after: Tensor, gradient: Tensor | None
    ) -> Tensor:
        """The weights w before a step in float64, from w₊ = ``after`` and the ``state`` of the torch optimizer then.

        It works element by element: ``state``, ``after`` and ``gradient`` may be pieces of tensors. If it is defined,
        ``watch`` keeps no copy of the weights of large models, and checks the result by their norm. ``decay_vector``,
        if it is needed, is then called with pieces as well.
        """
        raise NotImplementedError(f"{self.label}: its class does not compute the weights before a step")

    # --- a step, for many networks at once ---

    def buffers(self, weights: Tensor) -> dict[str, Tensor]:
        """The buffers before the first step: tensors like ``weights`` (stack, d), named as in torch.

        TypeError if this optimizer has no step.
        """
        fix = "Define the methods buffers and step of its class, or pass SGD, AdamW, AdamL2 or Lion."
        raise TypeError(f"optimizer: expected one that can step, got {self.label}. {fix}")

    def step(
        self, weights: Tensor, gradient: Tensor, buffers: Mapping[str, Tensor], lr: Any, wd: Any, count: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """New (weights, buffers) after step number ``count`` (from 1); nothing is changed in place.

        ``weights``, ``gradient`` and the ``buffers`` are (stack, d); ``lr`` and ``wd`` are numbers, or (stack, 1) of
        the dtype of the weights.
        """
        self.buffers(weights)
        raise NotImplementedError(f"{self.label}: its class defines buffers, but no step")


def torch_class(optimizer: Any) -> str:
    """Name of the class of ``torch.optim`` that makes the steps of an optimizer; ``Optimizer`` for any other.

    A subclass that overrides a method of that class may step differently, and counts as another optimizer.
    """
    classes = type(optimizer).__mro__
    place = next((k for k, c in enumerate(classes) if c.__module__.startswith("torch.optim")), None)
    if place is None:
        return "Optimizer"
    known = classes[place]
    own = {name: value for c in classes[:place] for name, value in vars(c).items() if not name.startswith("__")}
    same = all(not hasattr(known, name) or _bare(value) is _bare(getattr(known, name)) for name, value in own.items())
    return known.__name__ if same else "Optimizer"


def _bare(method: Any) -> Any:
    """A method without the wrapper that torch puts around ``step`` for its hooks."""
    return method.__wrapped__ if getattr(method, "hooked", False) else method
