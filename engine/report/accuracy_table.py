"""The accuracy table: chance, teachers and students by task, on the same test questions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from engine.grading.majority import majority
from engine.report.chance import chance
from engine.report.intervals import Estimate, estimate_answers
from engine.strategies import STRATEGIES
from state.confidence_interval import accuracy_text, percent, wilson
from state.enums import TRAIN
from state.results import PlanResult, Results, RunResult, TaskResult
from state.safe import safe, safe_markdown


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One accuracy (0 to 1) with its 95 % interval. `n` is 0 for the expected accuracy of chance.

    `kind` identifies it independently of its label: `random`, the name of a student method or strategy, or one of these with
    ` majority` for self-consistency.
    """

    method: str
    kind: str = ""
    accuracy: float
    low: float | None = None
    high: float | None = None
    n: int = 0
    seed: int | None = None
    rows: int | None = None
    where: str = ""
    run: RunResult | None = None

    def text(self) -> str:
        """The accuracy in percent with its interval."""
        if self.low is None or self.high is None:
            return percent(self.accuracy)
        return accuracy_text(self.accuracy, self.low, self.high)


def method_table(results: Results) -> dict[str, list[Cell]]:
    """The rows of each task: chance, the teachers on test by strategy, then the students in order.

    A student with sampled answers has a second row for their majority. Of several runs of a student the newest counts. A
    student without a finished run is left out, and so is a task without test questions.
    """
    return {
        task.name: [_random(task), *baselines(task, results), *_students(task, results)]
        for task in results.tasks
        if task.test
    }


def _random(task: TaskResult) -> Cell:
    return Cell(method="random", kind="random", accuracy=chance(task.answer_format, task.questions))


def _rank(strategy: str) -> int | None:
    """A strategy's place among the baselines, simplest first; None if it is no baseline."""
    known = STRATEGIES.get(strategy)
    return known.baseline_rank if known else None


def baselines(task: TaskResult, results: Results) -> list[Cell]:
    """The accuracy of teachers on the test questions of a task, by strategy; with several answers per question also by majority."""
    plans = [
        plan
        for plan in results.plans
        if plan.task == task.name and plan.split == "test" and _rank(plan.strategy) is not None
    ]
    cells = []
    for plan in sorted(plans, key=lambda plan: _rank(plan.strategy) or 0):
        found = answered(plan)
        if found is None:
            continue
        cells.append(_cell(plan, plan.strategy, found))
        if plan.votes:
            correct, n = self_consistency(plan, task.answer_format)
            most = Estimate(correct / n, *wilson(correct, n), n, 1)
            cells.append(_cell(plan, f"{plan.strategy} majority", most))
    return cells


def answered(plan: PlanResult) -> Estimate | None:
    """The accuracy of the answers of a plan, over questions; None without answers. A failed sample counts as wrong."""
    if plan.votes:
        groups: dict[int, list[bool]] = {}
        for question, _, verdict in plan.votes:
            groups.setdefault(question, []).append(verdict == 1)
        return estimate_answers(list(groups.values()))
    judged = plan.accepted + plan.rejected + plan.failed
    return Estimate(plan.accepted / judged, *wilson(plan.accepted, judged), judged, 1) if judged else None


def self_consistency(plan: PlanResult, answer_format: str) -> tuple[int, int]:
    """The number of questions whose majority answer is correct, and of all questions asked (Wang et al. 2022).

    A question without any answer counts as wrong. Equal answers have equal verdicts, so nothing is graded again.
    """
    groups: dict[int, list[tuple[str | None, int | None]]] = {}
    for question, extracted, verdict in plan.votes:
        groups.setdefault(question, []).append((extracted, verdict))
    correct = 0
    for group in groups.values():
        vote = majority([extracted for extracted, _ in group], answer_format)
        correct += vote is not None and group[vote.first][1] == 1
    return correct, len(groups)


def _cell(plan: PlanResult, kind: str, found: Estimate) -> Cell:
    strategy, _, voted = kind.partition(" ")
    name = STRATEGIES[strategy].report_name
    if voted:
        name += f", majority of {plan.rationales}"
    return Cell(
        method=f"{name} ({', '.join(plan.teachers)})",
        kind=kind,
        accuracy=found.accuracy,
        low=found.low,
        high=found.high,
        n=found.questions,
        where=f"plan {plan.name}",
    )


def _students(task: TaskResult, results: Results) -> list[Cell]:
    return [cell for run in newest_runs(task, results) for cell in _of_run(run)]


def newest_runs(task: TaskResult, results: Results) -> list[RunResult]:
    """The newest finished run of each student on a task, in the order of the configuration."""
    newest: dict[str, RunResult] = {}
    for run in results.runs:
        if run.task == task.name:
            newest[run.student] = run
    order = [student["name"] for student in results.config.get("students", [])]
    names = [name for name in order if name in newest] + [name for name in newest if name not in order]
    return [newest[name] for name in names]


def _of_run(run: RunResult) -> list[Cell]:
    """The greedy answers of a student, and the majority of sampled ones if there are any."""
    name = f"{run.student} (earlier settings)" if run.superseded else run.student
    greedy = Cell(
        method=name,
        kind=run.method,
        accuracy=run.accuracy,
        low=run.low,
        high=run.high,
        n=run.n,
        seed=run.seed,
        rows=run.rows,
        where=run.directory,
        run=run,
    )
    if run.majority is None or run.majority_of is None:
        return [greedy]
    low, high = wilson(round(run.majority * run.n), run.n)
    voted = replace(
        greedy,
        method=f"{name}, majority of {run.majority_of}",
        kind=f"{run.method} majority",
        accuracy=run.majority,
        low=low,
        high=high,
    )
    return [greedy, voted]


BESIDE = ("passes", "steps", "warm start", "test read")
"""What stands beside an accuracy: how long its student trained, from what, and how often test was evaluated for it."""


def beside(runs: Sequence[RunResult]) -> list[str]:
    """The cells of `BESIDE` for the runs of one accuracy; from the least to the most where they differ."""
    if not runs:
        return ["–"] * len(BESIDE)
    trained = [run for run in runs if run.step or run.passes]
    steps = sorted(run.step for run in trained)
    passes = sorted(run.passes for run in trained)
    reads = sorted(run.test_reads for run in runs)
    warm = [
        f"{run.kind} of {', '.join(map(str, run.sources))}" if run.kind != TRAIN else f"run {run.warm_start}"
        for run in runs
        if run.kind != TRAIN or run.warm_start is not None
    ]
    return [
        _range([f"{each:.1f}" for each in passes]),
        _range([f"{each:,}" for each in steps]),
        ", ".join(warm) or "no",
        _range([f"{each:,}" for each in reads]),
    ]


def _range(said: Sequence[str]) -> str:
    if not said:
        return "–"
    return said[0] if said[0] == said[-1] else f"{said[0]}–{said[-1]}"


_GREY = re.compile(r"\*\d+\.\d\*")

TERMINAL = "Accuracy in percent on the test questions, with its 95 % interval"
"""The first line of what a run prints at its end."""


def terminal_tables(results: Results, *, width: int = 80) -> str:
    """The accuracies as a terminal shows them, a table for each task, in lines of at most `width` characters.

    Columns that do not fit are left out, the last ones first; then long names are shortened. The report has everything.
    """
    table = method_table(results)
    without = [task.name for task in results.tasks if task.name not in table]
    return "\n\n".join(
        [
            *([TERMINAL] if table else []),
            *(_fitting(task, cells, width) for task, cells in table.items()),
            *([safe(f"No test questions: {', '.join(without)}")] if without else []),
        ]
    )


def _fitting(task: str, cells: Sequence[Cell], width: int) -> str:
    """The table of one task under its name."""
    seeds = sorted({cell.seed for cell in cells if cell.seed is not None})
    sizes = sorted({cell.n for cell in cells if cell.n})
    about = [f"n = {_range([f'{size:,}' for size in sizes])}"] if sizes else []
    about += [f"seed {seeds[0]}"] if len(seeds) == 1 else []
    columns = {
        "method": [cell.method for cell in cells],
        "accuracy": [cell.text() for cell in cells],
        **(
            {"seed": ["–" if cell.seed is None else str(cell.seed) for cell in cells]}
            if len(seeds) > 1
            else {}
        ),
        "passes": [beside([cell.run] if cell.run else [])[0] for cell in cells],
        "steps": [beside([cell.run] if cell.run else [])[1] for cell in cells],
        "rows": ["–" if cell.rows is None else f"{cell.rows:,}" for cell in cells],
    }
    shown = list(columns)
    while len(shown) > 2 and _width(columns, shown) > width:
        shown.pop()
    room = max(8, width - _width(columns, shown[1:]) - 3)
    columns["method"] = [_shortened(" ".join(name.split()), room) for name in columns["method"]]
    heading = f"{task} ({', '.join(about)})" if about else task
    return safe(
        f"{heading}\n{text_table(shown, list(zip(*(columns[name] for name in shown), strict=True)), left=1)}"
    )


def _width(columns: Mapping[str, Sequence[str]], shown: Sequence[str]) -> int:
    """The width of a table with these columns."""
    return 1 + sum(3 + max(3, len(name), *map(len, columns[name])) for name in shown)


def _shortened(name: str, room: int) -> str:
    """A name without its middle, where the parts that tell names apart rarely stand."""
    if len(name) <= room:
        return name
    end = (room - 1) // 2
    return f"{name[: room - 1 - end]}…{name[-end:]}"


def text_table(
    head: Sequence[str], body: Sequence[Sequence[str]], *, left: int = 1, words: Sequence[str] = ()
) -> str:
    """A Markdown table that is aligned as plain text too. The first `left` columns and those in `words` are left-aligned.

    Every cell is written on one line, as text: only a grey number (`*12.3*`) is Markdown.
    """
    to_left = [index < left or name in words for index, name in enumerate(head)]
    rows = [
        list(head),
        *[[cell if _GREY.fullmatch(cell) else safe_markdown(cell) for cell in row] for row in body],
    ]
    widths = [max(3, *(len(row[index]) for row in rows)) for index in range(len(head))]  # a rule is 3 wide

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if to_left[index] else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "| " + " | ".join(cells) + " |"

    rule = ["-" * width if to_left[index] else "-" * (width - 1) + ":" for index, width in enumerate(widths)]
    return "\n".join([line(rows[0]), "| " + " | ".join(rule) + " |", *(line(row) for row in rows[1:])])
