"""The end of a run: exports the chosen weights, tests the exported copy, and writes the results and the card."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    from engine.forms import TokenForm
    from engine.students.architecture import Architecture
    from engine.students.evaluate import Prediction
    from engine.students.run import Run
    from engine.students.session import Session
    from engine.students.spec import EvalRow

DEV = "dev.jsonl"
"""In a checkpoint: the answers of its weights to the dev questions."""


@dataclass(frozen=True, kw_only=True)
class Examined:
    """An exported copy that is asked the dev and test questions, and what is said of it."""

    architecture: Architecture
    tokenizer: Any
    form: TokenForm
    device: Any
    ask: Callable[..., list[Prediction]]
    """Predictions of a writer for rows; `alone`: only the first rank asks."""
    stopping: Callable[[], bool]
    dev: Sequence[EvalRow]
    test: Sequence[EvalRow]
    step: int
    """Of its weights."""
    steps: int
    trained: int
    epoch: float
    reason: str | None
    about: Mapping[str, Any]
    """What `evaluation.json` says besides."""
    card: Callable[[list[dict[str, Any]], Mapping[str, float]], str]
    """The card for a table of results and a ledger."""
    parameters: int
    train_flops: float
    """Of this run."""


def finish(session: Session, state: RunState) -> None:
    """Exports the chosen weights, tests the exported copy, and writes the results and the card."""
    run, spec = session.run, session.run.spec
    best = _best(session, state) if spec.evaluation.best else None
    selected_by = "dev" if best else "last"
    step = best.step if best else state.step
    run.tell("phase", phase="exporting")
    if run.ranks.first:
        _export(session, state, step)
    run.ranks.barrier()
    train_flops = session.loop.flops_of(state.step)
    if session.loop.selection:
        run.tell("selected", figures=session.loop.selection.figures())
    session.release()

    def card(table: list[dict[str, Any]], ledger: Mapping[str, float]) -> str:
        return model_card(
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

    examined = Examined(
        architecture=session.architecture,
        tokenizer=session.tokenizer,
        form=session.form,
        device=session.device,
        ask=session.ask,
        stopping=session.stopping,
        dev=session.dev,
        test=session.test,
        step=step,
        steps=session.steps,
        trained=state.step,
        epoch=session.epoch(step),
        reason=state.finished,
        about={"selected_by": selected_by},
        card=card,
        parameters=session.parameters,
        train_flops=train_flops,
    )
    conclude(run, examined, kept=run.checkpoints / str(step) / DEV)
    forget_checkpoints(run)
    run.tell("done", step=step, steps=session.steps, reason=state.finished, trained=state.step)


def conclude(run: Run, examined: Examined, *, kept: Path | None = None) -> None:
    """Tests the exported copy, writes the results and the card, and finishes the student's directory. All ranks call it together.

    Args:
        run: the run.
        examined: the copy.
        kept: a file with the answers of its weights to the dev questions, if it exists.

    Raises:
        Stopped: the run was asked to stop.
    """
    from engine.students.answering import answering
    from engine.students.by_format import by_format
    from engine.students.evaluate import results

    spec, of = run.spec, examined
    run.tell("phase", phase="evaluating")
    known = kept is not None and kept.is_file()
    with answering(run, of.architecture, of.tokenizer, of.form, of.device, of.stopping) as (write, alone):
        seen = read_predictions(kept) if kept is not None and known else of.ask(write, of.dev, alone=alone)
        begun = time.monotonic()
        tested = of.ask(write, of.test, alone=alone)
        took = (time.monotonic() - begun) * (1 if alone else run.ranks.world)
        further = by_format(run, write, of.form, of.test, alone=alone)
    table = results([*seen, *tested], seconds={"test": took / max(1, len(tested))})
    add_formats(table, further)
    for row in table if not known else [row for row in table if row["split"] == "test"]:
        run.tell("eval", **row, step=of.step, epoch=of.epoch, seed=spec.training.seed)
    if run.ranks.first:
        ledger = {
            "parameters": of.parameters,
            "bytes": weight_bytes(exported_copy(run.directory)),
            "train_flops": of.train_flops,
        }
        replace(run.directory / "predictions.jsonl", lines([*tested, *seen]))
        outcome = {
            "run_id": spec.run_id,
            "student": spec.student,
            "scope": spec.scope,
            "method": spec.method,
            "manifest_digest": spec.manifest_digest,
            "seed": spec.training.seed,
            "step": of.step,
            "steps": of.steps,
            "trained": of.trained,
            "epoch": of.epoch,
            "reason": of.reason,
            **of.about,
            "evaluation": spec.asked_with,
            "ledger": ledger,
            "results": table,
        }
        replace(run.directory / "evaluation.json", json.dumps(outcome, indent=1).encode())
        finish_student(run.directory, of.card(table, ledger))
        run.tell("ledger", **ledger)
    run.tell("exported", step=of.step, directory=DIRECTORY)


def add_formats(table: Sequence[dict[str, Any]], further: Mapping[str, Mapping[str, Any]]) -> None:
    """Adds the results in further formats, by task, to the rows of the test questions."""
    for row in table:
        if row["split"] == "test" and row["task"] in further:
            row["formats"] = further[row["task"]]


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
    save_student(run.directory, run.spec, gathered.adapted, session.tokenizer, template)


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
