"""A small real database to work on, and a recount of everything that it counts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from state.catalog import PlanRow, QuestionRow, reconcile, sync_plan, sync_task, sync_teacher
from state.claims import AttemptRequest, Claim, ClaimRequest, OpenAttempt, claim, open_attempts
from state.daemon_sessions import start_session
from state.database import open_writer
from state.enums import Outcome, SampleState
from state.orm import orm_session
from state.outcomes import AttemptResult, SampleEnd, Verdict, record
from state.sqlite import Connection

RECIPE = "recipe-1"
MONEY = 2**62


def question_rows(
    count: int, *, split: str = "train", start: int = 0, gold: str = "yes"
) -> list[QuestionRow]:
    return [question_row(f"q{start + index}", split=split, gold=gold) for index in range(count)]


def question_row(key: str, text: str = "", *, split: str = "train", gold: str = "yes") -> QuestionRow:
    text = text or f"question {key}?"
    return QuestionRow(
        key=key,
        split=split,
        text=text,
        text_hash=hashlib.sha256(" ".join(text.casefold().split()).encode()).hexdigest()[:24],
        gold=gold,
        rationale=None,
    )


@dataclass
class World:
    """A task with questions, teachers and plans, in a real file."""

    path: Path
    connection: Connection
    boot: int = 0
    tasks: dict[str, int] = field(default_factory=dict)
    teachers: dict[str, int] = field(default_factory=dict)
    sizes: dict[tuple[str, str], int] = field(default_factory=dict)

    def reboot(self) -> int:
        """A further start of the daemon; returns how many attempts became unknown."""
        info = start_session(
            self.path,
            pid=1,
            pid_started=1.0,
            host="here",
            version="0",
            config={},
            batch_dialects=["openai-batch"],
        )
        self.boot = info.id
        return info.unknown_attempts

    def task(self, name: str, questions: list[QuestionRow]) -> bool:
        """Syncs a task; whether its questions changed."""
        with orm_session(self.path) as opened:
            digest = hashlib.sha256(repr(questions).encode()).hexdigest()
            row, changed = sync_task(
                opened,
                name=name,
                source="x.jsonl",
                answer_format="yes_no",
                digest=digest,
                stamp="",
                sizes={
                    split: sum(row.split == split for row in questions) for split in ("train", "dev", "test")
                },
                longest={},
                questions=questions,
            )
            self.tasks[name] = row.id or 0
        for split in ("train", "dev", "test"):
            self.sizes[name, split] = sum(1 for question in questions if question.split == split)
        return changed

    def teacher(self, name: str) -> int:
        with orm_session(self.path) as opened:
            row = sync_teacher(opened, name=name, dialect="openai-chat", model="m", base_url="")
            self.teachers[name] = row.id or 0
        return self.teachers[name]

    def plan(
        self,
        name: str = "p",
        *,
        task: str = "t",
        split: str = "train",
        recipe: str = RECIPE,
        rationales: int = 2,
        base: int | None = None,
        want: int = 0,
        target: int = 0,
        together: int = 1,
        unless: str = "",
        wrong: int = 0,
        recount: bool = False,
    ) -> int:
        row = PlanRow(
            name=name,
            task_id=self.tasks[task],
            split=split,
            recipe=recipe,
            teachers=list(self.teachers),
            strategy="zero-shot-cot",
            settings={"stop_after_wrong": wrong} if wrong else {},
            rationales=rationales,
            weight=1.0,
            base=base,
            want=want,
            target=target,
            together=together,
            unless=unless,
        )
        with orm_session(self.path) as opened:
            plan, changed = sync_plan(opened, row, self.sizes[task, split])
            if changed or recount:
                reconcile(opened, plan)
            return plan.id or 0

    def claim(
        self,
        plan: int,
        count: int = 1,
        *,
        allowance: int = MONEY,
        cost: int = 10,
        teacher: str = "a",
        further: int = 0,
        apart: bool = False,
    ) -> Claim:
        request = ClaimRequest(
            plan_id=plan,
            teacher_id=self.teachers[teacher],
            boot_id=self.boot,
            count=count,
            allowance=allowance,
            reserve=lambda text: cost,
            further=further,
            apart=apart,
        )
        self.connection.execute("BEGIN IMMEDIATE")
        found = claim(self.connection, [request])[0]
        self.connection.execute("COMMIT")
        return found

    def open_again(self, sample: Any, *, turn: int = 0, reserved: int = 4, teacher: str = "a") -> OpenAttempt:
        request = AttemptRequest(
            sample_id=sample.sample_id,
            plan_id=sample.plan_id,
            turn=turn,
            teacher_id=self.teachers[teacher],
            boot_id=self.boot,
            reserved_micros=reserved,
        )
        self.connection.execute("BEGIN IMMEDIATE")
        (found,) = open_attempts(self.connection, [request])
        self.connection.execute("COMMIT")
        return found

    def record(self, *endings: AttemptResult) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        record(self.connection, endings)
        self.connection.execute("COMMIT")

    def store(self, found: Claim, *, correct: bool | None = True, cost: int = 7) -> None:
        """Ends every claimed sample of `found` with an answer."""
        endings, last = [], ""
        for sample in found.samples:
            assert sample.attempt is not None
            leads = sample.attempt.request_id != last
            more: dict[str, Any] = {} if leads else {"leader": False, "raw": None}
            endings.append(stored(sample, correct=correct, cost=cost, **more))
            last = sample.attempt.request_id
        self.record(*endings)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> tuple[Any, ...]:
        (found,) = self.rows(sql, *values)
        return found


def stored(sample: Any, *, correct: bool | None = True, cost: int = 7, **more: Any) -> AttemptResult:
    """The ending of a claimed sample's first attempt, with its rationale."""
    verdict = (
        None
        if correct is None
        else Verdict(grader="g:1", correct=correct, extracted="yes" if correct else "no", reason="")
    )
    end = SampleEnd(state=SampleState.STORED, rationale="because", answer="yes", verdict=verdict)
    return ending(sample, Outcome.OK, cost=cost, **{"raw": b"{}", "status": 200, "end": end, **more})


def ending(sample: Any, outcome: Outcome, *, cost: int = 0, **more: Any) -> AttemptResult:
    attempt = more.pop("attempt", sample.attempt)
    return AttemptResult(
        attempt_id=attempt.id,
        sample_id=sample.sample_id,
        plan_id=sample.plan_id,
        teacher_id=more.pop("teacher_id", sample.teacher_id),
        outcome=outcome,
        reserved_micros=attempt.reserved_micros,
        cost_micros=cost,
        **more,
    )


def make(path: Path, *, questions: int = 3) -> World:
    """A world with task `t`, teachers `a` and `b`, and a first boot."""
    world = World(path, open_writer(path))
    world.reboot()
    world.task("t", question_rows(questions))
    world.teacher("a")
    world.teacher("b")
    return world


def check_needs(world: World, plan: int) -> None:
    """Who is to be asked again, and how much that is, follow from the samples."""
    base, most, want, target, questions, wanted, claimed, recipe, task, split, unless, wrong = world.row(
        "SELECT base, rationales, want, target, questions, wanted, claimed, recipe, task_id, split, unless,"
        " settings ->> '$.stop_after_wrong' FROM plan WHERE id = ?",
        plan,
    )
    found: dict[int, list[tuple[int, str, int | None]]] = {}
    for question, *sample in world.rows(
        "SELECT s.question_id, s.replicate, s.state, s.verdict FROM sample s JOIN question q ON q.id = s.question_id"
        " WHERE s.task_id = ? AND s.split = ? AND s.recipe = ? AND q.active = 1",
        *(task, split, recipe),
    ):
        found.setdefault(question, []).append((sample[0], sample[1], sample[2]))
    excluded = {
        key
        for (key,) in world.rows("SELECT question_id FROM sample WHERE recipe = ? AND verdict = 1", unless)
    }
    again, further = [], 0
    for question, samples in sorted(found.items()):
        own = [sample for sample in samples if sample[0] < most]
        correct = sum(verdict == 1 for _, _, verdict in own)
        hoped = sum(verdict is None and state != "failed" for _, state, verdict in own)
        further += sum(replicate >= base for replicate, _, _ in own)
        limit = most if correct or not wrong else wrong
        if base <= len(own) < limit and correct + hoped < want and question not in excluded:
            again.append((question, len(own), correct))
    kept = world.rows("SELECT question_id, tries, correct FROM need WHERE plan_id = ? ORDER BY 1", plan)
    assert kept == again, f"to be asked again: {again}, kept: {kept}"
    if not target:
        assert wanted in (questions * base + further + len(again), claimed if want and not again else None)
    assert (
        claimed <= wanted <= questions * most + len(again)
    )  # one that an edit left without its first ones counts twice


def check_counts(world: World) -> None:
    """Every counter equals what a full recount of attempts and samples gives."""
    names = (
        *("requests", "answered", "status_429", "retries", "errors", "unknown_attempts", "prompt_tokens"),
        *("completion_tokens", "spent_micros", "unknown_micros", "reserved_micros"),
    )
    for teacher in world.teachers.values():
        kept = world.row(f"SELECT {', '.join(names)} FROM teacher WHERE id = ?", teacher)
        counted = world.row(
            "SELECT coalesce(sum(choice = 0), 0), coalesce(sum(choice = 0 AND outcome = 'ok'), 0),"
            " coalesce(sum(choice = 0 AND status = 429), 0),"
            " coalesce(sum(choice = 0 AND outcome IN ('transient', 'malformed', 'unknown')), 0),"
            " coalesce(sum(choice = 0 AND outcome IN ('transient', 'malformed', 'permanent', 'parked')), 0),"
            " coalesce(sum(outcome = 'unknown'), 0), coalesce(sum(prompt_tokens), 0),"
            " coalesce(sum(completion_tokens), 0), coalesce(sum(cost_micros), 0), coalesce(sum(unknown_micros), 0),"
            " coalesce(sum(CASE WHEN outcome IS NULL THEN reserved_micros END), 0)"
            " FROM attempt WHERE teacher_id = ?",
            teacher,
        )
        assert dict(zip(names, kept, strict=True)) == dict(zip(names, counted, strict=True))
    names = (
        *("claimed", "stored", "accepted", "rejected", "failed"),
        *("spent_micros", "unknown_micros", "reserved_micros"),
    )
    for plan, wanted, slots, skips, cursor, skipped, *kept in world.rows(
        f"SELECT id, wanted, questions * base, want + target > 0 OR unless <> '', cursor, skipped, {', '.join(names)} FROM plan"
    ):
        counted = world.row(
            "SELECT count(*), coalesce(sum(s.state = 'stored'), 0), coalesce(sum(s.verdict = 1), 0),"
            " coalesce(sum(s.verdict = 0), 0), coalesce(sum(s.state = 'failed'), 0)"
            " FROM plan p JOIN sample s ON s.task_id = p.task_id AND s.split = p.split AND s.recipe = p.recipe"
            " AND s.replicate < p.rationales WHERE p.id = ?",
            plan,
        ) + world.row(
            "SELECT coalesce(sum(a.cost_micros), 0), coalesce(sum(a.unknown_micros), 0),"
            " coalesce(sum(CASE WHEN a.outcome IS NULL THEN a.reserved_micros END), 0)"
            " FROM sample s JOIN attempt a ON a.sample_id = s.id WHERE s.plan_id = ?",
            plan,
        )
        assert dict(zip(names, kept, strict=True)) == dict(zip(names, counted, strict=True))
        claimed, done, accepted, rejected, failed = kept[:5]
        assert done + failed <= claimed <= wanted
        assert accepted + rejected <= done
        assert 0 <= cursor <= slots
        assert skips or skipped == 0
        check_needs(world, plan)
    begun_anew = bool(world.rows("SELECT 1 FROM command WHERE kind = 'retry' AND state = 'done'"))
    names = ("prompt_tokens", "completion_tokens", "cost_micros", "unknowns")
    for sample, *kept in world.rows(f"SELECT id, {', '.join(names)} FROM sample"):
        counted = world.row(
            "SELECT coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0),"
            " coalesce(sum(cost_micros), 0), coalesce(sum(outcome = 'unknown'), 0)"
            " FROM attempt WHERE sample_id = ?",
            sample,
        )
        if begun_anew:  # its requests without an answer count from then on
            assert kept[3] <= counted[3]
            kept[3] = counted[3]
        assert dict(zip(names, kept, strict=True)) == dict(zip(names, counted, strict=True))
