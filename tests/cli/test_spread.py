"""Options of the command line that are fields of dataclasses: each is there, of its type, and reaches its object."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import get_args

import pytest

from command_line import call
from weightgas.cli import options as opt
from weightgas.cli import producers
from weightgas.cli.spread import spread
from weightgas.settings import Evaluate, Record, Run, Until

KINDS = {"simulate": (Record, Until, Run, Evaluate), "train": (Record, Run, Evaluate)}
NAMES = {"folder": "out", "targets": "precision"}


@dataclass(frozen=True, kw_only=True)
class Own(opt.Options):
    """What a command alone has.

    colour
        Of the gas. Red is hot.
    """

    panel = "Gas"
    colour: str = "red"


def options(command) -> dict[str, inspect.Parameter]:
    """The options of a command by the names of its parameters."""
    return dict(inspect.signature(command).parameters)


@pytest.mark.parametrize(
    ("command", "kind", "field"),
    [(c, kind, f) for c, kinds in KINDS.items() for kind in kinds for f in fields(kind) if f.metadata],
    ids=lambda value: getattr(value, "name", getattr(value, "__name__", value)),
)
def test_every_field_is_an_option_of_the_producers_that_have_it(command, kind, field) -> None:
    found, own = options(getattr(producers, command)), field.metadata["producers"]
    name = NAMES.get(field.name, field.name)
    assert (name in found) == (not own or command in own)
    if name in found:
        default = None if field.default is MISSING else field.default
        assert found[name].default == own.get(command, default)
        option = get_args(found[name].annotation)[1]
        assert (option.help and option.help[0].isupper()) or field.name == "method"
        assert option.min == field.metadata["minimum"]
        assert "``" not in option.help and option.help.endswith(".")


def test_options_become_objects() -> None:
    seen = {}

    @spread
    def simulate(*, run: Run, own: Own, until: Until | None, record: Record, seed: int = 0) -> None:
        seen.update(run=run, own=own, until=until, record=record, seed=seed)

    found = options(simulate)
    assert {"out", "force", "shard", "threads", "colour", "precision", "most_steps", "samples", "seed"} <= set(found)
    assert not {"client", "progress", "resume_from", "noise_batches"} & set(found)
    option = get_args(found["colour"].annotation)[1]
    assert (option.help, option.rich_help_panel) == ("Of the gas. Red is hot.", "Gas")
    defaults = {name: parameter.default for name, parameter in found.items()}
    simulate(**defaults)
    assert seen["run"] == Run() and seen["own"] == Own() and seen["until"] is None and seen["seed"] == 0
    assert seen["record"].of("simulate") == Record().of("simulate")
    changed = {"out": "here", "colour": "blue", "precision": "energy=0.1", "most_steps": 7, "samples": 9, "seed": 3}
    simulate(**defaults | changed)
    assert (seen["run"], seen["own"], seen["seed"]) == (Run(Path("here")), Own(colour="blue"), 3)
    assert seen["until"] == Until({"energy": 0.1}, most_steps=7) and seen["record"].samples == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--precision", "heat=0.1"), "weightgas simulate: targets: expected one of"),
        (("--precision", "small"), "weightgas simulate: --precision: expected a number or NAME=NUMBER"),
        (("--most-steps", "10"), "weightgas simulate: --most-steps: expected --precision with it, got 10."),
        (("--shard", "5/4"), "weightgas simulate: shard: expected a number from 1 to 4, got 5."),
        (("--readings", "10"), "weightgas simulate: --readings is now --samples. See weightgas simulate --help."),
        (("--potential", "linear"), "weightgas simulate: --potential is now --loss. See"),
    ],
)
def test_what_is_refused(arguments, message, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = call(capsys, "simulate", "--lr", "0.1", "--wd", "0.1", *arguments)
    assert (found.code, found.out, found.err.count("\n")) == (2, "", 1)
    assert found.err.startswith(message)
    assert not list(tmp_path.iterdir())
