"""Bad input, broken folders and kills on the command line: one clear line, the right exit code, nothing lost."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from command_line import call, end, made, start
from weightgas import trace as traces
from weightgas.protocols import FixedLR
from weightgas.settings import Record, Run
from weightgas.simulation import run as simulation_run
from weightgas.simulation import simulate

GRID = ("--lr", "0.1", "--wd", "0.1")
SIMULATE = ("simulate", *GRID, "--steps", "800")


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of SIMULATE, which tests copy."""
    folder = tmp_path_factory.mktemp("simulated")
    made(folder, *SIMULATE, "-o", "run")
    return folder / "run"


@pytest.fixture
def run(simulated: Path, empty: Path) -> Path:
    """That run, in the folder of a test."""
    return Path(shutil.copytree(simulated, empty / "run").name)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 2) -> str:
    """What a call that is refused states: one line on standard error, no traceback, nothing on standard output."""
    found = call(capsys, *arguments)
    lines = [line for line in found.err.splitlines() if "done in" not in line]
    assert found.code == code, found
    assert found.out == ""
    assert len(lines) == 1, found.err
    assert lines[0].startswith("weightgas")
    assert "Traceback" not in found.err
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), r"protocol fixed_lr: expected lr and wd, got nothing\. .*add --lr, --wd"),
        (("--lr", "-0.1", "--wd", "0.1"), r"lr: expected finite numbers above 0, got -0\.1\."),
        (("--lr", "nan", "--wd", "0.1"), r"lr: expected finite numbers above 0, got nan\."),
        (("--lr", "inf", "--wd", "0.1"), r"lr: expected finite numbers above 0, got inf\."),
        (
            ("--lr", "0.1", "--wd", "0"),
            r"wd: expected finite numbers above 0, got 0\.0\. .*--protocol fixed-sphere with",
        ),
        (("--lr", "fast", "--wd", "0.1"), r"--lr: expected numbers, got 'fast'\."),
        (("--lr", "0.1:1", "--wd", "0.1"), r"--lr: expected numbers, got '0\.1:1'\. .*low:high:count"),
        (("--lr", "0:1:5", "--wd", "0.1"), r"--lr: expected low:high:count with ends above 0"),
        (("--lr", "0.1,0.1", "--wd", "0.1"), r"FixedLR: expected every cell once"),
        ((*GRID, "--elr", "0.1"), r"protocol fixed_lr: expected lr and wd, got elr, lr, wd\. .*omit --elr"),
        (("--protocol", "fixed-elr", *GRID), r"protocol fixed_elr: expected elr and wd, got lr, wd"),
        (("--protocol", "fixed-sphere", *GRID), r"protocol fixed_sphere: expected elr and radius, got lr, wd"),
        (("--protocol", "fixed-norm", *GRID), r"'fixed-norm' is not one of 'fixed-lr', 'fixed-elr', 'fixed-sphere'"),
        (("--lr", "1,2", "--wd", "1,2,3", "--paired"), r"expected paired axes of one length, got 2 of lr and 3 of wd"),
        ((*GRID, "--dim", "1"), r"Invalid value for '--dim'.*greater than or equal to 2"),
        ((*GRID, "--steps", "many"), r"Invalid value for '--steps'.*integer"),
        ((*GRID, "--steps", "10"), r"steps: expected .*at least 400, got 10"),
        ((*GRID, "--seed", "-1"), r"Invalid value for '--seed'"),
        ((*GRID, "--threads", "0"), r"Invalid value for '--threads'"),
        ((*GRID, "--sigma", "-1"), r"sigma: expected finite numbers above 0, got -1\.0"),
        ((*GRID, "--sigma", "1", "--noise", "covariance:1,1,1"), r"--sigma: expected one of --sigma and --noise"),
        ((*GRID, "--noise", "loud"), r"--noise: expected isotropic, .*SLOPE,OFFSET or FILE\.py:NAME, got 'loud'"),
        ((*GRID, "--noise", "covariance:1,1"), r"dim: expected 2, the size of the covariance, got 3"),
        ((*GRID, "--noise", "covariance:-1,1,1"), r"positive semi-definite"),
        ((*GRID, "--loss", "cubic"), r"--loss: expected linear, quadratic:EIGENVALUES or FILE\.py:NAME"),
        ((*GRID, "--loss", "quadratic:0,1"), r"dim: expected 2, the size of the matrix .*, got 3"),
        ((*GRID, "--loss", "quadratic:0,x,1"), r"--loss: expected numbers between commas"),
        ((*GRID, "--learning-rate", "0.1"), r"No such option: --learning-rate"),
        ((*GRID, "again"), r"[Uu]nexpected extra argument.*again"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_simulate_refuses(
    arguments: tuple[str, ...], message: str, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.search(message, refused(capsys, "simulate", *arguments))
    assert not list(empty.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", *GRID, "--network", "resnet50"), r"network: expected one of .*mlp.*, got 'resnet50'"),
        (("train", *GRID, "--data", "imagenet"), r"data: expected one of .*digits.*, got 'imagenet'"),
        (("train", *GRID, "--hidden", "wide"), r"--hidden: expected whole numbers, got 'wide'"),
        (("train", *GRID, "--hidden", "6,1"), r"hidden: expected .*at least 2, got 1"),
        (("train", *GRID, "--batch-size", "5000"), r"batch_size: expected at most the 1797 inputs"),
        (("train", *GRID, "--device", "abacus"), r"device: expected a device that this torch can use"),
        (("train", *GRID, "--lr", "-1"), r"lr: expected finite numbers above 0, got -1\.0"),
        (("reproduce", "everything"), r"experiment: expected one of .*isotropic.*, got 'everything'"),
        (("reproduce", "isotropic", "--preset", "epic"), r"preset: expected one of .*standard.*, got 'epic'"),
        (("reproduce",), r"Missing argument 'NAME'"),
        (("measure", "nowhere"), r"nowhere: expected a stored trace or state, got nothing there"),
        (
            ("measure", ".", "--entropy", "boltzmann"),
            r"--entropy: expected one of auto, density.* got 'boltzmann'",
        ),
        (("report", "nowhere"), r"nowhere: expected a stored trace or state, got nothing there"),
        (("list", "colours"), r"WHAT: expected one of data, entropies.* got 'colours'"),
        (("simulat",), r"No such command 'simulat'.*Did you mean 'simulate'\? See weightgas --help"),
        (("predict",), r"Missing argument 'OPTIMIZER': one of sgd, adamw, adam"),
        (("simulate", *GRID, "--steps", "1e5"), r"--steps'.* Write 100000 in place of 1e5\."),
        (("simulate", *GRID, "--steps=1e5"), r"--steps'.* Write 100000 in place of 1e5\."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_others_refuse(
    arguments: tuple[str, ...], message: str, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.search(message, refused(capsys, *arguments))
    assert not list(empty.iterdir())


OWN = """
from dataclasses import dataclass
import numpy as np

class Nameless:
    name = "nameless"
    def factor(self, dim):
        return np.ones(dim)

class Needy:
    def __init__(self, more):
        pass

@dataclass(frozen=True)
class Failing:
    name: str = "failing"
    def factor(self, dim):
        raise KeyError("forgotten")

@dataclass(frozen=True)
class Wrong:
    name: str = "wrong"
    def factor(self, dim):
        return np.ones(dim).reshape(3, 3)

number = 3
"""


@pytest.mark.parametrize(
    ("noise", "code", "message"),
    [
        ("none.py:Noise", 2, r"--noise: expected FILE\.py:NAME of a Python file, .*There is no file .*none\.py"),
        (
            "own.py:Loud",
            2,
            r"--noise: expected a name in own\.py, got 'Loud'\. It has .*Nameless, Needy, Failing, Wrong, number",
        ),
        ("own.py:Nameless", 2, r"--noise: expected an object whose repr identifies it"),
        ("own.py:Needy", 2, r"--noise: expected Needy\(\) of own\.py to make an object, got TypeError"),
        (
            "own.py:number",
            2,
            r"--noise: expected an object with the methods of weightgas\.losses\.Noise, or a CustomNoise, got int",
        ),
        ("own.py:Failing", 1, r"KeyError: 'forgotten'\. This was not expected; --debug shows where"),
        ("own.py:Wrong", 1, r"ValueError: cannot reshape .*\. This was not expected; --debug shows where"),
        ("broken.py:Noise", 2, r"--noise: expected .*broken\.py to run, got SyntaxError"),
        ("leaving.py:Noise", 2, r"--noise: expected .*leaving\.py to run, got SystemExit"),
    ],
)
def test_ones_own_file_that_is_wrong(
    noise: str, code: int, message: str, empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (empty / "own.py").write_text(OWN)
    (empty / "broken.py").write_text("def Noise(:\n")
    (empty / "leaving.py").write_text("raise SystemExit(0)\n")
    assert re.search(message, refused(capsys, *SIMULATE, "--noise", noise, code=code))


def test_debug_shows_the_traceback(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "own.py").write_text(OWN)
    found = call(capsys, *SIMULATE, "--noise", "own.py:Failing", "--debug")
    assert found.code == 1
    assert "Traceback" in found.err
    assert re.search(r'own\.py", line \d+, in factor', found.err)


@pytest.mark.parametrize("place", ["file", "file/below", "foreign"])
@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "force"])
def test_a_folder_that_is_not_ours(
    place: str, force: tuple[str, ...], empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (empty / "file").write_text("mine")
    (empty / "foreign").mkdir()
    (empty / "foreign" / "config.toml").write_text("mine = true\n")
    before = sorted(empty.rglob("*"))
    said = refused(capsys, *SIMULATE, "-o", place, *force)
    assert re.search(rf"{place}: expected .*(file|[Nn]ot a directory|files that are not a run of weightgas)", said)
    assert sorted(empty.rglob("*")) == before
    assert (empty / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may write anywhere")
def test_a_folder_without_permission(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "locked").mkdir(mode=0o500)
    assert re.search(
        "locked/run: expected a folder that can be written", refused(capsys, *SIMULATE, "-o", "locked/run")
    )


@pytest.mark.thorough
def test_a_run_with_other_settings_needs_force(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, *SIMULATE, "-o", "run").code == 0
    said = refused(capsys, *SIMULATE, "--seed", "1", "-o", "run")
    assert re.search(r"run: expected a new folder or one of this same run, .*\(seed\).*--force", said)
    assert traces.open_trace("run").attrs["seed"] == 0
    assert call(capsys, *SIMULATE, "--seed", "1", "-o", "run", "--force").code == 0
    assert traces.open_trace("run").attrs["seed"] == 1
    log = Path("run/log.txt").read_text()
    assert "--force" in log.splitlines()[0], "the log begins anew with the run"
    assert "--seed 1 -o run --force" in log


@pytest.mark.thorough
def test_a_damaged_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, *SIMULATE, "-o", "run").code == 0
    config = Path("run/config.toml")
    before = config.read_bytes()
    config.write_text(config.read_text()[:40] + "\x00 = [")
    assert call(capsys, "measure", "run", "--no-controls").code == 0, "the trace does not need it"
    other = refused(capsys, *SIMULATE, "--seed", "1", "-o", "run")
    assert re.search(r"run: expected .*got a run with a damaged config\.toml, which may .*\(--force\)", other)
    found = call(capsys, *SIMULATE, "-o", "run")
    assert found.code == 0 and "config.toml was damaged, and is written again" in found.err
    assert config.read_bytes() == before


def foreign(run: Path) -> None:
    shutil.rmtree(run / "trace.zarr")
    xr.Dataset({"a": ("x", np.arange(3.0))}).to_zarr(run / "trace.zarr", consolidated=False)


def without_variable(run: Path) -> None:
    shutil.rmtree(run / "trace.zarr" / "radius")


def torn(run: Path) -> None:
    chunk = next(
        path for path in (run / "trace.zarr" / "energy").rglob("*") if path.is_file() and path.name != "zarr.json"
    )
    chunk.write_bytes(chunk.read_bytes()[:10])


def newer(run: Path) -> None:
    metadata = run / "trace.zarr" / "zarr.json"
    content = json.loads(metadata.read_text())
    content["attributes"]["format_version"] = 99
    metadata.write_text(json.dumps(content))


def no_json(run: Path) -> None:
    (run / "trace.zarr" / "zarr.json").write_text("{")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (foreign, r"expected the attribute format_version, got None\. Not a trace of weightgas"),
        (without_variable, r"its metadata are not those that were written.*`weightgas doctor run` names"),
        (torn, r"expected a Zarr store written by weightgas, got something unreadable"),
        (newer, r"expected format 2 or older, got 99\. Update weightgas"),
        (no_json, r"expected a Zarr store written by weightgas, got something unreadable"),
    ],
)
@pytest.mark.parametrize("command", ["measure", "report"])
def test_a_trace_that_is_damaged_or_foreign(
    command: str, damage, message: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(run)
    assert re.search(message, refused(capsys, command, run))
    assert not Path("run/state.zarr").exists()


@pytest.mark.thorough
def test_an_unfinished_trace_is_measured_as_far_as_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    command = ("simulate", "--lr", "0.05,0.1", "--wd", "0.1", "--steps", "20000", "-o", "run")
    assert call(capsys, *command).code == 0
    store = xr.open_zarr("run/trace.zarr", consolidated=False, chunks=None)
    part = store[["completed"]].load().drop_vars([str(c) for c in store.coords])
    part["completed"][0] = 0
    part.to_zarr("run/trace.zarr", mode="r+", consolidated=False)
    found = call(capsys, "measure", "run", "--no-controls")
    assert found.code == 0, found.err
    assert re.search(
        r"1 of 2 cells failed: The cell did not finish .*run the same command again to resume it", found.out
    )
    assert "1 of 2 cells are already there" in call(capsys, *command).err
    assert "failed" not in call(capsys, "measure", "run", "--no-controls").out


@pytest.mark.thorough
def test_what_is_extreme_runs_and_says_what_happened(capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "simulate", "--lr", "0.1,1e4", "--wd", "1", "--steps", "20000", "-o", "run")
    assert (found.code, found.out.splitlines()[0]) == (0, "2 cells: 1 finished, 1 diverged. Trace in run/trace.zarr")
    found = call(capsys, "measure", "run", "--no-controls")
    assert found.code == 0, found.err
    assert re.search(r"1e\+04 .* diverged", found.out)
    assert re.search(
        r"1 of 2 cells diverged: The weights overflowed .*; lower the \(effective\) learning rate", found.out
    )


# --------------------------------------------------------------------------------------------------- kills and Ctrl-C

LONG = (
    "simulate",
    "--lr",
    "0.01:0.1:8",
    "--wd",
    "0.1",
    "--steps",
    "200000",
    "--samples",
    "40",
    "--threads",
    "1",
    "-o",
    "run",
)
CHUNKS = """
import time
from weightgas.runs import chunks
from weightgas.simulation import run
write = chunks.traces.write_cells
def write_and_wait(part, path, start):
    write(part, path, start)
    if start == 2:
        time.sleep(600)
run._SECONDS_PER_CHUNK, chunks.traces.write_cells = 0.0, write_and_wait
"""
"""Chunks of one cell; when the third is stored, the process waits for a signal."""


def wait_for_three_cells(folder: Path, process) -> None:
    until, store = time.monotonic() + 120, folder / "run" / "trace.zarr"
    while not store.exists() or traces.completed_cells(store).sum() < 3:
        assert process.poll() is None and time.monotonic() < until, end(process)
        time.sleep(0.01)


@pytest.fixture
def in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process too makes runs in chunks of one cell."""
    monkeypatch.setattr(simulation_run, "_SECONDS_PER_CHUNK", 0.0)


@pytest.fixture(scope="module")
def undisturbed() -> xr.Dataset:
    """The trace of the run that nothing happened to, in this process and by the library."""
    return simulate(
        FixedLR(np.geomspace(0.01, 0.1, 8), 0.1),
        3,
        200_000,
        record=Record(samples=40),
        run=Run(threads=1, progress=False),
    )


@pytest.mark.integration
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.usefixtures("in_chunks")
def test_a_run_that_is_stopped_goes_on(
    number: signal.Signals, empty: Path, undisturbed: xr.Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    process = start(empty, *LONG, before=CHUNKS)
    wait_for_three_cells(empty, process)
    process.send_signal(number)
    found = end(process)
    if number == signal.SIGKILL:
        assert found.code == -signal.SIGKILL
    else:
        assert (found.code, found.out) == (130, "")
        last = found.err.splitlines()[-1]
        expected = (
            "weightgas simulate: interrupted. What is finished is kept in run; the same command resumes from there: "
        )
        assert last == f"{expected}weightgas {' '.join(LONG)}"
        assert "interrupted" in (empty / "run/log.txt").read_text()
    kept = int(traces.completed_cells(empty / "run/trace.zarr").sum())
    assert kept == 3
    interrupted = traces.open_trace(empty / "run")
    assert (interrupted["outcome"].values == 3).sum() == 8 - kept

    if number == signal.SIGTERM:
        return  # handled as Ctrl-C, which the next case follows to the end
    again = call(capsys, *LONG)
    assert again.code == 0, again.err
    assert f"{kept} of 8 cells are already there" in again.err
    assert again.out.startswith("8 cells: 8 finished.")
    whole = traces.open_trace(empty / "run")
    xr.testing.assert_equal(whole, undisturbed)


@pytest.mark.thorough
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_ctrl_c_before_anything_is_written(empty: Path) -> None:
    before = "import os, signal, threading\nfrom weightgas.losses import Linear\n"
    before += "Linear.form = lambda self, dim: os.kill(os.getpid(), signal.SIGINT)"
    found = end(start(empty, *LONG, before=before))
    assert (found.code, found.err) == (130, "weightgas simulate: interrupted. Nothing was written.\n")
    assert not list(empty.iterdir())


def test_output_that_nobody_reads(empty: Path) -> None:
    process = start(empty, "list")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.integration
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_the_letters(encoding: str, empty: Path) -> None:
    found = end(start(empty, "list", "protocols", PYTHONIOENCODING=encoding, LC_ALL="C"))
    assert found.code == 0, found.err
    assert "holds eta and lambda" in found.out
    found = end(start(empty, "simulate", "--help", PYTHONIOENCODING=encoding, LC_ALL="C"))
    assert found.code == 0, found.err
    assert "Learning rate eta" in found.out


@pytest.mark.integration
def test_a_run_without_the_letters(empty: Path) -> None:
    before = "import sys\nfrom weightgas.cli import app, text\ntext.survive()\n"
    before += f"app({[*SIMULATE, '-o', 'run']!r}, standalone_mode=False)"
    found = end(start(empty, "measure", "run", before=before, PYTHONIOENCODING="ascii", LC_ALL="C"))
    assert found.code == 0, found.err
    assert found.out.isascii()
    found = end(start(empty, "simulate", "--lr", "0", "--wd", "1", PYTHONIOENCODING="ascii", LC_ALL="C"))
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert "learning rate eta must be positive" in found.err


@pytest.mark.parametrize("command", ["measure", "report"])
def test_a_folder_of_runs_and_a_near_name_are_answered_with_the_runs(command: str, capsys, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / "runs" / name / "trace.zarr").mkdir(parents=True)
    assert refused(capsys, command, "runs").endswith(
        "runs: expected a run folder, got a folder that holds runs/first, runs/second. Give one of them."
    )
    assert refused(capsys, command, "runs/frist").endswith("got nothing there. Did you mean runs/first?")
