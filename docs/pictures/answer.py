"""Put the tables and figures of the answer into docs/answer.md: what the experiment wrote, between their marks.

    weightgas reproduce answer --preset standard --out runs/answer
    .venv/bin/python docs/pictures/answer.py runs/answer

The text around the marks is written by people: read it again when the outcome changes.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "answer.md"
BLOCK = re.compile(r"<!-- (command|outcome|levels|reasons) -->\n\n(.*?)\n\n<!-- end -->", re.DOTALL)


def inserted(page: str, written: str) -> str:
    """The page with every block of what was written; ValueError if they have different blocks."""
    found = {match[1]: match[0] for match in BLOCK.finditer(written)}
    if sorted(found) != sorted(match[1] for match in BLOCK.finditer(page)):
        raise ValueError(f"{PAGE.name}: expected the blocks {', '.join(found)}, got others. Put their marks into it.")
    return BLOCK.sub(lambda match: found[match[1]], page)


def main(folder: Path) -> None:
    """Insert the blocks of ``folder/answer/answer.md`` and copy its figures."""
    written = (folder / "answer" / "answer.md").read_text(encoding="utf-8")
    PAGE.write_text(inserted(PAGE.read_text(encoding="utf-8"), written), encoding="utf-8")
    for picture in sorted((folder / "answer" / "pictures").glob("answer-*.png")):
        shutil.copy(picture, HERE / picture.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
