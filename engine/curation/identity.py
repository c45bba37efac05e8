"""When two texts are the same question: a common form without what does not change the question.

Case, spaces, the width of characters and punctuation are left out. Options are a set: their order, their labels and
the words that announce them do not count. What can change an answer stays: operators, signs, decimal points, percent
signs, ratios, brackets beside an operator, and the letters and marks of every script. A doubtful character stays, since
two questions that count as one cost a training question.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from string import ascii_lowercase, ascii_uppercase

_RAISED = {ord(raised): f"^{digit}" for digit, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
"""Before NFKC, which makes 22 of 2²."""
_SPELLINGS = {
    **dict.fromkeys(map(ord, "\N{MINUS SIGN}‐‑‒–—―"), "-"),
    **dict.fromkeys(map(ord, "×⋅·∙"), "*"),
    **dict.fromkeys(map(ord, "‘’ʼ′"), "'"),
    ord("÷"): "/",
}


MOST_LISTS = 20
"""Lists of options that are looked at in a text, of each style."""


class _Plain(dict[int, str]):
    """ASCII for signs with several spellings, spaces for punctuation; each character is looked up once."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        kind = unicodedata.category(char)
        if code >= 128 and (kind[0] in "PZ" or kind in ("Sc", "Cc", "Cf")):
            char = "" if kind == "Cf" else " "
        self[code] = char
        return char


_PLAIN = _Plain(_SPELLINGS)
_NUL = "\0"
"""Between the parts of a question while they are read together."""
_PUNCTUATION = str.maketrans(dict.fromkeys(',;?"`_$\\', " "))
_THOUSANDS = re.compile(r",(?<=\d,)(?=\d{3}(?!\d))")
_HYPHEN = re.compile(r"-(?<=[^\W\d][^\W\d]-)(?=\w)|-(?<=\d-)(?=[^\W\d])")
_BRACKETS = re.compile(r"\((?<![-+*/^=<>|'\d]\()(?<![-+*/^=<>|]\s\()([^()+*/^=<>|-]*)\)(?!\s*[-+*/^=<>|!])")
"""Those that are neither beside an operator nor hold one."""
_SAYS_NOTHING = re.compile(
    r"\.(?:(?!\d)|(?<=[^\W\d]\.))"  # no decimal point
    r"|:(?:(?!\s*\d)|(?<!\d:)(?<!\d\s:))"  # no ratio or time
    r"|!(?<![\d)]!)"  # no factorial
    r"|'(?!\s*[(=])"  # no derivative
    r"|-(?!\s*[\d.(\[{|])(?!(?<!\w-)[^\W\d])"  # a dash, not a minus
)
_SIGN = re.compile(r"[-+*/%&@#\[\]{}|^~<>=():!']")
_LISTS = [
    [f"{opening}{name}{closing}" for name in names]
    for opening, closing in (("(", ")"), ("[", "]"), ("", ")"), ("", "."), ("", ":"))
    for names in (ascii_uppercase, ascii_lowercase, "123456789")
]
"""The labels of a list of options, by style."""
_ANNOUNCED = re.compile(r"(?:\banswer\s+)?\b(?:choices|options)\s*:?\s*$", re.IGNORECASE)


def identity(text: str) -> str:
    """The common form of a question: equal for texts that are the same question."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text.translate(_RAISED)).translate(_PLAIN)
    labels = _labels(text)
    if not labels:
        return _plain(text) or " ".join(text.casefold().split())
    stem, *options, tail = (part.strip() for part in _plain(_NUL.join(_apart(text, labels))).split(_NUL))
    return "\n".join([stem, *sorted(options), tail])


def _plain(text: str) -> str:
    text = text.casefold()
    if "," in text:
        text = _THOUSANDS.sub("", text)
    text = text.translate(_PUNCTUATION)
    if "-" in text:
        text = _HYPHEN.sub(" ", text)
    if "(" in text:
        text = _BRACKETS.sub(r" \1 ", text)
    text = _SIGN.sub(r" \g<0> ", _SAYS_NOTHING.sub(" ", text))
    # No spaces, since tokenised data has them within words (Tom 's, do n't): only before a number, or 3 5 would be 35.
    return "".join([f" {word}" if word[0].isdigit() else word for word in text.split()])


def _labels(text: str) -> list[tuple[int, int]]:
    """Start and end of the labels of the longest list of options, the last of several."""
    best: list[tuple[int, int]] = []
    for labels in _LISTS:
        if labels[1] not in text:
            continue
        at = 0
        for _ in range(MOST_LISTS):
            found = _run(text, labels, at)
            if len(found) < 2:
                break
            best = found if len(found) >= len(best) else best
            at = found[-1][1]
    return best


def _run(text: str, labels: Sequence[str], at: int) -> list[tuple[int, int]]:
    """The labels of the first list from a place on; a list has at least two."""
    found: list[tuple[int, int]] = []
    for label in labels:
        at = text.find(label, at)
        while at >= 0 and not _stands_alone(text, label, at):
            at = text.find(label, at + 1)
        if at < 0:
            break
        at += len(label)
        found.append((at - len(label), at))
    return found


def _stands_alone(text: str, label: str, at: int) -> bool:
    before, after = text[at - 1 : at], text[at + len(label) : at + len(label) + 1]
    if label[0] in "([":
        return not before.isalnum()
    return not (before.isalnum() or before in ("(", "[")) and (label[-1] == ")" or not after.strip())


def _apart(text: str, labels: Sequence[tuple[int, int]]) -> list[str]:
    """The stem, the options, and what follows a list of one line each."""
    options = [text[end:start] for (_, end), (start, _) in pairwise(labels)]
    last, tail = text[labels[-1][1] :].strip(), ""
    if not any("\n" in option.strip() for option in options):
        last, _, tail = last.partition("\n")
    stem = text[: labels[0][0]].rstrip()
    announced = _ANNOUNCED.search(stem, max(0, len(stem) - 40))
    return [stem[: announced.start()] if announced else stem, *options, last, tail]
