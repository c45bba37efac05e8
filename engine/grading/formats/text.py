"""The format `text`: a short text, compared without case, quotes, outer punctuation and a leading article.

Letters that are spelled out ("n a o i", "s-e-e-n") equal the word they make. In a sentence the quoted text counts, else
the text after "is". An answer that only contains the gold answer is wrong: the rest may contradict it.
"""

from __future__ import annotations

import re
import unicodedata

from engine.grading.format import Format, Phrases
from engine.grading.spans import normalise, spans
from engine.grading.verdict import Verdict

_QUOTED = re.compile(
    r"\"([^\"\n]{1,200})\"|(?<!\w)'([^'\n]{1,200})'(?!\w)|\*\*([^*\n]{1,200})\*\*|`([^`\n]{1,200})`"
)
_IS = re.compile(r"\b(?:is|are|was|be|gives?|get|becomes?|spells?|form)\b:?\s+", re.IGNORECASE)
_IT = re.compile(r"\W{0,4}(?:it|this|that)(?: is|'s| was)\s+(?=\S)", re.IGNORECASE)
_SPELLED = re.compile(r"\w(?:[\s,.·-]{1,3}\w){1,60}")
_OUTER = " \t\n.,:;!?\"'`*_()[]{}<>"
_ARTICLES = ("the ", "a ", "an ")


def judge(completion: str, gold: str, question: str | None) -> Verdict:
    """Whether a completion's answer is the gold text."""
    wanted = canonical(gold)
    if not wanted:
        return Verdict(correct=False, extracted=None, reason="the gold answer is empty", flags=("bad-gold",))
    whole = canonical(completion) if len(completion) <= 200 else ""
    if whole and _same(whole, wanted):
        return _verdict(whole, wanted, gold, [])
    for span, is_marked in spans(normalise(completion)):
        answer = canonical(_answer(span, is_marked))
        if answer:
            return _verdict(answer, wanted, gold, [] if is_marked else ["unmarked"])
    return Verdict(correct=False, extracted=None, reason="no answer was found", flags=("no-answer",))


def canonical(text: str) -> str:
    """A text without case, outer punctuation and a leading article."""
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_OUTER)
    for article in _ARTICLES:
        if text.startswith(article) and not _SPELLED.fullmatch(text):
            return text.removeprefix(article).strip(_OUTER)
    return text


def _answer(span: str, is_marked: bool) -> str:
    """The answer of a sentence: its last quoted text, the text after its last "is", or all of it."""
    quoted = [next(group for group in match.groups() if group) for match in _QUOTED.finditer(span)]
    if quoted:
        return quoted[-1]
    if not is_marked or len(span.split()) > 6:
        parts = _IS.split(span)
        if len(parts) > 1 and parts[-1].strip(_OUTER):
            return parts[-1]
    return _IT.sub("", span, count=1) if _IT.match(span) else span


def _same(answer: str, wanted: str) -> bool:
    if answer == wanted:
        return True
    if " " not in wanted and _SPELLED.fullmatch(answer):
        return re.sub(r"[\s,.·-]", "", answer) == wanted
    return False


def _verdict(answer: str, wanted: str, gold: str, flags: list[str]) -> Verdict:
    correct = _same(answer, wanted)
    if correct and answer != wanted:
        flags = [*flags, "spelled"]
    shown = wanted if correct else answer[:80]
    relation = "is" if correct else "is not"
    return Verdict(
        correct=correct,
        extracted=shown,
        reason=f"the answer {shown!r} {relation} the gold {gold[:80]!r}",
        flags=tuple(flags),
    )


def bad_gold(gold: str, question: str | None) -> str:
    """Why a gold answer cannot be read; empty if it can."""
    return "" if canonical(gold) else "empty"


FORMAT = Format(
    name="text",
    documentation=(
        "A short text, compared without case, quotes, outer punctuation and a leading article. Letters that are spelled "
        "out equal the word they make. An answer that only contains the gold answer is wrong."
    ),
    judge=judge,
    bad_gold=bad_gold,
    phrases=Phrases(
        direct="The answer is", after_rationale="Therefore, the answer is", described="the answer"
    ),
)
