"""The output of ``weightgas measure``: states, verdict and controls, for a terminal of any width, or as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from weightgas import trace
from weightgas.analysis import Findings, Verdict
from weightgas.analysis.cells import listed
from weightgas.cli.cost import counted
from weightgas.cli.terminal import write
from weightgas.measurement.columns import columns
from weightgas.status import Status

WIDE = 110
"""Columns of a terminal from which a cell is one line of a table; below it is a block of lines."""
MOST_REASONS = 3

_OF_STATUS = {Status.EQUILIBRIUM: "green", Status.DIVERGED: "red", Status.FAILED: "red"}


def show(to: Console, state: xr.Dataset, rows: int) -> None:
    """Print the cells of a state, and advice on those that are not in equilibrium."""
    cells = state.sizes["cell"]
    every = rows == 0 or cells <= rows
    chosen = list(range(cells)) if every else np.unique(np.linspace(0, cells - 1, rows).round().astype(int)).tolist()
    if to.width >= WIDE:
        to.print(_table(state, chosen))
    else:
        for cell in chosen:
            _block(to, state, cell)
        write(to, "")
    if len(chosen) < cells:
        write(to, f"{len(chosen)} of {cells} cells; --rows 0 shows all.")
    codes, counts = np.unique(state["status"].values, return_counts=True)
    for status, count in ((Status(int(c)), n) for c, n in zip(codes, counts, strict=True)):
        if status != Status.EQUILIBRIUM:
            write(to, f"{count} of {counted(cells, 'cell')} {status.words}: {status.advice}")
    unknown = state["known"].values == 0 if "known" in state else np.zeros(cells, bool)
    if unknown.any():
        write(to, f"{unknown.sum()} of {counted(cells, 'cell')} not known to the precision asked")
    for reason in _reasons(state, unknown):
        write(to, f"  {reason}")
    if "entropy_reason" in state.attrs:
        write(to, f"S: {state.attrs['entropy_reason']}.")
    elif "entropy_anchor" in state.attrs:
        write(to, f"S is integrated along temperature: {state.attrs['entropy_anchor']}.")


def _reasons(state: xr.Dataset, unknown: np.ndarray) -> list[str]:
    """The first reasons of cells that are not in equilibrium or not precise enough, with the cells, without the advice
    on the status."""
    if "reason" not in state:
        return []
    found: dict[str, list[int]] = {}
    for cell in np.flatnonzero(unknown | (state["status"].values != Status.EQUILIBRIUM)).tolist():
        advice = Status(int(state["status"].values[cell])).advice
        reason = str(state["reason"].values[cell]).replace(f"{advice}; ", "").replace(advice, "").strip(" ;:")
        if reason:
            found.setdefault(reason, []).append(cell)
    lines = [f"{_named(state, cells)}: {reason}" for reason, cells in list(found.items())[:MOST_REASONS]]
    rest = sum(map(len, list(found.values())[MOST_REASONS:]))
    return lines + ([f"reasons of {counted(rest, 'more cell')} in --json"] if rest else [])


def _named(state: xr.Dataset, cells: list[int]) -> str:
    """The hyperparameters of the first cell, and the number of the others."""
    heads, (row,) = listed(state.isel(cell=cells[:1]))
    axes = len(trace.kind_of(state).axes)
    others = f" and {counted(len(cells) - 1, 'more cell')}" if len(cells) > 1 else ""
    return ", ".join(f"{name} {number}" for name, number in zip(heads[:axes], row[:axes], strict=True)) + others


def _table(state: xr.Dataset, chosen: list[int]) -> Table:
    heads, rows = listed(state.isel(cell=chosen))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in heads[:-1]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for cell, row in zip(chosen, rows, strict=True):
        table.add_row(*row[:-1], _status(state, cell))
    return table


def _block(to: Console, state: xr.Dataset, cell: int) -> None:
    """One cell as lines: hyperparameters and status, then the measured values, as many on a line as fit."""
    heads, (row,) = listed(state.isel(cell=[cell]))
    words = [f"{name} {number}" for name, number in zip(heads, row, strict=True)][:-1]
    count = len(trace.kind_of(state).axes)
    head, words = "  ".join(words[:count]), words[count:]
    to.print(Text.assemble((head, "bold"), "  ", _status(state, cell)), soft_wrap=True)
    size = max(map(len, words)) + 2
    count = max(1, (to.width - 2) // size)
    for k in range(0, len(words), count):
        to.print("  " + "".join(word.ljust(size) for word in words[k : k + count]).rstrip(), soft_wrap=True)


def _status(state: xr.Dataset, cell: int) -> Text:
    status = Status(int(state["status"].values[cell]))
    return Text(status.words, _OF_STATUS.get(status, "yellow"))


def show_controls(to: Console, controls: Mapping[str, Findings]) -> None:
    """Print the results of the same checks on the reference simulations, a line for each; without colours."""
    if not controls:
        return
    about = next(iter(controls.values())).title.split(", ", 2)[-1]
    write(to, f"Controls, reference simulations with a known answer: {about}")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in ("control", "stationary", "identities", "A", "B", "C"):
        table.add_column(name, no_wrap=True)
    for name, one in controls.items():
        levels = [level.answer for level in one.verdict.levels[:2]]
        table.add_row(name, *levels, *(h.answer for h in one.verdict.hypotheses))
    to.print(table)


def as_json(state: xr.Dataset, verdict: Verdict, controls: Mapping[str, Findings]) -> dict[str, Any]:
    """The state in columns, the verdict and those of the controls, in plain types."""
    of_controls = {name: one.verdict.as_dict() for name, one in controls.items()}
    return {**columns(state), "verdict": verdict.as_dict(), "controls": of_controls}
