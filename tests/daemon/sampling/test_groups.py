"""Several rationales a request, through the attempt runner: what comes, what does not, and what it costs each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.events import AskedOneByOne, SampleFailed, SampleStored
from daemon.sampling.cost_bounds import job_of
from daemon.sampling.health import GROUPS_IN_VAIN, PERMANENT_PARKS
from daemon.sampling.jobs import Job, groups_of, together
from daemon.sampling.recovery import open_jobs
from engine.teachers.client import Answer
from engine.teachers.dialects import dialect
from engine.teachers.messages import Completion, Usage
from tests.daemon.parts import active_plan
from tests.daemon.sampling.test_attempt_runner import Bench, carrying, failure
from tests.state.world import World, make, stored

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=30)
    yield found
    found.connection.close()


def group(bench: Bench, size: int = 3, *, cost: int = 1000, further: int = 100) -> Job:
    """A claimed group, its money reserved as the scheduler does it."""
    if bench.plan.config.per_request != size:
        bench.plan = active_plan(
            bench.world, f"g{size}", rationales=12, per_request=size, temperature=size / 8
        )
        bench.budget.add_plan(bench.plan.id, None)
    plan = bench.plan
    found = bench.world.claim(plan.id, size, cost=cost, further=further).samples
    plan.state.claimed(len(found))
    bench.budget.reserve(plan.id, bench.teacher.id, cost + further * (size - 1))
    job = together([job_of(sample, plan) for sample in found])
    for member in job.members:
        member.teacher = bench.teacher.name
    return job


def brought(*texts: str, prompt: int = 100, completion: int = 50, raw: bytes = b"body") -> Answer:
    """An answer with these choices, its usage split as a dialect splits it."""
    payload = {
        "choices": [
            {"index": i, "message": {"content": text}, "finish_reason": "stop"}
            for i, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion},
    }
    from tests.engine.teachers.conftest import ASK

    return Answer(
        raw=raw,
        completions=dialect("openai-chat").parse(payload, ASK),
        status=200,
        headers=None,
        latency_s=0.1,
        provider_id="id",
    )


def taken(bench: Bench) -> list[Job]:
    """The jobs that wait at the teacher, taken out."""
    return bench.teacher.queue.take_out(lambda job: True)


async def test_one_prompt_brings_several_rationales_and_each_goes_on_by_itself(world: World) -> None:
    async with carrying(world) as bench:
        job = group(bench)
        assert job.request.n == 3
        await bench.run(job, brought("Heads first.", "Tails first, and then heads again.", "So."))
        assert bench.line.open_at_send == [3]
        follow = taken(bench)
        assert [each.sample_id for each in follow] == [1, 2, 3]
        assert [each.request.n for each in follow] == [1, 1, 1]
        assert "Tails first" in follow[1].request.messages[0].content
        for each in follow:
            await bench.run(each, brought("yes", prompt=10, completion=1))
        assert bench.plan.open == 0
        assert len(bench.heard.of(SampleStored)) == 3
    assert world.row("SELECT requests, answered FROM teacher WHERE name = 'a'") == (4, 4)
    assert world.row("SELECT count(*) FROM completion") == (4,)
    # 100 prompt tokens at 1 and 50 completion tokens at 2 micro-dollars, once
    rows = world.rows("SELECT prompt_tokens, completion_tokens, cost_micros FROM attempt WHERE turn = 0")
    assert [sum(column) for column in zip(*rows, strict=True)] == [100, 50, 200]
    assert [prompt for prompt, _, _ in rows] == [34, 33, 33]
    assert rows[1][1] > rows[0][1] > rows[2][1] > 0, "a longer rationale has more of the tokens"


async def test_what_did_not_come_is_asked_for_again_and_loses_nothing(world: World) -> None:
    async with carrying(world, max_attempts=1) as bench:
        await bench.run(group(bench, 4), brought("One.", "Two."))
        again, *follow = taken(bench)[::-1]
        assert [member.sample_id for member in again.members] == [3, 4]
        assert again.request.n == 2 and again.attempt is None
        assert [(m.attempts, m.unknowns) for m in again.members] == [(0, 0), (0, 0)]
        assert [each.sample_id for each in follow] == [2, 1]
        await bench.run(again, brought("Three.", "Four."))
    assert world.rows("SELECT outcome, cost_micros > 0, reason FROM attempt WHERE turn = 0 ORDER BY id") == [
        *(("ok", 1, None), ("ok", 1, None)),
        *[("released", 0, "the answer had 2 of 4 choices")] * 2,
        *(("ok", 1, None), ("ok", 1, None)),
    ]
    requests = world.rows("SELECT request_id, count(*), sum(choice) FROM attempt GROUP BY 1 ORDER BY min(id)")
    assert [row[1:] for row in requests] == [(4, 6), (2, 1)]


async def test_choices_beyond_those_asked_for_are_paid_for_with_the_first(world: World) -> None:
    async with carrying(world) as bench:
        await bench.run(group(bench, 2), brought("a b c d e f", "b", "c", prompt=30, completion=31))
        await bench.run(taken(bench)[0], brought("x", "y", prompt=10, completion=10))
    assert world.row("SELECT sum(prompt_tokens), sum(completion_tokens), sum(cost_micros) FROM attempt") == (
        *(40, 41, 40 + 2 * 41),
    )


async def test_a_teacher_that_gives_one_is_asked_one_by_one_after_a_while(world: World) -> None:
    async with carrying(world) as bench:
        for number in range(GROUPS_IN_VAIN):
            assert not bench.teacher.groups.one_by_one
            await bench.run(group(bench), brought("One.", raw=b"%d" % number))
        (event,) = bench.heard.of(AskedOneByOne)
        assert "the answer had 1 of 3 choices" in event.message()
        assert bench.teacher.groups.one_by_one
        last = [job for job in taken(bench) if job.sample_id in (8, 9)]
        assert [len(job.members) for job in last] == [1, 1], "what was missing is asked for one by one"
    assert world.row("SELECT count(*) FROM sample WHERE state = 'failed'") == (0,)


async def test_a_group_that_brings_some_starts_the_count_anew(world: World) -> None:
    async with carrying(world) as bench:
        for texts in (("a",), ("a",), ("a", "b"), ("a",), ("a",)):
            await bench.run(group(bench), brought(*texts))
        assert not bench.teacher.groups.one_by_one


async def test_a_refused_group_is_asked_for_one_by_one_before_anyone_fails(world: World) -> None:
    async with carrying(world) as bench:
        await bench.run(group(bench), failure("permanent", status=400))
        singles = taken(bench)
        assert [(each.sample_id, each.request.n) for each in singles] == [(1, 1), (2, 1), (3, 1)]
        assert bench.heard.of(SampleFailed) == []
        await bench.run(singles[0], failure("permanent", status=400, blame="request"))
        assert len(bench.heard.of(SampleFailed)) == 1
        assert len(bench.teacher.health.refused_in_a_row) == 1 < PERMANENT_PARKS
    assert world.rows("SELECT outcome, cost_micros FROM attempt ORDER BY id")[:3] == [("permanent", 0)] * 3


async def test_a_group_that_failed_in_passing_stays_together(world: World) -> None:
    async with carrying(world, max_attempts=2) as bench:
        job = group(bench)
        await bench.run(job, failure("limited", status=429), failure("transient", status=500))
        assert [len(each.members) for each in bench.delayed or [job]] == [3]
        assert [member.attempts for member in job.members] == [1, 1, 1]
        job.siblings[0].attempts = 0  # of another history
        await bench.run(job, failure("malformed", status=200, raw=b"<html>"))
        assert len(bench.heard.of(SampleFailed)) == 2
        assert job.siblings == []
    assert world.rows("SELECT id, state FROM sample ORDER BY id") == [
        (1, "failed"),
        (2, "open"),
        (3, "failed"),
    ]
    assert world.row("SELECT count(*) FROM completion") == (1,), "a malformed body is kept once"
    assert world.row("SELECT status_429, errors FROM teacher WHERE name = 'a'") == (1, 2)


async def test_no_answer_costs_each_its_part_of_the_reservation(world: World) -> None:
    async with carrying(world) as bench:
        await bench.run(group(bench, 3, cost=1000, further=100), failure("ambiguous"))
    assert world.rows("SELECT outcome, cost_micros, unknown_micros FROM attempt") == [
        *(("unknown", 0, 1000), ("unknown", 0, 100), ("unknown", 0, 100))
    ]
    assert world.row("SELECT unknown_attempts, retries FROM teacher WHERE name = 'a'") == (3, 1)


async def test_a_group_that_is_cut_off_at_a_stop_is_unknown_as_a_whole(world: World) -> None:
    class Cancelled(BaseException):
        pass

    async with carrying(world) as bench:
        with pytest.raises(Cancelled):
            await bench.run(group(bench), Cancelled())
        bench.workers.limits.concurrency.left()
    assert world.rows("SELECT DISTINCT outcome FROM attempt") == [("unknown",)]


async def test_a_group_that_is_not_sent_is_released_as_a_whole(world: World) -> None:
    async with carrying(world) as bench:
        job = group(bench)
        await bench.attempt_runner.attempts.release(job, bench.teacher)
        assert [member.attempt for member in job.members] == [None] * 3
        await bench.run(job, brought("a", "b", "c"))
    assert world.rows("SELECT outcome, count(*) FROM attempt GROUP BY 1 ORDER BY 1") == [
        ("ok", 3),
        ("released", 3),
    ]


async def test_without_money_for_the_whole_group_it_waits_together(world: World) -> None:
    async with carrying(world) as bench:
        job = group(bench)
        await bench.attempt_runner.attempts.release(job, bench.teacher)
        bench.budget.cap_plan(bench.plan.id, 10)
        await bench.attempt_runner.run(
            job, bench.workers, bench.workers.limits.take(bench.clock.monotonic(), 10)
        )
        assert bench.poor == [job] and len(job.members) == 3
        bench.budget.cap_plan(bench.plan.id, None)
        await bench.run(job, brought("a", "b", "c"))
    reserved = world.rows("SELECT reserved_micros FROM attempt WHERE outcome = 'ok' ORDER BY id")
    assert reserved[1:] == [(2 * 256,)] * 2, "each rationale but the first reserves its own tokens"
    assert reserved[0][0] > 2 * 256


async def test_after_a_crash_samples_of_one_question_are_asked_for_together_again(world: World) -> None:
    plan = active_plan(world, rationales=4, per_request=4)
    found = world.claim(plan.id, 8).samples
    body = json.dumps(
        {"choices": [{"index": i, "message": {"content": t}} for i, t in enumerate(("Zero.", "One."))]}
    )
    world.record(
        stored(found[0], raw=body.encode(), end=None),
        stored(found[1], raw=None, leader=False, end=None),
    )
    world.reboot()
    jobs = [job for job, *_ in open_jobs(world.path, plan, {1: "openai-chat"})[0]]
    assert [job.conversation.turn for job in jobs] == [1, 1, 0, 0, 0, 0, 0, 0]
    assert "One." in jobs[1].request.messages[0].content, "each sample goes on from its own choice"
    groups = groups_of(jobs)
    assert [[member.sample_id for member in each.members] for each in groups] == [
        *([1], [2], [3, 4], [5, 6, 7, 8])
    ]
    assert [each.request.n for each in groups] == [1, 1, 2, 4]


async def test_a_seed_is_sent_once_for_a_group(world: World) -> None:
    plan = active_plan(world, rationales=4, per_request=2, seed=100)
    found = world.claim(plan.id, 2 * 30 + 2).samples
    jobs = groups_of(job_of(sample, plan) for sample in found)
    assert [(jobs[0].request.seed, jobs[0].request.n), (jobs[-1].request.seed, jobs[-1].request.n)] == [
        *((100, 2), (102, 2))
    ]


def test_completions_carry_what_they_used() -> None:
    from daemon.sampling.outcomes import usages_of

    def used(*numbers: int) -> Completion:
        return Completion(text="", usage=Usage(prompt_tokens=numbers[0], completion_tokens=numbers[1]))

    parts: list[Any] = [used(5, 1), used(4, 2), used(3, 4)]
    assert [(u.prompt_tokens, u.completion_tokens) for u in usages_of(parts, 2)] == [(8, 5), (4, 2)]
    assert len(usages_of(parts, 3)) == 3


async def test_a_group_that_is_refused_again_and_again_is_asked_for_one_by_one(world: World) -> None:
    async with carrying(world, max_attempts=2) as bench:
        job = group(bench, 2)
        tries = 0
        while job.siblings:
            tries += 1
            taken(bench)
            bench.clock.now += 1.0
            await bench.run(job, failure("parked", status=403, blame="key"))
            if not job.siblings:
                break
            bench.clock.now += 1.0
            await bench.run(group(bench, 2), brought("One.", "Two."))
        assert 3 <= tries < 12 and bench.heard.of(SampleFailed) == []
        alone = [each.sample_id for each in taken(bench) if not each.siblings]
        assert {1, 2} <= set(alone)


async def test_a_group_that_is_refused_for_hours_is_asked_for_one_by_one_before_it_is_given_up(
    world: World,
) -> None:
    async with carrying(world, max_attempts=2) as bench:
        await bench.run(group(bench, 2), brought("One.", "Two."))
        job = group(bench, 2)
        while job.siblings:
            assert bench.clock.now < 20 * 3600.0
            taken(bench)
            await bench.run(job, failure("parked", status=403, blame="key"))
            bench.teacher.unpark(bench.clock.monotonic())
            bench.clock.now += 3600.0
        assert bench.heard.of(SampleFailed) == []
