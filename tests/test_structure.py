"""The inside of the package keeps its shape: nothing outside ``protocols`` takes a protocol apart."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "benchmarks" / "structure.py"
SPEC = importlib.util.spec_from_file_location("structure", SCRIPT)
structure = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(structure)

PLANTED = """
def f(protocol, fixed, state):
    if protocol.name == "fixed_lr":
        return 1
    if "lr" in fixed or state.attrs["protocol"] in names:
        return 2
    if isinstance(protocol, FixedSphere):
        return {"fixed_elr": 3}[protocol.name]
    match state:
        case "fixed_sphere":
            return 4
    return protocol.scaled
"""


def test_few_branches_on_a_protocol_are_left_outside_protocols():
    found = structure.branches(structure.HERE)
    assert len(found) < 10, "\n".join(found)


def test_a_branch_would_be_seen(tmp_path):
    (tmp_path / "planted.py").write_text(PLANTED, encoding="utf-8")
    (tmp_path / "protocols").mkdir()
    (tmp_path / "protocols" / "mine.py").write_text(PLANTED, encoding="utf-8")
    assert structure.branches(tmp_path) == [f"planted.py:{line}" for line in (3, 5, 7, 8, 10)]


def test_circles_are_seen_in_functions_and_under_type_checking(tmp_path):
    root = tmp_path / "package"
    root.mkdir()
    (root / "__init__.py").write_text("", encoding="utf-8")
    (root / "a.py").write_text("from package.b import x\n", encoding="utf-8")
    (root / "b.py").write_text("def f():\n    from package import a\n", encoding="utf-8")
    (root / "c.py").write_text("import package.a\n", encoding="utf-8")
    assert structure.circles(root) == [["package.a", "package.b"]]


def test_modules_and_functions_fit_a_screen_or_some():
    found = structure.numbers(structure.HERE)
    lines = {name: int(found[name].split(", ")[1].split()[0]) for name in ("largest_module", "longest_function")}
    assert lines["largest_module"] <= 350, found["largest_module"]
    assert lines["longest_function"] <= 80, found["longest_function"]
    assert not found["many_parameters"] and not found["circles"], found


def test_a_long_module_and_a_long_function_would_be_seen(tmp_path):
    (tmp_path / "long.py").write_text("def f():\n" + "    x = 1\n" * 90 + "\n" * 300, encoding="utf-8")
    assert structure.code_lines(tmp_path) == {"long.py:f": 90} and structure.module_lines(tmp_path) == {"long.py": 391}
