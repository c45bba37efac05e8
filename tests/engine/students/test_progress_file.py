from __future__ import annotations

import json
import math

from engine.students.progress_file import ProgressWriter, read_events


def test_events_are_read_once_and_in_order(tmp_path) -> None:
    path = tmp_path / "progress.jsonl"
    assert read_events(path) == ([], 0)
    writer = ProgressWriter(path)
    writer.write("starting", phase="importing")
    writer.write_all([{"event": "step", "step": 1}, {"event": "step", "step": 2}])
    events, offset = read_events(path)
    assert [(event["event"], event.get("step")) for event in events] == [
        ("starting", None),
        ("step", 1),
        ("step", 2),
    ]
    assert all(event["at"] > 1_600_000_000_000 for event in events)
    assert read_events(path, offset) == ([], offset)
    writer.write("done", step=2)
    assert [event["event"] for event in read_events(path, offset)[0]] == ["done"]
    writer.close()
    writer.close()


def test_an_incomplete_last_line_waits_for_its_end(tmp_path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_bytes(b'{"at": 1, "event": "a"}\n{"at": 2, "ev')
    events, offset = read_events(path)
    assert [event["event"] for event in events] == ["a"]
    assert read_events(path, offset) == ([], offset)
    with path.open("ab") as file:
        file.write(b'ent": "b"}\n')
    assert [event["event"] for event in read_events(path, offset)[0]] == ["b"]


def test_a_line_torn_by_a_kill_costs_only_itself(tmp_path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_bytes(b'{"at": 1, "event": "a"}\n{"at": 2, "ev')
    writer = ProgressWriter(path)
    writer.write("starting")
    ProgressWriter(path).close()  # a whole last line is left as it is
    events, offset = read_events(path)
    assert [event["event"] for event in events] == ["a", "starting"]
    assert offset == path.stat().st_size
    assert path.read_bytes().count(b"\n") == 3
    writer.close()


def test_lines_that_are_no_events_are_skipped(tmp_path) -> None:
    path = tmp_path / "progress.jsonl"
    path.write_bytes(
        b'\n[1]\n7\n\xff\xfe\n{"event": "no time"}\n{"at": 1}\n{"at": 1, "event": 3}\n{"at": 1, "event": "x"}\n'
    )
    assert read_events(path)[0] == [{"at": 1, "event": "x"}]


def test_numbers_without_a_word_in_json_become_null(tmp_path) -> None:
    writer = ProgressWriter(tmp_path / "progress.jsonl")
    writer.write("step", loss=math.nan, grad_norm=math.inf, note="§\n")
    writer.close()
    [line] = (tmp_path / "progress.jsonl").read_text().splitlines()
    event = json.loads(line, parse_constant=lambda name: 1 / 0)
    assert event["loss"] is None and event["grad_norm"] is None and event["note"] == "§\n"
