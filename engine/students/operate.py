"""Makes the student of a derived run: an operation makes it, and it is exported, tested and finished as a trained one is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.config.students import EvaluationConfig
from engine.errors import JobFailed
from engine.forms import PromptedForm
from engine.students.adapters import Adapted
from engine.students.conversations import Write
from engine.students.derived_card import derived_card
from engine.students.device import choose_device, device_name
from engine.students.evaluate import Prediction, evaluate, prepare_generation, writer
from engine.students.exported_student import save_members, save_student
from engine.students.finish import Examined, conclude
from engine.students.opened_copy import open_copy, weights_of
from engine.students.operations import OPERATIONS
from engine.students.prompt_file import write_prompt
from engine.students.spec import EvalRow
from engine.students.threads import Threads
from engine.students.token_rows import read_rows
from engine.students.work import Work

if TYPE_CHECKING:
    from engine.students.run import Run


def operate(run: Run) -> None:
    """The whole run: make, export, test, finish. A killed run makes it again, from what its operation kept.

    Raises:
        Stopped: it was asked to stop.
        JobFailed: its sources do not go together.
    """
    spec = run.spec
    operation = OPERATIONS[spec.kind]
    settings = operation.settings.model_validate(spec.operation)
    if reason := operation.refusal(spec.sources):
        raise JobFailed(reason)
    hardware = os.environ.get("DS_ACCELERATOR") or ("cuda" if torch.cuda.is_available() else "cpu")
    device = choose_device(hardware, run.ranks.local_rank)
    first = Path(spec.sources[0].directory)
    architecture, tokenizer, form = open_copy(run, first)
    threads = Threads(run.directory, weights=weights_of(first))

    def stopping() -> bool:
        threads.follow()
        return run.stop.set

    rows = read_rows(run.directory / "questions.jsonl", EvalRow)
    judge = run.make_judge(spec.evaluation.grader)

    def ask(
        write: Write, asked: Sequence[EvalRow], *, alone: bool, config: EvaluationConfig = spec.evaluation
    ) -> list[Prediction]:
        return evaluate(
            write,
            asked,
            config,
            reader=form,
            judge=judge,
            ranks=run.ranks,
            method=run.method,
            guidance=spec.guidance,
            seed=spec.training.seed,
            alone=alone,
        )

    def score(model: Any, split: str) -> float | None:
        asked = [row for row in rows if row.split == split]
        if not asked:
            return None
        prepare_generation(model, tokenizer, form)
        greedy = spec.evaluation.model_copy(update={"samples": 0})
        write = writer(model, tokenizer, form, greedy, stopping=stopping)
        judged = ask(write, asked, alone=False, config=greedy)
        return sum(each.correct for each in judged) / len(judged)

    run.tell("phase", phase="making")
    work = Work(run, device, score)
    torch.manual_seed(work.seed)
    made = operation.make(spec.sources, settings, work)
    figures, members = dict(made.figures), tuple(made.files)
    parameters = sum(parameter.numel() for parameter in made.model.parameters())
    run.tell("made", parameters=parameters, device=device_name(device), figures=figures)

    if made.prompt:
        form = PromptedForm(form, made.prompt)
    run.tell("phase", phase="exporting")
    work.check()
    if members:
        save_members(run.directory, spec.kind, made.files)
    else:
        prepare_generation(made.model, tokenizer, form)
        partial = save_student(run.directory, spec, Adapted(made.model, None), tokenizer, form.template)
        if made.prompt:
            write_prompt(partial, made.prompt)
    del made  # the copy is loaded as its users load it

    def card(table: list[dict[str, Any]], ledger: Mapping[str, float]) -> str:
        return derived_card(
            spec,
            architecture,
            form,
            members=members,
            parameters=parameters,
            figures=figures,
            results=table,
            ledger=ledger,
        )

    examined = Examined(
        architecture=architecture,
        tokenizer=tokenizer,
        form=form,
        device=device,
        ask=ask,
        stopping=stopping,
        dev=[row for row in rows if row.split == "dev"],
        test=[row for row in rows if row.split == "test"],
        step=0,
        steps=0,
        trained=0,
        epoch=0.0,
        reason="complete",
        about={"kind": spec.kind, "figures": figures},
        card=card,
        parameters=parameters,
        train_flops=0.0,
    )
    conclude(run, examined)
    work.forget()
    run.tell("done", step=0, steps=0, reason="complete", trained=0)
