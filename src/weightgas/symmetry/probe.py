"""A float64 copy of a model, read at jittered points: inner products of gradients with weights, and losses.

The model that was handed over is not touched: parameters, gradients, buffers, train/eval mode and the generators of
torch are as before. Of the gradients only one set at a time is in memory.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from weightgas.errors import refuse

MOST_BATCHES = 8
"""Batches kept; further equations come from further jittered points."""
JITTER = 0.1
"""Width of the jitter, in units of the root mean square of the tensor (of an initial value where that is 0)."""
SMALL_EPS = 1e-12
"""Factor on the eps of the normalisations while symmetries are looked for."""

LossFn = Callable[[Any, Any], Tensor]


@dataclass(frozen=True)
class Equations:
    """One row for each (point, batch), one column for each parameter; ``rows``, ``row_*``: for each row of each.

    ``products`` is C = ⟨∇ᵢL, wᵢ⟩, ``spread`` ‖∇ᵢL ∘ wᵢ‖ (C is of this size where there is no symmetry), ``lengths``
    ‖∇ᵢL‖‖wᵢ‖, ``losses`` (equations,).
    """

    losses: np.ndarray
    products: np.ndarray
    spread: np.ndarray
    lengths: np.ndarray
    rows: np.ndarray
    row_spread: np.ndarray
    row_lengths: np.ndarray

    def joined(self, more: Equations) -> Equations:
        """These, and ``more`` behind them."""
        return Equations(*(np.concatenate([getattr(x, f.name) for x in (self, more)]) for f in fields(self)))


def largest_ratio(part: np.ndarray, whole: np.ndarray) -> float:
    """The largest of ``part / whole``, 0 where there is neither."""
    return float(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0).max())


class Probe:
    """A model, a loss and some batches, to be read at points numbered 0, 1, …: same number, same weights and batch."""

    def __init__(self, model: nn.Module, loss_fn: LossFn, batches: Iterable[Any], seed: int) -> None:
        self.loss_fn, self.seed = loss_fn, seed
        self.model = copy.deepcopy(model).double().train()
        named = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad and p.is_floating_point()]
        if not named:
            raise refuse("model", "at least one trainable parameter", "none", "Set requires_grad on what is trained.")
        self.names = tuple(name for name, _ in named)
        self.parameters = [p for _, p in named]
        self.affine = frozenset(_affine(self.model))
        self.origin = [p.detach().clone() for p in self.parameters]
        self.buffers = [(b, b.detach().clone()) for b in self.model.buffers()]
        if not isinstance(batches, Iterable):
            fix = "Pass a list of batches, as loss_fn takes them, or a data loader."
            raise TypeError(f"batches: expected a list of batches, got {type(batches).__name__}. {fix}")
        self.batches = [_as_double(batch) for batch in itertools.islice(batches, MOST_BATCHES)]
        if not self.batches:
            raise refuse("batches", "at least one batch", "none", "Pass a list of batches, as loss_fn takes them.")
        self.norms = [(m, key, m.__dict__[key]) for m in self.model.modules() for key in _EPS if _is_float(m, key)]
        self._check(self._loss(0, None))

    @contextmanager
    def small_eps(self) -> Iterator[None]:
        """The eps of the normalisations made negligible: what is exact without it then is exact."""
        try:
            for module, key, value in self.norms:
                setattr(module, key, value * SMALL_EPS)
            yield
        finally:
            for module, key, value in self.norms:
                setattr(module, key, value)

    def equations(self, begin: int, end: int, *, rows: bool = False) -> Equations:
        """Read the points from ``begin`` to before ``end``; ``rows``: also every row of every parameter by itself."""
        read = [self._equation(point, rows) for point in range(begin, end)]
        return Equations(*(np.array(column) for column in zip(*read, strict=True)))

    def loss(self, point: int, exponents: Mapping[int, float | Tensor]) -> float:
        """Loss at a point where parameter i is multiplied by exp(exponents[i]): a number, or one for each row."""
        with torch.no_grad():
            self._place(point)
            for index, exponent in exponents.items():
                parameter = self.parameters[index]
                factor = torch.as_tensor(exponent, dtype=torch.float64, device=parameter.device).exp()
                parameter.mul_(factor.reshape(-1, *[1] * (parameter.ndim - 1)) if factor.ndim else factor)
            return self._loss(point, self.seed).item()

    def _equation(self, point: int, rows: bool) -> tuple[Any, ...]:
        self._place(point)
        with torch.enable_grad():
            loss = self._loss(point, self.seed)
            found = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        products, spreads, lengths = [], [], []
        of_rows: tuple[list[np.ndarray], ...] = ([], [], [])
        for parameter, gradient in zip(self.parameters, found, strict=True):
            weight = parameter.detach()
            gradient = torch.zeros_like(weight) if gradient is None else gradient
            terms = weight * gradient
            products.append(terms.sum().item())
            spreads.append(terms.norm().item())
            lengths.append((weight.norm() * gradient.norm()).item())
            if rows:
                terms, weight, gradient = (_by_row(x) for x in (terms, weight, gradient))
                values = terms.sum(1), terms.norm(dim=1), weight.norm(dim=1) * gradient.norm(dim=1)
                for part, value in zip(of_rows, values, strict=True):
                    part.append(value.cpu().numpy())
        joined = [np.concatenate(part) if rows else np.empty(0) for part in of_rows]
        if not np.isfinite([loss.item(), *lengths]).all():
            raise refuse("loss_fn", "finite losses and gradients near the model's weights", "NaN or infinity", _NEAR)
        return loss.item(), products, spreads, lengths, *joined

    def _place(self, point: int) -> None:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + point)
        with torch.no_grad():
            for parameter, origin in zip(self.parameters, self.origin, strict=True):
                # four times as fast as in float64
                noise = torch.randn(origin.shape, generator=generator, dtype=torch.float32).to(origin)
                width = origin.square().mean().sqrt()
                # a zero bias, shift or gate is a special value: its inner product with any gradient is 0
                width = width if width > 0 else (origin[0].numel() if origin.ndim > 1 else 1) ** -0.5
                parameter.copy_(origin + JITTER * width * noise)

    def _loss(self, point: int, seed: int | None) -> Tensor:
        with torch.no_grad():
            for buffer, value in self.buffers:
                buffer.copy_(value)
        if seed is not None:  # the same dropout masks wherever one point is read
            _seed_all(seed + point, self.parameters)
        return self.loss_fn(self.model, self.batches[point % len(self.batches)])

    def _check(self, loss: Any) -> None:
        fix = "loss_fn(model, batch) must return the mean loss as a tensor with no dimensions."
        if not isinstance(loss, Tensor):
            raise TypeError(f"loss_fn: expected a scalar tensor, got {type(loss).__name__}. {fix}")
        if loss.ndim or loss.is_complex():
            raise refuse("loss_fn", "a scalar tensor", f"a tensor of shape {tuple(loss.shape)}", fix)
        if not torch.isfinite(loss):
            raise refuse("loss_fn", "a finite loss", loss.item(), "Look at the batch and the weights first.")
        used = loss.requires_grad and torch.autograd.grad(loss, self.parameters, allow_unused=True)
        if not used or all(gradient is None for gradient in used):
            fix = "Use the model that loss_fn is given, which is a copy, and do not detach its output."
            raise refuse("loss_fn", "a loss that depends on the model's parameters", "one that does not", fix)


_EPS = ("eps", "epsilon", "variance_epsilon")
_NEAR = "The model is read with 10 % of noise on its weights, in float64; look for a singular operation."


def _is_float(module: nn.Module, key: str) -> bool:
    return isinstance(module.__dict__.get(key), float)


def _by_row(values: Tensor) -> Tensor:
    return values.reshape(len(values) if values.ndim else 1, -1)


def _affine(model: nn.Module) -> Iterator[str]:
    """Names of the gains and shifts of normalisation layers, recognised by the name of their class."""
    for path, module in model.named_modules():
        if "norm" in type(module).__name__.lower():
            yield from (f"{path}.{name}" if path else name for name, _ in module.named_parameters(recurse=False))


def _as_double(batch: Any) -> Any:
    """``batch`` with its floating tensors in float64; the rest as it is."""
    if isinstance(batch, Tensor):
        return batch.double() if batch.is_floating_point() else batch
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(_as_double, batch))
    if isinstance(batch, list | tuple):
        return type(batch)(map(_as_double, batch))
    if isinstance(batch, dict):
        return {key: _as_double(value) for key, value in batch.items()}
    return batch


def _seed_all(seed: int, parameters: list[nn.Parameter]) -> None:
    torch.default_generator.manual_seed(seed)
    for index in {p.device.index for p in parameters if p.device.type == "cuda"}:
        torch.cuda.default_generators[index].manual_seed(seed)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Whatever runs inside leaves torch as it was: generators, default type; gradients on, autocast off."""
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    default = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices))
        stack.enter_context(torch.enable_grad())
        for kind in {"cpu", *(p.device.type for p in model.parameters())}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        stack.callback(torch.set_default_dtype, default)
        torch.set_default_dtype(torch.float64)
        yield
