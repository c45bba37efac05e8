from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import anyio
import pytest
from pydantic import SecretStr

from daemon.events import Noted
from daemon.limits.key_limits import KeyLimits
from daemon.sampling.limit_leases import LimitLeases, folder_of
from daemon.sampling.teacher import Teacher
from engine.teachers.keys import TeacherKey
from state.database import now_ms
from tests.daemon.parts import Clock, Heard, asked_by_requests, teacher_config
from tests.daemon.site import configure, count, daemon, query, teacher, wait_until

KEY = "sk-canary-1"


def runtime_teacher(clock: Clock, *keys: str, **settings: object) -> Teacher:
    config = teacher_config(builtin=False, base_url="https://api.example/v1", **settings)

    async def run(*_: object) -> None: ...

    runtime = asked_by_requests(config, clock=clock, run=run)
    for key in keys:
        limits = KeyLimits(
            clock.now, requests_per_minute=config.requests_per_minute, concurrency=config.concurrency
        )
        runtime.transport.add_key(runtime, TeacherKey("K", SecretStr(key)), limits)
    return runtime


def sharing(folder: Path, clock: Clock, heard: Heard, *teachers: Teacher) -> LimitLeases:
    return LimitLeases(str(folder), home=folder, teachers=teachers, clock=clock, bus=heard.bus)


@pytest.mark.anyio
async def test_keys_with_one_key_share_and_the_files_tell_no_key(tmp_path) -> None:
    clock, heard = Clock(time.monotonic()), Heard()
    first = runtime_teacher(clock, KEY, requests_per_minute=600)
    second = runtime_teacher(clock, KEY, "sk-other", requests_per_minute=600)
    one, two = sharing(tmp_path / "s", clock, heard, first), sharing(tmp_path / "s", clock, heard, second)
    for _ in range(3):
        for each in (one, two):
            await each.turn()
            for runtime in (first, second):
                for workers in runtime.transport.keys:
                    workers.limits.ready_at(clock.now, 1)
                    workers.limits.rates.requests.bound_at = clock.now
    rates = [
        workers.limits.rates.requests.rate for workers in (*first.transport.keys, *second.transport.keys)
    ]
    assert rates == [pytest.approx(4.95), pytest.approx(4.95), 10]
    assert first.heartbeat(clock.now).shared_with == 1
    files = list((tmp_path / "s").iterdir())
    assert len(files) == 3
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"canary" not in path.read_bytes() + path.name.encode()
    del second.transport.keys[:]
    await two.turn()
    await one.turn()
    assert first.transport.keys[0].limits.rates.requests.rate == 10, "what left is given back"
    assert len(list((tmp_path / "s").iterdir())) == 2, "the last one takes the file away"
    assert heard.events == []


@pytest.mark.anyio
@pytest.mark.parametrize("wrong", ["a file", "writable by all"])
async def test_a_folder_that_cannot_be_used_is_told_once_and_stops_nothing(tmp_path, wrong) -> None:
    clock, heard = Clock(time.monotonic()), Heard()
    folder = tmp_path / "s"
    if wrong == "a file":
        folder.write_text("")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    runtime = runtime_teacher(clock, KEY, requests_per_minute=600)
    shared = sharing(folder, clock, heard, runtime)
    await shared.turn()
    await shared.turn()
    assert runtime.transport.keys[0].limits.rates.requests.rate == 10
    assert [type(event) for event in heard.events] == [Noted]
    assert str(folder) in heard.events[0].what
    assert "shared_limits" in heard.events[0].what


@pytest.mark.anyio
async def test_a_damaged_table_begins_anew(tmp_path) -> None:
    clock, heard = Clock(time.monotonic()), Heard()
    runtime = runtime_teacher(clock, KEY, requests_per_minute=600)
    shared = sharing(tmp_path / "s", clock, heard, runtime)
    await shared.turn()
    (path,) = (path for path in (tmp_path / "s").iterdir() if path.name != "salt")
    path.write_bytes(b"\xff{" * 1000)
    await shared.turn()
    assert b'"members"' in path.read_bytes()
    assert heard.events == []


@pytest.mark.anyio
async def test_switched_off_nothing_is_touched(tmp_path) -> None:
    clock, heard = Clock(time.monotonic()), Heard()
    shared = LimitLeases(
        False, home=tmp_path, teachers=[runtime_teacher(clock, KEY)], clock=clock, bus=heard.bus
    )
    async with anyio.create_task_group() as group:
        await group.start(shared.serve)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_the_users_own(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert folder_of(True, Path("/x")) == tmp_path / "coterie" / "limits"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere/at/all")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert folder_of(True, Path("/x")) == Path("/c/coterie/limits")
    assert folder_of("here", Path("/x")) == Path("/x/here")


def shared_with(folder: Path) -> int:
    """Other processes with which the folder's daemon shares its teacher's limits, as its last pulse says."""
    (data,) = query(folder, "SELECT data FROM pulse")[0]
    return int(json.loads(data)["teachers"]["school"]["shared_with"])


def test_two_daemons_keep_one_limit_and_one_alone_takes_all_of_it(tmp_path) -> None:
    """1,200 requests a minute for the key; the server saves up a second's worth at most."""
    env = {"SCHOOL_KEY": KEY, "XDG_RUNTIME_DIR": str(tmp_path)}
    rate = 20.0
    with teacher(
        tmp_path, "--requests-per-minute", "1200", "--burst-seconds", "1", "--latency-ms", "30"
    ) as school:
        folders = [tmp_path / "one", tmp_path / "two"]
        for folder in folders:
            folder.mkdir()
            configure(
                folder,
                school.url,
                train=700,
                teacher='api_key_env = "SCHOOL_KEY"\nrequests_per_minute = 1200',
            )
        with daemon(folders[0], env=env) as one, daemon(folders[1], env=env):
            for folder in folders:
                wait_until("answers", lambda folder=folder: count(folder, "sample", "state = 'stored'") > 20)
            start = now_ms()
            time.sleep(4.0)  # a rate is measured over a time
            both = answered(school, start, now_ms())
            stored = [count(folder, "sample", "state = 'stored'") for folder in folders]
            assert shared_with(folders[1]) == 1
            one.kill()
            wait_until("it is alone", lambda: shared_with(folders[1]) == 0)
            start = now_ms()
            time.sleep(4.0)  # the same, as long
            alone = answered(school, start, now_ms())
        refused = sum(entry["status"] == 429 for entry in school.ledger())
    assert min(stored) > 0.6 * max(stored), "and fairly"
    assert 0.9 <= both / rate <= 1.05
    assert 0.9 <= alone / rate <= 1.05
    assert refused <= 10
    assert query(folders[1], "SELECT 1 FROM event WHERE level = 'error'") == []
    assert KEY.encode() not in b"".join(
        path.read_bytes() for path in tmp_path.rglob("limits/*") if path.is_file()
    )
    assert os.listdir(tmp_path / "coterie" / "limits")


def answered(school, start: int, end: int) -> float:
    """Answers a second that the teacher gave between two times."""
    good = [
        entry for entry in school.ledger() if entry["status"] == 200 and start <= entry["received_at"] < end
    ]
    return 1000 * len(good) / (end - start)
