"""One extra pair of gradients at a sample, for the configurational temperature of the groups of a watched run.

T_conf = E‖∇L‖²/E ΔL on the unit sphere (:mod:`weightgas.measurement.configurational`) needs neither mobility nor noise,
so it is the temperature that adaptive optimizers have too. On one probe batch, at weights turned to either side by the
angle θ along random u_i ⟂ w_i of the same length (:mod:`weightgas.probes.laplacian`, t_i the random signs without their
part along w_i),

    Δ_i L ≈ ‖t_i‖² ⟨u_i, g₊ − g₋⟩/(2θ cos θ)        ‖∇_i L‖² ≈ r_i² ⟨g, (g₊ + g₋)/2⟩

with g the gradient of the step itself, from another batch. The second is unbiased except for the third derivative,
O(θ²), and for clipping, which shortens g.

Weights, buffers, the random numbers of torch and the modes of the modules are restored bit by bit; gradients are not
touched. Autocast is off inside, and its cached copies of the weights are neither read nor changed. Weakness: one sample
scatters by tens of per cent, and by many times its value where ``loss_fn`` computes in bfloat16, so average. The error
of the average does not contain the choice of the probe batches. What a module stores outside its buffers is not
restored, nor are random numbers of NumPy or Python that ``loss_fn`` may draw.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from weightgas.errors import refuse
from weightgas.monitoring.products import copies, wide
from weightgas.probes.laplacian import NEAR

MOST_BATCHES = 16
"""Number of probe batches taken from a data loader; a list is used completely. Samples take them in turn."""


class Curvature:
    """Estimates of Δ_i L and ‖∇_i L‖² of the groups of :meth:`weightgas.monitoring.choice.Choice.places`."""

    def __init__(
        self,
        model: nn.Module,
        loss_fn: Callable[..., Tensor],
        batches: Iterable[Any],
        parameters: list[Tensor],
        labels: list[np.ndarray],
        seed: int = 0,
    ) -> None:
        self._model, self._loss_fn, self._parameters = model, loss_fn, parameters
        with _generators(parameters):  # a data loader draws
            most = None if isinstance(batches, list | tuple) else MOST_BATCHES
            self._batches = list(itertools.islice(batches, most))
        if not self._batches:
            raise refuse("batches", "at least one batch", "none", "Pass a list of batches, as loss_fn takes them.")
        self._groups = int(max(label.max() for label in labels)) + 1
        # row −1, of no group, is put behind the others and cut off
        self._labels = [
            torch.tensor(np.where(x < 0, self._groups, x), device=p.device)
            for p, x in zip(parameters, labels, strict=True)
        ]
        self._signs, self._count = torch.Generator().manual_seed(seed), 0

    def read(self, gradients: Sequence[Tensor | None]) -> Tensor:
        """Δ_i L and ‖∇_i L‖², (groups, 2) on the device of the parameters; ``gradients`` are those of the step."""
        with torch.no_grad(), _as_it_was(self._model, self._parameters) as weights:
            across, lengths, squares = self._across(weights)
            sides = [self._turned(weights, across, sign * NEAR) for sign in (1, -1)]
            self._count += 1
            bend = self._sums(across, [a - b for a, b in zip(*sides, strict=True)])
            drift = self._sums(gradients, [(a + b) / 2 for a, b in zip(*sides, strict=True)])
            laplacian = lengths * bend / (2 * NEAR * math.cos(NEAR))
            return torch.stack([laplacian, squares * drift], dim=1)

    def _across(self, weights: list[Tensor]) -> tuple[list[Tensor], Tensor, Tensor]:
        """u of every tensor, and ‖t_i‖² and r_i² of every group."""
        signs = [self._drawn(w) for w in weights]
        squares, along = self._sums(weights, weights), self._sums(signs, weights)
        lengths = self._sums(signs, signs) - along**2 / squares
        share, factor = along / squares, torch.where(lengths > 0, (squares / lengths).sqrt(), 0.0)
        return (
            [
                (x - w * self._spread(share, k, w)) * self._spread(factor, k, w)
                for k, (x, w) in enumerate(zip(signs, weights, strict=True))
            ],
            lengths,
            squares,
        )

    def _turned(self, weights: list[Tensor], across: list[Tensor], angle: float) -> list[Tensor]:
        """Gradients of the next probe batch at weights turned by ``angle``; dropout is the same on either side."""
        for parameter, w, u in zip(self._parameters, weights, across, strict=True):
            parameter.copy_(w * math.cos(angle) + u * math.sin(angle))
        _seed(self._count, self._parameters)
        with torch.enable_grad():
            loss = self._loss_fn(self._model, self._batches[self._count % len(self._batches)])
            found = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        return [torch.zeros_like(w) if g is None else g for g, w in zip(found, weights, strict=True)]

    def _drawn(self, like: Tensor) -> Tensor:
        signs = torch.randint(2, like.shape, generator=self._signs, dtype=torch.int8)
        return (2 * signs - 1).to(like.device, like.dtype)

    def _sums(self, first: Sequence[Tensor | None], second: Sequence[Tensor | None]) -> Tensor:
        """Inner products of every group, (groups,) float64."""
        device = self._parameters[0].device
        out = torch.zeros(self._groups + 1, dtype=wide(device), device=device)
        for a, b, label in zip(first, second, self._labels, strict=True):
            if a is not None and b is not None:
                products = (a.to(out.dtype) * b.to(out.dtype)).reshape(len(label), -1).sum(1)
                out.index_add_(0, label.to(device), products.to(device))
        return out[: self._groups]

    def _spread(self, of_groups: Tensor, k: int, like: Tensor) -> Tensor:
        """A value for each row of tensor ``k``: that of its group, 0 for rows of no group."""
        rows = torch.cat([of_groups, of_groups.new_zeros(1)]).to(like.device)[self._labels[k]]
        return rows.to(like.dtype).reshape(-1, *[1] * (like.ndim - 1)) if like.ndim else rows[0].to(like.dtype)


def _devices(parameters: Sequence[Tensor]) -> list[int]:
    return sorted({p.device.index for p in parameters if p.device.type == "cuda"})


def _seed(seed: int, parameters: Sequence[Tensor]) -> None:
    """Seed the generators that are restored, and no others: ``torch.manual_seed`` would seed every device."""
    torch.default_generator.manual_seed(seed)
    for index in _devices(parameters):
        torch.cuda.default_generators[index].manual_seed(seed)


@contextmanager
def _generators(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Restore the random numbers of torch afterwards."""
    with torch.random.fork_rng(_devices(parameters)):
        yield


@contextmanager
def _without_autocast(parameters: Sequence[Tensor]) -> Iterator[None]:
    """Autocast off, and its cache too, which contains copies of the weights from before the step."""
    before = torch.is_autocast_cache_enabled()
    with ExitStack() as stack:
        for kind in {"cpu", *(p.device.type for p in parameters)}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        stack.callback(torch.set_autocast_cache_enabled, before)
        torch.set_autocast_cache_enabled(False)
        yield


@contextmanager
def _as_it_was(model: nn.Module, parameters: list[Tensor]) -> Iterator[list[Tensor]]:
    """The weights, to be moved inside; afterwards weights, buffers, modes and random numbers are restored."""
    buffers = list(model.buffers())
    modes = [(module, module.training) for module in model.modules()]
    kept = copies(buffers)
    weights = [w for w in copies(parameters) if w is not None]
    with _generators(parameters), _without_autocast(parameters):
        try:
            yield weights
        finally:
            for tensor, before in zip([*buffers, *parameters], [*kept, *weights], strict=True):
                assert before is not None
                tensor.copy_(before)
            for module, mode in modes:
                module.training = mode
