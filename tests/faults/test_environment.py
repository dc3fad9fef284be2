"""Streams that are closed or full, variables with nonsense, names that make trouble: one line, nothing lost."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from numba.core import caching

import weightgas
from command_line import call
from commands import FILES
from weightgas.simulation import compiling

RUN = "simulate --lr 0.1 --wd 0.1 --steps 800 --samples 8 --threads 1 --quiet"
INTEGRATION = pytest.mark.integration


def shell(folder: Path, line: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """A line for bash, in which ``weightgas`` is that of these sources."""
    environment = {**os.environ, "PYTHONPATH": str(Path(weightgas.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONWARNINGS", None)
    start = f"set -o pipefail; weightgas() {{ '{sys.executable}' $FLAGS -m weightgas \"$@\"; }}\n"
    return subprocess.run(["bash", "-c", start + line], cwd=folder, env={**environment, **variables},
                          capture_output=True, timeout=300)  # fmt: skip


@INTEGRATION
@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        (f"weightgas {RUN} -o run >&-", 0, ""),
        (f"weightgas {RUN} -o run 2>&-", 0, ""),
        (f"weightgas {RUN} -o run <&- >&- 2>&-", 0, ""),
        (f"weightgas {RUN} -o run >/dev/full", 1, "standard output: No space left on device"),
        (f"weightgas {RUN} -o run 2>/dev/full", 0, ""),
        (f"weightgas {RUN} -o run | true", 0, ""),
        (f"weightgas {RUN} -o run; weightgas list | head -1", 0, ""),
        (f"weightgas {RUN} -o run; weightgas simulate --lr x 2>/dev/full", 2, ""),
        (f"weightgas {RUN} -o run; weightgas report run --no-controls | tail -0", 0, ""),
        (f"FLAGS=-OO; weightgas {RUN} -o run; weightgas measure run", 0, "no controls alongside it: state: expected"),
    ],
)
def test_streams_that_cannot_be_written(tmp_path: Path, line: str, code: int, words: str) -> None:
    found = shell(tmp_path, line, MPLBACKEND="nonsense", FLAGS="")
    err = found.stderr.decode()
    assert found.returncode == code and "Traceback" not in err and "ignored" not in err, err
    assert words in err and len(err.splitlines()) == bool(words)
    assert (tmp_path / "run" / "manifest.json").is_file()


@INTEGRATION
def test_a_full_disk_names_the_folder_and_the_same_command_finishes(tmp_path: Path) -> None:
    line = f"weightgas {RUN} --samples 400 -o run"
    found = shell(tmp_path, f"ulimit -f 2; {line}")
    err = found.stderr.decode()
    assert found.returncode == 1 and len(err.splitlines()) == 1, err
    assert "run" in err and "File too large. What is finished is kept" in err
    assert shell(tmp_path, line).returncode == 0


@INTEGRATION
def test_names_that_make_trouble(tmp_path: Path) -> None:
    found = shell(tmp_path, f"weightgas {RUN} -o $'no\\xffutf' -v && weightgas measure $'no\\xffutf' --no-controls")
    assert found.returncode == 0 and b"Traceback" not in found.stderr, found.stderr
    found = shell(tmp_path, f"weightgas {RUN} -o {'x' * 300}")
    assert found.returncode == 2 and len(found.stderr.splitlines()) == 1, found.stderr


@INTEGRATION
def test_variables_with_nonsense(tmp_path: Path) -> None:
    for value in ("0", "-1", "many"):
        found = shell(tmp_path, f"weightgas {RUN} -o run", NUMBA_NUM_THREADS=value)
        err = found.stderr.decode()
        assert found.returncode == 2 and len(err.splitlines()) == 1, err
        assert f"NUMBA_NUM_THREADS: expected a whole number of at least 1, got '{value}'" in err


def test_without_a_place_for_compiled_code_a_temporary_one_is_taken(monkeypatch, caplog) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    kinds = caching.CacheImpl._locator_classes
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", kinds[:1])  # of the user's variable alone
    compiling.find_cache()
    assert "Set the environment variable NUMBA_CACHE_DIR to a writable folder" in caplog.text
    assert Path(numba.config.CACHE_DIR).is_dir()
    numba.njit(cache=True)(lambda x: x)  # which now can be kept
    caplog.clear()
    compiling.find_cache()
    assert not caplog.text


@pytest.mark.parametrize(
    ("line", "place"),
    [
        (("symmetries", "quitting.py:it", "--input-shape", "4"), "sys.exit"),
        (("simulate", "--lr", "0.1", "--wd", "0.1", "--loss", "quits.py:loss"), "SystemExit"),
        (("simulate", "--lr", "0.1", "--wd", "0.1", "--noise", "later.py:it"), "SystemExit"),
    ],
)
def test_sys_exit_in_code_of_the_user(line, place, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        Path(name).write_text(text, encoding="utf-8")
    found = call(capsys, *line)
    assert found.code in (1, 2) and len(found.err.splitlines()) == 1, found
    assert place in found.err or "SystemExit" in found.err
    assert "Traceback" not in found.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (("--steps", "9223372036854775807"), r"steps: expected a whole number of at most 1000000000000000"),
        (("--replicas", "2147483648"), r"replicas: expected a whole number of at most 1000000000"),
        (("--replicas", "900000000"), r"replicas: expected at most .* GB of memory"),
        (("--lr", "1e-3:1:100000000"), r"--lr: expected a count of at most 10000000, got 100000000"),
        (("--lr", "1e-3:1:4000", "--wd", "1e-3:1:4000"), r"expected at most 10000000 cells"),
        (("--dim", "99999999999"), r"at most"),
        (("--seed", "99999999999999999999999"), r"seed: expected a whole number of at most 9223372036854775807"),
        (("--samples", "99999999999"), r"samples: expected a whole number of at most 1000000000"),
        (("--warmup", "99999999999999999999"), r"warmup: expected a whole number of at most 1000000000000000"),
    ],
)
def test_counts_have_a_bound_with_a_reason(line, words, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    usual = {"--lr": "0.1", "--wd": "0.1", **dict(zip(line[::2], line[1::2], strict=True))}
    found = call(capsys, "simulate", *(word for pair in usual.items() for word in pair))
    assert found.code == 2 and len(found.err.splitlines()) == 1, found
    assert re.search(words, found.err), found.err
    assert not list(tmp_path.iterdir())


def test_a_wide_network_is_refused_before_its_memory_is_taken(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for widths in ("1000000000", "100000,100000"):
        found = call(capsys, "train", "--lr", "0.1", "--wd", "0.1", "--hidden", widths)
        assert found.code == 2 and len(found.err.splitlines()) == 1, found
        assert "memory" in found.err
