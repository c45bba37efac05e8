"""Measures what a run will cost: `python -m engine.students.measure_cost RUN_DIR`, once for each rank.

Builds the run as training does (`session.build`), with the student's own rows, batches, precision, engine and ranks. It trains three
optimizer steps, more where they are short, writes a checkpoint and an export, and generates for one batch of questions. The
time of the whole run follows from its number of steps, tokens and questions. An untrained base is only asked.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.students.exported_student import PARTIAL
from engine.students.run import Run
from engine.students.run_cost import EVENT, RunCost
from engine.students.train import import_libraries, main

if TYPE_CHECKING:  # these bring torch
    from engine.students.session import Session

ENOUGH_S = 2.0
"""Steps are measured for about this long, and at least `LEAST`."""
LEAST, MOST = 2, 60
"""After a first step, which is not counted: it allocates memory."""
WRITTEN = 16
"""Tokens that are generated to measure generation."""
_BEGUN = time.monotonic()


def measure_cost(run: Run) -> None:
    """Reports an event `cost`.

    Raises:
        JobFailed: the run could not be trained either.
    """
    import_libraries()
    cost = _trained(run) if run.method.trains else _asked(run)
    run.tell(EVENT, **cost.model_dump())


def _trained(run: Run) -> RunCost:
    import numpy as np

    from engine.students.session import build

    session = build(run)
    run, ranks = session.run, session.run.ranks
    start = time.monotonic() - _BEGUN
    evaluation, training = run.spec.evaluation, run.spec.training
    loop, plan = session.loop, session.loop.plan
    loop.begin(0)
    _steps(session, 1, 1)
    first = _steps(session, 2, 1)
    more = max(LEAST - 1, min(MOST, math.ceil(ENOUGH_S / first)))
    more = ranks.gather(more)[0]
    cpu, begun = time.process_time(), time.monotonic()
    seconds = first + _steps(session, 3, more)
    share = (time.process_time() - cpu) / (time.monotonic() - begun)
    last = 2 + more
    together = {"world": ranks.world, "accumulation": loop.accumulation}
    tokens = sum(_tokens(session, step, together) for step in range(2, last + 1))
    # Batches of a step differ in size; an epoch has all of them.
    per_step = (
        sum(len(row.ids) for row in session.rows) * ranks.world * loop.accumulation / plan.micro_batches
    )
    speed = tokens / seconds
    saved, checkpoint = _checkpoint(session, last)
    times = {step for step in range(1, session.steps + 1) if step % training.checkpoint_steps == 0}
    times |= {*session.dev_steps, session.steps}
    turns = math.ceil(np.mean([max(1, len(row.turns)) for row in session.train_rows]))
    lengths = [math.ceil(row.supervised / turns) for row in session.rows]
    size = evaluation.batch_size
    # A batch takes as long as its longest answer.
    answer = min(evaluation.max_new_tokens, math.ceil(np.quantile(lengths, size / (size + 1))))
    if not session.form.ends:
        answer = evaluation.max_new_tokens
    asked = (
        len(session.dev_steps) * _share(session.dev, run),
        _share(session.test, run) * (1 + evaluation.samples),
    )
    questions = [row.question for row in (*session.dev, *session.test)]
    with session.gathered.weights() as model:
        prompts = session.form.prompt_ids(questions)
        batch = _batch_seconds(model, session.tokenizer, prompts, size, [answer] * turns)
    exported, export = _export(session, last)
    kept = min(len(times), training.keep_checkpoints + 2)  # the best one, and the one that is being written
    return RunCost(
        rows=len(session.rows),
        steps=session.steps,
        measured_steps=last,
        tokens_per_second=speed,
        start_s=start,
        training_s=session.steps * per_step / speed,
        evaluation_s=batch * sum(asked) + exported[1],
        saving_s=saved * len(times) + exported[0],
        answer_tokens=answer,
        cpu_share=share if session.device.type == "cpu" else None,
        memory_bytes=_memory(run, session.device),
        disk_bytes=kept * checkpoint + export,
        kept_bytes=min(len(times), training.keep_checkpoints_finished) * checkpoint + export,
    )


def _steps(session: Session, first: int, count: int) -> float:
    """The seconds of some optimizer steps."""
    begun = time.monotonic()
    for step in range(first, first + count):
        session.loop.run_step(step, sync=step == first + count - 1)
    return time.monotonic() - begun


def _tokens(session: Session, step: int, together: dict[str, int]) -> int:
    share = session.loop.plan.step(step - 1, **together)
    return sum(len(session.rows[index].ids) for batches in share for batch in batches for index in batch)


def _share(questions: Sequence[Any], run: Run) -> int:
    """The batches of questions that a rank answers."""
    return math.ceil(math.ceil(len(questions) / run.ranks.world) / run.spec.evaluation.batch_size)


def _checkpoint(session: Session, step: int) -> tuple[float, int]:
    """The seconds and bytes of a checkpoint."""
    from engine.students.checkpoints import RunState
    from engine.students.session import save

    begun = time.monotonic()
    save(session, session.stamp(RunState(step=step, world=session.run.ranks.world)), {})
    return time.monotonic() - begun, _bytes(session.run.checkpoints)


def _export(session: Session, step: int) -> tuple[tuple[float, float], int]:
    """The seconds of writing and of loading an export, and its bytes."""
    from engine.students.exported_student import load_student, save_student

    run, begun = session.run, time.monotonic()
    if run.ranks.first:
        if session.gathered.twin:
            session.gathered.read(run.checkpoints, step)
        adapted = session.gathered.adapted
        save_student(run.directory, run.spec, adapted, session.tokenizer, session.form.template)
        del adapted  # it is freed before the export is loaded
    run.ranks.barrier()
    written = time.monotonic() - begun
    session.release()
    load_student(run.directory, session.device)
    return (written, time.monotonic() - begun - written), _bytes(run.directory / PARTIAL)


def _asked(run: Run) -> RunCost:
    from engine.students.measure import conversation, open_untrained, prompt_of
    from engine.students.spec import EvalRow
    from engine.students.token_rows import read_rows
    from engine.teachers.messages import Completion, Usage

    base = open_untrained(run)
    start, evaluation = time.monotonic() - _BEGUN, run.spec.evaluation
    questions = read_rows(run.directory / "questions.jsonl", EvalRow)
    prompts: list[list[int]] = []
    turns: list[int] = []
    for row in questions:
        talk = conversation(run.spec, row)
        turns = []
        while talk.request is not None:
            if not turns:
                prompts.append(prompt_of(base.form, talk.request))
            turns.append(talk.request.max_tokens)
            talk.answer(Completion(text="", reasoning="", usage=Usage(prompt_tokens=0, completion_tokens=0)))
    tests = [row for row in questions if row.split == "test"]
    times = _share(questions, run) + _share(tests, run) * evaluation.samples
    return RunCost(
        start_s=start,
        evaluation_s=times
        * _batch_seconds(base.model, base.tokenizer, prompts, evaluation.batch_size, turns),
        answer_tokens=max(turns, default=0),
        memory_bytes=_memory(run, base.device),
    )


def _batch_seconds(
    model: Any, tokenizer: Any, prompts: list[list[int]], size: int, turns: list[int]
) -> float:
    """The seconds in which a batch of questions is answered, in turns of that many tokens."""
    from engine.students.architecture import architecture_of, is_encoder_decoder
    from engine.students.room import positions
    from engine.students.tokenizer import pad_id

    architecture, pad, limit = architecture_of(model), pad_id(tokenizer), positions(model)
    apart = is_encoder_decoder(model.config)
    prompts = sorted(
        (each for each in prompts if limit is None or architecture.room(len(each), limit) > WRITTEN), key=len
    )
    if not prompts:
        return 0.0
    middle = max(0, (len(prompts) - size) // 2)
    batch = prompts[middle : middle + size]
    ends, model.generation_config.eos_token_id = model.generation_config.eos_token_id, None
    model.eval()

    def seconds(count: int, after: int) -> float:
        """Of writing `count` tokens after a prompt and `after` further ones, with which a step takes longer."""
        room = 0 if apart else limit - WRITTEN - 1 if limit else math.inf  # an encoder reads the prompt alone
        longer = [
            [*ids, *itertools.islice(itertools.cycle(ids), max(0, int(min(after, room - len(ids)))))]
            for ids in batch
        ]
        begun = time.monotonic()
        architecture.continuations(model, longer, pad=pad, count=count)
        return time.monotonic() - begun

    total, before = 0.0, 0
    try:
        seconds(2, 0)  # the first one allocates memory
        for count in turns:
            middle = before + count // 2
            each = max(0.0, seconds(1 + WRITTEN, middle) - seconds(1, middle)) / WRITTEN
            total += seconds(1, before) + (count - 1) * each
            before += count
    finally:
        model.generation_config.eos_token_id = ends
        model.train()
    return total


def _memory(run: Run, device: Any) -> int:
    from engine.students.device import memory_mb

    peaks = run.ranks.gather(memory_mb(device) * 2**20)
    return round(sum(peaks) if device.type == "cpu" else max(peaks))


def _bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], job=measure_cost))
