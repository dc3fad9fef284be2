"""A page as an executed notebook, where it links to one of its name: its prose and its blocks, run by a kernel.

``make outputs`` writes it; tests/test_documents.py compares it with its page.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from pages import blocks_of, cells_of, printed_by, same

ROOT = Path(__file__).resolve().parents[1]


def execute(cells: list[tuple[str, str]], folder: Path) -> str:
    """The notebook of these cells, run in ``folder``, as JSON; an error in a cell is one here."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}
    notebook.cells = [make[kind](source, id=f"cell-{k}") for k, (kind, source) in enumerate(cells)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    own = {name: str(folder.with_name(name)) for name in ("IPYTHONDIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR")}
    variables = {**os.environ, **own, "PATH": path, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "95"}
    client = NotebookClient(notebook, timeout=1800, record_timing=False, coalesce_streams=True)
    client.execute(cwd=str(folder), env=variables)
    text = nbformat.writes(notebook, indent=1).replace(str(folder), "/home/you")
    found = [str(place) for place in (folder.parent, ROOT, Path.home(), sys.prefix) if f"{place}/" in text]
    assert not found, f"a folder of this machine is in the notebook: {found}"
    return text + "\n"


def refresh(page: Path) -> None:
    """Write the notebook of a page that links to it; one that would differ only in times and the like stays."""
    text, path = page.read_text(encoding="utf-8"), page.with_suffix(".ipynb")
    if f"({path.name})" not in text:
        return
    blocks = blocks_of(text, page.name)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "work"
        folder.mkdir()
        new = execute(cells_of(text, blocks), folder)
    if path.exists() and alike(json.loads(path.read_text(encoding="utf-8")), json.loads(new), blocks):
        return
    path.write_text(new, encoding="utf-8")
    print("rewritten:", path)


def alike(old: dict, new: dict, blocks: list) -> bool:
    """Whether two notebooks have the same cells, which print the same as far as their page compares it."""
    sources = [[(cell["cell_type"], "".join(cell["source"])) for cell in one["cells"]] for one in (old, new)]
    if sources[0] != sources[1]:
        return False
    pairs = zip(*([cell for cell in one["cells"] if cell["cell_type"] == "code"] for one in (old, new)), strict=True)
    return all(
        same(printed_by(mine), printed_by(yours), block.compared)
        for (mine, yours), block in zip(pairs, blocks, strict=True)
    )
