from __future__ import annotations

from typing import Any

import pytest

from state.triggers import LastRun, PlanCounts
from state.views.triggers import next_trigger, student_names, triggers

HOUR = 3_600_000
NOW = 1_760_000_000_000


def plan(
    name: str = "diverse", task: str = "coin", accepted: int = 0, fingerprint: str = "", **more: Any
) -> PlanCounts:
    counts = {"wanted": 800, "stored": accepted, "failed": 0, "skipped": 0, "created_at": NOW} | more
    counts = {"id": 1, "split": "train", "hinted": False} | counts
    return PlanCounts(name=name, task=task, accepted=accepted, fingerprint=fingerprint or name, **counts)


def config(**student: Any) -> dict[str, Any]:
    return {"students": [{"name": "s", "tasks": ["*"], "train_at": [100, 400, "complete"]} | student]}


def test_the_nearest_trigger_that_has_not_fired_comes_next() -> None:
    def name(accepted: int, *train_at: int | str, **more: int) -> str | None:
        made = config(train_at=list(train_at)) if train_at else config()
        found = next_trigger(triggers(made, "coin", [plan(accepted=accepted, **more)], now=NOW))
        return found.name if found else None

    assert name(0) == "100"
    assert name(99) == "100"
    assert name(100) == "400"
    assert name(400) == "complete"
    assert name(400, stored=700, failed=60, skipped=40) is None
    assert name(0, 400, 40, "complete") == "40"
    assert name(40, 400, 40, "complete") == "400"
    assert name(40, "complete", "every 6h", 40) == "every 6h"
    assert name(39, "complete", "every 6h", 40) == "40"


def test_complete_counts_slots_that_have_ended() -> None:
    found = triggers(
        config(train_at=["complete"]), "coin", [plan(accepted=50, stored=90, failed=5, skipped=2)]
    )
    assert (found[0].have, found[0].goal, found[0].remaining) == (97, 800, 703)


def test_only_the_plans_a_student_reads_count() -> None:
    plans = [plan("a", accepted=30), plan("b", accepted=50), plan("a", "other", accepted=7)]
    assert triggers(config(plans=["b"]), "coin", plans)[0].have == 50
    assert triggers(config(), "coin", plans)[0].have == 80
    assert triggers(config(scope="joint"), "coin", plans)[0].have == 87


def test_students_of_other_tasks_and_nonsense_are_left_out() -> None:
    assert triggers(config(tasks=["other"]), "coin", [plan()]) == []
    assert student_names(config(), "coin") == ("s",)
    assert triggers({"students": "?"}, "coin", [plan()]) == []
    assert triggers(config(train_at=[None, 5]), "coin", [plan()])[0].goal == 5
    assert triggers(config(train_at="?", curation="?"), "coin", [plan()]) == []


@pytest.mark.parametrize(
    ("scope", "last", "text"),
    [
        ("per-task", {}, "every 6h: next in 2h10m"),
        ("per-task", {("s", "coin"): LastRun(created_at=NOW + 3 * HOUR, counted=1)}, "every 6h: next in 5h10m"),
        ("per-task", {("s", "joint"): LastRun(created_at=NOW + 3 * HOUR, counted=1)}, "every 6h: next in 2h10m"),
        ("joint", {("s", "joint"): LastRun(created_at=NOW + 3 * HOUR, counted=1)}, "every 6h: next in 5h10m"),
        ("per-task", {("s", "coin"): LastRun(created_at=NOW - 9 * HOUR, counted=5)}, "every 6h: waiting for new samples"),
    ],
)  # fmt: skip
def test_an_interval_says_when_it_fires_next(scope: str, last: Any, text: str) -> None:
    now = NOW + 3 * HOUR + 50 * 60_000
    found = triggers(
        config(train_at=["every 6h"], scope=scope), "coin", [plan(accepted=5)], now=now, last=last
    )
    assert found[0].text() == text
