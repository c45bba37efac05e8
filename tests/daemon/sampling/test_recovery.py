from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.sampling.recovery import grade_missing, open_jobs, take_up
from daemon.sampling.scheduler import Scheduler
from state.enums import Outcome
from tests.daemon.parts import active_plan, context_of, teacher_of, writing
from tests.state.world import World, check_counts, ending, make, question_row, question_rows

pytestmark = pytest.mark.anyio

DIALECTS = {1: "openai-chat", 2: "openai-completions"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=4)
    yield found
    found.connection.close()


def chat(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()


def test_a_sample_between_two_turns_goes_on_with_its_second(world: World) -> None:
    plan = active_plan(world)
    first, second, third = world.claim(plan.id, 3).samples
    world.record(ending(first, Outcome.OK, raw=chat("Let me think: heads."), cost=5))
    world.record(ending(second, Outcome.TRANSIENT, counts=True))
    world.reboot()  # the third was in flight
    jobs = [job for job, *_ in open_jobs(world.path, plan, DIALECTS)[0]]
    assert [job.sample_id for job in jobs] == [first.sample_id, second.sample_id, third.sample_id]
    assert [job.conversation.turn for job in jobs] == [1, 0, 0]
    assert [(job.attempts, job.unknowns) for job in jobs] == [(0, 0), (1, 0), (0, 1)]
    assert all(job.attempt is None for job in jobs)
    assert any("Let me think: heads." in message.content for message in jobs[0].request.messages)


BODIES = {
    "openai-chat": {"choices": [{"message": {"content": "Let me think: heads."}, "finish_reason": "stop"}]},
    "openai-completions": {"choices": [{"text": "Let me think: heads.", "finish_reason": "stop"}]},
    "openai-responses": {
        "status": "completed",
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "Let me think: heads."}]}],
    },
    "anthropic-messages": {
        "content": [{"type": "text", "text": "Let me think: heads."}],
        "stop_reason": "end_turn",
    },
}


@pytest.mark.parametrize("known", ["", *BODIES])
@pytest.mark.parametrize("spoken", BODIES)
def test_what_was_paid_for_is_read_whatever_its_teacher_is_called_or_speaks_now(
    world: World, spoken: str, known: str
) -> None:
    plan = active_plan(world)
    (sample,) = world.claim(plan.id, 1).samples
    world.record(ending(sample, Outcome.OK, raw=json.dumps(BODIES[spoken]).encode(), cost=5))
    world.reboot()
    ((job, *_),), unreadable = open_jobs(world.path, plan, {1: known} if known else {})
    assert (job.conversation.turn, unreadable) == (1, 0)
    assert any("Let me think: heads." in message.content for message in job.request.messages)


async def test_a_stored_answer_that_nothing_reads_stops_no_daemon_and_is_not_paid_again(world: World) -> None:
    plan = active_plan(world)
    first, second = world.claim(plan.id, 2).samples
    world.record(ending(first, Outcome.OK, raw=b'{"of": "another version"}', cost=5))
    world.reboot()
    teacher = teacher_of(world)
    async with writing(world) as writer:
        scheduler = Scheduler(context_of(world, writer), teachers=[teacher], plans=[plan])
        (note,) = await take_up(world.path, scheduler, [plan])
    assert note.startswith("plan p, task t: 1 started samples stay open")
    assert [job.sample_id for job in teacher.queue.jobs()] == [second.sample_id]


def test_each_sample_comes_with_its_teacher(world: World) -> None:
    plan = active_plan(world, teachers=("a", "b"))
    world.claim(plan.id, 1, teacher="a")
    world.claim(plan.id, 1, teacher="b")
    assert [teacher for _, teacher, _ in open_jobs(world.path, plan, DIALECTS)[0]] == [1, 2]


async def test_what_has_no_verdict_is_graded_in_few_commits(world: World) -> None:
    plan = active_plan(world, rationales=20)
    world.store(world.claim(plan.id, 80), correct=None)
    async with writing(world) as writer:
        assert await grade_missing(world.path, writer, [plan]) == 80
        assert writer.commits <= 4
        assert await grade_missing(world.path, writer, [plan]) == 0
    assert world.row("SELECT stored, accepted, rejected FROM plan") == (80, 80, 0)
    check_counts(world)


async def test_changed_gold_answers_are_graded_anew_whoever_sampled(world: World) -> None:
    old = active_plan(world, "old", rationales=1)
    world.store(world.claim(old.id, 4))
    world.task("t", [question_row("q0", gold="no"), *question_rows(3, start=1)])
    plan = active_plan(world, "new", rationales=1)
    async with writing(world) as writer:
        assert await grade_missing(world.path, writer, [plan]) == 1
    assert world.row("SELECT accepted, rejected FROM plan WHERE name = 'new'") == (3, 1)


async def test_a_begun_sample_of_a_fallback_stays_with_it_and_a_fresh_one_goes_back(world: World) -> None:
    plan = active_plan(world, teachers=("a",), fallbacks=("b",))
    begun, _ = world.claim(plan.id, 2, teacher="b").samples
    world.record(ending(begun, Outcome.OK, raw=chat("Let me think: heads."), cost=5))
    world.reboot()
    teachers = [teacher_of(world, "a"), teacher_of(world, "b")]
    async with writing(world) as writer:
        scheduler = Scheduler(context_of(world, writer), teachers=teachers, plans=[plan])
        assert await take_up(world.path, scheduler, [plan]) == []
    assert [[job.conversation.turn for job in teacher.queue.jobs()] for teacher in teachers] == [[0], [1]]


async def test_who_answered_a_plan_before_is_known_after_a_start(world: World) -> None:
    plan = active_plan(world, teachers=("a", "b"))
    world.store(world.claim(plan.id, 2, teacher="b"))
    world.reboot()
    teachers = [teacher_of(world, "a"), teacher_of(world, "b")]
    async with writing(world) as writer:
        scheduler = Scheduler(context_of(world, writer), teachers=teachers, plans=[plan])
        await take_up(world.path, scheduler, [plan])
    assert [teacher.first_answers(plan).answered for teacher in teachers] == [False, True]
