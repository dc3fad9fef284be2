"""The step of many networks at once: one flat (stack, dim) tensor of weights, one step of the protocol for all.

The stack has the cells and replicas of a chunk of the grid, replica fastest. Weights have the chosen dtype; norms and
all sums are float64. Except for rounding, the results of a network do not depend on the rest of the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weightgas import networks, probes
from weightgas.datasets import Images
from weightgas.networks import Network
from weightgas.optimizers import Optimizer
from weightgas.probes import Curvature, Moments
from weightgas.protocols import Protocol
from weightgas.training.averaging import WeightSum, sum_of
from weightgas.training.draws import Draws, sequences
from weightgas.training.measured import Measurement, gathered
from weightgas.training.mode import Evaluated, Mode, usual
from weightgas.training.start import FIRST_GUESS, optimizer_radii, predicted_radii

RANDOM, SLOW_RANDOM = 64, 16
"""Number of random networks that give the energy of a random walk."""

MOMENTUM = "momentum_buffer"
"""The name of the buffer b of SGD with momentum in torch and :mod:`weightgas.optimizers`."""

START, WARMUP = 2**30, 2**30 + 1
"""Numbers of the draws of extra gradients before the first sample; the draws of samples count from 1."""

SUMS = ("grad_sq", "group_grad_sq", "growth", "buffer_sq", "group_buffer_sq", "energy")
"""The sums of a state over the steps since the last sample."""

Rule = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor | None]]
"""From w, g (stack, dim), ‖w_i‖² and ‖g_i‖² (stack, groups): decay c and size s of w ← w − (c w + s g), as columns,
and on the sphere the growth of the norm."""


@dataclass(frozen=True)
class State:
    """The stack between two steps; never changed in place, so an interrupted call does not damage the last one.

    ``step`` counts from the beginning of the warm-up. The sums run over the ``count`` steps since the last sample: of
    r²‖g‖² (stack,), of r_i²‖g_i‖² (stack, groups) and, on the sphere, of (‖w₊‖² − ‖w‖²)/r² (stack,). ``buffers`` are
    those of the optimizer, ``age`` steps after they were reset, and with a momentum buffer b ``buffer_sq`` and
    ``group_buffer_sq`` are the sums of r²‖b‖² (stack,) and r_i²‖b_i‖² (stack, groups); ``energy`` is that of the losses
    of the batches, if they are recorded. ``mean`` (stack, dim), float64, is that of the weights after each of the last
    ``averaged`` steps, None outside of a window.
    """

    step: int
    weights: Tensor
    count: int
    rate: Tensor
    grad_sq: Tensor
    group_grad_sq: Tensor
    growth: Tensor
    buffer_sq: Tensor
    group_buffer_sq: Tensor
    energy: Tensor
    buffers: Mapping[str, Tensor] = field(default_factory=dict)
    age: int = 0
    mean: Tensor | None = None
    averaged: int = 0

    def cleared(self) -> State:
        """The same weights with empty sums."""
        return replace(self, count=0, **{name: torch.zeros_like(getattr(self, name)) for name in SUMS})

    def averaging(self) -> State:
        """The same weights at the start of a window, over which their mean is taken."""
        return replace(self, mean=torch.zeros_like(self.weights, dtype=torch.float64), averaged=0)


class Engine:
    """Steps, measurements and starts of all cells and replicas of ``protocol``."""

    def __init__(
        self,
        protocol: Protocol,
        network: Network,
        data: Images,
        *,
        replicas: int,
        seed: int,
        batch_size: int,
        dtype: torch.dtype,
        device: torch.device,
        optimizer: Optimizer | None = None,
        energy_batches: int | None = None,
        batch_energy: bool = False,
        mode: Mode | None = None,
    ) -> None:
        """``optimizer`` makes the steps at fixed LR, with learning rate and decay of each cell; None for plain SGD."""
        self.protocol, self.data, self.replicas, self._given = protocol, data, replicas, network
        self.sizes = tuple(network.groups(data).values())
        self.stack = len(protocol) * replicas
        self._seed, self._batch_size, self._dtype, self._device = seed, batch_size, dtype, device
        self._inputs = torch.as_tensor(data.inputs, dtype=dtype, device=device)
        self._labels = torch.as_tensor(data.labels, device=device)
        self._draws = Draws(protocol, replicas, seed, len(data), batch_size, device)
        self._fixed = torch.from_numpy(probes.disjoint_batches(len(data), batch_size)[:energy_batches]).to(device)
        self._at = {axis: np.repeat(v, replicas) for axis, v in protocol.cells().items()}
        steers = {protocol.steers: np.ones(self.stack)} if protocol.steers else {}  # until it is measured
        at = self._at | steers
        self._rate, decay = (torch.from_numpy(np.array(x)).to(device) for x in (protocol.rate(at), protocol.decay(at)))
        self._decay, self.radius = decay, protocol.fixed_radius(at)
        self.has_momentum = optimizer is not None and MOMENTUM in optimizer.buffers(torch.zeros(1, 1))
        self._optimizer, self._rates = optimizer, (_column(self._rate, dtype), _column(decay, dtype))
        self._batch_energy = batch_energy
        self.take(mode or usual(network, data.inputs.shape[1:], self.stack))

    def take(self, mode: Mode) -> None:
        """Evaluate the networks in another mode from now on."""
        self.network: Any = Evaluated(self._given, mode)
        data = (self._inputs, self._labels)
        self._measured = Measurement(self._given, self.network, self.sizes, data, self.stack, self._batch_energy)

    def initial(self) -> State:
        """Fresh weights, each replica of each cell from its own stream; on the sphere scaled to its radius."""
        keys = sequences(self.protocol, self.replicas, self._seed, "start")
        return self.given(np.stack([self.network.initial(np.random.default_rng(key), self.data) for key in keys]))

    def given(self, weights: np.ndarray) -> State:
        """A start from ``weights`` (stack, dim), on the sphere scaled to its radius."""
        if self.radius is not None:
            weights = weights * (self.radius / np.linalg.norm(weights, axis=1))[:, None]
        state = self.state(0, weights)
        return self.steered(state, START) if self.protocol.steers else state

    def steered(self, state: State, number: int, noise_trace: Tensor | None = None) -> State:
        """The state with the rate that a steering protocol sets from tr Σ, by default from extra gradients there.

        ``number`` is that of their draw, as in :meth:`noise_gradients`.
        """
        first = noise_trace is None
        if noise_trace is None:
            gradients = self.noise_gradients(state.weights, number, FIRST_GUESS)
            noise_trace = self.moments(state.weights, gradients).noise_trace
        dof = sum(size - 1 for size in self.sizes)
        with np.errstate(all="ignore"):  # for a run that diverged
            noise_var, before = noise_trace.cpu().numpy() / dof, None if first else state.rate.cpu().numpy()
            rate = self.protocol.steered(self._at, noise_var, before)
        return replace(state, rate=torch.as_tensor(rate, dtype=torch.float64, device=self._device))

    def state(self, step: int, weights: np.ndarray) -> State:
        """A state at ``step`` with ``weights`` (stack, dim) and empty sums."""
        zeros = torch.zeros(self.stack, dtype=torch.float64, device=self._device)
        groups = zeros.new_zeros((self.stack, len(self.sizes)))
        start = torch.as_tensor(weights, dtype=self._dtype, device=self._device)
        return State(step, start, 0, self._rate, zeros, groups, zeros, zeros, groups, zeros, self._empty(start))

    def advance(self, state: State, steps: int, *, fixed_radius: bool = False) -> State:
        """The state ``steps`` steps later; ``fixed_radius`` keeps a fixed-ELR run on the sphere of its current radius.

        On the sphere the direction moves as in the free run, but a new run, with the large gradients of random weights
        (η_e²G > 1), does not diverge before they decrease.
        """
        if self._optimizer is not None:
            return self._stepped(state, steps, self._optimizer)
        weights, kind = state.weights, self.protocol
        square = None if self.radius is None else torch.from_numpy(np.array(self.radius) ** 2).to(self._device)
        if fixed_radius and kind.scaled and square is None:
            square = probes.group_squares(weights, self.sizes).sum(-1)
        rule = _rule(kind.scaled, square, state.rate, self._decay, self._dtype)
        measured, growths, total = [], [], sum_of(state.mean)
        with torch.no_grad():
            for step in range(state.step, state.step + steps):
                gradient, square, losses = self._measured(weights, self._draws.training(step))
                decay, size, growth = rule(weights, gradient, *square)
                # Written as a difference: the rounding of 1 − ηλ may exceed a small ηλ.
                weights = weights - torch.addcmul(weights * decay, gradient, size)
                measured.append((square, losses))
                if growth is not None:
                    growths.append(growth)
                if total is not None:
                    total.add(weights)
            found = _moved(state, steps, weights, measured, total)
            return replace(found, growth=state.growth + torch.stack(growths).sum(0)) if growths else found

    def _stepped(self, state: State, steps: int, optimizer: Optimizer) -> State:
        """:meth:`advance` with an optimizer that keeps buffers."""
        weights, buffers, measured, total = state.weights, state.buffers, [], sum_of(state.mean)
        buffer_sq, group_buffer_sq = state.buffer_sq, state.group_buffer_sq
        with torch.no_grad():
            for count in range(1, steps + 1):
                index = self._draws.training(state.step + count - 1)
                gradient, square, losses = self._measured(weights, index)
                weights, buffers = optimizer.step(weights, gradient, buffers, *self._rates, state.age + count)
                measured.append((square, losses))
                if total is not None:
                    total.add(weights)
                if MOMENTUM in buffers:
                    kept = probes.group_squares(buffers[MOMENTUM], self.sizes)
                    buffer_sq = buffer_sq + square[0].sum(-1) * kept.sum(-1)
                    group_buffer_sq = group_buffer_sq + square[0] * kept
            return replace(
                _moved(state, steps, weights, measured, total), buffer_sq=buffer_sq, group_buffer_sq=group_buffer_sq,
                buffers=buffers, age=state.age + steps,
            )  # fmt: skip

    def _empty(self, weights: Tensor) -> Mapping[str, Tensor]:
        """Buffers before the first step."""
        return {} if self._optimizer is None else self._optimizer.buffers(weights)

    def energy(self, weights: Tensor) -> Tensor:
        """Energy (C,) of any number of networks: their loss over the fixed disjoint batches in use, float64."""
        losses = partial(networks.shared_losses, self.network)
        return probes.energies(losses, weights, self._inputs, self._labels, self._fixed)

    def noise_gradients(self, weights: Tensor, sample: int, batches: int) -> Tensor:
        """Gradients (batches, stack, dim) at the ``weights`` of the stack; ``sample`` is the number of the draw."""
        return torch.stack([self._gradients(weights, index) for index in self._draws.noise(sample, batches)])

    def moments(self, weights: Tensor, gradients: Tensor) -> Moments:
        """Noise and squared mean gradient at the ``weights`` of the stack, from the extra ``gradients`` there."""
        return probes.moments(gradients, weights, self.sizes)

    def curvature(self, weights: Tensor, gradients: Tensor, sample: int, batches: int) -> Curvature:
        """Laplacian, and curvature along the noise of ``gradients``, from ``batches`` and as many probes."""
        indices, signs = self._draws.curvature(sample, batches, weights.shape[1])
        drawn = ((*self._batch(index), probe) for index, probe in zip(indices, signs, strict=True))
        return probes.curvature(partial(networks.gradients, self.network), weights, drawn, gradients, self.sizes)

    def rescaled(self, state: State, group_grad_sq: Tensor) -> State:
        """The state with every group at its radius predicted from G_i, if there is one; sums and buffers are reset."""
        squares = group_grad_sq.cpu().numpy()
        if self._optimizer is None:
            steered = {self.protocol.steers: state.rate.cpu().numpy()} if self.protocol.steers else {}
            wanted = predicted_radii(self.protocol, self._at | steered, squares)
        else:
            cells = {axis: np.repeat(v, self.replicas)[:, None] for axis, v in self.protocol.cells().items()}
            wanted = optimizer_radii(self._optimizer.at(**cells), self.sizes, squares)
        wanted = torch.as_tensor(wanted, device=self._device)
        factors = wanted / probes.group_squares(state.weights, self.sizes).sqrt()
        factors = torch.where(torch.isfinite(factors) & (factors > 0), factors, 1.0)
        repeats = torch.tensor(self.sizes, device=self._device)
        weights = state.weights * factors.to(self._dtype).repeat_interleave(repeats, 1)
        return replace(state.cleared(), weights=weights, buffers=self._empty(weights), age=0)

    def random_energy(self) -> tuple[float, float]:
        """Mean and standard deviation of the energy of random directions: the values of a random walk."""
        # Networks that are evaluated few at a time are slow: a rough value suffices.
        fast = networks.together(self._given, self.data.inputs.shape[1:]) is None
        generator = np.random.default_rng(0)
        drawn = [self.network.initial(generator, self.data) for _ in range(RANDOM if fast else SLOW_RANDOM)]
        found = self.energy(torch.as_tensor(np.stack(drawn), dtype=self._dtype, device=self._device))
        return found.mean().item(), found.std().item()

    def _gradients(self, weights: Tensor, index: Tensor) -> Tensor:
        return networks.gradients(self.network, weights, *self._batch(index))

    def _batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        return gathered(self._inputs, self._labels, self.stack, index)


def _moved(
    state: State, steps: int, weights: Tensor, measured: list[tuple[Any, Any]], total: WeightSum | None
) -> State:
    """``state`` after its steps, with the sums of G and of the losses, and the mean of a window.

    ``measured``: squares and losses of :class:`Measured`, by step; ``total``: the sum of the weights after each step.
    """
    squares, losses = zip(*measured, strict=True)
    radii, gradients = torch.stack(squares, 1)
    if losses[0] is not None:
        state = replace(state, energy=state.energy + torch.stack(losses).double().sum(0))
    if total is not None and state.mean is not None:  # Welford's update, by all of these steps at once
        averaged = state.averaged + steps
        state = replace(state, mean=state.mean + (total.value() - steps * state.mean) / averaged, averaged=averaged)
    return replace(
        state,
        step=state.step + steps,
        weights=weights,
        count=state.count + steps,
        grad_sq=state.grad_sq + (radii.sum(-1) * gradients.sum(-1)).sum(0),
        group_grad_sq=state.group_grad_sq + (radii * gradients).sum(0),
    )


def _rule(scaled: bool, square: Tensor | None, rate: Tensor, decay: Tensor, dtype: torch.dtype) -> Rule:
    """The rule of steps of size η, or η_e ‖w‖² if they are ``scaled``; on the sphere of r² = ``square`` if given."""
    if square is not None:
        return _on_sphere(rate if scaled else rate / square, square)
    if scaled:
        return lambda weights, gradient, radii, gradients: _free(rate * radii.sum(-1), decay, weights.dtype)
    constant = _free(rate, decay, dtype)
    return lambda weights, gradient, radii, gradients: constant


def _free(size: Tensor, decay: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor, None]:
    """SGD with coupled decay, w ← w − η (g + λ w): decay ηλ and size η, where at fixed ELR η = η_e ‖w‖²."""
    return _column(size * decay, dtype), _column(size, dtype), None


def _on_sphere(elr: Tensor, square: Tensor) -> Rule:
    """The rule of the sphere of squared radius ``square``: w₊ = w − s g with s = η_e r², then w ← w₊ r/‖w₊‖.

    ‖w₊‖² = ‖w‖² − 2 s ⟨w, g⟩ + s² ‖g‖². In the form w − (c w + s′ g): c = 1 − r/‖w₊‖, s′ = s r/‖w₊‖. The growth
    (‖w₊‖² − ‖w‖²)/r² is computed as a difference, which float32 weights would not resolve at small η_e.
    """
    size = elr * square

    def rule(weights: Tensor, gradient: Tensor, radii: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        along = torch.linalg.vecdot(weights.double(), gradient.double())
        growth = (size**2 * gradients.sum(-1) - 2 * size * along) / square
        excess = growth + (radii.sum(-1) - square) / square
        root = torch.sqrt(1 + excess)
        return _column(excess / (root * (1 + root)), weights.dtype), _column(size / root, weights.dtype), growth

    return rule


def _column(values: Tensor, dtype: torch.dtype) -> Tensor:
    return values.to(dtype).unsqueeze(1)
