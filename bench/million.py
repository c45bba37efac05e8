"""A daemon on a large state: 1 M questions, 10 M planned samples, 1 M of them stored: `python -m bench.million`.

The first start reads the task file. Then a million stored samples are written into `state.db` and the daemon is started again;
the bench measures the time to its first request, and its memory from there on.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from bench.cli import alone
from bench.daemon_fixture import Daemon, daemon_fixture
from bench.server import Server, running
from bench.tables import Row, Table
from engine.tasks.file_stamp import SETTLED_S
from state.database import now_ms, open_writer

RATIONALE = (
    "Let us go through it step by step. The first number is added to the second, which gives a third. " * 8
)
SAMPLING_S = 15.0


def bench(quick: bool) -> Table:
    """Start and memory; a tenth of everything with --quick."""
    questions = 100_000 if quick else 1_000_000
    with running(delay_ms=20) as server, daemon_fixture() as fixture:
        fixture.populate(server.url, questions=questions, rationales=10, concurrency=100)
        time.sleep(SETTLED_S)  # a file that was just written is read again at the next start
        first = fixture.start()
        imported, _ = _until_requests(first, server, 0)
        import_mb = _resident_mb(first)
        first.process.terminate()
        first.ended()
        fill(fixture.database, questions)
        before = len(server.stats()["seen"])
        second = fixture.start()
        started_s, begun = _until_requests(second, server, before)
        early = _resident_mb(second)
        _sleep_until(begun + SAMPLING_S)
        late = _resident_mb(second)
        rate = (len(server.stats()["accepted"]) - before) / (time.monotonic() - begun)
        second.process.terminate()
        stopped = time.monotonic()
        ended = second.ended(look_s=0.01)
        stop_s = time.monotonic() - stopped
        status = fixture.command("status")
    return Table(
        "A large state",
        f"{questions:,} questions in a file, {10 * questions:,} planned samples, {questions:,} stored.",
        [
            Row("first start, which reads the file: first request", f"{imported:.1f} s, {import_mb:.0f} MB"),
            Row("start: first request", f"{started_s:.2f} s", wanted="< 2 s"),
            Row("resident memory then", f"{early:.0f} MB", wanted="< 250 MB"),
            Row(f"resident memory {SAMPLING_S:.0f} s later", f"{late:.0f} MB", wanted="flat"),
            Row("samples per second meanwhile", f"{rate:,.0f}"),
            Row("SIGTERM to the end", f"{stop_s:.2f} s, exit {ended.code}"),
            Row("coterie status", f"{status.wall_s:.2f} s, CPU {status.cpu_s:.2f} s"),
        ],
    )


def fill(database: Path, samples: int) -> None:
    """Stores the first replicate of every question that has none, with attempt, body and verdict."""
    with contextlib.closing(open_writer(database)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        plan, task, recipe, questions = connection.execute(
            "SELECT id, task_id, recipe, wanted / rationales FROM plan"
        ).fetchone()
        boot, now = connection.execute("SELECT max(id) FROM boot").fetchone()[0], now_ms()
        connection.execute(
            "INSERT INTO sample (plan_id, task_id, question_id, split, teacher_id, recipe, replicate, state, attempts,"
            " unknowns, rationale, answer, verdict, extracted, flags, finish_reason, prompt_tokens, completion_tokens,"
            " cost_micros, created_at, stored_at) SELECT ?, ?, q.id, 'train', 1, ?, 0, 'stored', 1, 0, ? || q.id, '42',"
            " q.id % 3 <> 0, '42', '[]', 'stop', 60, 130, 0, ?, ? FROM question q WHERE q.task_id = ? AND NOT EXISTS"
            " (SELECT 1 FROM sample s WHERE s.question_id = q.id AND s.recipe = ?) LIMIT ?",
            (plan, task, recipe, RATIONALE, now, now, task, recipe, samples),
        )
        connection.execute(
            "INSERT INTO attempt (sample_id, turn, teacher_id, boot_id, request_id, choice, outcome, status,"
            " reserved_micros, cost_micros, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens, estimated,"
            " claimed_at, ended_at) SELECT s.id, 0, 1, ?, hex(randomblob(12)), 0, 'ok', 200, 0, 0, 60, 130, 0, 0, 0, ?, ?"
            " FROM sample s WHERE NOT EXISTS (SELECT 1 FROM attempt a WHERE a.sample_id = s.id)",
            (boot, now, now),
        )
        connection.execute(
            "INSERT INTO completion (attempt_id, raw, size, finish_reason, received_at) SELECT a.id, randomblob(500), 1200,"
            " 'stop', ? FROM attempt a WHERE NOT EXISTS (SELECT 1 FROM completion c WHERE c.attempt_id = a.id)",
            (now,),
        )
        connection.execute(
            "INSERT INTO grade (sample_id, grader, correct, extracted, reason, flags, graded_at) SELECT s.id,"
            " 'careful:3', s.verdict, '42', 'equal', '[]', ? FROM sample s"
            " WHERE NOT EXISTS (SELECT 1 FROM grade g WHERE g.sample_id = s.id) AND s.verdict IS NOT NULL",
            (now,),
        )
        connection.execute(
            "UPDATE plan SET cursor = ?, claimed = n, stored = n, accepted = good, rejected = n - good FROM"
            " (SELECT count(*) n, sum(verdict) good FROM sample)",
            (questions,),
        )
        connection.execute("COMMIT")


def _until_requests(daemon: Daemon, server: Server, before: int) -> tuple[float, float]:
    """Seconds from the start of a daemon to its first request, and the time of that request."""
    while len(server.stats()["seen"]) <= before:
        if daemon.process.poll() is not None:
            raise RuntimeError("the daemon ended before its first request")
        time.sleep(0.05)
    now = time.monotonic()
    return now - daemon.started, now


def _resident_mb(daemon: Daemon) -> float:
    for line in Path(f"/proc/{daemon.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1e3
    return 0.0


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


if __name__ == "__main__":
    alone(bench)
