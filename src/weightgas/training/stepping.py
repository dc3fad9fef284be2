"""The optimizer of a run: its checks before any work, and its attributes in a trace.

Over many steps, SGD with momentum α and decay in the buffer acts like plain SGD with the learning rate cη, where
c = 1/(1 − α) is the mobility. So, as for a simulated and a watched run, the cells of the trace have cη, and the
attributes ``momentum`` and ``nesterov`` determine the finite-step terms. The mobility of any other optimizer is a
matrix: its cells have η as set, the attribute ``mobility`` is "matrix", and the run has neither a temperature nor a
pressure; T_conf, r and U are still defined.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import torch

from weightgas import optimizers
from weightgas.errors import refuse
from weightgas.optimizers import SGD, Optimizer
from weightgas.protocols import FixedLR, Protocol, from_settings
from weightgas.quantities import MATRIX


def checked(optimizer: Any, protocol: Protocol) -> Optimizer | None:
    """The optimizer of a call of ``train``; None for plain SGD, which is the step of the protocol.

    Raises
    ------
    TypeError
        If it is not an optimizer, or has no step.
    ValueError
        If it sets a learning rate or decay, which belong to the protocol, or the protocol is not fixed LR.
    """
    if optimizer is None:
        return None
    found = optimizers.checked(optimizer)
    plain = isinstance(found, SGD) and not found.buffers(torch.zeros(1, 1))
    if not plain and not isinstance(protocol, FixedLR):
        fix = "At a fixed radius or effective rate a step is that of plain SGD; omit optimizer, or pass FixedLR."
        raise refuse("optimizer", "FixedLR with an optimizer", type(protocol).__name__, fix)
    if found.lr is not None or found.wd is not None:
        fix = "FixedLR sets both: pass for instance SGD(momentum=0.9)."
        raise refuse("optimizer", "one without lr and wd", str(found), fix)
    found.buffers(torch.zeros(1, 1))  # TypeError if it has none
    return None if plain else found


def is_gas(optimizer: Optimizer | None) -> bool:
    """Whether temperature and pressure are defined: SGD, with any momentum, and decay in its buffer."""
    return optimizer is None or (isinstance(optimizer, SGD) and not optimizer.decoupled and not optimizer.dampening)


def effective(protocol: Protocol, optimizer: Optimizer | None) -> Protocol:
    """The protocol of the trace: with cη in place of η if there is a mobility c."""
    if optimizer is None or not is_gas(optimizer):
        return protocol
    settings: dict[str, Any] = protocol.settings()
    # 1, not 1.0000000000000002
    rates = [float(f"{rate * (optimizer.mobility or 1.0):.15g}") for rate in np.atleast_1d(settings["lr"])]
    return from_settings({**settings, "lr": rates})


def attributes(optimizer: Optimizer | None, protocol: Protocol) -> dict[str, Any]:
    """The attributes of a trace for the optimizer: none for plain SGD."""
    if optimizer is None:
        return {}
    settings = {f.name: getattr(optimizer, f.name) for f in fields(optimizer) if f.name not in ("lr", "wd")}
    known = {"optimizer": f"{', '.join([optimizer.label, *optimizer.words()])}"}
    if is_gas(optimizer):
        return known | {"momentum": float(settings["momentum"]), "nesterov": int(settings["nesterov"])}
    known |= {"mobility": MATRIX}
    if optimizer.times_need_data:
        return known
    slowest = np.max(optimizer.at(**protocol.cells()).relaxation_time())
    return known | {"relaxation_time": float(slowest)} if np.isfinite(slowest) else known
