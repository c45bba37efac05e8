"""Trackers by their own libraries; here stand-ins of the same functions, which write down what they are told."""

from __future__ import annotations

import json
import sys

import pytest

from engine.config.students import TrainingConfig
from engine.errors import JobFailed
from engine.students.requirements import check_tracker
from engine.students.run import read_spec
from engine.students.trackers import make_tracker
from tests.engine.students.runs import make_run

LIBRARY = """
import json
from pathlib import Path

FILE = Path(__file__).with_name("told")

def _write(*what):
    with FILE.open("a") as file:
        file.write(json.dumps(what) + "\\n")

def init(**settings):
    if FILE.with_name("refuse").exists():
        raise RuntimeError("not logged in")
    _write("init", settings["project"], settings["name"], settings["config"]["learning_rate"])

def log(numbers, step):
    if FILE.with_name("full").exists():
        raise OSError("no space left")
    _write("log", numbers, step)

def finish():
    _write("finish")
"""
STEP = {
    "event": "step",
    "step": 3,
    "loss": 2.0,
    "learning_rate": 1e-3,
    "grad_norm": None,
    "mfu": None,
    "epoch": 0.5,
}
EVAL = {"event": "eval", "split": "test", "task": "coin", "step": 2, "accuracy": 0.5, "majority": 0.75}


@pytest.fixture(params=["wandb", "trackio"])
def library(request, tmp_path, monkeypatch):
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / f"{request.param}.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, request.param, raising=False)
    yield folder
    sys.modules.pop(request.param, None)


def told(folder) -> list:
    return [json.loads(line) for line in (folder / "told").read_text().splitlines()]


def tracker(folder, tmp_path, notes):
    name = next(folder.glob("*.py")).stem
    run = make_run(tmp_path / "run", training={"tracker": name})
    return make_tracker(run, read_spec(run), notes.append)


def test_numbers_reach_the_tracker(library, tmp_path) -> None:
    notes: list[str] = []
    found = tracker(library, tmp_path, notes)
    found.tell(STEP)
    found.tell({"event": "checkpoint", "step": 3, "seconds": 0.1})
    found.tell(EVAL)
    found.close()
    found.tell(STEP)  # it is closed
    assert told(library) == [
        ["init", "coterie", "small-joint-7", 0.003],
        ["log", {"train/loss": 2.0, "train/learning_rate": 1e-3, "train/epoch": 0.5}, 3],
        ["log", {"test/coin/accuracy": 0.5, "test/coin/majority": 0.75}, 3],  # never a step back
        ["finish"],
    ]
    assert notes == []


def test_a_run_does_not_fail_by_its_tracker(library, tmp_path) -> None:
    notes: list[str] = []
    found = tracker(library, tmp_path, notes)
    (library / "full").touch()
    found.tell(STEP)
    found.tell(STEP)
    found.close()
    assert notes == ["the tracker failed and is not used any more (OSError: no space left)"]


def test_one_that_refuses_is_done_without(library, tmp_path) -> None:
    notes: list[str] = []
    (library / "refuse").touch()
    assert tracker(library, tmp_path, notes) is None
    [note] = notes
    assert note.endswith("cannot be used (RuntimeError: not logged in): the run continues without it")


def test_a_library_that_is_missing_is_named(monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(JobFailed, match=r"pip install wandb"):
        check_tracker("wandb")


def test_no_tracker_is_the_default(tmp_path) -> None:
    run = make_run(tmp_path / "run")
    assert TrainingConfig().tracker == "none" and make_tracker(run, read_spec(run), print) is None
