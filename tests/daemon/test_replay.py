"""A daemon that starts a teacher with recorded completions itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.daemon.site import coterie, count, query, run_to_end

RECORDED, UNKNOWN = 4, 30  # more unknown ones in a row than park a teacher that refuses questions

CONFIG = """
[daemon]
budget_usd = 5.0

[teachers.davinci]
builtin = true
replay = ["logs/sums.jsonl", "logs/more.jsonl"]
dialect = "openai-completions"
model = "text-davinci-002"
latency_ms = 1.0
concurrency = 1

[tasks.sums]
source = "sums.jsonl"
answer = "number"
dev = 0

[[plans]]
name = "recorded"
strategy = "zero-shot-cot"
temperature = 0.0
"""


OTHER = '{"question": "Who?", "rationale": " Who.", "final": " 0."}\n'


def lay_out(folder: Path) -> None:
    """A task whose last questions are recorded, in two files."""
    rows = [{"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(UNKNOWN + RECORDED)]
    said = [
        {"question": row["question"], "rationale": f" One more is {row['answer']}.", "final": row["answer"]}
        for row in rows[UNKNOWN:]
    ]
    (folder / "logs").mkdir()
    split = [{**row, "split": "train"} for row in rows]
    split.append({"question": "What is 9 + 9?", "answer": "18", "split": "test"})
    for name, lines in (("sums", split), ("logs/sums", said[:-2]), ("logs/more", said[-2:])):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (folder / "config.toml").write_text(CONFIG, encoding="utf-8")


def test_recorded_questions_are_sampled_and_the_others_asked_once(tmp_path: Path) -> None:
    lay_out(tmp_path)
    checked = coterie(tmp_path, "check")
    assert checked.returncode == 0, checked.stderr
    assert "replays 4 recorded completions" in checked.stdout
    assert (
        "30 of 34 train questions of sums have no recorded completion: they are asked once" in checked.stdout
    )

    code, output = run_to_end(tmp_path)
    assert code == 0, output
    assert "30: the question has no recorded completion (404)" in output and "coterie retry" not in output
    assert query(tmp_path, "SELECT wanted, stored, accepted, failed FROM plan") == [(34, 4, 4, 30)]
    assert query(tmp_path, "SELECT DISTINCT rationale FROM sample WHERE verdict = 1 ORDER BY id")[0] == (
        "One more is 31.",
    )
    assert count(tmp_path, "attempt") == UNKNOWN + 2 * RECORDED
    assert count(tmp_path, "event", "kind = 'PlanCompleted'") == 1  # students that wait for it are trained


def test_a_recording_without_any_of_the_questions_is_an_error(tmp_path: Path) -> None:
    lay_out(tmp_path)
    for name in ("sums", "more"):
        (tmp_path / "logs" / f"{name}.jsonl").write_text(OTHER, encoding="utf-8")
    checked = coterie(tmp_path, "check")
    assert "warning: 34 of 34 train questions of sums have no recorded completion" in checked.stdout
    code, output = run_to_end(tmp_path)
    assert code == 1 and "34 of 34 samples were given up" in output


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("logs/none.jsonl", None, "logs/none.jsonl: no such file"),
        ("logs/a.csv", "", "logs/a.csv: expected a file that ends with .jsonl or .jsonl.gz"),
        ("logs/a.jsonl", "", "logs/a.jsonl: no recorded completions; expected one object on each line"),
        ("logs/a.jsonl", "{}\n", "logs/a.jsonl:1: question: missing"),
        ("logs/a.jsonl.gz", "{}\n", "logs/a.jsonl.gz:1: damaged gzip data"),
    ],
)
def test_a_recording_that_cannot_be_read_is_one_error_before_anything_begins(
    tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    lay_out(tmp_path)
    if text is not None:
        (tmp_path / name).write_text(text)
    config = tmp_path / "config.toml"
    config.write_text(config.read_text().replace('["logs/sums.jsonl", "logs/more.jsonl"]', f'"{name}"'))
    for command in (("check",), ("run", "--no-tui", "--until-idle")):
        done = coterie(tmp_path, *command)
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.splitlines()
        assert line.startswith("coterie: teachers.davinci.replay: ") and said in line
    assert not (tmp_path / "state.db").exists()
