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

    The loop stays as it is: ``gas = watch(model, optimizer)`` before it, ``print(gas)`` in it or after it. Samples are
    made by the optimizer's own hooks at the steps 0, 16, 64 and then every ``every`` steps; each looks at one
    step and at the gradient of the next. Weights, gradients and random numbers are never touched. The memory does not
    grow with the steps: when ``samples`` are full every second one is let go and ``every`` doubles.

    Parameters
    ----------
    model, optimizer
        Any module and any ``torch.optim.Optimizer`` over its parameters; weight decay as in its parameter groups. Of
        an optimizer that wraps another as ``.optimizer`` (accelerate, Hugging Face's Trainer, Lightning) the inner one,
        and of a model the module inside ``torch.compile``, DistributedDataParallel and DataParallel. A model with two
        optimizers is watched twice, once with each.
    groups
        ``{"name": ["parameter", …]}`` by the names of ``model.named_parameters()``, Groups, or what
        :func:`weightgas.symmetries` returned; with its ``filters`` every filter by itself. Frozen
        parameters and those not in the optimizer are excluded, noted.
    batches, loss_fn
        If given, the groups are found by ``symmetries(model, loss_fn, batches)``; without these and ``groups`` they are
        those of :func:`weightgas.structural_groups`. Every other trained matrix is watched by itself, without r*, T and
        Z, which follow from scale-invariance.
    every
        Steps between samples, at least 2. Choose a tenth of the relaxation time for runs that are over soon.
    samples
        Size of the buffer, at least 16; 1024 if not given, fewer for more than 256 groups.
    forecast
        What ``predict`` returned, or ``{"group": r*}``, by the names of the groups: scored in the table.
    configurational
        Whether to read T_conf, the temperature that adaptive optimizers have too: every sample then costs one extra
        pair of gradients of ``loss_fn(model, batch)``, on ``batches`` in turn (all of a list, the first 16 of a data
        loader). Give batches of the training set, in the size of the training, and some dozens of them. Nothing is
        moved: :mod:`weightgas.monitoring.curvature`.
    rule
        How ``optimizer`` steps, where it is not of ``torch.optim``: a subclass of
        :class:`weightgas.optimizers.Optimizer` whose ``of`` recognises its parameter groups, or an instance, whose
        learning rate and decay are then those of the groups. Default: as its class of torch has it; of any other what
        is found by intervention on copies, and where that finds nothing there is no r*.
    criteria
        What a group must satisfy to be in equilibrium, as in ``measure``.
    schedule
        The learning rate to come, for forecasts: a ``torch.optim.lr_scheduler`` that the loop steps once after each
        step of the optimizer, or a function of the step (0 is the first) that returns the factor of ``lr``. The
        scheduler is copied as it is now and never stepped. Default: forecasts take the present rate throughout, and
        name that assumption.

    Notes
    -----
    A sample takes at most one byte a parameter for SGD, Adam and AdamW in float32 or float64, for others at most one
    copy of the watched tensors, for models below 4 MB copies of weights and gradients. Call ``watch`` in every process
    that trains: sharded parameters (``fully_shard``, tensor parallelism) take one sum over the processes a sample, and
    then all processes have the same numbers; under DistributedDataParallel each has them by itself.

    Raises
    ------
    TypeError, ValueError
        If model or optimizer is none, the model is wrapped by FSDP1 (FullyShardedDataParallel), a parameter is unknown,
        or neither a scale-invariant group nor a matrix is trained.
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
        fix = "Of a wrapper pass the inner one; of several optimizers watch each."
        raise TypeError(f"optimizer: expected a torch.optim.Optimizer, got {got}. {fix}")
    whole_number("every", every, minimum=2, fix="A sample takes two steps; pass 2 or more.")
    if samples is not None:
        whole_number("samples", samples, minimum=_LEAST_SAMPLES, fix=f"Pass {_LEAST_SAMPLES} or more.")
    if forecast is not None and not (hasattr(forecast, "groups") or isinstance(forecast, Mapping)):
        fix = "Pass what predict returned, or {group: norm}."
        raise wrong_type("forecast", "a Forecast or norms by group", forecast, fix)
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
