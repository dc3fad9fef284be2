"""The settings of an optimizer, checked, and their closed forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from weightgas.errors import finite_number, one_of, positive_number, refuse
from weightgas.theory import optimizers

MOMENTUM = {"sgd"}
BETAS = {"adamw": (0.9, 0.999), "adam": (0.9, 0.999), "lion": (0.9, 0.99)}
NEEDS = {
    "sgd": {"grad_sq": "G^(1/4)"},
    "adamw": {"dim": "d^(1/2)"},
    "adam": {"dim": "d^(1/6)", "grad_sq": "G^(1/6)"},
    "lion": {"dim": "d^(1/2)"},
    "muon": {"update_sq": "|u|"},
}
"""What the stationary norm is proportional to, by optimizer."""


@dataclass(frozen=True)
class Settings:
    """One optimizer with its numbers; what an optimizer has not is None (``betas`` of SGD) or False."""

    optimizer: str
    lr: float
    wd: float
    momentum: float = 0.0
    nesterov: bool = False
    decoupled: bool = False
    betas: tuple[float, float] | None = None
    eps: float = 0.0
    update_memory: float | None = None
    update_sq: float | None = None
    batch_size: int | None = None
    grad_memory: float = 1.0

    def law(self) -> optimizers.Optimizer:
        """The closed forms of these settings; where E|u|^2 of Muon is not known it is 1."""
        if self.optimizer == "sgd":
            return optimizers.SGD(self.lr, self.wd, self.momentum, self.nesterov, self.decoupled, self.grad_memory)
        if self.optimizer == "muon":
            return optimizers.Muon(self.lr, self.wd, self.update_memory or 1.0, self.update_sq or 1.0)
        betas = self.betas or BETAS[self.optimizer]
        if self.optimizer == "adamw":
            return optimizers.AdamW(self.lr, self.wd, betas, self.eps, self.grad_memory)
        if self.optimizer == "adam":
            return optimizers.AdamL2(self.lr, self.wd, betas, self.grad_memory)
        return optimizers.Lion(self.lr, self.wd, betas)

    def __str__(self) -> str:
        name = {"adam": "Adam with L2", "adamw": "AdamW", "sgd": "SGD"}.get(self.optimizer, self.optimizer.capitalize())
        words = [f"lr {self.lr:.4g}", f"wd {self.wd:.4g}"]
        if self.momentum:
            words.append(f"{'Nesterov ' if self.nesterov else ''}momentum {self.momentum:g}")
        if self.optimizer == "sgd" and self.wd:
            words.append("decay on w directly" if self.decoupled else "decay in the gradient")
        if self.betas:
            words.append("betas {:g}, {:g}".format(*self.betas))
        if self.batch_size:
            words.append(f"batch {self.batch_size}")
        return f"{name}: " + ", ".join(words)


def checked(optimizer: Any, lr: Any, wd: Any, **given: Any) -> Settings:
    """The settings as given, defaults filled in, or a refusal; ``given`` as the fields of :class:`Settings`."""
    if not isinstance(optimizer, str):
        raise TypeError(f"optimizer: expected a name, got {optimizer!r}. Known: {', '.join(sorted(optimizers.KNOWN))}.")
    name, decoupled = one_of("optimizer", optimizer.lower(), optimizers.KNOWN), given.pop("decoupled", None)
    if decoupled is not None and not isinstance(decoupled, bool):
        raise TypeError(f"decoupled: expected True, False or None, got {decoupled!r}. None is what the name says.")
    if name == "adam" and decoupled:
        name = "adamw"
    if decoupled is False and name not in ("sgd", "adam"):
        raise refuse("decoupled", f"True or None for {name}", False, 'Decay in the gradient is optimizer="adam".')
    momentum = finite_number("momentum", given.pop("momentum", 0.0))
    if not 0 <= momentum < 1:
        raise refuse("momentum", "at least 0 and below 1", momentum, "A momentum of 1 never forgets.")
    nesterov = bool(given.pop("nesterov", False))
    if name not in MOMENTUM and (momentum or nesterov):
        raise refuse("momentum", f"none for {name}", momentum, "Pass betas; for muon the measured update_memory.")
    if nesterov and not momentum:
        raise refuse("nesterov", "a momentum above 0 with it", momentum, "Pass momentum, or leave nesterov out.")
    betas = given.pop("betas", None)
    if betas is not None and name not in BETAS:
        raise refuse("betas", f"None for {name}", betas, "Leave it out.")
    if name in BETAS:
        betas = optimizers.checked_betas(BETAS[name] if betas is None else betas)
    if name == "muon" and given.get("update_memory") is None:
        fix = "Pass 1 + 2 x the sum of the measured autocorrelation of the updates; momentum does not tell it."
        raise refuse("update_memory", "a measured number for muon", None, fix)
    if given.get("grad_memory", 1.0) != 1.0 and name not in ("sgd", "adam", "adamw"):
        raise refuse("grad_memory", f"1 for {name}", given["grad_memory"], "Leave it out.")
    wd = finite_number("wd", wd)
    if wd < 0:
        raise refuse("wd", "a number of at least 0", wd, "Pass the weight decay as the optimizer gets it.")
    lr = positive_number("lr", lr, fix="Pass the learning rate as the optimizer gets it.")
    kind = bool(decoupled) if name == "sgd" else name != "adam"
    return Settings(name, lr, wd, momentum, nesterov, kind, betas, **given)
