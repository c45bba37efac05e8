"""Syncs tasks, teachers and plans of `state.db` with the configuration.

Nothing is deleted: what is removed from the configuration becomes inactive, and is reactivated unchanged if it returns.
A changed question is a new row; a changed prompt, model or parameter makes a new plan.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlmodel import Session, select, update

from state.budget import Spending
from state.bulk import storable
from state.checksums import checksum, damaged_tasks
from state.database import now_ms
from state.kept_samples import NOT_IN_A_BATCH, adopt
from state.orm import driver_connection
from state.resampling import rebuild_needs
from state.slot_order import group_at
from state.slots import is_complete, open_in_other_plans, read
from state.sqlite import Connection
from state.tables import Plan, Task, Teacher


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionRow:
    """A question as it is stored."""

    key: str
    split: str
    text: str
    text_hash: str
    gold: str
    rationale: str | None
    unreadable: str = ""
    """Why its gold answer cannot be read: it is stored, and not active."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanRow:
    """A configured plan on one task; `recipe` is its fingerprint, and so its identity.

    `state/slots.py` explains how many rationales it samples; `base` None means all of `rationales`. `together` of a
    question share one request; questions with a correct sample of the fingerprint `unless` are skipped.
    """

    name: str
    task_id: int
    split: str
    recipe: str
    teachers: list[str]
    strategy: str
    settings: dict[str, Any]
    rationales: int
    weight: float
    base: int | None = None
    want: int = 0
    target: int = 0
    together: int = 1
    unless: str = ""
    panel: str = ""
    member: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownTask:
    """A stored task: digest, stamp, and by split the number of questions and the bytes of the longest one.

    `unreadable` further questions are not used.
    """

    digest: str
    stamp: str
    sizes: dict[str, int]
    longest: dict[str, int]
    unreadable: int = 0
    answer_format: str = ""


def read_known(connection: Connection) -> dict[str, KnownTask]:
    """The stored tasks by name."""
    damaged = damaged_tasks(connection)  # their files are read again, which mends them
    rows = connection.execute(
        "SELECT name, digest, stamp, train, dev, test, longest, unreadable, answer_format, id FROM task"
    ).fetchall()
    return {
        name: KnownTask(
            digest=digest,
            stamp="" if key in damaged else stamp,
            sizes={"train": train, "dev": dev, "test": test},
            longest=json.loads(longest),
            unreadable=unreadable,
            answer_format=answer_format,
        )
        for name, digest, stamp, train, dev, test, longest, unreadable, answer_format, key in rows
    }


def task_digests(connection: Connection) -> dict[str, str]:
    """The digest of each stored task's questions, by name."""
    return dict(connection.execute("SELECT name, digest FROM task").fetchall())


def deactivate_all(opened: Session) -> None:
    """Deactivates everything before a sync, which reactivates what is configured."""
    opened.exec(update(Task).values(active=0))
    opened.exec(update(Teacher).values(active=0))
    opened.exec(update(Plan).values(active=0))


def sync_task(
    opened: Session,
    *,
    name: str,
    source: str,
    answer_format: str,
    digest: str,
    stamp: str,
    sizes: Mapping[str, int],
    longest: Mapping[str, int],
    questions: Sequence[QuestionRow] | None,
    unreadable: int = 0,
    labelled: bool = True,
) -> tuple[Task, bool]:
    """Syncs a task; returns its row, and whether its questions changed (then its plans must be recounted).

    Questions are rewritten only if their digest changed or one of them is damaged; otherwise they may be None. `unreadable` of them are not used. A sample keeps its question: it
    moves with it to another split, and loses its verdict if the gold answer changed.
    """
    task = opened.exec(select(Task).where(Task.name == name)).first()
    if task is None:
        task = Task(name=name, created_at=now_ms())
    same = task.digest == digest
    if same and questions is not None and task.id in damaged_tasks(driver_connection(opened)):
        same = False
    task.source, task.answer_format, task.digest, task.active = source, answer_format, digest, 1
    task.stamp, task.longest = stamp, json.dumps(dict(longest))
    task.train, task.dev, task.test = sizes["train"], sizes["dev"], sizes["test"]
    task.unreadable, task.labelled = unreadable, int(labelled)
    opened.add(task)
    opened.flush()
    assert task.id is not None
    if not same:
        assert questions is not None, "questions that changed were read"
        _sync_questions(opened, task.id, questions)
    return task, not same


def _sync_questions(opened: Session, task_id: int, questions: Iterable[QuestionRow]) -> None:
    run = opened.connection().exec_driver_sql
    run("UPDATE question SET active = 0, unreadable = '' WHERE task_id = ?", (task_id,))
    before = run("SELECT id, gold FROM question WHERE task_id = ?", (task_id,)).fetchall()
    gold: dict[int, str] = {row[0]: row[1] for row in before}
    positions: dict[str, int] = {}
    rows: list[tuple[Any, ...]] = []
    for question in questions:
        position = positions.get(question.split, 0)
        used = not question.unreadable
        positions[question.split] = position + used  # of those that are used
        rows.append(
            (task_id, question.key, question.split, position, question.text, question.text_hash)
            + (question.gold, question.rationale, int(used), question.unreadable)
            + (checksum(question.text, question.gold, question.rationale),)
        )
    if rows:
        run(
            "INSERT INTO question (task_id, key, split, position, text, text_hash, gold, rationale, active,"
            " unreadable, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (task_id, key, text_hash) DO UPDATE SET"
            " active = excluded.active, unreadable = excluded.unreadable, split = excluded.split, position = excluded.position, text = excluded.text, gold = excluded.gold,"
            " rationale = excluded.rationale, checksum = excluded.checksum",
            rows,
        )
    run(
        "UPDATE sample SET split = q.split FROM question q"
        " WHERE q.task_id = ? AND q.active = 1 AND sample.question_id = q.id AND sample.split <> q.split",
        (task_id,),
    )
    now = run(
        "SELECT id, gold FROM question WHERE task_id = ? AND (active = 1 OR unreadable <> '')", (task_id,)
    ).fetchall()
    changed = [(key,) for key, answer in now if gold.get(key, answer) != answer]
    if changed:
        run("UPDATE sample SET verdict = NULL, extracted = NULL WHERE question_id = ?", changed)


def sync_teacher(
    opened: Session, *, name: str, dialect: str, model: str, base_url: str, lift: bool = True
) -> Teacher:
    """Syncs a teacher; with `lift` it is no longer parked, since its key may have changed."""
    teacher = opened.exec(select(Teacher).where(Teacher.name == name)).first() or Teacher(name=name)
    teacher.dialect, teacher.model, teacher.base_url, teacher.active = dialect, model, base_url, 1
    if teacher.state == "parked" and lift:
        teacher.state, teacher.reason = "ready", ""
    opened.add(teacher)
    opened.flush()
    return teacher


def sync_plan(opened: Session, row: PlanRow, questions: int) -> tuple[Plan, bool]:
    """Syncs a plan; returns its row, and whether its slots changed (then it must be recounted)."""
    plan = opened.exec(
        select(Plan).where(
            Plan.name == row.name,
            Plan.task_id == row.task_id,
            Plan.split == row.split,
            Plan.recipe == row.recipe,
        )
    ).first()
    if plan is None:
        plan = Plan(
            name=row.name, task_id=row.task_id, split=row.split, recipe=row.recipe, created_at=now_ms()
        )
    base = row.rationales if row.base is None else row.base
    rule = (questions, row.rationales, base, row.want, row.target, row.together, row.unless)
    before = (plan.questions, plan.rationales, plan.base, plan.want, plan.target, plan.together, plan.unless)
    wrong = [settings.get("stop_after_wrong", 0) for settings in (row.settings, json.loads(plan.settings))]
    changed = rule != before or wrong[0] != wrong[1]
    plan.teachers, plan.strategy = json.dumps(row.teachers), row.strategy
    plan.settings, plan.weight, plan.active = json.dumps(row.settings), row.weight, 1
    plan.questions, plan.rationales, plan.base, plan.want, plan.target, plan.together, plan.unless = rule
    plan.panel, plan.member = row.panel, row.member
    opened.add(plan)
    opened.flush()
    return plan, changed


def settle_recipe(opened: Session, row: PlanRow) -> None:
    """Gives a plan that waited for a student, and so has no samples, the fingerprint that it has now. Its row stays the same one."""
    key = (Plan.name == row.name, Plan.task_id == row.task_id, Plan.split == row.split)
    if opened.exec(select(Plan).where(*key, Plan.recipe == row.recipe)).first() is None:
        waited = opened.exec(select(Plan).where(*key, Plan.claimed == 0, Plan.active == 0)).all()
        for plan in waited:
            if json.loads(plan.settings).get("waits"):
                plan.recipe = row.recipe
                opened.add(plan)
                opened.flush()
                return


def runs_asked(connection: Connection) -> dict[tuple[str, str, str], int]:
    """The run of a student that each plan has samples of, by name, task and split; of a plan that began anew, the newest."""
    rows = connection.execute(
        "SELECT p.name, t.name, p.split, p.settings ->> '$.served' FROM plan p JOIN task t ON t.id = p.task_id"
        " WHERE json_valid(p.settings) AND p.claimed > 0 AND p.settings ->> '$.served' IS NOT NULL ORDER BY p.id"
    )
    return {(name, task, split): int(run) for name, task, split, run in rows}


def plans_of_fingerprint(opened: Session, plan: Plan, fingerprint: str) -> list[Plan]:
    """The plans, active or not, on the task and split of `plan` that have a fingerprint."""
    statement = select(Plan).where(
        Plan.task_id == plan.task_id, Plan.split == plan.split, Plan.recipe == fingerprint
    )
    return list(opened.exec(statement))


def reconcile(opened: Session, plan: Plan) -> None:
    """Recounts a plan's samples and everything derived from them; sets the cursor to the first gap in the base."""
    connection = driver_connection(opened)
    rows = connection.execute(
        "SELECT s.replicate, count(*), sum(s.state = 'stored'), coalesce(sum(s.verdict = 1), 0),"
        " coalesce(sum(s.verdict = 0), 0), sum(s.state = 'failed')"
        " FROM sample s JOIN question q ON q.id = s.question_id AND q.active = 1"
        " WHERE s.task_id = ? AND s.split = ? AND s.recipe = ? AND s.replicate < ? GROUP BY s.replicate",
        (plan.task_id, plan.split, plan.recipe, plan.rationales),
    ).fetchall()
    totals = [sum(column) for column in zip(*rows, strict=True)][1:] or [0] * 5
    plan.claimed, plan.stored, plan.accepted, plan.rejected, plan.failed = totals
    plan.skipped = 0
    plan.cursor = _first_gap(connection, plan, {row[0]: row[1] for row in rows})
    assert plan.id is not None
    again = rebuild_needs(connection, plan.id)
    further = sum(row[1] for row in rows if row[0] >= plan.base)
    plan.wanted = plan.questions * plan.base + further + again
    opened.add(plan)
    opened.flush()
    if plan.target:
        plan.wanted = max(plan.claimed, read(connection, plan.id).expected)
        opened.add(plan)
        opened.flush()


def over(opened: Session, plan: Plan) -> bool:
    """Whether a plan is complete; if its size depended on verdicts, `wanted` becomes the number it claimed."""
    assert plan.id is not None
    connection = driver_connection(opened)
    found = is_complete(connection, read(connection, plan.id))
    if found and (plan.target or plan.want):
        plan.wanted, plan.skipped = plan.claimed, 0
        opened.add(plan)
        opened.flush()
    return found


def shared_out(opened: Session, plan: Plan) -> bool:
    """Whether samples that this plan shares are still open in another plan."""
    assert plan.id is not None
    return open_in_other_plans(driver_connection(opened), [plan.id])[0]


def _first_gap(connection: Connection, plan: Plan, begun: dict[int, int]) -> int:
    """The first slot of the base without a sample, or the end of the base."""
    end = plan.questions * plan.base
    for replicate in range(plan.base):
        if begun.get(replicate, 0) < plan.questions:
            place = group_at(
                replicate * plan.questions,
                questions=plan.questions,
                rationales=plan.base,
                group=plan.together,
            )
            (position,) = connection.execute(
                "SELECT coalesce(min(q.position), 0) FROM question q WHERE q.task_id = ? AND q.split = ? AND q.active = 1"
                " AND (SELECT count(*) FROM sample s WHERE s.question_id = q.id AND s.recipe = ? AND s.replicate >= ?"
                " AND s.replicate < ?) < ?",
                (plan.task_id, plan.split, plan.recipe, place.first, place.first + place.size, place.size),
            ).fetchone()
            return min(end, place.first * plan.questions + int(position) * place.size)
    return end


def adopt_open(opened: Session, plan_id: int, *, but: Collection[int] = ()) -> None:
    """Moves open samples of inactive plans to this one if it asks for them too (it was renamed), to be continued.

    Call it after every plan is synced. Samples of the plans `but` stay, as a running daemon has them in memory, and so
    do those in a batch at a provider, whose reservation belongs to the old plan.
    """
    adopt(
        driver_connection(opened),
        plan_id,
        "sample.state = 'open' AND sample.plan_id IN (SELECT old.id FROM plan p JOIN plan old ON old.active = 0"
        "  AND old.task_id = p.task_id AND old.split = p.split WHERE p.id = ?1"
        f"  AND old.id NOT IN (SELECT value FROM json_each(?2))) AND {NOT_IN_A_BATCH}",
        json.dumps(sorted(but)),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class SwitchRequest:
    """Pauses or resumes a task or a teacher; all of them if `name` is None."""

    table: Literal["task", "teacher"]
    name: str | None
    paused: bool


def switch(connection: Connection, requests: Sequence[SwitchRequest]) -> list[None]:
    """Stores what is paused, so that it survives a restart; a resumed teacher is no longer parked."""
    for request in requests:
        where = "active = 1" if request.name is None else "name = ?"
        names = () if request.name is None else (request.name,)
        if request.table == "task":
            connection.execute(f"UPDATE task SET paused = ? WHERE {where}", (int(request.paused), *names))
        else:
            state = "paused" if request.paused else "ready"
            connection.execute(f"UPDATE teacher SET state = ?, reason = '' WHERE {where}", (state, *names))
    return [None] * len(requests)


def park_teacher(connection: Connection, parked: Sequence[tuple[int, str]]) -> list[None]:
    """Stores why teachers are parked."""
    for teacher_id, reason in parked:
        connection.execute(
            "UPDATE teacher SET state = 'parked', reason = ? WHERE id = ?", storable((reason, teacher_id))
        )
    return [None] * len(parked)


def adopt_samples(connection: Connection, adopted: Sequence[tuple[int, int]]) -> list[Spending | None]:
    """Moves open samples, as (plan id, sample id), to another plan that asks for them too, with what they cost so far.

    Returns:
        What each has cost its plan; None where the other plan does not ask for it.
    """
    found: list[Spending | None] = []
    for plan_id, sample_id in adopted:
        cost, unknown = connection.execute(
            "SELECT s.cost_micros, (SELECT coalesce(sum(a.unknown_micros), 0) FROM attempt a WHERE a.sample_id = s.id)"
            " FROM sample s WHERE s.id = ?",
            (sample_id,),
        ).fetchone()
        moved = adopt(connection, plan_id, "sample.id = ?2", sample_id) > 0
        found.append(Spending(spent=cost, unknown=unknown) if moved else None)
    return found
