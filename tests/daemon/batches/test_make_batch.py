"""What goes into a batch, and what is given back in the last place before it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from daemon.batches.batch_rows import Settler
from daemon.batches.batch_transport import BatchTransport
from daemon.batches.make_batch import make_batch
from daemon.batches.outstanding import Shared
from daemon.limits.key_limits import KeyLimits
from daemon.sampling.budget import Budget
from daemon.sampling.cost_bounds import job_of
from daemon.sampling.jobs import Job
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher
from engine.teachers.batch_client import BatchClient
from engine.teachers.keys import TeacherKey
from state.enums import BatchState
from tests.daemon.parts import Clock, Heard, active_plan, context_of, teacher_config, writing
from tests.state.world import World, check_counts, make

pytestmark = pytest.mark.anyio

CONFIG = teacher_config(dialect="openai-batch", base_url="http://127.0.0.1:9/v1", builtin=False)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=10)
    yield found
    found.connection.close()


class Bench:
    """A teacher of batches with its queue, and where jobs go that are not sent."""

    def __init__(
        self,
        world: World,
        teacher: Teacher,
        transport: BatchTransport,
        budget: Budget,
        delivered: list[Job],
        short: list[Job],
    ) -> None:
        self.world = world
        self.teacher = teacher
        self.transport = transport
        self.budget = budget
        self.delivered = delivered
        self.short = short

    def claim(self, plan: ActivePlan, count: int) -> list[Job]:
        """Samples that were claimed ahead, with their money reserved."""
        jobs = [job_of(sample, plan) for sample in self.world.claim(plan.id, count).samples]
        for job in jobs:
            assert job.attempt is not None
            assert self.budget.reserve(plan.id, self.teacher.id, job.attempt.reserved_micros)
            self.teacher.queue.push(job)
        return jobs


@asynccontextmanager
async def making(world: World, plans: list[ActivePlan]) -> AsyncIterator[tuple[Bench, Shared]]:
    heard, budget, clock = Heard(), Budget(None), Clock()
    for plan in plans:
        budget.add_plan(plan.id, None)
    async with BatchClient(CONFIG) as client, writing(world) as writer:
        context = context_of(world, writer, budget=budget, bus=heard.bus, clock=clock)
        delivered: list[Job] = []
        short: list[Job] = []
        shared = Shared(
            context=context,
            settler=Settler(context, delivered.append),
            deliver=delivered.append,
            out_of_money=short.append,
            parked=lambda teacher: None,
            nothing_to_claim=lambda teacher: True,
        )
        transport = BatchTransport(client, CONFIG, shared)
        teacher = Teacher(world.teachers["a"], "a", CONFIG, transport, 0.0)
        budget.add_teacher(teacher.id, None)
        yield Bench(world, teacher, transport, budget, delivered, short), shared


async def test_what_a_cap_no_longer_covers_is_not_sent(world: World) -> None:
    plan = active_plan(world)
    async with making(world, [plan]) as (bench, shared):
        jobs = bench.claim(plan, 8)
        each = jobs[0].attempt.reserved_micros  # type: ignore[union-attr]
        bench.budget.total.cap = 3 * each  # lowered by a person, or used up by a dear answer of a live plan
        made = await make_batch(bench.teacher, bench.transport.link, "K", shared)
        assert made is not None
        batch, file = made
        file.file.close()
        assert batch.state is BatchState.NEW and batch.requests == 3
        assert len(bench.short) == 5 and all(job.attempt is None for job in bench.short)
        assert bench.budget.total.used == bench.budget.total.reserved == 3 * each
        assert world.row("SELECT count(*) FROM attempt WHERE outcome = 'released'") == (5,)
        assert world.row("SELECT reserved_micros FROM plan") == (3 * each,)
    check_counts(world)


async def test_a_plan_that_is_gone_is_in_no_further_batch(world: World) -> None:
    gone, stays = active_plan(world, "gone"), active_plan(world, "stays", temperature=0.5)
    async with making(world, [gone, stays]) as (bench, shared):
        bench.claim(gone, 2)
        bench.claim(stays, 2)
        gone.state.disable()
        made = await make_batch(bench.teacher, bench.transport.link, "K", shared)
        assert made is not None
        batch, file = made
        file.file.close()
        assert {row.job.plan for row in batch.rows.values()} == {stays}
        assert len(bench.delivered) == 2 and all(job.attempt is None for job in bench.delivered)
    check_counts(world)


@pytest.mark.parametrize("what", ["cap", "plan", "teacher", "pause"])
async def test_a_batch_that_could_not_be_sent_is_taken_back_when_it_is_no_longer_wanted(
    world: World, what: str
) -> None:
    plan = active_plan(world)
    async with making(world, [plan]) as (bench, shared):
        bench.claim(plan, 4)
        made = await make_batch(bench.teacher, bench.transport.link, "K", shared)
        assert made is not None
        batch, file = made
        file.file.close()
        key = bench.transport.add_key(bench.teacher, TeacherKey("K", None), KeyLimits(0.0))
        key.take_up(batch)  # its upload failed: the provider is down
        if what == "cap":
            bench.budget.total.cap = 5
        else:
            plan.state.disable(what == "plan")
            bench.teacher.health.disable(what == "teacher")
            bench.teacher.health.pause(what == "pause")
        await key.look(batch)
        assert not bench.teacher.meters.errors, "it was uploaded"
        if what == "pause":
            assert key.outbox.batches == [batch] and not bench.delivered
            return
        assert key.outbox.batches == [] and len(bench.delivered) == 4 and bench.budget.total.used == 0
        assert world.row("SELECT state FROM batch") == ("failed",)
    check_counts(world)
