from __future__ import annotations

import json

import pytest

from state.heartbeat import HeartbeatData, TeacherHeartbeat

FULL = HeartbeatData(
    loop_lag_ms=3.5,
    in_flight=7,
    notice="the budget is reached",
    teachers={"gpt": TeacherHeartbeat(state="parked", caps=[8, 4], errors={"limited": 2}, p50_ms=12.0)},
    tasks={"coin_flip": 30.0},
    requests=[1.0, 2.0],
)


def test_what_was_written_is_read() -> None:
    assert HeartbeatData.from_json(FULL.to_json()) == FULL


@pytest.mark.parametrize("text", ["", "{", "null", "[1, 2]", '"x"', "[" * 100_000])
def test_what_is_no_heartbeat_is_an_empty_one(text: str) -> None:
    assert HeartbeatData.from_json(text) == HeartbeatData()


def test_a_field_that_does_not_fit_keeps_its_default_and_the_others_their_values() -> None:
    data = json.loads(FULL.to_json()) | {
        **{"loop_lag_ms": "late", "in_flight": True, "requests": [1, "x", 2], "tasks": {"a": 1, "b": None}},
        **{"of_a_newer_daemon": 1, "tokens": 5, "memory_mb": 12},
    }
    data["teachers"]["gpt"]["cap"] = 1.5
    data["teachers"]["odd"] = 3
    found = HeartbeatData.from_json(json.dumps(data))
    assert (found.loop_lag_ms, found.in_flight, found.requests, found.tasks) == (
        0.0,
        0,
        [1.0, 2.0],
        {"a": 1.0},
    )
    assert (found.notice, found.tokens, found.memory_mb) == (FULL.notice, [], 12.0)
    assert found.teachers == {"gpt": FULL.teachers["gpt"], "odd": TeacherHeartbeat()}
