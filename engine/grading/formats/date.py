"""The format `date`: a day, in any of the usual notations and languages.

05/01/2021 is read month first (the tasks of the paper write MM/DD/YYYY), and day first only if the month is impossible;
with dots or the name of a month the day may come first. ISO dates are read as such. Two different dates in one answer
are a hedge; in a sentence without a mark the last one counts, since the others are on the way to it.
"""

from __future__ import annotations

import datetime
import re

from engine.grading.format import Format, Phrases
from engine.grading.notation import plain
from engine.grading.prose import JOINED, affirmed, reason_pattern, terse
from engine.grading.reading import SHORT, spans
from engine.grading.verdict import Verdict, unanswered

_NAMES = (
    "jan january januar janvier enero janeiro gennaio januari ocak января январь styczeń stycznia يناير जनवरी",
    "feb february feburary februar février febrero fevereiro febbraio februari şubat февраля февраль lutego فبراير फरवरी",
    "mar march märz maerz mars marzo março maart mart марта март marca مارس मार्च",
    "apr april avril abril aprile nisan апреля апрель kwietnia أبريل ابريل अप्रैल",
    "may mai mayo maio maggio mei mayıs мая май maja مايو मई",
    "jun june juni juin junio junho giugno haziran июня июнь czerwca يونيو जून",
    "jul july juli juillet julio julho luglio temmuz июля июль lipca يوليو जुलाई",
    "aug august août aout agosto augustus ağustos августа август sierpnia أغسطس अगस्त",
    "sep sept september septembre septiembre setembro settembre eylül сентября сентябрь września سبتمبر सितंबर सितम्बर",
    "oct october oktober octobre octubre outubro ottobre ekim октября октябрь października أكتوبر अक्टूबर",
    "nov november novembre noviembre novembro kasım ноября ноябрь listopada نوفمبر नवंबर नवम्बर",
    "dec december dezember décembre diciembre dezembro dicembre desember aralık декабря декабрь grudnia ديسمبر दिसंबर दिसम्बर",
)
_MONTHS = {name: number for number, names in enumerate(_NAMES, start=1) for name in names.split()}
_ORDINALS = {
    word: day
    for day, word in enumerate(
        "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
        "sixteenth seventeenth eighteenth nineteenth twentieth".split(), start=1)
}  # fmt: skip
_ORDINALS |= {f"twenty-{word}": 20 + day for word, day in list(_ORDINALS.items())[:9]} | {
    "thirtieth": 30,
    "thirty-first": 31,
}
_MONTH = "(?P<{0}>" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")(?!\w)\.?"
_WORD = "|".join(sorted(_ORDINALS, key=len, reverse=True))
_DAY = rf"(?P<{{0}}>\d{{{{1,2}}}}|\b(?:{_WORD})\b)(?:st|nd|rd|th|er|º|ª|°|\.)?"
_DATE = re.compile(
    r"(?<![\d/.-])(?:(?P<iso>\d{4})[-/.](?P<im>\d{1,2})[-/.](?P<id>\d{1,2})"
    r"|(?P<a>\d{1,2})\s?(?P<sep>[/.-])\s?(?P<b>\d{1,2})\s?(?P=sep)\s?(?P<y>\d{4}|\d{2})"
    r"|(?P<cy>\d{4})\s?[年년]\s?(?P<cm>\d{1,2})\s?[月월]\s?(?P<cd>\d{1,2})\s?[日号號일]?"
    r"|(?P<py>(?:19|20)\d{2})(?P<pm>0[1-9]|1[0-2])(?P<pd>[0-3]\d))(?![\d/])"
    rf"|\b{_MONTH.format('n1')}\s{{1,3}}(?:the\s)?{_DAY.format('d1')}\s?,?\s{{0,3}}(?P<y1>\d{{4}})(?!\d)"
    rf"|(?<!\d){_DAY.format('d2')}\s{{0,3}}(?:(?:day\s)?of\s{{1,3}}|de\s{{1,3}}|di\s{{1,3}})?{_MONTH.format('n2')}\s?,?\s{{0,3}}(?:de\s|del\s|of\s)?(?P<y2>\d{{4}})(?!\d)"
    r"|(?<!\d)(?P<d3>\d{1,2})\stháng\s(?P<n3>\d{1,2})(?:\snăm|,)?\s(?P<y3>\d{4})(?!\d)",
    re.IGNORECASE,
)

_NUMBER = re.compile(r"\d")
_PARTS = re.compile(r"\d\s?([/.-])\s?\d{1,2}\s?\1\s?\d|\d\s?[年년]|\d{8}|tháng")
_LETTERS = re.compile(r"[^\W\d_]+")
_REASON = reason_pattern(
    "for|which|where|when|if|after|before|so|and (?:yesterday|tomorrow|today)", r";\s", r"\s\("
)


def judge(completion: str, gold: str, question: str | None) -> Verdict:
    """Whether a completion's date is the gold one."""
    golds = dates(plain(gold))
    if not golds:
        return unanswered(f"the gold answer {gold[:40]!r} is not a date", "bad-gold")
    wanted = golds[-1]
    for span in spans(completion, _begins):
        if not span.marked and not _may_be(span.text):
            continue
        found = _found(plain(span.text), marked=span.marked)
        if not found and span.line:  # "Sept. 3" and "1. Mai" are two sentences by their dots
            found = _found(plain(span.line[:SHORT]), marked=span.marked)
        if not found:
            continue
        if len(set(found)) > 1:
            listed = ", ".join(show(day) for day in found[:4])
            return unanswered(f"several dates are given: {listed}", "hedged")
        answer = found[-1]
        correct = answer == wanted
        return Verdict(
            correct=correct,
            extracted=show(answer),
            reason=f"the date {show(answer)} {'is' if correct else 'is not'} the gold {show(wanted)}",
            flags=() if span.marked else ("unmarked",),
        )
    return unanswered("no date was found", "no-answer")


def _may_be(text: str) -> bool:
    """Whether a sentence may hold a date: a quick look."""
    if not _NUMBER.search(text):
        return False
    return _PARTS.search(text) is not None or not _MONTHS.keys().isdisjoint(_LETTERS.findall(text.lower()))


def _found(text: str, *, marked: bool) -> list[datetime.date]:
    """The dates that a span answers; several only where it does not choose."""
    text = affirmed(text)
    found = dates(text)
    if len(set(found)) < 2:
        return found
    if marked:
        reason = _REASON.search(text)
        while reason is not None:
            head = dates(text[: reason.start()])
            if head:
                return head
            reason = _REASON.search(text, reason.end())
        return found
    matches = [match for match in _DATE.finditer(text) if _day(match) is not None]
    between = text[matches[-2].end() : matches[-1].start()]
    return found if JOINED.fullmatch(between) else found[-1:]


def _begins(span: str) -> bool:
    """Whether a first sentence is an answer: it has few words, or is a date."""
    return terse(span) or _DATE.fullmatch(plain(span).strip(" .")) is not None


def dates(text: str) -> list[datetime.date]:
    """The dates of a text in plain notation, in order."""
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
    """The day of a match; None if there is no such day."""
    if match["iso"]:
        year, month, day = int(match["iso"]), int(match["im"]), int(match["id"])
    elif match["cy"]:
        year, month, day = int(match["cy"]), int(match["cm"]), int(match["cd"])
    elif match["py"]:
        year, month, day = int(match["py"]), int(match["pm"]), int(match["pd"])
    elif match["a"]:
        year = int(match["y"])
        if year < 100:
            year += 2000 if year < 70 else 1900
        first, second = int(match["a"]), int(match["b"])
        month, day = (second, first) if match["sep"] == "." or first > 12 else (first, second)
    elif match["n1"]:
        year, month, day = int(match["y1"]), _MONTHS[match["n1"].lower()], _number(match["d1"])
    elif match["n2"]:
        year, month, day = int(match["y2"]), _MONTHS[match["n2"].lower()], _number(match["d2"])
    else:
        year, month, day = int(match["y3"]), int(match["n3"]), int(match["d3"])
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return None


def _number(day: str) -> int:
    return int(day) if day.isdecimal() else _ORDINALS[day.lower()]


def bad_gold(gold: str, question: str | None) -> str:
    """Why a gold answer cannot be read; empty if it can."""
    return "" if dates(plain(gold)) else "not a date"


FORMAT = Format(
    name="date",
    documentation=(
        "A day, with its year, in any of the usual notations and languages; 05/01/2021 is read month first, and day first where "
        "the month is impossible or dots are used. Two different dates are wrong."
    ),
    judge=judge,
    stand_in="01/01/2000",
    bad_gold=bad_gold,
    phrases=Phrases(
        direct="The answer (MM/DD/YYYY) is",
        after_rationale="Therefore, the answer (MM/DD/YYYY) is",
        described="a date as MM/DD/YYYY",
    ),
)
