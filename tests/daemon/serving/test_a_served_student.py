"""A real daemon that serves a real student, and is killed meanwhile."""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.host.processes import is_alive
from state.database import open_writer
from state.enums import RunState
from state.runs import RunEnd, create_run, end_run
from tests.daemon.parts import owned
from tests.daemon.site import coterie, count, daemon, query, run_to_end, wait_until
from tests.engine.students.test_serve import QUESTIONS, make_student
from tests.state.test_runs import NEW

CONFIG = """
[daemon]
budget_usd = 10000.0
usd_per_device_hour = 100.0

[tasks.t]
source = "questions.jsonl"
answer = "yes_no"

[teachers.me]
student = "small"
concurrency = 1

[[plans]]
name = "greedy"
teachers = ["me"]
strategy = "student"
split = "test"
temperature = 0.0
max_tokens = 12
logprobs = 1

[[plans]]
name = "sampled"
teachers = ["me"]
strategy = "student"
split = "test"
rationales = 6
stop = ["i", "F"]
max_tokens = 12

[[students]]
name = "small"
train_at = [1000000]
"""


def lay_out(folder: Path) -> None:
    """A database with one finished run, whose student answers as its predictions say."""
    lines = [{"question": row.question, "answer": row.gold, "split": "test"} for row in QUESTIONS]
    (folder / "questions.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (folder / "config.toml").write_text(CONFIG)
    made = make_student(folder, "gpt2", "fine-tune-cot")
    (folder / "runs").mkdir()
    shutil.move(made, folder / "runs" / "1")


def finish(folder: Path) -> None:
    connection = open_writer(folder / "state.db")
    create_run(connection, [replace(NEW, student="small", sample_ids=(), trigger="complete")])
    end_run(connection, [RunEnd(run_id=1, state=RunState.DONE)])
    owned(connection, folder / "runs" / "1")
    connection.close()


@pytest.mark.timeout(900)
def test_a_killed_daemon_takes_its_server_along_and_nothing_is_asked_twice(tmp_path: Path) -> None:
    lay_out(tmp_path)
    code, said = run_to_end(tmp_path)
    waits = "plan greedy on t waits for student small: it has no finished run on t"
    assert code == 1 and waits in said, said
    assert f"note: {waits}" in coterie(tmp_path, "check").stdout
    assert query(tmp_path, "SELECT count(*) FROM plan") == [(2,)]
    finish(tmp_path)
    lock = tmp_path / "runs" / "serve-small.lock"
    with daemon(tmp_path, "--until-idle") as first:
        wait_until("samples are stored", lambda: count(tmp_path, "sample", "state = 'stored'") >= 20, 300)
        server = json.loads(lock.read_text())
        assert is_alive(server["pid"], server["started"])
        first.kill()
    wait_until("its server ends with it", lambda: not is_alive(server["pid"], server["started"]), 60)
    left = count(tmp_path, "attempt", "outcome IS NULL")
    assert left and count(tmp_path, "sample", "state = 'stored'") < 7 * len(QUESTIONS), (
        "it was killed at work"
    )
    code, said = run_to_end(tmp_path, seconds=300)
    assert code == 0 and json.loads(lock.read_text())["pid"] != server["pid"], said
    assert count(tmp_path, "sample", "state = 'stored'") == 7 * len(QUESTIONS)
    unknown = count(tmp_path, "attempt", "outcome = 'unknown'")
    assert count(tmp_path, "attempt") == 7 * len(QUESTIONS) + unknown and unknown <= left
    # Its greedy texts are those of its evaluation, with true log-probabilities, and its time on the device is paid for.
    predictions = (tmp_path / "runs" / "1" / "predictions.jsonl").read_text().splitlines()
    wanted = {QUESTIONS[at].question: json.loads(line)["text"] for at, line in enumerate(predictions)}
    rows = query(
        tmp_path,
        "SELECT q.text, c.raw, l.tokens, l.mean, a.cost_micros FROM sample s JOIN question q ON q.id = s.question_id"
        " JOIN plan p ON p.id = s.plan_id JOIN attempt a ON a.sample_id = s.id AND a.outcome = 'ok'"
        " JOIN completion c ON c.attempt_id = a.id JOIN logprob l ON l.attempt_id = a.id WHERE p.name = 'greedy'",
    )
    got = {
        text: json.loads(zlib.decompress(raw))["choices"][0]["message"]["content"] for text, raw, *_ in rows
    }
    assert got == wanted and len(got) == len(QUESTIONS)
    assert all(tokens and mean < 0 for _, _, tokens, mean, _ in rows)
    assert sum(cost for *_, cost in rows) > 0
    # Both plans are the rows that waited, and say whom they ask.
    assert query(tmp_path, "SELECT name, settings ->> '$.served', active FROM plan ORDER BY id") == [
        ("greedy", 1, 1),
        ("sampled", 1, 1),
    ]
