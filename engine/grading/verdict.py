"""The verdict of a grader: extracted answer, whether it is correct, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True, slots=True)
class Verdict:
    """A pure, versioned judgement of one completion against one gold answer.

    `extracted` is the normalised answer, None if none was found; `reason` is one short sentence that can be checked by
    reading; `flags` name peculiarities (`hedged`, `no-answer`, `ambiguous`, …).
    """

    correct: bool
    extracted: str | None
    reason: str
    flags: tuple[str, ...] = ()


def unanswered(reason: str, *flags: str) -> Verdict:
    """The verdict on a completion from which no answer was taken."""
    return Verdict(correct=False, extracted=None, reason=reason, flags=flags)
