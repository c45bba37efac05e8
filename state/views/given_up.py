"""Given-up samples in words: how many of how many, and why."""

from __future__ import annotations

from collections.abc import Iterable

from state.given_up import GivenUp
from state.views.format import count

REASONS = 5
"""Kinds of reasons that are listed for a plan."""
REASON = 160
"""Characters of a reason that are shown."""


def given_up_words(number: int, wanted: int) -> str:
    """`13 of 54 samples were given up: `coterie retry` asks them again`; empty where there is none."""
    if not number:
        return ""
    were, them = ("was", "it") if number == 1 else ("were", "them")
    of = "sample" if wanted == 1 else "samples"
    return f"{count(number)} of {count(wanted)} {of} {were} given up: `coterie retry` asks {them} again"


def given_up_lines(plans: Iterable[GivenUp]) -> list[str]:
    """For each plan how many of its samples were given up, and its reasons, most frequent first."""
    lines: list[str] = []
    for plan in plans:
        lines.append(
            f"plan {plan.plan}, task {plan.task}: {count(plan.count)} of {count(plan.wanted)} given up"
        )
        kinds = plan.kinds()
        for reason, number in kinds[:REASONS]:
            shown = reason if len(reason) <= REASON else reason[: REASON - 1] + "…"
            lines.append(f"  {count(number)}: {shown or 'no reason is stored'}")
        if len(kinds) > REASONS:
            rest = sum(number for _, number in kinds[REASONS:])
            lines.append(f"  {count(rest)}: {len(kinds) - REASONS} further reasons")
    return lines
