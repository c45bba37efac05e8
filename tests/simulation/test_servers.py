"""Servers that are full, moody or queue, through the whole of sampling in virtual time."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.simulation.fault_server import FaultPeriod
from tests.simulation.scenario import Scenario
from tests.simulation.test_outages import lived, night, rows


def server(*, questions: int, **behaviour: Any) -> Scenario:
    """A teacher without configured limits that behaves like this, and never answers wrongly."""
    made = night("", 0, questions=questions)
    habits = {"requests_per_minute": None, "latency_s": 1.0, **behaviour}
    teacher = dict(made.tables["teachers"]["ada"])
    del teacher["requests_per_minute"], teacher["concurrency"]
    plan = {**made.tables["plans"][0], "strategy": "zero-shot-cot-chat"}
    return dataclasses.replace(
        made,
        tables={**made.tables, "teachers": {"ada": teacher}, "plans": [plan]},
        behaviour={"ada": dataclasses.replace(made.behaviour["ada"], **habits)},
    )


@pytest.mark.parametrize("full", ["429", "busy", "503"])
def test_a_full_server_is_kept_full_and_uses_up_nothing(full: str, tmp_path: Path) -> None:
    _, told = lived(tmp_path, server(questions=120, concurrency=8, full=full))
    ideal = 240 * 1.65 / 8  # answers take 0.3 to 3 times a second
    assert told.virtual_s <= 1.3 * ideal
    assert told.requests - told.billed <= 40, "refused"
    assert rows(tmp_path, "SELECT state, count(*) FROM sample GROUP BY state") == [("stored", 240)]


def test_a_server_that_queues_is_kept_busy_and_its_queue_short(tmp_path: Path) -> None:
    simulation, told = lived(tmp_path, server(questions=200, slots=4, latency_s=0.5))
    late = [entry.level for entry in simulation.servers["ada"].entries if entry.at > 30]
    assert sum(level >= 2 * 4 for level in late) <= 0.1 * len(late), "a probe now and then"
    assert told.virtual_s <= 1.1 * 400 * 0.825 / 4 + 5


def test_refusals_by_chance_stop_nobody(tmp_path: Path) -> None:
    moody = server(
        questions=300,
        latency_s=0.2,
        concurrency=None,
        fault_periods=[FaultPeriod(0.0, 1e9, "429-told", 0.05)],
    )
    moody.tables["teachers"]["ada"]["concurrency"] = 16
    _, told = lived(tmp_path, moody)
    refused = told.requests - told.billed
    assert refused >= 20
    assert told.virtual_s <= refused * 7 / 2, (
        "half of what a pause for each, of 7 seconds in the mean, would take"
    )
    assert rows(tmp_path, "SELECT state, sum(attempts) FROM sample GROUP BY state") == [("stored", 0)]
