"""Data of the report's figures: learning curves, pass rates of questions, and answers by question."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningCurve:
    """Dev accuracy (0 to 1) of a finished run by epoch, on one task."""

    run_id: int
    student: str
    task: str
    epochs: tuple[float, ...]
    accuracy: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PassRates:
    """A histogram of a plan's training questions by their share of correct rationales: `counts[i]` for i / (len - 1).

    With D = 8 it has nine bins, from 0 to 8 of 8. A question with more or fewer rationales counts in the nearest bin.
    """

    plan: str
    task: str
    counts: tuple[int, ...]
    fingerprint: str = ""
    """Plans of one fingerprint on a task share their samples."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FigureData:
    """All of it, read once."""

    curves: tuple[LearningCurve, ...]
    pass_rates: tuple[PassRates, ...]
    answers: dict[
        tuple[int, str], dict[int, bool]
    ]  # (run, task) -> question id -> whether it was answered correctly
    teacher_answers: dict[tuple[str, str], dict[int, bool]] = field(default_factory=dict)
    """(plan on test, task) -> question id -> whether its first answer is correct; a failed sample is wrong."""
    given: dict[tuple[int, str, str], dict[int, tuple[str | None, bool]]] = field(default_factory=dict)
    """(run, task, split) -> question id -> the extracted answer, and whether it is correct."""
    flops: dict[tuple[int, str, str], dict[int, float]] = field(default_factory=dict)
    """(run, task, split) -> question id -> the FLOPs of its answer; answers of older versions have none."""


MOST_SHARES = 20
"""With more rationales per question than this, the bins are tenths."""


def read_figure_data(connection: Connection) -> FigureData:
    """Reads it; costs a pass over the samples and the test predictions."""
    return FigureData(
        curves=tuple(_curves(connection)),
        pass_rates=tuple(_pass_rates(connection)),
        answers=_answers(connection),
        teacher_answers=_teacher_answers(connection),
        given=_given(connection),
        flops=_flops(connection),
    )


def _curves(connection: Connection) -> list[LearningCurve]:
    rows = connection.execute(
        "SELECT r.id, r.student, t.name, e.epoch, e.accuracy FROM evaluation e JOIN run r ON r.id = e.run_id"
        " JOIN task t ON t.id = e.task_id WHERE e.split = 'dev' AND r.state = 'done' AND t.active = 1"
        " ORDER BY r.id, t.id, e.step"
    ).fetchall()
    found: dict[tuple[int, str, str], list[tuple[float, float]]] = defaultdict(list)
    for run, student, task, epoch, accuracy in rows:
        found[run, student, task].append((epoch, accuracy))
    return [
        LearningCurve(
            run_id=run,
            student=student,
            task=task,
            epochs=tuple(epoch for epoch, _ in points),
            accuracy=tuple(accuracy for _, accuracy in points),
        )
        for (run, student, task), points in found.items()
    ]


def _pass_rates(connection: Connection) -> list[PassRates]:
    rows = connection.execute(
        "SELECT plan, task, recipe, parts, CAST(round(1.0 * good * parts / asked) AS INTEGER), count(*) FROM"
        " (SELECT p.id, p.name plan, t.name task, p.recipe recipe,"
        " CASE WHEN p.rationales <= ? THEN p.rationales ELSE 10 END parts, sum(s.verdict = 1) good, count(*) asked"
        " FROM plan p JOIN task t ON t.id = p.task_id"
        " JOIN sample s ON s.task_id = p.task_id AND s.split = p.split AND s.recipe = p.recipe"
        " AND s.replicate < p.rationales AND s.verdict IS NOT NULL"
        " JOIN question q ON q.id = s.question_id AND q.active = 1"
        " WHERE p.active = 1 AND p.split = 'train' AND p.rationales > 1 AND t.labelled = 1 GROUP BY p.id, s.question_id)"
        " GROUP BY id, 5 ORDER BY id, 5",
        (MOST_SHARES,),
    ).fetchall()
    found: dict[tuple[str, str, str], list[int]] = {}
    for plan, task, fingerprint, parts, place, count in rows:
        found.setdefault((plan, task, fingerprint), [0] * (parts + 1))[place] = count
    return [
        PassRates(plan=plan, task=task, counts=tuple(counts), fingerprint=fingerprint)
        for (plan, task, fingerprint), counts in found.items()
    ]


def _answers(connection: Connection) -> dict[tuple[int, str], dict[int, bool]]:
    rows = connection.execute(
        "SELECT p.run_id, t.name, p.question_id, p.correct FROM prediction p JOIN run r ON r.id = p.run_id"
        " JOIN question q ON q.id = p.question_id JOIN task t ON t.id = q.task_id"
        " WHERE p.split = 'test' AND r.state = 'done' AND t.active = 1 ORDER BY p.run_id, p.question_id"
    ).fetchall()
    found: dict[tuple[int, str], dict[int, bool]] = defaultdict(dict)
    for run, task, question, correct in rows:
        found[run, task][question] = bool(correct)
    return dict(found)


def _given(connection: Connection) -> dict[tuple[int, str, str], dict[int, tuple[str | None, bool]]]:
    rows = connection.execute(
        "SELECT p.run_id, t.name, p.split, p.question_id, p.extracted, p.correct FROM prediction p JOIN run r ON r.id = p.run_id"
        " JOIN question q ON q.id = p.question_id JOIN task t ON t.id = q.task_id"
        " WHERE r.state = 'done' AND t.active = 1 ORDER BY p.run_id, p.question_id"
    ).fetchall()
    found: dict[tuple[int, str, str], dict[int, tuple[str | None, bool]]] = defaultdict(dict)
    for run, task, split, question, extracted, correct in rows:
        found[run, task, split][question] = extracted, bool(correct)
    return dict(found)


def _flops(connection: Connection) -> dict[tuple[int, str, str], dict[int, float]]:
    rows = connection.execute(
        "SELECT p.run_id, t.name, p.split, p.question_id, p.flops FROM prediction p JOIN run r ON r.id = p.run_id"
        " JOIN question q ON q.id = p.question_id JOIN task t ON t.id = q.task_id"
        " WHERE r.state = 'done' AND t.active = 1 AND p.flops IS NOT NULL ORDER BY p.run_id, p.question_id"
    ).fetchall()
    found: dict[tuple[int, str, str], dict[int, float]] = defaultdict(dict)
    for run, task, split, question, flops in rows:
        found[run, task, split][question] = flops
    return dict(found)


def _teacher_answers(connection: Connection) -> dict[tuple[str, str], dict[int, bool]]:
    rows = connection.execute(
        "SELECT p.name, t.name, s.question_id, s.verdict = 1 FROM plan p JOIN task t ON t.id = p.task_id"
        " JOIN sample s ON s.task_id = p.task_id AND s.split = p.split AND s.recipe = p.recipe AND s.replicate = 0"
        " JOIN question q ON q.id = s.question_id AND q.active = 1"
        " WHERE p.active = 1 AND p.split = 'test' AND s.state <> 'open' ORDER BY p.id, s.question_id"
    ).fetchall()
    found: dict[tuple[str, str], dict[int, bool]] = defaultdict(dict)
    for plan, task, question, correct in rows:
        found[plan, task][question] = bool(correct)
    return dict(found)
