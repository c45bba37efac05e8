r"""The format `math`: an expression, equal in value to the gold answer however it is written.

The last marked answer counts; of several adjacent "\boxed{…}", all of them. Without a mark the last formula counts, else
the end of the last sentence. "x = 3" answers 3 unless the gold answer is an equation; "2 or 3" is the set {2, 3}. Units and
words after a number do not matter, but a letter is a variable and "10!" a factorial; a gold answer of words is compared as
text. Two numbers are compared exactly, as the format `number` does. Other values are compared in a worker process
(`workers`), under a deadline: what is not decided in time is wrong, and the reason says so.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

from engine.grading.format import Format, Phrases
from engine.grading.formats import text
from engine.grading.formats.number import same
from engine.grading.marks import closing
from engine.grading.notation import plain
from engine.grading.numerals import numbers, numeric_form, tidy
from engine.grading.prose import TAG, affirmed, reason_pattern, sentences
from engine.grading.reading import TAIL, answering, spans
from engine.grading.verdict import Verdict, unanswered
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
_OTHER_BOX = re.compile(r"\\f(?:rame)?box\{")
_AND = re.compile(
    r"[\s$,;.]{0,6}(?:\\(?:text|quad|qquad|,)?\{?)?\s?(?:or|and)?\}?[\s$,;.]{0,6}(?:[a-z]\s?=\s?)?"
)
_OR = re.compile(
    r"\s+(?:or|and)\s+|\\(?:text|mbox|mathrm)\s?\{\s?(?:or|and)\s?\}|\\(?:lor|quad|qquad)(?![a-z])"
)
_NAMED = re.compile(r"(^|,)\s*[a-zA-Z]\s*=\s*")
_AFTER_NUMBER = re.compile(
    r"^([^A-Za-z]{0,60}[\d)}%])(\s?°?[A-Za-z°][A-Za-z./°]*(?:[\s/^23{}-]{1,4}[A-Za-z./°]{1,20}){0,5}(?:\s?\^?\{?[23]\}?)?)\s?$"
)
"""A number and what may be its unit."""
_IS = re.compile(r"\b(?:is|are|equals|be|gives?|get|becomes?|has|have)\b:?\s+", re.IGNORECASE)
_WORDS = re.compile(r"[A-Za-z][A-Za-z '-]{2,}")
_FUNCTIONS = frozenset(
    "sin cos tan cot sec csc log ln exp sqrt pi min max gcd lcm mod oo inf arcsin arccos arctan".split()
)
_PLAIN_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_EXPRESSION = re.compile(r"[-+]?[\d(\[\\.][^\s,;]{0,80}")
_OUTER = " \t\n.,:;?\"'`*_"
_REASON = reason_pattern("so that|for which|where", r";\s", r"(?<=[\d$}])\s\((?=[^()]*[a-z]{2,})")
_ROOT = re.compile(r"√\s?(?:\(([^()]{1,80})\)|(\d{1,20}|[a-z]))")
_TYPED = str.maketrans({"²": "^{2}", "³": "^{3}", "¹": "^{1}", "⁴": "^{4}", "⁵": "^{5}", "⁶": "^{6}", "⁷": "^{7}", "⁸": "^{8}", "⁹": "^{9}",
                        "ⁿ": "^{n}", "⁰": "^{0}", "π": "\\pi ", "∞": "\\infty ", "≤": "\\le ", "≥": "\\ge ", "∪": "\\cup ",
                        "×": "\\times ", "·": "\\cdot ", "÷": "\\div ", "±": "\\pm ", "°": "^\\circ "})  # fmt: skip
_LETTERED = re.compile(r"^\(([A-Za-z])\)$")
_SQRT = re.compile(r"(?<![\\A-Za-z])sqrt\s?\(([^()]{1,80})\)")
_STAR = re.compile(r"(?<=[\w)}])\s?\*\s?(?=[\w(\\])")
_RELATION = re.compile(
    r"[=<>]|\\(?:le|ge|leq|geq|in|lt|gt|ne|neq|infty|cup|cap|mathbb|mathrm|operatorname|text|begin|binom)"
)
_COMMAND = re.compile(r"\\[A-Za-z]+")
_VARIABLE = re.compile(r"[A-Za-z]")
_UNITS = frozenset(
    "cm mm km m kg g mg lb lbs oz ft in mi mph kmh s sec secs min mins h hr hrs L ml l J N W V A Hz kW deg sq cu rad "
    "USD EUR GBP km/h m/s".split()
)


def judge(completion: str, gold: str, question: str | None, *, pool: Pool | None = None) -> Verdict:
    """Whether a completion's expression equals the gold one.

    Raises:
        JobFailed: no process can be started to compare them.
    """
    wanted = _expression(gold.rpartition("####")[2])
    if not wanted:
        return unanswered(f"the gold answer {gold[:40]!r} is not an expression", "bad-gold")
    words = canonical(wanted)
    if _WORDS.fullmatch(words):
        return text.judge(completion[-TAIL:].replace("$", ""), words, question)
    answer, flags = extract(completion, keep_equation="=" in wanted)
    if answer is None:
        return unanswered("no expression was found", "no-answer")
    shown = answer[:80]
    if len(answer) > LONGEST:
        return unanswered(f"{shown!r}… is too long for an answer", "no-answer")
    if canonical(answer) == canonical(wanted):
        return Verdict(
            correct=True, extracted=shown, reason=f"{shown!r} is written as the gold", flags=tuple(flags)
        )
    if _WORDS.fullmatch(canonical(answer)):
        return unanswered(f"{shown!r} is not an expression", "no-answer")
    exact = _as_numbers(answer, wanted)
    if exact is not None:
        reason = f"{shown!r} equals the gold {wanted[:80]!r}"
        return (
            Verdict(correct=True, extracted=shown, reason=reason, flags=tuple(flags))
            if exact
            else _differs(shown, wanted, flags)
        )
    pool = pool or shared()
    relation = "differs" if _variables(answer) != _variables(wanted) else pool.compare(wanted, answer)
    if relation == "equal":
        reason = f"{shown!r} equals the gold {wanted[:80]!r}"
        return Verdict(correct=True, extracted=shown, reason=reason, flags=tuple(flags))
    if relation == "differs":
        return _differs(shown, wanted, flags)
    if relation == "unread-first":
        return unanswered(f"the gold answer {gold[:40]!r} cannot be read", "bad-gold")
    if relation == "unread-second":
        return unanswered(f"{shown!r} cannot be read as an expression", "no-answer")
    why = f"not decided within {pool.deadline_s:g} s" if relation is None else "comparing it failed"
    return Verdict(correct=False, extracted=shown, reason=f"{shown!r}: {why}", flags=(*flags, "undecided"))


def extract(completion: str, *, keep_equation: bool) -> tuple[str | None, list[str]]:
    """The expression that a completion answers, and its flags."""
    tail = answering(completion)[-TAIL:]
    if "<" in tail:
        tail = TAG.sub("", tail)
    if not tail.isascii():
        tail = unicodedata.normalize("NFKC", _ROOT.sub(_root, tail.translate(_TYPED))).replace("\u2212", "-")
    if "sqrt(" in tail or "sqrt (" in tail or "*" in tail:
        tail = _STAR.sub(r" \\cdot ", _SQRT.sub(r"\\sqrt{\1}", tail))
    tail = _OTHER_BOX.sub(lambda _: _BOXED, tail) if "box{" in tail else tail
    boxes = _last_boxes(tail)
    tried = 0
    for span in spans(tail, _begins):
        if not span.marked:
            tried += 1
            answer = _expression(affirmed(span.text), keep_equation=keep_equation) if tried <= 3 else ""
            if answer and (
                "$" in span.text or any(character.isdigit() or character == "\\" for character in answer)
            ):
                alone = len(tail) <= 80 and len(sentences(tail)) == 1
                return answer, [] if alone else ["unmarked"]
            continue
        texts = [span.text]
        if span.formal and not span.line:  # a box
            texts = [", ".join(boxes)] if boxes and span.text and boxes[-1].strip() in span.text else texts
        else:
            reason = _REASON.search(span.text)
            head = span.text[: reason.start()] if reason else ""
            texts = [head, span.text] if any(c.isdigit() or c in "\\$" for c in head) else texts
        for part in texts:
            answer = _expression(affirmed(part), keep_equation=keep_equation, formal=span.formal)
            if answer:
                return answer, []
    whole = tail.strip(_OUTER)
    return (whole, []) if whole and len(whole.split()) <= 3 else (None, [])


def _begins(sentence: str) -> bool:
    """Never: in a text without a mark the end counts."""
    return False


def _root(match: re.Match[str]) -> str:
    return f"\\sqrt{{{match[1] or match[2]}}}"


def _variables(expression: str) -> frozenset[str]:
    """The variables of an expression; none of what relates two sides, is a set, or holds words."""
    if _RELATION.search(expression):
        return frozenset()
    bare = _COMMAND.sub(" ", _TEXT.sub(" ", expression))
    return frozenset(_VARIABLE.findall(bare)) - {"e", "i", "R", "C"}


def _as_numbers(answer: str, wanted: str) -> bool | None:
    """Whether two texts are the same number; None if one of them is anything else."""
    read = []
    for part in (answer, wanted):
        written = tidy(plain(part)).strip(_OUTER)
        found = numbers(written) if written[-1:].isdigit() or written[-1:] in "%}" else []
        if len(found) != 1 or (found[0].start, found[0].end) != (0, len(written)) or found[0].symbolic:
            return None
        read.append(found[0])
    return same(read[0], read[1])


def canonical(expression: str) -> str:
    r"""An expression without parts that never change its value: spaces, "$", \left, \text."""
    expression = _TEXT.sub(r"\1", expression)
    for gone in ("\\left", "\\right", "\\!", "\\,", "\\;", "\\ ", "$"):
        expression = expression.replace(gone, "")
    expression = expression.replace("dfrac", "frac").replace("tfrac", "frac").strip(_OUTER)
    if _WORDS.fullmatch(expression):
        return " ".join(expression.casefold().split())
    return re.sub(r"\s+", "", _LETTERED.sub(r"\1", expression))


def _last_boxes(text: str) -> list[str]:
    """The contents of the last boxes that only "and", "or" and commas separate."""
    found: list[tuple[int, int, str]] = []
    at = text.find(_BOXED)
    while at >= 0:
        start = at + len(_BOXED)
        end = closing(text, start)
        found.append((at, end + 1, text[start:end]))
        at = text.find(_BOXED, end)
    last = found[-1:]
    for one, two in reversed(list(pairwise(found))):
        between = text[one[1] : two[0]]
        if len(between) > 24 or not _AND.fullmatch(between):
            break
        last.insert(0, one)
    return [box for _, _, box in last]


def _expression(span: str, *, keep_equation: bool = True, formal: bool = True) -> str:
    """The expression of a sentence; empty if there is none."""
    if not formal and "$" not in span and "\\(" not in span:
        span = span.rstrip(" .!")  # "The answer is 10!" cries
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
    if unit and _is_unit(unit[2]) and not _FUNCTIONS.intersection(span.lower().split()):
        span = unit[1].strip()
    if len([word for word in _PLAIN_WORD.findall(_TEXT.sub("", span)) if word not in _FUNCTIONS]) > 2:
        inner = _EXPRESSION.findall(span)
        span = inner[-1].strip(_OUTER) if inner else ""
    return span


def _is_unit(text: str) -> bool:
    """Whether letters behind a number are a unit or a word, and not variables: "cm", " m", " apples", but not "m" or "ab"."""
    words = [word.strip("./^23{}-") for word in text.split()]
    spaced = text[:1].isspace() or text[:1] == "°"
    return all(
        (word in _UNITS and (spaced or len(word) > 1))
        or len(word) >= 3
        or (place and word in ("of", "in", "a", "an", "to"))
        or "°" in word
        or not word
        for place, word in enumerate(words)
    )


def _differs(shown: str, wanted: str, flags: list[str]) -> Verdict:
    return Verdict(
        correct=False,
        extracted=shown,
        reason=f"{shown!r} differs from the gold {wanted[:80]!r}",
        flags=tuple(flags),
    )


def _read(completion: str, question: str | None) -> str | None:
    answer, _ = extract(completion, keep_equation=False)
    if answer is None or len(answer) > LONGEST or _WORDS.fullmatch(canonical(answer)):
        return None
    return answer[:80]


def bad_gold(gold: str, question: str | None) -> str:
    """Why a gold answer cannot be read; empty if it can."""
    return "" if _expression(gold.rpartition("####")[2]) else "not an expression"


FORMAT = Format(
    name="math",
    documentation=(
        r"A mathematical expression in LaTeX or plain notation, equal in value to the gold answer however it is "
        r"written: the last marked one, else the last formula. Units and words behind a number do not matter; a letter is a "
        r"variable. Two numbers compare exactly; other values are compared by math-verify in a worker process, under a deadline, "
        r"and what is not decided in time is wrong."
    ),
    judge=judge,
    reads=_read,
    bad_gold=bad_gold,
    phrases=Phrases(
        direct="The answer is", after_rationale="Therefore, the answer is", described="the answer"
    ),
    common_form=numeric_form,
    in_worker=True,
)
