"""A real database with a bit of everything, hostile text included; always the same."""

from __future__ import annotations

import json
import math
import socket
from pathlib import Path
from typing import Any

from state.database import open_writer
from state.heartbeat import HeartbeatData, TeacherHeartbeat
from state.sqlite import Connection

NOW = 1_760_000_000_000  # 2025-10-09 08:53:20 UTC
PID = 4242
SAMPLES = 170  # of each task; ids are dense: 1–170, 171–340, 341–510
SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000

HOSTILE = (
    "Set the title \x1b]0;owned\x07, the clipboard \x1b]52;c;ZXZpbA==\x07, clear \x1b[2J\x9b2J, "
    "go back \r\x08\x08, a link [@click=app.quit]here[/], [/foo] [bold red]loud, "
    "reversed \u202eon\u202c, \x90q\x9c, \x9d0;pwned\x9c, nul \x00 and bell \x07."
)

CONFIG = {
    "daemon": {"budget_usd": 5.0, "drain_seconds": 30.0},
    "students": [
        {
            "name": "fine-tune-cot",
            "tasks": ["*"],
            "plans": ["*"],
            "scope": "per-task",
            "train_at": [40, 400, "complete"],
        },
        {
            "name": "fine-tune",
            "tasks": ["coin_flip"],
            "plans": ["*"],
            "scope": "per-task",
            "train_at": ["complete"],
        },
    ],
}


def insert(connection: Connection, table: str, **values: Any) -> int:
    names = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join("?" * len(values))
    cursor = connection.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', tuple(values.values()))
    return int(cursor.lastrowid or 0)


def seed(path: Path) -> None:
    """Fills a new database: three tasks of `SAMPLES`, two teachers, runs in several states."""
    connection = open_writer(path)
    connection.execute("BEGIN")
    connection.execute("PRAGMA defer_foreign_keys = ON")
    _boot(connection)
    _teachers(connection)
    for task in (1, 2, 3):
        _task(connection, task)
    _runs(connection)
    _events(connection)
    connection.execute("COMMIT")
    connection.close()


def _boot(connection: Connection) -> None:
    insert(
        connection,
        "boot",
        id=1,
        pid=PID,
        pid_started=1.0,
        host=socket.gethostname(),
        version="0.1.0",
        started_at=NOW - 2 * HOUR - 14 * MINUTE,
        config=json.dumps(CONFIG),
    )
    wave = [20 + 10 * math.sin(i / 5) for i in range(60)]
    data = HeartbeatData(
        loop_lag_ms=3.2,
        commit_lag_ms=21.0,
        in_flight=64,
        waiting_retry=2,
        requests_per_second=31.4,
        tokens_per_second=5_210.0,
        retries_per_second=0.1,
        share_429=0.002,
        memory_mb=143.0,
        teachers={
            "practice": TeacherHeartbeat(
                in_flight=64,
                cap=80,
                queued=12,
                requests_per_minute=1884,
                tokens_per_minute=312_600,
                requests_limit=12_000,
                tokens_limit=3_000_000,
                p50_ms=41.0,
                p95_ms=96.0,
                bound_by="concurrency",
                errors={"limited": 4, "transient": 2},
                caps=[60 + i // 3 for i in range(60)],
            ),
            "gpt": TeacherHeartbeat(state="parked", reason=f"key refused (401): {HOSTILE}", cap=8),
        },
        tasks={"coin_flip": 30.0, "gsm8k": 12.0, "letters": 0.0},
        requests=wave,
        tokens=[value * 160 for value in wave],
        limited=[0.0] * 50 + [1.0] * 10,
        retries=[float(i % 7 == 0) for i in range(60)],
    )
    insert(connection, "pulse", id=1, boot_id=1, at=NOW - SECOND, state="running", data=data.to_json())


def _teachers(connection: Connection) -> None:
    insert(
        connection,
        "teacher",
        id=1,
        name="practice",
        dialect="openai-chat",
        model="practice-large",
        base_url="http://127.0.0.1:1",
        state="ready",
        reason="",
        active=1,
        requests=1_040,
        answered=1_020,
        status_429=4,
        retries=6,
        errors=2,
        unknown_attempts=1,
        prompt_tokens=152_000,
        completion_tokens=81_000,
        spent_micros=3_100_000,
        reserved_micros=20_000,
        unknown_micros=15_000,
    )
    insert(
        connection,
        "teacher",
        id=2,
        name="gpt",
        dialect="openai-chat",
        model="gpt-4.1-mini",
        base_url="https://api.openai.com/v1",
        state="parked",
        reason=f"key refused (401): {HOSTILE}",
        active=1,
        requests=9,
        answered=8,
        status_429=0,
        retries=0,
        errors=1,
        unknown_attempts=0,
        prompt_tokens=900,
        completion_tokens=400,
        spent_micros=2_000,
        reserved_micros=0,
    )


PROMPTS = [
    [{"role": "user", "content": "Q: {question}\nA: Let's think step by step."}],
    [
        {
            "role": "user",
            "content": "Q: {question}\nA: Let's think step by step. {rationale}\nTherefore, the answer is",
        }
    ],
]
NAMES = {1: "coin_flip", 2: "gsm8k", 3: "letters"}
FORMATS = {1: "yes_no", 2: "number", 3: "text"}


def _task(connection: Connection, task: int) -> None:
    insert(
        connection,
        "task",
        id=task,
        name=NAMES[task],
        source=f"builtin:{NAMES[task]}",
        answer_format=FORMATS[task],
        digest="d",
        train=60,
        dev=10,
        test=20,
        active=1,
        paused=int(task == 3),
        created_at=NOW - 2 * HOUR,
    )
    for position in range(90):
        split = "train" if position < 60 else "dev" if position < 70 else "test"
        insert(
            connection,
            "question",
            id=1_000 * task + position + 1,
            task_id=task,
            key=f"q{position}",
            split=split,
            position=position,
            text=_question(task, position),
            text_hash=f"{task}-{position}",
            gold=_gold(task, position),
            active=1,
        )
    plan = 10 * task
    counts = {"stored": 0, "accepted": 0, "rejected": 0, "failed": 0, "open": 0}
    for number in range(SAMPLES):
        _sample(connection, task, plan, number, counts)
    insert_plan(
        connection, plan, "diverse", task, "train", wanted=480, rationales=8, counts=counts, samples=SAMPLES
    )
    if task == 1:
        held_out = {"stored": 20, "accepted": 17, "rejected": 3, "failed": 0, "open": 0}
        insert_plan(
            connection,
            plan + 1,
            "held-out",
            task,
            "test",
            wanted=20,
            rationales=1,
            counts=held_out,
            samples=20,
        )


def insert_plan(
    connection: Connection,
    plan: int,
    name: str,
    task: int,
    split: str,
    *,
    wanted: int,
    rationales: int,
    counts: dict[str, int],
    samples: int,
) -> None:
    insert(
        connection,
        "plan",
        id=plan,
        name=name,
        task_id=task,
        split=split,
        recipe=f"r{plan}",
        teachers=json.dumps(["practice", "gpt"]),
        strategy="zero-shot-cot",
        settings=json.dumps({"temperature": 0.7, "templates": PROMPTS}),
        rationales=rationales,
        weight=1.0,
        active=1,
        cursor=samples,
        wanted=wanted,
        claimed=samples,
        stored=counts["stored"],
        accepted=counts["accepted"],
        rejected=counts["rejected"],
        failed=counts["failed"],
        skipped=0,
        spent_micros=1_000_000,
        reserved_micros=6_000,
        created_at=NOW - 2 * HOUR,
    )


def _question(task: int, position: int) -> str:
    if task == 1:
        return f"A coin is heads up. Person {position} flips it. Is it still heads up?"
    if task == 2:
        return f"There are {position} apples and 中国 has {position + 2} more. How many?"
    return f"Take the last letters of “word{position} plus” and join them." + (
        HOSTILE if position == 0 else ""
    )


def _gold(task: int, position: int) -> str:
    return {1: "no" if position % 2 else "yes", 2: str(2 * position + 2), 3: f"{position}s"}[task]


def _sample(connection: Connection, task: int, plan: int, number: int, counts: dict[str, int]) -> None:
    """Every 11th wrong, every 23rd failed, the last three open, some ungraded, some hostile."""
    sample = SAMPLES * (task - 1) + number + 1
    position = number % 60
    question = 1_000 * task + position + 1
    state = "open" if number >= 167 else "failed" if number % 23 == 22 else "stored"
    correct = int(number % 11 != 10)
    stored = state == "stored"
    rationale = f"Let's think step by step. It was flipped {number} times.\nSo the coin is turned over."
    if number % 10 == 0:
        rationale = HOSTILE + "\n" + rationale
    flags = ["truncated"] if number % 13 == 12 else []
    values = {
        "id": sample,
        "plan_id": plan,
        "task_id": task,
        "question_id": question,
        "split": "train",
        "teacher_id": 2 if number % 20 == 19 else 1,
        "recipe": f"r{plan}",
        "replicate": number // 60,
        "state": state,
        "attempts": 3 if state == "failed" else 1,
        "unknowns": 0,
        "rationale": rationale if stored else None,
        "answer": f"Therefore, the answer is {_gold(task, position)}." if stored else None,
        "verdict": correct if stored else None,
        "extracted": (_gold(task, position) if correct else f"not {HOSTILE[:30]}") if stored else None,
        "flags": json.dumps(flags),
        "finish_reason": "length" if flags else "stop",
        "prompt_tokens": 120 + position,
        "completion_tokens": 60 + number % 40,
        "cost_micros": 60,
        "reason": f"content filter: {HOSTILE}" if state == "failed" else None,
        "created_at": NOW - 2 * HOUR + number * SECOND,
        "stored_at": NOW - 2 * HOUR + number * SECOND + 400 if stored else None,
    }
    insert(connection, "sample", **values)
    counts[state] += 1
    if stored:
        counts["accepted" if correct else "rejected"] += 1
        insert(
            connection,
            "grade",
            sample_id=sample,
            grader="careful:1",
            correct=correct,
            extracted=values["extracted"],
            reason="the last sentence says so" if correct else f"expected another: {HOSTILE}",
            flags=values["flags"],
            graded_at=NOW - HOUR,
        )
    if state == "failed":
        _attempt(connection, sample, "transient", 503, "server error")
        _attempt(connection, sample, "permanent", 400, HOSTILE)
    elif stored and number % 30 == 3:
        _attempt(connection, sample, "limited", 429, "Retry-After 2 s")
    if state != "failed":
        _attempt(connection, sample, "ok" if stored else None, 200 if stored else None, None)


def _attempt(
    connection: Connection, sample: int, outcome: str | None, status: int | None, reason: str | None
) -> None:
    insert(
        connection,
        "attempt",
        sample_id=sample,
        turn=0,
        teacher_id=1,
        boot_id=1,
        request_id=f"req-{sample}",
        choice=0,
        provider_id=f"chatcmpl-{sample}",
        outcome=outcome,
        status=status,
        reason=reason,
        reserved_micros=0 if outcome else 200,
        cost_micros=60 if outcome == "ok" else 0,
        prompt_tokens=120,
        completion_tokens=60,
        cached_tokens=0,
        reasoning_tokens=0,
        estimated=0,
        latency_ms=41 if outcome else None,
        claimed_at=NOW - HOUR,
        ended_at=NOW - HOUR + 41 if outcome else None,
    )


def _runs(connection: Connection) -> None:
    spec = json.dumps({"training": {"epochs": 20, "learning_rate": 0.003}, "note": HOSTILE})
    for run, student, task, trigger, state in (
        (1, "fine-tune-cot", 1, "40", "done"),
        (2, "fine-tune", 1, "complete", "done"),
        (3, "fine-tune-cot", 2, "40", "training"),
        (4, "fine-tune-cot", 3, "40", "failed"),
        (5, "fine-tune-cot", 1, "manual-1", "queued"),
        (6, "fine-tune-cot", 2, "manual-1", "stopped"),
    ):
        begun = state not in ("queued",)
        steps = 900
        step = {"done": 900, "training": 412, "failed": 31, "stopped": 120}.get(state, 0)
        insert(
            connection,
            "run",
            id=run,
            student=student,
            task_id=task,
            scope=NAMES[task],
            trigger=trigger,
            recipe="r",
            state=state,
            method="fine-tune" if student == "fine-tune" else "fine-tune-cot",
            base="builtin:nano",
            seed=0,
            zero_stage=2,
            spec=spec,
            digest="sha256:abc",
            samples=140,
            questions=58,
            drops=json.dumps({"duplicate": 7, "truncated": 3}),
            directory=f"runs/{run}",
            device="cpu:0" if begun else "",
            tries=1,
            priority=0,
            phase="training" if state == "training" else "",
            step=step,
            steps=steps,
            loss=0.81 if begun else None,
            tokens_per_second=5_120.0 if begun else None,
            eta_s=370.0 if state == "training" else None,
            accuracy={1: 0.82, 2: 0.55}.get(run),
            progress_offset=0,
            error=f"out of memory {HOSTILE}" if state == "failed" else None,
            created_at=NOW - HOUR,
            started_at=NOW - HOUR + MINUTE if begun else None,
            ended_at=NOW - 30 * MINUTE if state in ("done", "failed", "stopped") else None,
        )
        for at in range(4, step + 1, 4):
            insert(
                connection,
                "metric",
                run_id=run,
                step=at,
                at=NOW - HOUR + at * SECOND,
                epoch=at / 45,
                loss=0.6 + 3.0 * math.exp(-at / 120) + 0.1 * math.sin(at * 1.7),
                learning_rate=0.003 * min(1.0, at / 40) * (0.5 + 0.5 * math.cos(math.pi * at / steps)),
                grad_norm=1.0,
                tokens_per_second=5_000.0 + at % 200,
                mfu=None,
                memory_mb=812.0,
            )
        for number, at in enumerate(range(225, step + 1, 225)):
            _evaluation(connection, run, task, "dev", at, 10, 5 + number - (run == 2))
    _evaluation(connection, 1, 1, "test", 900, 20, 16)
    _evaluation(connection, 2, 1, "test", 900, 20, 11)
    for run in (1, 2):
        for position in range(70, 90):
            correct = int(position % 5 != 0)
            insert(
                connection,
                "prediction",
                run_id=run,
                question_id=1_001 + position,
                split="test",
                text=f"It was flipped {position} times. {HOSTILE if position == 70 else ''} --> yes",
                extracted="yes" if correct else "no",
                correct=correct,
                reason="the text after --> says so",
            )


def _evaluation(
    connection: Connection, run: int, task: int, split: str, step: int, n: int, correct: int
) -> None:
    insert(
        connection,
        "evaluation",
        run_id=run,
        task_id=task,
        split=split,
        step=step,
        epoch=step / 45,
        n=n,
        correct=correct,
        accuracy=correct / n,
        low=max(0.0, correct / n - 0.15),
        high=min(1.0, correct / n + 0.15),
        seed=0,
        at=NOW - 40 * MINUTE,
    )


def _events(connection: Connection) -> None:
    for level, kind, subject, message in (
        ("info", "DaemonStarted", "boot:1", "started"),
        ("info", "ThresholdReached", "task:coin_flip", "40 accepted samples: run 1 starts"),
        ("warning", "TeacherParked", "teacher:gpt", f"key refused (401): {HOSTILE}"),
        ("info", "RunFinished", "run:1", "82 % of 20 test questions"),
        ("error", "RunFailed", "run:4", f"out of memory {HOSTILE}"),
        ("info", "RunStarted", "run:3", "fine-tune-cot on gsm8k, 140 samples"),
    ):
        number = connection.execute("SELECT count(*) FROM event").fetchone()[0]
        insert(
            connection,
            "event",
            at=NOW - HOUR + number * MINUTE,
            level=level,
            kind=kind,
            subject=subject,
            message=message,
            data="{}",
        )
