"""Real input, end to end: MultiArith with the recorded completions of text-davinci-002, replayed over HTTP."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from engine.question import text_hash
from tests.daemon.site import configure, coterie, count, query, run_to_end, teacher

CONFIG = """
[daemon]
budget_usd = 5.0

[teachers.davinci]
base_url = "{url}"
dialect = "openai-completions"
model = "text-davinci-002"
usd_per_million_input = 20.0
usd_per_million_output = 20.0

[tasks.multiarith]
source = "multiarith.jsonl"
answer = "number"

[[plans]]
name = "recorded"
strategy = "zero-shot-cot"
temperature = 0.0
max_tokens = 512

[[plans]]
name = "teacher"
split = "test"
strategy = "zero-shot-cot"
temperature = 0.0
max_tokens = 512

[[students]]
name = "fine-tune-cot"
plans = ["recorded"]
rationales = 1
training = {{ steps = 40, learning_rate = 3e-3 }}
evaluation = {{ dev_evaluations = 1, max_new_tokens = 48 }}
"""


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def test_multiarith_from_recorded_completions_to_a_student(tmp_path: Path, recorded: Path) -> None:
    log = recorded / "teacher" / "multiarith.jsonl.gz"
    said: dict[str, list[dict[str, Any]]] = {}
    for row in _rows(log):
        said.setdefault(text_hash(row["question"]), []).append(row)
    questions = [
        {**row, "split": split}
        for split in ("train", "test")
        for row in _rows(recorded / "tasks" / f"multiarith.{split}.jsonl.gz")
        if text_hash(row["question"]) in said
    ]
    train = sum(row["split"] == "train" for row in questions)
    test = len(questions) - train
    assert train > 250 and test > 100
    (tmp_path / "multiarith.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))

    with teacher(tmp_path, "--latency-ms", "1", "--replay", str(log)) as school:
        configure(tmp_path, school.url)
        (tmp_path / "config.toml").write_text(CONFIG.format(url=school.url))
        code, output = run_to_end(tmp_path, seconds=240)
        assert code == 0, output

    samples = [json.loads(line) for line in coterie(tmp_path, "export", "samples").stdout.splitlines()]
    # The data repeats 14 questions (3 of them across train and test); each is read once, and said.
    assert (
        "train: 8 repeated questions dropped" in output
        and "train: 3 questions dropped, also in test" in output
    )
    assert len(samples) + count(tmp_path, "question", "split = 'dev'") == len(questions) - 14
    for sample in samples:
        recordings = said[text_hash(sample["question"])]
        pairs = [(row["rationale"].strip(), row["final"].strip()) for row in recordings]
        assert (sample["rationale"], sample["answer"]) in pairs
    _paper_grader_reproduces_the_log(tmp_path, samples, said)
    done = query(tmp_path, "SELECT state, samples, questions FROM run")
    accepted = query(tmp_path, "SELECT accepted FROM plan WHERE name = 'recorded'")[0][0]
    assert done[0][0] == "done" and 0 < done[0][1] <= accepted
    assert query(tmp_path, "SELECT n FROM evaluation WHERE split = 'test'") == [(test - 3,)]


def _paper_grader_reproduces_the_log(
    folder: Path, samples: list[dict[str, Any]], said: dict[str, list[dict[str, Any]]]
) -> None:
    """Every verdict of the log: on MultiArith there is no exception."""
    rows = [row for sample in samples for row in said[text_hash(sample["question"])]]
    with (folder / "answers.jsonl").open("w") as file:
        for row in rows:
            answer = {"completion": row["final"], "gold": row["gold"], "answer_format": "number"}
            file.write(json.dumps({**answer, "expected_correct": row["correct_logged"]}) + "\n")
    graded = coterie(folder, "grade", "answers.jsonl", "--grader", "paper", "--json")
    assert graded.returncode == 0, graded.stderr
    assert len(graded.stdout.splitlines()) == len(rows)
