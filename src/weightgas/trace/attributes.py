"""The types and ranges of the attributes of traces and states that this library uses; others belong to the user."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from weightgas.errors import TraceError, shown
from weightgas.quantities import MATRIX, TARGETS
from weightgas.status import Status

FORMAT_VERSION = 2
"""In format 2 the dimension along the recorded series is ``sample``; in format 1 it had another name."""
MOST = 2**53
"""The largest accepted count: larger whole numbers are not exact as floats."""


@dataclass(frozen=True)
class _Kind:
    """A kind of attribute: its description, and the test of a value."""

    words: str
    fits: Callable[[Any], bool]


def _whole(low: int, high: int = MOST) -> _Kind:
    words = f"a whole number of at least {low}" + (f" and at most {high}" if high < MOST else "")
    return _Kind(words, lambda v: _is(v, Integral) and low <= v <= high)


def _number(low: float = -math.inf, high: float = math.inf, *, finite: bool = True) -> _Kind:
    words = f"a {'finite ' * finite}number" + (f" from {low:g} to {high:g}" if low > -math.inf else "")
    return _Kind(words, lambda v: _is(v, Real) and low <= v <= high and (math.isfinite(v) or not finite))


def _several(one: _Kind) -> _Kind:
    """A list of one or more; a store may contain the element alone for a list of one."""
    return _Kind(f"a list, each {one.words}", lambda v: all(map(one.fits, elements(v))))


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool | np.bool_)


def _is_precision(value: Any) -> bool:
    targets = json_of(value)
    return (
        isinstance(targets, dict)
        and bool(targets)
        and all(name in TARGETS and _is(size, Real) and 0 < size < 1e300 for name, size in targets.items())
    )


_TEXT = _Kind("a text", lambda v: isinstance(v, str))
_FLAG = _Kind("0 or 1", lambda v: isinstance(v, Integral | np.bool_) and v in (0, 1))
_FACT = _number()
_TEXTS = _several(_TEXT)
_STATUSES = [s.name.lower() for s in Status]

KINDS: dict[str, _Kind] = {
    **dict.fromkeys(("producer", "protocol", "settings", "loss", "noise", "network", "data", "optimizer"), _TEXT),
    **dict.fromkeys(("method", "device", "dtype", "start", "step_origin", "protocol_class"), _TEXT),
    **dict.fromkeys(("entropy_method", "entropy_reason", "entropy_anchor", "not_applicable", "measured_with"), _TEXT),
    **dict.fromkeys(("dim", "dof", "sample_every", "noise_every", "energy_batches", "batch_size"), _whole(1)),
    **dict.fromkeys(("seed", "steps", "warmup", "noise_batches", "curvature_batches", "most_steps"), _whole(0)),
    **dict.fromkeys(("loss_crc", "noise_crc", "threads", "classes"), _whole(0)),
    **dict.fromkeys(("noise_isotropic", "noise_state_dependent", "nesterov"), _FLAG),
    **dict.fromkeys(("laplacian_slope", "log_det_hessian", "loss_minimum", "energy_random"), _FACT),
    "energy_random_std": _number(0, math.inf),
    "minima": _number(1, math.inf),
    "wall_time": _number(0, math.inf),
    "momentum": _number(0, 1),
    "mobility": _Kind(f"a finite number or {MATRIX!r}", lambda v: v == MATRIX if isinstance(v, str) else _FACT.fits(v)),
    "precision": _Kind(f"JSON of targets above 0, by names among {', '.join(TARGETS)}", _is_precision),
    "relaxation_time": _number(0, math.inf, finite=False),
    "seeds": _several(_whole(0)),
    "group_sizes": _several(_whole(1)),
    "group_lr_factor": _several(_number(0, math.inf)),
    "group_relaxation_time": _several(_Kind("a number", lambda v: _is(v, Real))),
    "group_names": _TEXTS,
    "groups_excluded": _TEXTS,
    "group_status": _several(_Kind(f"one of {', '.join(_STATUSES)}", lambda v: isinstance(v, str) and v in _STATUSES)),
}


def check_attributes(attributes: Mapping[Any, Any], what: str, fix: str) -> None:
    """TraceError if an attribute that this library uses has a wrong value, or if the format is newer.

    ``what`` is ``"trace"`` or ``"state"``; a trace must have its format.
    """
    version: Any = attributes.get("format_version")
    if what == "trace" or version is not None:
        if not _is(version, Integral):
            raise TraceError(
                f"{what}: expected the attribute format_version, got {shown(version)}. Not a {what} of weightgas."
            )
        if not 1 <= version <= FORMAT_VERSION:
            raise TraceError(
                f"{what}: expected format {FORMAT_VERSION} or older, got {version}. Update weightgas to read it."
            )
    for name, value in attributes.items():
        kind = KINDS.get(name) if isinstance(name, str) else None
        if kind is not None and not kind.fits(value):
            raise TraceError(f"attribute {name}: expected {kind.words}, got {shown(value)}. {fix}")


def elements(value: Any) -> list[Any]:
    """The elements of a list, tuple or one-dimensional array; a list of ``value`` for anything else."""
    if isinstance(value, np.ndarray):
        value = value.tolist() if value.ndim < 2 else [value]
    return list(value) if isinstance(value, list | tuple) else [value]


def json_of(text: Any) -> Any:
    """The value of a JSON text; None if it is not JSON, or nested too deep to be read."""
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError):
        return None
