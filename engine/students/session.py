"""All that a training needs, built in order: ranks, rows, tokenizer, model, engine, loop."""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from engine.errors import JobFailed
from engine.students import lora, zero
from engine.students.batches import BatchPlan
from engine.students.checkpoints import RunState, commit, complete_steps, partial_name, read_state
from engine.students.device import choose_device, device_name, peak_flops, uses_bf16
from engine.students.evaluate import Judge, Prediction, evaluate, positions, prepare_generation
from engine.students.kind import DECODER, Kind, kind_of
from engine.students.loop import Loop
from engine.students.model import is_builtin, load_model, nano
from engine.students.objective import Student
from engine.students.rows import TokenRow, read_rows, tokenize
from engine.students.run import Run
from engine.students.spec import EvalRow, TrainRow
from engine.students.tokenizer import check_arrow, keep_tokenizer, load_tokenizer, pad_id


@dataclass(kw_only=True)
class Session:
    """A built training: what it learns from, with what, for how long."""

    run: Run
    device: torch.device
    tokenizer: Any
    model: Any
    adapted: Any | None
    """The adapters in it, where LoRA is used."""
    kind: Kind
    engine: Any
    loop: Loop
    rows: Sequence[TokenRow]
    train_rows: Sequence[TrainRow]
    dev: Sequence[EvalRow]
    test: Sequence[EvalRow]
    judge: Judge
    parameters: int
    steps: int
    dev_steps: frozenset[int]
    saved: RunState | None = None
    """The newest checkpoint's."""

    def epoch(self, step: int) -> float:
        """Passes over the rows after `step` steps."""
        training = self.run.spec.training
        epochs = self.loop.plan.epochs(step, world=self.run.ranks.world, accumulation=training.accumulation)
        return round(epochs, 4)

    def release(self) -> None:
        """Gives the memory of model and optimizer back before the exported copy is loaded."""
        self.engine.destroy()
        self.engine = self.model = self.adapted = None
        self.loop.engine = self.loop.optimizer = None
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def evaluate(self, model: Any, rows: Sequence[EvalRow]) -> list[Prediction]:
        """Predictions of a model for rows; on all ranks together."""
        run = self.run
        return evaluate(
            model,
            self.tokenizer,
            rows,
            run.spec.evaluation,
            rationale=run.rationale,
            judge=self.judge,
            ranks=run.ranks,
            stop=run.stop,
        )


def build(run: Run) -> Session:
    """Builds a session; on all ranks together.

    Raises:
        JobFailed: files, base model or devices are not what the spec says.
    """
    spec, training, ranks = run.spec, run.spec.training, run.ranks
    builtin = is_builtin(spec.base)
    train_rows = read_rows(run.directory / "manifest.jsonl", TrainRow)
    if not train_rows:
        raise JobFailed("manifest.jsonl has no rows: there is nothing to learn from")
    questions = read_rows(run.directory / "questions.jsonl", EvalRow)
    judge = run.make_judge(spec.evaluation.grader)

    hardware = os.environ.get("DS_ACCELERATOR") or ("cuda" if torch.cuda.is_available() else "cpu")
    device = choose_device(hardware, ranks.local_rank)
    bf16 = uses_bf16(training, device)
    zero.join_ranks(hardware, world=ranks.world)

    run.tell("starting", phase="tokenizing")
    source = spec.base
    if builtin:
        directory = run.directory / "tokenizer"
        if ranks.first:
            keep_tokenizer(directory, train_rows)
        ranks.barrier()
        source = str(directory)
    model = None if builtin else load_model(source)
    limit = (
        training.max_length
        if model is None
        else min(training.max_length, positions(model) or training.max_length)
    )
    tokenizer = load_tokenizer(source)
    if run.rationale:
        check_arrow(tokenizer)
    kind = DECODER if model is None else kind_of(model)
    rows, dropped = tokenize(tokenizer, train_rows, max_length=limit, form=kind.form)

    run.tell("starting", phase="building")
    if model is None:
        room = training.max_length + spec.evaluation.max_new_tokens
        model = nano(
            len(tokenizer),
            end=tokenizer.eos_token_id,
            pad=pad_id(tokenizer),
            positions=room,
            seed=training.seed,
        )
    highest, known = max(int(row.ids.max()) for row in rows), model.get_input_embeddings().num_embeddings
    if highest >= known:
        raise JobFailed(
            f"the tokenizer of {spec.base} gives token {highest}, but the model knows {known}: they do not belong together"
        )
    prepare_generation(model, tokenizer)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    adapted = lora.adapt(model, training)
    engine, optimizer = zero.make_engine(Student(model), training, bf16=bf16)

    plan = BatchPlan(
        [kind.parts(row) for row in rows], batch_tokens=training.batch_tokens, seed=training.seed
    )
    together = ranks.world * training.accumulation
    steps = training.steps or math.ceil(training.epochs * plan.micro_batches / together)
    dev = [row for row in questions if row.split == "dev"]
    loop = Loop(
        engine=engine,
        optimizer=optimizer,
        training=training,
        bf16=bf16,
        kind=kind,
        rows=rows,
        flops=kind.flops(model, rows),
        plan=plan,
        steps=steps,
        pad=pad_id(tokenizer),
        device=device,
        ranks=ranks,
        stop=run.stop,
        progress=run.progress,
        peak=peak_flops(device, bf16=bf16),
    )
    session = Session(
        run=run,
        device=device,
        tokenizer=tokenizer,
        model=model,
        adapted=adapted,
        kind=kind,
        engine=engine,
        loop=loop,
        rows=rows,
        train_rows=train_rows,
        dev=dev,
        test=[row for row in questions if row.split == "test"],
        judge=judge,
        parameters=parameters,
        steps=steps,
        dev_steps=dev_steps(run, plan, steps) if dev else frozenset(),
    )
    session.saved = _resume(session)
    run.tell(
        "loaded",
        parameters=parameters,
        device=device_name(device),
        world_size=ranks.world,
        tokens=sum(len(row.ids) for row in rows),
        rows=len(rows),
        dropped_long=dropped,
        steps=steps,
        resumed_from=session.saved.step if session.saved else None,
    )
    return session


def dev_steps(run: Run, plan: BatchPlan, steps: int) -> frozenset[int]:
    """The steps after which dev is evaluated; the last one is among them, unless there are none."""
    evaluation, training = run.spec.evaluation, run.spec.training
    if evaluation.every_epochs:
        each = evaluation.every_epochs * plan.micro_batches / (run.ranks.world * training.accumulation)
        times = int(steps / each)
        return frozenset({min(steps, math.ceil(each * number)) for number in range(1, times + 1)} | {steps})
    times = evaluation.dev_evaluations
    return frozenset(math.ceil(steps * number / times) for number in range(1, times + 1))


def save(session: Session, state: RunState, files: dict[str, bytes]) -> None:
    """Makes a checkpoint of `state`, with extra files; on all ranks together."""
    run, directory = session.run, session.run.checkpoints
    name = partial_name(state.step)
    session.engine.save_checkpoint(
        str(directory), tag=name, save_latest=False, exclude_frozen_parameters=session.adapted is not None
    )
    run.ranks.barrier()
    if run.ranks.first:
        for file, data in files.items():
            (directory / name / file).write_bytes(data)
        commit(directory, state)
    run.ranks.barrier()
    session.saved = state


def load(session: Session, step: int, *, weights_only: bool) -> None:
    """Puts the weights (and the optimizer's state) of a complete checkpoint into the engine."""
    path, _ = session.engine.load_checkpoint(
        str(session.run.checkpoints),
        tag=str(step),
        load_module_strict=session.adapted is None,  # frozen weights are not in it
        load_module_only=weights_only,
        load_lr_scheduler_states=False,
    )
    if path is None:
        raise JobFailed(f"the checkpoint of step {step} in {session.run.checkpoints} cannot be read")


def _resume(session: Session) -> RunState | None:
    """The newest checkpoint's state, once it is loaded; None where there is none."""
    run = session.run
    steps = complete_steps(run.checkpoints)
    state = read_state(run.checkpoints, steps[-1]) if steps else None
    if state is None:
        return None
    if state.world != run.ranks.world:
        raise JobFailed(
            f"the checkpoint of step {state.step} was made by {state.world} ranks and cannot be read by "
            f"{run.ranks.world}: start with as many, or remove {run.checkpoints} to train from the start"
        )
    load(session, state.step, weights_only=state.finished is not None)
    return state
