"""The two hooks around every step of an optimizer: when a probe reads, and how its failures never end a run.

torch calls a pre-hook before and a post-hook after ``step``. Gradients exist before it, except where ``step`` gets a
closure, which computes them: they are then read after its first call, and the norms of the tensors show whether a
weight has moved before that. Where a class calls the ``step`` of its parent, the hooks are nested, and the outer ones
count. A compiled step (``torch.compile(optimizer.step)``) calls the hooks between its graphs, not in them.
"""

from __future__ import annotations

import sys
import time
import warnings
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from weightgas.monitoring.shards import local


class Unwatchable(Exception):
    """A loop whose numbers would be wrong; the message is the reason."""


@dataclass
class Ledger:
    """Counters of a watched run, for the table and for a resumed run."""

    steps: int = 0
    following: int = 0
    seconds: float = 0.0
    wall: float = 0.0
    unmoved: int = 0
    skipped: int = 0
    nonfinite: int | None = None
    largest_norm: float = 0.0
    norms: int = 0
    at_largest: int = 0
    failure: str = ""

    def saw(self, norm: float) -> None:
        """Count the norm of the entire gradient: where many samples have the largest norm, it is clipped."""
        self.norms += 1
        if norm > self.largest_norm * (1 + 1e-4):
            self.largest_norm, self.at_largest = norm, 1
        elif norm > self.largest_norm * (1 - 1e-4):
            self.at_largest += 1

    @property
    def clipped(self) -> float:
        """Share of the samples in which the gradient had been clipped; 0 without a sign of clipping."""
        share = self.at_largest / max(self.norms, 1)
        return share if self.at_largest >= 4 and share >= 0.05 else 0.0


class Hooks(ABC):
    """Hooks on ``optimizer`` that call ``_read_weights``, ``_read_gradients`` and ``_read_step`` of a subclass.

    ``parameters`` are those whose gradients are wanted.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor]) -> None:
        self.ledger = Ledger()
        self._parameters = parameters
        self._waiting = False  # for the gradient of the present step
        self._failed = False
        self._began = 0.0
        self._depth = 0  # of steps inside a step
        self._norms: Tensor | None = None
        self._optimizer = weakref.ref(optimizer)
        self._hooks: list[Any] = [torch.compiler.disable(hook) for hook in (self._before, self._after)]
        for hook in self._hooks:
            hook.probe = self
        self._handles: tuple[Any, ...] = (
            optimizer.register_step_pre_hook(self._hooks[0]),
            optimizer.register_step_post_hook(self._hooks[1]),
        )

    @abstractmethod
    def _due(self) -> bool:
        """Whether anything is to be read at the present step."""

    @abstractmethod
    def _read_weights(self, optimizer: torch.optim.Optimizer, closure: bool) -> None:
        """Before the step."""

    @abstractmethod
    def _read_gradients(self, optimizer: torch.optim.Optimizer, late: bool = False) -> None:
        """Before the step, or after the first call of its closure; ``late`` is after the step."""

    @abstractmethod
    def _read_step(self, optimizer: torch.optim.Optimizer) -> None:
        """After the step."""

    @abstractmethod
    def _forget(self) -> None:
        """Discard an unfinished sample."""

    @property
    def attached(self) -> bool:
        """Whether both hooks are still on a living optimizer, and none has failed."""
        optimizer = self._optimizer()
        if optimizer is None or not self._handles or self._failed:
            return False
        hooks = (*optimizer._optimizer_step_pre_hooks.values(), *optimizer._optimizer_step_post_hooks.values())
        return all(hook in hooks for hook in self._hooks)

    @property
    def removed(self) -> bool:
        """Whether the optimizer still exists and its hooks were removed."""
        return self._optimizer() is not None and not self.attached

    @property
    def neighbours(self) -> int:
        """How many other probes of this kind are on the same optimizer."""
        optimizer = self._optimizer()
        hooks = () if optimizer is None else optimizer._optimizer_step_pre_hooks.values()
        probes = [probe for h in hooks if isinstance(probe := getattr(h, "probe", None), Hooks)]
        return sum(probe is not self and not probe._failed for probe in probes)

    @property
    def averages(self) -> str:
        """The name of the class if it is a schedule-free optimizer, which keeps three sequences of weights; else
        empty."""
        optimizer = self._optimizer()
        free = optimizer is not None and {"train_mode", "weight_sum"} <= set(optimizer.param_groups[0])
        return type(optimizer).__name__ if free else ""

    def detach(self) -> None:
        """Remove the hooks; the samples are kept."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._waiting = (), False
        self._forget()

    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        self._depth = self._depth + 1 if self._depth and _inside(optimizer) else 1
        if not self._began:
            self._began = time.perf_counter() - self.ledger.wall
        if self._depth > 1 or self._failed or not self._due():
            return None
        closure = any(callable(a) for a in (*args[1:], kwargs.get("closure")))
        self._safely(self._begin, optimizer, closure)
        if self._failed or not closure:
            return None
        self._waiting = True
        more = {"closure": self._followed(kwargs["closure"])} if "closure" in kwargs else {}
        return (args[0], *map(self._followed, args[1:])), {**kwargs, **more}

    def _begin(self, optimizer: torch.optim.Optimizer, closure: bool) -> None:
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            raise Unwatchable("the step is captured in a CUDA graph, whose replays call no hooks")
        self._read_weights(optimizer, closure)
        self._norms = self._measured() if closure else None
        if not closure:
            self._read_gradients(optimizer)

    def _followed(self, closure: Any) -> Any:
        """``closure`` for the optimizer, with the gradients read after its first call, before any weight moves."""
        if not callable(closure):
            return closure

        def followed(*args: Any, **kwargs: Any) -> Any:
            value, optimizer = closure(*args, **kwargs), self._optimizer()
            if self._waiting and optimizer is not None:
                self._safely(self._evaluated, optimizer)
            return value

        return followed

    def _evaluated(self, optimizer: torch.optim.Optimizer) -> None:
        self._waiting = False
        if self._norms is not None and not torch.equal(self._norms, self._measured()):
            name = type(optimizer).__name__
            raise Unwatchable(f"{name} moves the weights before it calls its closure, so no gradient is taken at them")
        self._read_gradients(optimizer)

    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._depth -= 1
        if self._depth > 0 or self._failed:
            return
        if self._waiting:  # the optimizer made its step without the closure
            self._waiting = False
            self._safely(self._read_gradients, optimizer, True)
        self._safely(self._read_step, optimizer)
        self.ledger.steps += 1
        self.ledger.wall = time.perf_counter() - self._began

    def _measured(self) -> Tensor:
        """The norm of every tensor, which shows a change of any of them without a copy."""
        return torch.stack([torch.linalg.vector_norm(local(p.detach())) for p in self._parameters])

    def _safely(self, act: Callable[..., None], *given: Any) -> None:
        """Run ``act``; its failure must not end the training run, so it gives one warning and turns the hooks off.

        The hooks stay on the optimizer, since it is iterating over them.
        """
        began = time.perf_counter()
        try:
            with torch.no_grad():
                act(*given)
        except Exception as error:
            name = "" if isinstance(error, Unwatchable) else f"{type(error).__name__}: "
            self.ledger.failure, self._failed, self._waiting = f"{name}{error}", True, False
            self._forget()
            warnings.warn(f"watch: sample failed, the run continues unwatched: {self.ledger.failure}", stacklevel=2)
        self.ledger.seconds += time.perf_counter() - began


def _inside(optimizer: torch.optim.Optimizer) -> bool:
    """Whether this step was called inside another step of the same optimizer that has not ended or failed."""
    calls = torch.optim.Optimizer.profile_hook_step.__code__.co_filename  # where torch calls the hooks
    frame, found = sys._getframe(2), 0
    while frame is not None:
        if frame.f_code.co_name == "wrapper" and frame.f_code.co_filename == calls:
            found += frame.f_locals.get("self") is optimizer
        frame = frame.f_back
    return found > 1
