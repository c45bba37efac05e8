"""The report as Markdown: results first, then the data behind them. Pure: results in, text out.

Text that others wrote (names, reasons) goes through `safe`.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence

from engine.config.experiment import axes_of
from engine.config.lineage import source_name
from engine.report.accuracy_table import BESIDE, Cell, beside, method_table, text_table
from engine.report.frontier import READING as COSTS
from engine.report.panels import ABOUT as PANELS
from engine.report.panels import panels
from engine.report.paper_count import HEAD as PAPER
from engine.report.paper_count import READING as PAPER_READING
from engine.report.paper_count import cell as paper_cell
from engine.report.sampling import distinct_samples, per_correct, sampling
from engine.report.seen_answers import READING as SEEN
from engine.report.seen_answers import TITLE as SEEN_TITLE
from engine.report.selected_teachers import READING as SELECTED
from engine.report.selected_teachers import TITLE as SELECTED_TITLE
from engine.report.wordings import ABOUT as WORDINGS
from engine.report.wordings import wordings
from state.enums import TRAIN
from state.results import Results, RunResult
from state.safe import safe, safe_markdown

READING = (
    "Accuracy is the share of the n test questions that are answered correctly, with its 95 % interval (Wilson) over"
    " questions. Each row is one seed: training noise is not in this interval. `passes` and `steps` are those of its"
    " training, without those of the run that a warm start began from. `test read` counts the evaluations on test of"
    " students of this name on the task, over the life of the database. `random` is the expected accuracy of guessing among the possible answers, if there are"
    " any to choose from. A teacher that was asked a question several times counts with its share of correct answers, and"
    " its interval comes from drawing whole questions. `majority of D` counts each question once, by the most frequent"
    " answer of D samples (the first of equally frequent ones). A failed sample counts as wrong. `teacher` reasons before"
    " it answers (zero-shot-CoT); `zero-shot` does not. The epoch of a student is chosen on dev; test is evaluated once,"
    " with greedy answers. A student's `majority of k` is that of k sampled answers per question."
    " Overlapping intervals do not prove equality."
)

DERIVED = "`warm start` of a student that was made from students without a training names the operation and their runs."

COVERAGE = (
    "A larger D adds variety, and also coverage. A student with D = 1 reads the first correct rationale of each question"
    " among all that were sampled; the column `questions` shows how many questions that covers. If it is smaller than for a"
    " student with a larger D, the difference between the two is partly coverage. Otherwise it is variety and the number"
    " of rows."
)

ANSWERS = (
    "`correct format` is the share of answers that have the mark of an answer, `complete` the share of those that ended by"
    " themselves within the allowed length. `each repetition` is the accuracy of each set of sampled answers."
)


FORMATS = (
    "Students that learned a mixture of formats (`curation.formats`), asked the same test questions in each: `cot` is the accuracy"
    " above; `answer` asks for the answer alone; `shots-` formats show worked examples of the training set before the question."
    " Weights were chosen by `cot` on dev."
)


def summary(results: Results, paper: Mapping[tuple[str, str], float] | None = None) -> str:
    """The accuracy table alone: what a run prints at its end.

    Args:
        results: the runs.
        paper: accuracy as the paper counted, by student and task; None: no such column.
    """
    table = method_table(results)
    body = [
        [
            task,
            cell.method,
            cell.text(),
            f"{cell.n:,}" if cell.n else "–",
            "–" if cell.seed is None else str(cell.seed),
            "–" if cell.rows is None else f"{cell.rows:,}",
            *beside([cell.run] if cell.run else []),
            *([] if paper is None else [_as_paper(cell, task, paper)]),
            cell.where or "–",
        ]
        for task, cells in table.items()
        for cell in cells
    ]
    head = ["task", "method", "accuracy % (95 % interval)", "n", "seed", "training rows", *BESIDE]
    head += [*([PAPER] if paper is not None else []), "where"]
    return safe(text_table(head, body, left=2, words=("where",)))


def _as_paper(cell: Cell, task: str, paper: Mapping[tuple[str, str], float]) -> str:
    greedy = cell.run is not None and cell.kind == cell.run.method
    return paper_cell(paper.get((cell.run.student, task)) if cell.run and greedy else None)


def render(
    results: Results,
    *,
    matrix: Sequence[tuple[str, str]] = (),
    main_figure: tuple[str, str] | None = None,
    figures: Sequence[tuple[str, str]] = (),
    headline: Sequence[str] = (),
    differences: str = "",
    together: Sequence[str] = (),
    made_by: str = "",
    written_at: str = "",
    paper: Mapping[tuple[str, str], float] | None = None,
    ledger: str = "",
    seen: str = "",
    selected: str = "",
) -> str:
    """The complete report.

    Args:
        results: what was sampled, trained and evaluated.
        matrix: the tables of the experiment, each with its title.
        main_figure: caption and address of the figure of the main result.
        figures: those of each other figure.
        headline: the experiment in a few sentences.
        differences: the table of arms compared in pairs.
        together: the section on students that answer together, as paragraphs.
        made_by: version and platform of the program that wrote the report.
        written_at: when it was written.
        paper: accuracy as the paper counted, by student and task; None: no such column.
        ledger: the table of what students and teachers cost.
        seen: the table of answers that students saw in training.
        selected: the table of teachers that students selected.
    """
    title = "## Accuracy on test, by run" if matrix else "## Accuracy on test"
    runs = [title, summary(results, paper), READING, PAPER_READING if paper is not None else ""]
    if any(run.kind != TRAIN for run in results.runs):
        runs.append(DERIVED)
    compared = ["### Arms compared", differences] if differences else []
    parts = [
        "# Coterie: report",
        safe(_short(results)),
        safe(_about(results, written_at)),
        *_images([main_figure] if main_figure else []),
        *([safe("\n".join(f"- {' '.join(each.split())}" for each in headline))] if headline else []),
        *([] if matrix else [*runs, *compared]),
        *_matrix(matrix),
        *(compared if matrix else []),
        *(["## Figures"] if figures else []),
        *_images(figures),
        *(runs if matrix else []),
        *together,
        "## Data",
        _data(results),
        "## Sampling",
        *sampling(results),
        "## Training sets",
        _training(results),
        COVERAGE if any("rationales" in axes_of(run.method) for run in results.runs) else "",
    ]
    if ledger:
        parts += ["## What accuracy costs", ledger, COSTS]
    if told := wordings(results):
        parts += ["## Wordings", told, WORDINGS]
    if told := panels(results):
        parts += ["## Panels", told, PANELS]
    if any(run.complete is not None or run.repetitions for run in results.runs):
        parts += ["## Answers of the students", _answers(results), ANSWERS]
    if any(run.formats for run in results.runs):
        parts += ["## Formats", _formats(results), FORMATS]
    if selected:
        parts += [SELECTED_TITLE, selected, SELECTED]
    if seen:
        parts += [SEEN_TITLE, seen, SEEN]
    if results.failed:
        parts += ["## Failed runs", _failed(results)]
    versions = ", ".join(results.versions)
    made = [f"Database written by coterie {versions}.", f"Report by {made_by}." if made_by else ""]
    parts += ["## Configuration", safe(" ".join(made)).strip() if versions else ""]
    parts += ["```json\n" + safe(json.dumps(results.config, indent=2)) + "\n```"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _images(figures: Sequence[tuple[str, str]]) -> list[str]:
    return [f"![{safe_markdown(caption)}]({address})" for caption, address in figures]


def _about(results: Results, written_at: str) -> str:
    """When it was written, and the models behind it."""
    bases = list(dict.fromkeys(run.base for run in results.runs if run.base and not source_name(run.base)))
    passes = sorted(run.passes for run in results.runs if run.passes)
    newest = max((run.ended_at for run in results.runs), default=0)
    parts = [
        f"Written on {written_at}." if written_at else "",
        f"Newest run of {date_of(newest)}." if newest else "",
        "Teachers: " + ", ".join(f"{name} ({safe_markdown(model)})" for name, model in results.models) + "."
        if results.models
        else "",
        f"Bases: {', '.join(map(safe_markdown, bases))}." if bases else "",
        f"Passes over the training sets: {passes[0]:.1f} to {passes[-1]:.1f}." if passes else "",
    ]
    return " ".join(" ".join(part.split()) for part in parts if part)


def date_of(at: int) -> str:
    """A time in UTC milliseconds as a date: `2026-11-29`."""
    return datetime.datetime.fromtimestamp(at / 1000, tz=datetime.UTC).date().isoformat()


def _short(results: Results) -> str:
    """The amounts in one line."""
    return (
        f"Tasks: {len(results.tasks)}. Samples: {distinct_samples(results):,}, for {len(results.plans)} plans."
        f" Runs: {len(results.runs)} finished, {len(results.failed)} failed. Spent: ${results.spent_usd:.4f}"
        + (f", and ${results.unknown_usd:.4f} that may have been billed." if results.unknown_usd else ".")
        + per_correct(results)
    )


def _matrix(matrix: Sequence[tuple[str, str]]) -> list[str]:
    if not matrix:
        return []
    said = (
        "Accuracy in percent on the n test questions of a task: the mean over the seeds with its 95 % interval over"
        " questions and seeds (over questions alone for teachers, and with one seed: training noise is not in it then)."
        " Each table varies one axis and keeps the others at their base."
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
        if run.kind == TRAIN
    ]
    return (
        safe(text_table(head, body, left=4, words=("dropped", "directory"))) if body else "No finished runs."
    )


def _answers(results: Results) -> str:
    """How the answers on test ended, and the accuracy of each repetition of the sampled ones."""
    head = ("run", "student", "task", "n", "correct %", "correct format %", "complete %", "each repetition %")
    body = [
        [
            str(run.run_id),
            run.student,
            run.task,
            f"{run.n:,}",
            *(
                "–" if share is None else f"{100 * share:.1f}"
                for share in (run.accuracy, run.correct_format, run.complete)
            ),
            ", ".join(f"{100 * each:.1f}" for each in run.repetitions) or "–",
        ]
        for run in results.runs
    ]
    return safe(text_table(head, body, left=3))


def _formats(results: Results) -> str:
    """The accuracy of each student that was trained in several formats, in each of them."""
    names = list(dict.fromkeys(name for run in results.runs for name in run.formats))
    head = ("run", "student", "task", "n", "cot %", *(f"{name} %" for name in names))
    body = [
        [
            *(str(run.run_id), run.student, run.task, f"{run.n:,}"),
            _share(run.accuracy, run.low, run.high),
            *(
                _share(found["accuracy"], found["low"], found["high"]) if found else "–"
                for found in (run.formats.get(name) for name in names)
            ),
        ]
        for run in results.runs
        if run.formats
    ]
    return safe(text_table(head, body, left=3))


def _share(accuracy: float, low: float, high: float) -> str:
    return f"{100 * accuracy:.1f} ({100 * low:.1f}–{100 * high:.1f})"


def _steps(run: RunResult) -> str:
    """Optimizer steps: done, and of how many if it ended before the last one."""
    if run.step >= run.steps:
        return f"{run.steps:,}" if run.steps else "–"
    return f"{run.step:,} of {run.steps:,}" + (" (finished early)" if run.early else "")


def _failed(results: Results) -> str:
    body = [[str(key), student, scope, reason] for key, student, scope, reason in results.failed]
    return safe(text_table(("run", "student", "scope", "reason"), body, left=4))
