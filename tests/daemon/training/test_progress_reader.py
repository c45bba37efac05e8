from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.training.progress_reader import follow, read_predictions, tail
from engine.students.progress_file import FILE, ProgressWriter, has_progress
from state.enums import FINISHED_EARLY
from state.run_reports import report_run
from state.runs import create_run
from tests.state.test_runs import NEW
from tests.state.world import World, make

TASKS = {"t": 1, "u": 2}


def step(number: int, loss: float | None = 1.5) -> dict[str, Any]:
    return {
        **{"event": "step", "step": number, "steps": 10, "epoch": 0.1, "loss": loss, "learning_rate": 1e-3},
        **{"grad_norm": 0.5, "tokens_per_second": 100.0, "mfu": None, "memory_mb": 10.0, "eta_s": 3.0},
    }


def evaluated(split: str, task: str = "t", correct: int = 6) -> dict[str, Any]:
    return {
        **{
            "event": "eval",
            "split": split,
            "task": task,
            "step": 5,
            "epoch": 1.0,
            "n": 10,
            "correct": correct,
        },
        **{"accuracy": correct / 10, "low": 0.0, "high": 1.0, "seed": 0},
    }


def write(folder: Path, *events: dict[str, Any]) -> None:
    writer = ProgressWriter(folder / FILE)
    writer.write_all(list(events))
    writer.close()


def test_nothing_new_is_nothing(tmp_path: Path) -> None:
    assert follow(7, tmp_path, 0, TASKS) is None
    write(tmp_path, step(1))
    found = follow(7, tmp_path, 0, TASKS)
    assert found is not None
    offset = found.offset
    assert found.report.values["progress_offset"] == offset == (tmp_path / FILE).stat().st_size
    assert follow(7, tmp_path, offset, TASKS) is None


def test_a_runs_row_follows_its_events(tmp_path: Path) -> None:
    states = []
    offset = 0
    for events in (
        [{"event": "starting", "phase": "importing"}],
        [{"event": "loaded", "steps": 10}],
        [step(1), step(2, 1.25)],
        [{"event": "checkpoint", "step": 2, "seconds": 0.1}],
        [{"event": "phase", "phase": "evaluating"}],
        [evaluated("dev"), evaluated("test"), evaluated("test", "u")],
        [{"event": "phase", "phase": "exporting"}, {"event": "exported", "step": 2, "directory": "student"}],
        [{"event": "done", "step": 2, "steps": 2, "reason": "complete"}],
    ):
        write(tmp_path, *events)
        found = follow(7, tmp_path, offset, TASKS)
        assert found is not None
        offset = found.report.values.pop("progress_offset")
        states.append((found.report.values, len(found.report.metrics), len(found.report.evaluations)))
        ending = found.ending
    assert states == [
        ({"state": "starting", "phase": "importing"}, 0, 0),
        ({"state": "training", "phase": "training", "steps": 10}, 0, 0),
        ({"step": 2, "steps": 10, "loss": 1.25, "tokens_per_second": 100.0, "eta_s": 3.0}, 2, 0),
        ({}, 0, 0),
        ({"state": "evaluating", "phase": "evaluating", "eta_s": None}, 0, 0),
        ({}, 0, 3),
        ({"state": "evaluating", "phase": "exporting", "eta_s": None}, 0, 0),
        ({}, 0, 0),
    ]
    assert ending.kind == "done"


def test_a_torn_line_waits_and_one_that_stays_torn_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, step(1))
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"at": 1, "event": "st')
    found = follow(7, tmp_path, 0, TASKS)
    assert found is not None
    assert [metric[0] for metric in found.report.metrics] == [1]
    write(tmp_path, step(2))  # a new process ends the torn line first
    again = follow(7, tmp_path, found.report.values["progress_offset"], TASKS)
    assert again is not None
    assert [metric[0] for metric in again.report.metrics] == [2]


def test_only_the_last_word_of_the_last_process_counts(tmp_path: Path) -> None:
    write(tmp_path, step(1), {"event": "failed", "message": "out of memory", "rank": 0})
    found = follow(7, tmp_path, 0, TASKS)
    assert found is not None
    assert (found.ending.kind, found.ending.message) == ("failed", "out of memory")
    assert not found.ending.peer
    write(tmp_path, {"event": "failed", "message": "another rank of this run is gone", "peer": True})
    gone = follow(7, tmp_path, found.report.values["progress_offset"], TASKS)
    assert gone is not None and gone.ending.peer
    write(tmp_path, {"event": "starting", "phase": "importing"}, {"event": "stopped", "step": 1})
    found = follow(7, tmp_path, 0, TASKS)
    assert found is not None and found.ending.kind == "stopped"
    write(tmp_path, {"event": "starting", "phase": "importing"})
    found = follow(7, tmp_path, 0, TASKS)
    assert found is not None and found.ending.kind == ""


def test_a_finished_run_keeps_nothing_beyond_its_last_step(tmp_path: Path) -> None:
    world = make(tmp_path / "state.db")
    create_run(world.connection, [replace(NEW, sample_ids=())])
    lost = [step(4), step(5), step(6), {**evaluated("dev"), "step": 6}]  # killed before its checkpoint
    write(tmp_path, {**evaluated("dev"), "step": 3}, *lost, {"event": "loaded", "steps": 10}, step(4))
    write(tmp_path, {**evaluated("test"), "step": 3})
    write(tmp_path, {"event": "done", "step": 3, "steps": 10, "reason": FINISHED_EARLY, "trained": 4})
    found = follow(1, tmp_path, 0, {"t": 1})
    assert found is not None and found.ending.early
    report_run(world.connection, [found.report])
    assert world.rows("SELECT step FROM metric") == [(4,)]
    assert world.rows("SELECT split, step FROM evaluation ORDER BY id") == [("dev", 3), ("test", 3)]
    assert world.row("SELECT step FROM run") == (4,)
    world.connection.close()


def test_steps_that_come_again_after_a_resume_replace_themselves(tmp_path: Path) -> None:
    world: World = make(tmp_path / "state.db")
    create_run(world.connection, [replace(NEW, sample_ids=())])
    write(tmp_path, step(1, 3.0), step(2, 2.0), step(3, 1.0), {"event": "loaded", "steps": 10}, step(2, 2.0))
    found = follow(1, tmp_path, 0, TASKS)
    assert found is not None
    report_run(world.connection, [found.report])
    report_run(world.connection, [found.report])  # read again: the daemon died before it kept the offset
    assert world.rows("SELECT step, loss FROM metric") == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert world.row("SELECT step, progress_offset FROM run") == (2, (tmp_path / FILE).stat().st_size)
    world.connection.close()


@pytest.mark.parametrize("text", ["a\u2028b", "c\x85d\x0be\x1c", "two\nlines\r\n", "nul \x00", "ü 漢 😀"])
def test_predictions_are_read_whatever_stands_in_them(tmp_path: Path, text: str) -> None:
    fields = {"task": "t", "split": "test", "text": text, "extracted": None, "correct": False, "reason": text}
    rows = [{"question_id": number, **fields} for number in range(2)]
    body = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)  # as the student writes it
    (tmp_path / "predictions.jsonl").write_text(body, encoding="utf-8")
    assert read_predictions(7, tmp_path).rows == (
        *((number, "test", text, None, 0, text) for number in range(2)),
    )


def test_the_end_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    assert tail(path) == ""
    path.write_bytes(b"x" * 10_000 + b"\n\xff first\n\n second \nthird\n")
    assert tail(path, 2) == "second | third"
    assert "\ufffd first" in tail(path)


def test_the_form_of_a_line_is_what_the_writer_writes(tmp_path: Path) -> None:
    write(tmp_path, step(1))
    line = json.loads((tmp_path / FILE).read_text())
    assert set(step(1)) <= set(line)


def test_rows_that_are_too_long_for_the_student_are_counted_among_its_drops(tmp_path: Path) -> None:
    world: World = make(tmp_path / "state.db")
    create_run(world.connection, [replace(NEW, sample_ids=())])
    offset = 0
    told = []
    loaded = {"event": "loaded", "steps": 10}
    for event in (
        {**loaded, "dropped_long": 3},
        {**loaded, "dropped_long": 3},
        step(2),
        {**loaded, "dropped_long": 0},
    ):
        write(tmp_path, event)
        found = follow(1, tmp_path, offset, TASKS)
        assert found is not None
        offset = found.report.values["progress_offset"]
        report_run(world.connection, [found.report])
        told.append(json.loads(world.row("SELECT drops FROM run WHERE id = 1")[0]))
    with_them = {**NEW.drops, "longer than max_length tokens": 3}
    assert told == [with_them, with_them, with_them, NEW.drops]  # a resume counts them once
    world.connection.close()


def test_a_try_has_progress_if_it_made_a_later_checkpoint_than_all_before(tmp_path: Path) -> None:
    def says(*told: dict[str, Any]) -> int:
        said = ProgressWriter(tmp_path / FILE)
        for event in told:
            said.write(**event)
        said.close()
        return (tmp_path / FILE).stat().st_size

    def made(number: int) -> dict[str, Any]:
        return {"event": "checkpoint", "step": number}

    starts = {"event": "starting", "phase": "importing"}
    assert not has_progress(tmp_path)
    first = says(starts, {"event": "starting", "phase": "building"}, step(9))
    assert not has_progress(tmp_path)
    second = says(starts, made(10), made(20), {"event": "failed", "message": "x", "rank": 0})
    assert has_progress(tmp_path) and has_progress(tmp_path, first)
    assert not has_progress(tmp_path, second), "the next one died before it could say anything"
    third = says(starts, made(20))  # from step 10, since that of step 20 was damaged
    assert not has_progress(tmp_path) and not has_progress(tmp_path, second)
    says(starts, made(30))
    assert has_progress(tmp_path, third)


def test_what_a_run_says_of_its_teachers_is_kept_with_its_steps_and_at_its_end(tmp_path: Path) -> None:
    figures = {"weight.a@t": 0.25}
    write(
        tmp_path, step(1), step(2) | {"extra": {"weight.a": 0.5}}, {"event": "selected", "figures": figures}
    )
    found = follow(1, tmp_path, 0, TASKS)
    assert found is not None
    assert [metric[-1] for metric in found.report.metrics] == [None, '{"weight.a": 0.5}']
    assert json.loads(found.report.values["figures"]) == figures
