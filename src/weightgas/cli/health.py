"""``weightgas doctor RUN``: the damage of a run, and the cost of its repair."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from weightgas.cli.cost import counted


def examined(source: Path) -> bool:
    """Print the condition of every run in a folder; True if none is damaged.

    Raises
    ------
    FileNotFoundError
        If there is no run.
    """
    from weightgas.runs import duration, health

    found = health.runs_in(source) if source.exists() else []
    if not found:
        raise FileNotFoundError(f"{source}: expected a run folder, or one that holds some, got none. Check the path.")
    damaged = 0
    for place in found:
        one = health.examine(place)
        if not one.damages:
            print(f"ok       {place}{_so_far(one.finished, one.cells)}", flush=True)
            continue
        damaged += 1
        for damage in one.damages:
            cells = f" ({counted(damage.cells, 'cell')})" if damage.cells else ""
            print(f"damaged  {damage.path}: {damage.what}\n         {damage.repair}{cells}", flush=True)
        time = f", about {duration(one.seconds)} to make cells again" if one.seconds else ""
        if one.command is not None:
            print(f"         the command of this run: `{one.command}`{time}", flush=True)
    print("All is well." if not damaged else f"{counted(damaged, 'run')} of {len(found)} damaged. Nothing was changed.")
    return not damaged


def _so_far(finished: int | None, cells: int | None) -> str:
    if cells is None or finished is None:
        return ""
    if finished == cells:
        return f": {counted(cells, 'cell')}"
    return f": {finished} of {counted(cells, 'cell')}; the same command makes the others"


_MOST_NAMED = 6


def check_one_run(source: Path) -> None:
    """Refuse a folder that holds runs, naming them, and a place where nothing is, naming the run with a near name.

    Raises
    ------
    FileNotFoundError
        Then. Anything else is for the function that opens it.
    """
    if not source.exists():
        runs = _runs_below(source.parent)
        near = get_close_matches(source.name, [path.name for path in runs], 1)
        advice = f"Did you mean {source.parent / near[0]}?" if near else "Check the path."
        raise FileNotFoundError(f"{source}: expected a stored trace or state, got nothing there. {advice}")
    if (source / "trace.zarr").exists() or (source / "zarr.json").exists():
        return
    if runs := _runs_below(source):
        more = f" and {len(runs) - _MOST_NAMED} more" if len(runs) > _MOST_NAMED else ""
        named = ", ".join(map(str, runs[:_MOST_NAMED])) + more
        raise FileNotFoundError(f"{source}: expected a run folder, got a folder that holds {named}. Give one of them.")


def _runs_below(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.glob("*/trace.zarr"))
