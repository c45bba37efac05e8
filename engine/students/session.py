"""Builds a training in order: ranks, rows, tokenizer, model, engine, loop."""

from __future__ import annotations

import gc
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from engine.config.adapters import ADAPTERS
from engine.errors import JobFailed
from engine.forms import TokenForm
from engine.methods import TrainRow
from engine.students import base_checks, kernels, packing, zero
from engine.students.adapters import adapt
from engine.students.architecture import Architecture, architecture_of, is_encoder_decoder
from engine.students.base_model import load_model
from engine.students.batches import BatchPlan
from engine.students.builtin import make
from engine.students.checkpoints import RunState
from engine.students.conversations import Write
from engine.students.device import choose_device, device_name, peak_flops
from engine.students.evaluate import (
    Judge,
    Prediction,
    evaluate,
    prepare_generation,
    writer,
)
from engine.students.gathered_model import prepare_gathered, put_weights, read_weights
from engine.students.launch import accumulation_steps
from engine.students.loop import Loop
from engine.students.memory_needs import as_trained
from engine.students.objective import Student, add_rows_only
from engine.students.objectives import OBJECTIVES
from engine.students.precision import computes_in_bf16
from engine.students.resume import choose
from engine.students.room import positions, read_questions
from engine.students.run import Run
from engine.students.run_commands import asked_to_finish
from engine.students.run_form import builtin_outline, open_form, with_form
from engine.students.selection import FILE as SELECTION
from engine.students.selection import select
from engine.students.session_checkpoints import load_checkpoint, write_checkpoint
from engine.students.sizes import Size, size_of
from engine.students.spec import EvalRow
from engine.students.targets import FILE as TARGETS
from engine.students.targets import Targets, read_targets
from engine.students.threads import Threads
from engine.students.token_rows import TokenRow, read_rows, tokenize
from engine.students.tokenizer import (
    check_markers,
    keep_tokenizer,
    leave_prompts_open,
    load_tokenizer,
    pad_id,
    token_texts,
)


@dataclass(kw_only=True)
class Session:
    """A training that is ready to run."""

    run: Run
    device: torch.device
    tokenizer: Any
    gathered: Any
    """The model with complete weights; None once released."""
    architecture: Architecture
    form: TokenForm
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
    largest: int
    """The number of rows in the largest micro-batch."""
    saved: RunState | None = None
    """The state in the newest checkpoint."""

    def epoch(self, step: int) -> float:
        """The number of epochs after `step` steps."""
        world, accumulation = self.run.ranks.world, self.loop.accumulation
        return round(self.loop.plan.epochs(step, world=world, accumulation=accumulation), 4)

    def stamp(self, state: RunState) -> RunState:
        """The state with the ranks, stage and batches of this start."""
        now = {"world": self.run.ranks.world, "stage": self.run.spec.training.zero_stage}
        return state.model_copy(update={**now, "packed": self.loop.packed})

    def release(self) -> None:
        """Frees the memory of model and optimizer before the exported copy is loaded."""
        self.engine.destroy()
        self.engine = self.gathered = None
        self.loop.release()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def stopping(self) -> bool:
        """Whether this rank was asked to stop. Asked between batches of answers, when its share of threads may change too."""
        self.loop.threads.follow()
        return self.run.stop.set

    def evaluate(self, model: Any, rows: Sequence[EvalRow]) -> list[Prediction]:
        """Predictions of a model for rows. All ranks call it together."""
        run = self.run
        return self.ask(
            writer(
                model, self.tokenizer, self.form, run.spec.evaluation, stopping=self.stopping, note=run.note
            ),
            rows,
        )

    def ask(self, write: Write, rows: Sequence[EvalRow], *, alone: bool = False) -> list[Prediction]:
        """Predictions of a writer for rows. `alone`: only the first rank asks, for all questions."""
        run = self.run
        return evaluate(
            write,
            rows,
            run.spec.evaluation,
            reader=self.form,
            judge=self.judge,
            ranks=run.ranks,
            method=run.method,
            guidance=run.spec.guidance,
            seed=run.spec.training.seed,
            alone=alone,
        )


def build(run: Run) -> Session:
    """Builds a session. All ranks call it together.

    Raises:
        JobFailed: files, base model or devices do not match the spec.
    """
    spec, training, ranks = run.spec, run.spec.training, run.ranks
    size = size_of(spec.base)
    accumulation = accumulation_steps(training, ranks.world)
    train_rows = read_rows(run.directory / "manifest.jsonl", TrainRow)
    if not train_rows:
        raise JobFailed("manifest.jsonl has no rows: there is nothing to train on")
    questions = read_rows(run.directory / "questions.jsonl", EvalRow)
    judge = run.make_judge(spec.evaluation.grader)

    hardware = os.environ.get("DS_ACCELERATOR") or ("cuda" if torch.cuda.is_available() else "cpu")
    device = choose_device(hardware, ranks.local_rank)
    zero.join_ranks(hardware, world=ranks.world)
    bf16 = computes_in_bf16(run, device)
    attentions = kernels.attentions(training, device, bf16=bf16)
    if training.compile:
        kernels.check_compiler(device)

    run.tell("starting", phase="tokenizing")
    run, tokenizer, model = _base(run, size, train_rows, attentions)
    spec, architecture = run.spec, architecture_of(model)
    form = open_form(run, tokenizer, encoder_decoder=is_encoder_decoder(model.config))
    training = as_trained(training, world=ranks.world, bf16=bf16, on_gpu=device.type == "cuda")
    run = replace(run, spec=(spec := spec.model_copy(update={"training": training})))
    check_markers(tokenizer, form.markers)
    context = positions(model, taken=ADAPTERS[training.adapter].positions(training))
    limit = training.max_length if context is None else min(training.max_length, context)
    objective = OBJECTIVES[training.objective]
    targets = _targets(run, tokenizer, form) if objective.reads_distributions else None
    rows, dropped = tokenize(form, train_rows, max_length=limit, targets=targets)
    if targets is not None:
        run.note(targets.said())

    run.tell("starting", phase="building")
    _check_base(run, tokenizer, form, model, rows, questions, context)
    prepare_generation(model, tokenizer, form)
    if training.liger:
        kernels.apply_liger(model, device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    resume = choose(run)
    stage3 = training.zero_stage == 3
    gathered = prepare_gathered(
        model, lambda each: adapt(each, training), stage=training.zero_stage, bf16=bf16, device=device
    )
    if training.activation_checkpointing:
        kernels.checkpoint_activations(model, reentrant=stage3)
    if resume.how == "weights" and resume.state:
        put_weights(gathered.trained, read_weights(run.checkpoints, resume.state.step))
    student = Student(gathered.trained, architecture, objective=objective, compiled=training.compile)
    if zero.clips_itself(training, bf16) and ranks.world == 1 and not training.compile:
        add_rows_only(model)
    pad = pad_id(tokenizer)
    selection = select(
        *(student, gathered.model, form, train_rows, training),
        targets=targets,
        limit=limit,
        pad=pad,
        device=device,
        ranks=ranks,
    )
    engine, optimizer = zero.make_engine(
        student,
        training,
        device=device,
        bf16=bf16,
        accumulation_steps=accumulation * spec.splits,
        universal=resume.how == "universal" and training.zero_stage > 0,
        say=run.note,
    )
    packed = packing.packs(run, student, rows, resume.state, pad=pad, device=device)
    plan = BatchPlan(
        [architecture.lengths(row) for row in rows],
        batch_tokens=training.batch_tokens,
        batch_rows=training.batch_rows,
        seed=training.seed,
        packed=packed,
        begin=spec.epochs_before,
    )
    together = ranks.world * accumulation
    steps = training.steps or math.ceil(training.epochs * plan.micro_batches / together)
    dev = [row for row in questions if row.split == "dev"]
    loop = Loop(
        engine=engine,
        optimizer=optimizer,
        training=training,
        bf16=bf16,
        accumulation=accumulation,
        splits=spec.splits,
        packed=packed,
        chunk=packing.chunk(run, student, rows, pad=pad, device=device),
        architecture=architecture,
        rows=rows,
        flops=architecture.flops(gathered.model, rows),
        plan=plan,
        steps=steps,
        pad=pad,
        device=device,
        ranks=ranks,
        stop=run.stop,
        threads=Threads(run.directory, weights=parameters),
        progress=run.progress,
        asked_to_finish=lambda: asked_to_finish(run.directory),
        peak=peak_flops(device, bf16=bf16),
        selection=selection,
    )
    session = Session(
        run=run,
        device=device,
        tokenizer=tokenizer,
        gathered=gathered,
        architecture=architecture,
        form=form,
        engine=engine,
        loop=loop,
        rows=rows,
        train_rows=train_rows,
        dev=dev,
        test=[row for row in questions if row.split == "test"],
        judge=judge,
        parameters=parameters,
        steps=steps,
        dev_steps=dev_steps(run, plan, steps, together) if dev else frozenset(),
        largest=max(len(plan.micro_batch(number)) for number in range(plan.micro_batches)),
    )
    load_checkpoint(run, engine, optimizer, gathered, resume)
    if selection and resume.state:
        selection.read((run.checkpoints / str(resume.state.step) / SELECTION).read_bytes())
    session.saved = session.stamp(resume.state) if resume.state else None
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
        resumed=resume.how,
        packed=packed,
        pieces=spec.splits,
        attention=packing.attention_of(model),
    )
    return session


def _base(
    run: Run, size: Size | None, rows: Sequence[TrainRow], attentions: tuple[str | None, ...]
) -> tuple[Run, Any, Any]:
    """The run with the form of its student, tokenizer and model: loaded, or made for the rows."""
    spec = run.spec
    if size is None:
        model, tokenizer = load_model(spec.base, attentions), load_tokenizer(spec.base)
        encoder_decoder = is_encoder_decoder(model.config)
        if not encoder_decoder:
            appended, still = leave_prompts_open(tokenizer)
            if still:
                run.note(
                    f"the tokenizer of {spec.base} appends {appended} to every text, also in the export: the student is"
                    " asked without it, and a server has to leave it out too"
                )
        return (
            with_form(run, template=bool(tokenizer.chat_template), encoder_decoder=encoder_decoder),
            tokenizer,
            model,
        )
    run = with_form(run, template=False, encoder_decoder=size.encoder_decoder)
    directory = run.directory / "tokenizer"
    if run.ranks.first:
        keep_tokenizer(directory, rows, builtin_outline(run, size), size.vocabulary)
    run.ranks.barrier()
    tokenizer = load_tokenizer(str(directory))
    model = make(
        size,
        len(tokenizer),
        end=tokenizer.eos_token_id,
        pad=pad_id(tokenizer),
        positions=spec.training.max_length + spec.evaluation.max_new_tokens,
        seed=spec.training.seed,
        attention=attentions[-1],
    )
    return run, tokenizer, model


def _targets(run: Run, tokenizer: Any, form: TokenForm) -> Targets:
    """The distributions that the run learns from."""
    stored, width = read_targets(run.directory / TARGETS, run.spec.targets_digest)
    return Targets(stored, width, token_texts(tokenizer), form.outline.written, tail=run.spec.training.tail)


def _check_base(
    run: Run,
    tokenizer: Any,
    form: TokenForm,
    model: Any,
    rows: Sequence[TokenRow],
    questions: Sequence[EvalRow],
    context: int | None,
) -> None:
    """Refuses or notes what does not fit between the base and its rows and questions."""
    architecture, base, most = architecture_of(model), run.spec.base, run.spec.evaluation.max_new_tokens
    texts = [row.question for row in questions]
    asked = read_questions(form, texts, architecture, limit=context, most=most)
    pairs = list(zip(questions, asked, strict=True))
    base_checks.check_tokens(model, base, rows, pairs)
    notes = (
        base_checks.end_note(tokenizer, form, base),
        base_checks.expert_note(model),
        *base_checks.room_notes(pairs, most),
    )
    for note in filter(None, notes):
        run.note(note)


def dev_steps(run: Run, plan: BatchPlan, steps: int, together: int) -> frozenset[int]:
    """The steps after which dev is evaluated. The last step is one of them, unless there are none."""
    evaluation = run.spec.evaluation
    if evaluation.every_epochs:
        each = evaluation.every_epochs * plan.micro_batches / together
        times = int(steps / each)
        return frozenset({min(steps, math.ceil(each * number)) for number in range(1, times + 1)} | {steps})
    times = evaluation.dev_evaluations
    return frozenset(math.ceil(steps * number / times) for number in range(1, times + 1))


def save(session: Session, state: RunState, files: dict[str, bytes]) -> None:
    """Writes a checkpoint of `state`, with extra files. All ranks call it together."""
    if session.loop.selection:
        files = {**files, SELECTION: session.loop.selection.to_bytes()}
    write_checkpoint(
        session.run,
        session.engine,
        session.loop.optimizer,
        state,
        files,
        adapted=session.gathered.adapted.frozen,
        bf16=session.loop.bf16,
    )
    session.saved = state
