"""Hostile texts for every option of the command line, and the judgement of what a command did with them."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer

from hostile import Finding, TookTooLong, too_long
from weightgas.cli import app, main

SECONDS = 60.0
"""Longest time of a command before it counts as one that hangs; of one that compiles five times as long."""

FILES = {
    "quits.py": "import sys\ndef loss(*a):\n    sys.exit(3)\nsys.exit(5)\n",
    "later.py": "import sys\ndef it(*a, **k):\n    sys.exit(3)\n",
    "raises.py": "def it(*a, **k):\n    raise ZeroDivisionError('line one\\nline two')\n",
    "syntax.py": "def it(:\n",
    "number.py": "it = 3\n",
    "model.py": "import torch\ndef it():\n    n = torch.nn\n    return n.Sequential(n.Linear(4, 3, bias=False), "
    "n.BatchNorm1d(3), n.Linear(3, 2))\n",
    "quitting.py": "import sys, torch\nclass it(torch.nn.Module):\n    def __init__(self):\n"
    "        super().__init__()\n"
    "        self.w = torch.nn.Parameter(torch.ones(2, 4))\n    def forward(self, x):\n        sys.exit(3)\n",
    "forecast.json": '{"weightgas_forecast": 2}',
}
TEXTS = (
    "", " ", "0", "-1", "1", "2", "3", "8", "0.5", "nan", "inf", "-inf", "1e400", "1e-400", "1e308", "1e-308", "-0",
    "2147483648", "9223372036854775807", "9223372036854775808", "1" + "0" * 40, "1" * 5000, "0x10", "1_000", "１２",
    "1,2", "1,,2", ",", "1:2:3", "1e-3:1:100000000", "1e-3:1:1000000000000", "1:0.1:5", "::", "0.1:0.2:nan", "a",
    "None", "True", "-", "--", "x" * 300, "x" * 5000, "a/b/c", "/dev/null", "/dev/null/x", "/dev/full", ".", "..",
    "~", "~nobody", "\udcff", "é", "η²", "a\nb", "%s{0}", "$(id)", "'", "[bold]", "missing.py:x", "quits.py:loss",
    "later.py:it", "raises.py:it", "syntax.py:it", "number.py:it", "number.py:none", "number.py:", ".py:it",
    "model.py:it", "quitting.py:it", "linear", "quadratic:", "quadratic:1", "quadratic:nan,1,1", "quadratic:1,2,3",
    "covariance:", "covariance:inf,1,1", "covariance:1,1,1", "hessian:0", "hessian:nan", "hessian:1",
    "loss-dependent:1", "loss-dependent:1,1", "isotropic", "mlp", "mlp:0", "convnet:0", "convnet:1000000000",
    "resnet18:-1", "convnet:2,loss=x", "convnet:2,unheard=1", "step:", "step:0,1", "step:nan,5", "linear:1",
    "cosine", "1/0", "0/0", "2/1", "1/2", "1/99999999999999999999", "1/1000000000", "cuda:99", "meta", "cpu",
    "float32", "auto", "paper", "knn", "energy=0.1", "energy=", "energy=nan", "heat=0.1", "0.003", "digits",
    "mnist", "cifar10", "sgd", "adamw", "Lion", "muon", "fixed-lr", "fixed_lr", "quick", "precise", "networks",
    "isotropic-", "demo", "0.9,0.99", "0.9", "1,1", "3,32,32", "0,1", "1000000000", "1000000000,1000000000",
    "random", "predicted", "full", "reduced",
)  # fmt: skip

USUAL: dict[str, tuple[str, ...]] = {
    "simulate": ("--lr", "0.1", "--wd", "0.1", "--steps", "800", "--samples", "8", "--out", "run", "--quiet"),
    "train": (
        "--lr", "0.1", "--wd", "0.02", "--steps", "10", "--samples", "5", "--hidden", "3", "--per-class", "8",
        "--batch-size", "8", "--out", "run", "--quiet",
    ),
    "measure": ("done", "--no-controls", "--quiet"),
    "report": ("done", "--no-controls", "--quiet"),
    "convert": ("done",),
    "reproduce": ("isotropic", "--dry-run"),
    "demo": ("--dry-run",),
    "predict": (
        "sgd", "--lr", "0.1", "--wd", "0.01", "--dim", "10", "--grad-sq", "0.5", "--radius", "1", "--steps", "100",
    ),
    "symmetries": ("model.py:it", "--input-shape", "4"),
    "list": (),
    "doctor": (),
}  # fmt: skip
"""Arguments that are right, for each command."""
LONG = {("reproduce", "dry_run"), ("demo", "dry_run")}
MORE = ("help", "debug", "verbose")
"""Options that are not replaced: without the first a command runs for minutes, the others print more than one line."""


@dataclass(frozen=True)
class Command:
    """A command line: the usual one of a command with options (by name) set to texts, and an argument in place."""

    name: str
    options: tuple[tuple[str, str], ...]

    def words(self) -> list[str]:
        usual, found = list(USUAL[self.name]), [self.name]
        known = parameters(self.name)
        for name, text in self.options:
            parameter = known[name]
            if parameter.param_type_name == "argument":
                usual[:1] = [text]
            elif parameter.is_flag:
                usual.append(f"{parameter.opts[0]}={text}" if text == "True" else parameter.opts[0])
            else:
                usual = _without(usual, parameter.opts)
                usual.append(f"{max(parameter.opts, key=len)}={text}")
        return [*found, *usual]

    def __str__(self) -> str:
        inside = " ".join(f"{name}={text[:40]!r}" for name, text in self.options)
        return f"{self.name} {inside}".encode("ascii", "backslashreplace").decode()


def _without(words: list[str], flags: list[str]) -> list[str]:
    for flag in flags:
        if flag in words:
            at = words.index(flag)
            return words[:at] + words[at + 2 :]
    return words


@cache
def parameters(name: str) -> dict[str, Any]:
    """The options and arguments of a command, as click has them."""
    group: Any = typer.main.get_command(app)
    return {
        one.name: one for one in group.commands[name].params if one.name not in MORE and (name, one.name) not in LONG
    }


def judge() -> Callable[[Command], Finding]:
    """What judges one command after another, in an empty folder with a finished run and some files."""
    import weightgas as wg

    home = Path(tempfile.mkdtemp()).resolve()
    os.environ["HOME"] = str(home)
    wg.simulate(wg.FixedLR([0.05, 0.1], [0.05, 0.1]), 3, 800, record=wg.Record(samples=8),
                run=wg.Run(home / "done", progress=False, threads=1))  # fmt: skip
    for name, text in FILES.items():
        (home / name).write_text(text, encoding="utf-8")

    def one(command: Command) -> Finding:
        folder = Path(tempfile.mkdtemp(dir=home.parent))
        shutil.copytree(home, folder, dirs_exist_ok=True)
        os.chdir(folder)
        try:
            return judged(command)
        finally:
            os.chdir(home)
            shutil.rmtree(folder, ignore_errors=True)

    return one


def judged(command: Command) -> Finding:
    """Run a command in this process and judge its exit code and what it printed."""
    seconds = SECONDS * (5 if ("train", "compile") in {(command.name, name) for name, _ in command.options} else 1)
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            main(command.words())
    except SystemExit as ended:
        signal.setitimer(signal.ITIMER_REAL, 0)
        return verdict(command, ended.code, _text(out), _text(err))
    except TookTooLong:
        return Finding(str(command), "hang", command.name, f"more than {seconds} s")
    except BaseException as error:
        signal.setitimer(signal.ITIMER_REAL, 0)
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return Finding(str(command), "raw", f"{Path(frame.filename).name}:{frame.lineno}", repr(error)[:300])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return Finding(str(command), "raw", command.name, "main returned")


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode("utf-8", "replace")  # type: ignore[attr-defined]


def verdict(command: Command, code: Any, out: str, err: str) -> Finding:
    """Done with sense, refused in one line, or a bug."""
    lines, name = err.splitlines(), str(command)
    if "Traceback" in err or "Traceback" in out:
        return Finding(name, "raw", command.name, "a traceback: " + (lines or [""])[-1][:200])
    if code == 0:
        wrong = [f"{option}={text}" for option, text in command.options if _no_number(command, option, text)]
        return Finding(name, "nonsense" if wrong else "accepted", command.name, f"{wrong} accepted" if wrong else "")
    if code not in (1, 2):
        return Finding(name, "raw", command.name, f"exit code {code!r}")
    if command.name == "doctor" and code == 1 and not err:
        return Finding(name, "refused", command.name)
    if len(lines) != 1 or not lines[0].startswith("weightgas"):
        return Finding(name, "raw", command.name, f"{len(lines)} lines, exit code {code}: {err[:200]!r}")
    if "This was not expected" in lines[0]:
        return Finding(name, "raw", re.sub(r"\W.*", "", lines[0].partition(": ")[2]), lines[0][:300])
    return Finding(name, "refused", command.name, lines[0])


def _no_number(command: Command, option: str, text: str) -> bool:
    """Whether an option that is a number was given none, or one that is not finite."""
    if parameters(command.name)[option].bare_type not in (int, float):
        return False
    try:
        return not abs(float(text)) < float("inf")
    except ValueError:
        return True
