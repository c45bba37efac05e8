"""A plan that scores another one: which samples it claims, what it stores, and what a restart does."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from daemon.pipeline import Pipeline
from daemon.sampling.plans import ActivePlan
from daemon.sampling.recovery import take_up
from engine.teachers.transport import make_client
from state.enums import Outcome, SampleState
from state.logprobs import unpack
from state.outcomes import SampleEnd
from state.tables import Teacher as TeacherRow
from tests.daemon.parts import active_plan, context_of, teacher_config, until, writing
from tests.state.world import World, ending, make, stored

pytestmark = pytest.mark.anyio


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=3)
    found.teacher("scorer")
    yield found
    found.connection.close()


def scoring(world: World, source: ActivePlan) -> ActivePlan:
    """The plan that scores another one, as the sync makes it."""
    plan = active_plan(world, "scored", teachers=("scorer",), strategy="score", scores="p", rationales=1)
    settings = json.dumps({**plan.config.model_dump(mode="json"), "scores": source.recipe, "facts": {}})
    world.connection.execute(
        "UPDATE plan SET settings = ?, rationales = 2, base = 2, wanted = 6 WHERE id = ?", (settings, plan.id)
    )
    plan.config = plan.config.model_copy(update={"rationales": 2})
    return plan


def written(world: World, plan: ActivePlan) -> None:
    """Six slots: four samples, one that was given up, and one that was never asked."""
    found = world.claim(plan.id, 5)
    for number, sample in enumerate(found.samples):
        if number == 2:
            end = SampleEnd(state=SampleState.FAILED, reason="refused")
            world.record(replace(ending(sample, Outcome.PERMANENT), end=end))
            continue
        correct = number % 2 == 0
        result = stored(sample, correct=correct)
        assert result.end is not None
        end = replace(
            result.end,
            rationale=f"r{number}",
            answer="yes" if correct else "no",
            flags=("truncated",) if number == 4 else (),
        )
        world.record(replace(result, end=end))


class Scorer:
    """A server with echo. While `closed` it answers nothing."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.open = anyio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        await self.open.wait()
        tokens = [part for word in body["prompt"].split(" ") for part in (word, " ")][:-1] + ["!"]
        values = [None, *[-0.25] * (len(tokens) - 1)]
        told = {"tokens": tokens, "token_logprobs": values, "top_logprobs": [None] * len(tokens)}
        choice = {"text": "".join(tokens), "logprobs": told, "finish_reason": "length"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 1}})


@asynccontextmanager
async def daemon(world: World, plan: ActivePlan, server: Scorer) -> AsyncIterator[Pipeline]:
    app = web.Application()
    app.add_routes([web.post("/v1/completions", server.answer)])
    async with TestServer(app) as served, writing(world) as writer:
        settings = teacher_config(
            builtin=False, base_url=str(served.make_url("/v1")), dialect="openai-completions", concurrency=2
        )
        context = context_of(world, writer)
        context.budget.add_teacher(world.teachers["scorer"], None)
        context.budget.add_plan(plan.id, None)
        pipeline = Pipeline(context, plans=[plan])
        async with make_client(settings) as client:
            row = TeacherRow(id=world.teachers["scorer"], name="scorer", state="ready", answered=0)
            pipeline.add_teacher(pipeline.make_teacher(row, settings, client), ())
            await take_up(world.path, pipeline.scheduler, [plan])
            async with anyio.create_task_group() as group:
                for _, serve in pipeline.parts():
                    await group.start(serve)
                yield pipeline
                pipeline.close()
                group.cancel_scope.cancel()


async def test_each_stored_sample_is_scored_once_also_over_a_restart(world: World) -> None:
    source = active_plan(world)
    written(world, source)
    plan, server = scoring(world, source), Scorer()
    async with daemon(world, plan, server):
        await until(lambda: len(server.asked) == 2)
    assert world.reboot() >= 2
    plan, server = scoring(world, source), Scorer()
    server.open.set()
    async with daemon(world, plan, server):
        await until(lambda: plan.done)
    prompts = sorted(body["prompt"] for body in server.asked)
    assert len(prompts) == 4 and all(body["echo"] and body["max_tokens"] == 1 for body in server.asked)
    rows = world.rows(
        "SELECT s.question_id, s.replicate, s.rationale, s.answer, s.verdict, s.flags FROM sample s JOIN plan p ON p.id = s.plan_id"
        " WHERE p.name = ? AND s.state = 'stored' ORDER BY 1, 2",
        "scored",
    )
    same = world.rows(
        "SELECT s.question_id, s.replicate, s.rationale, s.answer, s.verdict, s.flags FROM sample s JOIN plan p ON p.id = s.plan_id"
        " WHERE p.name = ? AND s.state = 'stored' ORDER BY 1, 2",
        "p",
    )
    assert len(rows) == 4 and [row[:4] + row[5:] for row in rows] == [row[:4] + row[5:] for row in same]
    [(text,)] = world.rows("SELECT text FROM question WHERE id = ?", rows[0][0])
    assert any(prompt == f"{text}\n{rows[0][2]} --> {rows[0][3]}" for prompt in prompts)
    found = world.rows("SELECT data FROM logprob")
    assert len(found) == 4
    scores = unpack(found[0][0])
    assert "".join(scores.tokens).endswith((" --> yes", " --> no")) and set(scores.values) == {-0.25}
    counted = world.row("SELECT wanted, stored, skipped, failed FROM plan WHERE name = ?", "scored")
    assert counted == (6, 4, 2, 0), "two slots have nothing to score"
    # Nobody was asked for the same text twice, but for what was in flight.
    twice = world.rows("SELECT 1 FROM attempt WHERE outcome = 'ok' GROUP BY sample_id HAVING count(*) > 1")
    assert not twice
