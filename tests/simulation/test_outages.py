"""Faults that last for hours, one at a time, in virtual time."""

from __future__ import annotations

import dataclasses
import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from daemon.sampling.outcomes import OUTAGE_S
from state.database import open_reader
from tests.simulation.fault_server import Behaviour, FaultPeriod
from tests.simulation.scenario import Scenario, task_of
from tests.simulation.simulation import Simulation, SimulationResult

BEGINS = 0.6
"""When a fault begins, in seconds: some answers are in flight."""


def night(fault: str, seconds: float, *, questions: int = 100, **more: Any) -> Scenario:
    """One teacher, two samples a question, and a fault that begins soon and lasts."""
    behaviour = Behaviour(
        requests_per_minute=1200,
        concurrency=None,
        tells="",
        latency_s=0.5,
        token_ratio=1.0,
        correct=0.7,
        no_usage=0.0,
        fault_periods=[FaultPeriod(BEGINS, BEGINS + seconds, fault, 1.0)] if fault else [],
    )
    made = Scenario.of(1)  # a seed whose user asks no given-up sample again
    teacher = {
        "base_url": "http://teacher.invalid/v1",
        "model": "m",
        "usd_per_million_input": 0.5,
        "usd_per_million_output": 2.0,
        "requests_per_minute": 1200,
        "concurrency": 16,
        "max_attempts": 8,
        "timeout_seconds": 1800.0,
    }
    plan = {"name": "one", "strategy": "zero-shot-cot", "rationales": 2, "stop_after_correct": 0}
    whole = dataclasses.replace(
        made,
        tables={
            "daemon": {},
            "teachers": {"ada": teacher},
            "tasks": {"sums": {"source": "sums.jsonl", "answer": "number"}},
            "plans": [plan],
        },
        given=dataclasses.replace(
            made.given, tasks={"sums": task_of("sums", questions)}, keys={"ada": made.given.keys["ada"][:1]}
        ),
        behaviour={"ada": behaviour},
        deaths=[],
        acts=[],
        disk_s=0.005,
        locked=[],
        shares=False,
        rng=random.Random(0),
    )
    return dataclasses.replace(whole, **more)


def lived(folder: Path, scenario: Scenario) -> tuple[Simulation, SimulationResult]:
    simulation = Simulation(0, folder, scenario)
    return simulation, simulation.run()


def rows(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(open_reader(folder / "state.db")) as connection:
        return connection.execute(sql).fetchall()


def during(simulation: Simulation, seconds: float) -> int:
    """Requests that reached the teacher while the fault lasted."""
    entries = simulation.servers["ada"].entries
    return sum(BEGINS <= entry.at < BEGINS + seconds for entry in entries)


@pytest.mark.parametrize(("fault", "questions"), [("5xx", 100), ("503-told", 2)])
def test_an_hour_of_server_errors_costs_no_sample_and_few_requests(
    fault: str, questions: int, tmp_path: Path
) -> None:
    simulation, told = lived(tmp_path, night(fault, 3600, questions=questions))
    assert rows(tmp_path, "SELECT DISTINCT state FROM sample") == [("stored",)]
    assert told.billed == told.stored == questions * 4 and told.unknown == 0
    assert during(simulation, 3600) <= 16 + 3 * 16 + 3600 / 60 + 10, "a storm was answered by a storm"
    assert told.virtual_s <= 3600 + 150, "it went on late"


def test_a_teacher_that_fails_for_good_is_given_up_after_two_hours(tmp_path: Path) -> None:
    simulation, told = lived(tmp_path, night("5xx", 1e9, questions=2))
    failed = "SELECT min(attempts), min(reason) FROM sample WHERE state = 'failed'"
    ((attempts, reason),) = rows(tmp_path, failed)
    assert told.billed == told.stored
    assert attempts >= 8 and "attempts failed; the last: server error (5" in reason
    assert OUTAGE_S <= told.virtual_s <= OUTAGE_S + 600
    assert during(simulation, 1e9) <= 250


@pytest.mark.parametrize("fault", ["refused", "dns"])
def test_two_hours_without_a_network_use_up_no_attempt(fault: str, tmp_path: Path) -> None:
    simulation, told = lived(tmp_path, night(fault, 7200, questions=20))
    assert rows(tmp_path, "SELECT state, sum(attempts), sum(unknowns) FROM sample GROUP BY state") == [
        ("stored", 0, 0)
    ]
    assert told.billed == told.stored == 80 and told.unknown == 0
    assert during(simulation, 7200) <= 16 + 3 * 16 + 7200 / 60 + 10
    assert told.virtual_s <= 7200 + 150


def test_a_database_held_for_a_minute_loses_nothing_and_stops_the_sending(tmp_path: Path) -> None:
    simulation, told = lived(tmp_path, night("", 0, locked=[(2.0, 60.0)]))
    assert told.billed == told.stored == 400 and told.unknown == 0
    entries = simulation.servers["ada"].entries
    assert sum(3.0 <= entry.at < 62.0 for entry in entries) <= 32, "it went on sending without a disk"
    assert told.virtual_s > 62
