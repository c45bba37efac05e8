"""The format `date`: a day, in any of the usual notations.

05/01/2021 is read month first (the tasks of the paper write MM/DD/YYYY), and day first only if the month is impossible;
with dots or the name of a month the day may come first. ISO dates are read as such. Two different dates in one answer
are a hedge.
"""

from __future__ import annotations

import datetime
import re

from engine.grading.format import Format, Phrases
from engine.grading.spans import normalise, spans
from engine.grading.verdict import Verdict

_MONTHS = {
    name: number
    for number, names in enumerate(
        ("jan january", "feb february feburary", "mar march", "apr april", "may", "jun june", "jul july", "aug august",
         "sep sept september", "oct october", "nov november", "dec december"), start=1)
    for name in names.split()
}  # fmt: skip
_NAME = "(?P<{0}>" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")\.?"
_DATE = re.compile(
    r"(?<![\d/.-])(?:(?P<iso>\d{4})[-/.](?P<im>\d{1,2})[-/.](?P<id>\d{1,2})"
    r"|(?P<a>\d{1,2})\s?(?P<sep>[/.-])\s?(?P<b>\d{1,2})\s?(?P=sep)\s?(?P<y>\d{4}|\d{2}))(?![\d/])"
    rf"|\b{_NAME.format('n1')}\s{{1,3}}(?P<d1>\d{{1,2}})(?:st|nd|rd|th)?\s?,?\s{{0,3}}(?P<y1>\d{{4}})(?!\d)"
    rf"|(?<!\d)(?P<d2>\d{{1,2}})(?:st|nd|rd|th)?\s{{1,3}}(?:of\s{{1,3}}|day of\s{{1,3}})?{_NAME.format('n2')}\s?,?\s{{0,3}}(?P<y2>\d{{4}})(?!\d)",
    re.IGNORECASE,
)

_DOTTED = re.compile(r"\b(jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.(?=[ \t])", re.IGNORECASE)
"""The dot of an abbreviated month does not end a sentence."""


def judge(completion: str, gold: str, question: str | None) -> Verdict:
    """Whether a completion's date is the gold one."""
    golds = dates(gold)
    if not golds:
        return Verdict(
            correct=False,
            extracted=None,
            reason=f"the gold answer {gold[:40]!r} is not a date",
            flags=("bad-gold",),
        )
    wanted = golds[-1]
    for span, is_marked in spans(_DOTTED.sub(r"\1", normalise(completion))):
        found = dates(span)
        if not found:
            continue
        if len(set(found)) > 1 and (is_marked or len(completion) <= 200):
            listed = ", ".join(show(day) for day in found[:4])
            return Verdict(
                correct=False, extracted=None, reason=f"several dates are given: {listed}", flags=("hedged",)
            )
        answer = found[-1]
        correct = answer == wanted
        return Verdict(
            correct=correct,
            extracted=show(answer),
            reason=f"the date {show(answer)} {'is' if correct else 'is not'} the gold {show(wanted)}",
            flags=() if is_marked else ("unmarked",),
        )
    return Verdict(correct=False, extracted=None, reason="no date was found", flags=("no-answer",))


def dates(text: str) -> list[datetime.date]:
    """The dates of a text, in order."""
    found = []
    for match in _DATE.finditer(text):
        day = _day(match)
        if day is not None:
            found.append(day)
    return found


def show(day: datetime.date) -> str:
    """A date as MM/DD/YYYY."""
    return f"{day.month:02}/{day.day:02}/{day.year:04}"


def _day(match: re.Match[str]) -> datetime.date | None:
    if match["iso"]:
        year, month, day = int(match["iso"]), int(match["im"]), int(match["id"])
    elif match["a"]:
        year = int(match["y"])
        if year < 100:
            year += 2000 if year < 70 else 1900
        first, second = int(match["a"]), int(match["b"])
        month, day = (second, first) if match["sep"] == "." or first > 12 else (first, second)
    elif match["n1"]:
        year, month, day = int(match["y1"]), _MONTHS[match["n1"].lower()], int(match["d1"])
    else:
        year, month, day = int(match["y2"]), _MONTHS[match["n2"].lower()], int(match["d2"])
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return None


def bad_gold(gold: str, question: str | None) -> str:
    """Why a gold answer cannot be read; empty if it can."""
    return "" if dates(gold) else "not a date"


FORMAT = Format(
    name="date",
    documentation=(
        "A day, in any of the usual notations; 05/01/2021 is read month first. Two different dates are wrong."
    ),
    judge=judge,
    bad_gold=bad_gold,
    phrases=Phrases(
        direct="The answer (MM/DD/YYYY) is",
        after_rationale="Therefore, the answer (MM/DD/YYYY) is",
        described="a date as MM/DD/YYYY",
    ),
)
