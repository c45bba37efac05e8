"""The options of a multiple-choice question: "Answer Choices: (A) doctor (B) bookstore" to letters and texts.

Forms: "(A) x", "A) x", "A. x" and "A: x", on one line or several; also with small letters, and with numbers "(1) x" and
"1) x". They must run A, B, C … without a gap, so that an "A." in the middle of a sentence is not taken for an option. An
option may name others: "(C) Both (A) and (B)".
"""

from __future__ import annotations

import re
from functools import lru_cache

_FORMS = (r"\(({})\)", r"(?<![\w(])({})\)", r"(?m)^[ \t]*({})[.:][ \t]", r"(?<!\S)({})[.:](?=\s)")
_NAMES = ("[A-Z]", "[a-z]", "[1-9]|1[0-9]|2[0-6]")
_MARKS = tuple(re.compile(form.format(name)) for name in _NAMES for form in _FORMS)
_TAIL = 8000
"""Characters that are read, from the end: options are at the end of a question."""
_BEGINS = 8
_MOST = 400
"""Marks that are looked at."""


@lru_cache(maxsize=4096)
def options_of(question: str) -> dict[str, str]:
    """Name to text of each option, in order; empty if the question has none."""
    text = question[-_TAIL:]
    for mark in _MARKS:
        found = _run(list(mark.finditer(text))[-_MOST:])
        if found:
            ends = [match.start() for match in found[1:]] + [len(text)]
            return {
                match[1]: text[match.end() : end].strip().rstrip(",;").strip()
                for match, end in zip(found, ends, strict=True)
            }
    return {}


def _run(matches: list[re.Match[str]]) -> list[re.Match[str]]:
    """The longest run A, B, C … of at least two marks, the last of equal ones."""
    best: list[re.Match[str]] = []
    begins = [place for place, match in enumerate(matches) if match[1] in ("A", "a", "1")]
    for place in begins[:_BEGINS] + begins[_BEGINS:][-_BEGINS:]:
        run = [matches[place]]
        for match in matches[place + 1 :]:
            if match[1] == _next(run[-1][1]):
                run.append(match)
        if len(run) >= max(2, len(best)):
            best = run
    return best


def _next(name: str) -> str:
    return str(int(name) + 1) if name.isdigit() else chr(ord(name) + 1)
