"""The words of the field, one term a thing: in docstrings, comments, messages and pages, not in names of variables.

A line that needs a banned word in its ordinary sense has a comment with ``word:`` and the reason.
"""

import io
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BANNED = {
    r"gauges?": "monitor",
    r"null gas(es)?": "reference simulation, control",
    r"books?(?!\.)( balance)?|bookkeeping": "consistency checks; identities satisfied",
    r"(can(not)?|could) say no": "can (not) falsify",
    r"evidence": "diagnostic test",
    r"readings?": "sample",
    r"clocks?": "relaxation time; wall time",
    r"run(s|ning)? until (it is |they are )?known|until (it is |they are )?known": "run to a target precision",
    r"kicks?": "update term",
    r"drags?": "alignment term",
    r"held": "fixed, constrained",
    r"foretells?|foretold|told|tells|says|said": "predict, report, print, state",
    r"mends?": "fix",
    r"goes on": "resumes, continues",
    r"left out|leaves? out|leave it out": "excluded, omitted, default",
    r"of (one's|your|the user's|a user's) own": "custom",
    r"settings that do the same": "equivalent hyperparameters",
    r"carr(y|ies|ying) (settings )?over": "hyperparameter transfer",
    r"the heat is in few|directions (that )?the noise has": "effective rank of the noise covariance",
    r"doors?": "input validation",
    r"in small": "reduced size",
    r"but for": "except",
    r"beside": "alongside, next to",
    r"foreseen?": "estimated",
    r"(?<!of )courses?": "trajectory",
    r"whole(?! numbers?\b)": "total, all, entire",
    r"stat(es?|ed) so": "name it, print it",
    r"of yours": "custom, your",
    r"matter of": "depends on",
}
"""What is not written, and what is."""
WORD = re.compile("|".join(rf"\b(?:{pattern})\b" for pattern in BANNED), re.IGNORECASE)
EXCEPTION = re.compile(r"(#|<!--).*\bword:")
CODE = re.compile(r"`+[^`]*`+|\{[^{}]*\}|\]\([^)]*\)")
"""Code between back-ticks, values in f-strings, targets of links."""
HISTORY = {"CHANGELOG.md"}


def tracked(*patterns: str) -> list[Path]:
    found = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in found.stdout.split() if name not in HISTORY]


def prose_of_python(text: str) -> list[tuple[int, str]]:
    """Lines of comments and of strings: docstrings, messages, help."""
    lines, out = text.splitlines(), []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING) or token.type == getattr(tokenize, "FSTRING_MIDDLE", -1):
            if " " not in token.string.strip():  # a key or a name
                continue
            first = token.start[0]
            out += [(first + k, CODE.sub("", piece)) for k, piece in enumerate(token.string.splitlines())]
    return [(number, piece) for number, piece in out if not EXCEPTION.search(lines[number - 1])]


def prose_of_markdown(text: str) -> list[tuple[int, str]]:
    """Lines outside of fenced code, without code between back-ticks and without the targets of links."""
    out, fenced = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and not EXCEPTION.search(line):
            out.append((number, CODE.sub("", line)))
    return out


def found_in(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    prose = prose_of_python(text) if path.suffix in {".py", ".pyi"} else prose_of_markdown(text)
    return [f"{path.relative_to(ROOT)}:{n}: {match[0]!r} in {line.strip()}" for n, line in prose
            for match in WORD.finditer(line)]  # fmt: skip


@pytest.mark.parametrize("where", ["src", "docs", "README.md", "CONTRIBUTING.md", "benchmarks"])
def test_no_banned_word(where: str) -> None:
    files = tracked(f"{where}/**/*.py", f"{where}/*.py", f"{where}/**/*.md", f"{where}/*.md", where)
    files = [path for path in files if path.suffix in {".py", ".md"}]
    assert files
    wrong = [line for path in files for line in found_in(path)]
    assert not wrong, f"{len(wrong)} banned words, see BANNED for the field's:\n" + "\n".join(wrong)


def test_a_planted_word_is_found(tmp_path: Path) -> None:
    """A test that cannot fail is no test: every pattern has a word, in a string, a comment and a page."""
    for text in ('"""The clock of a run."""\n', "x = 1  # the books balance\n", 'f"{x} was told"\n'):
        assert WORD.search(prose_of_python(text)[0][1])
    assert not prose_of_python("x = 1  # wall clock  # word: of the machine\n")
    assert WORD.search(prose_of_markdown("A null gas.")[0][1]) and not prose_of_markdown("```\nclock\n```")
    assert not WORD.search("a whole number, of course")
