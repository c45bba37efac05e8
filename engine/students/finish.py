"""The end of a training: exports the chosen weights, tests the exported copy, and writes the results and the card."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.students.checkpoints import DevResult, RunState, damage, prune, replace
from engine.students.exported_student import (
    DIRECTORY,
    exported_copy,
    finish_student,
    model_card,
    save_student,
    weight_bytes,
)

if TYPE_CHECKING:  # these bring torch, which is imported once the run has reported that it starts
    from engine.students.evaluate import Prediction
    from engine.students.run import Run
    from engine.students.session import Session

DEV = "dev.jsonl"
"""In a checkpoint: the answers of its weights to the dev questions."""


def finish(session: Session, state: RunState) -> None:
    """Exports the chosen weights, tests the exported copy, and writes the results and the card."""
    from engine.students.answering import answering
    from engine.students.evaluate import results

    run, spec = session.run, session.run.spec
    best = _best(session, state) if spec.evaluation.best else None
    selected_by = "dev" if best else "last"
    step = best.step if best else state.step
    run.tell("phase", phase="exporting")
    if run.ranks.first:
        _export(session, state, step)
    run.ranks.barrier()

    run.tell("phase", phase="evaluating")
    train_flops = session.loop.flops_of(state.step)
    session.release()
    kept = run.checkpoints / str(step) / DEV
    with answering(
        run, session.architecture, session.tokenizer, session.form, session.device, session.stopping
    ) as (
        write,
        alone,
    ):
        seen = read_predictions(kept) if kept.is_file() else session.ask(write, session.dev, alone=alone)
        begun = time.monotonic()
        tested = session.ask(write, session.test, alone=alone)
        took = (time.monotonic() - begun) * (1 if alone else run.ranks.world)
    seconds = {"test": took / max(1, len(tested))}
    table = results([*seen, *tested], seconds=seconds)
    tell_results(session, [row for row in table if row["split"] == "test" or not kept.is_file()], step)
    if run.ranks.first:
        ledger = {
            "parameters": session.parameters,
            "bytes": weight_bytes(exported_copy(run.directory)),
            "train_flops": train_flops,
        }
        replace(run.directory / "predictions.jsonl", lines([*tested, *seen]))
        outcome = {
            "run_id": spec.run_id,
            "student": spec.student,
            "scope": spec.scope,
            "method": spec.method,
            "manifest_digest": spec.manifest_digest,
            "seed": spec.training.seed,
            "step": step,
            "steps": session.steps,
            "trained": state.step,
            "epoch": session.epoch(step),
            "reason": state.finished,
            "selected_by": selected_by,
            "evaluation": spec.asked_with,
            "ledger": ledger,
            "results": table,
        }
        replace(run.directory / "evaluation.json", json.dumps(outcome, indent=1).encode())
        card = model_card(
            spec,
            session.architecture,
            session.form,
            rows=len(session.rows),
            questions=len({row.question_id for row in session.train_rows}),
            parameters=session.parameters,
            step=step,
            steps=session.steps,
            trained=state.step,
            reason=state.finished or "",
            selected_by=selected_by,
            results=table,
            ledger=ledger,
        )
        finish_student(run.directory, card)
        run.tell("ledger", **ledger)
    run.tell("exported", step=step, directory=DIRECTORY)
    forget_checkpoints(run)
    run.tell("done", step=step, steps=session.steps, reason=state.finished, trained=state.step)


def asked_otherwise(run: Run, outcome: dict[str, Any]) -> bool:
    """Whether a finished run was evaluated with other settings than its spec has now.

    An `evaluation.json` of an older version does not say: then they are those of the spec.
    """
    return bool(outcome.get("evaluation", run.spec.asked_with) != run.spec.asked_with)


def _export(session: Session, state: RunState, step: int) -> None:
    """Writes the weights of a step. Keeps no reference to the model, which is freed before the copy is loaded."""
    run, gathered = session.run, session.gathered
    if gathered.twin or step != state.step:
        gathered.read(run.checkpoints, step)
    template = session.form.template
    save_student(run.directory, run.spec, gathered.model, gathered.adapted, session.tokenizer, template)


def forget_checkpoints(run: Run) -> None:
    """Removes the checkpoints of a finished run: its student and predictions are all that is needed."""
    if run.ranks.first:
        prune(run.checkpoints, keep=run.spec.training.keep_checkpoints_finished)


def _best(session: Session, state: RunState) -> DevResult | None:
    """The best dev evaluation whose weights are intact. All ranks call it together."""
    run = session.run
    found: tuple[DevResult | None, list[str]] = None, []
    if run.ranks.first:
        left = state
        notes: list[str] = []
        while (best := left.best) and best.step != state.step and (why := damage(run.checkpoints, best.step)):
            if not notes:  # those of lesser results may be gone: only the best one is kept
                notes.append(
                    f"the checkpoint of step {best.step}, which has the best dev result, is damaged ({why}): the best of"
                    " those that are left is exported"
                )
            left = left.model_copy(update={"dev": tuple(each for each in left.dev if each != best)})
        found = left.best, notes
    best, notes = run.ranks.gather(found)[0]
    for note in notes:
        run.note(note)
    return best


def tell_results(session: Session, table: Sequence[dict[str, Any]], step: int) -> None:
    """Reports one `eval` event per task and split."""
    run = session.run
    for row in table:
        run.tell("eval", **row, step=step, epoch=session.epoch(step), seed=run.spec.training.seed)


def lines(predictions: Sequence[Prediction]) -> bytes:
    """Predictions as JSON lines."""
    return "".join(f"{prediction.model_dump_json()}\n" for prediction in predictions).encode()


def read_predictions(path: Path) -> list[Prediction]:
    """Predictions from JSON lines."""
    from engine.students.evaluate import Prediction

    return [Prediction.model_validate_json(line) for line in path.read_bytes().splitlines()]
