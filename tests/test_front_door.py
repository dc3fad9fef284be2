"""``import weightgas``: every public name, lazily, as the stub alongside it states."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import weightgas

STUB = Path(weightgas.__file__).with_suffix(".pyi")
FLOW = [
    *("FixedSphere", "FixedELR", "FixedLR", "losses", "networks", "datasets", "simulate", "train"),
    *("open_trace", "save_trace", "extend", "grid", "measure", "verdict", "figures", "report", "experiments"),
    *("theory", "status", "errors"),
]


def stub_names() -> dict[str, tuple[str, str]]:
    """Each name of the stub: the module it comes from, and its name there."""
    found: dict[str, tuple[str, str]] = {}
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            found |= {alias.asname or "not public": (node.module, alias.name) for alias in node.names}
        else:
            assert ast.unparse(node) == "__version__: str"
    return found


def test_the_names_stand_in_the_order_of_the_flow() -> None:
    assert [name for name in weightgas.__dir__() if name in FLOW] == FLOW


def test_the_stub_has_the_same_names() -> None:
    assert {*stub_names(), "__version__"} == set(weightgas.__dir__())


@pytest.mark.parametrize("name", sorted(stub_names()))
def test_every_name_is_what_the_stub_says(name: str) -> None:
    module, there = stub_names()[name]
    parent = import_module(module)
    expected = import_module(f"weightgas.{there}") if module == "weightgas" else getattr(parent, there)
    assert getattr(weightgas, name) is expected


@pytest.mark.thorough
def test_a_name_is_imported_when_it_is_used() -> None:
    program = """
import sys, weightgas as wg
assert not [name for name in sys.modules if name.startswith("weightgas.")]
wg.FixedLR(lr=0.1, wd=0.1), wg.status.Status, wg.errors
assert not {"torch", "xarray", "numba", "matplotlib", "scipy"} & set(sys.modules)
wg.measure, wg.verdict, wg.simulate, wg.figures, wg.theory
assert "torch" not in sys.modules
from weightgas import trace, runs
assert wg.trace is trace and wg.report.__name__ == "weightgas.report" and callable(wg.verdict)
"""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, encoding="utf-8"
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_name_that_is_wrong_is_helped() -> None:
    expected = r"module 'weightgas' has no attribute 'simulat'\. Did you mean 'simulate'\?"
    with pytest.raises(AttributeError, match=expected):
        weightgas.simulat  # noqa: B018
    with pytest.raises(AttributeError, match=r"has no attribute 'zebra'\. It has FixedSphere, .*, errors\."):
        weightgas.zebra  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute '__wrapped__'$"):
        weightgas.__wrapped__  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'zebra'"):
        from weightgas import zebra  # noqa: F401


@pytest.mark.thorough
@pytest.mark.parametrize("command", [[sys.executable, "-m", "weightgas"], [Path(sys.executable).parent / "weightgas"]])
def test_python_m_and_the_installed_script_are_the_command_line(command: list) -> None:
    result = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert result.stdout == f"weightgas {weightgas.__version__}\n"
    assert subprocess.run([*command, "list", "nothing"], capture_output=True).returncode == 2
