"""`train_at = ["every 6h"]` in a planner: a real database, and a clock that the test sets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from daemon import work as work_module
from daemon.events import PlanCompleted, RunFailed, RunFinished, SampleStored
from daemon.host.clock import SystemClock
from daemon.sampling.budget import Budget
from daemon.sampling.job_queue import RetryQueue
from daemon.sampling.plans import ActivePlan
from daemon.sampling.scheduler import Scheduler
from daemon.training import planner as module
from daemon.training.planner import Planner
from daemon.training.trainer import Trainer
from daemon.work import Work
from engine.config import Config
from state.enums import RunState
from state.runs import RunEnd, end_run, unfinished
from state.writer import Writer
from tests.daemon.parts import Clock, Heard, active_plan, config_of, context_of, teacher_of, until, writing
from tests.state.world import World, make, question_rows

pytestmark = pytest.mark.anyio

HOUR = 3_600_000


class Wall:
    """A wall clock that the test sets, in hours since the first plan was created."""

    def __init__(self, world: World) -> None:
        self._start = world.row("SELECT min(created_at) FROM plan")[0]
        self.hours = 0.0

    def __call__(self) -> int:
        return int(self._start + self.hours * HOUR)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=10)
    found.task("u", question_rows(10))
    yield found
    found.connection.close()


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_S", 0.002)


def config(world: World, *train_at: int | str, plans: tuple[str, ...] = ("p",), **student: Any) -> Config:
    return config_of(
        world.path.parent,
        teachers={"a": {"builtin": True, "model": "m"}},
        tasks={name: {"source": "x.jsonl", "answer": "yes_no"} for name in ("t", "u")},
        plans=[{"name": name} for name in plans],
        students=[{"name": "s", "train_at": list(train_at), "tasks": ["t"], **student}],
    )


class Bench:
    def __init__(self, world: World, planner: Planner, trainer: Trainer, heard: Heard, wall: Wall) -> None:
        self.world, self.planner, self.trainer, self.heard, self.wall = world, planner, trainer, heard, wall

    async def at(self, hours: float) -> list[str]:
        """Sets the clock; the triggers of the runs there are, once the planner has nothing to do."""
        self.wall.hours = hours
        return await self.runs()

    async def runs(self) -> list[str]:
        await until(lambda: self.planner.idle)
        return [name for (name,) in self.world.rows("SELECT trigger FROM run ORDER BY id")]

    async def sampled(self, plan: ActivePlan, count: int, *, correct: bool = True) -> list[str]:
        self.world.store(self.world.claim(plan.id, count), correct=correct)
        self.heard.bus.emit(SampleStored(plan=plan.config.name, task=plan.task, correct=correct))
        return await self.runs()

    async def trained(self) -> list[str]:
        """The run that is not finished ends."""
        (run,) = unfinished(self.world.connection)
        end_run(self.world.connection, [RunEnd(run_id=run.id, state=RunState.DONE)])
        self.heard.bus.emit(RunFinished(run_id=run.id, student="s", scope="t", result=""))
        return await self.runs()


@asynccontextmanager
async def planning(
    world: World, made: Config, plans: list[ActivePlan], wall: Wall, writer: Writer | None = None
) -> AsyncIterator[Bench]:
    heard = Heard()
    async with writing(world) as own:
        writer = writer or own
        trainer = Trainer(
            made, boot_id=world.boot, writer=writer, bus=heard.bus, clock=SystemClock(), devices=[]
        )
        planner = Planner(
            made,
            writer=writer,
            bus=heard.bus,
            trainer=trainer,
            plans=plans,
            task_ids=world.tasks,
            now=wall,
        )
        async with anyio.create_task_group() as group:
            await group.start(planner.serve)
            yield Bench(world, planner, trainer, heard, wall)
            group.cancel_scope.cancel()


async def test_it_fires_again_and_again_by_the_clock_alone(world: World) -> None:
    plan = active_plan(world)
    wall = Wall(world)
    async with planning(world, config(world, "every 6h"), [plan], wall) as bench:
        assert await bench.sampled(plan, 3) == []
        assert await bench.at(5.9) == []
        assert await bench.at(6.5) == ["every 6h #1"]
        assert world.row("SELECT created_at, samples, state FROM run") == (wall(), 3, "queued")
        assert bench.trainer.queued == 1
        assert await bench.sampled(plan, 2) == ["every 6h #1"]
        assert await bench.trained() == ["every 6h #1"]
        assert await bench.at(12.4) == ["every 6h #1"]  # it counts from the run
        assert await bench.at(12.6) == ["every 6h #1", "every 6h #2"]
        assert world.rows("SELECT samples FROM run") == [(3,), (5,)]


async def test_nothing_new_makes_no_run_until_there_is_something(world: World) -> None:
    plan = active_plan(world)
    async with planning(world, config(world, "every 6h"), [plan], Wall(world)) as bench:
        await bench.sampled(plan, 3)
        await bench.at(6)
        await bench.trained()
        assert await bench.at(50) == ["every 6h #1"]
        assert await bench.sampled(plan, 2, correct=False) == ["every 6h #1"]  # these are not trained on
        assert await bench.sampled(plan, 1) == ["every 6h #1", "every 6h #2"]


async def test_it_does_not_fire_while_the_last_run_is_unfinished(world: World) -> None:
    plan = active_plan(world)
    async with planning(world, config(world, "every 6h"), [plan], Wall(world)) as bench:
        await bench.sampled(plan, 3)
        await bench.at(6)
        assert await bench.sampled(plan, 3) == ["every 6h #1"]
        assert await bench.at(30) == ["every 6h #1"]
        assert await bench.trained() == ["every 6h #1", "every 6h #2"]


async def test_rows_that_would_be_the_same_make_no_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One rationale a question is read: the second of each changes the count, and not the training set."""
    plan = active_plan(world)
    prepared: list[str] = []
    prepare = module.prepare

    def counted(*arguments: Any) -> Any:
        prepared.append(arguments[2].trigger)
        return prepare(*arguments)

    monkeypatch.setattr(module, "prepare", counted)
    made = config(world, "every 6h", rationales=1)
    async with planning(world, made, [plan], Wall(world)) as bench:
        await bench.sampled(plan, 10)
        await bench.at(6)
        await bench.trained()
        assert await bench.sampled(plan, 2) == ["every 6h #1"]
        assert await bench.at(13) == ["every 6h #1"]
        assert len(prepared) == 2
        for _ in range(3):
            bench.heard.bus.emit(SampleStored(plan="p", task="t", correct=True))
            await bench.runs()
        assert len(prepared) == 2  # nothing changed: it is not tried again
        assert await bench.sampled(plan, 2) == ["every 6h #1"]
        assert len(prepared) == 2  # nor within a minute, while samples come
        assert await bench.at(13.1) == ["every 6h #1"]
        assert len(prepared) == 3
        assert bench.planner.idle


async def test_without_a_correct_sample_it_waits_and_makes_no_failed_run(world: World) -> None:
    plan = active_plan(world)
    async with planning(world, config(world, "every 6h"), [plan], Wall(world)) as bench:
        await bench.sampled(plan, 3, correct=False)
        assert await bench.at(7) == []
        assert await bench.sampled(plan, 1) == ["every 6h #1"]
        assert bench.heard.of(RunFailed) == []


async def test_where_curation_leaves_no_row_it_waits_and_makes_no_failed_run(world: World) -> None:
    plan = active_plan(world)
    made = config(world, "every 6h", curation={"max_characters": 1})
    async with planning(world, made, [plan], Wall(world)) as bench:
        await bench.sampled(plan, 3)
        assert await bench.at(7) == []
        assert bench.planner.idle and bench.heard.of(RunFailed) == []


async def test_it_goes_with_counts_and_completion(world: World) -> None:
    plan = active_plan(world)
    made = config(world, 4, "every 6h", "complete")
    async with planning(world, made, [plan], Wall(world)) as bench:
        await bench.sampled(plan, 3)
        assert await bench.at(6) == ["every 6h #1"]
        await bench.trained()
        assert await bench.sampled(plan, 2) == ["every 6h #1", "4"]
        await bench.trained()
        assert await bench.at(11.9) == ["every 6h #1", "4"]
        assert await bench.at(12) == ["every 6h #1", "4"]  # nothing came since
        plan.state.settled(exhausted=True)
        assert await bench.sampled(plan, 1) == ["every 6h #1", "4", "complete"]
        await bench.trained()
        assert await bench.at(99) == ["every 6h #1", "4", "complete"]


async def test_a_restart_does_not_reset_the_clock_and_an_interval_missed_fires_once(world: World) -> None:
    plan = active_plan(world)
    wall, made = Wall(world), config(world, "every 6h")
    async with planning(world, made, [plan], wall) as bench:
        await bench.sampled(plan, 3)
        assert await bench.at(5) == []
    wall.hours = 5.5
    async with planning(world, made, [plan], wall) as bench:
        assert await bench.runs() == []
        assert await bench.at(6) == ["every 6h #1"]
        await bench.trained()
        await bench.sampled(plan, 1)
    wall.hours = 48  # nothing ran for a long time
    async with planning(world, made, [plan], wall) as bench:
        assert await bench.runs() == ["every 6h #1", "every 6h #2"]
        await bench.trained()
        await bench.sampled(plan, 1)
        assert await bench.at(53.9) == ["every 6h #1", "every 6h #2"]
        assert await bench.at(54) == ["every 6h #1", "every 6h #2", "every 6h #3"]


async def test_a_kill_between_the_run_and_its_start_fires_no_second_time(world: World) -> None:
    plan = active_plan(world)
    wall, made = Wall(world), config(world, "every 6h")
    async with planning(world, made, [plan], wall) as bench:
        await bench.sampled(plan, 3)
        assert await bench.at(6) == ["every 6h #1"]
    # The daemon is gone: the run is in the database, and no process was started.
    world.reboot()
    wall.hours = 6.01
    async with planning(world, made, [plan], wall) as bench:
        assert await bench.runs() == ["every 6h #1"]
        await bench.sampled(plan, 1)
        assert await bench.at(20) == ["every 6h #1"]  # still queued
        assert [run.trigger for run in unfinished(world.connection)] == ["every 6h #1"]
        assert await bench.trained() == ["every 6h #1", "every 6h #2"]


async def test_a_kill_before_the_run_was_stored_fires_at_the_next_start(world: World) -> None:
    plan = active_plan(world)
    wall, made = Wall(world), config(world, "every 6h")

    class Dying:
        """A writer whose process is killed before anything is stored."""

        async def do(self, *arguments: object) -> None:
            await anyio.sleep_forever()

    async with planning(world, made, [plan], wall, Dying()) as bench:  # type: ignore[arg-type]
        await bench.sampled(plan, 3)
        wall.hours = 6
        await until(lambda: not bench.planner.idle)
    async with planning(world, made, [plan], wall) as bench:
        assert await bench.runs() == ["every 6h #1"]


async def test_it_can_be_added_and_removed_while_the_daemon_runs(world: World) -> None:
    plan = active_plan(world)
    async with planning(world, config(world, 99), [plan], Wall(world)) as bench:
        await bench.sampled(plan, 3)
        assert await bench.at(7) == []
        bench.planner.configure(config(world, 99, "every 6h"), world.tasks)
        assert await bench.runs() == ["every 6h #1"]
        await bench.trained()
        await bench.sampled(plan, 1)
        bench.planner.configure(config(world, 99), world.tasks)
        assert await bench.at(20) == ["every 6h #1"]
        bench.planner.configure(config(world, "every 1h"), world.tasks)
        assert await bench.runs() == ["every 6h #1", "every 1h #1"]


async def test_each_scope_has_its_own_interval(world: World) -> None:
    plans = [active_plan(world, "p", task=task) for task in ("t", "u")]
    made = config(world, "every 6h", tasks=["*"])
    async with planning(world, made, plans, Wall(world)) as bench:
        await bench.sampled(plans[0], 2)
        assert await bench.at(6) == ["every 6h #1"]
        bench.wall.hours = 8
        await bench.sampled(plans[1], 2)
        assert world.rows("SELECT scope, trigger FROM run ORDER BY id") == [
            ("t", "every 6h #1"),
            ("u", "every 6h #1"),
        ]


async def test_another_setting_makes_a_new_run_at_the_next_interval(world: World) -> None:
    plan = active_plan(world)
    async with planning(world, config(world, "every 6h"), [plan], Wall(world)) as bench:
        await bench.sampled(plan, 3)
        await bench.at(6)
        await bench.trained()
        bench.planner.configure(config(world, "every 6h", training={"epochs": 3}), world.tasks)
        assert await bench.at(11) == ["every 6h #1"]
        assert await bench.at(12) == ["every 6h #1", "every 6h #1"]  # of another fingerprint


async def test_until_idle_does_not_wait_for_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "LOOK_S", 0.002)
    plan = active_plan(world)
    async with planning(world, config(world, "every 6h"), [plan], Wall(world)) as bench:
        trainer = bench.trainer
        teacher, budget = teacher_of(world), Budget(None)
        budget.add_teacher(teacher.id, None)
        budget.add_plan(plan.id, None)
        context = context_of(world, bench.planner._writer, budget=budget, bus=bench.heard.bus)
        scheduler = Scheduler(context, teachers=[teacher], plans=[plan])
        work = Work(
            config_of(world.path.parent),
            context,
            scheduler=scheduler,
            retry_queue=RetryQueue(Clock(), scheduler.deliver),
            others=(bench.planner, trainer),
        )

        async def ends() -> bool:
            with anyio.move_on_after(0.2) as scope:
                await work.idle()
            return not scope.cancelled_caught

        await bench.sampled(plan, 3)
        assert not await ends()  # the plan has work
        plan.state.settled(exhausted=True)
        plan.state.complete()
        bench.heard.bus.emit(PlanCompleted(plan="p", task="t", accepted=3, rejected=0, failed=0))
        assert await ends()  # it never fired, and is not waited for
        assert await bench.at(6) == ["every 6h #1"]
        assert not await ends()  # a run that was made is
        await bench.trained()
        trainer.queued = 0
        assert await ends()
        assert await bench.at(99) == ["every 6h #1"] and await ends()
