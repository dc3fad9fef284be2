"""The wheel and the source distribution: complete, equal, and usable where nothing else of the repository is."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
SMOKE = """
import sys, weightgas
from pathlib import Path
assert Path(weightgas.__file__).is_relative_to(sys.argv[1]), weightgas.__file__
trace = weightgas.simulate(weightgas.FixedLR(lr=[0.05, 0.1], wd=0.1), steps=20_000)
state = weightgas.measure(trace)
weightgas.figures.radius(state).savefig("radius.png")
assert len(weightgas.datasets.digits().inputs) == 1797
"""


def run(*command: object, cwd: Path, **environment: str) -> str:
    """The output of a command that must succeed, without the modules that a PYTHONPATH would add."""
    words = [str(word) for word in command]
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def built(source: Path, out: Path) -> tuple[Path, Path]:
    """Wheel and source distribution of a tree."""
    run(sys.executable, "-m", "hatchling", "build", "-d", out, cwd=source)
    (wheel,), (archive,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, archive


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return built(ROOT, tmp_path_factory.mktemp("packages"))


def contents(wheel: Path) -> dict[str, int]:
    """Files of a wheel with their checksums."""
    with zipfile.ZipFile(wheel) as file:
        return {entry.filename: entry.CRC for entry in file.infolist()}


def test_the_wheel_has_every_file_of_the_package_and_no_other(packages) -> None:
    found = contents(packages[0])
    tracked = run("git", "ls-files", "src/weightgas", cwd=ROOT).split()
    package = {name for name in found if not name.partition("/")[0].endswith(".dist-info")}
    assert package == {name.removeprefix("src/") for name in tracked}
    assert "weightgas/py.typed" in package and any(name.endswith("licenses/LICENSE") for name in found)
    assert packages[0].stat().st_size < 5 * 2**20


def test_the_source_distribution_makes_the_same_wheel_and_has_the_tests(packages, tmp_path) -> None:
    with tarfile.open(packages[1]) as file:
        file.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    assert (tree / "tests/conftest.py").exists() and (tree / "Makefile").exists()
    again, _ = built(tree, tmp_path / "again")
    found, other = contents(packages[0]), contents(again)
    assert {k: v for k, v in found.items() if ".dist-info/" not in k} == {
        k: v for k, v in other.items() if ".dist-info/" not in k
    }


def test_the_installed_wheel_works_from_simulation_to_report(packages, tmp_path) -> None:
    """In an environment with nothing else than what the wheel asks for, in the versions of the constraints file."""
    place, work = tmp_path / "environment", tmp_path / "work"
    work.mkdir()
    run(sys.executable, "-m", "venv", place, cwd=work)
    python, command = place / "bin" / "python", place / "bin" / "weightgas"
    install = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    torch = os.environ.get("PIP_TORCH", "")  # as in the Makefile: which build of torch
    if torch:
        run(*install, *torch.split(), cwd=work)
    run(*install, "--constraint", ROOT / "constraints.txt", packages[0], cwd=work)
    run(python, "-m", "pip", "check", cwd=work)
    run(python, "-c", "import importlib.util as u, sys; sys.exit(any(map(u.find_spec, ['pytest', 'dask'])))", cwd=work)
    run(python, "-W", "error", "-c", SMOKE, place, cwd=work, OMP_NUM_THREADS="1")
    assert (work / "radius.png").stat().st_size > 10_000
    assert run(command, "--version", cwd=work).startswith("weightgas ")
    run(command, "simulate", "--lr", "0.05,0.1", "--wd", "0.1", "--steps", "20000", "-o", "run", cwd=work)
    run(command, "report", "run", "--no-controls", cwd=work)
    assert (work / "run" / "report.html").stat().st_size > 50_000
