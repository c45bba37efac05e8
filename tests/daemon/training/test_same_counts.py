"""Daemon, monitor and export count the same samples in the same database, whatever the plans and the student are."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from daemon.cli import export
from daemon.events import Bus
from daemon.host.clock import SystemClock
from daemon.sampling.plans import ActivePlan
from daemon.training.planner import Planner
from daemon.training.trainer import Trainer
from engine.config import Config
from state.database import now_ms, open_reader
from state.triggers import Stock, due
from state.views.status import read_status
from state.views.triggers import TriggerStatus
from tests.daemon.parts import active_plan, config_of
from tests.state.world import World, make, question_rows


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=0)
    for task in ("t", "u"):
        found.task(task, [*question_rows(10), *question_rows(5, split="test", start=10)])
    yield found
    found.connection.close()


def store(world: World, plan: ActivePlan, right: int, wrong: int = 0) -> None:
    for count, correct in ((right, True), (wrong, False)):
        if count:
            claimed = world.claim(plan.id, count)
            assert len(claimed.samples) == count
            world.store(claimed, correct=correct)


def one_plan(world: World) -> list[ActivePlan]:
    plan = active_plan(world, "p")
    store(world, plan, 5, 3)
    return [plan]


def two_plans_of_one_fingerprint(world: World) -> list[ActivePlan]:
    plans = [active_plan(world, "p", rationales=2), active_plan(world, "q", rationales=2)]
    store(world, plans[0], 6, 2)
    return plans


def plans_that_differ_in_d(world: World) -> list[ActivePlan]:
    plans = [active_plan(world, "p", rationales=1), active_plan(world, "q", rationales=3)]
    store(world, plans[0], 4)
    store(world, plans[1], 13, 2)
    plans[0].state.settled(exhausted=True)
    return plans


def plans_that_differ(world: World) -> list[ActivePlan]:
    plans = [active_plan(world, "p"), active_plan(world, "q", temperature=0.1)]
    store(world, plans[0], 4, 1)
    store(world, plans[1], 3, 2)
    return plans


def with_hints(world: World) -> list[ActivePlan]:
    plans = [active_plan(world, "p"), active_plan(world, "q", strategy="rationalize", needs="p")]
    store(world, plans[0], 4)
    store(world, plans[1], 3)
    return plans


def with_a_test_plan(world: World) -> list[ActivePlan]:
    plans = [active_plan(world, "p"), active_plan(world, "q", split="test", temperature=0)]
    store(world, plans[0], 4)
    store(world, plans[1], 5)
    return plans


def of_two_tasks(world: World) -> list[ActivePlan]:
    plans = [active_plan(world, name, task=task) for name in ("p", "q") for task in ("t", "u")]
    store(world, plans[0], 4, 1)
    store(world, plans[1], 7)
    return plans


def complete(world: World) -> list[ActivePlan]:
    plan = active_plan(world, "p", rationales=1)
    store(world, plan, 6, 4)
    plan.state.settled(exhausted=True)
    return [plan]


MAJORITY = {"labels": "majority"}
CASES: list[tuple[Callable[[World], list[ActivePlan]], dict[str, Any], int, tuple[int, int]]] = [
    (one_plan, {}, 5, (8, 20)),
    (one_plan, {"curation": MAJORITY}, 8, (8, 20)),
    (two_plans_of_one_fingerprint, {}, 6, (8, 20)),
    (two_plans_of_one_fingerprint, {"plans": ["q"]}, 6, (8, 20)),
    (two_plans_of_one_fingerprint, {"curation": MAJORITY}, 8, (8, 20)),
    (plans_that_differ_in_d, {}, 17, (19, 30)),
    (plans_that_differ_in_d, {"plans": ["p"]}, 10, (10, 10)),
    (plans_that_differ, {}, 7, (10, 40)),
    (plans_that_differ, {"plans": ["p"]}, 4, (5, 20)),
    (plans_that_differ, {"plans": ["q", "*"]}, 7, (10, 40)),
    (plans_that_differ, {"curation": MAJORITY, "plans": ["q"]}, 5, (5, 20)),
    (with_hints, {}, 4, (4, 20)),
    (with_hints, {"curation": {"hinted": True}}, 7, (7, 40)),
    (with_a_test_plan, {}, 4, (4, 20)),
    (of_two_tasks, {}, 4, (5, 20)),
    (of_two_tasks, {"scope": "joint", "tasks": ["*"]}, 11, (12, 40)),
    (of_two_tasks, {"scope": "joint", "tasks": ["t", "u"], "plans": ["q"]}, 11, (12, 40)),
    (of_two_tasks, {"scope": "joint", "tasks": ["u"]}, 7, (7, 20)),
    (complete, {}, 6, (10, 10)),
]


def configured(world: World, plans: list[ActivePlan], student: dict[str, Any]) -> Config:
    settings = {plan.config.name: plan.config.model_dump(mode="json") for plan in plans}
    plain = {"drop_duplicates": False, "drop_test_overlap": False}
    made = {
        **{"name": "s", "tasks": ["t"], "train_at": [1, 100, "complete", "every 6h"], "rationales": 100},
        **student,
    }
    return config_of(
        world.path.parent,
        teachers={"a": {"builtin": True, "model": "m"}},
        tasks={name: {"source": "x.jsonl", "answer": "yes_no"} for name in ("t", "u")},
        plans=list(settings.values()),
        students=[{**made, "curation": {**plain, **made.get("curation", {})}}],
    )


def of_daemon(world: World, config: Config, plans: list[ActivePlan]) -> Stock:
    trainer = Trainer(
        config,
        boot_id=world.boot,
        writer=None,
        bus=Bus(),
        clock=SystemClock(),
        devices=[],  # type: ignore[arg-type]
    )
    planner = Planner(
        config,
        writer=None,  # type: ignore[arg-type]
        bus=Bus(),
        trainer=trainer,
        plans=plans,
        task_ids=world.tasks,
    )
    (found,) = planner._reads.of(planner.scopes)
    return found.stock


def of_monitor(world: World, config: Config) -> dict[str, TriggerStatus]:
    resolved = json.dumps(config.model_dump(mode="json"))
    world.connection.execute("UPDATE boot SET config = ?", (resolved,))
    with closing(open_reader(world.path)) as reader:
        tasks = {task.name: task for task in read_status(reader, now_ms()).tasks}
    own = "u" if config.students[0].tasks == ["u"] else "t"
    return {status.name: status for status in tasks[own].triggers}


@pytest.mark.parametrize(
    ("plans", "student", "samples", "slots"),
    CASES,
    ids=[f"{case[0].__name__}-{number}" for number, case in enumerate(CASES)],
)
def test_one_rule_counts_for_all(
    world: World,
    plans: Callable[[World], list[ActivePlan]],
    student: dict[str, Any],
    samples: int,
    slots: tuple[int, int],
) -> None:
    made = plans(world)
    config = configured(world, made, student)
    stock, shown = of_daemon(world, config, made), of_monitor(world, config)
    assert (stock.samples, shown["100"].have) == (samples, samples)
    assert (stock.ended, stock.wanted) == (shown["complete"].have, shown["complete"].goal) == slots
    assert stock.complete == shown["complete"].progress.reached == (slots[0] == slots[1])
    with closing(open_reader(world.path)) as reader:
        (part,) = export._parts(reader, config, argparse.Namespace(task=None, student=None))
    if config.students[0].curation.labels == "gold":
        assert len(part.chosen.sample_ids) == samples  # with a curation that drops nothing correct
    item = due(config.students[0].triggers, stock, now_ms())
    assert item is not None
    assert shown[item.trigger.name].progress.reached
    assert not shown["every 6h"].progress.reached
