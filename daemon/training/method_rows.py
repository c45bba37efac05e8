"""The training rows of a student: what its method makes of questions and samples, and who wrote them where it selects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from engine.config import StudentConfig
from engine.methods import METHODS, RowSettings, TrainingQuestion, TrainRow
from state.runs import TaskInfo
from state.training_samples import StoredSample


def rows_of(
    questions: Sequence[TrainingQuestion],
    student: StudentConfig,
    tasks: Sequence[TaskInfo],
    own_answers: bool | None = None,
) -> list[TrainRow]:
    """The rows of a student's method; where it selects, with what that needs."""
    settings = RowSettings(
        mix_answers=student.curation.mix_answers,
        formats=student.curation.formats,
        shots=student.curation.shots,
        seed=student.training.seed,
        own_answers=student.curation.labels == "teacher" if own_answers is None else own_answers,
        guidance=student.guidance,
        part=student.part,
    )
    rows = list(METHODS[student.method].rows(questions, settings))
    return rows if student.training.select == "none" else _with_teachers(rows, questions, tasks)


def _with_teachers(
    rows: Sequence[TrainRow], questions: Sequence[TrainingQuestion], tasks: Sequence[TaskInfo]
) -> list[TrainRow]:
    """The rows with what a student needs to select among them: teacher, task, and the gold answer where it is another."""
    names = {task.id: task.name for task in tasks}
    golds = {each.question_id: each.answer for each in questions}
    wrote = {sample.sample_id: sample for each in questions for sample in each.samples}
    found = []
    for row in rows:
        sample, gold = wrote.get(row.sample_id), golds[row.question_id]
        told = {"gold": gold} if gold != row.answer else {}
        if isinstance(sample, StoredSample):
            told |= {"teacher": sample.teacher, "task": names[sample.task_id]}
        found.append(row.model_copy(update=told))
    return found


def with_samples(samples: Sequence[StoredSample], labels: Mapping[int, str]) -> list[TrainingQuestion]:
    """The questions of some samples. The store orders samples by question."""
    found = []
    for key, group in groupby(samples, key=lambda sample: sample.question_id):
        own = tuple(group)
        found.append(
            TrainingQuestion(
                question_id=key,
                question=own[0].question,
                gold=own[0].gold,
                label=labels.get(key),
                samples=own,
            )
        )
    return found
