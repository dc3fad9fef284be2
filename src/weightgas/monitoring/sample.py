"""One unfinished sample: what is copied of a step and of the gradient of the next, and the products made of it.

Weights and gradients of small models (:data:`SMALL`) are copied. Of larger ones a sample takes one byte a parameter:
the gradient is :class:`.products.Compressed` until the next one exists. The weights before the step are not kept, but
reconstructed from the weights after it and the state of the optimizer (``Optimizer.undone``: SGD, Adam and AdamW in
float32 or float64). With other optimizers the weights are copied, and each copy is freed before the gradient of that
tensor is compressed, so there is at most one copy of the watched tensors. Their norms show weights that were not
reconstructed exactly; that sample is dropped, and the next ones use copies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weightgas.monitoring import budget
from weightgas.monitoring.products import Compressed, Source, copies, grams, source, wide
from weightgas.monitoring.shards import Layout, like, local
from weightgas.optimizers import Optimizer

SMALL = 4 << 20
"""Bytes of copied weights and gradients up to which both are copied."""


@dataclass(frozen=True)
class Places:
    """The watched tensors, the group of each tensor or of each of its rows (−1 for none), and their layout."""

    parameters: Sequence[Tensor]
    labels: Sequence[np.ndarray]
    layout: Layout

    @property
    def copied(self) -> int:
        """Bytes of copies of the weights and of the gradients in this process."""
        return 2 * sum(local(p).numel() * p.element_size() for p in self.parameters)

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return int(max(label.max() for label in self.labels)) + 1

    def by_group(self, matrices: np.ndarray) -> np.ndarray:
        """Sums over the tensors and rows of each group of (rows of all tensors, …)."""
        label = np.concatenate(self.labels)
        out = np.zeros((self.groups, *matrices.shape[1:]))
        np.add.at(out, label[label >= 0], matrices[label >= 0])
        return out


@dataclass
class Economy:
    """What the samples of a run keep; changed when a sample shows that its optimizer needs more."""

    undo: bool
    """Whether weights before the step are reconstructed instead of copied, if the optimizer can."""
    compress: bool
    early: bool = False
    """Whether gradients are always compressed before the step, since the optimizer writes into them."""

    @classmethod
    def of(cls, places: Places) -> Economy:
        """The initial choice, before anything is known of the optimizer."""
        large = places.copied > SMALL
        return cls(undo=large, compress=large)


@dataclass(frozen=True)
class Found:
    """A finished sample on the host: norm of the entire gradient, loss, and products of each group.

    ``right``: the reconstructed weights have the right norms. ``skipped``: GradScaler skipped one of the two steps,
    since gradients were not finite.
    """

    norm: float
    energy: float
    start: np.ndarray
    steps: np.ndarray
    pairs: np.ndarray
    between: np.ndarray
    curvature: np.ndarray
    right: bool
    skipped: bool


@dataclass
class Sample:
    """A sample, opened at one step and finished at the next; ``rules`` and ``shares`` (:meth:`Optimizer.decay_share`)
    by tensor."""

    places: Places
    economy: Economy
    step: int
    rules: list[Optimizer]
    shares: list[float | None]
    weights: list[Tensor | None] = field(default_factory=list)
    gradients: list[Tensor | Compressed | None] = field(default_factory=list)
    curvature: Tensor | None = None
    _versions: list[int] = field(default_factory=list)
    _facts: Tensor | None = None
    _starts: list[Tensor] = field(default_factory=list)
    _steps: list[Tensor] = field(default_factory=list)
    _between: list[Tensor] = field(default_factory=list)
    _written: bool = False

    def before_step(self) -> None:
        """Copy the weights that cannot be reconstructed."""
        own = [local(p) for p in self.places.parameters]
        self.weights = copies([None if self._undone(i) else p for i, p in enumerate(own)])

    def read_gradients(self, grads: Sequence[Tensor | None], facts: Tensor, late: bool) -> None:
        """Gradients at the weights before the step; ``facts`` are those of :func:`facts`.

        ``late``: read after the step, which is correct only for copied weights.
        """
        self._facts = facts
        for i, (parameter, gradient) in enumerate(zip(self.places.parameters, grads, strict=True)):
            self._versions.append(-1 if gradient is None else gradient._version)
            if not self.economy.compress:  # both are copies, and taken together after the step
                self.gradients.append(self._kept(gradient))
                continue
            before = self.weights[i] if late else local(parameter)
            self._written |= before is None
            before = local(parameter) if before is None else before
            self._starts.append(self._grams(i, [source(before), _source(gradient)]))
            keep = self._undone(i) or self.economy.early or late
            self.gradients.append(self._kept(gradient) if keep else None)

    def after_step(self, groups: Sequence[Mapping[str, Any]], states: Sequence[Mapping[str, Any]]) -> None:
        """Read the weights after the step; ``groups`` and ``states`` are those of the optimizer, by tensor."""
        for i, parameter in enumerate(self.places.parameters):
            after, gradient = local(parameter), None if parameter.grad is None else like(parameter.grad, parameter)
            group, rule, given = groups[i], self.rules[i], self._versions[i] >= 0
            state = {name: local(value) for name, value in states[i].items()}
            copied, decay = self.weights[i], None
            if not given:
                self.shares[i] = 0.0  # the optimizer leaves it alone
            if copied is not None or not given:
                before = source(after if copied is None else copied)
                if self.shares[i] is None:
                    assert copied is not None
                    decay = source(rule.decay_vector(group, state, copied))
            else:
                past = _Undone(rule, group, state, after, gradient)
                before, decay = past, past.decay if self.shares[i] is None else None
            kept = self.gradients[i]
            if isinstance(kept, Tensor) or (kept is None and not self.economy.compress):
                found = self._grams(i, [before, source(after), decay, _source(kept)], difference=True)
                self._steps.append(found[:, : budget.STEP, : budget.STEP])
                self._starts.append(found[:, :: budget.STEP, :: budget.STEP])  # its first and last rows
            else:
                self._steps.append(self._grams(i, [before, source(after), decay], difference=True))
            self.weights[i] = None
            if given and self.gradients[i] is None:
                self._written |= gradient is None or gradient._version != self._versions[i]
                self.gradients[i] = None if gradient is None else self._kept(gradient)

    def before_next_step(self) -> None:
        """Norms of the weights before the next step, which a closure may still move."""
        self._between = [self._grams(i, [source(local(p))]) for i, p in enumerate(self.places.parameters)]

    def finish(self, grads: Sequence[Tensor | None], scaled: Scaling) -> Found:
        """Finish with the gradients of the next step, by one sum over processes, if there are several, and one
        transfer to the host."""
        pairs = []
        for i, (first, second) in enumerate(zip(self.gradients, grads, strict=True)):
            one = first if isinstance(first, Compressed) else _source(first)
            pairs.append(self._grams(i, [one, _source(second)]))
        assert self._facts is not None
        device, dtype = self._facts.device, self._facts.dtype
        written = torch.tensor([float(self._written)], dtype=dtype, device=device)
        parts = [self._facts, written, _summed(self.places, scaled, self._facts)]
        each = (self._starts, self._steps, pairs, self._between)
        parts += [torch.cat([m.to(device) for m in some]).reshape(-1) for some in each]
        parts += [] if self.curvature is None else [self.curvature.to(dtype).reshape(-1)]
        found = self.places.layout.total(torch.cat(parts)).double().cpu().numpy()
        n = sum(map(len, self.places.labels))
        sizes = [len(self._facts), 1, len(scaled), n * budget.START**2, n * budget.STEP**2, n * budget.PAIR**2, n]
        facts, written, later, *products, bent = np.split(found, np.cumsum(sizes))
        start, steps, after, between = (
            x.reshape(n, k, k) for x, k in zip(products, (budget.START, budget.STEP, budget.PAIR, 1), strict=True)
        )
        norm_sq, scale, skipped, energy = facts
        start = budget.scaled(start, [budget.GRADIENT], 1 / scale)
        after = budget.scaled(budget.scaled(after, [budget.FIRST], 1 / scale), [budget.SECOND], 1 / later[0])
        begin = 0
        for label, share in zip(self.places.labels, self.shares, strict=True):
            own, begin = steps[begin : begin + len(label)], begin + len(label)
            if share is not None:  # the row of a = εw
                own[:, budget.DECAY] = own[:, :, budget.DECAY] = share * own[:, budget.W]
                own[:, budget.DECAY, budget.DECAY] = share**2 * own[:, budget.W, budget.W]
        bent = bent.reshape(-1, 2) / [1, scale] if len(bent) else np.full((self.places.groups, 2), np.nan)
        with np.errstate(invalid="ignore"):  # gradients that are not finite
            start, steps, after, between = (self.places.by_group(x) for x in (start, steps, after, between))
            right = not written[0] and budget.undone_rightly(start, steps)
        norm = float(np.sqrt(norm_sq) / scale)
        return Found(
            norm, float(energy), start, steps, after, between, bent, bool(right), bool(skipped > 0 or later[1] > 0)
        )

    def _undone(self, i: int) -> bool:
        """Whether the weights of a tensor before the step are reconstructed from those after it."""
        able = type(self.rules[i]).undone is not Optimizer.undone
        return self.economy.undo and able and self.places.parameters[i].dtype in (torch.float32, torch.float64)

    def _kept(self, gradient: Tensor | None) -> Tensor | Compressed | None:
        """What is kept of a gradient until the next one is read."""
        if gradient is None:
            return None
        return Compressed.of(gradient) if self.economy.compress else gradient.detach().clone()

    def _grams(self, i: int, sources: Sequence[Source | None], *, difference: bool = False) -> Tensor:
        """Products over this process's part of a tensor, (rows of the tensor or 1, k, k)."""
        parameter, rows = self.places.parameters[i], len(self.places.labels[i])
        here, own, layout = self.places.layout.rows(parameter, rows), local(parameter), self.places.layout
        found = grams(sources, own, here.stop - here.start, difference=difference)
        if layout.mesh is not None:
            found *= layout.weight(parameter)
        if here == slice(0, rows):
            return found
        out = found.new_zeros((rows, *found.shape[1:]))
        out[here] = found
        return out


class _Undone:
    """The reconstructed weights before a step as a source of pieces, and the decay of the step as another."""

    def __init__(
        self, rule: Optimizer, group: Mapping[str, Any], state: Mapping[str, Any], after: Tensor, grad: Tensor | None
    ) -> None:
        self._rule, self._group, self._after = rule, group, source(after)
        self._grad = None if grad is None else source(grad)
        alike = {k: v for k, v in state.items() if isinstance(v, Tensor) and v.shape == after.shape}
        self._whole = {k: v for k, v in state.items() if k not in alike}
        self._flat = {k: source(v) for k, v in alike.items()}
        self._last: tuple[tuple[int, int], Tensor] | None = None

    def _state(self, begin: int, end: int) -> dict[str, Any]:
        return {**self._whole, **{k: v(begin, end) for k, v in self._flat.items()}}

    def __call__(self, begin: int, end: int) -> Tensor:
        if self._last is None or self._last[0] != (begin, end):
            grad = None if self._grad is None else self._grad(begin, end)
            found = self._rule.undone(self._group, self._state(begin, end), self._after(begin, end), grad)
            self._last = (begin, end), found
        return self._last[1]

    def decay(self, begin: int, end: int) -> Tensor:
        """a of these elements."""
        return self._rule.decay_vector(self._group, self._state(begin, end), self(begin, end))


Scaling = tuple[Any, Any]
"""The factor by which gradients are still scaled inside a step, and whether the step is to be skipped."""


def scaling(optimizer: Any) -> Scaling:
    """The scale and flag that GradScaler passes to a fused optimizer, which unscales by itself; (1, 0) without it."""
    given = (getattr(optimizer, "grad_scale", None), getattr(optimizer, "found_inf", None))
    return 1.0 if given[0] is None else given[0], 0.0 if given[1] is None else given[1]


def facts(places: Places, everything: Sequence[Any], scale: Scaling, loss: Any) -> Tensor:
    """(norm² of the entire gradient, scale, whether to skip, loss) on the device of the parameters, each divided such
    that sums over processes give the values, and the mean of a loss that differs among them."""
    device = local(places.parameters[0]).device
    by_weight: dict[float, list[Tensor]] = {}
    for parameter in everything:
        if parameter.grad is not None and not parameter.grad.is_sparse:
            own = like(parameter.grad, parameter)
            by_weight.setdefault(places.layout.weight(parameter), []).append(own)
    norm_sq = torch.zeros((), dtype=wide(device), device=device)
    for weight, grads in by_weight.items():
        norm_sq += weight * torch.nn.utils.get_total_norm(grads).to(norm_sq) ** 2
    rest = _summed(places, (*scale, torch.nan if loss is None else loss), norm_sq)
    return torch.cat([norm_sq[None], rest])


def _summed(places: Places, values: Sequence[Any], alike: Tensor) -> Tensor:
    """``values``, different in every process, divided such that their sums over processes are the means."""
    share = 1.0 if places.layout.mesh is None else 1.0 / places.layout.mesh.size()
    each = [torch.as_tensor(local(x), dtype=alike.dtype, device=alike.device).detach().reshape(()) for x in values]
    return torch.stack(each) * share


def _source(gradient: Tensor | None) -> Source | None:
    return None if gradient is None else source(gradient)
