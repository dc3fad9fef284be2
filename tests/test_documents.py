"""The code in README.md and docs/ runs.

Every ```` ```python ```` block is executed and every line of a ```` ```console ```` or ```` ```sh ```` block that calls
``weightgas`` is run, in the order of the page, in one namespace and one empty folder. An HTML comment before a block
says otherwise, and is seen in the source of the page:

* ``<!-- test: skip, REASON -->``: the block is not run; pytest lists it with its reason.
* ``<!-- test: slow -->``: the block is run by ``make test-slow`` only (which runs the whole page).
* ``<!-- test: none, REASON -->``, once in a page: it has no code to run.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

import pages

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    [ROOT / "README.md", *(page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "generated")]
)
QUICK = ROOT / "docs/index.md"
"""The page whose code every change runs; that of the others is run by ``make test-documents``."""
TRAINERS = ROOT / "docs/how-to/trainers.md"
"""The page whose code needs the packages of ``make test-integrations``."""
_MARKS = {QUICK: [], TRAINERS: [pytest.mark.integration]}
LANGUAGES = {"python": "python", "py": "python", "console": "commands", "sh": "commands", "bash": "commands"}


@dataclass(frozen=True)
class Block:
    """One fenced block of a page: its first line's number, what it is, whether it runs, and if not, why."""

    line: int
    kind: str
    text: str
    mode: str = "run"
    reason: str = ""

    @property
    def commands(self) -> list[str]:
        """The calls of ``weightgas`` in a block of commands, continued lines joined; the rest is output or set-up."""
        if self.kind != "commands":
            return []
        lines = [line.removeprefix("$ ").strip() for line in self.text.replace("\\\n", " ").splitlines()]
        calls = [line for line in lines if re.match(r"weightgas(\s|$)", line)]
        assert not [c for c in calls if re.search(r"[|<>&;$`*?~#]", c)], (
            f"line {self.line}: commands run without a shell"
        )
        return calls


def blocks_of(text: str, page: str = "page") -> list[Block]:
    """The blocks of a page that can be run; AssertionError where a mark or a fence is not well-formed."""
    found, mark, fence, start, language, body = [], ("run", ""), "", 0, "", []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if fence:
            if stripped == fence:
                if language in LANGUAGES:
                    indent = min((len(b) - len(b.lstrip()) for b in body if b.strip()), default=0)
                    source = "\n".join(b[indent:] for b in body) + "\n"
                    found.append(Block(start, LANGUAGES[language], source, *mark))
                else:
                    assert mark == ("run", ""), f"{page}:{start} a mark before a block that is never run"
                fence, mark = "", ("run", "")
            else:
                body.append(line)
        elif opening := re.match(r"(`{3,}|~{3,})\s*\{?([\w+-]*)", stripped):
            fence, language = opening.groups()
            start, body = number, []
            assert language, f"{page}:{number} a fence without a language; write text if it is not code"
        elif "<!-- test:" in stripped:
            mark = mark_of(stripped, f"{page}:{number}")
            if mark[0] == "none":
                mark = ("run", "")
        elif stripped:
            assert mark == ("run", ""), f"{page}:{number} a mark that no block follows"
    assert not fence, f"{page}:{start} a fence that is never closed"
    assert mark == ("run", ""), f"{page}: a mark that no block follows"
    return found


def mark_of(line: str, where: str) -> tuple[str, str]:
    """Mode and reason of a ``<!-- test: … -->`` line."""
    found = re.fullmatch(r"<!-- test: (?:(slow)|(skip|none), (\S.{9,})) -->", line)
    assert found, (
        f"{where} write <!-- test: slow -->, <!-- test: skip, REASON --> or <!-- test: none, REASON -->: {line}"
    )
    return (found[1] or found[2], found[3] or "")


def read(page: Path) -> tuple[str, list[Block]]:
    """A page's name from the root, and its blocks."""
    name = str(page.relative_to(ROOT))
    return name, blocks_of(page.read_text(encoding="utf-8"), name)


def execute(page: Path, blocks: list[Block], folder: Path) -> None:
    """Run blocks in ``folder``, in a new process in which warnings are errors; fail with everything it printed.

    Commands are called in that process; that the installed script is that call, tests/test_front_door.py states.
    """
    told = [(block.line, block.text if block.kind == "python" else "", block.commands) for block in blocks]
    code, said = pages.execute(str(page), told, folder)
    assert code == 0, said


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=_MARKS.get(p, [pytest.mark.documents]), id=str(p.relative_to(ROOT))) for p in PAGES],
)
def test_page_runs(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    name, blocks = read(page)
    if "<!-- test: none," in text:
        assert not blocks, f"{name} states that it has no code to run, and has some at line {blocks[0].line}"
        return
    assert blocks, f"{name} has no block that can be run; if that is right, say so: <!-- test: none, REASON -->"
    execute(page, [block for block in blocks if block.mode == "run"], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_page_runs_with_its_slow_blocks(page: Path, tmp_path: Path) -> None:
    blocks = read(page)[1]
    if any(block.mode == "slow" for block in blocks):
        execute(page, [block for block in blocks if block.mode != "skip"], tmp_path)


@pytest.mark.parametrize(
    ("name", "block"),
    [pytest.param(name, block, id=f"{name}:{block.line}") for name, blocks in map(read, PAGES) for block in blocks],
)
def test_block_runs_or_says_why_not(name: str, block: Block) -> None:
    if block.mode == "skip":
        pytest.skip(f"{name}:{block.line} is not run: {block.reason}")
    calls = block.kind == "python" or block.commands
    assert calls, f"{name}:{block.line} calls no weightgas command; say why: <!-- test: skip, REASON -->"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^(`{3,}).*?^\1", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r'(?:src|href)="([^"]+)"', prose)
    local = [t.partition("#")[0] for t in targets if not re.match(r"[a-z]+:|#", t)]
    assert not [t for t in local if not (page.parent / t).exists()]


PAGE = """
<!-- test: skip, needs a day of computing -->
```python
raise SystemExit("skipped")
```

```python
number = 40
```
text
```python
number += 2
open("answer", "w").write(str(number))
```
```text
not code
```
"""


def test_blocks_share_a_namespace_and_a_folder(tmp_path: Path) -> None:
    blocks = blocks_of(PAGE)
    assert [(b.line, b.mode, b.reason) for b in blocks] == [
        (3, "skip", "needs a day of computing"),
        (7, "run", ""),
        (11, "run", ""),
    ]
    execute(Path("page.md"), [b for b in blocks if b.mode == "run"], tmp_path)
    assert (tmp_path / "answer").read_text() == "42"


def test_a_broken_block_fails_with_its_line_in_the_page(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r'File "page.md", line 9, in <module>\n.*NameError'):
        execute(Path("page.md"), blocks_of("\n" * 6 + "```python\na = 1\nb\n```\n"), tmp_path)


def test_a_warning_in_a_block_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="UserWarning: beware"):
        execute(Path("page.md"), blocks_of('```python\nimport warnings\nwarnings.warn("beware")\n```\n'), tmp_path)


def test_a_failing_command_fails(tmp_path: Path) -> None:
    (block,) = blocks_of("```console\n$ weightgas no-such-command \\\n    --at-all\nsome output\n$ make demo\n```\n")
    assert block.commands == ["weightgas no-such-command      --at-all"]
    with pytest.raises(AssertionError, match=r"page\.md:1 weightgas no-such-command .* ended with 2"):
        execute(Path("page.md"), [block], tmp_path)
    with pytest.raises(AssertionError, match="without a shell"):
        _ = blocks_of("```sh\nweightgas list > file\n```\n")[0].commands


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```\nx\n```\n", "without a language"),
        ("```python\nx\n", "never closed"),
        ("<!-- test: skip -->\n```python\nx\n```\n", "REASON"),
        ("<!-- test: slwo -->\n```python\nx\n```\n", "write"),
        ("<!-- test: slow -->\nprose\n", "no block follows"),
        ("<!-- test: slow -->\n```text\nx\n```\n", "never run"),
    ],
)
def test_a_mark_or_fence_that_is_wrong_fails(text: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        blocks_of(text)
