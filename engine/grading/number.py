"""The format `number`: one number, whatever it is dressed in.

In a span with "=" the number after the last one counts ("180 * 7 = 1260" answers 1260). Of several different
numbers the one with which a marked answer begins counts, then the only one that is not in the question counts, then the only one with a currency sign; a bare list or
range ("5, 4, 9", "30 and 35") is a hedge. Values compare as exact fractions; a gold of six or more
decimals also accepts itself rounded to two or more; "20%" equals both 20 and 0.2.
"""

from __future__ import annotations

import itertools
import re
from fractions import Fraction
from functools import lru_cache

from engine.grading.numerals import Number, numbers, tidy
from engine.grading.spans import affirmed, normalise, spans, terse
from engine.grading.verdict import Verdict

TOLERANCE = Fraction(1, 10**6)
_BARE = re.compile(r"\s*:?\s*\$?(-?(?:\d{1,3}(?:,\d{3}){1,6}|\d{1,18})(?:\.\d{1,18})?|\.\d{1,18})\.?\s*")
_START = re.compile(
    r"\W{0,8}(?:(?:about|approximately|around|only|exactly|roughly)\W{1,3})?[-+$]{0,2}\.?\d", re.IGNORECASE
)
_OPERATOR = re.compile(r"\s*[-+*×÷x]\s*[($]*")
_JOINED = re.compile(r"[\s,;&/~-]*(?:or|and|to|between|through)?[\s,;&/~-]*", re.IGNORECASE)


def judge(completion: str, gold: str, question: str | None) -> Verdict:
    """Whether the number a completion answers is the gold one."""
    wanted = _gold(gold)
    if wanted is None:
        return Verdict(
            correct=False,
            extracted=None,
            reason=f"the gold answer {gold[:40]!r} is no number",
            flags=("bad-gold",),
        )
    bare = _BARE.fullmatch(completion[:64]) if len(completion) <= 64 else None
    if bare:
        plain = bare[1].replace(",", "")
        number = Number(
            Fraction(plain if plain[0] != "." else "0" + plain), 0, 0, len(plain.partition(".")[2])
        )
        return _verdict(number, wanted, [])
    text = normalise(completion)
    hedge: list[Number] = []
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
        listed = ", ".join(show(number.value) for number in hedge[:5])
        return Verdict(
            correct=False, extracted=None, reason=f"several numbers are given: {listed}", flags=("hedged",)
        )
    return Verdict(correct=False, extracted=None, reason="no number was found", flags=("no-answer",))


def _begins(span: str) -> bool:
    """Whether a first sentence is a number with at most its unit: "18.", "$3.50 each", but not "Tom had 5 books"."""
    return terse(span) and (_START.match(span) is not None or not any(c.isdigit() for c in span))


def _choose(span: str, question: str | None, is_marked: bool) -> tuple[Number | None, list[str]]:
    """The number a span answers, or None with the flag `hedged` where it does not choose."""
    span = tidy(span)
    _, sign, tail = span.replace("≈", "=").rpartition("=")
    if sign:
        result = numbers(tail)
        if len({number.value for number in result}) > 1:
            if _listed(tail, result):
                return None, ["hedged"]
            if _OPERATOR.fullmatch(tail[result[0].end : result[1].start]):  # nobody worked it out
                return None, []
        return (result[0] if result else None), ([] if result else ["cut-off"])
    found = numbers(span)
    if not found:
        return None, []
    if len({number.value for number in found}) == 1:
        return found[0], []
    if _listed(span, found):
        return None, ["hedged"]
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


def _listed(span: str, found: list[Number]) -> bool:
    """Whether a span is a list or range of numbers rather than a sentence about one."""
    return (
        all(_JOINED.fullmatch(span[one.end : two.start]) for one, two in itertools.pairwise(found))
        and len(span.split()) <= 2 * len(found) + 3
    )


@lru_cache(maxsize=4096)  # a question's gold answer is read once for each of its rationales
def _gold(gold: str) -> Number | None:
    found = numbers(normalise(gold.rpartition("####")[2]))
    return found[-1] if found else None


def _verdict(number: Number, gold: Number, flags: list[str]) -> Verdict:
    correct = _same(number, gold)
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


def _same(number: Number, gold: Number) -> bool:
    if number.value == gold.value and number.percent == gold.percent:
        return True
    scale = max(Fraction(1), abs(gold.value))
    values = [number.value]
    if number.percent != gold.percent:
        values.append(number.value / 100 if number.percent else number.value * 100)
    return any(abs(value - gold.value) <= TOLERANCE * scale for value in values)


def show(value: Fraction) -> str:
    """A number as a person writes it: an integer, a short decimal, else a fraction."""
    if value.denominator == 1:
        return str(value.numerator) if abs(value.numerator) < 10**30 else f"{float(value):.6g}"
    decimal = f"{float(value):.10g}"
    return decimal if "e" in decimal or Fraction(decimal) == value else f"{float(value):.12g}"
