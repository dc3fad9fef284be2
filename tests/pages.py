"""Runs the code of a page of the documentation; its processes are forks of one that has imported the libraries."""

import os
import shlex
import sys
import warnings
from pathlib import Path

import processes


def execute(page: str, blocks: list[tuple[int, str, list[str]]], folder: Path) -> tuple[int, str]:
    """Run blocks, each a line, Python or "" and commands, in ``folder``: the exit code and everything that was
    stated."""
    said = folder.with_name(f"{folder.name}-said")
    process = processes.CONTEXT.Process(target=_run, args=(page, blocks, str(folder), str(said)))
    process.start()
    process.join()
    return process.exitcode or 0, said.read_text(encoding="utf-8") if said.exists() else "it did not begin"


def _run(page: str, blocks: list[tuple[int, str, list[str]]], folder: str, said: str) -> None:
    """Blocks in order, in one namespace, tracebacks with the page's line numbers; a warning is an error."""
    with open(said, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", line_buffering=True)
    here = (
        Path(__file__).resolve().parent
    )  # a reader does not have it, and transformers takes tests/datasets for a package
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]
    os.chdir(folder)
    os.environ["COLUMNS"] = "100"
    warnings.simplefilter("error")
    from weightgas.cli import main

    namespace = {"__name__": "__main__"}
    for line, python, commands in blocks:
        print(f"--- {page}:{line}")
        exec(compile("\n" * line + python, page, "exec"), namespace)
        for command in commands:
            print("$", command)
            try:
                main(shlex.split(command)[1:])
            except SystemExit as ended:
                if ended.code:
                    sys.exit(f"{page}:{line} {command} ended with {ended.code}")
