"""Public functions with hostile arguments: each call is refused in one sentence, or accepted with a sane result."""

from __future__ import annotations

import inspect
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import hostile
import surface
from hostile import NUMBERS, VALUES, Call, Target

SOME, MORE, MANY = 120, 600, 10_000
"""Calls of `make test`, of `make test-thorough` and of `make test-slow`."""
SELDOM = (
    "report.of_run",
    "report.findings",
    "figures.",
    "experiments.",
    "training.",
    "symmetry.",
    "analysis.bootstrap",
)
"""Targets whose accepted calls take from a tenth of a second to seconds: drawn a tenth as often."""


@cache
def targets() -> dict[str, Target]:
    return surface.targets()


@st.composite
def calls(draw: st.DrawFn, quick: bool) -> Call:
    seldom = [name for name in targets() if name.startswith(SELDOM)]
    often = [name for name in targets() if name not in seldom]
    name = draw(st.sampled_from(often if quick or draw(st.integers(0, 3)) else seldom))
    known = targets()[name].parameters
    required = [n for n, p in known.items() if p.default is p.empty]
    labels = st.one_of(st.sampled_from(sorted(NUMBERS)), st.sampled_from(sorted(VALUES)))
    changed = draw(st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=2, unique=True)) if known else []
    changes = [(one, draw(labels)) for one in changed]
    special = draw(st.integers(0, 29))
    if special == 0:
        changes.append(("unheard_of", draw(labels)))
    return Call(name, tuple(changes), tuple(required[:1]) if special == 1 else ())


def drawn(count: int, quick: bool) -> list[Call]:
    """So many calls, the same every time."""
    found: list[Call] = []
    targets()  # made outside of the strategy, since it draws random numbers
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]

    @settings(
        max_examples=count, database=None, derandomize=True, phases=[Phase.generate], suppress_health_check=checks
    )
    @given(calls(quick))
    def collect(call: Call) -> None:
        found.append(call)

    collect()
    return found


FOUND = {
    "figures.energy": {"width": "array masked"},
    "figures.layers": {"width": "unprintable"},
    "figures.along_run": {"lines": "-1"},
    "figures.energy_and_entropy": {"ax": "range huge"},
    "figures.pressure": {"ax": "tensor grad"},
    "figures.entropy": {"ax": "dataset other"},
    "driving.dissipation": {"durations": "list deep"},
    "experiments.controls_at": {"temperature": "1.7e+308"},
    "networks.ConvNet": {"head_bias": "inf"},
    "networks.ResNet18": {"head_bias": "range"},
    "theory.stationary.stationary_values": {"at": "mapping empty"},
    "theory.relaxation.energy_time_harmonic": {"elr": "array", "curvature": "bytearray"},
    "symmetry.symmetries": {"loss_fn": "type"},
    "experiments.reproduce": {"evaluate": "-1e+308"},
    "theory.stationary.response_ratio": {"protocol": "-9223372036854775808", "noise_var": "-9223372036854775808"},
    "theory.finite_step.momentum_share": {"momentum": "-1"},
}
"""Calls that once ended with an error from inside, or were accepted without sense."""


@contextmanager
def little_memory() -> Iterator[None]:
    """At most some GB on top of what this process has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hostile.used() + hostile.MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_every_public_name_is_called_here_or_excluded_with_a_reason():
    excluded = {name for names in surface.NOT_CALLED.values() for name in names.split()}
    names = {name for name, _ in surface.public()}
    assert not excluded - names, "names that are gone"
    assert not (set(surface.PARTICULAR) - set(targets())), "arguments for names that are gone"
    for name, target in targets().items():
        known = inspect.signature(target.function).parameters.values()
        needed = {p.name for p in known if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        assert needed <= set(target.usual), f"surface.py lacks usual arguments of {name}, or a reason to leave it out"


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found_stays_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = hostile.judged(targets()[name], Call(name, tuple(FOUND[name].items())))
    assert found.outcome == "refused", found


@pytest.mark.slow
def test_usual_calls_are_accepted():
    found = hostile.run([Call(name, ()) for name in targets() if name not in surface.RAISES | surface.SLOW])
    wrong = [one for one in found if one.outcome != "accepted"]
    assert not wrong, wrong


@pytest.mark.parametrize("count", [SOME, pytest.param(MORE, marks=pytest.mark.thorough)])
def test_some_hostile_calls_are_refused_or_sane(count, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with little_memory():
        found = [hostile.judged(targets()[call.target], call) for call in drawn(count, quick=True)]
    assert not any(one.bug for one in found), hostile.listed(found)


@pytest.mark.slow
def test_many_hostile_calls_are_refused_or_sane():
    found = hostile.run(drawn(MANY, quick=False))
    print(hostile.listed(found))
    assert not any(one.bug for one in found), hostile.listed(found)
