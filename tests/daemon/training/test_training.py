"""The whole loop with real DeepSpeed processes: triggers, adoption, kills, results."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from daemon.host.processes import is_alive
from tests.daemon.ledgers import check_promise
from tests.daemon.site import (
    Teacher,
    configure,
    coterie,
    count,
    daemon,
    methods,
    query,
    run_to_end,
    said_at_the_end,
    teacher,
    wait_until,
)

FAST = ("--latency-ms", "2")
STUDENTS = """
[[students]]
name = "fine-tune"
method = "fine-tune"
train_at = [0]
training = { steps = 12, learning_rate = 3e-3, checkpoint_steps = 5 }
evaluation = { dev_evaluations = 1, max_new_tokens = 16 }

[[students]]
name = "cot"
rationales = 2
train_at = ["complete"]
training = { steps = 12, learning_rate = 3e-3, checkpoint_steps = 5 }
evaluation = { dev_evaluations = 1, max_new_tokens = 16 }
"""
LONG = """
[[students]]
name = "cot"
train_at = ["complete"]
training = { steps = 400, learning_rate = 3e-3, checkpoint_steps = 50 }
evaluation = { dev_evaluations = 2, max_new_tokens = 64 }
"""


def test_the_whole_loop_runs_to_its_table_and_a_second_run_says_so(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST) as school:
        configure(tmp_path, school.url, train=16, students=STUDENTS)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        check_promise(tmp_path, school.ledger())
        asked = len(school.ledger())
        again, said = run_to_end(tmp_path)
        assert again == 0 and len(school.ledger()) == asked
    end = said_at_the_end(output)
    assert methods(end) == ["random", "teacher (school)", "fine-tune", "cot"]
    assert all(len(line) <= 80 for line in end.splitlines() if not line.startswith(("report:", "students:")))
    assert end == said_at_the_end(said)
    runs = query(
        tmp_path, "SELECT id, student, trigger, state, step, steps, samples, error FROM run ORDER BY id"
    )
    accepted = query(tmp_path, "SELECT accepted FROM plan WHERE name = 'diverse'")[0][0]
    assert [row[1:6] for row in runs] == [
        ("fine-tune", "0", "done", 12, 12),
        ("cot", "complete", "done", 12, 12),
    ]
    assert runs[0][6] == 16 and 0 < runs[1][6] <= accepted
    for run, *_ in runs:
        folder = tmp_path / "runs" / str(run)
        assert {path.name for path in folder.iterdir()} >= {
            *("spec.json", "manifest.jsonl", "progress.jsonl", "log.txt", "student", "predictions.jsonl"),
            "evaluation.json",
        }
        assert (folder / "student" / "model.safetensors").exists()
        told = count(tmp_path, "prediction", f"run_id = {run} AND split = 'test'")
        assert told == 6
    manifest = (tmp_path / "runs" / "2" / "manifest.jsonl").read_text().splitlines()
    assert [json.loads(line)["sample_id"] for line in manifest] == [
        key
        for (key,) in query(
            tmp_path,
            "SELECT s.id FROM run_sample r JOIN sample s ON s.id = r.sample_id JOIN question q ON q.id = s.question_id"
            " WHERE r.run_id = 2 ORDER BY q.position, s.replicate",
        )
    ]
    _check_status(tmp_path)
    _check_exports(tmp_path)
    report = (tmp_path / "report" / "report.md").read_text()
    assert "| coin_flip | cot" in report and "wrong answer" in report


def _check_status(folder: Path) -> None:
    status = json.loads(coterie(folder, "status", "--json").stdout)
    assert set(status["daemon"]) >= {"state", "pid", "boot_id", "uptime_s", "loop_lag_ms"}
    assert status["daemon"]["state"] == "stopped"
    assert set(status["spend"]) >= {
        "usd",
        "cap_usd",
        "prompt_tokens",
        "completion_tokens",
        "unknown_attempts",
    }
    plan = {
        "name",
        "task",
        "teacher",
        "split",
        "wanted",
        "in_flight",
        "stored",
        "accepted",
        "rejected",
        "failed",
    }
    assert set(status["plans"][0]) >= plan
    teacher_fields = {
        "name",
        "state",
        "in_flight",
        "cap",
        "requests_per_minute",
        "tokens_per_minute",
        "status_429",
    }
    assert set(status["teachers"][0]) >= teacher_fields | {"retries", "p50_ms", "p95_ms", "reason"}
    run = {"id", "student", "task", "state", "samples", "step", "steps", "loss", "tokens_per_second", "eta_s"}
    assert set(status["runs"][0]) >= run | {"accuracy", "directory"}


def _check_exports(folder: Path) -> None:
    samples = [json.loads(line) for line in coterie(folder, "export", "samples").stdout.splitlines()]
    fields = "sample_id plan task question_id split teacher strategy replicate question gold rationale answer extracted"
    more = "correct flags finish_reason prompt_tokens completion_tokens cost_usd attempts created_at"
    assert set(samples[0]) >= {*fields.split(), *more.split()}
    assert len(samples) == 16 * 2 + 6
    dataset = [json.loads(line) for line in coterie(folder, "export", "dataset").stdout.splitlines()]
    manifest = (folder / "runs" / "2" / "manifest.jsonl").read_text().splitlines()
    read = [row for row in dataset if row["student"] == "cot"]
    assert [row["sample_id"] for row in read] == [json.loads(line)["sample_id"] for line in manifest]
    assert {row["label"] for row in dataset} == {"gold"}
    by_sample = {sample["sample_id"]: sample["teacher"] for sample in samples}
    assert all(row["teacher"].split(" (")[0] == by_sample[row["sample_id"]] for row in read)
    chat = coterie(folder, "export", "dataset", "--format", "openai-chat").stdout.splitlines()
    assert set(json.loads(chat[0])) == {"messages"} and len(chat) == len(dataset)
    predictions = coterie(folder, "export", "predictions", "--student", "cot").stdout.splitlines()
    assert len([line for line in predictions if json.loads(line)["split"] == "test"]) == 6
    parquet = coterie(folder, "export", "samples", "--format", "parquet", "-o", "out.parquet")
    assert parquet.returncode == 0 and (folder / "out.parquet").stat().st_size > 1000


def test_kill_9_while_sampling_training_and_evaluating_and_the_same_command_goes_on(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "30") as school:
        configure(tmp_path, school.url, train=16, test=40, students=LONG)
        in_flight, asked, alive = 0, 0, []
        for when in ("sampling", "training", "evaluating"):
            with daemon(tmp_path, "--until-idle") as running:
                wait_until(when, lambda when=when: _reached(tmp_path, when))
                running.kill()
            if when == "sampling":
                in_flight = count(tmp_path, "attempt", "outcome IS NULL")
                assert in_flight
                continue
            alive.append(query(tmp_path, "SELECT pid, pid_started FROM run WHERE pid IS NOT NULL")[0])
            assert count(tmp_path, "attempt", "outcome = 'unknown'") == in_flight
            if when == "training":
                asked = len(school.ledger())
            else:
                said = running.output()
                assert "is still running" in said or "resumed" in said, said
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        assert "is still running" in output or "resumed" in output or " done: " in output, output
        assert len(school.ledger()) == asked, "the teacher was asked again for what was stored"
        told = check_promise(tmp_path, school.ledger())
        assert count(tmp_path, "attempt", "outcome = 'unknown'") == in_flight
        assert told["unknown"] <= in_flight
    assert query(tmp_path, "SELECT state, step, tries FROM run") == [("done", 400, 1)]
    steps = [step for (step,) in query(tmp_path, "SELECT step FROM metric ORDER BY step")]
    assert steps[-1] == 400 and len(steps) == len(set(steps))
    assert query(tmp_path, "SELECT n FROM evaluation WHERE split = 'test'") == [(40,)]
    assert not any(is_alive(*row) for row in alive)


def _reached(folder: Path, when: str) -> bool:
    if when == "sampling":
        return (
            count(folder, "sample", "state = 'stored'") > 8
            and count(folder, "attempt", "outcome IS NULL") > 0
        )
    if when == "training":
        return count(folder, "run", "state = 'training' AND step > 20") > 0
    return count(folder, "run", "state = 'evaluating'") > 0


def test_a_killed_run_goes_on_from_its_checkpoint_and_a_stopped_one_when_asked(tmp_path: Path) -> None:
    school = Teacher(tmp_path, *FAST)
    try:
        configure(tmp_path, school.url, train=16, students=LONG)
        with daemon(tmp_path) as running:
            wait_until("training", lambda: count(tmp_path, "run", "state = 'training' AND step > 60") > 0)
            pid = query(tmp_path, "SELECT pid FROM run")[0][0]
            os.killpg(pid, signal.SIGKILL)
            # It had made a checkpoint, so its tries are counted anew.
            wait_until("a new process", lambda: count(tmp_path, "run", f"pid <> {pid} AND tries = 1") > 0)
            wait_until("training again", lambda: count(tmp_path, "run", "state = 'training'") > 0)
            first = _resumed_at(tmp_path)
            assert first >= 50, f"it began at step {first}, not at its checkpoint"
            stop = coterie(tmp_path, "stop", "--run", "1")
            assert stop.returncode == 0, stop.stderr
            wait_until("stopped", lambda: count(tmp_path, "run", "state = 'stopped'") > 0)
            train = coterie(tmp_path, "train", "coin_flip")
            assert train.returncode == 0 and "resumed" in train.stdout, train.stderr
            wait_until("training once more", lambda: count(tmp_path, "run", "state = 'training'") > 0)
            finish = coterie(tmp_path, "stop", "--run", "1", "--finish")
            assert finish.returncode == 0 and "best weights" in finish.stdout, finish.stderr
            wait_until("done", lambda: count(tmp_path, "run", "state = 'done'") > 0)
            late = coterie(tmp_path, "stop", "--run", "1", "--finish")
            assert late.returncode == 1 and "there is nothing to finish" in late.stderr
            running.terminate()
            assert running.wait() == 130
    finally:
        school.stop()
    [(step, steps)] = query(tmp_path, "SELECT step, steps FROM run")
    assert first <= step < steps == 400
    assert query(tmp_path, "SELECT max(step) FROM metric")[0][0] <= step
    assert query(tmp_path, "SELECT n FROM evaluation WHERE split = 'test'") == [(6,)]
    [run] = json.loads(coterie(tmp_path, "status", "--json").stdout)["runs"]
    assert (run["state"], run["early"], run["step"]) == ("done", True, step)
    assert "done early" in coterie(tmp_path, "status").stdout
    assert coterie(tmp_path, "report", "-o", "report").returncode == 0
    assert f"{step} of 400 (finished early)" in (tmp_path / "report" / "report.md").read_text()
    assert not (tmp_path / "runs" / "1" / "checkpoints").exists()
    assert "no finished run has checkpoints" in coterie(tmp_path, "prune").stdout


def _resumed_at(folder: Path) -> int:
    events = [
        json.loads(line) for line in (folder / "runs" / "1" / "progress.jsonl").read_text().splitlines()
    ]
    loaded = [event for event in events if event["event"] == "loaded"]
    return int(loaded[-1]["resumed_from"] or 0)


def test_a_run_that_cannot_be_trained_fails_with_its_reason_and_exit_code_1(tmp_path: Path) -> None:
    students = '[[students]]\nname = "cot"\nbase = "./no-such-model"\n'
    with teacher(tmp_path, *FAST) as school:
        configure(tmp_path, school.url, train=6, rationales=1, students=students)
        code, output = run_to_end(tmp_path)
    assert code == 1
    last = output.splitlines()[-1]
    assert "run 1 (cot on coin_flip) failed" in last and "no-such-model" in last
    assert "Traceback" not in output
