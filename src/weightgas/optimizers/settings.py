"""Checks of the settings of an optimizer: each returns the value, or raises an error with the name of the setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from weightgas.errors import refuse, wrong_type
from weightgas.theory._arguments import Numbers, nonnegative, positive


def given(name: str, value: ArrayLike | None) -> Numbers:
    """``value`` as positive numbers; ValueError if it was not passed."""
    if value is None:
        raise refuse(name, "a number", None, f"The formula of this optimizer needs it: pass {name}=.")
    return positive(name, value)


def known(name: str, value: ArrayLike | None) -> Numbers:
    """As :func:`given`, with 0 allowed."""
    return given(name, value) if value is None else nonnegative(name, value)


def fraction(name: str, value: ArrayLike) -> Numbers:
    """Numbers in [0, 1), or a ValueError."""
    if isinstance(value, float) and 0 <= value < 1:
        return np.asarray(value, dtype=np.float64)
    number = nonnegative(name, value)
    if np.any(number >= 1):
        raise refuse(name, "at least 0 and below 1", value, "For instance 0.9.")
    return number


def pair(betas: Any) -> tuple[float, float]:
    """(β₁, β₂), both in [0, 1), or a ValueError."""
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise refuse("betas", "a pair of numbers", betas, "Pass (beta_1, beta_2), for instance (0.9, 0.999).")
    b1, b2 = (float(fraction("betas", b)) for b in betas)
    return b1, b2


def memory(group: Mapping[str, Any]) -> tuple[float, float]:
    """(momentum or first beta, second beta) of a parameter group of torch, 0 for one that it does not have."""
    first, second, *_ = (*map(float, group.get("betas") or (group.get("momentum") or 0.0,)), 0.0)
    return first, second


def flag(name: str, value: Any) -> bool:
    """True or False, or a TypeError."""
    if not isinstance(value, bool | np.bool_):
        raise wrong_type(name, "True or False", value, "Pass one of them.")
    return bool(value)
