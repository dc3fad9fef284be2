"""What each command does when all is well: help, dry runs, runs, tables, logs."""

import json
import logging
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import weightgas
from command_line import call, end, made, start
from weightgas import trace as traces
from weightgas.cli import app
from weightgas.settings import Evaluate, Run

COMMANDS = ("demo", "simulate", "train", "measure", "report", "convert", "reproduce", "predict", "symmetries", "list")
COMMANDS += ("doctor",)
SMALL = ("--lr", "0.05,0.1", "--wd", "0.1", "--steps", "4000")


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test works in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small simulated run, which tests copy."""
    folder = tmp_path_factory.mktemp("simulated")
    made(folder, "simulate", *SMALL, "-o", "runs/small")
    return folder / "runs/small"


@pytest.fixture
def run(simulated: Path, empty: Path) -> Path:
    """That run, in the folder of a test."""
    shutil.copytree(simulated, empty / "runs/small")
    return Path("runs/small")


def test_the_commands_are_those_of_the_documentation(capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "--help")
    assert tuple(re.findall(r"^│ (\w+)  ", found.out.split("Commands")[1], re.MULTILINE)) == COMMANDS
    page = Path(weightgas.__file__).parents[2] / "docs/how-to/command-line.md"
    assert set(re.findall(r"^\| `(\w+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, command, "--help")
    assert (found.code, found.err) == (0, "")
    assert f"Usage: weightgas {command}" in found.out
    example = re.compile(rf"^ +weightgas {command}\b", re.MULTILINE)
    assert example.search(found.out) or command == "doctor", "help shows an example"
    options = next(c for c in app.registered_commands if c.name == command or c.callback.__name__ == command)  # type: ignore[union-attr]
    for name in options.callback.__annotations__:  # type: ignore[union-attr]
        if name not in ("return", "source", "name", "what", "optimizer"):
            option = {"as_json": "json", "opened": "open"}.get(name, name.replace("_", "-"))
            assert f"--{option}" in found.out, f"{command} has no help for {name}"


@pytest.mark.thorough
def test_help_of_every_command_is_light(tmp_path: Path) -> None:
    before = "import atexit, sys; atexit.register(lambda: print('LOADED', *{m.partition('.')[0] for m in sys.modules}))"
    program = f"{before}\nfrom weightgas.cli import app\n" + "".join(
        f"app([{command!r}, '--help'], standalone_mode=False)\n" for command in COMMANDS
    )
    found = end(start(tmp_path, "--version", before=program))
    assert found.code == 0, found.err
    loaded = set(found.out.rpartition("LOADED")[2].split())
    assert not loaded & {"torch", "xarray", "numba", "matplotlib", "numpy"}


def test_without_a_command_it_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys)
    assert found.code == 0
    assert "weightgas demo" in found.out
    assert call(capsys, "--version").out == f"weightgas {weightgas.__version__}\n"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", *SMALL),
        ("train", "--lr", "0.1", "--wd", "0.1", "--steps", "100"),
        ("reproduce", "isotropic", "--preset", "standard"),
        ("reproduce", "networks"),
        ("demo",),
    ],
    ids=lambda a: " ".join(a[:2]),
)
def test_a_dry_run_writes_nothing(arguments: tuple[str, ...], empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, *arguments, "--dry-run")
    assert (found.code, found.err) == (0, "")
    assert re.search(r"time   about [\d.]+ (s|min|h)\b", found.out)
    assert re.search(r"disk   at most [\d.]+ (kB|MB|GB)\n", found.out)
    assert re.search(r"folder runs/[\w-]+, which is new\n", found.out)
    assert not list(empty.iterdir())


def test_a_dry_run_of_an_existing_run_says_so(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    found = call(capsys, "simulate", *SMALL, "-o", run, "--dry-run")
    assert "the same run resumes there, another is refused without --force" in found.out
    assert "would go" not in call(capsys, "measure", run, "--dry-run").err
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_simulate_leaves_a_run_folder(run: Path) -> None:
    assert {p.name for p in run.iterdir()} == {"config.toml", "trace.zarr", "manifest.json", "log.txt"}
    trace = traces.open_trace(run)
    np.testing.assert_array_equal(trace["lr_set"], [0.05, 0.1])
    assert json.loads((run / "manifest.json").read_text())["seed"] == 0
    log = (run / "log.txt").read_text()
    assert re.search(r"^\S+ \S+ DEBUG weightgas.cli: weightgas ", log)
    assert re.search(r"INFO weightgas.runs.journal: simulate fixed lr: done", log)


def test_simulate_is_the_function(run: Path) -> None:
    direct = weightgas.simulate(weightgas.FixedLR(lr=[0.05, 0.1], wd=0.1), dim=3, steps=4000)
    stored = traces.open_trace(run)
    for name in direct.data_vars:
        np.testing.assert_array_equal(stored[name], direct[name], err_msg=str(name))


def test_the_same_command_again_leaves_the_run_as_it_is(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in (run / "trace.zarr").rglob("*")}
    found = call(capsys, "simulate", *SMALL, "-o", run)
    assert found.code == 0
    assert "2 of 2 cells are already there" in found.err
    assert {path: path.stat().st_mtime_ns for path in (run / "trace.zarr").rglob("*")} == before


@pytest.mark.thorough
def test_every_protocol_and_the_default_folder(capsys: pytest.CaptureFixture[str]) -> None:
    for protocol, axes in {
        "fixed-lr": ("--lr", "--wd"),
        "fixed-elr": ("--elr", "--wd"),
        "fixed-sphere": ("--elr",),
    }.items():
        values = [text for axis in axes for text in (axis, "0.05:0.1:2")]
        found = call(capsys, "simulate", "--protocol", protocol, *values, "--steps", 400)
        assert found.code == 0, found.err
        assert f"runs/simulate-{protocol}" in found.out
        trace = traces.open_trace(Path("runs", f"simulate-{protocol}"))
        assert trace.attrs["protocol"] == protocol.replace("-", "_")
        assert trace.sizes["cell"] == 2 ** len(axes)
    paired = call(capsys, "simulate", "--lr", "0.1,0.2", "--wd", "0.1,0.2", "--paired", "--steps", 400, "-o", "paired")
    assert paired.out.startswith("2 cells")


@pytest.mark.thorough
def test_loss_and_noise_reach_the_simulation(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--loss", "quadratic:0,1,2", "--noise", "covariance:0.1,1,10", "--elr", "0.01")
    assert call(capsys, "simulate", "--protocol", "fixed-sphere", *arguments, "--steps", 400, "-o", "a").code == 0
    trace = traces.open_trace("a")
    assert (trace.attrs["loss"], trace.attrs["noise"]) == ("quadratic", "covariance:0.1,1,10")
    assert call(capsys, "simulate", *SMALL, "--sigma", "2", "-o", "b").code == 0
    trace = traces.open_trace("b")
    noise = trace["noise_trace"].mean().item()
    assert abs(noise / (2**2 * 2) - 1) < 0.05


@pytest.mark.thorough
def test_measure_prints_a_table_and_the_verdict(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "measure", run)
    assert found.code == 0, found.err
    state = traces.read(run / "state.zarr")
    assert state.sizes["cell"] == 2
    for symbol in ("lr", "wd", "U", "T", "p", "V", "Z", "S", "status"):
        assert re.search(rf"\b{symbol}\b", found.out.splitlines()[1])
    assert "1. Is it stationary?" in found.out
    assert "3. Is it an ideal gas?" in found.out
    again = call(capsys, "measure", run / "trace.zarr", "--rows", 1, "--no-controls")
    assert "1 of 2 cells; --rows 0 shows all." in again.out
    assert f"State in {run / 'state.zarr'}" in again.out
    assert "weightgas measure runs/small" in (run / "log.txt").read_text()


@pytest.mark.thorough
def test_measure_elsewhere_needs_force_to_overwrite(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for expected in (0, 2):
        found = call(capsys, "measure", run, "--entropy", "integration", "--no-controls", "-o", "other.zarr")
        assert found.code == expected, found.err
    assert re.search("other.zarr: expected a new place, got one in use", found.err)
    assert call(capsys, "measure", run, "--no-controls", "-o", "other.zarr", "--force").code == 0
    assert not (run / "state.zarr").exists()


@pytest.mark.thorough
def test_train_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (
        "--lr",
        "0.1",
        "--wd",
        "0.01,0.1",
        "--steps",
        60,
        "--samples",
        12,
        "--hidden",
        "4,3",
        "--batch-size",
        32,
    )
    found = call(capsys, "train", *arguments, "--snapshots", 2, "--snapshot-every", 10)
    assert found.code == 0, found.err
    trace = traces.open_trace("runs/train-fixed-lr")
    assert trace.attrs["network"] == "mlp(hidden=(4, 3))"
    assert trace.attrs["batch_size"] == 32
    assert trace.sizes["sample"] == 12
    assert call(capsys, "measure", "runs/train-fixed-lr").code == 0


@pytest.mark.thorough
def test_report_of_a_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "report", run)
    assert found.code == 0, found.err
    assert found.out == f"Report: {(run / 'report.html').resolve()}\n"
    assert (run / "report.html").stat().st_size > 10_000


@pytest.mark.thorough
def test_report_as_json_opened_and_compared(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weightgas.report.static.FIRST", ())
    found = call(capsys, "report", run, "--json", "--no-controls")
    data = json.loads(found.out)
    assert found.code == 0 and data["format"] == 1 and not (run / "report.html").exists()
    state = traces.open_trace(run / "state.zarr")
    values = data["runs"][0]["columns"]["energy"]["value"]
    assert values == pytest.approx(state["energy"].values, rel=5e-5)
    asked: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(asked.append(address)))
    found = call(capsys, "report", run, "--open", "--no-controls")
    assert asked == [(run / "report.html").resolve().as_uri()] and "expected a browser on this machine" in found.err
    assert call(capsys, "simulate", *SMALL, "--seed", 1, "-o", "runs/other").code == 0
    found = call(capsys, "report", "--compare", run, "runs/other", "--no-controls")
    assert found.out == f"Report: {Path('runs/other/comparison.html').resolve()}\n"
    assert "other minus small: 2 cells in both" in Path("runs/other/comparison.html").read_text(encoding="utf-8")
    alone = call(capsys, "simulate", "--lr", 0.07, "--wd", 0.1, "--steps", 4000, "-o", "runs/alone")
    assert alone.code == 0
    refused = call(capsys, "report", run, "--compare", "runs/alone", "--no-controls")
    assert refused.code == 2 and "expected cells with the same hyperparameters, got none" in refused.err


def test_reproduce_prints_verdicts_numbers_and_the_report(
    run: Path, empty: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = weightgas.verdict(traces.open_trace(run), title="judged")
    control = weightgas.verdict(traces.open_trace(run), title="reference gas")
    asked = []

    def reproduce(name: str, preset: str, **options) -> SimpleNamespace:
        asked.append((name, preset, options))
        report_path = Path(options["run"].folder, "report.html")
        return SimpleNamespace(
            verdicts=[judged],
            control_verdicts=[control],
            lines=["a number"],
            wall_time=1.0,
            report_path=report_path,
            missing=[],
        )

    monkeypatch.setattr(weightgas.experiments, "reproduce", reproduce)
    found = call(capsys, "reproduce", "isotropic", "--preset", "standard", "--seed", 3, "--threads", 1, "--quiet")
    assert found.code == 0, found.err
    lines = found.out.splitlines()
    assert lines[:2] == ["Verdict:", f"  judged: {judged.sentence}"]
    assert lines[2:4] == ["Alongside, gases whose answer is known:", f"  reference gas: {control.sentence}"]
    assert lines[4:6] == ["Numbers:", "  a number"]
    assert lines[6].endswith(f"Report: {empty / 'runs/isotropic-standard/report.html'}")
    options = {"seed": 3, "run": Run(Path("runs/isotropic-standard"), threads=1, progress=False)}
    options["evaluate"] = Evaluate(device="cpu")
    assert call(capsys, "demo", "-o", "here").code == 0
    assert asked[0] == ("isotropic", "standard", options)
    assert asked[1][:2] == ("demo", "quick")


OWN = """
from dataclasses import dataclass
import numpy as np
from weightgas import datasets, losses, networks

@dataclass(frozen=True)
class Doubled:
    name: str = "doubled"
    def factor(self, dim):
        return np.full(dim, 2.0)

tilted = losses.Quadratic((0.0, 1.0, 2.0))

def narrow():
    return networks.mlp(hidden=(3,))

def module():
    from torch import nn
    head = nn.Linear(3, 10).requires_grad_(False)
    return nn.Sequential(nn.Linear(64, 3, bias=False), nn.BatchNorm1d(3, affine=False), nn.ReLU(), head)

def few():
    digits = datasets.digits()
    return datasets.Images("few", digits.inputs[:300], digits.labels[:300], 10)
"""


@pytest.mark.thorough
def test_ones_own_parts(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "own.py").write_text(OWN)
    parts = ("--loss", "own.py:tilted", "--noise", "own.py:Doubled")
    for _ in range(2):  # the second time the run is known again
        found = call(capsys, "simulate", *SMALL, *parts, "-o", "a")
        assert found.code == 0, found.err
    assert traces.open_trace("a").attrs["noise"] == "doubled"
    parts = ("--network", "own.py:narrow", "--data", "own.py:few")
    found = call(capsys, "train", "--lr", "0.1", "--wd", "0.1", "--steps", 20, *parts, "-o", "b")
    assert found.code == 0, found.err
    trace = traces.open_trace("b")
    assert (trace.attrs["network"], trace.attrs["data"]) == ("mlp(hidden=(3,))", "few")
    short = ("train", "--lr", "0.1", "--wd", "0.1", "--steps", 8, "--samples", 8, "--batch-size", 32)
    for network, name in (("own.py:module", "Sequential("), ("convnet:2,loss=squared_error", "convnet(width=2, ")):
        assert call(capsys, *short, "--network", network, "--dry-run").code == 0
        found = call(capsys, *short, "--network", network, "--data", "own.py:few", "-o", name[:4])
        assert found.code == 0, found.err
        assert traces.open_trace(name[:4]).attrs["network"].startswith(name)


OWN_FUNCTIONS = """
import numpy as np
from weightgas.losses import CustomLoss, CustomNoise

def square(w):
    return w[0] ** 2 / np.dot(w, w)

def plain(w, normals, out):
    for i in range(w.size):
        out[i] = normals[i]

def growing(w):
    return np.dot(w, w)

LOSS, NOISE, WRONG = CustomLoss(square), CustomNoise(plain), CustomLoss(growing)
"""


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("options", "name", "gas"),
    [
        (("--momentum", 0.9), "SGD", True),
        (("--momentum", 0.9, "--nesterov"), "SGD", True),
        (("--optimizer", "adamw", "--betas", "0.8,0.99"), "AdamW", False),
        (("--optimizer", "sgd"), None, True),
    ],
)
def test_train_with_an_optimizer(
    capsys: pytest.CaptureFixture[str], options: tuple, name: str | None, gas: bool
) -> None:
    size = ("--steps", 20, "--samples", 4, "--batch-size", 16, "--hidden", "3", "--per-class", 4)
    found = call(capsys, "train", "--lr", 0.01, "--wd", 0.1, *size, *options, "--out", "trained", "-q")
    assert found.code == 0, found.err
    made = traces.open_trace("trained/trace.zarr")
    assert str(made.attrs.get("optimizer", "")).split(",")[0] == (name or "")
    assert bool(np.isfinite(weightgas.measure(made)["temperature"]).all()) == gas


def test_train_refuses_what_an_optimizer_does_not_have(capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "train", "--lr", 0.01, "--wd", 0.1, "--optimizer", "lion", "--momentum", 0.9)
    assert found.code and "momentum: expected none for Lion" in found.err
    found = call(capsys, "train", "--protocol", "fixed-elr", "--elr", 0.01, "--wd", 0.1, "--momentum", 0.9)
    assert found.code and "optimizer: expected FixedLR" in found.err


@pytest.mark.thorough
def test_ones_own_functions_and_momentum(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (empty / "gas.py").write_text(OWN_FUNCTIONS)
    parts = ("--loss", "gas.py:LOSS", "--noise", "gas.py:NOISE", "--momentum", 0.9)
    for _ in range(2):  # the second time the run is known again
        found = call(capsys, "simulate", *SMALL, *parts, "-o", "a")
        assert found.code == 0, found.err
    attributes = traces.open_trace("a").attrs
    assert (attributes["loss"], attributes["noise"], attributes["momentum"]) == ("square", "plain", 0.9)
    (empty / "gas.py").write_text(OWN_FUNCTIONS.replace("w[0] ** 2", "w[1] ** 2"))
    found = call(capsys, "simulate", *SMALL, *parts, "-o", "a")  # same names, another loss
    assert found.code != 0
    assert "other settings (loss_crc)" in found.err
    found = call(capsys, "simulate", *SMALL, "--loss", "gas.py:WRONG", "--dry-run")
    assert found.code != 0
    assert "does not depend on the norm" in " ".join(found.err.split())


def test_list_names_everything(capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "list")
    assert found.code == 0, found.err
    for name in (
        "fixed-elr",
        "weightgas demo",
        "quadratic:EIGENVALUES",
        "covariance:VARIANCES",
        "mlp",
        "convnet:WIDTH",
        "resnet18:WIDTH",
        "digits",
        "density",
    ):
        assert f"\n  {name}" in found.out
    statuses = call(capsys, "list", "statuses").out
    for status in weightgas.status.Status:
        assert re.search(rf" {status.name.lower()} {re.escape(status.advice)}( |$)", " ".join(statuses.split()))


def test_doctor_finds_nothing_wrong(empty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "doctor")
    assert (found.code, found.err) == (0, ""), found.out
    assert found.out.count("\nok ") == found.out.count("\n") - 2
    assert found.out.endswith("All is well.\n")
    assert not list(empty.iterdir())


def test_doctor_says_how_to_mend(
    empty: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(empty / "file" / "cache"))
    found = call(capsys, "doctor", "-o", "file/runs")
    assert found.code == 1
    assert re.search(
        r"^problem +compiled code is kept: .*\n +Set the variable NUMBA_CACHE_DIR", found.out, re.MULTILINE
    )
    assert re.search(r"^problem +runs folder: .*\n +Work in a folder that you may write to", found.out, re.MULTILINE)
    assert found.out.endswith("2 problems.\n")


@pytest.mark.thorough
def test_quiet_and_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    assert "done in" in call(capsys, "simulate", *SMALL, "-o", "a").err
    quiet = call(capsys, "simulate", *SMALL, "-o", "b", "--quiet")
    assert quiet.err == ""
    assert quiet.out.startswith("2 cells: 2 finished.")
    assert "done in" in Path("b/log.txt").read_text()
    assert "weightgas " in call(capsys, "simulate", *SMALL, "-o", "c", "--verbose").err.splitlines()[0]


def test_the_log_is_left_as_it_was(run: Path) -> None:
    logger = logging.getLogger("weightgas")
    assert (logger.level, logger.handlers) == (logging.NOTSET, [])


@pytest.mark.thorough
def test_a_run_to_a_precision_says_what_reached_it(capsys: pytest.CaptureFixture[str]) -> None:
    command = ("simulate", "--lr", "0.01,0.1", "--wd", "0.1", "--steps", "8000", "--precision", "energy=0.03")
    command += ("--most-steps", "30000", "-o", "runs/known")
    printed = call(capsys, *command, "--dry-run")
    assert re.search(r"time   about 1 s \(the first round\) to 1 s on this machine", printed.out)
    found = call(capsys, *command)
    assert found.code == 0
    assert "2 cells: 2 finished; 1 known to the precision asked." in found.out
    found = call(capsys, "measure", "runs/known", "--no-controls")
    assert "1 of 2 cells not known to the precision asked" in found.out
    reason = r"precision not reached: the error of energy is [\d.]+ % of 3 % after 2.8e4 steps; about"
    assert re.search(reason, found.out)
    refused = call(capsys, *command[:-4], "--precision", "heat=1", "-o", "runs/other")
    assert refused.code == 2
    assert "targets: expected one of" in refused.err


@pytest.mark.parametrize("old", ["--nulls", "--no-nulls"])
@pytest.mark.parametrize("command", ["measure", "report"])
def test_options_of_0_1_name_those_of_today(command: str, old: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, command, "runs/any", old)
    assert found.code == 2 and f"{old} is now {old.replace('nulls', 'controls')}." in found.err
