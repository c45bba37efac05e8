"""The format `number`: one number, in digits or words, with or without a unit.

In a span with "=" the number after the last one counts ("180 * 7 = 1260" answers 1260). Of several different numbers,
the first of these counts: the one with which a marked answer begins, the only one whose thing the question asks for
("How many alligators …"), the only one that is not in the question, the only one with a currency sign. A bare list or
range ("5, 4, 9", "30 and 35", one number a line) and two counts of two things are hedges; an unfinished calculation is not
an answer. "7 feet, 4 inches" is 88 and 7 1/3. Values compare as exact fractions, see `same`. A reason or remark behind a
marked number is not read. A number in an expression that is not worked out ("5π") is not an answer. A gold answer that is a
time ("3:45") is compared as a time.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache

from engine.grading.format import Format, Phrases
from engine.grading.notation import plain
from engine.grading.numerals import Number, Time, clock, numbers, numeric_form, tidy, two_units
from engine.grading.paper import PaperRules
from engine.grading.prose import JOINED, affirmed, reason_pattern, terse
from engine.grading.reading import SHORT, TAIL, Span, spans
from engine.grading.verdict import Verdict, unanswered

EXACT = 8
"""Decimals from which on the last ones are noise of floating point."""
NOISE = Fraction(1, 10**8)
_BARE = re.compile(r"\s*:?\s*\$?(-?(?:\d{1,3}(?:,\d{3}){1,6}|\d{1,18})(?:\.\d{1,18})?|\.\d{1,18})\.?\s*")
_START = re.compile(
    r"\W{0,8}(?:(?:about|approximately|around|only|exactly|roughly)\W{1,3})?[-+$]{0,2}\.?\d", re.IGNORECASE
)
_PUBLISHED = re.compile(r"-?\d+(?:\.\d+)?")
_OPERATOR = re.compile(r"\s*[-+*×÷x]\s*[($]*")
_TIMES = re.compile(r"(?<![\d:.])\d{1,2}:[0-5]\d(?::[0-5]\d)?(?![\d:])(?:\s?[ap]\.?m\b)?", re.IGNORECASE)
_COLUMN = re.compile(r"[\s:]*(?:-?\$?[\d.,]{1,20}[ \t]*\n\s*){1,30}-?\$?[\d.,]{1,20}\s*")
_THING = re.compile(r"\s+([A-Za-z]+(?:\s[A-Za-z]+){0,2}?)(,|,?\s+and\s+|\W*$)\s*")
_ASKED = re.compile(r"\bhow many ((?:[A-Za-z]+ ){0,3}[A-Za-z]+)", re.IGNORECASE)
_SYMBOLIC = re.compile(r"[A-Za-z)']\s{0,3}[-+*/×÷]\s{0,3}$")
"""An expression with names, "age - 8", has no value yet."""
_REMARK = reason_pattern(
    r"so|for|which|where|when|if|after|from|by|that is|i\.e|with",
    *(r";\s", "±", "~~", r"\s-\s(?=[A-Za-z])", r"\((?![\d.]{1,12}\)(?!\s*$))"),
)
"""Begins a reason or a remark, where a number stands before it."""
REMARKS = 6
"""Places of a sentence that are tried as the beginning of a remark."""
_OPERATORS = tuple("-+*/×÷=^(")
_FACTORIAL = re.compile(r"!\s{0,3}\.?\s{0,3}")
_LOSS = re.compile(
    r"\b(?:loss|losses|lost|loses|decreases?d?|drops?|dropped|fell|falls|deficit|debt|owes?|down)\b",
    re.IGNORECASE,
)


def judge(completion: str, gold: str, question: str | None) -> Verdict:
    """Whether the number a completion answers is the gold one."""
    time = clock(gold)
    if time is not None:
        return _time(completion, time)
    wanted = _gold(gold)
    if wanted is None:
        return unanswered(f"the gold answer {gold[:40]!r} is not a number", "bad-gold")
    if len(completion) <= 64 and (verdict := _bare(completion, gold)) is not None:
        return verdict
    if len(completion) <= SHORT and (hedge := _column(completion)):
        return _hedged(hedge)
    for span in spans(completion, _begins):
        if span.marked and len(span.text) <= 64 and (verdict := _bare(span.text, gold)) is not None:
            return verdict
        text = tidy(plain(span.text), comma=span.comma)
        if span.marked:
            text = _answer_of(text)
        chosen, flags = _choose(affirmed(text), question, span.marked)
        if chosen is not None:
            return _verdict(
                _meant(chosen, text, span, wanted), wanted, flags + ([] if span.marked else ["unmarked"])
            )
        if "hedged" in flags:
            return _hedged(numbers(text))
        if "cut-off" in flags and not span.marked:
            return unanswered("the text ends in the middle of a calculation", "no-answer", "cut-off")
    return unanswered("no number was found", "no-answer")


def _column(completion: str) -> list[Number]:
    """Different numbers of which a text consists, one a line; else nothing."""
    if "\n" not in completion.strip() or not _COLUMN.fullmatch(text := plain(completion)):
        return []
    found = numbers(tidy(text))
    return found if len({number.value for number in found}) > 1 else []


def _answer_of(text: str) -> str:
    """What a marked sentence answers, without the reason or remark behind its number."""
    for remark in itertools.islice(_REMARK.finditer(text), REMARKS):
        head = text[: remark.start()]
        if head.rstrip()[-1:] not in _OPERATORS and numbers(head):
            return head
    return text


def _meant(number: Number, text: str, span: Span, gold: Number) -> Number:
    """The number that the words around one make of it: a factorial, a loss."""
    after = text[number.end :]
    if (
        span.formal
        and _FACTORIAL.fullmatch(after)
        and number.value.denominator == 1
        and 0 <= number.value <= 20
    ):
        return replace(number, value=Fraction(math.factorial(int(number.value))))
    if gold.value < 0 < number.value and _LOSS.search(text[: number.start]):
        return replace(number, value=-number.value)
    return number


@lru_cache(maxsize=4096)  # the usual answer, and the same one to each rationale of a question
def _bare(completion: str, gold: str) -> Verdict | None:
    """The verdict on a number alone; None if there is anything else."""
    match, wanted = _BARE.fullmatch(completion), _gold(gold)
    if match is None or wanted is None:
        return None
    digits = match[1].replace(",", "")
    number = Number(
        Fraction(digits if digits[0] != "." else "0" + digits), 0, 0, len(digits.partition(".")[2])
    )
    return _verdict(number, wanted, [])


def _hedged(found: list[Number]) -> Verdict:
    listed = ", ".join(show(number.value) for number in found[:5])
    return unanswered(f"several numbers are given: {listed}", "hedged")


def _time(completion: str, wanted: Time) -> Verdict:
    """Whether a completion's time is the gold one."""
    for span in spans(completion):
        found = {time for match in _TIMES.finditer(plain(span.text)) if (time := clock(match[0])) is not None}
        if not found:
            continue
        flags = () if span.marked else ("unmarked",)
        listed = ", ".join(str(time) for time in sorted(found))
        if len(found) > 1:
            return unanswered(f"several times are given: {listed}", "hedged")
        (time,) = found
        correct = time.is_same(wanted)
        relation = "is" if correct else "is not"
        return Verdict(
            correct=correct,
            extracted=listed,
            reason=f"the time {listed} {relation} the gold {wanted}",
            flags=flags,
        )
    return unanswered("no time was found", "no-answer")


def _begins(span: str) -> bool:
    """Whether a first sentence is a number with at most its unit: "18.", "$3.50 each", but not "Tom had 5 books"."""
    return terse(span) and (_START.match(span) is not None or not any(c.isdigit() for c in span))


def _choose(span: str, question: str | None, is_marked: bool) -> tuple[Number | None, list[str]]:
    """The number a tidy span answers, or None with the flag `hedged` where it does not choose."""
    head, sign, tail = span.replace("≈", "=").rpartition("=")
    if sign:
        result = numbers(tail)
        if is_marked and len(result) > 1 and len(alone := numbers(head)) == 1 and _START.match(head):
            return alone[0], []  # "6 = 2 * 3"
        if result and _SYMBOLIC.search(tail[: result[0].start]):
            return None, ["cut-off"]
        if len({number.value for number in result}) > 1:
            if (exact := _one(result)) is not None:
                return exact, []  # "1/2, or 50%"
            unfinished = _OPERATOR.fullmatch(tail[result[0].end : result[1].start])
            if unfinished and (before := _before(head)) is not None:
                return before, []
            if _listed(tail, result):
                return None, ["hedged"]
            if unfinished:
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
        given = _given(question)
        new = [number for number in found if number.value not in given]
        if len({number.value for number in new}) == 1:
            return new[0], ["ambiguous"]
    priced = [number for number in found if number.currency]
    if len({number.value for number in priced}) == 1:
        return priced[0], ["ambiguous"]
    return found[0 if is_marked else -1], ["ambiguous"]


@lru_cache(maxsize=1024)  # a question is read once for all of its rationales
def _given(question: str) -> frozenset[Fraction]:
    """The values that a question names."""
    return frozenset(number.value for number in numbers(question[-TAIL:]))


def _before(head: str) -> Number | None:
    """The number before an "=" behind which nothing is worked out, if it is the only one: "They are 6 = 2 * 3"."""
    found = numbers(head)
    alone = (
        len(found) == 1
        and found[0].end == len(head.rstrip())
        and not _SYMBOLIC.search(head[: found[0].start])
    )
    return found[0] if alone else None


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
        if number.value != exact.value and not rounded and not same(number, exact):
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
        all(JOINED.fullmatch(span[one.end : two.start]) for one, two in itertools.pairwise(found))
        and len(span.split()) <= 2 * len(found) + 3
    )


@lru_cache(maxsize=4096)  # a question's gold answer is read once for each of its rationales
def _gold(gold: str) -> Number | None:
    text = tidy(plain(gold.rpartition("####")[2]))
    found = _joined(text, numbers(text))
    return found[-1] if found and not found[-1].symbolic else None


def _verdict(number: Number, gold: Number, flags: list[str]) -> Verdict:
    shown = show(number.value) + ("%" if number.percent else "")
    if number.symbolic:
        reason = f"{shown} is a part of an expression"
        return unanswered(reason, *flags, "expression")
    correct = same(number, gold)
    if (
        correct
        and number.value != gold.value
        and number.percent == gold.percent
        and number.finer == gold.finer
    ):
        flags = [*flags, "rounded"]
    relation = "equals" if correct else "differs from"
    return Verdict(
        correct=correct,
        extracted=shown,
        reason=f"the answer {shown} {relation} the gold {show(gold.value)}",
        flags=tuple(flags),
    )


def same(one: Number, two: Number) -> bool:
    """Whether two numbers are equal, whichever is the gold one.

    As exact fractions; 20 % is 0.2 and, as a unit, 20, but 0.5 % is not 0.5; two units also in the smaller one. A number with
    six or more decimals, or a fraction that no decimal ends, equals itself rounded to two or more. Beyond nine digits,
    decimals are noise of floating point.
    """
    if one.finer is not None or two.finer is not None:
        return bool({one.value, one.finer} & {two.value, two.finer} - {None})
    values = [(one.value, two.value)]
    if one.percent != two.percent:
        share, other = (one, two) if one.percent else (two, one)
        values = [(share.value / 100, other.value)]
        if abs(share.value) >= 1:
            values.append((share.value, other.value))
    return any(left == right or _rounded(left, right, one, two) for left, right in values)


def _rounded(left: Fraction, right: Fraction, one: Number, two: Number) -> bool:
    """Whether two values are the same one, written with different precision."""
    if left.denominator == right.denominator == 1 or not left or not right:
        return False
    difference = abs(left - right)
    if max(one.decimals, two.decimals) >= EXACT and difference <= abs(right) * NOISE:
        return True
    coarse, fine = (one, two) if _precision(one) < _precision(two) else (two, one)
    return (
        coarse.decimals >= 2
        and _precision(fine) >= 6
        and difference <= Fraction(51, 100) / 10**coarse.decimals
        and difference * 50 <= max(abs(left), abs(right))
    )


def _precision(number: Number) -> float:
    """Decimals of a number; a fraction that no decimal ends has endless ones."""
    bottom = number.value.denominator
    for prime in (2, 5):
        while bottom % prime == 0:
            bottom //= prime
    return math.inf if bottom > 1 and not number.decimals else number.decimals


def show(value: Fraction) -> str:
    """A number for people: an integer or a short decimal."""
    if value.denominator == 1:
        return str(value.numerator) if abs(value.numerator) < 10**30 else f"{float(value):.6g}"
    decimal = f"{float(value):.10g}"
    return decimal if "e" in decimal or Fraction(decimal) == value else f"{float(value):.12g}"


def _published_candidates(text: str, question: str | None) -> list[str]:
    return _PUBLISHED.findall(text.replace(",", ""))


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
        "One number: in digits of any script, in words, as a fraction, a power or LaTeX, with or without a unit. Separators, "
        "currency signs and units do not matter. Values compare as exact fractions; 20 % equals 20 and 0.2, but 0.5 % is only "
        "0.005; a value of six or more decimals, or 1/3, equals itself rounded to two or more. A multiple of a variable is not a number. "
        "Several different numbers are wrong unless one of them is clearly the answer."
    ),
    judge=judge,
    bad_gold=bad_gold,
    phrases=Phrases(
        direct="The answer (arabic numerals) is",
        after_rationale="Therefore, the answer (arabic numerals) is",
        described="a number in digits",
    ),
    paper=PaperRules(candidates=_published_candidates, same=_published_same),
    common_form=numeric_form,
)
