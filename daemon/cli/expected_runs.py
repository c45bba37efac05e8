"""The runs that a configuration will make, with stand-in rows, as directories that a training process reads.

Rows have the task's own questions and gold answers. Their rationales are stored ones of the task, else those in its data, else words
of its questions in rationales of an assumed length. So rows have the number and, where samples are stored, the length that training will meet.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.catalog.prompt_templates import examples_for
from daemon.catalog.sync import Input
from daemon.training.devices import Device
from daemon.training.manifest import base_of
from daemon.training.placement import training_now
from daemon.training.scopes import Scope
from engine.config import Config
from engine.config.ancestors import chain_of, with_its_form
from engine.config.named import expand
from engine.config.prompts import templates_of
from engine.config.served import reads
from engine.methods import METHODS, RowSettings, TrainingQuestion, TrainRow
from engine.question import Question
from engine.strategies import STRATEGIES, Wording
from engine.students.objectives import OBJECTIVES
from engine.students.spec import EvalRow, Spec, write_rows
from engine.students.targets import FILE as TARGETS
from engine.students.targets import digest_of_targets, targets_bytes
from state.database import open_reader
from state.enums import RunState
from state.errors import StateMissing
from state.logprobs import Logprobs, pack
from state.runs import RunRow, RunSettings
from state.training_samples import stored_rationales
from state.triggers import Stock

ASSUMED = 400
"""Characters of a rationale where nothing is known: about 90 tokens."""


@dataclass(frozen=True, slots=True)
class Rationales:
    """Stand-ins for the rationales of a task, their source in words, and the share of correct ones."""

    texts: tuple[str, ...]
    source: str
    correct: float = 1.0


@dataclass(frozen=True, slots=True)
class StandIn:
    """A sample that was not made yet."""

    rationale: str
    extracted: str | None
    sample_id: int = 0
    correct: bool = True


def good_word(config: Config, task: str) -> str:
    """What samples of a task are that a student can read."""
    return "correct" if config.tasks[task].labelled else "answered"


def rationales_for(config: Config, name: str, questions: Sequence[Question]) -> Rationales:
    """Stand-ins for the rationales of a task."""
    good = good_word(config, name)
    try:
        with closing(open_reader(config.database)) as connection:
            stored = stored_rationales(connection, name)
    except StateMissing:
        stored = []
    if right := tuple(text for text, correct in stored if correct):
        share = len(right) / len(stored)
        return Rationales(
            right, f"stored rationales ({len(right):,}; {100 * share:.0f} % of samples {good})", share
        )
    if given := tuple(each.rationale for each in questions if each.rationale):
        return Rationales(given, "the rationales in its data, and all samples correct")
    chance = random.Random(0)
    words = [word for each in questions for word in each.text.split()] or ["so"]
    texts = []
    for _ in range(min(1000, max(1, len(questions)))):
        length, text = chance.uniform(0.5, 1.5) * ASSUMED, ""
        while len(text) < length:
            text += f" {chance.choice(words)}"
        texts.append(text.strip())
    return Rationales(tuple(texts), f"assumed rationales of {ASSUMED} characters, and all samples {good}")


def expected_rows(
    config: Config, given: Input, scope: Scope, rationales: dict[str, Rationales]
) -> list[TrainRow]:
    """The rows of the largest run of a scope."""
    student = scope.student
    method = METHODS[student.method]
    questions: list[TrainingQuestion] = []
    for task in scope.tasks:
        asked = [each for each in given.tasks[task].questions or () if each.split == "train"]
        asked = asked[: student.questions]
        samples: Iterator[list[StandIn]] = iter([[] for _ in asked])
        if method.reads_samples:
            samples = _samples(asked, rationales[task], _per_question(config, scope, task, rationales[task]))
        for each, own in zip(asked, samples, strict=True):
            questions.append(
                TrainingQuestion(
                    question_id=len(questions) + 1,
                    question=each.text,
                    gold=each.answer,
                    samples=own,
                    rationale=each.rationale,
                )
            )
    rows = list(
        method.rows(
            [each for each in questions if each.samples or not method.reads_samples],
            RowSettings(
                mix_answers=student.curation.mix_answers,
                formats=student.curation.formats,
                shots=student.curation.shots,
                seed=student.training.seed,
            ),
        )
    )
    return rows[: _most(scope) if method.reads_samples else None]


def _per_question(config: Config, scope: Scope, task: str, rationales: Rationales) -> float:
    """The correct rationales of a question that the student will read, on average."""
    asked = sum(
        plan.rationales
        for plan in config.plans
        if reads(scope.student, plan, config) and task in expand(plan.tasks, list(config.tasks))
    )
    return min(scope.student.rationales, asked * rationales.correct)


def _samples(questions: Sequence[Question], rationales: Rationales, each: float) -> Iterator[list[StandIn]]:
    """Stand-ins for each question, `each` of them on average."""
    made = 0
    for number, question in enumerate(questions, 1):
        count = round(number * each) - made
        texts = [rationales.texts[(made + place) % len(rationales.texts)] for place in range(count)]
        made += count
        yield [StandIn(text, question.answer, sample_id=made) for text in texts]


def _most(scope: Scope) -> int | None:
    """The most samples that a run of the scope waits for; None: all."""
    goals = [
        progress.goal if progress.unit == "samples" and progress.goal else None
        for progress in (trigger.progress(Stock(), 0) for trigger in scope.student.triggers)
    ]
    return None if None in goals else max(goal for goal in goals if goal is not None)


def write_run(
    directory: Path,
    config: Config,
    given: Input,
    scope: Scope,
    rows: Sequence[TrainRow],
    devices: Sequence[Device],
) -> Spec:
    """Writes a run directory for a scope, as `manifest.materialise` does for a run in the database."""
    student = scope.student
    run = RunRow(
        id=0,
        student=student.name,
        scope=scope.name,
        trigger="",
        state=RunState.QUEUED,
        base=student.base,
        settings=RunSettings(student=student.model_dump(mode="json")),
        digest="",
    )
    held = [
        EvalRow.model_validate(
            {
                "question_id": number,
                "task": task,
                "split": each.split,
                "question": each.text,
                "gold": each.answer,
                "answer_format": config.tasks[task].answer,
            }
        )
        for task in scope.tasks
        for number, each in enumerate(given.tasks[task].questions or ())
        if each.split != "train"
    ]
    learned = (
        _distributions(config, rows) if OBJECTIVES[student.training.objective].reads_distributions else {}
    )
    (directory / TARGETS).write_bytes(targets_bytes(learned))
    spec = Spec(
        run_id=0,
        student=student.name,
        scope=scope.name,
        trigger="",
        method=student.method,
        base=base_of(config, chain_of(student, config)[-1].base),
        form=with_its_form(student, config).form,
        training=training_now(run, config, devices),
        evaluation=student.evaluation,
        manifest_digest=write_rows(directory / "manifest.jsonl", rows),
        targets_digest=digest_of_targets(learned),
        formats=tuple(student.curation.formats),
        shots=student.curation.shots,
        strategy=student.strategy,
        wordings=_wordings(config, given, scope),
    )
    write_rows(directory / "questions.jsonl", held)
    (directory / "spec.json").write_text(spec.to_json(), encoding="utf-8")
    return spec


def _distributions(config: Config, rows: Sequence[TrainRow]) -> dict[int, list[bytes]]:
    """Stand-ins for the log-probabilities of rationales: words are tokens, with as many others as plans ask for."""
    found: dict[int, list[bytes]] = {}
    most = max((plan.logprobs for plan in config.plans), default=0)
    for row in rows:
        if row.sample_id and row.rationale:
            words = re.findall(r"\s*\S+", f" {row.rationale}")
            top = tuple((word, -0.5) for word in words[:most])
            logprobs = Logprobs(tuple(words), (-0.5,) * len(words), (top,) * len(words))
            found.setdefault(row.sample_id, []).append(pack(logprobs))
    return found


def _wordings(config: Config, given: Input, scope: Scope) -> dict[str, dict[str, Any]]:
    student = scope.student
    if student.strategy is None:
        return {}
    templates = templates_of(config.prompts, student.prompts, student.strategy)
    shows = STRATEGIES[student.strategy].needs_exemplars
    if not (shows or templates):
        return {}
    return {
        task: Wording(
            **templates,
            exemplars=examples_for(
                config,
                task,
                student.exemplars,
                asked={each.text_hash for each in given.tasks[task].questions or () if each.split != "train"},
                about=f"students.{student.name}",
                strategy=student.strategy,
            )
            if shows
            else (),
        ).stored
        for task in scope.tasks
    }
