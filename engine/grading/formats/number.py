"""The format `number`: one number, in digits or words, with or without a unit.

In a span with "=" the number after the last one counts ("180 * 7 = 1260" answers 1260). Of several different numbers,
the first of these counts: the one with which a marked answer begins, the only one whose thing the question asks for
("How many alligators …"), the only one that is not in the question, the only one with a currency sign. A bare list or
range ("5, 4, 9", "30 and 35", one number a line) and two counts of two things are hedges; an unfinished calculation is not
an answer. "7 feet, 4 inches" is 88 and 7 1/3. Values compare as exact fractions; a gold answer of six or more decimals also
equals itself rounded to two or more; "20%" equals both 20 and 0.2. A gold answer that is a time ("3:45") is compared as a
time.
"""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from functools import lru_cache

from engine.grading.format import Format, Phrases
from engine.grading.numerals import Number, Time, clock, numbers, numeric_form, tidy, two_units
from engine.grading.paper import PaperRules
from engine.grading.spans import SHORT, affirmed, normalise, spans, terse
from engine.grading.verdict import Verdict

TOLERANCE = Fraction(1, 10**6)
_BARE = re.compile(r"\s*:?\s*\$?(-?(?:\d{1,3}(?:,\d{3}){1,6}|\d{1,18})(?:\.\d{1,18})?|\.\d{1,18})\.?\s*")
_START = re.compile(
    r"\W{0,8}(?:(?:about|approximately|around|only|exactly|roughly)\W{1,3})?[-+$]{0,2}\.?\d", re.IGNORECASE
)
_PUBLISHED = re.compile(r"-?\d+(?:\.\d+)?")
_OPERATOR = re.compile(r"\s*[-+*×÷x]\s*[($]*")
_TIMES = re.compile(r"(?<![\d:.])\d{1,2}:[0-5]\d(?::[0-5]\d)?(?![\d:])(?:\s?[ap]\.?m\b)?", re.IGNORECASE)
_CONTINUED = re.compile(r"[ \t]{0,8}\n[ \t\n]{0,8}(?==)")
_COLUMN = re.compile(r"[\s:]*(?:-?\$?[\d.,]{1,20}[ \t]*\n\s*){1,30}-?\$?[\d.,]{1,20}\s*")
_THING = re.compile(r"\s+([A-Za-z]+(?:\s[A-Za-z]+){0,2}?)(,|,?\s+and\s+|\W*$)\s*")
_ASKED = re.compile(r"\bhow many ((?:[A-Za-z]+ ){0,3}[A-Za-z]+)", re.IGNORECASE)
_SYMBOLIC = re.compile(r"[A-Za-z)']\s{0,3}[-+*/×÷]\s{0,3}$")
"""An expression with names, "age - 8", has no value yet."""
_JOINED = re.compile(r"[\s,;&/~-]*(?:or|and|to|between|through)?[\s,;&/~-]*", re.IGNORECASE)


def judge(completion: str, gold: str, question: str | None) -> Verdict:
    """Whether the number a completion answers is the gold one."""
    time = clock(gold)
    if time is not None:
        return _time(completion, time)
    wanted = _gold(gold)
    if wanted is None:
        return Verdict(
            correct=False,
            extracted=None,
            reason=f"the gold answer {gold[:40]!r} is not a number",
            flags=("bad-gold",),
        )
    if len(completion) <= 64 and (verdict := _bare(completion, gold)) is not None:
        return verdict
    text = _CONTINUED.sub(" ", normalise(completion))
    hedge: list[Number] = numbers(text) if len(text) <= SHORT and _COLUMN.fullmatch(text) else []
    if len({number.value for number in hedge}) > 1:
        return _hedged(hedge)
    hedge = []
    for span, is_marked in spans(text, _begins):
        chosen, flags = _choose(affirmed(span), question, is_marked)
        if chosen is not None:
            return _verdict(chosen, wanted, flags + ([] if is_marked else ["unmarked"]))
        if "hedged" in flags:
            hedge = numbers(tidy(span))
            break
        if "cut-off" in flags and not is_marked:
            return Verdict(
                correct=False,
                extracted=None,
                reason="the text ends in the middle of a calculation",
                flags=("no-answer", "cut-off"),
            )
    if hedge:
        return _hedged(hedge)
    return Verdict(correct=False, extracted=None, reason="no number was found", flags=("no-answer",))


@lru_cache(maxsize=4096)  # the usual answer, and the same one to each rationale of a question
def _bare(completion: str, gold: str) -> Verdict | None:
    """The verdict on a number alone; None if there is anything else."""
    match, wanted = _BARE.fullmatch(completion), _gold(gold)
    if match is None or wanted is None:
        return None
    plain = match[1].replace(",", "")
    number = Number(Fraction(plain if plain[0] != "." else "0" + plain), 0, 0, len(plain.partition(".")[2]))
    return _verdict(number, wanted, [])


def _hedged(found: list[Number]) -> Verdict:
    listed = ", ".join(show(number.value) for number in found[:5])
    return Verdict(
        correct=False, extracted=None, reason=f"several numbers are given: {listed}", flags=("hedged",)
    )


def _time(completion: str, wanted: Time) -> Verdict:
    """Whether a completion's time is the gold one; if one of them does not say which half of the day, both halves fit."""
    for span, is_marked in spans(normalise(completion)):
        found = {time for match in _TIMES.finditer(span) if (time := clock(match[0])) is not None}
        if not found:
            continue
        flags = () if is_marked else ("unmarked",)
        listed = ", ".join(_clock(time) for time in sorted(found))
        if len(found) > 1:
            return Verdict(
                correct=False, extracted=None, reason=f"several times are given: {listed}", flags=("hedged",)
            )
        (time,) = found
        correct = _same_time(time, wanted)
        relation = "is" if correct else "is not"
        return Verdict(
            correct=correct,
            extracted=listed,
            reason=f"the time {listed} {relation} the gold {_clock(wanted)}",
            flags=flags,
        )
    return Verdict(correct=False, extracted=None, reason="no time was found", flags=("no-answer",))


def _same_time(one: Time, two: Time) -> bool:
    hours = 24 if one.is_of_24 and two.is_of_24 else 12
    return one.hour % hours == two.hour % hours and (one.minute, one.second) == (two.minute, two.second)


def _clock(time: Time) -> str:
    return f"{time.hour}:{time.minute:02}" + (f":{time.second:02}" if time.second else "")


def _begins(span: str) -> bool:
    """Whether a first sentence is a number with at most its unit: "18.", "$3.50 each", but not "Tom had 5 books"."""
    return terse(span) and (_START.match(span) is not None or not any(c.isdigit() for c in span))


def _choose(span: str, question: str | None, is_marked: bool) -> tuple[Number | None, list[str]]:
    """The number a span answers, or None with the flag `hedged` where it does not choose."""
    span = tidy(span)
    _, sign, tail = span.replace("≈", "=").rpartition("=")
    if sign:
        result = numbers(tail)
        if result and _SYMBOLIC.search(tail[: result[0].start]):
            return None, ["cut-off"]
        if len({number.value for number in result}) > 1:
            if _listed(tail, result):
                return None, ["hedged"]
            if _OPERATOR.fullmatch(tail[result[0].end : result[1].start]):  # an unfinished calculation
                return None, []
        return (result[0] if result else None), ([] if result else ["cut-off"])
    found = _joined(span, numbers(span))
    if not found:
        return None, []
    exact = _one(found)
    if exact is not None:
        return exact, []
    if _listed(span, found):
        return None, ["hedged"]
    between = [span[one.end : two.start] for one, two in itertools.pairwise(found)]
    if _START.match(span) and _OPERATOR.fullmatch(between[0]):
        result_at = next((at for at, gap in enumerate(between, 1) if not _OPERATOR.fullmatch(gap)), None)
        if result_at is None:  # an unfinished calculation
            return None, ["cut-off"]
        return found[result_at], ["ambiguous"]  # "30 + 24 is 54"
    things = _things(span, found)
    if things:
        asked = _ASKED.findall(question or "")
        named = [n for n, thing in zip(found, things, strict=True) if asked and _asks(asked[-1], thing)]
        return (named[0], ["ambiguous"]) if len(named) == 1 else (None, ["hedged"])
    if is_marked and _START.match(span):
        return found[0], ["ambiguous"]
    if question:
        known = {number.value for number in numbers(question)}
        new = [number for number in found if number.value not in known]
        if len({number.value for number in new}) == 1:
            return new[0], ["ambiguous"]
    priced = [number for number in found if number.currency]
    if len({number.value for number in priced}) == 1:
        return priced[0], ["ambiguous"]
    return found[0 if is_marked else -1], ["ambiguous"]


def _joined(span: str, found: list[Number]) -> list[Number]:
    """Numbers of a span, those of one quantity in two units as one."""
    pairs = two_units(span) if len(found) > 1 else []
    single = [number for number in found if not any(pair.start <= number.start < pair.end for pair in pairs)]
    return sorted([*single, *pairs], key=lambda number: number.start)


def _one(found: list[Number]) -> Number | None:
    """The number that all of them are, the most exact one: "1/6, or 0.1667" is 1/6."""
    exact = max(
        found, key=lambda number: (number.value.denominator > 1 and not number.decimals, number.decimals)
    )
    for number in found:
        rounded = (
            number.decimals >= 2
            and abs(number.value - exact.value) <= Fraction(51, 100) / 10**number.decimals
        )
        if number.value != exact.value and not rounded:
            return None
    return exact if len({number.value for number in found}) > 1 else found[0]


def _things(span: str, found: list[Number]) -> list[str]:
    """The things counted by a span that consists of two or more counts: "3 snakes and 56 alligators"; else nothing."""
    if len(found) > 6 or span[: found[0].start].strip(" :\n\t$") or "=" in span:
        return []
    things = []
    for one, end in zip(found, [*(two.start for two in found[1:]), len(span)], strict=True):
        match = _THING.fullmatch(span[one.end : end].rstrip("$"))
        if match is None or (end < len(span) and not match[2].strip()):
            return []
        things.append(match[1].lower())
    return things if len(set(things)) > 1 else []


def _asks(asked: str, thing: str) -> bool:
    """Whether a question "How many …" asks for this thing and no other."""
    words = asked.lower().split()
    return thing.split()[-1] in words and "and" not in words


def _listed(span: str, found: list[Number]) -> bool:
    """Whether a span is a list or range of numbers rather than a sentence about one."""
    return (
        all(_JOINED.fullmatch(span[one.end : two.start]) for one, two in itertools.pairwise(found))
        and len(span.split()) <= 2 * len(found) + 3
    )


@lru_cache(maxsize=4096)  # a question's gold answer is read once for each of its rationales
def _gold(gold: str) -> Number | None:
    text = tidy(normalise(gold.rpartition("####")[2]))
    found = _joined(text, numbers(text))
    return found[-1] if found else None


def _verdict(number: Number, gold: Number, flags: list[str]) -> Verdict:
    correct = same(number, gold)
    if not correct and gold.decimals >= 6 and number.decimals >= 2:
        correct = abs(number.value - gold.value) <= Fraction(51, 100) / 10**number.decimals
        if correct:
            flags = [*flags, "rounded"]
    relation = "equals" if correct else "differs from"
    return Verdict(
        correct=correct,
        extracted=show(number.value) + ("%" if number.percent else ""),
        reason=f"the answer {show(number.value)} {relation} the gold {show(gold.value)}",
        flags=tuple(flags),
    )


def same(number: Number, gold: Number) -> bool:
    """Whether two numbers are equal: as fractions, "20%" also as 20, two units also in the smaller one."""
    if number.value == gold.value and number.percent == gold.percent:
        return True
    scale = max(Fraction(1), abs(gold.value))
    values = [number.value]
    if number.finer is not None or gold.finer is not None:
        return bool({number.value, number.finer} & {gold.value, gold.finer} - {None})
    if number.percent != gold.percent:
        values.append(number.value / 100 if number.percent else number.value * 100)
    return any(abs(value - gold.value) <= TOLERANCE * scale for value in values)


def show(value: Fraction) -> str:
    """A number for people: an integer or a short decimal."""
    if value.denominator == 1:
        return str(value.numerator) if abs(value.numerator) < 10**30 else f"{float(value):.6g}"
    decimal = f"{float(value):.10g}"
    return decimal if "e" in decimal or Fraction(decimal) == value else f"{float(value):.12g}"


def _published_candidate(text: str, question: str | None) -> str | None:
    match = _PUBLISHED.search(text.replace(",", ""))
    return match[0] if match else None


def _published_same(answer: str, gold: str) -> bool:
    try:
        return abs(float(answer) - float(gold.replace(",", ""))) <= 1e-6
    except (ValueError, OverflowError):
        return False


def bad_gold(gold: str, question: str | None) -> str:
    """Why a gold answer cannot be read; empty if it can."""
    return "" if clock(gold) is not None or _gold(gold) is not None else "not a number"


FORMAT = Format(
    name="number",
    documentation=(
        "One number, in digits or words. Units, currency signs and thousands separators do not matter; values compare "
        "as exact fractions, and 20 % equals both 20 and 0.2. Several different numbers are wrong unless one of them is "
        "clearly the answer."
    ),
    judge=judge,
    bad_gold=bad_gold,
    phrases=Phrases(
        direct="The answer (arabic numerals) is",
        after_rationale="Therefore, the answer (arabic numerals) is",
        described="a number in digits",
    ),
    paper=PaperRules(candidate=_published_candidate, same=_published_same),
    common_form=numeric_form,
)
