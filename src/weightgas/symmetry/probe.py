"""A float64 copy of a model, evaluated at jittered points: inner products of gradients with weights, and losses.

The given model is not changed: parameters, gradients, buffers, train/eval mode and the random generators of torch stay
as they are. Only one set of gradients at a time is in memory.
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
from torch.utils._pytree import tree_leaves, tree_map

from weightgas.errors import is_refusal, refuse, wrong_type
from weightgas.symmetry.degrees import Degrees
from weightgas.symmetry.progress import Passes

FEW = 4
"""Samples of a batch that suffice for a large model; half as many if every BatchNorm still has enough values."""
LARGE = 100_000
"""Number of weights above which a model counts as large: its rare features, as a dead layer, do not depend on the
batch."""
FEW_VALUES = 16
"""Smallest number of values of a channel that a BatchNorm must have in ``FEW`` samples."""
SPECIAL = 1e-2
"""Weights below this fraction of their initial width are a special value: a zero bias or gate, a LayerScale of 1e-6."""
MOST_BATCHES = 8
"""Largest number of batches; further equations come from further jittered points."""
JITTER = 0.1
"""Width of the jitter, in units of the root mean square of the tensor (of its initial value if that is 0)."""
SMALL_EPS = 1e-12
"""Factor on the eps of the normalisations during the search."""

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
        """These equations followed by ``more``."""
        return Equations(*(np.concatenate([getattr(x, f.name) for x in (self, more)]) for f in fields(self)))


def largest_ratio(part: np.ndarray, whole: np.ndarray) -> float:
    """The largest of ``part / whole``, where 0/0 counts as 0."""
    return float(np.divide(part, whole, out=np.zeros_like(part), where=whole > 0).max())


class Probe:
    """A model, a loss and some batches, to be evaluated at points 0, 1, …; the number fixes weights and batch."""

    def __init__(
        self, model: nn.Module, loss_fn: LossFn, batches: Iterable[Any], seed: int, passes: Passes, *, all_rows: bool
    ) -> None:
        if not callable(loss_fn):
            raise wrong_type(
                "loss_fn", "a function of the model and a batch", loss_fn, "It returns the mean loss of the batch."
            )
        self.loss_fn, self.seed, self.passes = loss_fn, seed, passes
        self.model = copy.deepcopy(model).double().train()
        named = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad and p.is_floating_point()]
        if not named:
            fix = "Set requires_grad of the parameters to train."
            raise refuse("model", "at least one trainable parameter", "none", fix)
        self.names = tuple(name for name, _ in named)
        self.parameters = [p for _, p in named]
        self.affine = frozenset(_affine(self.model))
        self.origin = [p.detach().clone() for p in self.parameters]
        self.buffers = [(b, b.detach().clone()) for b in self.model.buffers()]
        if not isinstance(batches, Iterable) or getattr(batches, "ndim", 1) == 0 or isinstance(batches, str):
            fix = "Pass a list of batches, as loss_fn takes them, or a data loader."
            raise TypeError(f"batches: expected a list of batches, got {type(batches).__name__}. {fix}")
        self.batches = [_as_double(batch) for batch in itertools.islice(batches, MOST_BATCHES)]
        if not self.batches:
            raise refuse("batches", "at least one batch", "none", "Pass a list of batches, as loss_fn takes them.")
        self.norms = [(m, key, m.__dict__[key]) for m in self.model.modules() for key in _EPS if _is_float(m, key)]
        self._at: int | None = None
        self.degrees = self._followed(few=not all_rows and sum(p.numel() for p in self.parameters) > LARGE)

    @contextmanager
    def small_eps(self) -> Iterator[None]:
        """Make the eps of the normalisations negligible, so that symmetries which eps breaks are exact."""
        try:
            for module, key, value in self.norms:
                setattr(module, key, value * SMALL_EPS)
            yield
        finally:
            for module, key, value in self.norms:
                setattr(module, key, value)

    def equations(self, begin: int, end: int, *, rows: bool = False, own: bool = False) -> Equations:
        """Evaluate the points from ``begin`` to before ``end``; with ``rows`` also every row of every parameter.

        ``own`` points keep the model's own weights, also where these have special values.
        """
        read = [self._equation(point, rows, own) for point in range(begin, end)]
        return Equations(*(np.array(column) for column in zip(*read, strict=True)))

    def loss(self, point: int, exponents: Mapping[int, float | Tensor]) -> float:
        """Loss at a point where parameter i is multiplied by exp(exponents[i]): a number, or one for each row."""
        with torch.no_grad():
            self._place(point)
            self._rescale(exponents, 1)
            try:
                return self._loss(point, self.seed).item()
            finally:
                self._rescale(exponents, -1)

    def _rescale(self, exponents: Mapping[int, float | Tensor], sign: int) -> None:
        for index, exponent in exponents.items():
            parameter = self.parameters[index]
            factor = (sign * torch.as_tensor(exponent, dtype=torch.float64, device=parameter.device)).exp()
            parameter.mul_(factor.reshape(-1, *[1] * (parameter.ndim - 1)) if factor.ndim else factor)

    def _followed(self, *, few: bool) -> tuple[np.ndarray, list[int]] | None:
        """Constraints on the exponents by degrees, and the parameters in use; None if an op is unknown.

        With ``few`` the batches are reduced to their first samples, if possible.
        """
        given, self.batches = self.batches, [_first(b, FEW) for b in self.batches] if few else self.batches
        degrees = Degrees(self.parameters)
        self._place(0)
        try:
            with degrees:
                loss = self._loss(0, self.seed)
        except Exception:  # a loss may fail with few samples, a mode of PyTorch with its ops
            degrees.unknown.add("the forward pass")
            self.batches = given
            loss = self._loss(0, self.seed)
        self._check(loss)
        if degrees.channel < FEW_VALUES:
            self.batches = given
        elif few and not degrees.unknown:
            self.batches = [_first(batch, FEW // 2) for batch in self.batches]
        return None if degrees.unknown else degrees.finish(loss)

    def _equation(self, point: int, rows: bool, own: bool) -> tuple[Any, ...]:
        self._place(point, own)
        with torch.enable_grad():
            loss = self._loss(point, self.seed)
            if not loss.requires_grad:
                raise refuse("loss_fn", "a loss that depends on the model's parameters", "one that does not", _DEPENDS)
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

    def _place(self, point: int, own: bool = False) -> None:
        if self._at == point and not own:
            return
        self._at = None if own else point
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + point) % 2**63)
        with torch.no_grad():
            for parameter, origin in zip(self.parameters, self.origin, strict=True):
                # drawn in float32, four times as fast as in float64
                noise = torch.randn(origin.shape, generator=generator, dtype=torch.float32).to(origin)
                width = float(origin.square().mean().sqrt())
                initial = (origin[0].numel() if origin.ndim > 1 else 1) ** -0.5
                # a zero bias has no inner product with any gradient, and a branch behind a tiny gain has no effect
                width = initial if width <= SPECIAL * initial * (not own) else width
                parameter.copy_(origin + JITTER * width * noise)

    def _loss(self, point: int, seed: int) -> Tensor:
        self.passes.step()
        with torch.no_grad():
            for buffer, value in self.buffers:
                buffer.copy_(value)
        _seed_all((seed + point) % 2**63, self.parameters)  # the same dropout masks whenever a point is evaluated
        try:
            return self.loss_fn(self.model, self.batches[point % len(self.batches)])
        except (Exception, SystemExit) as error:
            ours = error.__traceback__ is not None and error.__traceback__.tb_next is not None and is_refusal(error)
            if ours or isinstance(error, MemoryError | torch.OutOfMemoryError):
                raise
            fix = "It is called as loss_fn(model, batch) with a float64 copy of the model."
            got = f"{type(error).__name__}: {error}"
            raise refuse("loss_fn", "the mean loss of a batch", got, fix) from error

    def _check(self, loss: Any) -> None:
        fix = "loss_fn(model, batch) must return the mean loss as a tensor with no dimensions."
        if not isinstance(loss, Tensor):
            raise TypeError(f"loss_fn: expected a scalar tensor, got {type(loss).__name__}. {fix}")
        if loss.ndim or loss.is_complex():
            raise refuse("loss_fn", "a scalar tensor", f"a tensor of shape {tuple(loss.shape)}", fix)
        if not torch.isfinite(loss):
            raise refuse("loss_fn", "a finite loss", loss.item(), "Check the batch and the weights of the model.")


_DEPENDS = "Use the model with which loss_fn is called, which is a copy, and do not detach its output."
_EPS = ("eps", "epsilon", "variance_epsilon")
_NEAR = "The model is evaluated in float64 with 10 % of noise on its weights; look for a singular operation."


def _is_float(module: nn.Module, key: str) -> bool:
    return isinstance(module.__dict__.get(key), float)


def _by_row(values: Tensor) -> Tensor:
    return values.reshape(len(values) if values.ndim else 1, -1)


def _affine(model: nn.Module) -> Iterator[str]:
    """Names of the gains and shifts of normalisation layers, recognised by the name of their class."""
    for path, module in model.named_modules():
        if "norm" in type(module).__name__.lower():
            yield from (f"{path}.{name}" if path else name for name, _ in module.named_parameters(recurse=False))


def _first(batch: Any, count: int) -> Any:
    """The first samples of ``batch`` if all its tensors have the same first dimension; else ``batch`` itself."""
    tensors = [x for x in tree_leaves(batch) if isinstance(x, Tensor)]
    sizes = {x.shape[0] if x.ndim else 0 for x in tensors}
    if len(sizes) != 1 or not sizes.pop() > count:
        return batch
    return tree_map(lambda x: x[:count] if isinstance(x, Tensor) else x, batch)


def _as_double(batch: Any) -> Any:
    """``batch`` with its floating tensors in float64, and all else unchanged."""
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
    """Restore the generators and default type of torch at the end; inside, gradients are on and autocast is off."""
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
