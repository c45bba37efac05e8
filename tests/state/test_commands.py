from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from state.commands import (
    KINDS,
    Command,
    Pause,
    Pending,
    Reply,
    Resume,
    Retry,
    SetBudget,
    StopDaemon,
    StopRun,
    Train,
    answer,
    decode,
    encode,
    pending,
    send,
    wait_for,
    who_asks,
)
from state.database import open_writer
from state.notes import SetNote
from tests.state.world import World


def test_a_command_waits_for_its_answer(world: World) -> None:
    key = send(world.path, Pause(task="t"))
    other = send(world.path, Resume())
    assert pending(world.connection) == [
        Pending(id=key, command=Pause(task="t")),
        Pending(id=other, command=Resume()),
    ]
    assert world.rows("SELECT kind, args FROM command ORDER BY id") == [
        ("pause", json.dumps({"task": "t", "by": who_asks()})),
        ("resume", json.dumps({"by": who_asks()})),
    ]
    assert {each.by for each in pending(world.connection)} == {who_asks()}
    answer(world.connection, [Reply(id=key, done=True, answer="task t is paused")])
    assert wait_for(world.path, key, 0) == Reply(id=key, done=True, answer="task t is paused")
    assert [each.id for each in pending(world.connection)] == [other]


def test_a_refusal_says_why(world: World) -> None:
    key = send(world.path, Train(task="x"))
    answer(world.connection, [Reply(id=key, done=False, answer="no student trains on 'x\ud800'")])
    assert wait_for(world.path, key, 0) == Reply(id=key, done=False, answer="no student trains on 'x\ufffd'")
    assert world.row("SELECT state, answered_at >= created_at FROM command") == ("refused", 1)


def test_waiting_ends_with_the_answer_or_the_time(world: World) -> None:
    key = send(world.path, StopDaemon())
    assert wait_for(world.path, key, 0) is None
    found: list[Reply | None] = []
    waiter = threading.Thread(target=lambda: found.append(wait_for(world.path, key, 20)))
    waiter.start()
    answer(world.connection, [Reply(id=key, done=True, answer="draining")])
    waiter.join(20)
    assert found == [Reply(id=key, done=True, answer="draining")]


def test_half_a_character_from_the_command_line_is_taken(world: World) -> None:
    send(world.path, Pause(task="x\udcff"))
    (found,) = pending(world.connection)
    assert found.command == Pause(task="x\udcff")


def test_commands_survive_the_daemon(tmp_path: Path, world: World) -> None:
    send(world.path, Pause())
    world.connection.close()
    world.connection = open_writer(world.path)
    assert [each.command for each in pending(world.connection)] == [Pause()]


@pytest.mark.parametrize("command", [Pause(), Train(task="t")])
def test_an_answer_is_one_persons(world: World, command: Command) -> None:
    keys = [send(world.path, command) for _ in range(2)]
    answer(world.connection, [Reply(id=key, done=True, answer=str(key)) for key in reversed(keys)])
    for key in keys:
        found = wait_for(world.path, key, 0)
        assert found is not None
        assert found.answer == str(key)


ROWS: list[tuple[Command, str, dict[str, object]]] = [
    (Pause(), "pause", {}),
    (Pause(teacher="gpt"), "pause", {"teacher": "gpt"}),
    (Resume(task="t"), "resume", {"task": "t"}),
    (Retry(), "retry", {}),
    (Retry(plan="p", reason="HTTP 5"), "retry", {"plan": "p", "reason": "HTTP 5"}),
    (Retry(task="t"), "retry", {"task": "t"}),
    (Train(task="t"), "train", {"task": "t", "student": None}),
    (Train(task="joint", student="s"), "train", {"task": "joint", "student": "s"}),
    (StopDaemon(), "stop", {"now": False}),
    (StopRun(run=7), "stop_run", {"run": 7}),
    (StopRun(run=7, finish=True), "stop_run", {"run": 7, "finish": True}),
    (SetBudget(usd=8.5), "budget", {"usd": 8.5}),
    (SetNote(sample=3, text="x"), "note", {"sample": 3, "flag": "", "text": "x"}),
]


@pytest.mark.parametrize(("command", "kind", "args"), ROWS)
def test_a_command_is_what_its_row_says(command: Command, kind: str, args: dict[str, object]) -> None:
    assert encode(command) == (kind, args)
    assert decode(kind, {**args, "of a newer version": 1}) == command


def test_every_kind_of_command_is_tried_here() -> None:
    assert {type(command) for command, _, _ in ROWS} == set(KINDS.values())


@pytest.mark.parametrize(
    ("kind", "args", "fault"),
    [
        ("dance", "{}", "unknown command: dance"),
        ("pause", "[1]", "the arguments of pause are not an object: [1]"),
        ("pause", '{"task": 5}', "pause: task is a name, not 5"),
        ("train", "{}", "train needs the name of a task"),
        ("stop", '{"now": "yes"}', "stop: now is true or false, not 'yes'"),
        ("stop_run", "{}", "stop_run needs the number of a run, got None"),
        ("stop_run", '{"run": 1, "finish": 1}', "stop_run: finish is true or false, not 1"),
        ("stop_run", '{"run": true}', "stop_run needs the number of a run, got True"),
        ("budget", '{"usd": -1}', "a budget is a number of dollars from 0 to 1e9, not '-1'"),
        ("pause", "{", "Expecting property name"),
    ],
)
def test_a_row_that_cannot_be_read_says_why_and_holds_no_other_up(
    world: World, kind: str, args: str, fault: str
) -> None:
    world.connection.execute(
        "INSERT INTO command (kind, args, state, created_at) VALUES (?, ?, 'pending', 0)", (kind, args)
    )
    send(world.path, Pause())
    found = pending(world.connection)
    assert [each.command for each in found] == [None, Pause()]
    assert found[0].fault.startswith(fault)
