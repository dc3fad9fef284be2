"""The command line ``weightgas``: one command for each stage of an analysis.

Only typer and the standard library are imported here. Each command imports what it needs, so that ``--help`` is fast.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Annotated, Any, NoReturn

import typer

from weightgas import __version__
from weightgas.cli import doctor, listing, monitor, presets, producers, results, text
from weightgas.cli.session import (
    DONE,
    FAILED,
    INTERRUPTED,
    REFUSED,
    flushed,
    given,
    interrupted,
    one_line,
    say,
    unread,
)
from weightgas.settings import RENAMED

_RENAMED = RENAMED | {"nulls": "controls", "no_nulls": "no_controls"}
"""Options of version 0.1 and their present names."""

app = typer.Typer(
    name="weightgas",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        print(f"weightgas {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Thermodynamics of neural-network training: the weights as a gas.

    Begin with `weightgas demo`: one report in some minutes. Step by step:
      weightgas simulate --lr 0.01:0.1:4 --wd 0.01:0.1:4 --out runs/first
      weightgas measure runs/first
      weightgas report runs/first

    Exit codes:
      0    done, also where cells did not reach equilibrium (the output names them)
      1    an error while it ran, or a problem that doctor found
      2    refused input, with the reason in one line
      130  interrupted; the same command resumes where it stopped
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


app.command()(presets.demo)
app.command()(producers.simulate)
app.command()(producers.train)
app.command()(results.measure)
app.command()(results.report)
app.command()(results.convert)
app.command()(presets.reproduce)
app.command()(monitor.predict)
app.command()(monitor.symmetries)
app.command("list")(listing.show)
app.command()(doctor.doctor)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line with these arguments (default: those of the process) and exit with its code."""
    text.survive()
    words = sys.argv[1:] if arguments is None else list(arguments)
    given.set(words)
    interrupted.set(False)
    os.environ["MPLBACKEND"] = "agg"  # figures go into files; what a desktop has chosen may not exist here
    with _polite_kill(ends=arguments is None):
        code = _call(words)
    sys.exit(flushed(code))


def _call(words: Sequence[str]) -> int:
    try:
        code: Any = app(args=words, prog_name="weightgas", standalone_mode=False)
        if code == INTERRUPTED and not interrupted.get():
            say("weightgas: interrupted.")
        return code if isinstance(code, int) else DONE
    except KeyboardInterrupt:
        say("weightgas: interrupted. Nothing was written.")
        return INTERRUPTED
    except BrokenPipeError:
        unread(sys.stdout)
        return DONE
    except typer.Abort:
        return FAILED
    except Exception as error:
        # Errors of the parser; depending on its version, typer has its own copy of click or uses click.
        message = getattr(error, "format_message", None)
        if message is None:
            say(f"weightgas: {one_line(error)}")
            return FAILED
        context = getattr(error, "ctx", None)
        name = context.command_path if context is not None else "weightgas"
        old = str(getattr(error, "option_name", "")).removeprefix("--").replace("-", "_")
        if old in _RENAMED:
            say(f"{name}: --{old.replace('_', '-')} is now --{_RENAMED[old].replace('_', '-')}. See {name} --help.")
            return REFUSED
        say(f"{name}: {_sentences(error, words)} See {name} --help.")
        return REFUSED


def _sentences(error: Any, words: Sequence[str]) -> str:
    """The message of the parser, with what is missing, and with the whole number that was meant by one like 1e5."""
    text = " ".join(error.format_message().replace("Value error, ", "").split())
    text = text if text.endswith((".", "?")) else f"{text}."
    parameter = getattr(error, "param", None)
    about = getattr(parameter, "help", None)
    if text.startswith("Missing ") and about:
        return f"{text.removesuffix('.')}: {about[0].lower()}{about[1:]}"
    if "valid integer" in text and parameter is not None:
        split = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
        written = next((b for a, b in pairwise(split) if a in parameter.opts), "")
        try:
            number = float(written)
        except ValueError:
            return text
        if number.is_integer() and abs(number) < 1e15:
            return f"{text} Write {int(number)} in place of {written}."
    return text


_PATIENCE = 10.0
"""Seconds after a Ctrl-C during which another one is ignored, since the run is being saved."""


class _Interrupt:
    """A signal handler that raises KeyboardInterrupt, but not again while the first is being handled."""

    def __init__(self) -> None:
        self.last = -_PATIENCE

    def __call__(self, number: int, frame: object) -> None:
        now = time.monotonic()
        if now - self.last >= _PATIENCE:
            self.last = now
            raise KeyboardInterrupt


@contextmanager
def _polite_kill(ends: bool) -> Iterator[None]:
    """SIGTERM interrupts like Ctrl-C: unfinished cells are saved, even if a second signal comes meanwhile.

    After an interruption the handlers stay. If the process ``ends`` after the command, both signals are ignored once
    the command is done: Python removes its handlers when it ends, and the exit code must be that of the command.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = _Interrupt()
    numbers = [n for n in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(n) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, handler) for number in numbers}
    yield
    if ends or handler.last < 0:
        for number, old in before.items():
            signal.signal(number, signal.SIG_IGN if ends else old)
