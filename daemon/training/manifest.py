"""From what is remembered to what a student reads: chooses a due run's rows, and writes its directory.

A run's rows are decided once, when it is created, and kept as sample ids and a digest of the manifest's
bytes. Its directory is always written from those, so it can be rebuilt byte for byte; a manifest whose
digest differs is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.config import Config, StudentConfig
from engine.config.root import expand
from engine.curation import IN_TEST, curate, first_questions, overlapping
from engine.errors import JobFailed
from engine.grading.majority import Vote
from engine.students.spec import EvalRow, Spec, TrainRow, digest_of, write_rows
from engine.students.template import ANSWER_ONLY
from state.runs import NewRun, RunRow, RunSettings, TaskInfo, finished_before
from state.sqlite import Connection
from state.training_samples import (
    StoredSample,
    labels_of_run,
    samples_of_run,
    stored_questions,
    stored_samples,
    teacher_labels,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRequest:
    """A run to make: who, on which tasks, with the samples of which plans."""

    student: StudentConfig
    scope: str
    tasks: tuple[TaskInfo, ...]
    plan_ids: tuple[int, ...]
    trigger: str = ""
    fingerprint: str = ""
    counted: int | None = None
    """Samples that triggers count now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """What a student would read now: its rows, the samples they are made of, what was dropped, pseudo-labels."""

    rows: list[TrainRow]
    sample_ids: tuple[int, ...] = ()
    drops: dict[str, int] = field(default_factory=dict)
    labels: dict[int, Vote] = field(default_factory=dict)


def training_rows(connection: Connection, config: Config, request: RunRequest) -> Chosen:
    """What the student would read now."""
    student = request.student
    if student.method == "fine-tune":
        rows, drops = _answer_rows(connection, request.tasks, student)
        return Chosen(rows=rows, drops=drops)
    curated = curate(
        stored_samples(connection, request.plan_ids, _teachers(config, student)),
        rationales=student.rationales,
        settings=student.curation,
        contaminated=_contaminated(connection, request.tasks),
        formats={task.id: task.answer_format for task in request.tasks},
        questions=None
        if student.questions is None
        else frozenset().union(*(_counted(connection, task, student) for task in request.tasks)),
        seed=student.training.seed,
    )
    answers = {key: vote.answer for key, vote in curated.labels.items()}
    return Chosen(
        rows=_cot_rows(curated.samples, answers, student),
        sample_ids=tuple(sample.sample_id for sample in curated.samples),
        drops=curated.drops,
        labels=curated.labels,
    )


def prepare(connection: Connection, config: Config, request: RunRequest) -> NewRun:
    """Chooses the rows of a run (a few hundred milliseconds for 10,000 samples: call it in a thread)."""
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
        settings=RunSettings(
            student=student.model_dump(mode="json"),
            tasks=request.tasks,
            plans=request.plan_ids,
            counted=request.counted,
        ),
    )


def materialise(connection: Connection, config: Config, run: RunRow) -> Path:
    """Writes a run's directory, unless it is there, and returns it.

    Raises:
        JobFailed: the rows are not what they were when the run was created.
    """
    directory = config.runs / str(run.id)
    pieces = run.settings.splits
    if (directory / "spec.json").exists():
        spec = Spec.model_validate_json((directory / "spec.json").read_bytes())
        if spec.pieces != pieces:
            _write_spec(directory, spec.model_copy(update={"pieces": pieces}))
        return directory
    directory.mkdir(parents=True, exist_ok=True)
    student = StudentConfig.model_validate(run.settings.student)
    tasks = run.settings.tasks
    if student.method == "fine-tune":
        rows, _ = _answer_rows(connection, tasks, student)
    else:
        answers = labels_of_run(connection, run.id)
        rows = _cot_rows(samples_of_run(connection, run.id), answers, student)
    if write_rows(directory / "manifest.jsonl", rows) != run.digest:
        raise JobFailed(
            "its questions or samples changed since it was made: start a new run with"
            f" `coterie train {run.scope} --student {run.student}`"
        )
    write_rows(directory / "questions.jsonl", [row for task in tasks for row in _eval_rows(connection, task)])
    previous = previous_student(connection, config, run) if student.start_from == "previous" else None
    spec = Spec(
        run_id=run.id,
        student=student.name,
        scope=run.scope,
        trigger=run.trigger,
        method=student.method,
        base=str(previous[1]) if previous else _base(config, student.base),
        training=student.training,
        evaluation=student.evaluation,
        manifest_digest=run.digest,
        teachers=dict(
            sorted(
                Counter(
                    teacher_labels(connection, [row.sample_id for row in rows if row.sample_id]).values()
                ).items()
            )
        ),
        pieces=pieces,
        started_from=previous[0] if previous else None,
    )
    _write_spec(directory, spec)  # last and at once: a directory with a spec is whole
    return directory


def previous_student(connection: Connection, config: Config, run: RunRow) -> tuple[int, Path] | None:
    """The latest finished run before this one of the same student, scope and base, and what it left; None: there is none."""
    found = ((key, config.runs / str(key) / "student") for key in finished_before(connection, run))
    return next(((key, path.resolve()) for key, path in found if path.is_dir()), None)


def _write_spec(directory: Path, spec: Spec) -> None:
    scratch = directory / "spec.json.new"
    scratch.write_text(spec.model_dump_json(indent=2) + "\n", encoding="utf-8")
    scratch.rename(directory / "spec.json")


def _base(config: Config, base: str) -> str:
    """A base that names a directory becomes absolute."""
    if base.startswith("builtin:"):
        return base
    path = (config.folder / Path(base).expanduser()).resolve()
    return str(path) if path.is_dir() or base.startswith((".", "/", "~")) else base


def _teachers(config: Config, student: StudentConfig) -> list[str]:
    wanted = expand(student.teachers, list(config.teachers))
    return [name for name in wanted if config.teachers[name].training_allowed]


def _cot_rows(
    samples: Sequence[StoredSample], labels: Mapping[int, str], student: StudentConfig
) -> list[TrainRow]:
    """A row a rationale, and among them, of `mix_answers`, those that ask for the answer alone.

    Each of these follows the last rationale of its question.
    """
    rows = [_cot_row(sample, labels) for sample in samples]
    share = student.curation.mix_answers
    questions = {sample.question_id: place for place, sample in enumerate(samples)}
    extra = first_questions(questions, round(len(rows) * share / (1 - share)), student.training.seed)
    mixed: list[TrainRow] = []
    for place, (sample, row) in enumerate(zip(samples, rows, strict=True)):
        mixed.append(row)
        if sample.question_id in extra and questions[sample.question_id] == place:
            answer = labels.get(sample.question_id, sample.gold)
            text = f"{sample.question.rstrip()} {ANSWER_ONLY}"
            alone = {"sample_id": None, "question": text, "rationale": None, "answer": answer}
            mixed.append(row.model_copy(update=alone))
    return mixed


def _cot_row(sample: StoredSample, labels: Mapping[int, str]) -> TrainRow:
    """The rationale with the answer it led to: the question's pseudo-label, the gold answer where it is correct, else its own."""
    answer = labels.get(sample.question_id)
    if answer is None:
        answer = sample.gold if sample.correct else sample.extracted or ""
    return TrainRow(
        sample_id=sample.sample_id,
        question_id=sample.question_id,
        question=sample.question,
        rationale=sample.rationale.strip(),
        answer=answer,
    )


def _counted(connection: Connection, task: TaskInfo, student: StudentConfig) -> frozenset[int]:
    """The task's training questions that the student may read."""
    ids = [question.question_id for question in stored_questions(connection, task.id, "train")]
    return first_questions(ids, student.questions or len(ids), student.training.seed)


def _answer_rows(
    connection: Connection, tasks: Sequence[TaskInfo], student: StudentConfig
) -> tuple[list[TrainRow], dict[str, int]]:
    """Questions with their gold answers, without those that also stand in a test split: as for rationales; and drops."""
    contaminated = _contaminated(connection, tasks) if student.curation.drop_test_overlap else frozenset()
    rows: list[TrainRow] = []
    dropped = 0
    for task in tasks:
        counted = _counted(connection, task, student)
        questions = stored_questions(connection, task.id, "train")
        for question in sorted(questions, key=lambda each: each.question_id):
            if question.question_id not in counted:
                continue
            if question.question_id in contaminated:
                dropped += 1
                continue
            rows.append(
                TrainRow(
                    sample_id=None,
                    question_id=question.question_id,
                    question=question.text,
                    rationale=None,
                    answer=question.gold,
                )
            )
    return rows, {IN_TEST: dropped} if dropped else {}


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


def _contaminated(connection: Connection, tasks: Sequence[TaskInfo]) -> frozenset[int]:
    train = {
        question.question_id: question.text
        for task in tasks
        for question in stored_questions(connection, task.id, "train")
    }
    test = {
        question.question_id: question.text
        for task in tasks
        for question in stored_questions(connection, task.id, "test")
    }
    return overlapping(train, test)
