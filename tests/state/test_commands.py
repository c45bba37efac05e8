from __future__ import annotations

import threading
from pathlib import Path

import pytest

from state.commands import Reply, answer, pending, send, wait_for
from state.database import open_writer
from tests.state.world import World


def test_a_command_waits_for_its_answer(world: World) -> None:
    key = send(world.path, "pause", {"task": "t"})
    other = send(world.path, "resume", {})
    assert [(each.id, each.kind, each.args) for each in pending(world.connection)] == [
        (key, "pause", {"task": "t"}),
        (other, "resume", {}),
    ]
    answer(world.connection, [Reply(id=key, done=True, answer="task t is paused")])
    assert wait_for(world.path, key, 0) == Reply(id=key, done=True, answer="task t is paused")
    assert [each.id for each in pending(world.connection)] == [other]


def test_a_refusal_says_why(world: World) -> None:
    key = send(world.path, "train", {"task": "x"})
    answer(world.connection, [Reply(id=key, done=False, answer="no student trains on 'x\ud800'")])
    assert wait_for(world.path, key, 0) == Reply(id=key, done=False, answer="no student trains on 'x\ufffd'")
    assert world.row("SELECT state, answered_at >= created_at FROM command") == ("refused", 1)


def test_waiting_ends_with_the_answer_or_the_time(world: World) -> None:
    key = send(world.path, "stop", {})
    assert wait_for(world.path, key, 0) is None
    found: list[Reply | None] = []
    waiter = threading.Thread(target=lambda: found.append(wait_for(world.path, key, 20)))
    waiter.start()
    answer(world.connection, [Reply(id=key, done=True, answer="draining")])
    waiter.join(20)
    assert found == [Reply(id=key, done=True, answer="draining")]


def test_half_a_character_from_the_command_line_is_taken(world: World) -> None:
    send(world.path, "pause", {"task": "x\udcff"})
    (found,) = pending(world.connection)
    assert found.args == {"task": "x\udcff"}


def test_commands_survive_the_daemon(tmp_path: Path, world: World) -> None:
    send(world.path, "pause", {})
    world.connection.close()
    world.connection = open_writer(world.path)
    assert [each.kind for each in pending(world.connection)] == ["pause"]


@pytest.mark.parametrize("kind", ["pause", "train"])
def test_an_answer_is_one_persons(world: World, kind: str) -> None:
    keys = [send(world.path, kind, {}) for _ in range(2)]
    answer(world.connection, [Reply(id=key, done=True, answer=str(key)) for key in reversed(keys)])
    for key in keys:
        found = wait_for(world.path, key, 0)
        assert found is not None
        assert found.answer == str(key)
