from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine.config.tasks import TaskConfig
from engine.tasks import TaskSummary, load_task, source_stamp

LONG_AGO = 1_700_000_000
ROW = {"question": "What is 1 + 1?", "answer": "2"}


def config_of(source: str, **more: object) -> TaskConfig:
    return TaskConfig.model_validate({"source": source, "answer": "number", **more})


def written(path: Path, text: str, at: int = LONG_AGO) -> None:
    path.write_text(text, encoding="utf-8")
    os.utime(path, (at, at))


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of change (ctime) of a file cannot be set: take it for long ago."""
    monkeypatch.setattr("engine.tasks.file_stamp.SETTLED_S", -60.0)


def test_the_same_file_has_the_same_stamp(tmp_path: Path) -> None:
    written(tmp_path / "t.jsonl", json.dumps(ROW))
    assert source_stamp(config_of("t.jsonl"), tmp_path) == source_stamp(config_of("t.jsonl"), tmp_path) != ""


def test_a_change_of_the_file_or_of_the_configuration_changes_it(tmp_path: Path) -> None:
    written(tmp_path / "t.jsonl", json.dumps(ROW))
    first = source_stamp(config_of("t.jsonl"), tmp_path)
    assert source_stamp(config_of("t.jsonl", seed=1), tmp_path) != first
    assert source_stamp(config_of("t.jsonl", train=5), tmp_path) != first
    written(tmp_path / "t.jsonl", json.dumps(ROW).replace("1 + 1", "2 + 0"))  # as long, and as old
    assert source_stamp(config_of("t.jsonl"), tmp_path) != first


def test_every_split_file_counts_and_a_new_one_too(tmp_path: Path) -> None:
    written(tmp_path / "t.train.jsonl", json.dumps(ROW))
    first = source_stamp(config_of("t.{split}.jsonl"), tmp_path)
    written(tmp_path / "t.test.jsonl", json.dumps(ROW))
    assert source_stamp(config_of("t.{split}.jsonl"), tmp_path) != first


def test_there_is_none_for_what_may_change_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert source_stamp(config_of("builtin:coin_flip", answer="yes_no"), tmp_path) == ""
    assert source_stamp(config_of("missing.jsonl"), tmp_path) == ""
    monkeypatch.setattr("engine.tasks.file_stamp.SETTLED_S", 2.0)
    (tmp_path / "t.jsonl").write_text(
        json.dumps(ROW)
    )  # just now: a further change may leave its times as they are
    assert source_stamp(config_of("t.jsonl"), tmp_path) == ""


def test_the_summary_of_a_task(tmp_path: Path) -> None:
    rows = [
        {"question": "What is 1 + 1?", "answer": "2", "split": "train"},
        {"question": "What is 10 + 10?", "answer": "20", "split": "train"},
        {"question": "What is 3?", "answer": "3", "split": "test"},
    ]
    written(tmp_path / "t.jsonl", "\n".join(json.dumps(row) for row in rows))
    summary = TaskSummary.of(load_task("t", config_of("t.jsonl", dev=0), tmp_path), "s")
    assert summary.sizes == {"train": 2, "dev": 0, "test": 1}
    assert summary.longest == {"train": 16, "dev": 0, "test": 10}
    assert summary.stored().questions is None
