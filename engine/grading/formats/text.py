"""The format `text`: a short text, compared without case, quotes, outer punctuation and a leading article.

Letters that are spelled out ("n a o i", "s-e-e-n") equal the word they make. In a sentence the quoted text counts, else
the text after "is". Where a dot may end an initial or a sentence ("J. K. Rowling", "U.S. Navy"), either reading counts, and so
does a marked answer without the reason behind it. An answer that only contains the gold answer is wrong: the rest may
contradict it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import islice

from engine.grading.format import Format, Phrases
from engine.grading.notation import plain
from engine.grading.prose import affirmed, reason_pattern, unemphasised
from engine.grading.reading import SHORT, Span, spans
from engine.grading.verdict import Verdict, unanswered

_QUOTED = re.compile(
    r"\"([^\"\n]{1,200})\"|(?<!\w)'([^'\n]{1,200})'(?!\w)|\*\*([^*\n]{1,200})\*\*|`([^`\n]{1,200})`"
)
_IS = re.compile(r"\b(?:is|are|was|be|gives?|get|becomes?|spells?|form)\b:?\s+|[:=]\s+", re.IGNORECASE)
_ANSWERED = re.compile(
    r"\W{0,4}(.{1,80}?)\s(?:is|was|would be|must be)\s(?:the|my)\s(?:final |correct )?answer\W{0,4}",
    re.IGNORECASE,
)
_PARTICLE = re.compile(r"(?:です|でした|である|だ|입니다|이다|예요|이에요|है)[\s.。!]*$")
"""What ends a sentence behind its last word in Japanese, Korean and Hindi."""
_IT = re.compile(r"\W{0,4}(?:it|this|that)(?: is|'s| was)\s+(?=\S)", re.IGNORECASE)
_REASON = reason_pattern(
    "for|which|where|when|who|so", r";\s", r"\s-\s", r",\s(?:and|with|the)\s", r"\s\((?=[^)]{8,}\)\W*$)"
)
_SPELLED = re.compile(r"\w(?:[\s,.·-]{1,3}\w){1,60}")
_OUTER = " \t\n.,:;!?\"'`*_()[]{}<>\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb\u300c\u300d\u300e\u300f\u3002\uff0c\u3001\u060c"
_ARTICLES = ("the ", "a ", "an ")
_STOP = re.compile(r"[.!?](?=\s)")
STOPS = 4
"""Dots within a line that may be those of initials, or its end."""
LINE = 400
"""Characters of a line that may be one answer."""


def judge(completion: str, gold: str, question: str | None) -> Verdict:
    """Whether a completion's answer is the gold text."""
    wanted = canonical(gold)
    if not wanted:
        return unanswered("the gold answer is empty", "bad-gold")
    whole = canonical(unemphasised(completion)) if len(completion) <= SHORT else ""
    if whole and _same(whole, wanted):
        return _verdict(whole, wanted, gold, [])
    for span in spans(completion):
        flags = [] if span.marked else ["unmarked"]
        first = ""
        for answer in map(canonical, _readings(span)):
            if _same(answer, wanted):
                return _verdict(answer, wanted, gold, flags)
            first = first or answer
        if first:
            return _verdict(first, wanted, gold, flags)
    return unanswered("no answer was found", "no-answer")


def canonical(text: str) -> str:
    """A text without case, outer punctuation and a leading article."""
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_OUTER)
    for article in _ARTICLES:
        if text.startswith(article) and not _SPELLED.fullmatch(text):
            return text.removeprefix(article).strip(_OUTER)
    return text


def _readings(span: Span) -> Iterator[str]:
    """What a span may answer, the likeliest first."""
    text = _written(span.text)
    if not text.isascii():
        text = _PARTICLE.sub("", text)
    yield _answer(text, span.marked)
    if not span.marked:
        return
    line = _PARTICLE.sub("", _written(span.line[:LINE]))
    parts = [line[: end.start()] for end in islice(_STOP.finditer(line), STOPS)]
    for part in (affirmed(text), text, line, _IT.sub("", line, count=1), *parts):
        yield part
        reason = _REASON.search(part, 1)
        if reason:
            yield _answer(part[: reason.start()], span.marked)


def _written(text: str) -> str:
    """A text without LaTeX's commands; nothing else is touched, since it may be the answer."""
    return plain(text) if "\\" in text else text


def _answer(span: str, is_marked: bool) -> str:
    """The answer of a sentence: its last quoted text, the text after its last "is", or all of it."""
    answered = _ANSWERED.fullmatch(span)
    if answered:
        return answered[1]
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
        "A short text, compared without case, quotes, outer punctuation and a leading article. In a sentence the quoted text "
        'counts, else what follows its last "is"; a reason behind a marked answer is not read. Letters that are spelled out '
        "equal the word they make. An answer that only contains the gold answer is wrong."
    ),
    judge=judge,
    stand_in="none",
    bad_gold=bad_gold,
    phrases=Phrases(
        direct="The answer is", after_rationale="Therefore, the answer is", described="the answer"
    ),
)
