"""``weightgas doctor RUN``: what is damaged and what that costs; and the commands that need no torch."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from command_line import call
from weightgas.runs import checkpoint

SIMULATE = ("simulate", "--lr", "0.05,0.1", "--wd", "0.1", "--steps", "2000", "--samples", "40", "-o", "run")


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    assert call(capsys, *SIMULATE).code == 0
    return Path("run")


@pytest.mark.thorough
def test_a_run_without_damage(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "measure", "run", "--no-controls").code == 0
    before = content(run)
    found = call(capsys, "doctor", "run")
    assert (found.code, found.out) == (0, "ok       run: 2 cells\nAll is well.\n")
    assert call(capsys, "doctor", "run/trace.zarr").code == call(capsys, "doctor", "run/state.zarr").code == 0
    assert content(run) == before


@pytest.mark.thorough
def test_damage_is_listed_with_its_cost_and_the_command(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "measure", "run", "--no-controls").code == 0
    next((run / "trace.zarr/energy/c").rglob("0")).joinpath("0/0").write_bytes(b"torn")
    (run / "state.zarr/zarr.json").write_text("{")
    (run / "manifest.json").write_text("[]")
    checkpoint.save(run / "checkpoints", "cells-00000", {"x": np.arange(3)})
    newest = run / "checkpoints/cells-00000.npz"
    newest.write_bytes(newest.read_bytes()[:-1])
    before = content(run)
    found = call(capsys, "doctor", "run")
    assert found.code == 1 and content(run) == before
    for line in (
        r"damaged  run/manifest\.json: unreadable\n +the same command writes it again",
        r"damaged  run/checkpoints/cells-00000\.npz: .*\n +the same command uses the one before, or",
        r"damaged  run/trace\.zarr: energy of cells 0 to 1\n +the same command makes these cells again \(2 cells\)",
        r"damaged  run/state\.zarr: .*\n +`weightgas measure run` makes it again",
        rf"the command of this run: `weightgas {re.escape(' '.join(SIMULATE))}`",
        r"1 run of 1 damaged\. Nothing was changed\.",
    ):
        assert re.search(line, found.out), (line, found.out)
    (run / "manifest.json").write_text(json.dumps({"versions": {}, "wall_time": 200.0}))
    assert "about 3 min to make cells again" in call(capsys, "doctor", "run").out
    assert call(capsys, *SIMULATE).code == call(capsys, "measure", "run", "--no-controls").code == 0
    assert call(capsys, "doctor", "run").code == 0


def test_frames_settings_and_several_runs(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(run, "many/a/first")
    shutil.copytree(run, "many/a/second")
    (Path("many") / "a/second/trace.zarr/lr_set/zarr.json").unlink()
    (Path("many") / "a/second/config.toml").write_text("")
    found = call(capsys, "doctor", "many")
    assert found.code == 1 and "ok       many/a/first: 2 cells\n" in found.out
    assert re.search(r"second/config\.toml: missing or unreadable\n +the same command writes it again", found.out)
    assert re.search(r"second/trace\.zarr: metadata or coordinates: its metadata are not those", found.out)
    assert "1 run of 2 damaged." in found.out
    nowhere = call(capsys, "doctor", "nowhere")
    assert (nowhere.code, nowhere.out) == (2, "") and nowhere.err.startswith(
        "weightgas doctor: nowhere: expected a run"
    )


WITHOUT_TORCH = """
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ImportError("no torch here")
sys.meta_path.insert(0, Gone())
from weightgas.cli import main
for words in (["doctor", "run"], ["list"], ["symmetries", "--help"]):
    try:
        main(words)
    except SystemExit as ended:
        print(words, "ended with", ended.code, flush=True)
assert not {"torch", "torch._C"} & set(sys.modules)
"""


@pytest.mark.thorough
def test_without_torch(run: Path) -> None:
    found = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=True)
    assert found.stderr == ""
    for line in ("ok       run: 2 cells", "['doctor', 'run'] ended with 0", "['list'] ended with 0", "--input-shape"):
        assert line in found.stdout, line
    assert "['symmetries', '--help'] ended with 0" in found.stdout
    networks = found.stdout.partition("networks:\n")[2].splitlines()[0]
    assert networks == "  none  torch cannot be imported (no torch here): pip install torch"
    assert "digits" in found.stdout and "fixed-sphere" in found.stdout and "equilibrium" in found.stdout
