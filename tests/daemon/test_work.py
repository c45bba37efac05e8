from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from daemon import work as module
from daemon.events import PlanCompleted, TargetMissed
from daemon.sampling.budget import Budget
from daemon.sampling.cost_bounds import job_of
from daemon.sampling.job_queue import RetryQueue
from daemon.sampling.plans import ActivePlan
from daemon.sampling.scheduler import Scheduler
from daemon.sampling.teacher import Teacher
from daemon.work import Work
from state.claims import OpenAttempt
from tests.daemon.parts import Clock, Heard, active_plan, config_of, context_of, teacher_of, until, writing
from tests.state.world import World, make

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=4)
    yield found
    found.connection.close()


class Part:
    """The planner or the trainer, as far as it is asked: is there anything to do?"""

    idle = True


class Bench:
    def __init__(
        self,
        work: Work,
        scheduler: Scheduler,
        retry_queue: RetryQueue,
        heard: Heard,
        part: Part,
        budget: Budget,
    ) -> None:
        self.work, self.scheduler, self.retry_queue = work, scheduler, retry_queue
        self.heard, self.part, self.budget = heard, part, budget

    def no_claim_fits(self, plan: ActivePlan, teacher: Teacher) -> None:
        """A claim found too little money."""
        policy = self.scheduler.budget_policy
        policy.claimed(plan, teacher, policy.free(plan, teacher))

    async def idle(self) -> bool:
        """Whether the daemon would end by itself."""
        with anyio.move_on_after(0.1) as scope:
            await self.work.idle()
        return not scope.cancelled_caught


@asynccontextmanager
async def working(
    world: World, plans: list[ActivePlan], teachers: list[Teacher], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Bench]:
    monkeypatch.setattr(module, "LOOK_S", 0.002)
    heard, part, budget = Heard(), Part(), Budget(None)
    for plan in plans:
        budget.add_plan(plan.id, None)
    for teacher in teachers:
        budget.add_teacher(teacher.id, None)
    async with writing(world) as writer:
        context = context_of(world, writer, bus=heard.bus, budget=budget)
        scheduler = Scheduler(context, teachers=teachers, plans=plans)
        retry_queue = RetryQueue(Clock(), scheduler.deliver)
        work = Work(
            config_of(world.path.parent),
            context,
            scheduler=scheduler,
            retry_queue=retry_queue,
            others=(part,),
        )
        yield Bench(work, scheduler, retry_queue, heard, part, budget)


def job(world: World, plan: ActivePlan) -> Any:
    (sample,) = world.claim(plan.id, 1).samples
    plan.state.claimed(1)
    return job_of(sample, plan)


def finish(*plans: ActivePlan) -> None:
    for plan in plans:
        plan.state.settled(exhausted=True)
        plan.state.ended(plan.open)
        plan.state.complete()


async def test_it_is_idle_when_every_part_is(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = active_plan(world)
    async with working(world, [plan], [teacher_of(world)], monkeypatch) as bench:
        assert not await bench.idle()
        finish(plan)
        assert await bench.idle()
        bench.part.idle = False
        assert not await bench.idle()
        bench.part.idle = True
        bench.retry_queue.put(job(world, plan), 1000.0)
        assert not await bench.idle()


async def test_what_only_a_person_can_mend_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = active_plan(world)
    teacher = teacher_of(world)
    async with working(world, [plan], [teacher], monkeypatch) as bench:
        assert bench.work.troubles() == []
        teacher.health.park("key refused (401)")
        assert await bench.idle()
        assert bench.work.troubles() == ["teacher a is parked: key refused (401)"]
        teacher.health.unpark()
        teacher.health.pause()
        assert await bench.idle()
        assert bench.work.troubles() == ["teacher a is paused"]
        teacher.health.pause(False)
        plan.state.pause()
        assert await bench.idle()
        assert bench.work.troubles() == ["task t is paused"]
        plan.state.pause(False)
        bench.budget.cap_plan(plan.id, 20_000)
        bench.budget.settle(plan.id, teacher.id, 0, 19_900, 101)
        assert await bench.idle()
        assert bench.work.troubles() == [
            "the plan's budget is used up: $0.0199 of $0.02 spent, $0.0000 reserved, $0.0001 unknown"
        ]
        teacher.queue.push(job(world, plan))
        assert not await bench.idle()  # paid for and ready: only a pause of the teacher's holds it up
        teacher.queue.pop()
        finish(plan)
        assert bench.work.troubles() == []


async def test_money_that_is_only_reserved_is_not_used_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = active_plan(world)
    teacher = teacher_of(world, usd_per_million_input=1.0, usd_per_million_output=1.0)
    async with working(world, [plan], [teacher], monkeypatch) as bench:
        bench.budget.total.cap = 20_000
        bench.budget.reserve(plan.id, teacher.id, 19_000)  # a request ends in this moment: nothing is busy
        bench.no_claim_fits(plan, teacher)
        bench.scheduler.note_money(plan)
        assert plan.id in bench.scheduler.budget_policy.short and not bench.scheduler.budget_policy.spent
        assert not await bench.idle()
        bench.budget.settle(plan.id, teacher.id, 19_000, 6_000)
        assert not await bench.idle(), "the scheduler is about to claim again"
        bench.no_claim_fits(plan, teacher)
        bench.budget.settle(plan.id, teacher.id, 0, 9_000, 4_000)
        assert await bench.idle()
        assert bench.work.troubles() == [
            "the budget ([daemon] budget_usd) is used up: $0.0150 of $0.02 spent, $0.0000 reserved, $0.0040 unknown"
        ]


@pytest.mark.parametrize("held_by", ["a paused teacher", "a paused task"])
async def test_money_reserved_for_what_waits_for_you_keeps_nobody_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch, held_by: str
) -> None:
    first, second = active_plan(world), active_plan(world, "second", teachers=("b",), temperature=0.1)
    prices = {"usd_per_million_input": 1.0, "usd_per_million_output": 1.0}
    teachers = [teacher_of(world, "a", **prices), teacher_of(world, "b", **prices)]
    async with working(world, [first, second], teachers, monkeypatch) as bench:
        bench.budget.total.cap = 20_000
        waiting = job(world, first)
        waiting.attempt = OpenAttempt(waiting.attempt.id, waiting.attempt.request_id, 19_000)
        bench.budget.reserve(first.id, teachers[0].id, 19_000)
        teachers[0].queue.push(waiting)
        if held_by == "a paused teacher":
            teachers[0].health.pause()
        else:
            first.state.pause()
            bench.scheduler.hold_or_return()
        bench.no_claim_fits(second, teachers[1])
        assert await bench.idle()
        reserved, paused = bench.work.troubles()
        assert reserved == (
            "the budget ([daemon] budget_usd) has no room beside what is kept for requests that wait:"
            " $0.0000 of $0.02 spent, $0.0190 reserved, $0.0000 unknown"
        )
        assert paused == ("teacher a is paused" if held_by == "a paused teacher" else "task t is paused")


async def test_a_claim_or_a_reload_under_way_is_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = active_plan(world)
    async with working(world, [plan], [teacher_of(world)], monkeypatch) as bench:
        finish(plan)
        async with bench.scheduler.claim_lock:  # the database takes its time
            assert not await bench.idle()
        assert await bench.idle()


async def test_a_started_sample_that_can_be_paid_again_is_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = active_plan(world)
    teacher = teacher_of(world, usd_per_million_input=1.0, usd_per_million_output=1.0)
    async with working(world, [plan], [teacher], monkeypatch) as bench:
        bench.budget.total.cap = 20_000
        bench.budget.settle(plan.id, teacher.id, 0, 19_900)
        plan.state.settled(exhausted=True)
        begun = job(world, plan)
        begun.attempt, begun.teacher = None, "a"
        bench.scheduler.hold_for_money(begun)
        assert await bench.idle()
        assert bench.work.troubles()[0].startswith("the budget ([daemon] budget_usd) is used up: $0.0199 of")
        bench.budget.total.cap = 50_000  # before the scheduler has looked
        assert not await bench.idle()


async def test_a_plan_whose_rest_waits_for_a_parked_teacher_keeps_nobody_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = active_plan(world, teachers=("a", "b"))
    teachers = [teacher_of(world, "a"), teacher_of(world, "b")]
    async with working(world, [plan], teachers, monkeypatch) as bench:
        begun, other = job(world, plan), job(world, plan)
        teachers[0].queue.push(begun)
        teachers[0].health.park("key refused")
        plan.state.settled(exhausted=True)
        teachers[1].queue.push(other)
        assert not await bench.idle()  # the other teacher has one to send
        teachers[1].queue.pop()
        plan.state.ended()
        assert await bench.idle()
        assert bench.work.troubles() == ["teacher a is parked: key refused"]


async def test_a_plan_is_told_complete_once_and_with_its_counts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, open_ = active_plan(world, "done"), active_plan(world, "open", rationales=1, temperature=0.1)
    finish(done)
    async with working(world, [done, open_], [teacher_of(world)], monkeypatch) as bench:
        async with anyio.create_task_group() as group:
            group.start_soon(bench.work.report_completions)
            await anyio.wait_all_tasks_blocked()
            found = world.claim(open_.id, 4)
            world.store(found, correct=False)
            open_.state.settled(exhausted=True)
            await until(lambda: bench.heard.of(PlanCompleted))
            group.cancel_scope.cancel()
    (event,) = bench.heard.of(PlanCompleted)
    assert (event.plan, event.accepted, event.rejected, event.failed) == ("open", 0, 4, 0)


async def test_a_plan_that_waits_for_a_verdict_in_another_plans_hand_keeps_nobody_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = active_plan(world, stop_after_correct=1)
    async with working(world, [plan], [teacher_of(world)], monkeypatch) as bench:
        assert not await bench.idle()
        plan.state.asked()
        plan.state.answered(exhausted=False, waiting=True, shared=False)
        assert await bench.idle()
        plan.state.verdict_came()  # the verdict came: it may be done, which the scheduler sees
        assert not await bench.idle()


async def test_a_plan_by_need_that_comes_after_another_waits_for_it_and_keeps_nobody_waiting(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = active_plan(world, "first", temperature=0.1)
    plan = active_plan(world, "second", teachers=("b",), stop_after_correct=1)
    plan.needs = first.id
    teachers = [teacher_of(world, "a"), teacher_of(world, "b")]
    async with working(world, [first, plan], teachers, monkeypatch) as bench:
        teachers[0].health.park("key refused")
        assert plan.state.unsettled
        assert await bench.idle()  # its own teacher could work, and the first plan's cannot
        finish(first)
        first.state.settled(exhausted=True)
        first.state.complete()
        assert not await bench.idle()


async def test_a_plan_with_a_fallback_goes_on_while_its_teacher_is_parked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = active_plan(world, fallbacks=("b",))
    teachers = [teacher_of(world, "a"), teacher_of(world, "b")]
    async with working(world, [plan], teachers, monkeypatch) as bench:
        teachers[0].health.park("key refused")
        assert not await bench.idle()
        teachers[1].health.park("no money")
        assert await bench.idle()
        assert bench.work.troubles() == [
            "teacher a is parked: key refused",
            "teacher b is parked: no money",
        ]


async def test_a_target_that_was_missed_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    missed, made = (
        active_plan(world, "missed", correct_per_task=9),
        active_plan(world, "made", temperature=0.1),
    )
    world.store(world.claim(missed.id, 8))
    for plan in (missed, made):
        plan.state.settled(exhausted=False)
    async with working(world, [missed, made], [], monkeypatch) as bench, anyio.create_task_group() as group:
        group.start_soon(bench.work.report_completions)
        await anyio.sleep(0.01)
        for plan in (missed, made):
            plan.state.settled(exhausted=True)
        await until(lambda: len(bench.heard.of(PlanCompleted)) == 2)
        group.cancel_scope.cancel()
    (event,) = bench.heard.of(TargetMissed)
    assert event.message().startswith("plan missed on t reached 8 of 9 correct rationales and may")
