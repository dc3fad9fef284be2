"""The arguments of figures: one convention for all.

A run is its :class:`~weightgas.analysis.Findings`, its state, or the pair (trace, state). A figure of one run takes a
run; a figure of several takes a run, or a mapping of runs by name. A figure of quantities along the steps takes a trace
or the Findings of one. Anything else raises a TypeError that states what was passed and how to fix the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import xarray as xr

from weightgas import trace as traces
from weightgas.analysis.findings import Findings, described
from weightgas.errors import refuse

Run = Findings | xr.Dataset | tuple[xr.Dataset, xr.Dataset]
"""One run: Findings, a state, or (trace, state)."""
Recorded = xr.Dataset | Findings
"""The argument of a figure along the steps."""
Results = Mapping[str, xr.Dataset]
"""Results of the solvable gas by name."""
Runs = Run | Mapping[str, Run]
"""One run, or several by name."""


def one(run: Any, name: str = "run", *, trace: bool = False) -> Findings:
    """The Findings of one run; with ``trace`` they must have the trace, which a state alone lacks.

    Raises
    ------
    TypeError
        For anything that is not a run.
    """
    expected = "Findings or a pair (trace, state)" if trace else "Findings, a state or a pair (trace, state)"
    if isinstance(run, Findings):
        found = run
    elif isinstance(run, tuple) and [described(part) for part in run] == ["a trace", "a state"]:
        found = Findings(*cast(tuple[xr.Dataset, xr.Dataset], run))
    elif described(run) == "a state":
        found = Findings(state=cast(xr.Dataset, run))
    else:
        raise TypeError(f"{name}: expected {expected}, got {_got(run)}. {_fix(run)}")
    if trace and found.trace is None:
        raise TypeError(f"{name}: expected {expected}, got a state without its trace. Pass Findings(trace, state).")
    return found


def several(runs: Any, name: str = "runs", *, trace: bool = False, empty: bool = False) -> dict[str, Findings]:
    """The Findings of runs by name; a single run has the name of its protocol.

    Raises
    ------
    TypeError
        For anything that is neither a run nor a mapping of runs by name.
    ValueError
        For no run at all, unless ``empty``.
    """
    if runs is None and empty:
        return {}
    if not isinstance(runs, Mapping) or isinstance(runs, xr.Dataset):
        found = one(runs, name, trace=trace)
        return {found.protocol: found}
    if not runs and not empty:
        raise refuse(name, "at least one run by name", dict(runs), "Pass {'name': Findings(trace, state)}.")
    return {str(key): one(run, f"{name}[{key!r}]", trace=trace) for key, run in runs.items()}


def recorded(run: Any, name: str = "trace") -> xr.Dataset:
    """A trace, from itself, from Findings or from a pair (trace, state); TypeError for anything else."""
    if isinstance(run, Findings | tuple):
        return one(run, name, trace=True).traced
    if described(run) != "a trace":
        raise TypeError(f"{name}: expected a trace or the Findings of one, got {_got(run)}. Pass the recorded trace.")
    return traces.check(run)


def result(value: Any, name: str, variables: tuple[str, ...], maker: str) -> xr.Dataset:
    """A dataset with ``variables``, the result of ``maker``; TypeError for anything else."""
    if not isinstance(value, xr.Dataset) or not set(variables) <= set(value.variables):
        raise TypeError(f"{name}: expected the result of {maker}, got {_got(value)}. Pass that.")
    return value


def results(values: Any, name: str, variables: tuple[str, ...], maker: str) -> None:
    """Refuse anything but a mapping, by name, of datasets with ``variables``: TypeError as :func:`result`."""
    if not isinstance(values, Mapping) or isinstance(values, xr.Dataset):
        raise TypeError(f"{name}: expected results of {maker} by name, got {_got(values)}. Pass {{'name': result}}.")
    for key, value in values.items():
        result(value, f"{name}[{key!r}]", variables, maker)


def _got(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a tuple of {', '.join(described(part) for part in value) or 'nothing'}"
    return described(value)


def _fix(value: Any) -> str:
    """How to get from a wrong input to the right one."""
    if described(value) == "a trace":
        return "Measure it: pass Findings(trace), or measure(trace)."
    if isinstance(value, Mapping) and not isinstance(value, xr.Dataset):
        return "This figure shows one run: draw each separately."
    if isinstance(value, xr.Dataset) and "cell" not in value.dims:
        return "Pass the state as measure() returns it."
    return "Pass Findings(trace, state), or the result of measure(trace)."
