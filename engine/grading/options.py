"""The options of a multiple-choice question: "Answer Choices: (A) doctor (B) bookstore" to letters and texts.

Forms: "(A) x", "A) x", "A. x" and "A: x", on one line or several. Letters must run A, B, C … without a gap, so that an "A." in
the middle of a sentence is not taken for an option.
"""

from __future__ import annotations

import re
from functools import lru_cache

_MARKS = (
    re.compile(r"\(([A-Z])\)"),
    re.compile(r"(?<![\w(])([A-Z])\)"),
    re.compile(r"(?m)^[ \t]*([A-Z])[.:][ \t]"),
    re.compile(r"(?<!\S)([A-Z])[.:](?=\s)"),
)
_TAIL = 8000
"""Characters that are read, from the end: options are at the end of a question."""


@lru_cache(maxsize=4096)
def options_of(question: str) -> dict[str, str]:
    """Letter to text of each option, in order; empty if the question has none."""
    text = question[-_TAIL:]
    for mark in _MARKS:
        found = _run(list(mark.finditer(text)))
        if found:
            ends = [match.start() for match in found[1:]] + [len(text)]
            return {
                match[1]: text[match.end() : end].strip().rstrip(",;").strip()
                for match, end in zip(found, ends, strict=True)
            }
    return {}


def _run(matches: list[re.Match[str]]) -> list[re.Match[str]]:
    """The last run A, B, C … of at least two marks."""
    best: list[re.Match[str]] = []
    run: list[re.Match[str]] = []
    for match in matches:
        if match[1] == chr(ord("A") + len(run)):
            run.append(match)
        else:
            run = [match] if match[1] == "A" else []
        if len(run) >= 2:
            best = run
    return best
