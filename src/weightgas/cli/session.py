"""The common frame of every command: the log, errors as one line, and exit codes."""

from __future__ import annotations

import errno
import logging
import os
import shlex
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TextIO

import typer

from weightgas.cli.options import Show
from weightgas.errors import is_refusal

logger = logging.getLogger("weightgas.cli")

DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done (for any status of the cells), an error during the run, refused input, Ctrl-C."""

given: ContextVar[Sequence[str]] = ContextVar("given", default=())
"""The arguments of the command line, to show the command that resumes."""

interrupted: ContextVar[bool] = ContextVar("interrupted", default=False)
"""Whether an interruption was reported; typer itself ends with its code, and in silence, outside a session."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""No space left, no quota left, a file above the limit of the process."""
_PLACES = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)


@contextmanager
def session(
    command: str,
    show: Show,
    *,
    out: Path | None = None,
    dry_run: bool = False,
    config: str = "config.toml",
) -> Iterator[None]:
    """Run the body of a command: log it, turn its errors into one line on standard error and an exit code.

    Parameters
    ----------
    command
        Name of the command, at the start of each line.
    show
        How much the command prints.
    out, config
        Folder for ``log.txt``. It is written once a file that matches the pattern ``config`` exists there and belongs
        to a run; before that, the folder may belong to something else.
    dry_run
        Whether the command must write and log nothing.
    """
    out = None if dry_run else out
    level = logging.WARNING if show.quiet or dry_run else logging.DEBUG if show.verbose else logging.INFO
    with _logging(out, config, level):
        logger.debug("%s", _line())
        begun = time.monotonic()
        try:
            yield
            logger.debug("done in %.1f s", time.monotonic() - begun)
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:  # `weightgas list | head` closes the pipe
            unread(sys.stdout)
            raise typer.Exit(DONE) from None
        except SystemExit as error:
            logger.debug("ended by sys.exit", exc_info=error)
            code = " ".join(str(error.code).split())
            say(f"weightgas {command}: your code called sys.exit({code}). {_resume(out)}")
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt:
            interrupted.set(True)
            logger.debug("interrupted")
            say(f"weightgas {command}: interrupted. {_resume(out)}")
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _FULL and error.filename is None:
                error.filename = "standard output" if _printing(error) else None if out is None else str(out)
            logger.debug("failed", exc_info=error)
            if show.debug:
                traceback.print_exc()
            raise refused(command, error) from None


def refused(command: str, error: Exception) -> typer.Exit:
    """Print an error in one line; return the exit with its code."""
    say(f"weightgas {command}: {one_line(error)}")
    return typer.Exit(REFUSED if refusal(error) else FAILED)


def refusal(error: BaseException) -> bool:
    """Whether an error reports wrong input: a file or folder, or an argument that this package refuses."""
    return isinstance(error, _PLACES) or is_refusal(error)


def one_line(error: BaseException) -> str:
    """An error as one line: the message for wrong input; for an unexpected error its type and where to look."""
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        text = place + error.strerror
    else:
        text = str(error)
    text = " ".join(text.split())
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"{text}. What is finished is kept: make room, and give the same command again."
    if text and (refusal(error) or isinstance(error, OSError)):
        return text
    return f"{type(error).__name__}: {text or 'no message'}. This was not expected; --debug shows where it happened."


def unread(stream: TextIO) -> None:
    """Discard the remaining output of a stream that cannot be written, so that closing it does not fail."""
    with suppress(OSError, ValueError):  # of a stream in memory there is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(text: str) -> None:
    """One line on standard error, if that can be written."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        unread(sys.stderr)


def _printing(error: OSError) -> bool:
    """Whether an error came from printing: the modules of the command line write nothing else."""
    innermost = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    return innermost.parent.name in ("cli", "rich")


def flushed(code: int) -> int:
    """Flush standard output and return the exit code; if that fails, print a line and return an error code."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        unread(sys.stdout)
    except OSError as error:
        unread(sys.stdout)
        say(f"weightgas: standard output: {error.strerror}. What was computed is kept where it was written.")
        return code or FAILED
    return code


def _line() -> str:
    return shlex.join(["weightgas", *given.get()])


def _resume(out: Path | None) -> str:
    if out is None or not out.exists():
        return "Nothing was written."
    return f"What is finished is kept in {out}; the same command resumes from there: {_line()}"


@contextmanager
def _logging(out: Path | None, config: str, level: int) -> Iterator[None]:
    """Log weightgas and warnings: on standard error from ``level`` on, and completely in the file of the folder."""
    loggers = [logging.getLogger("weightgas"), logging.getLogger("py.warnings")]
    before = [one.level for one in loggers]
    handlers: list[logging.Handler] = [_Screen(level)]
    if out is not None:
        handlers.append(_FolderLog(out, config))
    logging.captureWarnings(True)
    for one in loggers:
        one.setLevel(logging.DEBUG)
        for handler in handlers:
            one.addHandler(handler)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for one, old in zip(loggers, before, strict=True):
            one.setLevel(old)
            for handler in handlers:
                one.removeHandler(handler)
        for handler in handlers:
            handler.close()


def _of_a_run(config: Path) -> bool:
    """Whether a ``config.toml`` is one that ``weightgas.runs`` wrote, by its first line."""
    with config.open("rb") as file:
        return file.readline().startswith(b"# A run of weightgas")


class _Screen(logging.Handler):
    """Lines on the current standard error, so that they appear above a progress bar."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.setFormatter(logging.Formatter("%(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record, only the first line of a warning; tracebacks go to the file."""
        if not record.exc_info:
            text = self.format(record)
            say(text.partition("\n")[0] if record.name == "py.warnings" else text)


class _FolderLog(logging.Handler):
    """``log.txt`` of a run folder: records from before the folder was ready are written once it is.

    Overwriting a run removes its log, so the file is opened for every line, and everything is written again if it is
    gone.
    """

    def __init__(self, folder: Path, config: str) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self.folder, self.config, self.path = folder, config, folder / "log.txt"
        self.lines: list[str] = []
        self.written, self.file_id = 0, -1

    def emit(self, record: logging.LogRecord) -> None:
        """Add a record to the file, once there is a folder for it; a full disk must not end the run."""
        self.lines.append(self.format(record))
        self._write()

    def _write(self) -> None:
        try:
            if not any(map(_of_a_run, self.folder.glob(self.config))):
                return
            if not (self.path.exists() and self.path.stat().st_ino == self.file_id):
                self.written = 0
            with self.path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.writelines(f"{line}\n" for line in self.lines[self.written :])
            self.file_id, self.written = self.path.stat().st_ino, len(self.lines)
        except OSError:
            return

    def close(self) -> None:
        """Write the remaining records."""
        self._write()
        super().close()
