"""Every command with hostile options: done with sense, or refused in one line with exit status 1 or 2."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import commands
import hostile
from commands import TEXTS, USUAL, Command

SOME, MANY = 60, 5_000
"""Command lines of `make test` and of `make test-slow`."""
HEAVY = ("train", "report", "measure", "doctor", "symmetries", "demo", "reproduce")
"""Commands that take a second or more: drawn less often, and not by `make test`."""


@st.composite
def lines(draw: st.DrawFn, quick: bool) -> Command:
    often = [name for name in USUAL if name not in HEAVY]
    name = draw(st.sampled_from(often if quick or draw(st.integers(0, 7)) else list(HEAVY)))
    known = commands.parameters(name)
    names = draw(st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=2, unique=True))
    return Command(name, tuple((one, draw(st.sampled_from(TEXTS))) for one in names))


def drawn(count: int, quick: bool) -> list[Command]:
    """So many command lines, the same every time."""
    found: list[Command] = []
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]

    @settings(
        max_examples=count, database=None, derandomize=True, phases=[Phase.generate], suppress_health_check=checks
    )
    @given(lines(quick))
    def collect(line: Command) -> None:
        found.append(line)

    collect()
    return found


def test_every_command_has_a_usual_line():
    assert set(USUAL) == {"demo", "simulate", "train", "measure", "report", "convert", "reproduce", "predict",
                          "symmetries", "list", "doctor"}  # fmt: skip


def test_some_hostile_commands_are_refused_or_done():
    found = hostile.run(drawn(SOME, quick=True), commands.judge)
    assert not any(one.bug for one in found), hostile.listed(found)


@pytest.mark.slow
def test_usual_commands_are_done():
    found = hostile.run([Command(name, ()) for name in USUAL], commands.judge)
    assert not [one for one in found if one.outcome != "accepted"], found


@pytest.mark.slow
def test_many_hostile_commands_are_refused_or_done():
    found = hostile.run(drawn(MANY, quick=False), commands.judge)
    print(hostile.listed(found))
    assert not any(one.bug for one in found), hostile.listed(found)
