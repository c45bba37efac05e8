"""The report as Markdown: results first, then the data behind them. Pure: results in, text out.

Text that others wrote (names, reasons) goes through `safe`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from engine.config.experiment import axes_of
from engine.report.accuracy_table import Cell, method_table, text_table
from engine.report.paired import READING as PAIRED
from state.results import PlanResult, Results, RunResult
from state.safe import safe

READING = (
    "Accuracy is the share of the n test questions that are answered correctly, with its 95 % interval (Wilson) over"
    " questions, not over seeds. `random` is the expected accuracy of guessing among the possible answers, if there are"
    " any to choose from. A teacher that was asked a question several times counts with its share of correct answers, and"
    " its interval comes from drawing whole questions. `majority of D` counts each question once, by the most frequent"
    " answer of D samples (the first of equally frequent ones). A failed sample counts as wrong. `teacher` reasons before"
    " it answers (zero-shot-CoT); `zero-shot` does not. The epoch of a student is chosen on dev; test is evaluated once,"
    " with greedy answers. A student's `majority of k` is that of k sampled answers per question."
    " Overlapping intervals do not prove equality."
)

SHARED = (
    "Plans that differ only in D share samples: a D = 2 plan uses the first two samples of the D = 8 plan, and each plan"
    " counts all samples that it uses. So USD is the cost of the counted samples, whichever plan paid for them, and the"
    " column does not add up to the money spent. Covered questions are those with at least one correct rationale."
)

REASONS = 5
"""Reasons for failed samples that are shown per plan."""

COVERAGE = (
    "A larger D adds variety, and also coverage. A student with D = 1 reads the first correct rationale of each question"
    " among all that were sampled; the column `questions` shows how many questions that covers. If it is smaller than for a"
    " student with a larger D, the difference between the two is partly coverage. Otherwise it is variety and the number"
    " of rows."
)


def summary(results: Results) -> str:
    """The accuracy table alone: what a run prints at its end."""
    table = method_table(results)
    body = [
        [
            task,
            cell.method,
            cell.text(),
            f"{cell.n:,}" if cell.n else "–",
            "–" if cell.seed is None else str(cell.seed),
            "–" if cell.rows is None else f"{cell.rows:,}",
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
    differences: str = "",
    made_by: str = "",
) -> str:
    """The complete report.

    Args:
        results: what was sampled, trained and evaluated.
        matrix: the tables of the experiment, each with its title.
        figures: caption and address of each figure.
        headline: the experiment in a few sentences.
        differences: the table of students compared in pairs.
        made_by: version and platform of the program that wrote the report.
    """
    runs = ["## Accuracy on test, by run" if matrix else "## Accuracy on test", summary(results), READING]
    if differences:
        runs += ["### Students compared", differences, PAIRED]
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
        COVERAGE if any("rationales" in axes_of(run.method) for run in results.runs) else "",
    ]
    if results.failed:
        parts += ["## Failed runs", _failed(results)]
    versions = ", ".join(results.versions)
    made = [f"Database written by coterie {versions}.", f"Report by {made_by}." if made_by else ""]
    parts += ["## Configuration", safe(" ".join(made)).strip() if versions else ""]
    parts += ["```json\n" + safe(json.dumps(results.config, indent=2)) + "\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _short(results: Results) -> str:
    """The amounts in one line."""
    distinct: dict[tuple[str, str, str], int] = {}
    for plan in results.plans:
        key = plan.task, plan.split, plan.fingerprint or plan.name
        distinct[key] = max(distinct.get(key, 0), plan.stored)
    return (
        f"Tasks: {len(results.tasks)}. Samples: {sum(distinct.values()):,}, for {len(results.plans)} plans."
        f" Runs: {len(results.runs)} finished, {len(results.failed)} failed. Spent: ${results.spent_usd:.4f}"
        + (f", and ${results.unknown_usd:.4f} that may have been billed." if results.unknown_usd else ".")
    )


def _matrix(matrix: Sequence[tuple[str, str]]) -> list[str]:
    if not matrix:
        return []
    said = (
        "Accuracy in percent on the n test questions of a task: the mean over the seeds with its 95 % interval over"
        " questions and seeds (over questions alone with a single seed, and for teachers). Each table varies one axis and"
        " keeps the others at their base."
    )
    return ["## Experiment", said, *(part for title, table in matrix for part in (f"### {title}", table))]


def _data(results: Results) -> str:
    head = ("task", "source", "answer", "train", "dev", "test", "notes")
    body = [
        [task.name, task.source or "–", task.answer_format]
        + [f"{count:,}" for count in (task.train, task.dev, task.test)]
        + ["; ".join(task.notes) or "no repeated questions, no overlap between splits"]
        for task in results.tasks
    ]
    return safe(text_table(head, body, left=3, words=head[-1:])) if body else "No tasks."


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
        "USD per 1,000 correct",
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
                    f"{value:,}"
                    for value in (plan.wanted, plan.stored, plan.accepted, plan.rejected, plan.failed)
                ),
                f"{100 * plan.accepted / graded:.1f}" if graded else "–",
                f"{plan.covered:,} of {plan.questions:,}"
                if plan.split == "train" and plan.questions
                else "–",
                f"{plan.spent_usd if plan.sampled_usd is None else plan.sampled_usd:.4f}",
                "–" if plan.usd_per_correct is None else f"{1000 * plan.usd_per_correct:.3f}",
            ]
        )
    return safe(text_table(head, body, left=4)) + "\n\n" + SHARED if body else "No plans."


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


def _training(results: Results) -> str:
    head = (
        "run",
        "student",
        "task",
        "trigger",
        "rows",
        "questions",
        "dropped",
        "steps",
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
            f"{run.rows:,}",
            f"{run.questions:,}",
            ", ".join(f"{count:,} {reason}" for reason, count in run.drops.items()) or "none",
            _steps(run),
            "–" if run.dev_accuracy is None else f"{100 * run.dev_accuracy:.1f}",
            Cell(method="", accuracy=run.accuracy, low=run.low, high=run.high).text(),
            "–" if run.seconds is None else f"{run.seconds:.0f}",
            run.directory,
        ]
        for run in results.runs
    ]
    return (
        safe(text_table(head, body, left=4, words=("dropped", "directory"))) if body else "No finished runs."
    )


def _steps(run: RunResult) -> str:
    """Optimizer steps: done, and of how many if it ended before the last one."""
    if run.step >= run.steps:
        return f"{run.steps:,}" if run.steps else "–"
    return f"{run.step:,} of {run.steps:,}" + (" (finished early)" if run.early else "")


def _failed(results: Results) -> str:
    body = [[str(key), student, scope, reason] for key, student, scope, reason in results.failed]
    return safe(text_table(("run", "student", "scope", "reason"), body, left=4))
