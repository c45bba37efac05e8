"""The method table: random, teacher and students side by side, task by task, on the same test questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.report.chance import chance
from engine.students.interval import wilson
from state.results import Results, RunResult, TaskResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One accuracy (0 to 1) with its 95 % interval; `n` is 0 for the expected accuracy of chance."""

    method: str
    accuracy: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    seed: int | None = None
    rows: int | None = None
    where: str = ""

    def text(self) -> str:
        """The accuracy in percent with its interval."""
        if self.low is None or self.high is None:
            return f"{100 * self.accuracy:.1f}"
        return f"{100 * self.accuracy:.1f} ({100 * self.low:.1f}–{100 * self.high:.1f})"


def method_table(results: Results) -> dict[str, list[Cell]]:
    """The methods of each task: chance, the teachers' greedy accuracy on test, then the students in order.

    Of several runs of a student the newest counts; a student that has no finished run is left out.
    """
    return {
        task.name: [_random(task), *_teachers(task, results), *_students(task, results)]
        for task in results.tasks
    }


def _random(task: TaskResult) -> Cell:
    return Cell(method="random", accuracy=chance(task.answer_format, task.questions))


def _teachers(task: TaskResult, results: Results) -> list[Cell]:
    """A plan on the test split is the teacher's own accuracy; a sample that failed counts as wrong."""
    cells = []
    for plan in results.plans:
        judged = plan.accepted + plan.rejected + plan.failed
        if plan.task != task.name or plan.split != "test" or judged == 0:
            continue
        low, high = wilson(plan.accepted, judged)
        cells.append(
            Cell(
                method=f"teacher ({', '.join(plan.teachers)})",
                accuracy=plan.accepted / judged,
                low=low,
                high=high,
                n=judged,
                where=f"plan {plan.name}",
            )
        )
    return cells


def _students(task: TaskResult, results: Results) -> list[Cell]:
    newest: dict[str, RunResult] = {}
    for run in results.runs:
        if run.task == task.name:
            newest[run.student] = run
    order = [student["name"] for student in results.config.get("students", [])]
    names = [name for name in order if name in newest] + [name for name in newest if name not in order]
    return [
        Cell(
            method=name,
            accuracy=newest[name].accuracy,
            low=newest[name].low,
            high=newest[name].high,
            n=newest[name].n,
            seed=newest[name].seed,
            rows=newest[name].rows,
            where=newest[name].directory,
        )
        for name in names
    ]


def text_table(head: Sequence[str], body: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A Markdown table that is aligned as plain text too; the first `left` columns to the left.

    A cell is one line, whatever stands in it.
    """
    rows = [list(head), *[[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in body]]
    widths = [max(3, *(len(row[index]) for row in rows)) for index in range(len(head))]  # a rule is 3 wide

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "| " + " | ".join(cells) + " |"

    rule = ["-" * width if index < left else "-" * (width - 1) + ":" for index, width in enumerate(widths)]
    return "\n".join([line(rows[0]), "| " + " | ".join(rule) + " |", *(line(row) for row in rows[1:])])
