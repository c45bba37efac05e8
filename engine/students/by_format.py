"""Asks the test questions in each further format that a student was trained in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.forms import TokenForm
from engine.methods import TrainRow
from engine.methods.fine_tune_cot import FineTuneCot
from engine.methods.formats import FORMATS, PLAIN, Example, RowFormat, examples_for
from engine.students.checkpoints import replace
from engine.students.conversations import Write
from engine.students.evaluate import AnswerReader, evaluate, results
from engine.students.run import Run
from engine.students.spec import EvalRow
from engine.students.token_rows import read_rows

FILE = "predictions_by_format.jsonl"
"""In a run's directory: the predictions, with their format, one per line."""
SHOWN = ("n", "correct", "accuracy", "low", "high")


@dataclass(frozen=True, slots=True)
class AloneReader:
    """Reads an answer that was asked for alone: it is all that was written."""

    form: AnswerReader

    @property
    def no_answer(self) -> str:
        """Nothing was written."""
        return "no answer: empty"

    def parse(self, text: str) -> str | None:
        """Everything between the marks of the form."""
        return self.form.body(text).strip() or None

    def body(self, text: str) -> str:
        """The form's."""
        return self.form.body(text)


def by_format(
    run: Run, write: Write, form: TokenForm, rows: Sequence[EvalRow], *, alone: bool
) -> dict[str, dict[str, Any]]:
    """Accuracy in each further format, by task and format, of greedy answers. All ranks call it together.

    Args:
        run: the run.
        write: writes completions.
        form: of the student.
        rows: the test questions.
        alone: only the first rank asks.

    Raises:
        Stopped: the run was asked to stop.
    """
    spec = run.spec
    kinds = [FORMATS[name] for name in spec.formats if name != PLAIN.name]
    if not kinds or not rows:
        return {}
    examples = _examples(run)
    found: dict[str, dict[str, Any]] = {}
    lines = []
    for kind in kinds:
        predictions = evaluate(
            write,
            rows,
            spec.evaluation.model_copy(update={"samples": 0}),
            reader=form if kind.reasons else AloneReader(form),
            judge=run.make_judge(spec.evaluation.grader),
            ranks=run.ranks,
            alone=alone,
            put=lambda row, kind=kind: _put(kind, row, examples, run),  # type: ignore[misc]
        )
        for row in results(predictions):
            found.setdefault(row["task"], {})[kind.name] = {name: row[name] for name in SHOWN}
        lines += [f'{{"format":"{kind.name}",{each.model_dump_json()[1:]}\n' for each in predictions]
    if run.ranks.first:
        replace(run.directory / FILE, "".join(lines).encode())
    return found


def _put(kind: RowFormat, row: EvalRow, examples: Sequence[Example], run: Run) -> str:
    """A question in a format, with examples of its own."""
    spec = run.spec
    shown = kind.shown and examples_for(
        examples, row.question_id, count=spec.shots, seed=spec.training.seed, key=row.split
    )
    return kind.put(row.question, shown or [])


def _examples(run: Run) -> list[Example]:
    """Each training question with its first rationale."""
    method = run.method
    firsts: dict[int, TrainRow] = {}
    for row in read_rows(run.directory / "manifest.jsonl", TrainRow):
        if row.rationale is not None and not row.format:
            firsts.setdefault(row.question_id, row)
    return [method.example(row) for row in firsts.values()] if isinstance(method, FineTuneCot) else []
