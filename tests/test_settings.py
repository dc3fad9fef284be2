"""``Record``, ``Until``, ``Run``, ``Evaluate``: checked when they are made, filled in by each producer."""

import inspect
import re
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from weightgas import settings
from weightgas.settings import Evaluate, Record, Run, Until


@pytest.mark.parametrize(
    ("kind", "options", "error", "match"),
    [
        (Record, {"samples": 0}, ValueError, "samples: expected a whole number of at least 1, got 0. Pass for"),
        (Record, {"samples": 1.5}, TypeError, "samples: expected a whole number"),
        (Record, {"warmup": -1}, ValueError, "warmup: expected a whole number of at least 0, got -1. Pass 0 for none"),
        (Record, {"bins": 3}, ValueError, "bins: expected a whole number of at least 16, got 3"),
        (Record, {"snapshots": None}, TypeError, "snapshots: expected a whole number of at least 0, got None"),
        (Record, {"noise_batches": 1}, ValueError, "noise_batches: expected .* at least 2, got 1. A variance needs 2"),
        (Until, {"targets": 0.0}, ValueError, "target of energy: expected finite numbers above 0"),
        (Until, {"targets": 2}, ValueError, "target of energy: expected a relative standard error below 1, got 2"),
        (Until, {"targets": {}}, ValueError, "targets: expected one target at least"),
        (
            Until,
            {"targets": {"heat": 0.1}},
            ValueError,
            "targets: expected one of compressibility, conf_ratio, elr",
        ),
        (Until, {"targets": "fine"}, TypeError, "target of energy: expected a positive number"),
        (Until, {"targets": 0.1, "most_steps": 0}, ValueError, "most_steps: expected a whole number of at least 1"),
        (Run, {"folder": 3}, TypeError, "folder: expected text or a path or None, got 3"),
        (Run, {"force": 1}, TypeError, "force: expected True or False, got 1"),
        (Run, {"threads": 0}, ValueError, "threads: expected a whole number of at least 1, got 0"),
        (Run, {"shard": 0.5}, TypeError, "shard: expected text or None, got 0.5"),
        (Run, {"shard": "half"}, ValueError, "shard: expected two whole numbers, NUMBER/COUNT, got 'half'"),
        (Run, {"shard": "4/3"}, ValueError, "shard: expected a number from 1 to 3, got 4. Write for instance '1/4'"),
        (Evaluate, {"method": "fast"}, ValueError, "method: expected one of auto, full, reduced, got 'fast'"),
        (Evaluate, {"dtype": "float16"}, ValueError, "dtype: expected one of float32, float64, got 'float16'"),
        (Evaluate, {"compile": 2}, TypeError, "compile: expected True or False or None, got 2"),
        (Evaluate, {"cells_at_once": 0}, ValueError, "cells_at_once: expected .* at least 1, got 0. Pass .* 16"),
    ],
)
def test_what_is_wrong_is_refused_when_it_is_made(kind, options, error, match) -> None:
    with pytest.raises(error, match=match):
        kind(**options)


@pytest.mark.parametrize("made", [Record(samples=8), Until(0.1), Run("here"), Evaluate(dtype="float64")])
def test_they_are_frozen(made) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(made, fields(made)[0].name, 1)


def test_each_producer_fills_in_its_own_choice() -> None:
    simulated, trained = Record(snapshots=3).of("simulate"), Record(snapshots=3).of("train")
    assert (simulated.samples, simulated.bins, simulated.snapshot_every, simulated.noise_batches) == (
        400,
        256,
        50,
        None,
    )
    assert (trained.samples, trained.bins, trained.snapshot_every, trained.noise_batches) == (300, None, 25, 8)
    assert simulated.snapshots == trained.snapshots == 3
    assert Record(samples=12, snapshot_every=7).of("train") == Record(
        samples=12, snapshot_every=7, noise_batches=8, curvature_batches=2, batch_energy=False, means=0
    )
    assert (Evaluate().of("simulate").method, Evaluate().of("train").dtype) == ("auto", "float32")


@pytest.mark.parametrize(
    ("made", "producer", "match"),
    [
        (Record(bins=64), "train", "bins: expected none in train, got 64. It is an option of simulate"),
        (Record(noise_batches=4), "simulate", "noise_batches: expected none in simulate, got 4. .* of train"),
        (Evaluate(method="full"), "train", "method: expected none in train, got 'full'"),
        (Evaluate(device="cpu"), "simulate", "device: expected none in simulate, got 'cpu'"),
    ],
)
def test_what_a_producer_does_not_have_it_refuses(made, producer, match) -> None:
    with pytest.raises(ValueError, match=match):
        made.of(producer)


def test_an_argument_may_be_the_first_field() -> None:
    assert Run.given("here") == Run(folder="here")
    assert Run.given(Path("here")) == Run(Path("here"))
    assert Run.given(None) == Run()
    assert Run.given(run := Run(threads=2)) is run
    assert Until.given(0.01) == Until(targets=0.01)
    assert Until.given({"energy": 0.1}).by_name() == {"energy": 0.1}
    assert Until(0.01).by_name() == {"energy": 0.01, "radius": 0.01}
    assert Record.given(None) == Record()
    for kind, value in ((Record, 300), (Evaluate, "cpu"), (Run, Record()), (Until, Run())):
        with pytest.raises(TypeError, match=f"^{kind.__name__.lower()}: expected weightgas.{kind.__name__}, got"):
            kind.given(value)


def test_a_shard_is_a_share() -> None:
    assert (Run().share, Run(shard=" 2 / 8").share) == ((1, 1), (2, 8))


@pytest.mark.parametrize(
    ("old", "place"),
    [
        ("readings", "record=Record(samples=...)"),
        ("noise_readings", "record=Record(noise_samples=...)"),
        ("snapshots", "record=Record(snapshots=...)"),
        ("precision", "until=Until(targets=...)"),
        ("out", "run=Run(folder=...)"),
        ("executor", "run=Run(client=...)"),
        ("resume_from", "run=Run(resume_from=...)"),
        ("compile", "evaluate=Evaluate(compile=...)"),
        ("momentum", "optimizer=SGD(momentum=...)"),
        ("potential", "loss=..."),
    ],
)
def test_an_old_keyword_is_answered_with_its_new_place(old: str, place: str) -> None:
    @settings.producer
    def produce(steps: int, *, record: Record | None = None) -> int:
        return steps

    assert produce(3, record=Record()) == 3
    with pytest.raises(TypeError, match=re.escape(f"{old}: now {place}, since version 0.2.")):
        keywords: dict[str, Any] = {old: 1}
        produce(3, **keywords)
    with pytest.raises(TypeError, match="unexpected keyword argument 'speed'"):
        produce(3, speed=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("kind", [Record, Until, Run, Evaluate])
def test_every_field_has_its_text(kind: type) -> None:
    for each in fields(kind):
        assert f"\n{each.name}\n    " in inspect.getdoc(kind), each.name


def test_they_load_nothing_heavy() -> None:
    program = "import sys, weightgas as wg; wg.Run('a'), wg.Record(samples=3), wg.Evaluate()"
    program += "\nassert not {'numpy', 'torch', 'xarray', 'numba'} & set(sys.modules)"
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
