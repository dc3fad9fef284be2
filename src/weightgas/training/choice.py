"""The mode of a run, chosen once at its start: by a rule for a short run, by timing for a long one.

The fastest mode depends on the network, the images, the cache and the versions of libraries; no rule covers them all.
So a run that is estimated to be long times a few modes and uses the fastest. The choice is stored in the run folder
(``mode.json``), so that a resumed run or another shard uses the same mode, and its numbers are bit-equal.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import torch

from weightgas import runs
from weightgas import trace as traces
from weightgas.training.engine import Engine
from weightgas.training.mode import Mode

logger = logging.getLogger(__name__)

LONG = 20.0
"""Shortest estimated duration of a run, in seconds, for which modes are timed."""

VERY_LONG = 600.0
"""Shortest estimated duration, in seconds, for which compilation, which takes up to a minute, is tried."""

BUDGET = 0.03
"""Share of the estimated time after which no further number of networks at once is tried."""

GAIN = 0.03
"""Share of the time that a mode must save to replace the previous one."""

FEWEST, ROUNDS, ROUND = 200, 5, 0.03
"""Fewest steps of all stacks for timing; rounds, of which the fastest counts; shortest round, in seconds or a step."""


@dataclass(frozen=True)
class Work:
    """The remaining work of a run: at most ``stacked`` networks in a stack, and ``steps`` of all networks together."""

    stacked: int
    steps: int


def chosen(
    usual: Mode, engine: Callable[[Mode], Engine], work: Work, run: runs.RunFolder | None, compile: bool | None
) -> Mode:
    """The mode of a run: the one in its folder, else a timed one, else the ``usual`` one; it is logged and stored.

    ``engine`` returns an engine of ``mode.at_once`` networks. ``compile`` is whether to compile; None for if that is
    faster.
    """
    path = None if run is None else run.folder / "mode.json"
    mode = None if run is None else _kept(run)
    if mode is None:
        mode, said = _found(usual, engine, work, compile)
        mode = mode if compile is None else replace(mode, compiled=compile)
        logger.log(logging.INFO if "(" in said else logging.DEBUG, "%s", said)
        if run is not None and path is not None:
            with runs.preparing(run.folder):  # if several shards start together, one decides
                mode = _kept(run) or mode
                runs.write_atomically(path, json.dumps({**asdict(mode), "said": said}, indent=1) + "\n")
    return mode if compile is None else replace(mode, compiled=compile)


def _kept(run: runs.RunFolder) -> Mode | None:
    """The mode in a run folder, or in its trace; None if there is none."""
    path = run.folder / "mode.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Mode.of([stored["at_once"], stored["compiled"], stored["inputs"] or 0])
    except FileNotFoundError:
        damage = ""
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        damage = f"{type(error).__name__}: {error}"
    about = traces.seal.attributes(run.trace_path)
    try:
        mode = Mode.of([about["networks_at_once"], about["compiled"], 0])
    except (KeyError, TypeError, ValueError):
        mode = None
    if damage:
        logger.warning("%s: damaged, %s (%s)", path, "chosen anew" if mode is None else "taken from the trace", damage)
    return mode


def _found(usual: Mode, engine: Callable[[Mode], Engine], work: Work, compile: bool | None) -> tuple[Mode, str]:
    """The fastest mode of those timed, or the usual one, and the reason in a line."""
    usual = replace(usual, at_once=min(usual.at_once, work.stacked))
    rule = f"{_networks(usual.at_once)} at once, by rule"
    if work.steps < FEWEST * usual.at_once:
        return usual, rule
    best = Timer(engine(usual))
    expected = best.seconds * work.steps
    if expected < LONG:
        return usual, rule
    begun, seconds = time.monotonic(), {usual.at_once: best.seconds}
    for following in (lambda k: min(2 * k, work.stacked), lambda k: k // 2):
        while (k := following(best.mode.at_once)) and k not in seconds and time.monotonic() - begun < BUDGET * expected:
            faster = _faster(best, other := Timer(engine(replace(usual, at_once=k))))
            seconds |= {best.mode.at_once: best.seconds, k: other.seconds}
            if not faster:
                break
            best = other
    others = ", ".join(f"{k}: {_milliseconds(seconds[k])}" for k in sorted(seconds) if k != best.mode.at_once)
    time_of_best = f"{_milliseconds(best.seconds)} ms a step each ({others or 'no other tried'})"
    said = f"{_networks(best.mode.at_once)} at once: {time_of_best}"
    if compile is not None or best.seconds * work.steps < VERY_LONG:
        return best.mode, said
    mode, more = _compiled(best, engine, work)
    return mode, f"{said}; {more}"


def _compiled(best: Timer, engine: Callable[[Mode], Engine], work: Work) -> tuple[Mode, str]:
    """The compiled mode if it is faster, with the same number of networks or twice as many; and the timings."""
    eager, begun, found = best, time.monotonic(), []
    for at_once in sorted({eager.mode.at_once, min(2 * eager.mode.at_once, work.stacked)}):
        other = Timer(engine(replace(eager.mode, at_once=at_once, compiled=True)))
        best = other if _faster(best, other) else best
        found.append(f"{at_once}: {_milliseconds(other.seconds)}")
        if not other.works:
            break
    took = f"tried in {time.monotonic() - begun:.0f} s"
    return best.mode, f"{'' if best.mode.compiled else 'not '}compiled ({', '.join(found)}, {took})"


def _faster(best: Timer, other: Timer) -> bool:
    """Whether ``other`` saves enough to replace ``best``; both are timed in turn, since the machine's load changes."""
    for _ in range(ROUNDS if other.works else 0):
        best.round()
        other.round()
    return other.seconds < (1 - GAIN) * best.seconds


class Timer:
    """Times the steps of an engine, from the same weights.

    ``seconds`` is the time of a step of one of its networks in the fastest round so far, at first that of a single
    step, which is an overestimate. It is infinite if the mode does not fit into memory or does not compile.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self._state, self.mode = engine, engine.initial(), engine.network.mode
        self._timed(1)  # one-time costs, including compilation
        found = self._timed(1)
        self._steps = max(1, round(ROUND / found))
        self.works = engine.network.mode == self.mode
        self.seconds = found / engine.stack if self.works else float("inf")

    def round(self) -> None:
        """Time a further round of steps."""
        self.seconds = min(self.seconds, self._timed(self._steps) / self._engine.stack)

    def _timed(self, steps: int) -> float:
        clock, processor = time.perf_counter(), time.process_time()
        weights = self._engine.advance(self._state, steps).weights
        if weights.device.type != "cpu":
            torch.accelerator.synchronize(weights.device)
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        # Processor time excludes other processes; wall time counts parallel threads once.
        return (min(clock, processor) if weights.device.type == "cpu" else clock) / steps


def _networks(count: int) -> str:
    return f"{count} network{'' if count == 1 else 's'}"


def _milliseconds(seconds: float) -> str:
    return "failed" if seconds == float("inf") else f"{1e3 * seconds:.3g}"
