r"""The format `math`: an expression, equal in value to the gold answer however it is written.

The last marked answer counts; of several adjacent "\boxed{…}", all of them. Without a mark the last formula counts, else
the end of the last sentence. "x = 3" answers 3 unless the gold answer is an equation; "2 or 3" is the set {2, 3}. Units and
words after a number do not matter; a gold answer of words is compared as text. Values are compared in a worker process
(`workers`), under a deadline: what is not decided in time is wrong, and the reason says so.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

from engine.grading.format import Format, Phrases
from engine.grading.formats import text
from engine.grading.numerals import numeric_form
from engine.grading.spans import TAIL, affirmed, marked, sentences
from engine.grading.verdict import Verdict
from engine.grading.workers import Pool, shared

LONGEST = 300
"""Characters beyond which a text is not an answer."""

_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|operatorname)\s{0,2}\{([^{}]{0,200})\}")
_UNIT = re.compile(_TEXT.pattern + r"(?:\^\{?-?\d\}?)?")
_LEAD = re.compile(r"^(?:(?:[A-Za-z']{2,20}|[aAI])[,:]?\s{1,3}){1,8}(?=[-+.\d(\[\\])")
_FORMULA = re.compile(
    r"\$\$([^$]{1,400})\$\$|\$([^$\n]{1,400})\$|\\\((.{1,400}?)\\\)|\\\[(.{1,400}?)\\\]", re.DOTALL
)
_BOXED = "\\boxed{"
_AND = re.compile(r"[\s$,;.]{0,6}(?:\\(?:text|quad|qquad|,)?\{?)?\s?(?:or|and)?\}?[\s$,;.]{0,6}")
_OR = re.compile(
    r"\s+(?:or|and)\s+|\\(?:text|mbox|mathrm)\s?\{\s?(?:or|and)\s?\}|\\(?:lor|quad|qquad)(?![a-z])"
)
_NAMED = re.compile(r"(^|,)\s*[a-zA-Z]\s*=\s*")
_AFTER_NUMBER = re.compile(r"^([^A-Za-z]{0,60}[\d)}%])\s?(?:[A-Za-z°][A-Za-z.]*(?:[\s/^23-]{1,3}|$)){1,6}$")
_IS = re.compile(r"\b(?:is|are|equals|be|gives?|get|becomes?|has|have)\b:?\s+", re.IGNORECASE)
_WORDS = re.compile(r"[A-Za-z][A-Za-z '-]{2,}")
_FUNCTIONS = frozenset(
    "sin cos tan cot sec csc log ln exp sqrt pi min max gcd lcm mod oo inf arcsin arccos arctan".split()
)
_PLAIN_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_EXPRESSION = re.compile(r"[-+]?[\d(\[\\.][^\s,;]{0,80}")
_OUTER = " \t\n.,:;!?\"'`*_"


def judge(completion: str, gold: str, question: str | None, *, pool: Pool | None = None) -> Verdict:
    """Whether a completion's expression equals the gold one.

    Raises:
        JobFailed: no process can be started to compare them.
    """
    wanted = _expression(gold.rpartition("####")[2])
    if not wanted:
        return _no(f"the gold answer {gold[:40]!r} is not an expression", "bad-gold")
    words = canonical(wanted)
    if _WORDS.fullmatch(words):
        return text.judge(completion[-TAIL:].replace("$", ""), words, question)
    answer, flags = extract(completion, keep_equation="=" in wanted)
    if answer is None:
        return _no("no expression was found", "no-answer")
    shown = answer[:80]
    if len(answer) > LONGEST:
        return _no(f"{shown!r}… is too long for an answer", "no-answer")
    if canonical(answer) == canonical(wanted):
        return Verdict(
            correct=True, extracted=shown, reason=f"{shown!r} is written as the gold", flags=tuple(flags)
        )
    if _WORDS.fullmatch(canonical(answer)):
        return _no(f"{shown!r} is not an expression", "no-answer")
    pool = pool or shared()
    relation = pool.compare(wanted, answer)
    if relation == "equal":
        reason = f"{shown!r} equals the gold {wanted[:80]!r}"
        return Verdict(correct=True, extracted=shown, reason=reason, flags=tuple(flags))
    if relation == "differs":
        return _differs(shown, wanted, flags)
    if relation == "unread-first":
        return _no(f"the gold answer {gold[:40]!r} cannot be read", "bad-gold")
    if relation == "unread-second":
        return _no(f"{shown!r} cannot be read as an expression", "no-answer")
    why = f"not decided within {pool.deadline_s:g} s" if relation is None else "comparing it failed"
    return Verdict(correct=False, extracted=shown, reason=f"{shown!r}: {why}", flags=(*flags, "undecided"))


def extract(completion: str, *, keep_equation: bool) -> tuple[str | None, list[str]]:
    """The expression that a completion answers, and its flags."""
    tail = unicodedata.normalize("NFKC", completion[-TAIL:]).replace("\u2212", "-")
    head = tail.partition("\nQ:")[0]
    tail = head if head.strip() else tail
    boxes = _last_boxes(tail)
    spans = [", ".join(boxes)] if boxes else []
    for span in marked(tail):
        spans += [span] if span in boxes else sentences(affirmed(span))[:1]
    for span in spans:
        answer = _expression(span, keep_equation=keep_equation)
        if answer:
            return answer, []
    pieces = sentences(tail)
    for piece in reversed(pieces[-3:]):
        answer = _expression(affirmed(piece), keep_equation=keep_equation)
        if answer and any(character.isdigit() or character == "\\" for character in answer):
            return answer, [] if len(pieces) == 1 and len(tail) <= 80 else ["unmarked"]
    whole = tail.strip(_OUTER)
    return (whole, []) if whole and len(whole.split()) <= 3 else (None, [])


def canonical(expression: str) -> str:
    r"""An expression without parts that never change its value: spaces, "$", \left, \text."""
    expression = _TEXT.sub(r"\1", expression)
    for gone in ("\\left", "\\right", "\\!", "\\,", "\\;", "\\ ", "$"):
        expression = expression.replace(gone, "")
    expression = expression.replace("dfrac", "frac").replace("tfrac", "frac").strip(_OUTER)
    if _WORDS.fullmatch(expression):
        return " ".join(expression.casefold().split())
    return re.sub(r"\s+", "", expression)


def _last_boxes(text: str) -> list[str]:
    """The contents of the last boxes that only "and", "or" and commas separate."""
    found: list[tuple[int, int, str]] = []
    at = text.find(_BOXED)
    while at >= 0 and len(found) < 64:
        start, depth = at + len(_BOXED), 1
        end = start
        while end < min(len(text), start + LONGEST + 2) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        found.append((at, end, text[start : end - (depth == 0)]))
        at = text.find(_BOXED, end)
    last = found[-1:]
    for one, two in reversed(list(pairwise(found))):
        between = text[one[1] : two[0]]
        if len(between) > 24 or not _AND.fullmatch(between):
            break
        last.insert(0, one)
    return [box for _, _, box in last]


def _expression(span: str, *, keep_equation: bool = True) -> str:
    """The expression of a sentence; empty if there is none."""
    formulas = [next(group for group in match.groups() if group) for match in _FORMULA.finditer(span)]
    if formulas:
        gaps = _FORMULA.split(span)[5:-1:5]
        together = all(re.fullmatch(r"[\s,;]*(?:or|and)?[\s,;]*", gap) for gap in gaps)
        span = ", ".join(formulas) if together else formulas[-1]
    elif len(span.split()) > 4 and "\\" not in span:
        parts = _IS.split(span)
        span = parts[-1] if len(parts) > 1 and any(c.isalnum() for c in parts[-1]) else span
    span = span.replace("\\$", "").replace("$", "").strip(_OUTER)
    if span.startswith(_BOXED):
        span = span.removeprefix(_BOXED).removesuffix("}")
    span = re.sub(r"[\s,;]{0,4},[\s,;]{0,4}", ",", _OR.sub(",", span)) if _OR.search(span) else span
    if not keep_equation and "=" in span:
        span = _NAMED.sub(r"\1", span)
        span = span.rpartition("=")[2].strip() if not re.search(r"[<>!]=", span) else span
    if any(character.isdigit() for character in _TEXT.sub("", span)):
        span = _UNIT.sub(" ", span).strip(_OUTER)
        lead = _LEAD.match(span)
        if lead and not _FUNCTIONS.intersection(lead[0].lower().replace(":", " ").split()):
            span = span[lead.end() :]
    unit = _AFTER_NUMBER.match(span)
    if unit and not _FUNCTIONS.intersection(span.lower().split()):
        span = unit[1].strip()
    if len([word for word in _PLAIN_WORD.findall(_TEXT.sub("", span)) if word not in _FUNCTIONS]) > 2:
        inner = _EXPRESSION.findall(span)
        span = inner[-1].strip(_OUTER) if inner else ""
    return span


def _differs(shown: str, wanted: str, flags: list[str]) -> Verdict:
    return Verdict(
        correct=False,
        extracted=shown,
        reason=f"{shown!r} differs from the gold {wanted[:80]!r}",
        flags=tuple(flags),
    )


def _no(reason: str, flag: str) -> Verdict:
    return Verdict(correct=False, extracted=None, reason=reason, flags=(flag,))


def bad_gold(gold: str, question: str | None) -> str:
    """Why a gold answer cannot be read; empty if it can."""
    return "" if _expression(gold.rpartition("####")[2]) else "not an expression"


FORMAT = Format(
    name="math",
    documentation=(
        r"A mathematical expression in LaTeX or plain notation, equal in value to the gold answer however it is "
        r"written. Values are compared by math-verify in a worker process, under a deadline; what is not decided in "
        r"time is wrong."
    ),
    judge=judge,
    bad_gold=bad_gold,
    phrases=Phrases(
        direct="The answer is", after_rationale="Therefore, the answer is", described="the answer"
    ),
    common_form=numeric_form,
    in_worker=True,
)
