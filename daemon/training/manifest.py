"""Chooses the rows of a due run and writes its directory.

The rows of a run are chosen once, when the run is created. The database keeps the ids of their samples and a digest of
the manifest. The directory is always written from those, so it can be rebuilt byte for byte; if the digest differs, the
run is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.catalog.prompt_templates import examples_for
from daemon.training.beginnings import begins_with, epochs_of
from daemon.training.left_out import flagged, left_out, left_out_in_0_1
from daemon.training.method_rows import rows_of, with_samples
from daemon.training.run_directory import BEFORE_RESTORE, claim_directory, set_aside
from engine.config import Config, StudentConfig
from engine.config.named import expand
from engine.config.prompts import templates_of
from engine.curation import curate
from engine.errors import JobFailed
from engine.forms import FIRST, FormSettings
from engine.grading.majority import Vote
from engine.methods import METHODS, TrainingQuestion, TrainRow
from engine.question import text_hash
from engine.seeded_order import first
from engine.strategies import STRATEGIES, Wording
from engine.students.base_names import is_path
from engine.students.checkpoints import replace
from engine.students.objectives import OBJECTIVES
from engine.students.spec import EvalRow, Spec, digest_of, write_rows
from engine.students.targets import FILE as TARGETS
from engine.students.targets import digest_of_targets, targets_bytes
from state.authors import Authors
from state.checksums import Damaged, named
from state.runs import NewRun, RunRow, RunSettings, TaskInfo, ordered_by_arrival
from state.sqlite import Connection
from state.training_samples import (
    labels_of_run,
    packed_logprobs,
    samples_of_run,
    stored_questions,
    stored_samples,
)

NO_RATIONALE = "no rationale in the data"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """A run to create: the student, its tasks, and the plans whose samples it reads."""

    student: StudentConfig
    scope: str
    tasks: tuple[TaskInfo, ...]
    plan_ids: tuple[int, ...]
    trigger: str = ""
    fingerprint: str = ""
    counted: int | None = None
    """Samples that triggers count now."""
    sources: tuple[tuple[int, str], ...] = ()
    """The runs whose students it starts from, each with its role."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """The rows a student would read now, the samples in them, the number dropped per reason, and pseudo-labels."""

    rows: list[TrainRow]
    sample_ids: tuple[int, ...] = ()
    drops: dict[str, int] = field(default_factory=dict)
    labels: dict[int, Vote] = field(default_factory=dict)
    flagged: tuple[int, ...] = ()
    """The questions that are left out because you flagged them, by id."""
    damaged: tuple[Damaged, ...] = ()
    """Rows of the database whose texts are not those that were stored; their samples are dropped."""


def training_rows(connection: Connection, config: Config, request: RunRequest) -> Chosen:
    """The rows the student would read now."""
    student = request.student
    yours = flagged(connection, request.tasks, student.curation)
    excluded = left_out(connection, request.tasks, student.curation, yours)
    if not METHODS[student.method].reads_samples:
        questions, drops = _questions(connection, request.tasks, student, excluded)
        return Chosen(rows=rows_of(questions, student, request.tasks), drops=drops, flagged=yours)
    drawn = not ordered_by_arrival(connection, student.name)
    stored = stored_samples(connection, request.plan_ids, _teachers(config, student), drawn=drawn)
    damaged = tuple(each for sample in stored for each in sample.damage)
    whole = [sample for sample in stored if not sample.damage]
    method = METHODS[student.method]
    unfit = {sample.sample_id: why for sample in whole if (why := method.unfit(sample.rationale))}
    curated = curate(
        [sample for sample in whole if sample.sample_id not in unfit],
        rationales=student.rationales,
        settings=student.curation,
        left_out=excluded,
        formats={task.id: task.answer_format for task in request.tasks},
        questions=None
        if student.questions is None
        else frozenset().union(*(_counted(connection, task, student) for task in request.tasks)),
        seed=student.training.seed,
        gold=gold_tasks(config, student, request.tasks),
    )
    labels = {key: vote.answer for key, vote in curated.labels.items()}
    return Chosen(
        rows=rows_of(with_samples(curated.samples, labels), student, request.tasks),
        sample_ids=tuple(sample.sample_id for sample in curated.samples),
        drops=curated.drops
        | dict(sorted(Counter(unfit.values()).items()))
        | ({f"damaged in the database: {named(damaged)}": len(set(damaged))} if damaged else {}),
        labels=curated.labels,
        damaged=damaged,
    )


def prepare(connection: Connection, config: Config, request: RunRequest) -> NewRun:
    """Chooses the rows of a run. Takes a few hundred milliseconds for 10,000 samples, so call it in a thread."""
    student = request.student
    chosen = training_rows(connection, config, request)
    return NewRun(
        student=student.name,
        task_id=request.tasks[0].id if len(request.tasks) == 1 and request.scope != "joint" else None,
        scope=request.scope,
        trigger=request.trigger,
        fingerprint=request.fingerprint,
        method=student.method,
        base=student.base,
        seed=student.training.seed,
        zero_stage=student.training.zero_stage,
        priority=student.priority,
        digest=digest_of(chosen.rows),
        questions=len({row.question_id for row in chosen.rows}),
        rows=len(chosen.rows),
        sample_ids=chosen.sample_ids,
        drops=chosen.drops,
        labels=tuple((key, vote.answer, vote.votes, vote.of) for key, vote in chosen.labels.items()),
        sources=request.sources,
        settings=RunSettings(
            student=student.model_dump(mode="json"),
            tasks=request.tasks,
            plans=request.plan_ids,
            counted=request.counted,
            overlap=2,
            labels=2,
            order=1 if ordered_by_arrival(connection, student.name) else 2,
            flagged=chosen.flagged,
            targets=digest_of_targets(packed_logprobs(connection, chosen.sample_ids))
            if OBJECTIVES[student.training.objective].reads_distributions
            else "",
        ),
    )


def materialise(
    connection: Connection, config: Config, run: RunRow, say: Callable[[str], None] = lambda _said: None
) -> Path:
    """Writes the directory of a run if it does not exist, and returns its path.

    Another run's directory of that number is set aside, which `say` reports.

    Raises:
        JobFailed: the rows differ from those chosen when the run was created, or are damaged, or another's directory is in the way.
    """
    directory, begun = claim_directory(connection, config, run, say)
    splits, tasks = run.settings.splits, run.settings.tasks
    part = bool(run.settings.student.get("part"))
    if begun and not part and run.started_at is None and _asks_others(connection, directory, tasks):
        # After a backup was restored: a run of the same rows, whose questions have other ids now.
        say(set_aside(directory, BEFORE_RESTORE))
        directory, _ = claim_directory(connection, config, run, say)
    student = StudentConfig.model_validate(run.settings.student)
    if (directory / "spec.json").exists():
        spec = Spec.model_validate_json((directory / "spec.json").read_bytes())
        if spec.evaluation != student.evaluation:
            keep_what_was_asked(directory, spec)
        now = {"splits": splits, "evaluation": student.evaluation}
        if spec.model_copy(update=now) != spec:
            write_spec(directory, spec.model_copy(update=now))
        return directory
    if METHODS[student.method].reads_samples:
        of_run = samples_of_run(connection, run.id, drawn=run.settings.order > 1)
        if damaged := [each for sample in of_run for each in sample.damage]:
            raise JobFailed(
                f"{named(damaged)} in state.db: not the text that was stored. Restore a backup, or start a new run without"
                f" what is damaged: `coterie train {run.scope} --student {run.student}`"
            )
        questions = with_samples(of_run, labels_of_run(connection, run.id))
    else:
        rule = left_out if run.settings.overlap > 1 else left_out_in_0_1
        excluded = rule(connection, tasks, student.curation, run.settings.flagged)
        questions, _ = _questions(connection, tasks, student, excluded)
    rows = rows_of(questions, student, tasks, own_answers=True if run.settings.labels == 1 else None)
    if write_rows(directory / "manifest.jsonl", rows) != run.digest:
        raise JobFailed(
            "its questions or samples changed after it was queued: start a new run with"
            f" `coterie train {run.scope} --student {run.student}`"
        )
    if OBJECTIVES[student.training.objective].reads_distributions:
        stored = packed_logprobs(connection, [row.sample_id for row in rows if row.sample_id])
        data = targets_bytes(stored)
        if hashlib.sha256(data).hexdigest() != run.settings.targets:
            raise JobFailed(
                "the log-probabilities of its samples are not those it was queued with: restore a backup, or start a new run with"
                f" `coterie train {run.scope} --student {run.student}`"
            )
        (directory / TARGETS).write_bytes(data)
    # A part of a method answers nothing by itself.
    write_rows(directory / "questions.jsonl", [] if student.part else all_eval_rows(connection, tasks))
    begins = begins_with(connection, config, run, student)
    spec = Spec(
        run_id=run.id,
        student=student.name,
        scope=run.scope,
        trigger=run.trigger,
        method=student.method,
        base=str(begins.student) if begins else base_of(config, student.base),
        form=_form(run, student, begins.student.parent if begins else None),
        training=student.training,
        evaluation=student.evaluation,
        manifest_digest=run.digest,
        targets_digest=run.settings.targets,
        formats=tuple(student.curation.formats),
        shots=student.curation.shots,
        teachers=dict(
            sorted(
                Counter(
                    author.label
                    for author in Authors(connection)
                    .of([row.sample_id for row in rows if row.sample_id])
                    .values()
                ).items()
            )
        ),
        splits=splits,
        started_from=begins.run_id if begins else None,
        source=begins.source if begins else None,
        part=student.part,
        guidance=student.guidance,
        strategy=student.strategy,
        wordings=_wordings(connection, config, student, tasks),
        epochs_before=epochs_of(begins.student.parent) if begins and begins.source is None else 0,
    )
    write_spec(directory, spec)  # last and atomically: a directory with a spec is complete
    return directory


def keep_what_was_asked(directory: Path, spec: Spec) -> None:
    """Has the results of a finished run say with which settings they were made, before its spec gets others."""
    path = directory / "evaluation.json"
    with suppress(OSError, ValueError):
        outcome = json.loads(path.read_bytes())
        replace(path, json.dumps({"evaluation": spec.asked_with, **outcome}, indent=1).encode())


def _asks_others(connection: Connection, directory: Path, tasks: Sequence[TaskInfo]) -> bool:
    """Whether a directory has other dev or test questions than there are now."""
    try:
        found = (directory / "questions.jsonl").read_bytes()
    except FileNotFoundError:
        return False
    return hashlib.sha256(found).hexdigest() != digest_of(all_eval_rows(connection, tasks))


def _form(run: RunRow, student: StudentConfig, previous: Path | None) -> FormSettings | None:
    """The form of a run; None where its base decides. Runs from before there were forms have the first one."""
    if "form" not in run.settings.student:
        return FIRST
    if student.form is None and previous is not None:  # its base has a template in any form
        return Spec.model_validate_json((previous / "spec.json").read_bytes()).form
    return student.form


def _wordings(
    connection: Connection, config: Config, student: StudentConfig, tasks: Sequence[TaskInfo]
) -> dict[str, dict[str, Any]]:
    """The templates of an untrained base, and the worked examples that it is shown, by task; none of these is a question."""
    if student.strategy is None:
        return {}
    templates = templates_of(config.prompts, student.prompts, student.strategy)
    shows = STRATEGIES[student.strategy].needs_exemplars
    if not (shows or templates):
        return {}
    about = f"students.{student.name}"
    return {
        task.name: Wording(
            **templates,
            exemplars=examples_for(
                config,
                task.name,
                student.exemplars,
                asked={
                    text_hash(question.text)
                    for split in ("dev", "test")
                    for question in stored_questions(connection, task.id, split)
                },
                about=about,
                strategy=student.strategy,
            )
            if shows
            else (),
        ).stored
        for task in tasks
    }


def write_spec(directory: Path, spec: Spec) -> None:
    """Writes `spec.json` atomically."""
    scratch = directory / "spec.json.new"
    scratch.write_text(spec.to_json(), encoding="utf-8")
    scratch.rename(directory / "spec.json")


def base_of(config: Config, base: str) -> str:
    """The base, with the path of a directory or file made absolute."""
    if base.startswith("builtin:"):
        return base
    path = (config.folder / Path(base).expanduser()).resolve()
    return str(path) if path.is_dir() or is_path(base) else base


def _teachers(config: Config, student: StudentConfig) -> list[str]:
    wanted = expand(student.teachers, list(config.teachers))
    return [name for name in wanted if config.teachers[name].training_allowed]


def gold_tasks(config: Config, student: StudentConfig, tasks: Sequence[TaskInfo]) -> frozenset[int]:
    """Tasks whose gold answers a student learns although its labels are votes: because others of its tasks have none."""
    named = expand(student.tasks, list(config.tasks))
    if all(config.tasks[name].labelled for name in named):
        return frozenset()
    return frozenset(task.id for task in tasks if config.tasks[task.name].labelled)


def _questions(
    connection: Connection, tasks: Sequence[TaskInfo], student: StudentConfig, left_out: Mapping[int, str]
) -> tuple[list[TrainingQuestion], dict[str, int]]:
    """The training questions of a student that reads no samples, and the number dropped per reason."""
    found: list[TrainingQuestion] = []
    drops: Counter[str] = Counter()
    for task in tasks:
        counted = _counted(connection, task, student)
        questions = stored_questions(connection, task.id, "train")
        for each in sorted(questions, key=lambda each: each.question_id):
            if each.question_id not in counted:
                continue
            if each.question_id in left_out:
                drops[left_out[each.question_id]] += 1
                continue
            if METHODS[student.method].reads_rationales:
                rationale = (each.rationale or "").strip()
                if why := METHODS[student.method].unfit(rationale) if rationale else NO_RATIONALE:
                    drops[why] += 1
                    continue
            found.append(
                TrainingQuestion(
                    question_id=each.question_id,
                    question=each.text,
                    gold=each.gold,
                    rationale=each.rationale,
                )
            )
    return found, dict(sorted(drops.items()))


def _counted(connection: Connection, task: TaskInfo, student: StudentConfig) -> frozenset[int]:
    """The training questions of a task that the student may read."""
    ids = [question.question_id for question in stored_questions(connection, task.id, "train")]
    return first(ids, student.questions or len(ids), student.training.seed)


def all_eval_rows(connection: Connection, tasks: Sequence[TaskInfo]) -> list[EvalRow]:
    """The dev and test questions of some tasks."""
    return [row for task in tasks for row in _eval_rows(connection, task)]


def _eval_rows(connection: Connection, task: TaskInfo) -> list[EvalRow]:
    return [
        EvalRow.model_validate(
            {
                "question_id": question.question_id,
                "task": task.name,
                "split": split,
                "question": question.text,
                "gold": question.gold,
                "answer_format": task.answer_format,
            }
        )
        for split in ("dev", "test")
        for question in stored_questions(connection, task.id, split)
    ]
