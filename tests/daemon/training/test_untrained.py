"""An untrained base beside the student that is made of it, in a real daemon: measured at once, and in every table."""

from __future__ import annotations

import json
from pathlib import Path

from tests.daemon.site import configure, coterie, methods, query, run_to_end, said_at_the_end, teacher
from tests.engine.students.runs import make_base

STUDENTS = """
[[students]]
name = "untrained"
base = "small"
method = "base"
strategy = "few-shot-cot"
evaluation = { max_new_tokens = 8 }

[[students]]
name = "bare"
preset = "paper"
base = "small"
method = "base"
strategy = "zero-shot"
evaluation = { max_new_tokens = 8 }

[[students]]
name = "trained"
preset = "paper"
base = "small"
method = "fine-tune"
train_at = [0]
training = { steps = 2 }
evaluation = { dev_evaluations = 0, max_new_tokens = 8, samples = 2 }
"""


def test_a_base_is_measured_beside_what_training_made_of_it(tmp_path: Path) -> None:
    make_base(tmp_path / "small", "llama")
    with teacher(tmp_path, "--latency-ms", "2") as school:
        configure(tmp_path, school.url, train=6, students=STUDENTS)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
    assert {"untrained", "bare", "trained"} <= set(methods(said_at_the_end(output)))
    assert query(tmp_path, "SELECT student, method, state, step, steps, samples FROM run ORDER BY id") == [
        ("untrained", "base", "done", 0, 0, 0),
        ("bare", "base", "done", 0, 0, 0),
        ("trained", "fine-tune", "done", 2, 2, 6),
    ]
    assert query(tmp_path, "SELECT split, n FROM evaluation WHERE run_id = 1 ORDER BY split")[-1] == (
        "test",
        6,
    )
    folder = tmp_path / "runs" / "1"
    assert not (folder / "student").exists() and not (folder / "checkpoints").exists()
    spec = json.loads((folder / "spec.json").read_text())
    assert spec["strategy"] == "few-shot-cot" and spec["wordings"]["coin_flip"]["exemplars"]
    bare = json.loads((tmp_path / "runs" / "2" / "spec.json").read_text())
    assert bare["wordings"]["coin_flip"] == {"prompt": "Q: {question}\n\nA:"}
    trained = tmp_path / "runs" / "3"
    training = json.loads((trained / "spec.json").read_text())["training"]
    assert (training["batch_rows"], training["clip"], training["decay"]) == (8, 0.0, "all")
    steps = [json.loads(line) for line in (trained / "progress.jsonl").read_text().splitlines()]
    rates = [event["learning_rate"] for event in steps if event["event"] == "step"]
    assert rates == [3e-4, 3e-4] and all(e["grad_norm"] > 0 for e in steps if e["event"] == "step")
    for row in json.loads((trained / "evaluation.json").read_text())["results"]:
        assert 0 <= row["complete"] <= 1 and 0 <= row["correct_format"] <= 1
        assert len(row.get("repetitions", "12")) == 2
    said = coterie(tmp_path, "export", "predictions", "--student", "untrained").stdout.splitlines()
    assert {json.loads(line)["split"] for line in said} >= {"test"}
    assert coterie(tmp_path, "report", "-o", "report").returncode == 0
    report = (tmp_path / "report" / "report.md").read_text()
    assert "| coin_flip | untrained" in report and "| coin_flip | trained – untrained" in report
    again, output = run_to_end(tmp_path)
    assert again == 0 and query(tmp_path, "SELECT count(*) FROM run") == [(3,)], output
