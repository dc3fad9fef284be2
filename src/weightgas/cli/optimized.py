"""The optimizer of a command: its name or file, and its settings."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from weightgas.cli import options as opt
from weightgas.cli import values

if TYPE_CHECKING:
    from weightgas.optimizers import Optimizer


@dataclass(frozen=True, kw_only=True)
class Buffers(opt.Options):
    """The state of an optimizer between steps, and its decay.

    momentum
        Momentum of sgd.
    nesterov
        Use Nesterov's momentum.
    betas
        Betas of adamw, adam and lion, as in 0.9,0.95.
    eps
        Epsilon of adamw and adam; 1e-8 by default.
    decoupled
        Apply the decay to the weights directly, not through the gradient.
    """

    panel = "Optimizer"
    momentum: float | None = None
    nesterov: bool = False
    betas: str | None = opt.option(metavar="B1,B2")
    eps: float | None = None
    decoupled: bool = False

    def meant(self, optimizer: str) -> Optimizer:
        """The optimizer with this name and the settings that were given."""
        given = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "batch_size"}
        switches = {name: given[name] or None for name in ("nesterov", "decoupled")}
        return named(optimizer, **given | switches | {"betas": _betas(self.betas)})


@dataclass(frozen=True, kw_only=True)
class Optimized(Buffers):
    """All settings of an optimizer.

    lr
        Learning rate η.
    wd
        Weight decay λ; with 0 the growth of the norm is predicted.
    update_memory
        For muon: 1 + 2 × the summed autocorrelation of its updates, measured.
    update_sq
        For muon: mean square length of an update.
    grad_memory
        Memory of the gradients under momentum, measured; 1 in pure noise.
    batch_size
        Batch size of these settings, for --at-batch-size.
    """

    lr: float
    wd: float
    update_memory: float | None = None
    update_sq: float | None = None
    grad_memory: float | None = None
    batch_size: int | None = None


def named(text: str, **settings: Any) -> Optimizer:
    """The optimizer with this name, or from the class with this name in a file, with the settings that are not None."""
    from weightgas import optimizers

    return optimizers.named(values.own(text, "OPTIMIZER", call=False) if values.is_file(text) else text, **settings)


def _betas(text: str | None) -> tuple[float, float] | None:
    from weightgas.errors import refuse

    if text is None:
        return None
    try:
        first, second = map(float, text.split(","))
    except ValueError:
        raise refuse("--betas", "two numbers", text, "Write them as 0.9,0.95.") from None
    return first, second
