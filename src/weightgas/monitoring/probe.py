"""The two hooks of the optimizer: when a sample is made, and at which weights and gradients.

Weights are read before the step. Gradients are read where they belong to these weights: before the step as well, since
some optimizers write into them; where the step has a closure, which makes them, after its first call. Nothing is
written, and no random number drawn. What is kept of a step: :mod:`.sample`; what follows from it: :mod:`.budget`.
"""

from __future__ import annotations

import math
import time
import warnings
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weightgas.monitoring import budget
from weightgas.monitoring.curvature import Curvature
from weightgas.monitoring.sample import Economy, Found, Places, Sample, facts
from weightgas.monitoring.shards import Layout, like
from weightgas.optimizers import Optimizer, recognised

_FIRST = 16
"""The second sample is made after so many steps, then at fourfold ones until the cadence is reached."""


@dataclass
class Ledger:
    """What is counted along the way, for the table and a resumed run."""

    steps: int = 0
    following: int = 0
    seconds: float = 0.0
    wall: float = 0.0
    unmoved: int = 0
    nonfinite: int | None = None
    largest_norm: float = 0.0
    norms: int = 0
    at_largest: int = 0
    failure: str = ""

    def saw(self, norm: float) -> None:
        """Note the norm of the entire gradient: where many samples have the largest one, it is clipped."""
        self.norms += 1
        if norm > self.largest_norm * (1 + 1e-4):
            self.largest_norm, self.at_largest = norm, 1
        elif norm > self.largest_norm * (1 - 1e-4):
            self.at_largest += 1

    @property
    def clipped(self) -> float:
        """Share of the samples in which the gradient had been clipped; 0 where nothing speaks for clipping."""
        share = self.at_largest / max(self.norms, 1)
        return share if self.at_largest >= 4 and share >= 0.05 else 0.0


class Probe:
    """Hooks on an optimizer. ``parameters`` and ``labels`` (:meth:`.choice.Choice.places`) say what is read.

    ``sink(step, energy, row)`` takes a sample, with ``row[name]`` of shape (groups,), and returns whether its buffer
    was full: the cadence ``every`` is then doubled.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        parameters: list[Tensor],
        labels: list[np.ndarray],
        every: int,
        sink: Callable[[int, float, dict[str, np.ndarray]], bool],
        curvature: Curvature | None = None,
        recognise: Callable[[Any, Mapping[str, Any]], Optimizer] = recognised,
    ) -> None:
        self.ledger, self.every = Ledger(), every
        self.loss: Tensor | float | None = None
        self.rules: list[Optimizer] = []
        self._parameters, self._sink = parameters, sink
        self._at = Places(parameters, labels, Layout.of(parameters))
        self._economy = Economy.of(self._at)
        self._largest, self._curvature = _largest(parameters, labels), curvature
        self._recognise = recognise
        self._fresh = not any(optimizer.state.get(p) for p in parameters)
        self._open: Sample | None = None
        self._waiting = False  # for the gradient of the present step
        self._failed = False
        self._began = 0.0
        self._optimizer = weakref.ref(optimizer)
        self._places: tuple[int, list[int]] = (-1, [])
        self._handles = (
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._after),
        )

    @property
    def attached(self) -> bool:
        """Whether both hooks are still on a living optimizer, and none has failed."""
        optimizer = self._optimizer()
        if optimizer is None or not self._handles or self._failed:
            return False
        hooks = (*optimizer._optimizer_step_pre_hooks.values(), *optimizer._optimizer_step_post_hooks.values())
        return self._before in hooks and self._after in hooks

    @property
    def removed(self) -> bool:
        """Whether the optimizer lives and the hooks are off it."""
        return self._optimizer() is not None and not self.attached

    @property
    def neighbours(self) -> int:
        """How many other probes of this kind are on the same optimizer."""
        optimizer = self._optimizer()
        hooks = () if optimizer is None else optimizer._optimizer_step_pre_hooks.values()
        probes = [h.__self__ for h in hooks if isinstance(getattr(h, "__self__", None), Probe)]
        return sum(probe is not self and not probe._failed for probe in probes)

    def resume(self, every: int) -> None:
        """Go on with the counters that were put into the ledger."""
        self.every, self._fresh, self._open, self._waiting = every, False, None, False
        self._began = 0.0

    def detach(self) -> None:
        """Take the hooks away; samples made so far stay."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._open, self._waiting = (), None, False

    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        if not self._began:
            self._began = time.perf_counter() - self.ledger.wall
        if self._failed or (self._open is None and self.ledger.steps < self.ledger.following):
            return None
        closure = _has_closure(args, kwargs)
        self._safely(self._read_weights, optimizer, closure)
        if not closure:
            self._safely(self._read_gradients, optimizer)
            return None
        self._waiting = True
        more = {"closure": self._followed(kwargs["closure"])} if "closure" in kwargs else {}
        return (args[0], *map(self._followed, args[1:])), {**kwargs, **more}

    def _followed(self, closure: Any) -> Any:
        """``closure`` for the optimizer: after its first call the gradients are there and no weight has moved."""
        if not callable(closure):
            return closure

        def followed(*args: Any, **kwargs: Any) -> Any:
            value, optimizer = closure(*args, **kwargs), self._optimizer()
            if self._waiting and optimizer is not None:
                self._safely(self._read_gradients, optimizer)
            return value

        return followed

    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if self._failed:
            return
        if self._waiting:  # the optimizer made its step without the closure
            self._safely(self._read_gradients, optimizer, True)
        if self._open is not None and self._open.step == self.ledger.steps:
            self._safely(self._read_step, optimizer)
        self.ledger.steps += 1
        self.ledger.wall = time.perf_counter() - self._began

    def _safely(self, act: Callable[..., None], *given: Any) -> None:
        """A monitor's failure must not end a training run: a warning is given once, and the hooks do nothing more.

        They stay on the optimizer, which is iterating over its hooks.
        """
        began = time.perf_counter()
        try:
            with torch.no_grad():
                act(*given)
        except Exception as error:
            self.ledger.failure = f"{type(error).__name__}: {error}"
            self._failed, self._open, self._waiting = True, None, False
            warnings.warn(f"watch: sample failed, the run continues unwatched: {self.ledger.failure}", stacklevel=2)
        self.ledger.seconds += time.perf_counter() - began

    def _read_weights(self, optimizer: torch.optim.Optimizer, closure: bool) -> None:
        """Before a step; those of the step after it are needed until its gradient is there, which a closure delays."""
        if self._open is not None and self._open.step < self.ledger.steps:
            self._open.before_next_step()
            return
        groups = [optimizer.param_groups[k] for k in self._where(optimizer)]
        made = {id(g): self._recognise(optimizer, g) for g in {id(g): g for g in groups}.values()}
        rules = [made[id(g)] for g in groups]
        age = self.ledger.steps + 1.0 if self._fresh else math.inf
        shares = [rule.decay_share(age) for rule in rules]
        self._open = Sample(self._at, self._economy, self.ledger.steps, rules, shares)
        self._open.before_step()

    def _read_gradients(self, optimizer: torch.optim.Optimizer, late: bool = False) -> None:
        """Of a step; those of the step after it finish the sample. ``late`` ones were read after the step."""
        self._waiting = False
        if self._open is None:
            return
        if self._open.step < self.ledger.steps:
            sample, self._open = self._open, None
            self._keep(sample, sample.finish(self._gradients()))
            return
        everything = [p for group in optimizer.param_groups for p in group["params"]]
        own = facts(self._at, everything, getattr(optimizer, "grad_scale", None), self.loss)
        grads = self._gradients()
        self._open.read_gradients(grads, own, late)
        self.loss = None
        if self._curvature is not None and not late:
            self._open.curvature = self._curvature.read(grads)

    def _read_step(self, optimizer: torch.optim.Optimizer) -> None:
        """What a step made of the weights."""
        assert self._open is not None
        groups = [optimizer.param_groups[k] for k in self._where(optimizer)]
        self._open.after_step(groups, [optimizer.state.get(p, {}) for p in self._parameters])

    def _keep(self, sample: Sample, found: Found) -> None:
        ledger = self.ledger
        ledger.following = _next(sample.step, ledger.steps, self.every)
        if not (np.isfinite(found.norm) and all(np.isfinite(x).all() for x in (found.start, found.steps, found.pairs))):
            ledger.nonfinite = sample.step if ledger.nonfinite is None else ledger.nonfinite
            return
        if not found.right:  # the next ones keep what this one had to make again
            self._economy.undo, self._economy.early = False, True
            ledger.following = ledger.steps
            return
        ledger.nonfinite = None
        if not (found.steps[:, budget.MOVED, budget.MOVED] > 0).any():
            ledger.unmoved += 1
            return
        ledger.saw(found.norm)
        self.rules = self._by_group(sample.rules)
        row = budget.row(found.start, found.steps, found.pairs, found.between)
        row |= dict(zip(("lr", "wd"), np.array([rule.rates() for rule in self.rules]).T, strict=True))
        row |= {"laplacian": found.curvature[:, 0], "probe_grad_sq": found.curvature[:, 1]}
        if self._sink(sample.step, found.energy, row):
            self.every *= 2
            ledger.following = _next(sample.step, ledger.steps, self.every)

    def _by_group(self, rules: list[Optimizer]) -> list[Optimizer]:
        """The rule of each group; that of its largest parameter where they differ."""
        return [rules[i] for i in self._largest]

    def _gradients(self) -> list[Tensor | None]:
        """This process's parts of them."""
        found = [None if p.grad is None else like(p.grad, p) for p in self._parameters]
        return [g.to_dense() if g is not None and g.is_sparse else g for g in found]

    def _where(self, optimizer: torch.optim.Optimizer) -> list[int]:
        """The number of the optimizer's parameter group of each parameter; looked up anew when they change."""
        count = sum(len(g["params"]) for g in optimizer.param_groups)
        if self._places[0] != count:
            number = {id(p): k for k, g in enumerate(optimizer.param_groups) for p in g["params"]}
            self._places = (count, [number[id(p)] for p in self._parameters])
        return self._places[1]


def _largest(parameters: list[Tensor], labels: list[np.ndarray]) -> np.ndarray:
    """Of each group the number of the parameter that has most of its weights."""
    sizes = np.zeros((len(parameters), max(int(label.max()) for label in labels) + 1))
    for i, (parameter, label) in enumerate(zip(parameters, labels, strict=True)):
        np.add.at(sizes[i], label[label >= 0], parameter.numel() / len(label))
    return sizes.argmax(axis=0)


def _next(step: int, made: int, every: int) -> int:
    """When to read after the sample of ``step``: early at fourfold steps, then at multiples of ``every``."""
    early = max(4 * step, _FIRST)
    return max(min(early, (step // every + 1) * every), made + 1)


def _has_closure(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether ``step`` was called with a closure: ``args`` holds the optimizer and what it was given."""
    return any(callable(a) for a in (*args[1:], kwargs.get("closure")))
