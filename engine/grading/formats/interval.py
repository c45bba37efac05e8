"""The format `interval`: a closed interval of numbers, given by its two ends.

"[3, 5]", "between 3 and 5", "from 3 to 5", "3 to 5 kg", "3–5" and "3 ≤ x ≤ 5" are the same interval. Both ends must equal
those of the gold answer, as numbers. Wrong are: a single number, a list, an open or half-open interval, reversed
ends, and several different intervals. In a text without a mark the last sentence with a number is the answer.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from functools import lru_cache

from engine.grading.format import Format, Phrases
from engine.grading.formats.number import same, show
from engine.grading.notation import plain
from engine.grading.numerals import Number, numbers, tidy
from engine.grading.prose import affirmed, reason_pattern, terse
from engine.grading.reading import spans
from engine.grading.verdict import Verdict, unanswered

_UNIT = r"(?:\s?[a-z°%$][a-z°²³]{0,15}(?:/[a-z]{1,8})?\.?){0,2}?"
_TO = re.compile(
    rf"{_UNIT}\s?(?:-|\b(?:up\s)?to\b|\bthrough\b|\buntil\b|\bbis\b|\bhasta\b|\bjusqu'à\b|\bдо\b|[~～到至])\s?",
    re.IGNORECASE,
)
_COMMA = re.compile(rf"{_UNIT}\s?[,;…]\s?", re.IGNORECASE)
_CLOSING = re.compile(rf"{_UNIT}\s?([\])])", re.IGNORECASE)
_BELOW = re.compile(r"\s?(<=|≤|<|\\leq?)\s?[a-z]\w{0,15}\s?(<=|≤|<|\\leq?)\s?", re.IGNORECASE)
_ALTERNATIVE = re.compile(rf"[\])]?{_UNIT}\s?(?:[,;/]\s?)?(?:\b(?:or|and)\b|[,;/])\s?\$?", re.IGNORECASE)
_LEAD = re.compile(
    r"\W{0,8}(?:(?:about|approximately|around|roughly|from|between)\W{1,3}){0,2}", re.IGNORECASE
)
_REASON = reason_pattern("for", r"\s\((?=[^()]*[a-z]{2})")
_SCALE = re.compile(r"(?:thousand|(million)|(billion)|(trillion)|k)\b", re.IGNORECASE)
_ONE_COMMA = re.compile(r"([\[(][^\[\](),\n]{1,24}),(?=[^\[\](),\n]{1,24}[\])])")
"""In brackets a single comma separates the ends: "[3,500]" runs from 3 to 500, "[0,5]" from 0 to 5. It becomes "…"."""
_BETWEEN = re.compile(
    r"(\b(?:between|zwischen|entre|tra|между|tussen|mellan|mellem|mellom|między)\s[^.;\n]{1,40}?)\s(?:and|und|y|e|et|и|en|och|og|a|i)\s",
    re.IGNORECASE,
)
_LONGEST_GAP = 60


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval and where it stands in a text; `closed` is False if an end is left out."""

    low: Number
    high: Number
    start: int
    end: int
    closed: bool = True

    def __str__(self) -> str:
        left, right = ("%" if number.percent else "" for number in (self.low, self.high))
        return f"[{show(self.low.value)}{left}, {show(self.high.value)}{right}]"

    def equals(self, other: Interval) -> bool:
        """Whether both ends are the same numbers."""
        return same(self.low, other.low) and same(self.high, other.high)


def judge(completion: str, gold: str, question: str | None) -> Verdict:
    """Whether the interval that a completion answers is the gold one."""
    wanted = _gold(gold)
    if wanted is None:
        return unanswered(f"the gold answer {gold[:40]!r} is not an interval", "bad-gold")
    for span in spans(completion, _begins):
        text = _plain(span.text, comma=span.comma)
        found, loose = intervals(_REASON.split(text)[0]) if span.marked else ([], [])
        if not found:
            found, loose = intervals(text)
        if not found:
            if not loose:
                continue
            return unanswered(
                f"not an interval: {', '.join(show(each.value) for each in loose[:4])}", "no-answer"
            )
        answer = found[0]
        if any(not answer.equals(each) or answer.closed is not each.closed for each in found):
            return unanswered(f"several intervals are given: {', '.join(map(str, found[:4]))}", "hedged")
        if any(_beside(text, each, number) for each in found for number in loose):
            return unanswered(f"another number is given beside the interval {answer}", "hedged")
        return _verdict(answer, wanted, [] if span.marked else ["unmarked"])
    return unanswered("no interval was found", "no-answer")


def intervals(text: str) -> tuple[list[Interval], list[Number]]:
    """The intervals of a text as `_plain` makes it, and the numbers that belong to none."""
    found: list[Interval] = []
    loose: list[Number] = []
    every = numbers(text)
    chained = _chained(text, every)
    at = 0
    while at < len(every):
        pair = _pair(text, every[at], every[at + 1]) if at + 1 < len(every) else None
        if pair is None or at in chained:
            loose.append(every[at])
            at += 1
        else:
            found.append(pair)
            at += 2
    return found, loose


def _pair(text: str, low: Number, high: Number) -> Interval | None:
    """The interval of two neighbouring numbers; None where the text between or around them makes none."""
    gap = text[low.end : high.start]
    if len(gap) > _LONGEST_GAP:
        return None
    closed = True
    if _COMMA.fullmatch(gap):
        opening, closing = text[: low.start].rstrip()[-1:], _CLOSING.match(text, high.end)
        if opening not in ("[", "(") or closing is None:
            return None
        closed = (opening, closing[1]) == ("[", "]")
    elif below := _BELOW.fullmatch(gap):
        closed = "<" not in below.groups()
    elif not _TO.fullmatch(gap) or text[high.end :].lstrip()[:1] == "=":  # "8 - 3 = 5" is a difference
        return None
    low, high = _shared(text, low, high)
    return Interval(low, high, low.start, high.end, closed) if low.value <= high.value else None


def _shared(text: str, low: Number, high: Number) -> tuple[Number, Number]:
    """Both ends with what only one of them says: "3 to 5 million", "3-5 %"."""
    scale, own = (_SCALE.search(text[each.start : each.end]) for each in (high, low))
    if scale and not own:
        factor = 10**6 if scale[1] else 10**9 if scale[2] else 10**12 if scale[3] else 10**3
        low = replace(low, value=low.value * factor)
    if low.percent != high.percent:
        low, high = replace(low, percent=True), replace(high, percent=True)
    return low, high


def _chained(text: str, every: list[Number]) -> set[int]:
    """Places of numbers in a chain of three or more, "3-5-2021" or "3 to 5 to 7": such a chain is no interval."""
    linked = [_TO.fullmatch(text[one.end : two.start]) is not None for one, two in itertools.pairwise(every)]
    chained: set[int] = set()
    for at, (one, two) in enumerate(itertools.pairwise(linked)):
        if one and two:
            chained |= {at, at + 1, at + 2}
    return chained


def _beside(text: str, interval: Interval, number: Number) -> bool:
    """Whether a number is given beside an interval as another answer: "3 to 5 or 7"."""
    gap = text[interval.end : number.start] or text[number.end : interval.start]
    return len(gap) <= _LONGEST_GAP and _ALTERNATIVE.fullmatch(gap) is not None


def _plain(text: str, *, comma: bool = False) -> str:
    """A text without what it denies, in which the ends of every interval can be told apart."""
    separate = _ONE_COMMA.sub(r"\1…", text.replace("{,}", "").replace("\\,", ""))
    return tidy(_BETWEEN.sub(r"\1 to ", affirmed(plain(separate))), comma=comma)


def _begins(span: str) -> bool:
    """Whether a first sentence is the answer: it begins with an interval, or has a few words and no number."""
    if not any(character.isdigit() for character in span):
        return terse(span)
    text = _plain(span)
    found, _ = intervals(text)
    return bool(found) and _LEAD.fullmatch(text[: found[0].start]) is not None


@lru_cache(maxsize=4096)  # a question's gold answer is read once for each of its rationales
def _gold(gold: str) -> Interval | None:
    found, loose = intervals(_plain(gold.rpartition("####")[2]))
    return found[0] if len(found) == 1 and not loose and found[0].closed else None


def _verdict(answer: Interval, wanted: Interval, flags: list[str]) -> Verdict:
    if not answer.closed:
        reason = f"the interval from {show(answer.low.value)} to {show(answer.high.value)} is not closed"
        return unanswered(reason, *flags, "open")
    correct = answer.equals(wanted)
    return Verdict(
        correct=correct,
        extracted=str(answer),
        reason=f"the interval {answer} {'equals' if correct else 'differs from'} the gold {wanted}",
        flags=tuple(flags),
    )


def bad_gold(gold: str, question: str | None) -> str:
    """Why a gold answer cannot be read; empty if it can."""
    return "" if _gold(gold) is not None else "not an interval"


FORMAT = Format(
    name="interval",
    documentation=(
        'A closed interval of numbers: "[3, 5]", "between 3 and 5", "3 to 5 kg", "3–5", "3 ≤ x ≤ 5". Both ends must equal those of '
        "the gold answer as numbers; a single number, an open interval or several different intervals are wrong."
    ),
    judge=judge,
    stand_in="[0, 1]",
    bad_gold=bad_gold,
    phrases=Phrases(
        direct="The answer (an interval [low, high]) is",
        after_rationale="Therefore, the answer (an interval [low, high]) is",
        described="an interval of two numbers as [low, high]",
    ),
)
