"""The report's section on sampling: what each plan asked for, got and paid, and why samples failed."""

from __future__ import annotations

from engine.report.accuracy_table import text_table
from state.results import PlanResult, Results
from state.safe import safe

SHARED = (
    "Plans that differ only in D share samples: a D = 2 plan uses the first two samples of the D = 8 plan, and each plan"
    " counts all samples that it uses. So $ is the cost of the counted samples, whichever plan paid for them, and the"
    " column does not add up to the money spent. Covered questions are those with at least one correct rationale."
)

REASONS = 5
"""Reasons for failed samples that are shown per plan."""


def sampling(results: Results) -> list[str]:
    """The section, as paragraphs."""
    return [_plans(results), _given_up(results), _money(results)]


def distinct_samples(results: Results) -> int:
    """How many samples are stored; plans that share samples count once."""
    distinct: dict[tuple[str, str, str], int] = {}
    for plan in results.plans:
        key = plan.task, plan.split, plan.fingerprint or plan.name
        distinct[key] = max(distinct.get(key, 0), plan.stored)
    return sum(distinct.values())


def per_correct(results: Results) -> str:
    """The price of correct rationales over all train plans; plans that share samples count once."""
    widest: dict[tuple[str, str], PlanResult] = {}
    for plan in results.plans:
        key = plan.task, plan.fingerprint or plan.name
        if plan.split == "train" and (key not in widest or plan.accepted > widest[key].accepted):
            widest[key] = plan
    costs = [
        (plan.accepted, plan.accepted * cost) for plan in widest.values() if (cost := plan.usd_per_correct)
    ]
    correct = sum(count for count, _ in costs)
    return (
        f" ${1000 * sum(cost for _, cost in costs) / correct:.3f} per 1,000 correct rationales."
        if correct
        else ""
    )


def _plans(results: Results) -> str:
    head = (
        "plan",
        "task",
        "split",
        "teachers",
        "D",
        "T",
        "wanted",
        "stored",
        "correct",
        "wrong",
        "failed",
        "correct %",
        "covered",
        "$",
        "$ per 1,000 correct",
    )
    body = []
    for plan in results.plans:
        graded = plan.accepted + plan.rejected
        body.append(
            [
                plan.name,
                plan.task,
                plan.split,
                ", ".join(plan.teachers),
                _rationales(plan),
                str(plan.settings.get("temperature", "")),
                *(f"{value:,}" for value in (plan.wanted, plan.stored)),
                *_verdicts(plan),
                f"{plan.failed:,}",
                f"{100 * plan.accepted / graded:.1f}" if graded and plan.labelled else "–",
                f"{plan.covered:,} of {plan.questions:,}"
                if plan.split == "train" and plan.questions and plan.labelled
                else "–",
                f"{plan.spent_usd if plan.sampled_usd is None else plan.sampled_usd:.4f}",
                "–" if plan.usd_per_correct is None else f"{1000 * plan.usd_per_correct:.3f}",
            ]
        )
    return safe(text_table(head, body, left=4)) + "\n\n" + SHARED if body else "No plans."


def _verdicts(plan: PlanResult) -> tuple[str, str]:
    """Correct and wrong samples; without gold answers those that were answered, and those that cannot be read."""
    if not plan.labelled:
        return f"{plan.accepted:,} answered", f"{plan.rejected:,} unread"
    return f"{plan.accepted:,}", f"{plan.rejected:,}"


def _given_up(results: Results) -> str:
    """Why samples failed. Plans that share samples are listed once."""
    told: dict[tuple[str, str, str], PlanResult] = {}
    for plan in results.plans:
        key = plan.task, plan.split, plan.fingerprint or plan.name
        if plan.failures and (key not in told or plan.failed > told[key].failed):
            told[key] = plan
    body = [
        [plan.name, plan.task, reason or "no reason", f"{count:,}"]
        for plan in told.values()
        for reason, count in plan.failures[:REASONS]
    ]
    rest = sum(len(plan.failures[REASONS:]) for plan in told.values())
    more = f"\n\n{rest:,} rarer reasons are not shown." if rest else ""
    return (
        safe(text_table(("plan", "task", "why samples failed", "samples"), body, left=3)) + more
        if body
        else ""
    )


def _rationales(plan: PlanResult) -> str:
    """D, and the largest number per question if questions that need more get more."""
    base = plan.settings.get("rationales", plan.rationales)
    return str(base) if base == plan.rationales else f"{base}–{plan.rationales}"


def _money(results: Results) -> str:
    return (
        f"Total: ${results.spent_usd:.4f} for {results.prompt_tokens:,} prompt tokens and"
        f" {results.completion_tokens:,} completion tokens. Starts of the daemon: {results.boots:,}."
        f" {results.unknown_attempts:,} requests ended without an answer and may have been billed: at most"
        f" ${results.unknown_usd:.4f} more, which no cost in this report includes."
    )
