"""Fills a database as after a long run, to measure the monitor on: a million samples, 50 tasks, 200 runs.

Rationales have about a kilobyte and arrived at a hundred a second, each by one attempt; runs have metrics, evaluations and predictions; there are events of every level. Rows are
written in bulk without the daemon, so counters are set directly.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from state.database import now_ms, open_writer
from state.search import index_words
from state.sqlite import Connection

TASKS, RUNS, METRICS, EVENTS = 50, 200, 300, 20_000
PACE_MS = 10
"""Milliseconds between two samples."""
LATENCY_MS = 800
QUESTIONS = 2_000
"""Questions of each task."""
RATIONALE = (
    "Let's think step by step. The coin is heads up. Ana flips the coin, so it is tails up. Ben does not flip it. "
    * 8
)
CONFIG = {
    "daemon": {"budget_usd": 900.0},
    "students": [{"name": "s", "tasks": ["*"], "train_at": [10**6]}],
}


def fill(path: Path, samples: int) -> None:
    """Writes everything except the word index."""
    connection = open_writer(path)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN")
    now = now_ms()
    _put(connection, "boot", id=1, pid=1, started_at=now, config=json.dumps(CONFIG))
    _put(connection, "pulse", id=1, boot_id=1, at=now, state="running", data="{}")
    for number in (1, 2):
        _put(
            connection,
            "teacher",
            id=number,
            name=f"teacher{number}",
            dialect="openai-chat",
            model="m",
            state="ready",
        )
    own = samples // TASKS
    for task in range(1, TASKS + 1):
        _put(
            connection,
            "task",
            id=task,
            name=f"task{task}",
            answer_format="yes_no",
            train=QUESTIONS,
            active=1,
        )
        _put(
            connection,
            "plan",
            id=task,
            name="diverse",
            task_id=task,
            split="train",
            recipe=f"r{task}",
            teachers='["teacher1", "teacher2"]',
            strategy="zero-shot-cot",
            active=1,
            wanted=own,
            claimed=own,
            stored=own,
            accepted=own * 10 // 11,
            rejected=own - own * 10 // 11,
        )
    _questions(connection)
    _samples(connection, samples, now)
    _attempts(connection, samples)
    _runs(connection, now)
    _events(connection, now)
    connection.execute("COMMIT")
    connection.close()


def index(path: Path) -> float:
    """Completes the word index; returns microseconds of CPU per sample, 0 if nothing was left."""
    connection = open_writer(path)
    began, looked, left = time.process_time(), 0, 1
    while left:
        connection.execute("BEGIN IMMEDIATE")
        done = index_words(connection, [2_000])[0]
        connection.execute("COMMIT")
        looked, left = looked + done.looked, done.left
    connection.close()
    return 1e6 * (time.process_time() - began) / looked if looked else 0.0


def beat(path: Path) -> None:
    """Writes the daemon's heartbeat, so that readers notice a change."""
    connection = open_writer(path)
    connection.execute("UPDATE pulse SET at = ?", (now_ms(),))
    connection.close()


def _put(connection: Connection, table: str, **given: object) -> None:
    """Inserts a row; other columns are empty: null, 0 or ""."""
    values = {}
    for _, name, kind, needed, default, _ in connection.execute(f"PRAGMA table_info({table})"):
        if name in given:
            values[name] = given[name]
        elif needed and default is None:
            values[name] = "" if kind == "TEXT" else 0
    names = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))


def _questions(connection: Connection) -> None:
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1)"
        " INSERT INTO question (id, task_id, key, split, position, text, text_hash, gold, active)"
        " SELECT i + 1, i / ? + 1, 'q' || i, 'train', i % ?, 'Is it still heads up?', i, 'yes', 1 FROM n",
        (TASKS * QUESTIONS, QUESTIONS, QUESTIONS),
    )


def _samples(connection: Connection, samples: int, now: int) -> None:
    """Samples of each task in turn; a word `nameN` occurs in one of a thousand, `numberN` in one."""
    connection.execute(
        "WITH RECURSIVE n(i, task, at) AS (SELECT 0, 1, 0 UNION ALL"
        " SELECT i + 1, (i + 1) % :tasks + 1, (i + 1) / :tasks FROM n WHERE i < :samples - 1)"
        " INSERT INTO sample (id, plan_id, task_id, question_id, split, teacher_id, recipe, replicate, state, attempts,"
        " unknowns, rationale, answer, verdict, extracted, flags, finish_reason, prompt_tokens, completion_tokens,"
        " cost_micros, created_at, stored_at)"
        " SELECT i + 1, task, task, (task - 1) * :questions + at % :questions + 1, 'train', i % 2 + 1, 'r' || task,"
        " at / :questions, 'stored', 1, 0, :words || 'name' || (i % 1000) || ' number' || i, 'yes', i % 11 <> 0, 'yes',"
        " CASE WHEN i % 9973 = 0 THEN '[\"truncated\"]' ELSE '[]' END, 'stop', 120, 80, 60, :first + :pace * i,"
        " :first + :pace * i + :latency FROM n",
        {
            "tasks": TASKS,
            "samples": samples,
            "questions": QUESTIONS,
            "words": RATIONALE,
            "first": now - PACE_MS * samples - LATENCY_MS,
            "pace": PACE_MS,
            "latency": LATENCY_MS,
        },
    )


def _attempts(connection: Connection, samples: int) -> None:
    """One attempt for each sample; one in two hundred was refused first, which brings a second."""
    connection.execute(
        "INSERT INTO attempt (sample_id, turn, teacher_id, boot_id, request_id, choice, outcome, status, reason,"
        " reserved_micros, cost_micros, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, estimated,"
        " latency_ms, claimed_at, ended_at)"
        " SELECT id, 0, teacher_id, 1, 'r' || id || '-' || refused, 0, iif(refused, 'limited', 'ok'), iif(refused, 429, 200),"
        " iif(refused, 'too many requests', NULL), 0, iif(refused, 0, 60), 120, 80, 0, 0, 0,"
        " iif(refused, NULL, ? + id % 400), created_at, stored_at FROM sample JOIN"
        " (SELECT 0 refused UNION ALL SELECT 1) ON refused = 0 OR id % 200 = 0 ORDER BY id, refused DESC",
        (LATENCY_MS - 200,),
    )


def _runs(connection: Connection, now: int) -> None:
    """Runs of four students for each task: three runs train, one in twenty failed, the others are done."""
    for number in range(1, RUNS + 1):
        task, state = (number - 1) % TASKS + 1, "done"
        if number % 20 == 7:
            state = "failed"
        if number > RUNS - 3:
            state = "training"
        steps = 10 * METRICS
        _put(
            connection,
            "run",
            id=number,
            student=f"student{(number - 1) // TASKS}",
            task_id=task,
            scope=f"task{task}",
            trigger="400",
            recipe=f"k{number}",
            state=state,
            method="fine-tune-cot",
            base="builtin:nano",
            spec="{}",
            drops="{}",
            directory=f"runs/{number}",
            samples=4_000,
            questions=QUESTIONS,
            step=steps // 2 if state == "training" else steps,
            steps=steps,
            loss=0.3,
            accuracy=0.4 + number / 1_000 if state == "done" else None,
            error="out of memory" if state == "failed" else None,
            created_at=now,
            started_at=now,
        )
    count = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
    connection.execute(
        f"{count} INSERT INTO metric (run_id, step, at, epoch, loss, learning_rate, grad_norm, tokens_per_second, mfu,"
        " memory_mb) SELECT r.id, 10 * i, 0, i / 50.0, 2.5 / i + (i * 7919 % 100) / 900.0, 0.001, 1.0, 900.0, 0.4, 800.0"
        " FROM run r, n",
        (METRICS,),
    )
    connection.execute(
        f"{count} INSERT INTO evaluation (run_id, task_id, split, step, epoch, n, correct, accuracy, low, high, seed, at)"
        " SELECT r.id, r.task_id, CASE i WHEN 6 THEN 'test' ELSE 'dev' END, 500 * i, i, 150, 60 + 5 * i,"
        " (60 + 5 * i) / 150.0, (50 + 5 * i) / 150.0, (70 + 5 * i) / 150.0, 0, 0 FROM run r, n",
        (6,),
    )
    connection.execute(
        f"{count} INSERT INTO prediction (run_id, question_id, split, text, extracted, correct, reason)"
        " SELECT r.id, (r.task_id - 1) * ? + i, 'test', 'It is heads up. So the answer is yes.', 'yes', i % 2, ''"
        " FROM run r, n",
        (150, QUESTIONS),
    )


def _events(connection: Connection, now: int) -> None:
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ? - 1)"
        " INSERT INTO event (at, level, kind, subject, message, data) SELECT ? - 1000 * (? - i),"
        " CASE i % 50 WHEN 0 THEN 'error' WHEN 1 THEN 'warning' ELSE 'info' END, 'TaskPaused', 'task:task' || (i % ? + 1),"
        " 'task ' || i || ' is paused', '{}' FROM n",
        (EVENTS, now, EVENTS, TASKS),
    )
