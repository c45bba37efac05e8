from __future__ import annotations

import pytest

from state.claims import open_samples
from state.commands import Pause, StopDaemon, pending, send, wait_for
from state.daemon_sessions import end_session, start_session
from state.enums import Outcome, SampleState
from state.heartbeat import HeartbeatData, HeartbeatRow, write_heartbeat
from state.orm import orm_session
from state.outcomes import SampleEnd
from tests.state.world import World, check_counts, ending, stored


def start(world: World):
    return start_session(
        world.path, pid=7, pid_started=1.5, host="here", version="0.1", config={"a": 1}, batch_dialects=[]
    )


@pytest.mark.parametrize("died", ["claimed", "sent again", "stored", "failed", "released"])
def test_what_a_crash_leaves_behind(world: World, died: str) -> None:
    plan = world.plan()
    (sample,) = world.claim(plan, 1, cost=10).samples
    if died == "sent again":
        world.record(ending(sample, Outcome.TRANSIENT, counts=True))
        world.open_again(sample, reserved=4)
    elif died == "stored":
        world.record(stored(sample))
    elif died == "failed":
        world.record(ending(sample, Outcome.PERMANENT, end=SampleEnd(state=SampleState.FAILED, reason="why")))
    elif died == "released":
        world.record(ending(sample, Outcome.RELEASED))
    lost = {"claimed": 10, "sent again": 4}.get(died, 0)
    found = start(world)
    assert found.unknown_attempts == (1 if lost else 0)
    assert not found.previous_ended
    unknown = world.rows("SELECT cost_micros, unknown_micros, reason FROM attempt WHERE outcome = 'unknown'")
    assert unknown == ([(0, lost, "the daemon died before an answer arrived")] if lost else [])
    assert world.row("SELECT count(*) FROM attempt WHERE outcome IS NULL") == (0,)
    assert world.row("SELECT reserved_micros, spent_micros, unknown_micros FROM plan") == (
        *(0, 7 if died == "stored" else 0, lost),
    )
    waiting = open_samples(world.connection, plan, 0, 10)
    assert len(waiting) == (0 if died in ("stored", "failed") else 1)
    assert [each.unknowns for each in waiting] == ([1] if lost else [0]) * len(waiting)
    check_counts(world)
    again = start(world)
    assert again.unknown_attempts == 0
    assert again.id == found.id + 1
    check_counts(world)


def test_attempts_of_this_start_are_left_alone(world: World) -> None:
    world.boot = start(world).id
    world.claim(world.plan(), 2)
    assert world.row("SELECT count(*) FROM attempt WHERE outcome IS NULL") == (2,)
    check_counts(world)


def test_a_crash_with_attempts_of_several_teachers_and_plans(world: World) -> None:
    first, second = world.plan("p"), world.plan("q", recipe="r2")
    world.claim(first, 2, cost=10)
    world.claim(second, 3, cost=5, teacher="b")
    world.store(world.claim(first, 1, cost=10, teacher="b"))
    assert start(world).unknown_attempts == 5
    assert world.rows(
        "SELECT name, unknown_attempts, spent_micros, unknown_micros, reserved_micros FROM teacher ORDER BY id"
    ) == [
        ("a", 2, 0, 20, 0),
        ("b", 3, 7, 15, 0),
    ]
    assert world.rows("SELECT name, spent_micros, unknown_micros, reserved_micros FROM plan ORDER BY id") == [
        ("p", 7, 20, 0),
        ("q", 0, 15, 0),
    ]
    check_counts(world)


def test_an_end_in_order_is_remembered(world: World) -> None:
    boot = start(world).id
    write_heartbeat(world.connection, [HeartbeatRow(boot_id=boot, state="running", data=HeartbeatData())])
    end_session(world.connection, boot, "nothing is left to do")
    assert world.row("SELECT exit_reason, ended_at >= started_at FROM boot WHERE id = ?", boot) == (
        *("nothing is left to do", 1),
    )
    assert world.row("SELECT state FROM pulse") == ("stopped",)
    assert start(world).previous_ended


def test_a_start_keeps_who_it_was(world: World) -> None:
    boot = start(world).id
    assert world.row("SELECT pid, pid_started, host, version, config FROM boot WHERE id = ?", boot) == (
        *(7, 1.5, "here", "0.1", '{"a": 1}'),
    )


def test_a_start_that_fails_half_way_changes_nothing(world: World) -> None:
    world.claim(world.plan(), 2)
    before = world.rows("SELECT * FROM attempt"), world.rows("SELECT * FROM teacher")
    with pytest.raises(ZeroDivisionError), orm_session(world.path) as opened:
        opened.connection().exec_driver_sql("UPDATE attempt SET outcome = 'unknown'")
        raise ZeroDivisionError
    assert (world.rows("SELECT * FROM attempt"), world.rows("SELECT * FROM teacher")) == before


def test_a_stop_that_an_earlier_daemon_did_not_answer_lapses(world: World) -> None:
    stop, pause = send(world.path, StopDaemon()), send(world.path, Pause())
    world.connection.execute("UPDATE command SET created_at = created_at - 10")
    start(world)
    assert [each.id for each in pending(world.connection)] == [pause]
    found = wait_for(world.path, stop, 0)
    assert found is not None and not found.done and "has ended" in found.answer
