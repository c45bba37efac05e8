from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from daemon.catalog.plan_fingerprint import panel_fingerprint, plan_fingerprint
from daemon.events import BudgetReached
from daemon.sampling.budget import BUDGET, Account, Budget
from daemon.sampling.budget_policy import BudgetPolicy
from daemon.sampling.cost_bounds import bounds, job_of
from daemon.sampling.jobs import Job
from daemon.sampling.panels import AHEAD, Panels, replay
from daemon.sampling.plan_state import PlanState
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher
from engine.config import PlanConfig
from engine.config.panels import members_of
from engine.teachers.messages import Completion, Usage
from state.catalog import PlanRow, reconcile, sync_plan
from state.claims import AttemptRequest, ClaimRequest, claim, open_attempts, open_samples
from state.commands import Retry
from state.enums import Outcome, SampleState
from state.given_up import retry
from state.orm import orm_session
from state.outcomes import AttemptResult, SampleEnd
from state.panels import by_slot, panel_samples
from tests.daemon.parts import Heard, context_of, teacher_config, teacher_of, until, writing
from tests.daemon.sampling.test_scheduler import Bench, claiming
from tests.state.world import World, check_counts, make

pytestmark = pytest.mark.anyio
NAMES = ("a", "b", "c")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=400)
    found.teacher("c")
    yield found
    found.connection.close()


def panel(world: World, *names: str, **settings: object) -> list[ActivePlan]:
    """The plans of a panel, synced."""
    names = names or NAMES
    written = {
        "name": "talk",
        "strategy": "brainstorm",
        "teachers": list(names),
        "max_tokens": 64,
        **settings,
    }
    plans = []
    for config in members_of(PlanConfig.model_validate(written), list(names)):
        models = [teacher_config(model=name) for name in config.panel]
        assert config.seat is not None
        row = PlanRow(
            name=config.name,
            task_id=world.tasks["t"],
            split="train",
            recipe=plan_fingerprint(config, models, "yes_no"),
            teachers=config.teachers,
            strategy=config.strategy,
            settings={**config.model_dump(mode="json"), "panel": list(config.panel)},
            rationales=config.most,
            weight=1.0,
            panel=panel_fingerprint(config, models, "yes_no"),
            member=config.seat.member,
        )
        with orm_session(world.path) as opened:
            plan, _ = sync_plan(opened, row, world.sizes["t", "train"])
            reconcile(opened, plan)
            assert plan.id is not None
            plans.append(
                ActivePlan(
                    id=plan.id,
                    config=config,
                    task="t",
                    task_id=world.tasks["t"],
                    answer_format="yes_no",
                    recipe=row.recipe,
                    teachers=tuple(config.teachers),
                    wanted=plan.wanted,
                    longest=20,
                    panel=row.panel,
                    member=row.member,
                    state=PlanState(),
                )
            )
    return plans


def written(world: World, operation: Callable[..., list[Any]], item: object) -> list[Any]:
    world.connection.execute("BEGIN IMMEDIATE")
    found = operation(world.connection, [item])
    world.connection.execute("COMMIT")
    return found


def said(text: str) -> Completion:
    return Completion(text=text, usage=Usage(prompt_tokens=1, completion_tokens=1))


class Table:
    """Members of a panel about one question, on disk, and what they do."""

    def __init__(self, world: World, plans: list[ActivePlan]) -> None:
        self.world, self.plans = world, plans
        self.jobs: list[Job] = []
        self.went_on: list[Job] = []
        self.panels: Panels

    def claim(self) -> None:
        for plan in self.plans:
            request = ClaimRequest(
                plan_id=plan.id,
                teacher_id=self.world.teachers[plan.teachers[0]],
                boot_id=self.world.boot,
                count=1,
                allowance=2**62,
                reserve=lambda text: 5,
            )
            [found] = written(self.world, claim, request)
            [sample] = found.samples
            plan.state.claimed(1)
            job = job_of(sample, plan)
            self.jobs.append(job)
            self.panels.begun(job)

    def say(self, member: int, text: str) -> None:
        """A member's answer to its next turn: on disk, then told."""
        job = self.jobs[member]
        self.record(
            member,
            Outcome.OK,
            f'{{"choices": [{{"message": {{"content": "{text}"}}, "finish_reason": "stop"}}]}}',
        )
        job.conversation.answer(said(text.replace("\\n", "\n")))
        self.panels.answered(job)

    def fail(self, member: int) -> None:
        self.record(member, Outcome.PERMANENT, None, SampleEnd(state=SampleState.FAILED, reason="no"))
        self.jobs[member].plan.state.ended()
        self.panels.ended(self.jobs[member])

    def record(self, member: int, outcome: Outcome, raw: str | None, end: SampleEnd | None = None) -> None:
        job = self.jobs[member]
        if job.attempt is None:
            request = AttemptRequest(
                sample_id=job.sample_id,
                plan_id=job.plan.id,
                turn=job.conversation.turn,
                teacher_id=self.world.teachers[job.plan.teachers[0]],
                boot_id=self.world.boot,
                reserved_micros=5,
            )
            [job.attempt] = written(self.world, open_attempts, request)
        self.world.record(
            AttemptResult(
                attempt_id=job.attempt.id,
                sample_id=job.sample_id,
                plan_id=job.plan.id,
                teacher_id=self.world.teachers[job.plan.teachers[0]],
                outcome=outcome,
                reserved_micros=job.attempt.reserved_micros,
                raw=None if raw is None else raw.encode(),
                end=end,
            )
        )
        job.attempt = None

    def again(self, panels: Panels) -> None:
        """What a further daemon takes up."""
        self.panels, self.jobs, self.went_on = panels, [], []
        found = []
        for plan in self.plans:
            plan.state = PlanState()
            for sample in open_samples(self.world.connection, plan.id, 0, 10):
                job = job_of(sample, plan)
                plan.state.claimed(1)
                rows = panel_samples(self.world.connection, plan.id, {(sample.question_id, sample.replicate)})
                told = replay(job, by_slot(rows)[sample.question_id, sample.replicate])
                self.panels.known(job, told)
                self.jobs.append(job)
                found.append(job)
        for job in found:
            if job.conversation.request is None:
                self.panels.wait(job)


async def at_table(world: World, test, **settings: object) -> None:
    async with writing(world) as writer:
        heard = Heard()
        table = Table(world, panel(world, **settings))
        context = context_of(world, writer, bus=heard.bus)
        table.panels = Panels(context, lambda job: table.went_on.append(job), table.plans)
        async with anyio.create_task_group() as group:
            await group.start(table.panels.serve)
            table.claim()
            await test(table, lambda: Panels(context, lambda job: table.went_on.append(job), table.plans))
            group.cancel_scope.cancel()
    check_counts(world)


async def test_a_member_goes_on_when_the_last_one_has_said_something(world: World) -> None:
    async def check(table: Table, _) -> None:
        table.say(0, "a\\nAnswer: yes")
        table.say(2, "c\\nAnswer: yes")
        assert not table.went_on
        assert [table.panels.waiting(plan) for plan in table.plans] == [1, 0, 1]
        assert table.panels.told(table.plans[0]) == "b (1)"
        table.say(1, "b\\nAnswer: no")
        assert set(table.went_on) == set(table.jobs) and not table.panels.waiting(table.plans[0])
        for member in (1, 0, 2):
            table.say(member, f"{member}\\nAnswer: no")
        await until(lambda: all(plan.open == 0 for plan in table.plans))
        assert world.rows("SELECT state, flags, verdict FROM sample") == [("stored", '["consensus"]', 0)] * 3
        assert world.row("SELECT count(*) FROM attempt") == (6,)
        assert not table.panels._questions

    await at_table(world, check)


async def test_who_is_given_up_holds_nobody_up_and_is_not_asked_again_meanwhile(world: World) -> None:
    async def check(table: Table, _) -> None:
        table.say(0, "a\\nAnswer: yes")
        table.say(2, "c\\nAnswer: no")
        table.fail(1)
        assert set(table.went_on) == {table.jobs[0], table.jobs[2]}
        [found] = written(world, retry, Retry())
        assert found.count == 0  # what the others have heard does not change
        table.fail(0)
        table.say(2, "c\\nAnswer: no")
        await until(lambda: table.plans[2].open == 0)
        assert world.row("SELECT flags FROM sample WHERE state = 'stored'") == ('["alone"]',)
        [found] = written(world, retry, Retry())
        assert found.count == 2
        for plan in table.plans[:2]:
            plan.state.claimed(1)

    await at_table(world, check)


@pytest.mark.parametrize("spoken", [0, 1, 2, 3, 4, 5])
async def test_a_restart_changes_no_word(world: World, spoken: int) -> None:
    """Killed after each of the answers, the members are asked the same and end the same."""
    lines = [
        (0, "yes"),
        (1, "no"),
        (2, "yes"),
        (2, "no"),
        (0, "yes"),
        (1, "yes"),
        (1, "no"),
        (0, "no"),
        (2, "no"),
    ]

    async def check(table: Table, anew) -> None:
        prompts = []
        for place, (member, answer) in enumerate(lines):
            if place == spoken + 1:
                table.again(anew())
            request = table.jobs[member].conversation.request
            assert request is not None
            prompts.append(request.messages[0].content)
            table.say(member, f"{member} says in {place}\\nAnswer: {answer}")
        assert [prompt.count("Solution") for prompt in prompts] == [0] * 3 + [3] * 6
        for prompt, (member, _) in zip(prompts[3:6], lines[3:6], strict=True):
            own, others = prompt.split("Others were asked")
            assert f"{member} says in {member}" in own
            assert [other for other in range(3) if f"{other} says in {other}" in others] == [
                each for each in range(3) if each != member
            ]
        with anyio.move_on_after(0.05):
            await anyio.sleep_forever()

    await at_table(world, check)
    assert world.row("SELECT count(*) FROM attempt WHERE outcome = 'ok'") == (9,)


async def taken(bench: Bench, teachers: list[Teacher], count: int) -> None:
    """Empties the queues of some teachers until nothing more comes; or `count` was claimed in all."""
    for _ in range(count):
        bench.scheduler.changed.notify()
        await anyio.sleep(0.002)
        for teacher in teachers:
            while teacher.queued:
                teacher.queue.pop()


async def test_no_member_is_far_ahead_of_a_slow_one(world: World) -> None:
    plans, teachers = panel(world), [teacher_of(world, name) for name in NAMES]
    async with claiming(world, plans, teachers) as bench:
        slow, fast = teachers[1], [teachers[0], teachers[2]]
        while not all(bench.scheduler.held_up(plan) for plan in (plans[0], plans[2])):
            await taken(bench, fast, 5)
        await taken(bench, fast, 5)
        claimed = [world.row("SELECT claimed FROM plan WHERE id = ?", plan.id)[0] for plan in plans]
        assert slow.queued == claimed[1] and claimed[0] == claimed[2] == claimed[1] + AHEAD
        assert bench.scheduler.held_up(plans[0]) == "others are far behind"
        assert len(bench.scheduler.panels._questions) == claimed[0]


async def test_nothing_begins_while_a_member_cannot_be_asked_but_what_has_begun_goes_on(world: World) -> None:
    plans, teachers = panel(world), [teacher_of(world, name) for name in NAMES]
    teachers[2].health.park("no money")
    async with claiming(world, plans, teachers) as bench:
        await taken(bench, teachers, 5)
        assert world.row("SELECT count(*) FROM sample") == (0,)
        teachers[2].health.unpark()
        jobs = await bench.take(teachers[0], 4)
        teachers[2].health.park("no money")
        await taken(bench, teachers[:2], 20)
        claimed = [world.row("SELECT claimed FROM plan WHERE id = ?", plan.id)[0] for plan in plans]
        assert len(jobs) <= claimed[0] == claimed[1]


def begun(world: World, count: int) -> bool:
    return world.row("SELECT count(*) FROM sample") == (count,)


def all_short(bench: Bench, plans: list[ActivePlan]) -> bool:
    for plan in plans:
        bench.scheduler.note_money(plan)
    return set(bench.scheduler.budget_policy.short) == {plan.id for plan in plans}


async def test_a_panel_begins_only_if_all_of_its_members_can_be_paid_to_the_end(world: World) -> None:
    plans = panel(world, rounds=3)
    priced = {"usd_per_million_output": 10.0, "usd_per_million_input": 1.0}
    teachers = [teacher_of(world, name, **priced) for name in NAMES]
    whole = sum(
        cost.most + cost.rest
        for plan, teacher in zip(plans, teachers, strict=True)
        if (cost := bounds(plan, teacher.tokens.price))
    )
    own = {plans[0].id: whole - 2}  # room for one member, and less of it than in the total
    for cap, caps, count in ((whole - 1, own, 0), (whole * 3 + 5, {}, 3)):
        async with claiming(world, plans, teachers, cap=cap, plan_caps=caps) as bench:
            await until(partial(begun, world, 3 * count))
            await until(partial(all_short, bench, plans))
            policy = bench.scheduler.budget_policy
            assert {each.words for each in policy.short.values()} == {BUDGET}
            assert bool(policy.spent) is (count == 0), "what is kept for those that have begun may come back"
            free = [policy.free(plan, teacher) for plan, teacher in zip(plans, teachers, strict=True)]
            with policy.steady():
                assert [
                    policy.free(plan, teacher) for plan, teacher in zip(plans, teachers, strict=True)
                ] == free
            plans[0].state.claimed(1)
            assert policy.free(plans[1], teachers[1]) < free[1], "a later look adds up anew"
            plans[0].state.ended()
            claimed = [world.row("SELECT claimed FROM plan WHERE id = ?", plan.id)[0] for plan in plans]
            assert claimed == [count] * 3


def test_what_two_panels_owe_does_not_keep_the_money_from_each_other(world: World) -> None:
    """After a budget is lowered below the cost of panels that have begun, whole panels go on while it lasts."""
    names = {name: teacher_of(world, name, usd_per_million_output=10.0) for name in NAMES}
    plans = [each for rounds in (2, 3) for each in panel(world, rounds=rounds)]
    owed = {each.id: 8 if each.member else 0 for each in plans}
    begun, waiting = [each for each in plans if not each.member], dict.fromkeys(owed, 0)
    for each in begun:
        each.state.claimed(8)
        waiting[each.id] = 8
    budget, heard = Budget(0), Heard()
    policy = BudgetPolicy(
        budget, names, plans, heard.bus, lambda plan: owed[plan.id], lambda plan: waiting[plan.id]
    )
    for name in NAMES:
        budget.add_teacher(names[name].id, None, name=name)
    for each in plans:
        budget.add_plan(each.id, None)
    first, second = plans[1:3]
    at = names[first.teachers[0]]
    cost = policy.bounds(first, at)
    kept = sum(8 * policy.bounds(each, names["a"]).rest for each in begun)
    budget.total.cap = kept + 5 * 2 * (cost.most + cost.rest) + 1  # of sixteen panels, five

    def noted() -> Account | None:
        policy.note(first, [at])
        return policy.spent.get(first.id)

    assert [policy.panels(each) for each in (first, second)] == [5, 5] and noted() is None
    assert policy.free(first, at) >= 5 * (cost.most + cost.rest)
    owed[first.id] -= 5
    budget.total.cap -= 5 * (cost.most + cost.rest)
    assert [policy.panels(each) for each in (first, second)] == [0, 5], "the second member follows the first"
    assert noted() is budget.total, "what is kept for those that wait for it does not come back"
    assert heard.of(BudgetReached)


def test_all_turns_are_priced_before_a_panel_begins(world: World) -> None:
    teacher = teacher_of(world, usd_per_million_output=10.0, usd_per_million_input=1.0)
    rests = [bounds(panel(world, rounds=rounds)[0], teacher.tokens.price).rest for rounds in (1, 2, 3, 5)]
    assert rests[0] == 0 and rests[1] > 0 and rests[2:] == [2 * rests[1], 4 * rests[1]]
