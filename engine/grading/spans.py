r"""Where an answer is in a completion: normalised text, marked spans, sentences.

A marked answer is preferred: the last of "Answer: X", "the answer is X", `\boxed{X}`, the student's `--> X` and GSM8K's
`#### X`; if its span contains nothing of the format, the one before it. Without a mark, a short text that begins with a few
words is an answer and is read from its beginning ("18. I hope this helps!"); any other is reasoning and is read from its
end. The text after a new "Q:" belongs to another question. All patterns have bounded repeats and at most `TAIL` characters
are read, so time is linear.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

TAIL = 8000
"""Characters that are read, from the end: an answer is at the end."""
SHORT = 200
TERSE = 4
"""Words in the first sentence of a short text (at most `SHORT` characters) that may be its answer."""
MARKS = 3
"""Marks that are tried, from the last one."""

_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-", "\u2013": "-", "\u2014": " - ",
                         "\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\uff1a": ":", "\u200b": None})  # fmt: skip
_LATEX = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox)\s{0,2}\{([^{}]{0,200})\}")
_FRACTION = re.compile(
    r"\\[dt]?frac\s{0,2}\{\s{0,4}(-?[\d.,]{1,20})\s{0,4}\}\s{0,2}\{\s{0,4}([\d.,]{1,20})\s{0,4}\}"
)
_LATEX_SPACE = re.compile(r"\\[,;:! ]|\\(?:left|right|displaystyle)\b|\\[()\[\]]")

_MARK = re.compile(
    r"^[ \t>#*_-]{0,8}(?:the )?(?:final |correct )?answer[*_]{0,3}[ \t]{0,4}:[*_ \t]{0,6}"
    r"|\\boxed\{"
    r"|-->"
    r"|####"
    r"|\banswer(?: ?\([^()\n]{0,40}\))?(?: to (?:the|this) [a-z ]{0,40})? (?:is|was|would be|should be|must be|will be)(?! not\b)[ \t]{0,4}:?"
    r"|\b(?:correct|right|best) (?:option|choice) (?:is|would be)(?! not\b)[ \t]{0,4}:?",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]{0,2}[ \t]+|\n+")


_DENIED = re.compile(r"(?:^|,?\s)(?:but |and )?not\s[^.,;\n]{1,60}", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<![\d.,])(\d{1,3})((?:[ \u00a0\u202f\u2009]\d{3}){1,6})(?![\d.]?\d)")


def affirmed(span: str) -> str:
    """A span without the parts it denies: "5, not 6" affirms 5."""
    return _DENIED.sub("", span) if "not" in span else span


def normalise(completion: str) -> str:
    """The tail of a completion in plain typography, simple LaTeX undone."""
    text = completion[-TAIL:]
    if "\nQ:" in text:
        head = text.partition("\nQ:")[0]
        text = head if head.strip() else text
    text = _THOUSANDS.sub(lambda match: match[1] + re.sub(r"\D", "", match[2]), text)
    if not text.isascii():
        text = text.translate(_SPACES)
    if "\\" in text:
        text = _LATEX_SPACE.sub(" ", _FRACTION.sub(r"\1/\2", _LATEX.sub(r"\1", text)))
        text = text.replace("\\%", "%").replace("\\$", "$").replace("\\times", "×").replace("\\cdot", "×")
    return text


def marked(text: str) -> Iterator[str]:
    """Spans after marks, the last first."""
    for match in reversed(list(_MARK.finditer(text))[-MARKS:]):
        mark = match[0]
        if "words" in mark:  # "The answer (in words) is …" repeats what was said in digits
            continue
        if mark.startswith("\\"):
            yield _braced(text, match.end())
            continue
        rest = text[match.end() :].lstrip(" \t*_:")
        if rest[:1] == "\n":
            rest = rest.lstrip()
        yield rest[:400]


def sentences(text: str) -> list[str]:
    """Sentences and lines that contain a letter or digit."""
    return [piece for piece in _SENTENCE.split(text) if any(character.isalnum() for character in piece)]


def terse(sentence: str) -> bool:
    """Whether a sentence is short enough to be an answer by itself."""
    return len(sentence.split()) <= TERSE


def spans(text: str, begins: Callable[[str], bool] = terse) -> Iterator[tuple[str, bool]]:
    """Candidate spans in order of preference, and whether each is marked, or is in the place of an answer.

    A span is one sentence or line; a format takes the first in which it finds anything. `begins` says whether the first
    sentence of a short text is the answer.
    """
    for span in marked(text):
        for sentence in sentences(span)[:1]:
            yield sentence, True
    pieces = [piece for piece in sentences(text) if "words)" not in piece]
    answers = bool(pieces) and len(text.strip()) <= SHORT and begins(pieces[0])
    if not answers:
        pieces.reverse()
    for index, piece in enumerate(pieces):
        yield piece[:2000], answers and index == 0


def _braced(text: str, start: int) -> str:
    """The text between an opening brace before `start` and its closing brace."""
    depth = 1
    for at in range(start, min(len(text), start + 400)):
        if text[at] == "{":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return text[start:at]
    return text[start : start + 400]
