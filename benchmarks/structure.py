"""The inside of the package in numbers: branches on protocols, sizes, parameters, import circles.

``python benchmarks/structure.py [PATH ...]`` prints them for each ``src/weightgas`` given, by default this one: so for
an old checkout alongside a new one. Nothing is run or imported, the source is read. One line of JSON comes last.

A *branch on a protocol*, outside ``protocols``: a comparison with its name or with ``protocol.name``, with a key of its
cells (``"lr" in held``, ``over == "lr"``) or a constant of the kernels that stands for it; ``isinstance`` of its class;
a ``match`` of its name; a dictionary keyed by its names or classes. That is where a new protocol would be forgotten.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent / "src" / "weightgas"
NAMES = {"fixed_lr", "fixed_elr", "fixed_sphere"}
CLASSES = {"FixedLR", "FixedELR", "FixedSphere"}
KERNELS = {"LR", "ELR", "SPHERE"}
RATES, AXES = {"lr", "wd", "elr"}, {"lr", "wd", "elr", "radius"}
MOST_PARAMETERS = 12
COMPILED = ("njit", "cfunc", "vectorize", "kernels.part")


def branches(root: Path) -> list[str]:
    """Every branch on a protocol outside ``protocols``, as ``file:line``."""
    found = []
    for path in sorted(root.rglob("*.py")):
        place = path.relative_to(root)
        if place.parts[0] in ("protocols", "protocols.py"):
            continue
        lines = {getattr(node, "pattern", node).lineno for node in _nodes(path) if _is_branch(node)}
        found += [f"{place}:{line}" for line in sorted(lines)]
    return found


def _is_branch(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        inside = any(isinstance(op, ast.In | ast.NotIn) for op in node.ops)
        keys = AXES if inside else RATES
        return any(_names_one(side) or _text(side) in keys for side in sides)
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        if name in ("isinstance", "issubclass"):
            return any(getattr(n, "id", "") in CLASSES for n in ast.walk(node.args[1]))
        return name == "get" and bool(node.args) and _text(node.args[0]) in NAMES
    if isinstance(node, ast.match_case):
        return any(_text(getattr(n, "value", None)) in NAMES for n in ast.walk(node.pattern))
    if isinstance(node, ast.Dict):
        return any(_names_one(key) for key in node.keys if key is not None)
    return isinstance(node, ast.Subscript) and _text(node.slice) in NAMES


def _names_one(node: ast.AST) -> bool:
    """Whether an expression is the name, the class or the constant of a protocol, or a collection of such."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(_names_one(item) for item in node.elts)
    if isinstance(node, ast.Attribute):
        of_kernels = node.attr in KERNELS and getattr(node.value, "id", "") == "kernels"
        return of_kernels or (node.attr == "name" and "protocol" in ast.unparse(node.value))
    if isinstance(node, ast.Subscript):
        return _text(node.slice) == "protocol"
    name = getattr(node, "id", "")
    return _text(node) in NAMES or name in CLASSES or name in KERNELS


def _text(node: ast.AST | None) -> object:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def functions(root: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function and method, with ``file:name``."""
    for path in sorted(root.rglob("*.py")):
        for node in _nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(root)}:{node.name}", node


def many_parameters(root: Path) -> dict[str, int]:
    """Functions with more than 12 parameters, except for compiled kernels and what they call, and command functions."""
    found = {}
    for name, node in functions(root):
        marks = " ".join(ast.unparse(mark) for mark in node.decorator_list)
        command = name.startswith("cli/") and not node.name.startswith("_")
        exempt = command or any(mark in marks for mark in COMPILED)
        of = node.args
        count = len([a.arg for a in (*of.posonlyargs, *of.args, *of.kwonlyargs) if a.arg not in ("self", "cls")])
        if count > MOST_PARAMETERS and not exempt:
            found[name] = count
    return found


def code_lines(root: Path) -> dict[str, int]:
    """Lines of code of every function, without docstring, comments, blank lines and decorators."""
    return {name: len({n.lineno for part in _body(node) for n in ast.walk(part) if hasattr(n, "lineno")} |
                      {n.end_lineno for part in _body(node) for n in ast.walk(part) if hasattr(n, "lineno")})
            for name, node in functions(root)}  # fmt: skip


def _body(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.AST]:
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and _text(first.value) is not None
    return [node.args, *node.body[documented:]]


def module_lines(root: Path) -> dict[str, int]:
    """Lines of every module."""
    paths = sorted(root.rglob("*.py"))
    return {str(p.relative_to(root)): len(p.read_text(encoding="utf-8").splitlines()) for p in paths}


def circles(root: Path) -> list[list[str]]:
    """Modules that import each other, imports in functions and under TYPE_CHECKING included."""
    paths = {_module(root, path): path for path in root.rglob("*.py")}
    edges = {name: set(_imports(name, path, paths)) - {name} for name, path in paths.items()}
    return [sorted(group) for group in _strongly_connected(edges) if len(group) > 1]


def _module(root: Path, path: Path) -> str:
    parts = (root.name, *path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    for node in _nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.module in known:
            for alias in node.names:  # a name of a package is its submodule where there is one
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module


def _strongly_connected(edges: dict[str, set[str]]) -> list[set[str]]:
    """Tarjan's algorithm, without recursion: by reachability both ways, which is enough for some hundred modules."""
    reach = {name: _reachable(name, edges) for name in edges}
    groups, left = [], set(edges)
    while left:
        name = min(left)
        group = {name} | {other for other in reach[name] if name in reach[other]}
        groups.append(group)
        left -= group
    return groups


def _reachable(start: str, edges: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = [start]
    while todo:
        new = edges[todo.pop()] - found
        found |= new
        todo += new
    return found


def _nodes(path: Path) -> tuple[ast.AST, ...]:
    return _nodes_of(path.read_text(encoding="utf-8"))


@cache
def _nodes_of(source: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(source)))


def numbers(root: Path) -> dict[str, object]:
    """All of it, as one record."""
    modules, lengths, places = module_lines(root), code_lines(root), branches(root)
    largest, longest = max(modules, key=modules.__getitem__), max(lengths, key=lengths.__getitem__)
    return {
        "protocol_branches": len(places),
        "files_with_them": len({place.split(":")[0] for place in places}),
        "lines": sum(modules.values()),
        "largest_module": f"{largest}, {modules[largest]} lines",
        "longest_function": f"{longest}, {lengths[longest]} lines of code",
        "many_parameters": many_parameters(root),
        "circles": circles(root),
    }


def main(paths: list[str]) -> None:
    """Print the numbers of every source tree, then the first as JSON."""
    roots = [Path(path) for path in paths if not path.startswith("-")] or [HERE]
    for root in roots:
        print(root)
        for name, value in numbers(root).items():
            print(f"  {name.replace('_', ' ')}: {value}")
    print(json.dumps({"benchmark": "structure", **numbers(roots[0])}))


if __name__ == "__main__":
    main(sys.argv[1:])
