"""Calling the command line from tests: in this process, or in one of its own."""

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import weightgas
from weightgas.cli import main


@dataclass(frozen=True)
class Called:
    """What a call of the command line gave."""

    code: int
    out: str
    err: str


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> Called:
    """``weightgas ARGUMENTS`` in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return Called(ended.value.code, said.out, said.err)


def made(folder: Path, *arguments: object) -> None:
    """``weightgas ARGUMENTS`` in this process and in ``folder``, without capsys: for a run that several tests copy."""
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        pytest.raises(SystemExit) as ended,
    ):
        main([str(argument) for argument in arguments])
    assert ended.value.code == 0, arguments


def start(folder: Path, *arguments: object, before: str = "", **environment: str) -> subprocess.Popen:
    """``weightgas ARGUMENTS`` in a process of its own that works in ``folder``, after the statements ``before``."""
    # A shell that runs the tests in the background has its children ignore Ctrl-C.
    heard = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heard}\n{before}\nsys.argv[0] = 'weightgas'\nfrom weightgas.cli import main; main()"
    source = str(Path(weightgas.__file__).parents[1])
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def end(process: subprocess.Popen) -> Called:
    """Wait for a started call and collect what it stated."""
    out, err = process.communicate(timeout=120)
    return Called(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
