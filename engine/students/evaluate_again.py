"""Evaluates an exported student again, when the settings of its evaluation changed. Nothing is trained."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

from engine.students import zero
from engine.students.answering import answering
from engine.students.by_format import by_format
from engine.students.checkpoints import replace
from engine.students.evaluate import evaluate, results
from engine.students.exported_student import DIRECTORY, with_results
from engine.students.finish import add_formats, lines
from engine.students.opened_copy import weights_of
from engine.students.opened_student import hardware, open_student
from engine.students.spec import EvalRow
from engine.students.threads import Threads
from engine.students.token_rows import read_rows

if TYPE_CHECKING:
    from engine.students.run import Run


def evaluate_again(run: Run, before: dict[str, Any]) -> None:
    """Asks the student all dev and test questions, and replaces its predictions and results. All ranks call it together.

    Args:
        run: a finished run.
        before: its `evaluation.json`.

    Raises:
        Stopped: it was asked to stop; its former results stay.
    """
    spec, student = run.spec, run.directory / DIRECTORY
    zero.join_ranks(hardware(), world=run.ranks.world)
    opened = open_student(run)
    architecture, form = opened.architecture, opened.form
    threads = Threads(run.directory, weights=weights_of(student))

    def stopping() -> bool:
        threads.follow()
        return run.stop.set

    run.tell("phase", phase="evaluating")
    questions = read_rows(run.directory / "questions.jsonl", EvalRow)
    begun = time.monotonic()
    with answering(run, architecture, opened.tokenizer, form, opened.device, stopping) as (write, alone):
        predictions = evaluate(
            write,
            questions,
            spec.evaluation,
            reader=form,
            judge=run.make_judge(spec.evaluation.grader),
            ranks=run.ranks,
            method=run.method,
            guidance=spec.guidance,
            seed=spec.training.seed,
            alone=alone,
        )
        further = by_format(run, write, form, [row for row in questions if row.split == "test"], alone=alone)
    seen, tested = ([each for each in predictions if each.split == split] for split in ("dev", "test"))
    took = (time.monotonic() - begun) * (1 if alone else run.ranks.world) / max(1, len(predictions))
    table = results([*seen, *tested], seconds={"dev": took, "test": took})
    add_formats(table, further)
    for row in table:
        run.tell("eval", **row, step=before["step"], epoch=before["epoch"], seed=spec.training.seed)
    if run.ranks.first:
        replace(run.directory / "predictions.jsonl", lines([*tested, *seen]))
        card = student / "README.md"
        said = card.read_text(encoding="utf-8") if card.is_file() else ""
        if said:
            said = with_results(said, spec, architecture, table, before.get("ledger"))
            most = spec.evaluation.max_new_tokens
            replace(card, re.sub(r"max_new_tokens=\d+", f"max_new_tokens={most}", said).encode())
        outcome = {**before, "evaluation": spec.asked_with, "results": table}
        replace(run.directory / "evaluation.json", json.dumps(outcome, indent=1).encode())
