from __future__ import annotations

import json
import os
import pwd
import socket
import stat
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest
from pydantic import SecretStr

from daemon.events import Noted
from daemon.limits.key_limits import KeyLimits
from daemon.sampling import limit_leases
from daemon.sampling.limit_leases import Folder, LimitLeases, folder_of, origin
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


def test_the_folder_is_the_same_in_every_environment_of_a_user(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("COTERIE_LIMITS")
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_dir=str(tmp_path)))
    for change in ({}, {"XDG_RUNTIME_DIR": str(tmp_path)}, {"XDG_CACHE_HOME": "/c"}, {"HOME": "/home/other"}):
        with monkeypatch.context() as environment:
            for name in ("XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "HOME"):
                environment.delenv(name, raising=False)
            for name, value in change.items():
                environment.setenv(name, value)
            assert folder_of(True, Path("/x")) == tmp_path / ".cache" / "coterie" / "limits", change
    assert folder_of("here", Path("/x")) == Path("/x/here")
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_dir="/nonexistent"))
    assert folder_of(True, Path("/x")) == Path(f"/tmp/coterie-limits-{os.getuid()}")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://API.openai.com/v1/", "https://api.openai.com:443/v1", True),
        ("https://api.openai.com./v1", "https://user@api.openai.com", True),
        ("HTTP://host:80", "http://host/", True),
        ("http://[0:0:0:0:0:0:0:1]:8000", "http://[::1]:8000/v1", True),
        ("https://bücher.example/v1", "https://xn--bcher-kva.example/v1", True),
        ("http://host:8000", "http://host:8001", False),
        ("http://host", "https://host", False),
        ("http://127.0.0.1:8000", "http://[::1]:8000", False),
    ],
)
def test_spellings_of_one_server_share_and_other_servers_do_not(one: str, other: str, same: bool) -> None:
    assert (origin(one) == origin(other)) is same


@pytest.mark.parametrize(
    ("addresses", "same"), [(["127.0.0.1"], True), (["127.0.0.1", "::1"], False), (["10.0.0.1"], False)]
)
def test_localhost_is_an_address_only_where_that_is_certain(monkeypatch, addresses, same) -> None:
    found = [(0, 0, 0, "", (address, 0)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    limit_leases._localhost.cache_clear()
    assert (origin("http://localhost:8000") == origin("http://127.0.0.1:8000/v1")) is same
    limit_leases._localhost.cache_clear()


@pytest.mark.anyio
async def test_a_folder_of_a_group_holds_files_of_the_group_whatever_the_umask(tmp_path) -> None:
    clock, heard = Clock(time.monotonic()), Heard()
    folder = tmp_path / "s"
    folder.mkdir()
    folder.chmod(0o2770)
    before = os.umask(0o077)
    try:
        await sharing(folder, clock, heard, runtime_teacher(clock, KEY, requests_per_minute=600)).turn()
    finally:
        os.umask(before)
    assert heard.events == []
    files = [path.stat() for path in folder.iterdir()]
    assert len(files) == 2
    assert {(stat.S_IMODE(file.st_mode), file.st_gid) for file in files} == {(0o660, folder.stat().st_gid)}
    with pytest.raises(PermissionError, match="others may write"):
        Folder.open(folder, named=False)  # the default folder is the user's alone
    (folder / "salt").unlink()
    (tmp_path / "victim").write_text("x")
    os.link(tmp_path / "victim", folder / "salt")
    with pytest.raises(PermissionError, match="not a plain file"):
        Folder.open(folder)
    assert (tmp_path / "victim").read_text() == "x"


@pytest.mark.skipif(os.getuid() != 0, reason="needs a second user")
def test_users_of_one_group_share_a_limit() -> None:
    group, rates = 54321, []
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)
        folder = Path(parent) / "limits"
        folder.mkdir()
        os.chown(folder, 0, group)
        folder.chmod(0o770)

        async def take(turns: int) -> float:
            clock, heard = Clock(time.monotonic()), Heard()
            runtime = runtime_teacher(clock, KEY, requests_per_minute=600)
            leases = sharing(folder, clock, heard, runtime)
            for _ in range(turns):
                await leases.turn()
                runtime.transport.keys[0].limits.ready_at(clock.now, 1)
                runtime.transport.keys[0].limits.rates.requests.bound_at = clock.now
            assert heard.events == [], heard.events
            return runtime.transport.keys[0].limits.rates.requests.rate

        for user in (12345, 12346):
            reader, writer = os.pipe()
            if (child := os.fork()) == 0:
                os.umask(0o077)
                limit_leases._space.cache_clear()
                os.setgroups([group])
                os.setgid(user)
                os.setuid(user)
                os.write(writer, str(anyio.run(take, 3)).encode())
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            rates.append(float(os.read(reader, 100)))
            os.close(reader)
            os.close(writer)
    assert rates[0] == 10 and rates[1] < 9.9, "the second one leaves what the first one took"


def shared_with(folder: Path) -> int:
    """Other processes with which the folder's daemon shares its teacher's limits, as its last pulse says."""
    (data,) = query(folder, "SELECT data FROM pulse")[0]
    return int(json.loads(data)["teachers"]["school"]["shared_with"])


def test_two_daemons_keep_one_limit_and_one_alone_takes_all_of_it(tmp_path) -> None:
    """1,200 requests a minute for the key; the server saves up a second's worth at most."""
    env = {"SCHOOL_KEY": KEY, "COTERIE_LIMITS": str(tmp_path / "limits")}
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
    assert os.listdir(tmp_path / "limits")


def answered(school, start: int, end: int) -> float:
    """Answers a second that the teacher gave between two times."""
    good = [
        entry for entry in school.ledger() if entry["status"] == 200 and start <= entry["received_at"] < end
    ]
    return 1000 * len(good) / (end - start)
