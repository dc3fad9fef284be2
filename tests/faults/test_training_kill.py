"""A training run that is killed, interrupted or finds a damaged checkpoint ends as if nothing had happened."""

import logging
import random
import signal
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import processes
import work
from calls import flat
from weightgas import networks
from weightgas.protocols import FixedLR, FixedSphere
from weightgas.runs import checkpoint
from weightgas.training import chunk, engine, train

PROTOCOL = FixedSphere([0.003, 0.01, 0.03], [1.0])
OPTIONS = {
    "batch_size": 32,
    "samples": 50,
    "noise_batches": 2,
    "snapshots": 5,
    "means": 3,
    "batch_energy": True,
    "replicas": 2,
    "cells_at_once": 4,
}
STEPS = 1500  # two chunks, half a second or more each


def stamp(folder: Path) -> tuple:
    """What changes whenever something is saved; nothing, if that happens at this moment."""
    with suppress(FileNotFoundError):
        files = [*folder.glob("checkpoints/*.npz"), *folder.glob("trace.zarr/completed/c/*/*")]
        return tuple(sorted((str(f), f.stat().st_mtime_ns) for f in files))
    return ()


def stored_step(folder: Path) -> int:
    stored = checkpoint.load(folder / "checkpoints", "cells-00000")
    return -1 if stored is None else int(stored["step"])


def same(a: xr.Dataset, b: xr.Dataset) -> None:
    xr.testing.assert_identical(a.assign_attrs(wall_time=0), b.assign_attrs(wall_time=0))


@pytest.fixture(scope="module")
def whole() -> xr.Dataset:
    return train(PROTOCOL, networks.mlp(), "digits", STEPS, **flat(**OPTIONS))


@pytest.mark.integration
def test_killed_at_random_moments_it_ends_as_if_uninterrupted(tmp_path, whole):
    moments, folder, kills = random.Random(1), tmp_path / "run", 0
    for _ in range(3):
        before = stamp(folder)
        process = processes.start(work.train_with_checkpoints, folder, PROTOCOL, STEPS, OPTIONS, 0.05)
        processes.wait_for(lambda seen=before: stamp(folder) not in ((), seen), process)
        time.sleep(moments.uniform(0, 0.3))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
    assert kills > 0
    same(train(PROTOCOL, networks.mlp(), "digits", STEPS, **flat(folder=folder, **OPTIONS)), whole)
    assert not (folder / "checkpoints").exists()


@pytest.mark.integration
def test_ctrl_c_saves_and_is_passed_on(tmp_path, whole):
    folder = tmp_path / "run"
    code = processes.run(work.train_with_checkpoints, folder, PROTOCOL, STEPS, OPTIONS, 0.05, 2)
    assert code == processes.INTERRUPTED
    assert stored_step(folder) > 0
    same(train(PROTOCOL, networks.mlp(), "digits", STEPS, **flat(folder=folder, **OPTIONS)), whole)


@cache
def undisturbed(cells_at_once: int | None, steps: int = 1000) -> xr.Dataset:
    """What the runs of :func:`interrupted` at fixed LR must end as."""
    told = {"batch_size": 32, "samples": 20, "means": 2, "batch_energy": True} | (
        {"cells_at_once": cells_at_once} if cells_at_once else {}
    )
    return train(FixedLR([0.1, 0.3], 0.05), networks.mlp(), "digits", steps, **flat(**told))


def interrupted(monkeypatch, folder, protocol, calls, steps=1000):
    """Stop a run by Ctrl-C in the middle of its ``calls``-th segment."""
    advance, count = engine.Engine.advance, 0

    def counted(self, state, steps, **held):
        nonlocal count
        count += 1
        if count == calls:
            advance(self, state, steps // 2, **held)  # half of the segment is made, then lost
            raise KeyboardInterrupt
        return advance(self, state, steps, **held)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(engine.Engine, "advance", counted)
        # Told how many at once, so that no step is made to be timed.
        told = {"cells_at_once": 2, "batch_size": 32, "samples": 20, "means": 2, "batch_energy": True}
        train(protocol, networks.mlp(), "digits", steps, **flat(folder=folder, **told))


@pytest.mark.thorough
@pytest.mark.parametrize("calls", [2, 12])
def test_an_interruption_anywhere_resumes_from_the_last_whole_state(monkeypatch, tmp_path, calls):
    protocol, options = (
        FixedLR([0.1, 0.3], 0.05),
        {"batch_size": 32, "samples": 20, "means": 2, "batch_energy": True, "cells_at_once": 2},
    )
    interrupted(monkeypatch, tmp_path / "run", protocol, calls)
    at = stored_step(tmp_path / "run")
    assert 0 < at < 1100
    steps = []
    advance = engine.Engine.advance
    monkeypatch.setattr(engine.Engine, "advance", lambda *a, **k: (steps.append(a[2]), advance(*a, **k))[1])
    resumed = train(protocol, networks.mlp(), "digits", 1000, **flat(folder=tmp_path / "run", **options))
    assert sum(steps) == 1100 - at  # nothing is made twice
    monkeypatch.undo()
    same(resumed, undisturbed(2))


@pytest.mark.thorough
@pytest.mark.parametrize("damage", ["newest", "both", "empty"])
def test_a_damaged_checkpoint_is_skipped_with_a_warning(monkeypatch, tmp_path, caplog, damage):
    protocol, options = FixedLR([0.1, 0.3], 0.05), {"batch_size": 32, "samples": 20, "means": 2, "batch_energy": True}
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    interrupted(monkeypatch, tmp_path / "run", protocol, 9)
    newest, before = (tmp_path / "run/checkpoints" / f"cells-00000{x}.npz" for x in ("", ".before"))
    for path in (newest, before) if damage == "both" else (newest,):
        content = path.read_bytes()
        path.write_bytes(b"" if damage == "empty" else content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        resumed = train(protocol, networks.mlp(), "digits", 1000, **flat(folder=tmp_path / "run", **options))
    assert sum("damaged checkpoint, skipped" in r.message for r in caplog.records) == (2 if damage == "both" else 1)
    same(resumed, undisturbed(None))


FORGED = {
    "no weights": lambda found: found.pop("weights"),
    "no record": lambda found: found.pop("record_samples"),
    "other shape": lambda found: found.update(weights=found["weights"][:, 1:]),
    "other sums": lambda found: found.update(grad_sq=np.zeros(7)),
    "other record": lambda found: found.update(record_energy=found["record_energy"][:, 1:]),
    "negative step": lambda found: found.update(step=np.int64(-1)),
    "late step": lambda found: found.update(step=np.int64(10**15)),
    "many steps": lambda found: found.update(step=np.arange(2)),
    "text": lambda found: found.update(weights=np.full(found["weights"].shape, "weight")),
    "mode": lambda found: found.update(mode=np.array([-3, 9, 10**12])),
}


@pytest.mark.thorough
def test_a_checkpoint_that_does_not_fit_the_run_is_skipped(monkeypatch, tmp_path, caplog):
    """Its digest is right, so somebody made it so; of the two checkpoints the one before is taken."""
    protocol, options = FixedLR([0.1, 0.3], 0.05), {"batch_size": 32, "samples": 20, "means": 2, "batch_energy": True}
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    interrupted(monkeypatch, tmp_path / "run", protocol, 9)
    folder, name = tmp_path / "run/checkpoints", "cells-00000"
    before, content = checkpoint.read(folder / f"{name}.before.npz"), (folder / f"{name}.before.npz").read_bytes()
    setting = {}

    def stop(engine, plan, record, place):
        setting.update(engine=engine, plan=plan, record=record)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(chunk, "_resumed", stop)
        train(protocol, networks.mlp(), "digits", 1000, **flat(folder=tmp_path / "run", **options))
    for kind, forge in FORGED.items():
        forged = dict(before)
        forge(forged)
        checkpoint.save(folder, name, forged)
        (folder / f"{name}.before.npz").write_bytes(content)
        caplog.clear()
        state = chunk._resumed(*setting.values(), (folder, name))
        assert state is not None and state.step == int(before["step"]), kind
        assert [record.message for record in caplog.records if "damaged checkpoint, skipped" in record.message], kind
        assert not (folder / f"{name}.npz").exists()  # or the next one saved would replace the good one by it
    same(train(protocol, networks.mlp(), "digits", 1000, **flat(folder=tmp_path / "run", **options)), undisturbed(None))


@pytest.mark.thorough
def test_a_checkpoint_of_other_cells_is_not_used(monkeypatch, tmp_path):
    """The part that begins with a cell may hold other cells when cells_at_once has changed."""
    protocol, options = FixedLR([0.1, 0.3], 0.05), {"batch_size": 32, "samples": 20, "means": 2, "batch_energy": True}
    interrupted(monkeypatch, tmp_path / "run", protocol, 5, steps=400)
    assert stored_step(tmp_path / "run") > 0
    resumed = train(
        protocol, networks.mlp(), "digits", 400, **flat(folder=tmp_path / "run", cells_at_once=1, **options)
    )
    same(resumed, undisturbed(1, 400))


def test_a_failed_write_leaves_the_old_checkpoint(monkeypatch, tmp_path):
    checkpoint.save(tmp_path, "part", {"x": np.arange(3)})
    monkeypatch.setattr(np, "savez", lambda *a, **k: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(tmp_path, "part", {"x": np.arange(4)})
    monkeypatch.undo()
    stored = checkpoint.load(tmp_path, "part")
    assert stored is not None and stored["x"].tolist() == [0, 1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["part.npz"]
    checkpoint.save(tmp_path, "part", {"x": np.arange(4)})
    (tmp_path / "part.npz").unlink()
    stored = checkpoint.load(tmp_path, "part")
    assert stored is not None and stored["x"].tolist() == [0, 1, 2]
    assert checkpoint.load(tmp_path, "other") is None
