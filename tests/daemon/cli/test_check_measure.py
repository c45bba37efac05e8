"""`coterie check --measure`, with the real command line and real training processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.catalog.sync import read_input
from daemon.cli.check_measure import PREFIX, measure_runs
from daemon.cli.expected_runs import ASSUMED, expected_rows, rationales_for
from daemon.host.processes import start_time
from daemon.training.devices import Device
from daemon.training.scopes import scopes_of
from engine.config import load_config
from engine.errors import InstanceRunning
from engine.students.run_cost import RunCost
from state.runs import RunStart, create_run, start_run
from tests.daemon.site import ENV, coterie, wait_until
from tests.engine.students.runs import make_base
from tests.state.test_runs import NEW
from tests.state.world import make

CPU = [Device("cpu:0", "cpu", 0, 1)]
CONFIG = """
[daemon]
devices = ["cpu:0"]
[teachers.a]
builtin = true
model = "practice-large"
[tasks.t]
source = "t.jsonl"
answer = "yes_no"
dev = 0
[[plans]]
name = "p"
rationales = 4
logprobs = 5
"""
CHECK = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
from daemon.__main__ import main
sys.exit(main(["check", "--measure"]))
"""
COT = """
[[students]]
name = "cot"
plans = ["p"]
rationales = 3
training = { epochs = 5, checkpoint_steps = 7, lora_rank = 2, objective = "distribution" }
"""
REST = """
[[students]]
name = "too-long"
method = "fine-tune"
train_at = [0]
training = { max_length = 4 }
[[students]]
name = "untrained"
method = "base"
base = "./base"
evaluation = { max_new_tokens = 24 }
[[students]]
name = "absent"
base = "nobody/nothing"
"""


def site(folder: Path, students: str) -> Path:
    """A configuration with twenty training questions, four of dev and six of test."""
    splits = ["train"] * 20 + ["dev"] * 4 + ["test"] * 6
    rows = [
        {
            "question": f"Ann flips {number} times. Heads?",
            "answer": "yes" if number % 2 else "no",
            "split": split,
        }
        for number, split in enumerate(splits)
    ]
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "config.toml").write_text(CONFIG + students)
    return folder


@pytest.mark.timeout(600)
def test_runs_are_measured_before_anything_is_paid_for(tmp_path: Path) -> None:
    """Each run gets a row with steps, speed, times, memory and disk; a run that cannot be trained is named; nothing stays."""
    make_base(site(tmp_path, COT + REST) / "base", "llama")
    before = sorted(path.name for path in tmp_path.iterdir())
    (tmp_path / f"{PREFIX}{2**22 + 1}-left" / "checkpoints").mkdir(parents=True)  # of a check that was killed
    done = coterie(tmp_path, "check", "--measure", seconds=580)
    assert done.returncode == 1, done.stderr
    assert done.stderr == "coterie: a student cannot be trained on this machine; see `failed` above\n"
    lines = done.stdout.splitlines()
    assert (
        f"measuring cot on t on cpu:0: rows have assumed rationales of {ASSUMED} characters, and all samples correct"
        in lines
    )
    assert [line for line in lines if ": failed: " in line] == [
        line for line in lines if "longer than training.max_length" in line
    ]
    assert "student absent: not measured: its base is not on this machine" in lines
    (head,) = [place for place, line in enumerate(lines) if line.startswith("run  ")]
    cells = {line.split()[0]: line.split() for line in lines[head + 1 : head + 3]}
    assert cells["cot"][1:4] == ["on", "t", "60"] and int(cells["cot"][4]) > 5
    assert cells["untrained"][3:6] == ["0", "0", "–"]
    assert float(cells["cot"][5].replace(",", "")) > 0
    assert lines[head + 3].startswith("2 runs, ") and "with 1 device: estimated" in lines[head + 3]
    assert any(line.startswith("disk: ") for line in lines)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)])
def test_it_can_be_interrupted(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """No process and no file is left."""
    site(tmp_path, COT.replace("lora_rank = 2", "devices = 2"))
    before = sorted(path.name for path in tmp_path.iterdir())
    process = subprocess.Popen(
        [sys.executable, "-c", CHECK],
        cwd=tmp_path,
        env=ENV,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )

    def ranks() -> list[int]:
        """Processes whose arguments name a folder of this check."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdecimal() else []
            except OSError:
                continue
            if b"engine.students.measure_cost" in words and any(
                word.startswith(os.fsencode(tmp_path)) for word in words
            ):
                found.append(int(entry.name))
        return found

    try:
        wait_until("both ranks run", lambda: len(ranks()) == 2, seconds=200)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, said) == (code, b"")
    assert not ranks()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_training_on_the_same_device_is_not_disturbed(tmp_path: Path) -> None:
    world = make(tmp_path / "state.db")
    site(tmp_path, COT)
    config = load_config(tmp_path / "config.toml")
    given = read_input(config)
    [run] = create_run(world.connection, [replace(NEW, sample_ids=())])
    assert run is not None
    start = RunStart(
        run_id=run,
        directory="runs/1",
        device="cpu:0",
        pid=os.getpid(),
        pid_started=start_time(os.getpid()) or 0.0,
        boot_id=world.boot,
        tries=1,
        started_at=1,
    )
    start_run(world.connection, [start])
    said: list[str] = []
    with pytest.raises(InstanceRunning, match=rf"run {run} .* pid {os.getpid()}\) is training on cpu:0"):
        measure_runs(config, given, CPU, frozenset(), said.append)
    assert not said


def test_rows_are_those_that_the_run_will_have(tmp_path: Path) -> None:
    """As many as plans, settings and triggers allow, with the task's own rationales where there are any."""
    site(tmp_path, COT)
    config = load_config(tmp_path / "config.toml")
    given = read_input(config)
    [scope] = scopes_of(config.students[0], config)
    questions = given.tasks["t"].questions or ()
    assumed = rationales_for(config, "t", questions)
    assert all(ASSUMED / 2 <= len(text) <= 1.6 * ASSUMED for text in assumed.texts)
    rows = expected_rows(config, given, scope, {"t": assumed})
    assert len(rows) == 60 and {row.answer for row in rows} == {"yes", "no"}
    half = replace(assumed, correct=0.4, texts=("So it is.",))
    rows = expected_rows(config, given, scope, {"t": half})
    assert len(rows) == 32 and {row.rationale for row in rows} == {"So it is."}  # 20 x 4 x 0.4
    text = CONFIG + COT.replace("rationales = 3", "rationales = 3\ntrain_at = [25]\nquestions = 15")
    (tmp_path / "config.toml").write_text(text)
    config = load_config(tmp_path / "config.toml")
    [scope] = scopes_of(config.students[0], config)
    assert len(expected_rows(config, given, scope, {"t": assumed})) == 25
    own = [replace(each, rationale="Because.") for each in questions]
    assert rationales_for(config, "t", own).texts == ("Because.",) * len(own)


def test_stored_rationales_are_used(tmp_path: Path) -> None:
    """Those of training questions, with the share of correct samples."""
    world = make(tmp_path / "state.db")
    site(tmp_path, COT)
    config = load_config(tmp_path / "config.toml")
    assert rationales_for(config, "t", ()).source.startswith("assumed")
    plan = world.plan(rationales=1)
    world.store(world.claim(plan, 1), correct=True)
    world.store(world.claim(plan, 1), correct=False)
    world.store(world.claim(world.plan("accuracy", split="test", rationales=1), 1))
    found = rationales_for(config, "t", ())
    assert (found.texts, found.correct) == (("because",), 0.5)
    assert found.source == "stored rationales (1; 50 % of samples correct)"


def test_the_parts_of_a_run_add_up() -> None:
    cost = RunCost(
        start_s=1, training_s=2, evaluation_s=3, saving_s=4, answer_tokens=5, memory_bytes=6, rows=7, steps=8
    )
    assert cost.seconds == 10
