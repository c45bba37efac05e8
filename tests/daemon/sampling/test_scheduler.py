from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.events import BudgetReached, PlanFellBack, PlanReturned, SampleStored
from daemon.limits.key_limits import KeyLimits
from daemon.sampling.budget import Budget, Price
from daemon.sampling.cost_bounds import bounds, job_of, start
from daemon.sampling.held_jobs import HeldJobs
from daemon.sampling.jobs import Job
from daemon.sampling.plans import ActivePlan
from daemon.sampling.scheduler import Scheduler
from daemon.sampling.teacher import Teacher
from engine.config import PlanConfig
from engine.strategies import STRATEGIES
from engine.teachers.keys import TeacherKey
from engine.teachers.messages import Completion, Usage
from state.claims import ClaimedSample, ClaimRequest, WrittenSample, claim
from state.enums import Outcome
from state.outcomes import AttemptResult
from tests.daemon.parts import Heard, active_plan, context_of, teacher_of, until, writing
from tests.state.world import World, check_counts, make, question_rows, stored

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=200)
    yield found
    found.connection.close()


class Bench:
    """A scheduler at work; its teachers are emptied by the test."""

    def __init__(self, world: World, scheduler: Scheduler, budget: Budget, heard: Heard) -> None:
        self.world = world
        self.scheduler = scheduler
        self.budget = budget
        self.heard = heard

    async def take(self, teacher: Teacher, count: int) -> list[Job]:
        """The next jobs of a teacher, as they come."""
        jobs: list[Job] = []
        while len(jobs) < count:
            self.scheduler.changed.notify()
            await until(lambda: teacher.queued)
            while teacher.queued and len(jobs) < count:
                jobs.append(teacher.queue.pop())
        return jobs

    async def queued_or_short(self, teacher: Teacher, *plans: ActivePlan) -> None:
        """Waits until the teacher has jobs, or the budget covers no further one of these plans."""
        policy = self.scheduler.budget_policy

        def short(plan: ActivePlan) -> bool:
            return plan.id in policy.short and not policy.affords(plan, teacher)

        await until(lambda: teacher.queued or all(map(short, plans)))

    def end(self, job: Job, cost: int) -> None:
        """Settles a job's only attempt, as the attempt runner does; the job has ended."""
        assert job.attempt is not None
        job.plan.state.ended()
        teacher = self.scheduler.teacher_of(job)
        self.budget.settle(job.plan.id, teacher.id, job.attempt.reserved_micros, cost)

    def answer(self, job: Job, *, correct: bool) -> None:
        """Stores a job's only turn, as the attempt runner does."""
        assert job.attempt is not None
        choice, teacher = self.world.row(
            "SELECT choice, teacher_id FROM attempt WHERE id = ?", job.attempt.id
        )
        more: dict[str, Any] = {"leader": False, "raw": None} if choice else {}
        self.world.record(stored(sample_of(job), correct=correct, teacher_id=teacher, **more))
        job.plan.state.ended()
        self.heard.bus.emit(SampleStored(plan=job.plan.config.name, task=job.plan.task, correct=correct))


@asynccontextmanager
async def claiming(
    world: World,
    plans: list[ActivePlan],
    teachers: list[Teacher],
    *,
    cap: int | None = None,
    plan_caps: dict[int, int] | None = None,
) -> AsyncIterator[Bench]:
    heard, budget = Heard(), Budget(cap)
    for teacher in teachers:
        budget.add_teacher(teacher.id, None)
    for plan in plans:
        budget.add_plan(plan.id, (plan_caps or {}).get(plan.id))
    async with writing(world) as writer:
        context = context_of(world, writer, budget=budget, bus=heard.bus)
        scheduler = Scheduler(context, teachers=teachers, plans=plans)
        async with anyio.create_task_group() as group:
            await group.start(scheduler.serve)
            yield Bench(world, scheduler, budget, heard)
            scheduler.close()
            await scheduler.closed_for_good.wait()
    check_counts(world)


def sample_of(job: Job) -> ClaimedSample:
    """The claim that a job was made of."""
    return ClaimedSample(
        sample_id=job.sample_id,
        attempt=job.attempt,
        plan_id=job.plan.id,
        teacher_id=1,
        question_id=0,
        question=job.question,
        gold=job.gold,
        replicate=job.replicate,
    )


def shares(jobs: list[Job]) -> Counter[str]:
    return Counter(job.plan.config.name for job in jobs)


async def test_plans_get_work_by_their_weight(world: World) -> None:
    plans = [active_plan(world, "one", weight=1), active_plan(world, "three", weight=3, temperature=0.5)]
    teacher = teacher_of(world)
    async with claiming(world, plans, [teacher]) as bench:
        assert shares(await bench.take(teacher, 160)) == pytest.approx({"one": 40, "three": 120}, abs=8)


async def test_no_plan_starves_whatever_the_weights_of_the_others(world: World) -> None:
    weights = {"tiny": 0.1, "one": 1, "four": 4, "ten": 10}
    plans = [
        active_plan(world, name, weight=weight, rationales=20, temperature=0.1 * number)
        for number, (name, weight) in enumerate(weights.items())
    ]
    teacher = teacher_of(world)
    async with claiming(world, plans, [teacher]) as bench:
        given = shares(await bench.take(teacher, 302))
    assert given == pytest.approx({"tiny": 4, "one": 20, "four": 79, "ten": 199}, abs=12)
    assert given["tiny"] >= 1


async def test_a_teacher_that_runs_low_is_served_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.sampling.scheduler.LOOK_S", 60.0)
    teacher = teacher_of(world)
    async with claiming(world, [active_plan(world)], [teacher]):
        taken = 0
        with anyio.fail_after(10):
            while taken < 100:
                await until(lambda: teacher.queued)
                teacher.queue.pop()
                taken += 1


async def test_a_teacher_asks_for_as_much_as_is_taken_while_a_claim_is_written(world: World) -> None:
    teacher = teacher_of(world)
    teacher.transport.add_key(teacher, TeacherKey("", None), KeyLimits(0.0, concurrency=100))
    plan = active_plan(world)
    for _ in range(1000):
        teacher.queue.push(job_of(a_sample(plan), plan))
    assert teacher.transport.target_depth(teacher) == 50  # nothing is known: half a wave
    now = 0.0
    for _ in range(40):  # 200 a second, and a claim takes 50 ms: ten meanwhile
        now += 0.1
        for _ in range(20):
            teacher.queue.pop()
        teacher.queue.claimed(now, 0.05, teacher.cap)
    assert teacher.transport.target_depth(teacher) == pytest.approx(30, abs=1)
    for _ in range(40):
        now += 0.1
        teacher.queue.claimed(now, 0.05, teacher.cap)
    assert teacher.transport.target_depth(teacher) == 4
    teacher.queue.take_out(lambda job: True)
    for _ in range(40):  # what runs out is too little, up to two waves
        for _ in range(50):
            teacher.queue.push(job_of(a_sample(plan), plan))
            teacher.queue.pop()
        now += 0.05
        teacher.queue.claimed(now, 0.05, teacher.cap)
    assert teacher.transport.target_depth(teacher) == 200


def a_sample(plan: ActivePlan, question: str = "?") -> ClaimedSample:
    return ClaimedSample(
        sample_id=1,
        attempt=None,
        plan_id=plan.id,
        teacher_id=1,
        question_id=1,
        question=question,
        gold="",
        replicate=0,
    )


async def test_a_plan_that_was_paused_does_not_catch_up_at_the_cost_of_others(world: World) -> None:
    plans = [active_plan(world, "one"), active_plan(world, "two", temperature=0.5)]
    teacher = teacher_of(world)
    plans[0].state.pause()
    async with claiming(world, plans, [teacher]) as bench:
        assert set(shares(await bench.take(teacher, 100))) == {"two"}
        plans[0].state.pause(False)
        await bench.take(teacher, 4)  # claimed before
        assert shares(await bench.take(teacher, 80)) == pytest.approx({"one": 40, "two": 40}, abs=8)


async def test_a_plan_without_money_holds_no_other_up(world: World) -> None:
    plans = [active_plan(world, "poor"), active_plan(world, "rich", temperature=0.5)]
    teacher = teacher_of(world, usd_per_million_input=1.0, usd_per_million_output=1.0)
    async with claiming(world, plans, [teacher], plan_caps={plans[0].id: 3500}) as bench:
        with anyio.fail_after(10):  # a second of waiting a round is too long by far
            jobs = await bench.take(teacher, 120)
        poor = [job for job in jobs if job.plan is plans[0]]
        assert 1 <= len(poor) <= 3
        (short,) = bench.scheduler.budget_policy.short.items()
        assert (short[0], short[1].words) == (plans[0].id, "the plan's budget")
        assert bench.heard.of(BudgetReached) == [], "what is only reserved may come back"
        assert bench.scheduler.budget_policy.spent == {}
        for job in poor:
            assert job.attempt is not None
            bench.end(job, job.attempt.reserved_micros)
        left = int(bench.budget.room(plans[0].id, teacher.id))
        bench.budget.settle(plans[0].id, teacher.id, 0, left - 100)  # their further turns
        await until(lambda: bench.heard.of(BudgetReached))
        assert [event.which for event in bench.heard.of(BudgetReached)] == ["the plan's budget"]
        assert bench.scheduler.budget_policy.spent == bench.scheduler.budget_policy.short


async def test_money_that_comes_back_while_a_claim_is_written_is_claimed(world: World) -> None:
    plan = active_plan(world, strategy="zero-shot-cot-chat")
    teacher = teacher_of(world, usd_per_million_input=1.0, usd_per_million_output=1.0)
    plan.state.pause()
    async with claiming(world, [plan], [teacher], cap=20_000) as bench:
        bench.budget.reserve(plan.id, teacher.id, 19_900)  # a request in flight: little is left
        do, found = bench.scheduler._writer.do, []

        async def slow(batch: Any, item: Any) -> Any:
            got = await do(batch, item)
            if batch is claim and not found:
                found.append(got)
                bench.budget.settle(plan.id, teacher.id, 19_900, 10)  # it ends before the claim is back
            return got

        bench.scheduler._writer.do = slow  # type: ignore[method-assign]
        plan.state.pause(False)
        bench.scheduler.changed.notify()
        await until(lambda: teacher.queued >= 4)
        assert found[0].short_of_money and not found[0].samples
        assert bench.scheduler.budget_policy.short == {}


WORDS = {"usd_per_million_input": 0.001, "usd_per_million_output": 1.0}
"""Prices by which a request of 256 tokens may cost 257 micro-dollars."""


async def test_a_person_is_told_once_that_a_cap_is_used_up_and_again_when_it_was_raised(world: World) -> None:
    plan = active_plan(world)
    teacher = teacher_of(world, **WORDS)
    async with claiming(world, [plan], [teacher], cap=700) as bench:

        async def spend() -> int:
            """Short of money again and again, since what was reserved comes back, until all is spent."""
            times = 0
            while True:
                bench.scheduler.changed.notify()
                await until(lambda: teacher.queued or plan.id in bench.scheduler.budget_policy.spent)
                if not teacher.queued:
                    return times
                times += bool(bench.scheduler.budget_policy.short)
                for job in [teacher.queue.pop() for _ in range(teacher.queued)]:
                    bench.end(job, 30)

        assert await spend() > 3
        (told,) = bench.heard.of(BudgetReached)
        assert told.which == "the budget ([daemon] budget_usd)"
        assert bench.budget.total.reserved == 0
        bench.budget.total.cap = 1200
        bench.scheduler.look_again()
        await until(lambda: teacher.queued)
        await spend()
        assert len(bench.heard.of(BudgetReached)) == 2


async def test_no_fallback_is_paid_while_a_teachers_budget_is_only_reserved(world: World) -> None:
    plan = active_plan(world, teachers=("a",), fallbacks=("b",), strategy="zero-shot-cot-chat")
    teachers = [teacher_of(world, "a", **WORDS), teacher_of(world, "b", **WORDS)]
    async with claiming(world, [plan], teachers) as bench:
        first = await bench.take(teachers[0], 4)
        bench.budget.cap_teacher(teachers[0].id, 700)
        for job in first:
            bench.end(job, 30)
        bench.scheduler.changed.notify()
        await until(lambda: plan.id in bench.scheduler.budget_policy.short or teachers[1].queued)
        assert teachers[1].queued == 0, "the fallback is paid although a teacher's money is all there"
        while teachers[1].queued == 0:
            with anyio.fail_after(10):
                await until(lambda: teachers[0].queued or teachers[1].queued)
            for job in [teachers[0].queue.pop() for _ in range(teachers[0].queued)]:
                bench.end(job, 30)
            bench.scheduler.changed.notify()
        account = bench.budget._teachers[teachers[0].id]
        assert 700 - (account.used - account.reserved) < 260, "money of the teacher was left over"


async def test_the_cap_is_never_passed_and_used_up(world: World) -> None:
    plan = active_plan(world, strategy="zero-shot-cot-chat")
    teacher = teacher_of(world, usd_per_million_input=1.0, usd_per_million_output=1.0)
    async with claiming(world, [plan], [teacher], cap=5000) as bench:
        jobs = await bench.take(teacher, 4)
        while True:
            assert bench.budget.total.used <= 5000
            for job in jobs:
                bench.end(job, 200)
            bench.scheduler.changed.notify()
            await bench.queued_or_short(teacher, plan)
            if not teacher.queued:
                break
            jobs = [teacher.queue.pop() for _ in range(teacher.queued)]
        assert 5000 - bench.budget.total.used < 500, "money for a further request was left over"
        assert plan.id in bench.scheduler.budget_policy.short
    reserved = world.row("SELECT sum(reserved_micros) FROM attempt")[0]
    assert reserved == world.row("SELECT sum(reserved_micros) FROM teacher")[0]


async def test_a_begun_job_waits_for_money_and_comes_back(world: World) -> None:
    plan = active_plan(world)
    teacher = teacher_of(world, usd_per_million_input=1.0, usd_per_million_output=1.0)
    async with claiming(world, [plan], [teacher], cap=5000) as bench:
        (job, other) = await bench.take(teacher, 2)
        bench.budget.reserve(plan.id, teacher.id, int(bench.budget.room(plan.id, teacher.id)))
        bench.scheduler.hold_for_money(job)
        assert bench.scheduler.held_back() == [job]
        assert bench.scheduler.budget_policy.short
        plan.state.settled(exhausted=True)  # no claim will say that there is money again
        bench.end(other, 0)
        bench.scheduler.changed.notify()
        await until(lambda: not bench.scheduler.held_back())
        assert teacher.queue.take_out(lambda each: each is job) == [job]
        assert bench.scheduler.budget_policy.short == {}


async def test_a_plan_stays_short_while_one_of_its_begun_jobs_waits(world: World) -> None:
    plan = active_plan(world)
    teacher = teacher_of(world, usd_per_million_input=1.0, usd_per_million_output=1.0)
    async with claiming(world, [plan], [teacher], cap=5000) as bench:
        (first, second) = await bench.take(teacher, 2)
        plan.state.settled(exhausted=True)
        second.conversation.answer(
            Completion(text="So.", usage=Usage(prompt_tokens=9, completion_tokens=1))
        )  # its last turn is cheaper than a first one
        cheap, dear = second.bound(teacher.tokens.price), first.bound(teacher.tokens.price)
        bench.budget.reserve(plan.id, teacher.id, int(bench.budget.room(plan.id, teacher.id)))
        bench.scheduler.hold_for_money(first)
        bench.scheduler.hold_for_money(second)
        bench.budget.settle(plan.id, teacher.id, (cheap + dear) // 2, 0)
        bench.scheduler.changed.notify()
        await until(lambda: second not in bench.scheduler.held_back())
        assert bench.scheduler.held_back() == [first]
        assert plan.id in bench.scheduler.budget_policy.short, (
            "the daemon would wait for ever and not say for what"
        )


async def test_a_teacher_claims_no_more_than_it_sends_soon(world: World) -> None:
    plan = active_plan(world)
    teacher = teacher_of(world)
    async with claiming(world, [plan], [teacher]):
        await until(lambda: teacher.queued >= 4)
        await anyio.sleep(0.02)
        assert teacher.queued == 4


async def test_a_plan_ends_at_its_last_slot(world: World) -> None:
    world.task("small", [])
    plans = [active_plan(world, "p", rationales=1), active_plan(world, "q", task="small")]
    teacher = teacher_of(world)
    async with claiming(world, plans, [teacher]) as bench:
        assert len(await bench.take(teacher, 200)) == 200
        await until(lambda: plans[0].exhausted)
        assert (plans[0].open, plans[0].done, teacher.queued) == (200, False, 0)
        assert plans[1].done


async def test_parked_and_foreign_teachers_get_nothing(world: World) -> None:
    plan = active_plan(world)
    mine, foreign = teacher_of(world, "a"), teacher_of(world, "b")
    mine.health.park("key refused")
    async with claiming(world, [plan], [mine, foreign]) as bench:
        bench.scheduler.changed.notify()
        await anyio.sleep(0.02)
        assert (mine.queued, foreign.queued) == (0, 0)
        mine.health.unpark()
        await bench.take(mine, 4)
        assert foreign.queued == 0


async def test_a_pause_takes_jobs_out_of_the_queues_and_its_end_brings_them_back(world: World) -> None:
    plan = active_plan(world)
    teacher = teacher_of(world)
    async with claiming(world, [plan], [teacher]) as bench:
        await until(lambda: teacher.queued == 4)
        waiting = teacher.queue.pop()  # for its next try
        plan.state.pause()
        bench.scheduler.hold_or_return()
        bench.scheduler.deliver(waiting)
        assert (teacher.queued, len(bench.scheduler.held_back())) == (0, 4)
        plan.state.pause(False)
        bench.scheduler.hold_or_return()
        assert bench.scheduler.held_back() == []
        assert teacher.queued >= 4


async def test_a_parked_teachers_fresh_jobs_go_to_another_one(world: World) -> None:
    shared = active_plan(world, "shared", teachers=("a", "b"))
    own = active_plan(world, "own", temperature=0.5)
    teachers = [teacher_of(world, "a"), teacher_of(world, "b")]
    async with claiming(world, [shared, own], teachers) as bench:
        await until(lambda: teachers[0].queued == 4 and teachers[1].queued == 4)
        bench.scheduler.close()
        await bench.scheduler.closed_for_good.wait()
        begun = Job(
            sample_id=0,
            plan=shared,
            question="",
            gold="",
            replicate=0,
            teacher="a",
            conversation=start(shared, "q?", "yes"),
        )
        begun.conversation.turn = 1
        teachers[0].queue.push(begun)
        teachers[0].health.park("key refused")
        moved = bench.scheduler.hand_over(teachers[0])
        assert all(job.plan is shared and other is teachers[1] for job, other in moved)
        left = teachers[0].queue.take_out(lambda job: True)
        assert begun in left
        assert all(job.plan is own or job is begun for job in left)


@given(
    question=st.text(max_size=400),
    said=st.text(max_size=2048),
    strategy=st.sampled_from(
        sorted(name for name, each in STRATEGIES.items() if not each.panel and not each.scores)
    ),
    form=st.sampled_from(["yes_no", "number", "choice", "text", "date", "math"]),
)
def test_the_bounds_by_the_longest_question_bound_every_question_and_turn(
    question, said, strategy, form
) -> None:
    panel, scores = STRATEGIES[strategy].panel, STRATEGIES[strategy].scores
    before = {} if panel else {"scores": "before"} if scores else {"needs": "before"}
    config = PlanConfig.model_validate({"name": "p", "strategy": strategy, **before})
    config = config.member("p", "a", ("a", "b", "c")) if panel else config
    written = WrittenSample(said, question, "stop", ()) if scores else None
    text = f"{question}{said} --> {question}" if scores else question
    plan = ActivePlan(
        id=1,
        config=config,
        task="t",
        task_id=1,
        answer_format=form,
        recipe="",
        teachers=("a",),
        wanted=1,
        longest=len(text.encode()),
    )
    price = Price(input=3.0, output=15.0, cached=0.3)
    cost, job = bounds(plan, price), job_of(replace(a_sample(plan, question), written=written), plan)
    assert job.bound(price) <= cost.first(text) <= cost.most
    spoken = said.encode()[: config.max_tokens * 8].decode(errors="ignore")
    job.conversation.answer(Completion(text=spoken, usage=Usage(prompt_tokens=9, completion_tokens=256)))
    spent = 0
    usage = Usage(prompt_tokens=9, completion_tokens=256)
    while job.conversation.finished is None:
        if (turn := job.conversation.hears) is not None:
            texts = (spoken, said, f"{said} {turn}\nAnswer: (A) yes 1/1/2001 {turn}")
            job.conversation.hear(
                tuple((member, Completion(text=text, usage=usage)) for member, text in enumerate(texts))
            )
            continue
        assert 0 < job.bound(price)
        spent += job.bound(price)
        assert spent <= cost.rest
        last = spoken if panel else "4"
        job.conversation.answer(Completion(text=last, usage=usage))


@pytest.mark.parametrize("cap", [2500, 3000, 5000, 9000])
async def test_every_begun_sample_can_pay_its_further_turns(world: World, cap: int) -> None:
    plan = active_plan(world, strategy="zero-shot-cot")
    other = active_plan(world, "one-turn", strategy="zero-shot-cot-chat")
    teacher = teacher_of(world, usd_per_million_input=1.0, usd_per_million_output=1.0)
    async with claiming(world, [plan, other], [teacher], cap=cap) as bench:
        second: list[Job] = []
        while True:
            bench.scheduler.changed.notify()
            await bench.queued_or_short(teacher, plan, other)
            if not teacher.queued:
                break
            for job in [teacher.queue.pop() for _ in range(teacher.queued)]:
                assert job.attempt is not None
                whole = job.attempt.reserved_micros
                bench.budget.settle(
                    job.plan.id, teacher.id, whole, whole
                )  # the first turn was as dear as can be
                if job.plan is plan:
                    said = "so " * (plan.config.max_tokens * 8 // 3)
                    job.conversation.answer(
                        Completion(text=said, usage=Usage(prompt_tokens=9, completion_tokens=256))
                    )
                    second.append(job)
                else:
                    other.state.ended()
        assert second, "no sample of two turns was begun"
        for job in second:
            assert bench.budget.reserve(plan.id, teacher.id, job.bound(teacher.tokens.price)), (
                "half a sample was paid for"
            )
            plan.state.ended()
    assert bench.budget.total.used <= cap


async def test_fresh_jobs_that_come_back_to_a_parked_teacher_go_to_another(world: World) -> None:
    plan = active_plan(world, teachers=("a", "b"))
    teachers = [teacher_of(world, "a"), teacher_of(world, "b")]
    async with claiming(world, [plan], teachers) as bench:
        jobs = await bench.take(teachers[0], 3)
        teachers[0].health.park("key refused")
        for job in jobs:
            job.attempt = None  # it was sent, and the key refused
        begun, *fresh = jobs
        begun.conversation.turn = 1
        for job in jobs:
            bench.scheduler.deliver(job)
        bench.scheduler.changed.notify()
        await until(lambda: all(job.teacher == "b" for job in fresh))
        assert begun.teacher == "a"
        assert teachers[0].queue.take_out(lambda job: job in jobs) == [begun]


async def test_a_plan_that_waits_for_verdicts_goes_on_with_the_next_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.sampling.scheduler.LOOK_S", 60.0)
    world.task("t", question_rows(3))
    plan = active_plan(world, rationales=4, stop_after_correct=1)
    teacher = teacher_of(world)
    async with claiming(world, [plan], [teacher]) as bench:
        jobs = await bench.take(teacher, 3)
        await until(lambda: plan.state.waiting)
        assert teacher.queued == 0
        for job, correct in zip(jobs, (False, True, True), strict=True):
            bench.answer(job, correct=correct)
        (again,) = await bench.take(teacher, 1)
        assert (again.question, again.replicate) == (jobs[0].question, 1)
        assert not plan.exhausted
        bench.answer(again, correct=True)
        await until(lambda: plan.done)


async def test_a_question_that_needs_more_gets_as_many_at_once_as_it_lacks(world: World) -> None:
    world.task("t", question_rows(2))
    plan = active_plan(world, rationales=8, stop_after_correct=2, per_request=4)
    teacher = teacher_of(world)
    async with claiming(world, [plan], [teacher]) as bench:
        jobs = await bench.take(teacher, 2)
        assert [[each.replicate for each in job.members] for job in jobs] == [[0, 1], [0, 1]]
        for job, correct in zip(jobs, ((False, False), (True, False)), strict=True):
            for member, verdict in zip(job.apart(), correct, strict=True):
                bench.answer(member, correct=verdict)
        again = await bench.take(teacher, 2)
        found = [[each.replicate for each in job.members] for job in again]
        assert sorted(found) in ([[2], [2, 3]], [[2], [2], [3]])  # both verdicts may have been seen or one
        assert len(again[0].members) + len(again[1].members) == 3
        for job in again:
            for member in job.apart():
                bench.answer(member, correct=True)
        await until(lambda: plan.done)


async def test_a_plan_that_comes_after_another_waits_and_asks_what_that_failed(world: World) -> None:
    world.task("t", question_rows(3))
    first = active_plan(world, "first", temperature=0.1, rationales=1, teachers=("a",))
    plan = active_plan(
        world,
        "second",
        unless=first.recipe,
        rationales=4,
        stop_after_correct=1,
        teachers=("a",),
        fallbacks=("b",),
    )
    plan.needs = first.id
    teachers = [teacher_of(world, "a"), teacher_of(world, "b")]
    async with claiming(world, [first, plan], teachers) as bench:
        jobs = await bench.take(teachers[0], 3)
        assert {job.plan for job in jobs} == {first} and bench.scheduler.nothing_to_claim(teachers[0])
        teachers[0].health.park("key refused")
        bench.scheduler.changed.notify()
        await until(lambda: bench.scheduler.nothing_to_claim(teachers[0]))
        assert teachers[1].queued == 0  # the fallback does not begin before the first plan is done
        for job, correct in zip(jobs, (True, False, True), strict=True):
            bench.answer(job, correct=correct)
        first.state.settled(exhausted=True)
        (job,) = await bench.take(teachers[1], 1)
        assert (job.plan, job.question) == (plan, jobs[1].question)
        bench.answer(job, correct=True)
        await until(lambda: plan.done)
    assert world.row("SELECT claimed, wanted FROM plan WHERE id = ?", plan.id) == (1, 1)


async def test_a_plan_is_done_once_what_another_plan_claimed_for_both_is_in(world: World) -> None:
    world.task("t", question_rows(3))
    many = active_plan(world, "many", rationales=2)
    few = active_plan(world, "few", rationales=1)
    later = active_plan(world, "later", temperature=0.1, rationales=1, unless=few.recipe, teachers=("b",))
    later.needs = few.id
    assert few.recipe == many.recipe
    few.state.pause()
    later.state.pause()
    teachers = [teacher_of(world, "a"), teacher_of(world, "b")]
    async with claiming(world, [many, few, later], teachers) as bench:
        jobs = await bench.take(teachers[0], 6)
        few.state.pause(False)
        later.state.pause(False)
        bench.scheduler.look_again()
        await until(lambda: few.exhausted)
        assert (few.open, few.done, bench.scheduler.waits(later)) == (0, False, True)
        firsts = [job for job in jobs if job.replicate == 0]
        for job in firsts:
            assert not few.done
            bench.answer(job, correct=job is not firsts[1])
        await until(lambda: few.done)
        assert many.open == 3, "of the second rationales it asks for none"
        (asked,) = await bench.take(
            teachers[1], 1
        )  # what was in hand when it first looked is known to be right now
        assert (asked.plan, asked.question) == (later, firsts[1].question)
        assert bench.scheduler.nothing_to_claim(teachers[1]) or teachers[1].queued == 0


async def test_a_plan_is_done_though_no_teacher_can_be_asked_any_more(world: World) -> None:
    world.task("t", question_rows(2))
    plan = active_plan(world, rationales=4, stop_after_correct=1)
    teacher = teacher_of(world)
    async with claiming(world, [plan], [teacher]) as bench:
        jobs = await bench.take(teacher, 2)
        teacher.health.park("out of credit")
        for job in jobs:
            bench.answer(job, correct=True)
        await until(lambda: plan.done)
        assert bench.scheduler.budget_policy.short == {}


async def test_a_fallback_works_only_while_every_teacher_is_out(world: World) -> None:
    plan = active_plan(world, teachers=("a",), fallbacks=("b",))
    teachers = [teacher_of(world, "a"), teacher_of(world, "b")]
    async with claiming(world, [plan], teachers) as bench:
        await bench.take(teachers[0], 8)
        assert teachers[1].queued == 0
        teachers[0].health.pause()  # by a person, who wants its work to wait
        bench.scheduler.changed.notify()
        await anyio.sleep(0.02)
        assert teachers[1].queued == 0
        teachers[0].health.pause(False)
        teachers[0].health.park("key refused")
        await bench.take(teachers[1], 8)
        assert [event.message() for event in bench.heard.of(PlanFellBack)] == [
            "plan p falls back to b: a is parked"
        ]
        teachers[0].health.unpark()
        await bench.take(teachers[0], 8)
        left = teachers[1].queued
        assert left <= 4  # claimed before
        assert [event.message() for event in bench.heard.of(PlanReturned)] == ["plan p is back on a"]
        assert len(bench.heard.of(PlanFellBack)) == 1


async def test_fallbacks_take_over_in_their_order(world: World) -> None:
    world.teacher("c")
    plan = active_plan(world, teachers=("a",), fallbacks=("c", "b"))
    teachers = [teacher_of(world, name) for name in "abc"]
    teachers[0].health.park("key refused")
    async with claiming(world, [plan], teachers) as bench:
        await bench.take(teachers[2], 4)
        teachers[2].health.park("no money")
        moved = bench.scheduler.hand_over(teachers[2])
        assert all(other is teachers[1] for _, other in moved)
        await bench.take(teachers[1], 4)
        assert [event.teacher for event in bench.heard.of(PlanFellBack)] == ["c", "b"]


async def test_a_begun_job_of_a_parked_teacher_waits_though_there_is_a_fallback(world: World) -> None:
    plan = active_plan(world, teachers=("a",), fallbacks=("b",))
    teachers = [teacher_of(world, "a"), teacher_of(world, "b")]
    async with claiming(world, [plan], teachers) as bench:
        begun, fresh = await bench.take(teachers[0], 2)
        teachers[0].health.park("key refused")
        for job in (begun, fresh):
            job.attempt = None
        begun.conversation.turn = 1
        for job in (begun, fresh):
            bench.scheduler.deliver(job)
        bench.scheduler.changed.notify()
        await until(lambda: fresh.teacher == "b")
        assert begun.teacher == "a"


async def test_a_fresh_job_that_its_teachers_budget_does_not_reach_goes_to_a_fallback(world: World) -> None:
    plan = active_plan(world, teachers=("a",), fallbacks=("b",))
    prices = {"usd_per_million_input": 1.0, "usd_per_million_output": 1.0}
    teachers = [teacher_of(world, "a", **prices), teacher_of(world, "b", **prices)]
    async with claiming(world, [plan], teachers) as bench:
        (job,) = await bench.take(teachers[0], 1)
        job.attempt = None
        bench.budget.cap_teacher(teachers[0].id, 1)
        bench.scheduler.hold_for_money(job)
        bench.scheduler.changed.notify()
        await until(lambda: job.teacher == "b")
        assert bench.scheduler.held_back() == []


async def test_a_sample_takes_what_it_cost_along_to_the_plan_that_takes_it_over(world: World) -> None:
    former, now = active_plan(world, "former"), active_plan(world, "now")
    teacher, budget = teacher_of(world), Budget(None)
    for plan in (former, now):
        budget.add_plan(plan.id, None)
    budget.add_teacher(teacher.id, None)
    async with writing(world) as writer:
        claimed = await writer.do(claim, request_for(world, former))
        [sample] = claimed.samples
        assert sample.attempt is not None
        budget.reserve(former.id, teacher.id, 5)
        world.record(
            AttemptResult(
                attempt_id=sample.attempt.id,
                sample_id=sample.sample_id,
                plan_id=former.id,
                teacher_id=teacher.id,
                outcome=Outcome.UNKNOWN,
                reserved_micros=5,
                unknown_micros=5,
            )
        )
        budget.settle(former.id, teacher.id, 5, 0, 5)
        job = job_of(replace(sample, attempt=None), former)
        former.state.claimed(1)
        former.state.disable()
        held = HeldJobs(writer, budget)
        held.add([job])
        assert await held.adopt([now]) == [job] and job.plan is now
    told = world.rows("SELECT spent_micros, reserved_micros, unknown_micros FROM plan ORDER BY id")
    accounts = [budget._plans[plan.id] for plan in (former, now)]
    assert [(each.spent, each.reserved, each.unknown) for each in accounts] == told == [(0, 0, 0), (0, 0, 5)]
    check_counts(world)


def request_for(world: World, plan: ActivePlan) -> ClaimRequest:
    return ClaimRequest(
        plan_id=plan.id, teacher_id=1, boot_id=world.boot, count=1, allowance=2**62, reserve=lambda text: 5
    )
