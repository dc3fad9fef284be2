"""The mode in which the networks of a stack are evaluated: their number at once, parts of batches, compiled or not.

All modes give the same losses and gradients up to rounding, but differ in time and memory. If memory runs out, the mode
is made smaller and the evaluation is repeated.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weightgas import networks
from weightgas.errors import OutOfMemoryError, shown
from weightgas.networks import Network, frozen_head
from weightgas.networks.network import averaged_losses, gradients_at_once, losses_and_gradients_at_once

logger = logging.getLogger(__name__)

AT_ONCE = 35
"""Default number of networks at once: enough to make calls of torch cheap, few enough to stay in the cache."""

_SAID_BY = ("can't allocate memory", "out of memory", "bad_alloc", "bad allocation")
"""Messages of torch, in a RuntimeError, when the memory of the machine or of a device is exhausted."""


@dataclass(frozen=True)
class Mode:
    """``at_once`` networks in one evaluation, with at most ``inputs`` inputs of each batch (None for all)."""

    at_once: int
    compiled: bool = False
    inputs: int | None = None

    def array(self) -> np.ndarray:
        """The mode as numbers, for a checkpoint."""
        return np.array([self.at_once, self.compiled, self.inputs or 0])

    @classmethod
    def of(cls, numbers: Iterable[Any]) -> Mode:
        """The mode from the numbers of :meth:`array`; ValueError if they are not such numbers."""
        at_once, compiled, inputs = map(int, numbers)
        if at_once < 1 or compiled not in (0, 1) or inputs < 0:
            raise ValueError(f"mode: expected numbers of networks and inputs, got {numbers}")
        return cls(at_once, bool(compiled), inputs or None)


def usual(network: Network, shape: tuple[int, ...], stack: int | None = None) -> Mode:
    """The mode by rule, for inputs of this ``shape``; ``stack`` networks at once if any number is possible."""
    return Mode(networks.together(network, shape) or stack or AT_ONCE)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the memory of the machine or of a device ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SAID_BY)


class Evaluated:
    """A network in a mode; itself a :class:`weightgas.networks.Network`, which can be used like any other.

    ``mode`` is the current one: a smaller one than requested if memory ran out or compilation failed.
    """

    def __init__(self, network: Network, mode: Mode) -> None:
        self.network, self.mode = network, mode
        self._fast: Any = _compiled(network) if mode.compiled else None
        self._size = 0  # networks in a compiled evaluation: one number, since each is compiled separately

    def __getattr__(self, name: str) -> Any:
        if name == "network":  # not defined yet during unpickling
            raise AttributeError(name)
        return getattr(self.network, name)

    @property
    def together(self) -> int:
        """Number of networks that are evaluated at once."""
        return self.mode.at_once

    def losses(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """As :meth:`weightgas.networks.Network.losses`."""
        return self._evaluated(self.network.losses, weights, inputs, labels)

    def gradients(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """As :func:`weightgas.networks.gradients`."""
        return self._evaluated(self._gradients, weights, inputs, labels)

    def losses_and_gradients(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The losses (C,) and gradients (C, dim) from one evaluation of each."""
        stack, batch = labels.shape
        if stack <= self.mode.at_once and (self.mode.inputs or batch) >= batch:
            try:
                return self._fastest(losses_and_gradients_at_once, weights, inputs, labels)
            except (MemoryError, RuntimeError) as error:
                self._shrink(stack, batch, error)
        both = self._evaluated(self._packed, weights, inputs, labels)
        return both[:, -1], both[:, :-1]

    def shared_losses(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """As :func:`weightgas.networks.shared_losses`."""
        own = getattr(self.network, "shared_losses", None)
        if own is None or self.mode.inputs is not None:
            whole: Any = self
            return averaged_losses(whole, weights, inputs, labels)
        try:
            return torch.cat([own(part, inputs, labels) for part in weights.split(self.mode.at_once)])
        except (MemoryError, RuntimeError) as error:
            self._shrink(len(weights), labels.shape[1], error)
        return self.shared_losses(weights, inputs, labels)

    def _gradients(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        return self._fastest(gradients_at_once, weights, inputs, labels)

    def _packed(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """Gradients and, as the last column, losses: (C, dim + 1), one tensor like every mean over a batch here."""
        losses, gradients = self._fastest(losses_and_gradients_at_once, weights, inputs, labels)
        return torch.cat((gradients, losses.unsqueeze(1)), 1)

    def _fastest(self, function: Callable[..., Any], weights: Tensor, inputs: Tensor, labels: Tensor) -> Any:
        """``function`` of the compiled network and a batch, or of the network itself if compilation fails."""
        self._size = self._size or len(weights)
        if self._fast is not None and len(weights) == self._size and self.mode.inputs is None:
            try:
                return function(self._fast, weights, inputs, labels)
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                self.give_up(error)
        return function(self.network, weights, inputs, labels)

    def give_up(self, error: Exception) -> None:
        """Continue without compiled functions."""
        said = next(iter(str(error).splitlines()), "")
        logger.warning("torch.compile failed, eager torch is used (%s: %s)", type(error).__name__, said)
        self._fast, self.mode = None, replace(self.mode, compiled=False)

    def _evaluated(self, function: Callable[..., Tensor], *stacked: Tensor) -> Tensor:
        """``function`` of all networks, in as many evaluations as the current mode requires."""
        while True:
            try:
                parts = zip(*(tensor.split(self.mode.at_once) for tensor in stacked), strict=True)
                found = [self._by_inputs(function, *part) for part in parts]
                return found[0] if len(found) == 1 else torch.cat(found)
            except (MemoryError, RuntimeError) as error:
                stack, batch = stacked[-1].shape
                self._shrink(stack, batch, error)

    def _by_inputs(self, function: Callable[..., Tensor], weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """``function``, a mean over the batch, for a batch in parts: the mean of the parts, weighted by their sizes."""
        size = labels.shape[1]
        if self.mode.inputs is None or self.mode.inputs >= size:
            return function(weights, inputs, labels)
        parts = zip(inputs.split(self.mode.inputs, 1), labels.split(self.mode.inputs, 1), strict=True)
        return torch.stack([function(weights, x, y) * (y.shape[1] / size) for x, y in parts]).sum(0)

    def _shrink(self, stack: int, batch: int, error: MemoryError | RuntimeError) -> None:
        """Switch to a mode that needs less memory for ``stack`` networks and batches of ``batch`` inputs.

        Any other error is raised again; OutOfMemoryError if no mode needs less.
        """
        if not is_out_of_memory(error):
            raise error
        smaller = self._smaller(stack, batch, error)
        logger.warning("memory ran out with %s; continuing with %s", _said(self.mode), _said(smaller))
        self.mode, self._size = smaller, 0

    def _smaller(self, stack: int, batch: int, error: BaseException) -> Mode:
        at_once, inputs = min(self.mode.at_once, stack), min(self.mode.inputs or batch, batch)
        if at_once > 1:
            return replace(self.mode, at_once=(at_once + 1) // 2)
        separable = getattr(self.network, "separable", False)
        if separable and inputs > 1:
            return replace(self.mode, at_once=1, inputs=(inputs + 1) // 2)
        why = "" if separable else ", and its loss needs all of a batch at once, for the statistics of BatchNorm"
        said = next(iter(str(error).splitlines()), "") or "no memory"
        raise OutOfMemoryError(
            f"memory: expected room for one {self.network.name} with {inputs} of the {batch} inputs of a batch{why}, "
            f"got {shown(said)}. Lower batch_size, the width of the network or the size of the images, or take another "
            "machine or device."
        ) from error


def _compiled(network: Network) -> Any:
    """The losses of a network, and its own gradients if it has them, compiled when first called."""
    found = SimpleNamespace(losses=compiled(network.losses))
    for name in ("gradients", "losses_and_gradients"):
        if hasattr(network, name):
            setattr(found, name, compiled(getattr(network, name)))
    return found


_IN_PYTHON = ("AUTOGRAD_SAVED_TENSORS_HOOKS", "DUPLICATE_INPUT")
"""Guards that are Python functions, called before each compiled call: that no hook for saved tensors was set, and that
two modules import the same torch. It drops every exception in them: in a small network one Ctrl-C in ten was lost."""


def _kept(guards: Sequence[Any]) -> list[bool]:
    """Which guards torch tests: all but those in Python about what does not change here."""
    return [each.guard_type not in _IN_PYTHON or isinstance(each.value, Tensor) for each in guards]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` compiled by torch.compile at the first call with each shape of its tensors.

    Torch stores the compiled code in TORCHINDUCTOR_CACHE_DIR.
    """
    # Cached draws are constants for the compiler, which cannot compile the draws.
    torch.compiler.assume_constant_result(frozen_head.head_of)
    known = hasattr(torch.compiler, "skip_guard_on_globals_unsafe")  # an older torch has no filter of guards
    options: Any = {"guard_filter_fn": _kept} if known else None
    made, seen = torch.compile(function, dynamic=False, fullgraph=True, options=options), set()

    def call(*arguments: Any) -> Any:
        shapes = tuple(each.shape for each in arguments if isinstance(each, Tensor))
        if shapes in seen:
            return made(*arguments)
        with warnings.catch_warnings():  # from the compiler, about itself and about the compiled functions
            warnings.simplefilter("ignore")
            found = made(*arguments)
        seen.add(shapes)
        return found

    return call


def _said(mode: Mode) -> str:
    text = f"{mode.at_once} network{'' if mode.at_once == 1 else 's'} at once"
    return text if mode.inputs is None else f"{text}, {mode.inputs} inputs"
