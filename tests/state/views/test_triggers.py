from __future__ import annotations

from typing import Any

from state.views.triggers import TrainPlan, next_trigger, student_names, triggers


def plan(name: str = "diverse", task: str = "coin", accepted: int = 0, **more: int) -> TrainPlan:
    counts = {"wanted": 800, "stored": accepted, "failed": 0, "skipped": 0} | more
    return TrainPlan(name=name, task=task, accepted=accepted, **counts)


def config(**student: Any) -> dict[str, Any]:
    return {"students": [{"name": "s", "tasks": ["*"], "train_at": [100, 400, "complete"]} | student]}


def test_the_nearest_trigger_that_has_not_fired_comes_next() -> None:
    def name(accepted: int, **more: int) -> str | None:
        found = next_trigger(triggers(config(), "coin", [plan(accepted=accepted, **more)]))
        return found.name if found else None

    assert name(0) == "100"
    assert name(99) == "100"
    assert name(100) == "400"
    assert name(400) == "complete"
    assert name(400, stored=700, failed=60, skipped=40) is None


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
