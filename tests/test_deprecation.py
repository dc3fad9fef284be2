"""The deprecation policy: an old name raises an error with the new one, which exists, and the changelog has a row."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import weightgas

SOURCE = Path(weightgas.__file__).parent
CHANGELOG = (Path(__file__).resolve().parent.parent / "CHANGELOG.md").read_text(encoding="utf-8")
TABLE = "\n".join(line for line in CHANGELOG.splitlines() if line.startswith("|"))
LISTED = {text.rpartition(".")[2] for line in TABLE.splitlines() for text in re.findall(r"`([^`]+)`", line)}
"""The last part of every name of the table "old -> new"; some are patterns, as ``*_fixed_lr``."""


def modules(word: str) -> Iterator[tuple[str, ast.Module]]:
    """The modules that contain a word."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = ".".join(("weightgas", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
        if word in (text := path.read_text(encoding="utf-8")):
            yield name, ast.parse(text)


def called(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def names() -> list[str]:
    """Every module that has renamed names."""
    found = modules("renamed_names")
    return [module for module, tree in found if module != "weightgas.errors" and any(called(tree, "renamed_names"))]


def renamed(module: str) -> dict[str, str]:
    """Old names of a module and where they are now, from the closure of its ``__getattr__``."""
    found = importlib.import_module(module)
    getter = vars(found).get("_renamed") or vars(found)["__getattr__"]
    return dict(inspect.getclosurevars(getter).nonlocals["names"])


@pytest.mark.parametrize("module", names())
def test_an_old_name_raises_an_error_with_the_new_one_which_exists(module: str) -> None:
    found = renamed(module)
    assert found
    for old, new in found.items():
        with pytest.raises(ImportError, match=re.escape(new)):
            getattr(importlib.import_module(module), old)
        assert any(fnmatchcase(old, pattern) for pattern in LISTED), f"{module}.{old} is not in the changelog"
        if re.fullmatch(r"weightgas(\.\w+)+", new):
            place, _, name = new.rpartition(".")
            try:
                importlib.import_module(new)
            except ModuleNotFoundError:
                assert hasattr(importlib.import_module(place), name), f"{old} is now {new}, which does not exist"


def keywords() -> list:
    """(module, function, old keyword, new one) of every decorated function."""
    found = []
    for module, tree in modules("renamed_keywords"):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                for call in (c for d in node.decorator_list for c in called(d, "renamed_keywords")):
                    for keyword in call.keywords:
                        if keyword.arg and isinstance(keyword.value, ast.Constant):
                            found.append((module, node.name, keyword.arg, keyword.value.value))
    return found


@pytest.mark.parametrize(("module", "function", "old", "new"), keywords())
def test_an_old_keyword_raises_an_error_with_the_new_one_which_exists(
    module: str, function: str, old: str, new: str
) -> None:
    call = getattr(importlib.import_module(module), function)
    with pytest.raises(TypeError, match=f"{old}: since 0.2 this keyword is {re.escape(new)}"):
        call(**{old: None})
    assert f"{old}=" in TABLE
    if new.isidentifier():
        assert new in inspect.signature(call).parameters
