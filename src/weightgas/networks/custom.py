"""A custom torch module as a network: any forward pass, with its weights in scale-invariant groups.

The unchanged module is called through ``torch.func``: with convolutions one network at a time, else many at once by
``vmap``. For perceptrons ``vmap`` is several times faster. For convolutions it gains little on small images, is slower
than a loop on large ones, and needs the memory of all networks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from weightgas.errors import one_of, refuse, typed
from weightgas.networks.frozen_head import LOSSES, losses_of
from weightgas.networks.members import Groups, places_of
from weightgas.networks.network import Data

TOLERANCE = 1e-2
"""Largest |⟨∇_i L, w_i⟩|/(‖∇_i L‖‖w_i‖) of a scale-invariant group, at fresh weights with norms of 1.

It is larger than the tolerance of ``symmetries``, since the ε of normalisations matters most for small weights.
"""

CHECKED_ON = 32
"""Number of inputs on which a module is checked before it is trained."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Mean loss, a scalar, of outputs (B, …) and labels (B,)."""


class OwnModule:
    """The network that :func:`module` makes; a :class:`weightgas.networks.Network`."""

    def __init__(self, model: nn.Module, groups: Groups, loss: str | Loss) -> None:
        self._model = _without_running_statistics(copy.deepcopy(model).train())
        trained = {name: p for name, p in self._model.named_parameters() if p.requires_grad}
        if not trained:
            fix = "Set requires_grad of the parameters to train."
            raise refuse("model", "at least one trainable parameter", "none", fix)
        self._shapes = {name: p.shape for name, p in trained.items()}
        rest = {name: p.detach() for name, p in self._model.named_parameters() if not p.requires_grad}
        self._rest = rest | dict(self._model.named_buffers())
        self._loss = loss if callable(loss) else one_of("loss", loss, LOSSES)
        places = places_of(self._shapes, groups)
        self._sizes = {name: len(place) for name, place in places.items()}
        order = np.concatenate(list(places.values()))
        inverse = np.argsort(order)
        self._inverse = None if (inverse == np.arange(len(inverse))).all() else torch.from_numpy(inverse)
        state = (str(self._model), sorted(self._shapes.items()), getattr(loss, "__name__", loss), self._sizes)
        sums = [crc32(repr(state).encode()), crc32(order.tobytes())]
        sums += [crc32(t.detach().cpu().numpy().tobytes()) for t in self._rest.values()]
        self._checksum = f"{crc32(np.array(sums, dtype=np.uint32).tobytes()):08x}"
        self._checked: set[tuple[int, ...]] = set()
        self.separable = False  # until it has been checked on data

    @property
    def name(self) -> str:
        """Class of the module, and a checksum of its structure, loss, groups, constants and buffers."""
        return f"{type(self._model).__name__}({self._checksum})"

    @property
    def together(self) -> int | None:
        """Number of networks that are evaluated at once: 1 with convolutions, else None for any number."""
        return 1 if any(isinstance(m, nn.modules.conv._ConvNd) for m in self._model.modules()) else None

    def settings(self) -> dict[str, object]:
        """Values that distinguish the network from others; they do not suffice to make it again."""
        loss = self._loss if isinstance(self._loss, str) else getattr(self._loss, "__name__", repr(self._loss))
        return {"network": "module", "class": type(self._model).__name__, "loss": loss, "checksum": self._checksum}

    def groups(self, data: Data) -> dict[str, int]:
        """Name and size of each group; for data of a new shape, after the checks of :func:`module`."""
        shape = (*data.inputs.shape[1:], data.classes)
        if shape not in self._checked:
            self._try(data)
            self._checked.add(shape)
        return self._sizes

    def dim(self, data: Data) -> int:
        """Number of trained weights."""
        return sum(self._sizes.values())

    def initial(self, generator: np.random.Generator, data: Data) -> np.ndarray:
        """Weights (dim,): independent normal numbers of variance 1/d_i, whatever the initial weights of the module."""
        sizes = list(self._sizes.values())
        return generator.standard_normal(sum(sizes)) / np.sqrt(np.repeat(sizes, sizes))

    def flat(self, model: nn.Module) -> np.ndarray:
        """The weights (dim,) of a module of the same shape, float64, as a start for ``train``."""
        named = dict(model.named_parameters())
        flat = np.concatenate([named[name].detach().cpu().double().numpy().ravel() for name in self._shapes])
        return flat if self._inverse is None else flat[np.argsort(self._inverse.numpy())]

    def tensors(self, weights: Tensor) -> dict[str, Tensor]:
        """The trained parameters (C, …) by name from flat ``weights`` (C, dim)."""
        flat = weights if self._inverse is None else weights.index_select(1, self._inverse.to(weights.device))
        parts = flat.split([shape.numel() for shape in self._shapes.values()], 1)
        return {name: part.unflatten(1, shape or (1,)).reshape(-1, *shape)
                for part, (name, shape) in zip(parts, self._shapes.items(), strict=True)}  # fmt: skip

    def losses(self, weights: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """Mean loss (C,) of C networks: weights (C, dim), inputs (C, B, features…), labels (C, B)."""
        tensors = self.tensors(weights)
        # A copy, so that every forward pass starts with the same buffers.
        rest = {
            name: t.to(weights.device, weights.dtype if t.is_floating_point() else t.dtype, copy=True)
            for name, t in self._rest.items()
        }

        def one(tensors: dict[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
            outputs = functional_call(self._model, {**rest, **tensors}, (inputs,))
            if callable(self._loss):
                return self._loss(outputs, labels)
            return losses_of(self._loss, outputs.T.unsqueeze(0), labels.unsqueeze(0))[0]

        if self.together is None and len(weights) > 1:
            return vmap(one)(tensors, inputs, labels)
        alone = (({name: t[c] for name, t in tensors.items()}, inputs[c], labels[c]) for c in range(len(weights)))
        return torch.stack([one(*each) for each in alone])

    def _try(self, data: Data) -> None:
        """Evaluate the first inputs, and raise the errors of :func:`module`."""
        weights = torch.from_numpy(np.stack([self.initial(np.random.default_rng(k), data) for k in range(2)]))
        inputs = torch.as_tensor(data.inputs[:CHECKED_ON], dtype=torch.float64)
        labels = torch.arange(len(inputs)) % data.classes
        batch = inputs.expand(2, *inputs.shape), labels.expand(2, -1)
        with torch.random.fork_rng(), torch.enable_grad():
            variables = weights.requires_grad_()
            first, again = (self._alone(variables, *batch, data.classes) for _ in range(2))
            if first.shape != (2,) or not torch.isfinite(first).all():
                got = f"losses of shape {tuple(first.shape[1:])}: {first.detach().tolist()}"
                fix = "Correct the module, or pass a loss that returns one finite number."
                raise refuse("network", "a finite loss with no dimensions", got, fix)
            if not torch.equal(first, again):
                fix = "The loss must depend on weights and batch alone: remove dropout and noise."
                raise refuse("network", "the same loss each time", (first[0].item(), again[0].item()), fix)
            if self.together is None:
                self._try_stacked(variables, *batch, first)
            self.separable = self._is_separable(variables[:1], inputs[None], labels[None], first[0])
            (gradients,) = torch.autograd.grad(first.sum(), variables)
        self._check_groups(weights.detach(), gradients)

    def _alone(self, weights: Tensor, inputs: Tensor, labels: Tensor, classes: int) -> Tensor:
        try:
            return torch.cat([self.losses(weights[c : c + 1], inputs[:1], labels[:1]) for c in range(len(weights))])
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise does_not_fit(inputs.shape[2:], classes, error) from error

    def _try_stacked(self, weights: Tensor, inputs: Tensor, labels: Tensor, alone: Tensor) -> None:
        try:
            stacked = self.losses(weights, inputs, labels)
        except Exception as error:  # whatever vmap raises for a forward pass that it does not support
            expected = "a forward pass that torch.func.vmap can follow"
            fix = "Avoid branches on the values of tensors."
            raise refuse("network", expected, str(error).splitlines()[0], fix) from error
        torch.testing.assert_close(stacked, alone, rtol=1e-6, atol=1e-9)

    def _is_separable(self, weights: Tensor, inputs: Tensor, labels: Tensor, whole: Tensor) -> bool:
        """Whether the loss of a batch is the mean of the losses of its two parts."""
        parts = [part.split((labels.shape[1] + 1) // 2, 1) for part in (inputs, labels)]
        try:
            means = [self.losses(weights, x, y) * y.shape[1] / labels.shape[1] for x, y in zip(*parts, strict=True)]
        except (RuntimeError, ValueError):  # a module that accepts only batches of this size
            return False
        return len(means) == 2 and torch.allclose(torch.cat(means).sum(), whole, rtol=1e-9, atol=0)

    def _check_groups(self, weights: Tensor, gradients: Tensor) -> None:
        sizes = list(self._sizes.values())
        for name, w, g in zip(self._sizes, weights.split(sizes, 1), gradients.split(sizes, 1), strict=True):
            lengths = w.norm(dim=1) * g.norm(dim=1)
            residual = torch.where(lengths > 0, (w * g).sum(1).abs() / lengths, 0.0).max().item()
            if not residual < TOLERANCE:
                expected = f"|⟨∇L, w⟩|/(‖∇L‖‖w‖) below {TOLERANCE:g} in each group"
                fix = "This group is not scale-invariant: look for the groups with weightgas.symmetries."
                raise refuse("groups", expected, f"{residual:.2g} in {name}", fix)


@typed
def module(
    model: nn.Module | Callable[[], nn.Module], groups: Groups, *, loss: str | Loss = "cross_entropy"
) -> OwnModule:
    """A network for ``train`` from a torch module and its scale-invariant groups.

    Parameters
    ----------
    model
        A module, or a function without arguments that makes one; it is copied. Its input is a batch of the data set,
        (B, features…); its output is logits (B, classes), or whatever ``loss`` takes. Parameters that do not require
        gradients are constant. The module is in train mode: BatchNorm uses the statistics of the batch and keeps no
        running ones, and every evaluation starts with the same buffers.
    groups
        The scale-invariant groups, which together contain every trained weight exactly once: a mapping from the name of
        a group to the names of its parameters, where ``[3]`` or ``[0:4]`` after a name selects rows (first index) of a
        tensor; or the groups of ``symmetries(…)`` (``.scale_invariant``, ``.filters``). For a module itself, ``train``
        finds the groups.
    loss
        ``"cross_entropy"``, ``"squared_error"``, or a function of outputs and labels that returns the mean loss.

    Raises
    ------
    TypeError
        If the model is not a module, or a group is not a list of names.
    ValueError
        If a parameter is unknown, in two groups, or in none (freeze it with ``requires_grad_(False)``). When the data
        are known: if the module does not accept them, the loss differs between two calls (dropout, noise), or a group
        is not scale-invariant.
    """
    made = model if isinstance(model, nn.Module) or not callable(model) else model()
    if not isinstance(made, nn.Module):
        raise TypeError(f"model: expected a torch.nn.Module, got {type(made).__name__}. Pass the module itself.")
    return OwnModule(made, groups, loss)


def does_not_fit(features: tuple[int, ...], classes: int, error: Exception) -> ValueError:
    """The error for a module whose forward pass raised ``error`` for inputs with these ``features``."""
    shape = ", ".join(map(str, ("B", *features)))
    expected = f"a module that makes logits (B, {classes}) of inputs ({shape})"
    return refuse("network", expected, str(error).splitlines()[0], "Put a layer before it, or take other data.")


def _without_running_statistics(model: nn.Module) -> nn.Module:
    for norm in model.modules():
        if isinstance(norm, nn.modules.batchnorm._NormBase) and norm.track_running_stats:
            norm.track_running_stats = False
            norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    return model
