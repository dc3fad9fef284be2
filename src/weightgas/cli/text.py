"""Text for any terminal: Greek letters and signs become words if the encoding lacks them."""

from __future__ import annotations

import codecs
import os
import sys
import unicodedata

_WORDS = {
    "±": "+-", "×": "x", "·": "*", "−": "-", "–": "-", "—": "-", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "≈": "~",
    "²": "^2", "³": "^3", "⁴": "^4", "½": "1/2", "∇": "grad ", "‖": "|", "⟨": "<", "⟩": ">", "∞": "inf", "√": "sqrt",
    "…": "...", "’": "'", "“": '"', "”": '"', "𝒢": "G", "₊": "+", "✓": "ok", "✗": "x", "Σ": "Sum", "∫": "int ",
}  # fmt: skip


def readable(text: str) -> str:
    """``text`` in ASCII: ``η`` becomes ``eta``, ``é`` becomes ``e``, characters without a name ``?``."""
    return "".join(map(_ascii, text))


def survive() -> None:
    """Make standard output and error print :func:`readable` text for characters that their encoding lacks.

    A stream that the caller has closed becomes the null device, so that no file of a run takes its descriptor.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115, until the end
    codecs.register_error("weightgas.readable", _replace)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="weightgas.readable")  # type: ignore[union-attr]


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return readable(error.object[error.start : error.end]), error.end


def _ascii(letter: str) -> str:
    if letter.isascii():
        return letter
    if letter in _WORDS:
        return _WORDS[letter]
    if unicodedata.name(letter, "").startswith("GREEK SMALL LETTER "):
        return unicodedata.name(letter).split()[-1].lower().replace("lamda", "lambda")
    if unicodedata.combining(letter):
        return ""
    plain = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode()
    return plain or "?"
