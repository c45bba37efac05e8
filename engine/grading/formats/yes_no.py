"""The format `yes_no`: yes or no, also as true or false.

A span that begins with the word is decided by it ("No, a spider would …"); any other must contain one of the two and
not the other. "Yes and no", "yes or no" and "it depends" decide nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.grading.format import Format, Phrases
from engine.grading.paper import PaperRules
from engine.grading.spans import normalise, spans
from engine.grading.verdict import Verdict

_WORD = re.compile(r"(?<![\w'-])(yes|no|true|false|yeah|yep|nope|nah)(?![\w'-])(?!\.\s?\d)", re.IGNORECASE)
_BARE = re.compile(r"[\s:\"'*(]*(yes|no)[\s.!\"'*)]*", re.IGNORECASE)
_LEAD = re.compile(
    r"\W{0,8}(?:(?:so|then|therefore|thus|hence|most likely|probably|likely|well)\W{1,3}){0,2}$",
    re.IGNORECASE,
)
_BOTH = re.compile(
    r"\b(?:yes|true)\W{1,3}(?:and|or|/)\W{0,3}(?:no|false)\b|\b(?:no|false)\W{1,3}(?:and|or|/)\W{0,3}(?:yes|true)\b",
    re.IGNORECASE,
)
_NOT = re.compile(r"\bnot\s{1,3}$", re.IGNORECASE)
_PUNCTUATION = re.compile(r"\"|'|\n|\.|\s|:|,")
_VALUE = {
    "yes": "yes",
    "true": "yes",
    "yeah": "yes",
    "yep": "yes",
    "no": "no",
    "false": "no",
    "nope": "no",
    "nah": "no",
}
_GOLD = {**_VALUE, "1": "yes", "0": "no"}


def judge(completion: str, gold: str, question: str | None) -> Verdict:
    """Whether a completion says yes or no as the gold does."""
    wanted = _GOLD.get(gold.strip().strip(".").lower())
    if wanted is None:
        return Verdict(
            correct=False,
            extracted=None,
            reason=f"the gold answer {gold[:40]!r} is neither yes nor no",
            flags=("bad-gold",),
        )
    bare = _BARE.fullmatch(completion[:20]) if len(completion) <= 20 else None
    if bare:
        return _verdict(bare[1].lower(), wanted, [])
    for span, is_marked in spans(normalise(completion), _begins):
        if _BOTH.search(span):
            return Verdict(
                correct=False, extracted=None, reason="both yes and no are given", flags=("hedged",)
            )
        found = list(_WORD.finditer(span))
        if not found:
            continue
        leads = _LEAD.fullmatch(span[: found[0].start()][-60:]) is not None
        said = {_VALUE[match[1].lower()] for match in found}
        if leads or len(said) == 1:
            if not leads and not _speaks(span, found[0]):
                continue
            answer = _VALUE[found[0][1].lower()]
            if _NOT.search(span[: found[0].start()][-12:]):
                answer = "no" if answer == "yes" else "yes"
            return _verdict(answer, wanted, [] if is_marked else ["unmarked"])
        return Verdict(correct=False, extracted=None, reason="both yes and no are given", flags=("hedged",))
    return Verdict(correct=False, extracted=None, reason="neither yes nor no was found", flags=("no-answer",))


def _begins(span: str) -> bool:
    return re.match(r"[\s:\"'*(]{0,8}(?:yes|no)\b", span, re.IGNORECASE) is not None


def _speaks(span: str, match: re.Match[str]) -> bool:
    """Whether a word within a sentence is an answer; "no" before a noun ("has no wings") is not."""
    if match[1].lower() not in ("no", "true", "false"):
        return True
    after = span[match.end() :].lstrip("\"'*)")
    return not after or not after.lstrip()[:1].isalnum() or not after[:1].isspace()


def _verdict(said: str, wanted: str, flags: list[str]) -> Verdict:
    correct = said == wanted
    return Verdict(
        correct=correct,
        extracted=said,
        reason=f"the answer {said} {'is' if correct else 'is not'} the gold {wanted}",
        flags=tuple(flags),
    )


def _published_candidate(text: str, question: str | None) -> str | None:
    words = _PUNCTUATION.sub(" ", text.lower()).split(" ")
    return next((word for word in words if word in ("yes", "no")), None)


def _chance(questions: Sequence[tuple[str, str]]) -> float:
    """One of two."""
    return 0.5


def bad_gold(gold: str, question: str | None) -> str:
    """Why a gold answer cannot be read; empty if it can."""
    return "" if gold.strip().strip(".").lower() in _GOLD else "neither yes nor no"


FORMAT = Format(
    name="yes_no",
    documentation=(
        'Yes or no; true and false mean the same. An answer that gives both, or says "it depends", is wrong.'
    ),
    judge=judge,
    bad_gold=bad_gold,
    phrases=Phrases(
        direct="The answer (Yes or No) is",
        after_rationale="Therefore, the answer (Yes or No) is",
        described="yes or no",
    ),
    paper=PaperRules(candidate=_published_candidate, same=lambda answer, gold: answer == gold.lower()),
    chance=_chance,
    truth_values=("yes", "no"),
)
