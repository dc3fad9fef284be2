"""The samples of an optimizer's steps: when one is made, and at which weights and gradients.

Weights are read before the step. Gradients are read at the same weights: before the step too, since some optimizers
write into them; or, where the step has a closure that computes them, after its first call. Nothing is written, and no
random number is drawn. :mod:`.sample` describes what is kept of a step, :mod:`.budget` what follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weightgas.monitoring import budget
from weightgas.monitoring.curvature import Curvature
from weightgas.monitoring.hooks import Hooks, Unwatchable
from weightgas.monitoring.intervention import Interventions
from weightgas.monitoring.record import SETTINGS
from weightgas.monitoring.sample import Economy, Found, Places, Sample, facts, scaling
from weightgas.monitoring.shards import Layout, like
from weightgas.optimizers import Optimizer, Unknown, recognised, stepper
from weightgas.optimizers.settings import memory

_FIRST = 16
"""Step of the second sample; later ones follow at fourfold steps until the cadence is reached."""
_ROUNDING = 4
"""Norm of a group's gradient over that of the entire one, in machine epsilons of its dtype, up to which it counts as
rounding error: of a gradient that is 0 in exact arithmetic one epsilon remains. Weakness: in an autocast region the
arithmetic is coarser than the dtype of the weights."""


class Probe(Hooks):
    """Hooks on an optimizer that read ``parameters`` in groups by ``labels`` (:meth:`.choice.Choice.places`).

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
        super().__init__(optimizer, parameters)
        self.every = every
        self.loss: Tensor | float | None = None
        self.rules: list[Optimizer] = []
        self._sink = sink
        self._at = Places(parameters, labels, Layout.of(parameters))
        self._economy = Economy.of(self._at)
        self._economy.undo &= stepper(optimizer) is optimizer  # else a process may have no state of a tensor
        self._largest, self._curvature = _largest(parameters, labels), curvature
        self._recognise = recognise
        self._interventions = Interventions(optimizer)
        self._memories: list[tuple[float, float]] = []
        self._fresh = not any(optimizer.state.get(p) for p in parameters)
        self._open: Sample | None = None
        self._places: tuple[int, list[int]] = (-1, [])

    def resume(self, every: int) -> None:
        """Resume with the counters that were restored into the ledger."""
        self.every, self._fresh, self._open, self._waiting = every, False, None, False
        self._began = 0.0

    def _due(self) -> bool:
        return self._open is not None or self.ledger.steps >= self.ledger.following

    def _forget(self) -> None:
        self._open = None

    def _read_weights(self, optimizer: torch.optim.Optimizer, closure: bool) -> None:
        """Before a step, and again before the next one, whose weights are needed until its gradient is read."""
        if self._open is not None and self._open.step < self.ledger.steps:
            self._open.before_next_step()
            return
        groups = [optimizer.param_groups[k] for k in self._where(optimizer)]
        made = {id(g): self._recognise(optimizer, g) for g in {id(g): g for g in groups}.values()}
        rules = [made[id(g)] for g in groups]
        self._memories = [memory(g) for g in groups]
        age = self.ledger.steps + 1.0 if self._fresh else math.inf
        shares = [rule.decay_share(age) for rule in rules]
        self._open = Sample(self._at, self._economy, self.ledger.steps, rules, shares)
        self._open.before_step()

    def _read_gradients(self, optimizer: torch.optim.Optimizer, late: bool = False) -> None:
        """Read the gradients of a step; those of the next step finish the sample. ``late``: read after the step."""
        if self._open is None:
            return
        if self._open.step < self.ledger.steps:
            sample, self._open = self._open, None
            self._keep(sample, sample.finish(self._gradients(), scaling(optimizer)))
            return
        everything = [p for group in optimizer.param_groups for p in group["params"]]
        own = facts(self._at, everything, scaling(optimizer), self.loss)
        grads = self._gradients()
        self._open.read_gradients(grads, own, late)
        self._intervene(optimizer, self._open)
        self.loss = None
        if self._curvature is not None and not late:
            self._open.curvature = self._curvature.read(grads)

    def _intervene(self, optimizer: torch.optim.Optimizer, sample: Sample) -> None:
        """Find the effect of decay where the class of the optimizer is unknown."""
        where = self._where(optimizer)
        wanted = {k: r for k, r in zip(where, sample.rules, strict=True) if isinstance(r, Unknown)}
        if not wanted:
            return
        each = zip(where, self._parameters, sample.weights, strict=True)
        found = self._interventions.rules(optimizer, wanted, [(k, p, p if w is None else w) for k, p, w in each])
        sample.rules = [found.get(k, rule) for k, rule in zip(where, sample.rules, strict=True)]
        age = self.ledger.steps + 1.0 if self._fresh else math.inf
        sample.shares = [rule.decay_share(age) for rule in sample.rules]

    def _read_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Read the weights after the step."""
        if self._open is None or self._open.step != self.ledger.steps:
            return
        groups, state = [optimizer.param_groups[k] for k in self._where(optimizer)], stepper(optimizer).state
        states = [state.get(p, {}) for p in self._parameters]
        each = zip(self._parameters, states, self._open.shares, strict=True)
        if any(share is None and not s and p.grad is not None for p, s, share in each):
            name = type(stepper(optimizer)).__name__
            raise Unwatchable(f"decay of {name} needs its state, which for some tensors is in other processes only")
        self._open.after_step(groups, states)

    def _keep(self, sample: Sample, found: Found) -> None:
        ledger = self.ledger
        ledger.following = _next(sample.step, ledger.steps, self.every)
        if found.skipped:  # by GradScaler; the next step may do
            ledger.skipped += 1
            ledger.following = ledger.steps
            return
        if not (np.isfinite(found.norm) and all(np.isfinite(x).all() for x in (found.start, found.steps, found.pairs))):
            ledger.nonfinite = sample.step if ledger.nonfinite is None else ledger.nonfinite
            return
        if not found.right:  # the next samples copy what this one had to reconstruct
            self._economy.undo, self._economy.early = False, True
            ledger.following = ledger.steps
            return
        ledger.nonfinite = None
        if not (found.steps[:, budget.MOVED, budget.MOVED] > 0).any():
            ledger.unmoved += 1
            return
        ledger.saw(found.norm)
        self.rules = self._by_group(sample.rules)
        accuracy = np.array([torch.finfo(self._parameters[i].dtype).eps for i in self._largest])
        row = budget.row(found.start, found.steps, found.pairs, found.between, _ROUNDING * accuracy * found.norm)
        each = zip(self.rules, self._largest, strict=True)
        own = [(*rule.rates(), *self._memories[i], rule.decay_factor) for rule, i in each]
        row |= dict(zip(SETTINGS, np.array(own).T, strict=True))
        row["decay"] = np.where([rule.decay_known for rule in self.rules], row["decay"], np.nan)
        row |= {"laplacian": found.curvature[:, 0], "probe_grad_sq": found.curvature[:, 1]}
        if self._sink(sample.step, found.energy, row):
            self.every *= 2
            ledger.following = _next(sample.step, ledger.steps, self.every)

    def _by_group(self, rules: list[Optimizer]) -> list[Optimizer]:
        """The rule of each group; that of its largest parameter where they differ."""
        return [rules[i] for i in self._largest]

    def _gradients(self) -> list[Tensor | None]:
        """The parts of the gradients in this process."""
        found = [None if p.grad is None else like(p.grad, p) for p in self._parameters]
        return [g.to_dense() if g is not None and g.is_sparse else g for g in found]

    def _where(self, optimizer: torch.optim.Optimizer) -> list[int]:
        """The number of the parameter group of each parameter, looked up again when their count changes."""
        count = sum(len(g["params"]) for g in optimizer.param_groups)
        if self._places[0] != count:
            number = {id(p): k for k, g in enumerate(optimizer.param_groups) for p in g["params"]}
            self._places = (count, [number[id(p)] for p in self._parameters])
        return self._places[1]


def _largest(parameters: list[Tensor], labels: list[np.ndarray]) -> np.ndarray:
    """For each group, the number of the parameter that has most of its weights."""
    sizes = np.zeros((len(parameters), max(int(label.max()) for label in labels) + 1))
    for i, (parameter, label) in enumerate(zip(parameters, labels, strict=True)):
        np.add.at(sizes[i], label[label >= 0], parameter.numel() / len(label))
    return sizes.argmax(axis=0)


def _next(step: int, made: int, every: int) -> int:
    """When to read after the sample of ``step``: early at fourfold steps, then at multiples of ``every``."""
    early = max(4 * step, _FIRST)
    return max(min(early, (step // every + 1) * every), made + 1)
