"""``watch``: the monitor for any training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from weightgas.errors import refuse, renamed_keywords, typed, whole_number, wrong_type
from weightgas.measurement.stationarity import Criteria
from weightgas.monitoring.choice import choose, unwrapped
from weightgas.monitoring.curvature import Curvature
from weightgas.monitoring.gas import Gas
from weightgas.monitoring.probe import Probe
from weightgas.monitoring.shards import Layout, refuse_flat
from weightgas.optimizers import Optimizer, innermost, recogniser
from weightgas.symmetry import Group, Symmetries

EVERY = 100
"""Steps between samples, after some early ones."""
SAMPLES = 1024
_LEAST_SAMPLES = 16


@renamed_keywords(name="the attribute name of what watch returns")
@typed
def watch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    groups: Mapping[str, Sequence[str]] | Iterable[Group] | Symmetries | None = None,
    batches: Any = None,
    loss_fn: Callable[..., Tensor] | None = None,
    every: int = EVERY,
    samples: int | None = None,
    forecast: Any = None,
    configurational: bool = False,
    rule: Optimizer | type[Optimizer] | None = None,
    criteria: Criteria | None = None,
    schedule: Any = None,
) -> Gas:
    """Watch the norms of the scale-invariant groups and of the other matrices of ``model`` that ``optimizer`` trains.

    The training loop is not changed: call ``gas = watch(model, optimizer)`` before it and ``print(gas)`` in or after
    it. Hooks of the optimizer take samples at the steps 0, 16, 64, …, fourfold each time, and from ``every`` on every
    ``every`` steps. Each sample reads one step and the gradient of the next. Weights, gradients and random numbers of
    the run are not changed. Memory does not grow with the steps: when the buffer of ``samples`` is full, every second
    one is dropped and ``every`` doubles.

    Parameters
    ----------
    model, optimizer
        Any module, and a ``torch.optim.Optimizer`` over its parameters; learning rate and decay are those of its
        parameter groups. An optimizer that wraps another as ``.optimizer`` (accelerate, Hugging Face's Trainer,
        Lightning) is replaced by the inner one, and a model by the module inside ``torch.compile``,
        DistributedDataParallel and DataParallel. A model with two optimizers is watched twice, once with each.
    groups
        ``{"name": ["parameter", …]}`` by the names of ``model.named_parameters()``, Groups, or the result of
        :func:`weightgas.symmetries`; with its ``filters`` every filter is a group. Frozen parameters and those not in
        the optimizer are excluded, with a note.
    batches, loss_fn
        Both or none. If given, the groups are found by ``symmetries(model, loss_fn, batches)``; without these and
        ``groups`` they are those of :func:`weightgas.structural_groups`. Every other trained matrix is a separate
        group, without r*, T and Z, which follow from scale-invariance.
    every
        Steps between samples, at least 2. For short runs choose a tenth of the relaxation time.
    samples
        Size of the buffer, at least 16; by default 1024, fewer for more than 256 groups.
    forecast
        The result of ``predict``, or ``{"group": r*}`` by the names of the groups, to be compared in the table.
    configurational
        Whether to measure T_conf, a temperature for adaptive optimizers too. Every sample then costs two more gradients
        of ``loss_fn(model, batch)``, on ``batches`` in turn (all of a list, the first 16 of a data loader). Pass some
        dozens of batches of the training set, of the size used in training. The weights are moved for these gradients
        and restored exactly.
    rule
        How ``optimizer`` steps, if it is not of ``torch.optim``: a subclass of
        :class:`weightgas.optimizers.Optimizer` whose ``of`` recognises its parameter groups, or an instance, whose
        learning rate and decay are then those of the groups. By default it follows from the class of torch; for other
        classes the effect of decay is found by intervention on copies. If that fails, there is no r*.
    criteria
        The conditions for equilibrium, as in ``measure``.
    schedule
        The future learning rate, for forecasts: a ``torch.optim.lr_scheduler`` that the loop steps once after each step
        of the optimizer, or a function of the step (0 is the first) that returns the factor of ``lr``. The scheduler is
        copied in its present state and never stepped. By default forecasts assume a constant learning rate, and state
        that.

    Notes
    -----
    A sample needs at most one byte a parameter for SGD, Adam and AdamW in float32 or float64, and at most one copy of
    the watched tensors for other optimizers; in models below 4 MB it copies weights and gradients. Call ``watch`` in
    every process that trains. With sharded parameters (``fully_shard``, tensor parallelism) a sample takes one sum over
    the processes, and all processes have the same numbers; under DistributedDataParallel each computes them alone.

    Raises
    ------
    TypeError, ValueError
        If ``model`` is not a module or ``optimizer`` not a torch optimizer, the model is wrapped by FSDP1
        (FullyShardedDataParallel), a parameter is unknown, only one of ``batches`` and ``loss_fn`` is given, or neither
        a scale-invariant group nor a matrix is trained.
    """
    if not isinstance(configurational, bool):
        raise wrong_type("configurational", "True or False", configurational, "Pass one of them.")
    for name, function in (("loss_fn", loss_fn), ("criteria", criteria)):
        kind: Any = Criteria if name == "criteria" else Callable
        if function is not None and not isinstance(function, kind):
            raise wrong_type(
                name, "a function" if name == "loss_fn" else "measurement.Criteria", function, "Or omit it."
            )
    refuse_flat(model)
    model, optimizer = unwrapped(model), innermost(optimizer)
    if not (isinstance(optimizer, torch.optim.Optimizer) and hasattr(optimizer, "_optimizer_step_pre_hooks")):
        got = type(optimizer).__name__
        fix = "Pass the inner optimizer of a wrapper; watch several optimizers one by one; a scheduler as schedule=."
        raise TypeError(f"optimizer: expected a torch.optim.Optimizer, got {got}. {fix}")
    whole_number("every", every, minimum=2, fix="A sample takes two steps; pass 2 or more.")
    if samples is not None:
        whole_number("samples", samples, minimum=_LEAST_SAMPLES, fix=f"Pass {_LEAST_SAMPLES} or more.")
    if forecast is not None and not (hasattr(forecast, "groups") or isinstance(forecast, Mapping)):
        fix = "Pass the result of predict, or {group: norm}."
        raise wrong_type("forecast", "a Forecast or norms by group", forecast, fix)
    if (batches is None) != (loss_fn is None):
        name, wanted = ("loss_fn", "a function of (model, batch)") if loss_fn is None else ("batches", "some batches")
        fix = "The search for groups, and T_conf, take both batches= and loss_fn=; pass both or none."
        raise refuse(name, wanted, None, fix)
    recognise = recogniser(rule, optimizer)
    choice = choose(model, optimizer, groups, batches, loss_fn)
    if samples is None:
        samples = max(64, min(SAMPLES, SAMPLES * 256 // len(choice.groups)))
    gas = Gas(type(model).__name__, choice, samples, forecast, criteria or Criteria(), schedule)
    gas.stated = rule is not None
    gas.trained = sum(p.numel() for group in optimizer.param_groups for p in group["params"] if p.requires_grad)
    places = choice.places()
    curvature = None
    if configurational:
        if batches is None or loss_fn is None:
            fix = "Pass loss_fn=lambda model, batch: ... and a list of training batches."
            raise refuse("configurational", "batches= and loss_fn= with it", None, fix)
        if Layout.of(places[0]).mesh is not None:
            raise refuse("configurational", "a model that is not sharded", "DTensors", "Omit it.")
        curvature = Curvature(model, loss_fn, batches, *places)
    gas.attach(Probe(optimizer, *places, every, gas.record.append, curvature, recognise))
    return gas
