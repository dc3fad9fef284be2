"""The entropy of the direction by every estimator that the trace has data for, and the chosen one.

The state has each of them under the name ``entropy_<name>``, with the diagnostics of the estimator;
``entropy_direction`` is the chosen one. By default that is the first of
:data:`weightgas.measurement.entropy.ESTIMATORS` that is possible.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import xarray as xr

from weightgas import quantities
from weightgas.errors import one_of, refuse
from weightgas.measurement.entropy import ESTIMATORS, METHODS, Entropy, Estimator

_SINCE_1 = {"paper": "published"}
"""Names of estimators in version 0.1, and the present ones."""


def named(entropy: str, option: str = "entropy") -> str:
    """``entropy``, if it is ``"auto"`` or the name of an estimator; ValueError otherwise."""
    if entropy in _SINCE_1:
        new = _SINCE_1[entropy]
        raise refuse(option, f"{new!r}, which is the name since 0.2", entropy, f"Pass {new!r}.")
    return one_of(option, entropy, ("auto", *METHODS))


def chosen(entropy: str | Estimator, trace: xr.Dataset, **settings: Any) -> Estimator:
    """The named, automatic or custom estimator; ``settings`` are passed to a named one that has fields of these names.

    Raises
    ------
    TypeError, ValueError
        If it is neither a name nor an :class:`Estimator`, or if it has no name or the name of another estimator.
    TraceError
        If the trace lacks what it needs.
    """
    if isinstance(entropy, Estimator):
        estimator = entropy
        if not str(entropy.name).isidentifier() or not isinstance(entropy, ESTIMATORS.get(entropy.name, Estimator)):
            raise refuse("name of the entropy estimator", "an identifier that is free", entropy.name, "Choose another.")
    elif isinstance(entropy, str):
        named(entropy)
        kind = ESTIMATORS.get(entropy) or next(e for e in ESTIMATORS.values() if e().possible(trace))
        estimator = kind(**{f.name: settings[f.name] for f in fields(kind) if f.name in settings})
    else:
        raise TypeError(
            f"entropy: expected one of auto, {', '.join(METHODS)} or an Estimator, got {type(entropy).__name__}. "
            "Derive a custom class from weightgas.measurement.entropy.Estimator and pass an instance of it."
        )
    estimator.check(trace)
    return estimator


def wanted(trace: xr.Dataset, estimator: Estimator) -> list[Estimator]:
    """The estimators for a trace: those for which it has the data, and the chosen one last."""
    others = [kind() for kind in ESTIMATORS.values() if kind.automatic and kind.name != estimator.name]
    return [*(other for other in others if other.possible(trace)), estimator]


def estimate(
    trace: xr.Dataset, state: xr.Dataset, estimator: Estimator, known: Mapping[str, Entropy] | None = None
) -> xr.Dataset:
    """Entropies of the direction as variables of a state, with the notes on the chosen one as attributes.

    ``state`` has the quantities measured so far, ``known`` the results of estimators by name that already exist. Raises
    TypeError or ValueError if a custom estimator does not return an :class:`Entropy` of these cells.
    """
    found: dict[str, Any] = {}
    notes: dict[str, Any] = {"entropy_method": estimator.name}
    for one in wanted(trace, estimator):
        result = known[one.name] if known and one.name in known else checked(one, trace, state)
        name = one.quantity.name
        found |= one.quantity.estimated(result.value, result.error)
        found[name][2]["independent"] = int(one.independent)
        if result.flag is not None:
            meanings = "; ".join(f"{value}: {text}" for value, text in one.flags.items() if text)
            about = {"units": "1", "long_name": f"what is wrong with {name}", "comment": meanings}
            found[f"{name}_flag"] = ("cell", result.flag, about)
        for quantity, value, error in result.more:
            found |= quantity.estimated(value, error)
    if estimator.too_few and (lost := int(np.isnan(result.value).sum())):
        notes["entropy_reason"] = f"{lost} cells {estimator.too_few}"
    found |= quantities.DERIVED["entropy_direction"].estimated(result.value, result.error)
    if result.draws is not None:
        about = {"long_name": "bootstrap replicates of the entropy of the direction", "units": "nat"}
        found["entropy_direction_draws"] = (("cell", "draw"), result.draws, about)
    return xr.Dataset(found, attrs=notes | dict(result.notes))


def checked(estimator: Estimator, trace: xr.Dataset, state: xr.Dataset) -> Entropy:
    """The result of an estimator, if it is an :class:`Entropy` of the right shape."""
    result, cells = estimator.estimate(trace, state), trace.sizes["cell"]
    if not isinstance(result, Entropy):
        kind = type(result).__name__
        raise TypeError(f"entropy {estimator.name}: expected estimate() to return an Entropy, got {kind}. Wrap it.")
    for name in ("value", "error", "flag"):
        array = getattr(result, name)
        if array is not None and np.shape(array) != (cells,):
            fix = "Return one number a cell, NaN where there is none."
            raise refuse(f"entropy {estimator.name}", f"{name} of shape ({cells},)", np.shape(array), fix)
    return result
