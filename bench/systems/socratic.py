"""Socratic CoT: a nano student on multi-step arithmetic, turn by turn, and with the sub-questions of other problems.

A student that solves its sub-questions must fail when they are another problem's. Its own accuracy is measured with those if
the failure is planted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from bench.students import start
from bench.systems.gates import Gate
from engine.config import EvaluationConfig, TrainingConfig
from engine.decomposition import write_steps
from engine.forms import FIRST
from engine.methods import METHODS, Asking, RowSettings, TrainingQuestion, TrainRow
from engine.students.conversations import Write
from engine.students.room import Completion
from engine.students.spec import EvalRow, Spec, write_rows
from engine.tasks.builtin import BUILTIN_TASKS
from engine.tasks.procedural import trace
from engine.tasks.procedural.task import generate

TASK = BUILTIN_TASKS["multi_step_arithmetic"]
METHOD = METHODS["socratic-golden"]
SEEDS = (0, 1, 2)
THREADS = 1
LEAST, MOST = 0.80, 0.35
TRAINING = MappingProxyType({"steps": 1200, "batch_rows": 8, "learning_rate": 4e-3, "zero_stage": 0})


def problems(train: int, test: int, guidance: str = "none") -> tuple[list[TrainRow], list[EvalRow]]:
    """Training rows from the solver's traces, and test questions."""
    made = generate(TASK, seed=0, sizes={"train": train, "dev": 0, "test": test}, options=TASK.options())
    lessons = []
    for number, each in enumerate(question for question in made if question.split == "train"):
        found = TASK.find(each.text)
        assert found is not None
        lines = write_steps(TASK.renderer.steps(trace(found.problem)))
        lessons.append(
            TrainingQuestion(question_id=number, question=each.text, gold=each.answer, rationale=lines)
        )
    asked = [
        EvalRow(
            question_id=number,
            task="arithmetic",
            split="test",
            question=each.text,
            gold=each.answer,
            answer_format="number",
        )
        for number, each in enumerate((q for q in made if q.split == "test"), train)
    ]
    return list(METHOD.rows(lessons, RowSettings(guidance=guidance))), asked


def make_run(directory: Path, rows: Sequence[TrainRow], seed: int, guidance: str = "none") -> Path:
    """A run directory without questions: the check asks its own."""
    directory.mkdir(parents=True)
    digest = write_rows(directory / "manifest.jsonl", rows)
    write_rows(directory / "questions.jsonl", [])
    spec = Spec(
        run_id=1,
        student="socratic",
        scope="arithmetic",
        trigger="complete",
        method=METHOD.name,
        base="builtin:nano",
        form=FIRST,
        training=TrainingConfig(**TRAINING, seed=seed),
        evaluation=EvaluationConfig(dev_evaluations=0, max_new_tokens=32),
        manifest_digest=digest,
        guidance=guidance,
    )
    (directory / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    return directory


def accuracy(directory: Path, asked: Sequence[EvalRow], *, others: bool) -> float:
    """The share of questions that an exported student answers. `others`: with the sub-questions of another problem."""
    from engine.students.evaluate import evaluate, judge_with, writer
    from engine.students.exported_student import load_student
    from engine.students.opened_student import open_student
    from engine.students.ranks import Ranks, StopFlag
    from engine.students.run import Run, read_spec

    spec = read_spec(directory)
    run = Run(
        directory=directory,
        spec=spec,
        ranks=Ranks(rank=0, local_rank=0, world=1),
        stop=StopFlag(),
        progress=None,
        make_judge=judge_with,
    )
    student = open_student(run)
    model = load_student(directory, student.device)
    write = writer(model, student.tokenizer, student.form, spec.evaluation, stopping=lambda: False)
    found = evaluate(
        of_other_problems(write) if others else write,
        asked,
        spec.evaluation,
        reader=student.form,
        judge=judge_with(spec.evaluation.grader),
        ranks=run.ranks,
        method=run.method,
        guidance=spec.guidance,
    )
    return sum(each.correct for each in found) / len(found)


def of_other_problems(write: Write) -> Write:
    """A writer whose sub-questions are those that it would ask of the next problem in the same wave."""

    def written(asked: Sequence[str | Asking], temperature: float | None) -> list[Completion]:
        said = write(asked, temperature)
        asks = [at for at, each in enumerate(asked) if isinstance(each, Asking) and each.role == "ask"]
        moved = dict(zip(asks, [*asks[1:], *asks[:1]], strict=True))
        return [replace(each, text=said[moved.get(at, at)].text) for at, each in enumerate(said)]

    return written


def trained(directory: Path, rows: Sequence[TrainRow], seed: int, guidance: str = "none") -> Path:
    """A run whose process has ended."""
    run = make_run(directory, rows, seed, guidance)
    if start(run, "cpu", THREADS).wait():
        raise SystemExit(f"the run failed:\n{(run / 'log.txt').read_text()[-3000:]}")
    return run


def gates(broken: bool) -> list[Gate]:
    """The gates over all seeds."""
    rows, asked = problems(350, 100)
    own, others = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            run = trained(Path(folder) / str(seed), rows, seed)
            others[seed] = accuracy(run, asked, others=True)
            own[seed] = others[seed] if broken else accuracy(run, asked, others=False)
    return [
        Gate(
            name="accuracy turn by turn",
            figure=_said(own),
            threshold=f">= {LEAST:g} on each seed",
            passed=min(own.values()) >= LEAST,
            seeds=SEEDS,
        ),
        Gate(
            name="accuracy with the sub-questions of other problems",
            figure=_said(others),
            threshold=f"<= {MOST:g} on each seed",
            passed=max(others.values()) <= MOST,
            seeds=SEEDS,
        ),
    ]


def _said(values: dict[int, float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values.values())
