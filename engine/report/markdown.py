"""The report as Markdown: results first, then what they rest on. Pure: results in, text out.

Text that others wrote (names, reasons) goes through `safe`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from engine.report.methods import Cell, method_table, text_table
from state.results import PlanResult, Results
from state.safe import safe
from state.views.format import cost

READING = (
    "Accuracy is the share of test questions answered correctly; n is how many questions, and the interval (95 %,"
    " Wilson's) is over questions, not over seeds. `random` is the expected accuracy of guessing where there is something"
    " to choose from. A teacher that was asked a question several times counts with the share of its answers that are"
    " correct, and whole questions are drawn anew for its interval; `majority of D` counts, once a question, the answer"
    " that most of D samples gave (of equally many, the first). A sample that failed counts as wrong. `teacher` reasons"
    " before it answers (zero-shot-CoT); `zero-shot` does not. A student's epoch is chosen on dev; test is read once,"
    " greedily; a student's `majority of k` is that of k answers sampled to the same questions."
)

SHARED = (
    "Plans of one task and teacher that differ in D alone share their samples: the first of those of more are those of"
    " fewer, and each plan counts all that it asks for. So USD is what the counted samples cost, whichever plan paid, and"
    " the column does not add up to what was spent. Covered are the training questions with at least one correct rationale."
)

REASONS = 5
"""Reasons that are told of a plan's failed samples."""

COVERAGE = (
    "Part of what D buys is coverage, not variety. A student with one rationale a question reads the first accepted of"
    " those that were sampled; `questions` says how many questions that covers. What it lacks against one with D is"
    " coverage where that number is smaller, and variety (and rows) where it is not."
)


def summary(results: Results) -> str:
    """The method table alone: what a run prints at its end."""
    table = method_table(results)
    body = [
        [
            task,
            cell.method,
            cell.text(),
            str(cell.n) if cell.n else "–",
            "–" if cell.seed is None else str(cell.seed),
            "–" if cell.rows is None else str(cell.rows),
            cell.where or "–",
        ]
        for task, cells in table.items()
        for cell in cells
    ]
    head = ("task", "method", "accuracy % (95 % interval)", "n", "seed", "training rows", "where")
    return safe(text_table(head, body, left=2, words=("where",)))


def render(
    results: Results,
    *,
    matrix: Sequence[tuple[str, str]] = (),
    figures: Sequence[tuple[str, str]] = (),
    headline: Sequence[str] = (),
    made_by: str = "",
) -> str:
    """The whole report.

    Args:
        results: what was sampled, trained and evaluated.
        matrix: the experiment's tables, each with its title.
        figures: caption and address of each figure.
        headline: the experiment in a few sentences.
        made_by: version and platform of what wrote the report.
    """
    runs = ["## Accuracy on test, run by run" if matrix else "## Accuracy on test", summary(results), READING]
    parts = [
        "# Coterie: report",
        safe(_short(results)),
        *([safe("\n".join(f"- {' '.join(each.split())}" for each in headline))] if headline else []),
        *([] if matrix else runs),
        *_matrix(matrix),
        *(["## Figures"] if figures else []),
        *(f"![{caption}]({address})" for caption, address in figures),
        *(runs if matrix else []),
        "## Data",
        _data(results),
        "## Sampling",
        _sampling(results),
        _given_up(results),
        _money(results),
        "## Training sets",
        _training(results),
        COVERAGE if any(run.method == "fine-tune-cot" for run in results.runs) else "",
    ]
    if results.failed:
        parts += ["## Failed runs", _failed(results)]
    versions = ", ".join(results.versions)
    made = [f"State by coterie {versions}.", f"Report by {made_by}." if made_by else ""]
    parts += ["## Configuration", safe(" ".join(made)).strip() if versions else ""]
    parts += ["```json\n" + safe(json.dumps(results.config, indent=2)) + "\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _short(results: Results) -> str:
    """How much there is, in one line."""
    distinct: dict[tuple[str, str, str], int] = {}
    for plan in results.plans:
        key = plan.task, plan.split, plan.fingerprint or plan.name
        distinct[key] = max(distinct.get(key, 0), plan.stored)
    return (
        f"{len(results.tasks)} task(s), {sum(distinct.values()):,} samples for {len(results.plans)} plan(s),"
        f" {len(results.runs)} finished and {len(results.failed)} failed run(s), ${results.spent_usd:.4f} spent."
    )


def _matrix(matrix: Sequence[tuple[str, str]]) -> list[str]:
    if not matrix:
        return []
    said = (
        "Accuracy in percent on the n test questions of a task, the mean over the seeds, with its 95 % interval over"
        " questions and seeds (questions alone where there is one seed, or none). Each table varies one axis, the others are"
        " at their base."
    )
    return ["## Experiment", said, *(part for title, table in matrix for part in (f"### {title}", table))]


def _data(results: Results) -> str:
    head = ("task", "source", "answer", "train", "dev", "test", "when it was read")
    body = [
        [task.name, task.source or "–", task.answer_format]
        + [f"{count:,}" for count in (task.train, task.dev, task.test)]
        + ["; ".join(task.notes) or "nothing repeated or shared between splits"]
        for task in results.tasks
    ]
    return safe(text_table(head, body, left=3, words=head[-1:])) if body else "No task."


def _sampling(results: Results) -> str:
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
        "USD",
        "USD a correct one",
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
                *(
                    str(value)
                    for value in (plan.wanted, plan.stored, plan.accepted, plan.rejected, plan.failed)
                ),
                f"{100 * plan.accepted / graded:.1f}" if graded else "–",
                f"{plan.covered} of {plan.questions}" if plan.split == "train" and plan.questions else "–",
                f"{plan.spent_usd if plan.sampled_usd is None else plan.sampled_usd:.4f}",
                cost(plan.usd_per_correct).removeprefix("$"),
            ]
        )
    return safe(text_table(head, body, left=4)) + "\n\n" + SHARED if body else "No plan."


def _given_up(results: Results) -> str:
    """Why samples failed; plans that share them say it once."""
    told: dict[tuple[str, str, str], PlanResult] = {}
    for plan in results.plans:
        key = plan.task, plan.split, plan.fingerprint or plan.name
        if plan.failures and (key not in told or plan.failed > told[key].failed):
            told[key] = plan
    body = [
        [plan.name, plan.task, reason or "no reason", str(count)]
        for plan in told.values()
        for reason, count in plan.failures[:REASONS]
    ]
    rest = sum(len(plan.failures[REASONS:]) for plan in told.values())
    more = f"\n\n{rest} rarer reasons are not shown." if rest else ""
    return (
        safe(text_table(("plan", "task", "why samples were given up", "samples"), body, left=3)) + more
        if body
        else ""
    )


def _rationales(plan: PlanResult) -> str:
    """D, and how many a question may get where it needs more."""
    base = plan.settings.get("rationales", plan.rationales)
    return str(base) if base == plan.rationales else f"{base}–{plan.rationales}"


def _money(results: Results) -> str:
    return (
        f"Spent in all: ${results.spent_usd:.4f} for {results.prompt_tokens} prompt and"
        f" {results.completion_tokens} completion tokens, over {results.boots} start(s) of the daemon;"
        f" {results.unknown_attempts} attempts ended without an answer and count at their upper bound."
    )


def _training(results: Results) -> str:
    head = (
        "run",
        "student",
        "task",
        "trigger",
        "rows",
        "questions",
        "left out",
        "dev %",
        "test %",
        "seconds",
        "directory",
    )
    body = [
        [
            str(run.run_id),
            run.student,
            run.task,
            run.trigger,
            str(run.rows),
            str(run.questions),
            ", ".join(f"{count} {reason}" for reason, count in run.drops.items()) or "none",
            "–" if run.dev_accuracy is None else f"{100 * run.dev_accuracy:.1f}",
            Cell(method="", accuracy=run.accuracy, low=run.low, high=run.high).text(),
            "–" if run.seconds is None else f"{run.seconds:.0f}",
            run.directory,
        ]
        for run in results.runs
    ]
    return (
        safe(text_table(head, body, left=4, words=("left out", "directory"))) if body else "No finished run."
    )


def _failed(results: Results) -> str:
    body = [[str(key), student, scope, reason] for key, student, scope, reason in results.failed]
    return safe(text_table(("run", "student", "scope", "reason"), body, left=4))
