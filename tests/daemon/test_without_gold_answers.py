"""One run with a task that has gold answers and one that has none: what every view says of each."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from daemon.observe.exposition import exposition
from state.database import now_ms, open_reader
from state.views.costs import usd_per_correct
from state.views.sample_history import SampleHistory, continue_history
from state.views.samples import sample_rows
from state.views.status import read_status
from state.views.teacher_counts import TeacherCounts, continue_counting
from tests.daemon.site import coterie, query, run_to_end

CONFIG = """
[teachers.practice]
builtin = true
model = "practice-large"
latency_ms = 2
usd_per_million_input = 0.15
usd_per_million_output = 0.60
[tasks.flips]
source = "builtin:coin_flip"
answer = "yes_no"
train = 6
dev = 0
test = 4
[tasks.bare]
source = "builtin:coin_flip"
answer = "yes_no"
labelled = false
train = 8
[[plans]]
name = "cot"
tasks = ["*"]
strategy = "zero-shot-cot"
rationales = 1
[[plans]]
name = "exam"
tasks = ["flips"]
strategy = "zero-shot-cot"
split = "test"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare")
    (folder / "config.toml").write_text(CONFIG)
    code, output = run_to_end(folder)
    assert code == 0, output
    (folder / "output").write_text(output)
    return folder


def test_the_end_of_a_run_counts_answers_apart_from_correct_ones(folder: Path) -> None:
    output = (folder / "output").read_text()
    [(correct,)] = query(
        folder,
        "SELECT sum(s.verdict = 1) FROM sample s JOIN task t ON t.id = s.task_id WHERE t.labelled = 1",
    )
    tables = output[output.index("Accuracy in percent") :]
    assert "random" in tables and tables.count("random") == 1, (
        "guessing has no accuracy without test questions"
    )
    assert "No test questions: bare" in tables
    last = tables.splitlines()[-1]
    assert last.startswith(f"samples: 18, {correct} correct, $") and last.endswith(
        " per 1,000 correct, 8 answered (no gold answers)"
    )
    assert "students:" not in tables, "there are none"
    assert "plan cot on bare completed: 8 answered, 0 without an answer" in output


def test_views_of_a_task_without_gold_answers_say_answered(folder: Path) -> None:
    with closing(open_reader(folder / "state.db")) as connection:
        status = read_status(connection, now_ms())
        counts = continue_counting(connection, TeacherCounts(), 5.0)
        history = continue_history(connection, SampleHistory(bucket_ms=60_000), 0, 5.0)
        rows = sample_rows(connection, range(1, 19))
    bare = next(plan for plan in status.plans if plan.task == "bare")
    others = [plan for plan in status.plans if plan.task != "bare"]
    correct = sum(plan.correct for plan in others)
    assert (bare.correct, bare.graded, bare.answered, bare.usd_per_correct) == (0, 0, 8, None)
    assert sum(plan.answered for plan in others) == 0
    price = usd_per_correct(status.plans)
    assert price == pytest.approx(sum(plan.usd for plan in others) / correct)
    assert counts.correct(1) == correct and counts.graded[1] == 10
    assert sum(good for _, good in history.counts.values()) == correct
    assert sum(some for some, _ in history.counts.values()) == 18
    assert {row.word for row in rows.values() if row.task == "bare"} == {"answered"}
    assert {row.word for row in rows.values() if row.task == "flips"} <= {"correct", "wrong"}
    text = exposition(status, folder / "state.db", folder / "runs").decode()
    assert "accepted: correct, or answered where there is no gold answer" in text


def test_commands_of_a_task_without_gold_answers_say_answered(folder: Path) -> None:
    found = coterie(folder, "samples", "find", "--verdict", "answered", "-n", "99")
    assert found.stdout.count("answered") == 8 and "correct" not in found.stdout
    assert coterie(folder, "samples", "find", "--task", "bare", "--verdict", "correct").returncode == 1
    with open(folder / "samples.jsonl", "w") as file:
        file.write(coterie(folder, "export", "samples").stdout)
    exported = [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]
    assert {row["correct"] for row in exported if row["task"] == "bare"} == {None}
    report = (folder / "report" / "report.md").read_text()
    line = next(line for line in report.splitlines() if line.startswith("| cot") and " bare " in line)
    assert " 8 answered " in line and " of 8 " not in line, "nothing of it is covered by correct rationales"
