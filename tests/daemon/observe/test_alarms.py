"""Alarms over real receivers: a program and a loopback server; a broken one holds nobody up."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from daemon import events
from daemon.events import Bus, Event, TeacherParked
from daemon.host.clock import SystemClock
from daemon.observe import alarms as module
from daemon.observe.alarms import Alarms
from daemon.observe.watch import Watch
from daemon.sampling.budget import Budget
from engine.config import Config
from engine.config.notify import KINDS

pytestmark = pytest.mark.anyio

FAILED = events.RunFailed(run_id=3, student="cot", scope="t", reason="no memory")


def config(folder: Path, **notify: Any) -> Config:
    made = Config.model_validate({"notify": notify})
    made._folder = folder
    return made


async def told(given: Config, *said: Event, bus: Bus | None = None) -> list[Event]:
    """Emits events to alarms with this configuration; everything on the bus."""
    bus, heard = bus or Bus(), list[Event]()
    bus.listen(heard.append)
    alarms = Alarms(lambda: given, bus=bus, clock=SystemClock())
    async with anyio.create_task_group() as group:
        await group.start(alarms.serve)
        for event in said:
            bus.emit(event)
        await alarms.close()
    return heard


def writer(folder: Path) -> list[str]:
    """A program that appends what it gets to `told.jsonl`."""
    file = folder / "told.jsonl"
    script = f'(cat; echo; env | grep -c API_KEY >> {file}.keys; echo "$COTERIE_KIND:$COTERIE_LEVEL" >> {file}.env) >> {file}'
    return ["/bin/sh", "-c", script]


def received(folder: Path) -> list[dict[str, Any]]:
    file = folder / "told.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


async def test_a_command_gets_what_its_kinds_and_levels_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    given = config(tmp_path, command=writer(tmp_path), kinds=["parked"], levels=["error"])
    refused = events.ConfigRefused(reason="x")
    await told(
        given,
        TeacherParked(teacher="gpt", reason="HTTP 402"),
        FAILED,  # a kind that is not asked for
        events.Noted(what="a warning"),
        refused,
    )
    got = received(tmp_path)
    assert [(each["kind"], each["level"]) for each in got] == [("parked", "error"), ("event", "error")]
    assert "HTTP 402" in got[0]["message"] and got[0]["subject"] == "teacher:gpt"
    assert got[0]["text"] == got[0]["content"] and got[0]["message"] in got[0]["text"]
    assert (tmp_path / "told.jsonl.env").read_text().split() == ["parked:error", "event:error"]
    assert set((tmp_path / "told.jsonl.keys").read_text().split()) == {"0"}, "keys are not passed on"


async def test_alarms_about_the_same_are_held_back_and_counted(tmp_path: Path) -> None:
    given = config(tmp_path, command=writer(tmp_path), repeat_minutes=60)
    other = events.RunFailed(run_id=4, student="cot", scope="t", reason="no memory")
    await told(given, *[FAILED] * 50, other)
    assert [each["subject"] for each in received(tmp_path)] == ["run:3", "run:4"]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["/bin/sh", "-c", "exit 3"], "ended with code 3"),
        (["/no/such/program"], "No such file"),
        (["/bin/sh", "-c", "sleep 100"], "did not end within"),
    ],
)
async def test_a_failing_command_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], why: str
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.3)
    other = events.RunFailed(run_id=4, student="cot", scope="t", reason="no memory")
    heard = await told(config(tmp_path, command=command), FAILED, other)
    said = [event.what for event in heard if isinstance(event, events.Noted)]
    assert len(said) == 1 and why in said[0] and "this is said once" in said[0]


async def hook(
    folder: Path,
    answer: Callable[[dict[str, Any]], Awaitable[int]],
    monkeypatch: pytest.MonkeyPatch,
    *said: Event,
) -> list[Event]:
    """Alarms to a loopback server."""

    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=await answer(await request.json()))

    app = web.Application()
    app.router.add_post("/secret-path", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    monkeypatch.setenv("MY_HOOK", f"http://127.0.0.1:{port}/secret-path")
    try:
        return await told(config(folder, webhook="env:MY_HOOK"), *said)
    finally:
        await runner.cleanup()


async def test_a_webhook_gets_json_and_its_failure_never_names_its_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[dict[str, Any]] = []

    async def good(alarm: dict[str, Any]) -> int:
        got.append(alarm)
        return 200

    async def bad(alarm: dict[str, Any]) -> int:
        return 500

    assert not [each for each in await hook(tmp_path, good, monkeypatch, FAILED) if each.level == "warning"]
    assert got[0]["kind"] == "run-failed" and "no memory" in got[0]["text"]
    [noted] = [
        each for each in await hook(tmp_path, bad, monkeypatch, FAILED) if isinstance(each, events.Noted)
    ]
    assert "webhook fails: HTTP 500" in noted.what and "secret-path" not in noted.what
    monkeypatch.setenv("MY_HOOK", "http://127.0.0.1:9/secret-path")
    heard = await told(config(tmp_path, webhook="env:MY_HOOK"), FAILED)
    assert "secret-path" not in "".join(each.what for each in heard if isinstance(each, events.Noted))
    monkeypatch.delenv("MY_HOOK")
    heard = await told(config(tmp_path, webhook="env:MY_HOOK"), FAILED)
    assert any("MY_HOOK is not set" in each.what for each in heard if isinstance(each, events.Noted))


async def test_a_receiver_that_hangs_holds_up_neither_the_bus_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LAST_S", 0.2)
    bus, given = Bus(), config(tmp_path, command=["/bin/sh", "-c", "sleep 1000"])
    alarms = Alarms(lambda: given, bus=bus, clock=SystemClock())
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            await group.start(alarms.serve)
            for number in range(1000):
                bus.emit(events.RunFailed(run_id=number, student="s", scope="t", reason="r"))
            await alarms.close()
            group.cancel_scope.cancel()


def test_a_literal_url_of_a_webhook_is_refused() -> None:
    with pytest.raises(ValueError, match="env:NAME"):
        Config.model_validate({"notify": {"webhook": "https://hooks.example/T0/secret"}})


def test_every_kind_has_an_event_and_every_event_a_known_kind() -> None:
    found = {
        each.alarm for each in vars(events).values() if isinstance(each, type) and issubclass(each, Event)
    }
    assert found - {""} == set(KINDS)


def test_a_budget_near_its_end_is_reported_once_and_again_when_its_cap_changed(tmp_path: Path) -> None:
    bus, heard, budget = Bus(), list[Event](), Budget(1_000_000)
    bus.listen(heard.append)
    budget.add_teacher(1, None)
    budget.add_plan(1, None)
    given = config(tmp_path)
    watch = Watch(lambda: given, budget=budget, bus=bus, clock=SystemClock())
    watch.look_at_budgets()
    assert not heard
    budget.reserve(1, 1, 800_000)
    watch.look_at_budgets()
    watch.look_at_budgets()
    assert [event.message() for event in heard] == [
        "the budget ([daemon] budget_usd): 80 % is used: $0.0000 of $1.00 spent, $0.8000 reserved, $0.0000 unknown"
    ]
    budget.total.cap = 900_000
    watch.look_at_budgets()
    assert len(heard) == 2


async def test_a_disk_that_is_nearly_full_is_reported_once(tmp_path: Path) -> None:
    bus, heard = Bus(), list[Event]()
    bus.listen(heard.append)
    watch = Watch(lambda: config(tmp_path, disk_gb=1e9), budget=Budget(None), bus=bus, clock=SystemClock())
    await watch._look_at_disks()
    await watch._look_at_disks()
    assert {type(event) for event in heard} == {events.DiskLow} and 1 <= len(heard) <= 2
