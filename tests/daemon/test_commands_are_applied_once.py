"""A daemon that dies between applying a command and answering it: the next one answers, and applies nothing again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest

from daemon.control import Control
from daemon.events import Commanded
from daemon.host.clock import SystemClock
from daemon.pipeline import Pipeline
from daemon.sampling.budget import Budget
from daemon.training.planner import Planner
from daemon.training.trainer import Trainer
from state.budget import budget_in_force
from state.commands import Command, Retry, SetBudget, Train, pending, send, wait_for, who_asks
from state.enums import Outcome, SampleState
from state.outcomes import SampleEnd
from tests.daemon.parts import Heard, active_plan, config_of, context_of, until, writing
from tests.state.world import World, ending, make

pytestmark = pytest.mark.anyio

GIVEN_UP = "SELECT count(*) FROM sample WHERE state = 'failed'"
RUNS = "SELECT count(*) FROM run"
CASES: list[tuple[Command, str, tuple[int, int]]] = [
    (Train(task="t"), RUNS, (0, 2)),
    (Retry(), GIVEN_UP, (3, 0)),
    (SetBudget(usd=2.5), "SELECT count(*) FROM command WHERE args LIKE '%instead_of%'", (0, 1)),
]


class Died(Exception):
    """Nothing of the daemon is left but its database."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=10)
    yield found
    found.connection.close()


async def life(world: World, command: int, *, dies: bool) -> Budget:
    """A daemon that applies commands until this one is answered, or dies before it gives its answer."""
    plan, heard, budget = active_plan(world), Heard(), Budget(None)
    config = config_of(
        world.path.parent,
        teachers={"a": {"builtin": True, "model": "m"}},
        tasks={"t": {"source": "x.jsonl", "answer": "yes_no"}},
        plans=[{"name": "p", "rationales": 2}],
        students=[{"name": name, "train_at": [1000]} for name in ("one", "two")],
    )

    async def beat() -> None:
        if dies:
            raise Died

    with suppress(ExceptionGroup) if dies else nullcontext():
        async with writing(world) as writer, anyio.create_task_group() as group:
            trainer = Trainer(
                config, boot_id=world.boot, writer=writer, bus=heard.bus, clock=SystemClock(), devices=[]
            )
            planner = Planner(
                config, writer=writer, bus=heard.bus, trainer=trainer, plans=[plan], task_ids=world.tasks
            )
            control = Control(
                world.path,
                writer=writer,
                clock=SystemClock(),
                bus=heard.bus,
                pipeline=Pipeline(context_of(world, writer, budget=budget, bus=heard.bus), plans=[plan]),
                planner=planner,
                trainer=trainer,
                stop=lambda reason, now: None,
                budget=budget,
                configured=lambda: None,
                beat=beat,
            )
            await group.start(control.serve)
            await until(lambda: heard.of(Commanded))
            reply, [said] = wait_for(world.path, command, 0), heard.of(Commanded)
            assert reply is not None and said.message() == f"asked by {who_asks()}: {reply.answer}"
            group.cancel_scope.cancel()
    return budget


@pytest.mark.parametrize(("command", "count", "changes"), CASES, ids=lambda each: type(each).__name__)
async def test_the_next_daemon_answers_and_applies_nothing_again(
    world: World, command: Command, count: str, changes: tuple[int, int]
) -> None:
    plan = active_plan(world)
    world.store(world.claim(plan.id, 3))
    given_up = world.claim(plan.id, 3).samples
    end = SampleEnd(state=SampleState.FAILED, reason="HTTP 400")
    world.record(*[ending(sample, Outcome.PERMANENT, end=end) for sample in given_up])
    number = send(world.path, command)

    def seen() -> Any:
        return world.row(count)[0]

    assert seen() == changes[0]
    await life(world, number, dies=True)
    assert wait_for(world.path, number, 0) is None and seen() == changes[1]
    (left,) = pending(world.connection)
    assert left.command is not None and left.applied
    world.connection.execute("UPDATE run SET state = 'done'")  # else another run would not even be asked for
    if isinstance(command, Retry):  # they were refused again, and nobody asked for a third time
        world.connection.execute("UPDATE sample SET state = 'failed' WHERE state = 'open'")
    before = seen()
    await life(world, number, dies=False)
    reply = wait_for(world.path, number, 0)
    assert reply is not None and reply.done and reply.answer == left.applied
    assert seen() == before
    if isinstance(command, SetBudget):
        assert budget_in_force(world.connection, None) == 2.5
