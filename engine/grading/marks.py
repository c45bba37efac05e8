r"""Marks of answers.

"Answer: X", "the answer is X" in many languages, `\boxed{X}`, `<answer>X</answer>`, `"answer": X`, the student's `--> X` and
GSM8K's `#### X`.

A mark is found by its key, a word or sign, from the end; what stands around the key decides whether it makes a mark. "The
answer is not X" makes none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

NEAR = 1500
"""Characters from the end in which all marks are looked for; in the rest only the usual ones are."""
LONGEST = 400
"""Characters of an answer behind a mark."""
BESIDE = 25
"""Characters between two boxes that stand beside each other."""
MOST_PLACES = 16
"""Places of one key that are looked at."""

_IS = (
    r"(?:is|was|are|would be|should be|must be|will be|has to be|can only be|could only be|comes (?:out )?to|becomes|equals|turns out to be)"
    r"(?!\s+not\b)(?:\s+(?:therefore|thus|then|hence|simply|just|clearly|still|now|also))?"
)
_ANSWER = re.compile(
    r"s?[\"'*_`)]{0,4}(?:\s?\([^()\n]{0,60}\))?"
    r"(?:(?P<tag>>)"
    r"|(?:\s(?:to|for|of|here|in)\b[^.:\n!?]{0,80}?)?(?:(?P<line>[*_]{0,3}\s{0,3}(?:[:：=]|->|→|⇒)+)|\s+"
    + _IS
    + r"(?![A-Za-z])[ \t]{0,4}(?P<colon>[:：])?)"
    r"|(?P<heading>[*_#\s\"]{0,6}\n))",
    re.IGNORECASE,
)
_CHOSEN = re.compile(
    r"s?[\"'*_]{0,3}\s{0,3}(?:(?P<line>[:：])|" + _IS + r"(?![A-Za-z])[ \t]{0,4}:?)", re.IGNORECASE
)
_RESULT = re.compile(r"[\"'*_]{0,3}[ \t]{0,3}(?P<line>[:：])")
_ELSEWHERE = re.compile(
    r"[^\W\d_]{0,4}?(?:\s(?:final|finale|correcta|correcte|correta|corretta|definitiva|końcowa))?[\s\"»”*_)）]{0,4}(?:[(（][^()（）\n]{0,40}[)）]\s?)?"
    r"(?:(?:(?:ist|lautet|wäre|est|sería|es|seria|é|è|sarebbe|is|är|er|on|je|to|jest|wynosi|brzmi|равен|равна|равно|это|là|adalah|olur|είναι)(?!\w)"
    r"|是|为|為|は|が|은|는|هو|هي|है|คือ|היא|הוא)\s{0,2}[:：]?|(?P<line>[*_]{0,3}\s{0,2}(?:[:：=—–]|->|→)))",
    re.IGNORECASE,
)
_BEFORE_HEADING = re.compile(
    r"(?:^|\n)[ \t>#*_\d.)-]{0,8}(?:the |my |your |so |and )?(?:final |correct |short )?$", re.IGNORECASE
)
_BEFORE_CHOSEN = re.compile(
    r"(?:(?:correct|right|best|my|final|chosen|answer|the)[ \t]|(?:^|\n)[ \t>#*_\"-]{0,8})$", re.IGNORECASE
)
_BEFORE_RESULT = re.compile(r"(?:^|\n)[ \t>#*_-]{0,8}(?:the )?(?:final )?$", re.IGNORECASE)
_SECTION = re.compile(
    r"(?:\d{1,2}[.)] )?(?:step|solution|explanation|reasoning|part|calculat|analysis|method|approach|given|set-?up|check|verif"
    r"|conclusion|summary|example|note|problem|question)",
    re.IGNORECASE,
)
"""How the heading of a section begins, which "####" makes in Markdown too."""
_NONE = re.compile("")
_BOXES = ("boxed{", "framebox{", "fbox{")
_BESIDE = re.compile(r"[^.!?:;=\n{}]{0,24}")

_USUAL = ("answer", "boxed{", "-->", "####")
_KEYS: dict[str, tuple[re.Pattern[str], re.Pattern[str] | None, bool]] = {
    "answer": (_ANSWER, None, False),
    "boxed{": (_NONE, None, False),
    "framebox{": (_NONE, None, False),
    "fbox{": (_NONE, None, False),
    "-->": (_NONE, None, False),
    "####": (_NONE, None, False),
    "option": (_CHOSEN, _BEFORE_CHOSEN, False),
    "choice": (_CHOSEN, _BEFORE_CHOSEN, False),
    "result": (_RESULT, _BEFORE_RESULT, False),
    "antwort": (_ELSEWHERE, None, True),
    "respuesta": (_ELSEWHERE, None, True),
    "resposta": (_ELSEWHERE, None, True),
    "risposta": (_ELSEWHERE, None, True),
    "antwoord": (_ELSEWHERE, None, True),
    "jawaban": (_ELSEWHERE, None, True),
    "cevap": (_ELSEWHERE, None, True),
    "vastaus": (_ELSEWHERE, None, True),
    "svar": (_ELSEWHERE, None, True),
    "odpow": (_ELSEWHERE, None, True),
}
_FOREIGN = {
    **dict.fromkeys(("réponse", "ответ", "відповідь", "đáp án", "trả lời", "yanıt", "odpověď", "απάντηση"), (_ELSEWHERE, None, True)),
    **dict.fromkeys(("答案", "答え", "答", "正解", "解答", "정답", "답", "الجواب", "الإجابة", "جواب", "پاسخ", "उत्तर", "คำตอบ", "תשובה"), (_ELSEWHERE, None, False)),
}  # fmt: skip


class Mark(NamedTuple):
    """A mark, by places in its text."""

    begin: int
    """Where its first letter is."""
    start: int
    """Where the answer begins."""
    end: int
    """Where the answer ends at the latest."""
    formal: bool
    """Whether it is a line, a box or a tag, rather than words of a sentence."""
    comma: bool
    """Whether it is of a language that writes 3,5 for 3.5."""


def marks(text: str) -> Iterator[Mark]:
    """The marks of a text, the last first."""
    near = max(0, len(text) - NEAR)
    yield from _of(text, _KEYS if text.isascii() else {**_KEYS, **_FOREIGN}, near, len(text))
    if near:
        yield from _of(text, _USUAL, 0, near)


def _of(text: str, keys: Iterable[str], start: int, end: int) -> Iterator[Mark]:
    """The marks that one of the keys makes, between two places."""
    window = text[start:end]
    lowered = window.lower()
    if len(lowered) != len(window):  # "\u0130" becomes two characters
        lowered = window.replace("\u0130", "I").lower()
    places: list[tuple[int, str]] = []
    for key in keys:
        at = lowered.rfind(key)
        if at < 0:
            continue
        for _ in range(MOST_PLACES):
            places.append((at + start, key))
            at = lowered.rfind(key, 0, at)
            if at < 0:
                break
    places.sort(reverse=True)
    done = len(text) + 1
    for at, key in places:
        if at >= done:
            continue
        mark = _mark(text, at, key)
        if mark is not None:
            done = mark.begin
            yield mark


def _mark(text: str, at: int, key: str) -> Mark | None:
    """The mark that a key at a place makes; None if it makes none."""
    start = at + len(key)
    if key in _BOXES:
        if at == 0 or text[at - 1] != "\\":
            return None
        return Mark(at - 1, start, closing(text, start), True, False)
    if key == "-->":
        return Mark(at, start, min(len(text), start + LONGEST), True, False)
    if key == "####":
        rest = text[start : start + LONGEST].lstrip()
        return None if _SECTION.match(rest) else Mark(at, start, min(len(text), start + LONGEST), True, False)
    pattern, before, comma = _KEYS.get(key) or _FOREIGN[key]
    previous = text[at - 1] if at else "\n"
    if before is None and (previous == "/" or (previous.isalpha() and previous.isascii())):
        return None
    if before is not None and not before.search(text[max(0, at - 40) : at]):
        return None
    match = pattern.match(text, start)
    if match is None or "words" in match[0]:
        return None
    found = match.groupdict()
    if found.get("tag") and previous != "<":
        return None
    if found.get("heading") and not _BEFORE_HEADING.search(text[max(0, at - 40) : at]):
        return None
    formal = any(found.get(name) for name in ("tag", "line", "heading"))
    return Mark(at, match.end(), min(len(text), match.end() + LONGEST), formal, comma)


def closing(text: str, start: int) -> int:
    """Where the brace closes that opened before `start`."""
    depth = 1
    most = min(len(text), start + LONGEST)
    for at in range(start, most):
        if text[at] == "{":
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
    return most


def boxes(text: str, mark: Mark) -> str:
    """What is in a box, with the boxes before it that stand beside it: "3 red and 4 blue"."""
    begin = mark.begin
    line = text.rfind("\n", 0, begin) + 1
    while True:
        at = text.rfind("\\boxed{", line, begin)
        if at < 0:
            break
        close = closing(text, at + 7)
        if not close < begin <= close + BESIDE or not _BESIDE.fullmatch(text, close + 1, begin):
            break
        begin = at
    if begin == mark.begin:
        return text[mark.start : mark.end].strip()
    return text[begin : mark.end].replace("\\boxed{", "").replace("}", "").replace("$", "")
