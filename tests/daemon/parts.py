"""Parts of a daemon, made by hand around a real database."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel

from daemon.catalog.plan_fingerprint import plan_fingerprint
from daemon.events import Bus, Event
from daemon.host.clock import SystemClock
from daemon.sampling.budget import Budget
from daemon.sampling.context import Context
from daemon.sampling.key_workers import RequestTransport
from daemon.sampling.plan_state import PlanState
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher
from daemon.training.run_directory import owner_of
from engine.config import Config, PlanConfig, TeacherConfig
from engine.strategies import STRATEGIES
from engine.students.spec import OWNER
from engine.teachers.client import TeacherClient
from state.catalog import PlanRow, over, reconcile, sync_plan
from state.database import open_writer
from state.orm import orm_session
from state.runs import run_by_id
from state.sqlite import Connection
from state.writer import Writer
from tests.state.world import World


class Clock:
    """A clock that a test sets; sleeping lets it go on."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await anyio.lowlevel.checkpoint()


class Heard:
    """All events of a bus, in order."""

    def __init__(self) -> None:
        self.bus = Bus()
        self.events: list[Event] = []
        self.bus.listen(self.events.append)

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def config_of(folder: Path, **sections: Any) -> Config:
    """A configuration as if it stood in `folder`."""
    config = Config.model_validate(sections)
    config._folder = folder
    return config


def teacher_config(**settings: Any) -> TeacherConfig:
    return TeacherConfig.model_validate({"builtin": True, "model": "m", **settings})


def owned(connection: Connection, directory: Path) -> Path:
    """A run directory that a test filled by hand, as that of the run of its number."""
    run = run_by_id(connection, int(directory.name))
    assert run is not None
    (directory / OWNER).write_bytes(owner_of(connection, run).to_json())
    return directory


def asked_by_requests(
    config: TeacherConfig, *, teacher_id: int = 1, name: str = "a", clock: Any = None, run: Any = None
) -> Teacher:
    """A teacher without keys and without a client, whose keys call `run` with each job."""
    clock = clock or Clock(0.0)
    transport = RequestTransport(cast(TeacherClient, None), clock, run)
    return Teacher(teacher_id, name, config, transport, clock.monotonic())


def teacher_of(world: World, name: str = "a", **settings: Any) -> Teacher:
    """A teacher without keys, so without a client: it wants four jobs in its queue."""
    return asked_by_requests(teacher_config(**settings), teacher_id=world.teachers[name], name=name)


def context_of(
    world: World, writer: Writer, *, budget: Budget | None = None, bus: Bus | None = None, clock: Any = None
) -> Context:
    """A daemon session on the world's database."""
    return Context(
        session_id=world.boot,
        writer=writer,
        budget=budget or Budget(None),
        bus=bus or Bus(),
        clock=clock or SystemClock(),
        rng=random.Random(1),
    )


def active_plan(
    world: World,
    name: str = "p",
    *,
    task: str = "t",
    teachers: tuple[str, ...] = ("a",),
    fallbacks: tuple[str, ...] = (),
    unless: str = "",
    **settings: Any,
) -> ActivePlan:
    """A plan of the configuration, synced."""
    config = PlanConfig.model_validate(
        {
            "name": name,
            "rationales": 2,
            "teachers": list(teachers),
            "fallback_teachers": list(fallbacks),
            **settings,
        }
    )
    recipe = settings.get("recipe") or plan_fingerprint(config, [teacher_config()], "yes_no")
    row = PlanRow(
        name=name,
        task_id=world.tasks[task],
        split=config.split,
        recipe=recipe,
        teachers=list(teachers),
        strategy=config.strategy,
        settings={**config.model_dump(mode="json"), "facts": STRATEGIES[config.strategy].stored_facts},
        rationales=config.most,
        weight=config.weight,
        base=config.base,
        want=config.want,
        target=config.correct_per_task or 0,
        together=config.per_request,
        unless=unless,
    )
    with orm_session(world.path) as opened:
        plan, changed = sync_plan(opened, row, world.sizes[task, config.split])
        if changed:
            reconcile(opened, plan)
        assert plan.id is not None
        return ActivePlan(
            id=plan.id,
            config=config,
            task=task,
            task_id=world.tasks[task],
            answer_format="yes_no",
            recipe=recipe,
            teachers=teachers,
            wanted=plan.wanted,
            longest=20,
            state=PlanState(exhausted=over(opened, plan)),
            fallbacks=fallbacks,
        )


@asynccontextmanager
async def writing(world: World) -> AsyncIterator[Writer]:
    """A writer of its own on the world's database."""
    connection = open_writer(world.path)
    writer = Writer(connection, linger_s=0)
    async with anyio.create_task_group() as group:
        await group.start(writer.serve)
        try:
            yield writer
        finally:
            writer.close()
    connection.close()


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    """Lets the loop run until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not within the time"
        await anyio.sleep(0.001)
