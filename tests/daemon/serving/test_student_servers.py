from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from daemon.events import RunFinished, StudentServed, StudentServerEnded, ThresholdReached
from daemon.host.notify import Notifier
from daemon.host.processes import start_time
from daemon.pipeline import Pipeline
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher
from daemon.serving import server_process, student_servers
from daemon.serving.server_process import take_lock
from daemon.serving.student_servers import StudentServers
from daemon.training.devices import Device
from daemon.training.loans import DeviceLoans
from engine.students.launch import RankLaunch
from engine.teachers.transport import make_client
from state.tables import Teacher as TeacherRow
from tests.daemon.parts import Heard, active_plan, config_of, context_of, teacher_config, until, writing
from tests.state.world import World, make, question_rows

pytestmark = pytest.mark.anyio
CPU = Device("cpu:0", "cpu", 0, 1)
FAKE = Path(__file__).with_name("fake_server.py")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    def command(directory: Path, name: str, **_: Any) -> RankLaunch:
        return RankLaunch(
            rank=0, argv=(sys.executable, str(FAKE), str(directory), name, "0"), env=dict(os.environ)
        )

    monkeypatch.setattr(server_process, "serve_command", command)
    monkeypatch.setattr(student_servers, "LOOK_S", 0.01)
    for run in ("1", "2"):
        (tmp_path / "runs" / run / "student").mkdir(parents=True)
    found = make(tmp_path / "state.db", questions=6)
    found.task("u", question_rows(6))
    found.teacher("me")
    yield found
    found.connection.close()


class Bench:
    """The parts that sample and serve, with a trainer that has one device."""

    def __init__(
        self, pipeline: Pipeline, teacher: Teacher, trainer: Any, heard: Heard, folder: Path
    ) -> None:
        self.pipeline, self.teacher, self.trainer, self.heard, self.folder = (
            pipeline,
            teacher,
            trainer,
            heard,
            folder,
        )

    servers: Any
    refreshed: list[None]

    @property
    def notes(self) -> list[str]:
        path = self.folder / "runs" / "notes.txt"
        return path.read_text().splitlines() if path.exists() else []

    def pids(self) -> list[int]:
        return [int(note.split()[2]) for note in self.notes if " start " in note]

    def grant(self) -> None:
        self.trainer.loans.grant([CPU], self.trainer.loans.devices)


@asynccontextmanager
async def serving(world: World, *plans: ActivePlan) -> AsyncIterator[Bench]:
    settings = teacher_config(builtin=False, student="s", model="s", concurrency=2)
    config = config_of(world.path.parent, teachers={"me": settings.model_dump()})
    trainer = SimpleNamespace(loans=DeviceLoans(), queued=0, changed=Notifier())
    heard = Heard()
    refreshed: list[None] = []

    async def refresh() -> None:
        refreshed.append(None)

    async with writing(world) as writer:
        context = context_of(world, writer, bus=heard.bus)
        pipeline = Pipeline(context, plans=list(plans))
        async with make_client(settings) as client:
            row = TeacherRow(id=world.teachers["me"], name="me", state="ready", answered=0)
            teacher = pipeline.make_teacher(row, settings, client)
            context.budget.add_teacher(teacher.id, None)
            for plan in plans:
                context.budget.add_plan(plan.id, None)
            pipeline.add_teacher(teacher, ())
            servers: Any = StudentServers(
                lambda: config, context, sampling=pipeline, trainer=trainer, refresh=refresh
            )
            servers._directory = lambda run: world.path.parent / "runs" / str(run)
            servers._served_now = lambda: {plan.id: (plan.served, plan.waits_for) for plan in plans}
            bench = Bench(pipeline, teacher, trainer, heard, world.path.parent)
            bench.servers, bench.refreshed = servers, refreshed
            async with anyio.create_task_group() as group:
                for _, serve in [*pipeline.parts(), ("servers", servers.serve)]:
                    await group.start(serve)
                try:
                    yield bench
                finally:
                    pipeline.close()
                    group.cancel_scope.cancel()
        assert not servers._servers["me"].process


def student_plan(world: World, run: int | None = 1, **settings: Any) -> ActivePlan:
    plan = active_plan(world, teachers=("me",), strategy="student", rationales=1, **settings)
    plan.served = run
    if run is None:
        plan.waits_for = "student s: it has no finished run on t"
    return plan


async def test_a_student_is_served_while_it_is_asked_and_again_when_its_server_dies(world: World) -> None:
    plan, later = student_plan(world), student_plan(world, None, name="later", task="u")
    async with serving(world, plan, later) as bench:
        await until(lambda: "all devices" in bench.teacher.health.absent)
        assert not bench.notes and not world.rows("SELECT 1 FROM sample"), (
            "nothing is claimed before it is there"
        )
        bench.grant()
        await until(lambda: bench.heard.of(StudentServed))
        os.kill(bench.pids()[0], signal.SIGKILL)
        await until(lambda: plan.done)
        assert bench.trainer.loans.devices == [CPU], "it is kept for a while"
        bench.trainer.queued = 1
        await until(lambda: not bench.trainer.loans.devices)
        assert bench.teacher.health.absent == "waits for student s: it has no finished run on t"
        assert world.rows("SELECT rationale, answer, verdict, count(*) FROM sample GROUP BY 1, 2, 3") == [
            ("because", "yes", 1, 6)
        ]
        await until(lambda: "1 end" in bench.notes)


async def test_plans_are_looked_at_when_a_run_of_their_student_ends(world: World) -> None:
    plan = student_plan(world, None)
    async with serving(world, plan) as bench:
        servers, waits = bench.servers, "student s: run 1 on t has not ended"
        bench.heard.bus.emit(RunFinished(run_id=7, student="other", scope="t", result=""))
        assert servers.idle
        servers._served_now = lambda: {plan.id: (None, waits)}
        bench.heard.bus.emit(
            ThresholdReached(run_id=1, student="s", scope="t", trigger="complete", samples=3)
        )
        assert not servers.idle, "a daemon that waits for work must not end now"
        await until(lambda: plan.waits_for == waits and servers.idle)
        assert not bench.refreshed, "the same run as before: none"
        servers._served_now = lambda: {plan.id: (1, "")}
        bench.heard.bus.emit(RunFinished(run_id=1, student="s", scope="t", result=""))
        await until(lambda: servers.idle)
        assert len(bench.refreshed) == 1, "it can begin"


async def test_the_students_of_two_tasks_are_served_one_after_the_other(world: World) -> None:
    plans = student_plan(world, 1), student_plan(world, 2, task="u")
    async with serving(world, *plans) as bench:
        await until(lambda: "all devices" in bench.teacher.health.absent)
        bench.grant()
        await until(lambda: all(plan.done for plan in plans))
        asked = [note.split()[0] for note in bench.notes if " asked " in note]
        assert asked == ["1"] * 6 + ["2"] * 6
        order = [note.split()[:2] for note in bench.notes if " asked " not in note]
        assert order == [["1", "start"], ["1", "end"], ["2", "start"]], "never two at a time"


async def test_a_server_that_never_answers_is_tried_three_times(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(student_servers, "WAIT_S", 0.0)
    (world.path.parent / "runs" / "1" / "ends").touch()
    plan = student_plan(world)
    async with serving(world, plan) as bench:
        await until(lambda: "all devices" in bench.teacher.health.absent)
        bench.grant()
        await until(lambda: bench.teacher.health.parked)
        assert bench.teacher.health.parked == "the server of run 1 ended (exit 7): no memory"
        assert len(bench.pids()) == 3 and len(bench.heard.of(StudentServerEnded)) == 2
        await until(lambda: not bench.trainer.loans.devices)
        (world.path.parent / "runs" / "1" / "ends").unlink()
        await bench.pipeline.switch(task=None, teacher="me", paused=False)
        await until(lambda: "all devices" in bench.teacher.health.absent)
        bench.grant()
        await until(lambda: plan.done)


def test_the_server_of_a_daemon_that_is_gone_is_ended_and_that_of_another_is_waited_for(
    tmp_path: Path,
) -> None:
    path = tmp_path / "serve-s.lock"

    def held(daemon: int, started: float) -> subprocess.Popen[bytes]:
        lock = take_lock(path)
        assert isinstance(lock, int)
        server = subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL, pass_fds=(lock,))
        who = {
            "pid": server.pid,
            "started": start_time(server.pid),
            "daemon": daemon,
            "daemon_started": started,
        }
        os.pwrite(lock, json.dumps(who).encode(), 0)
        os.close(lock)
        return server

    me = start_time(os.getpid()) or 0.0
    server = held(os.getpid(), me)
    try:
        assert take_lock(path) == f"another daemon (pid {os.getpid()}) serves it"
        assert server.poll() is None
    finally:
        server.kill()
        server.wait()
    server = held(os.getpid(), me - 1)  # the pid is another process now
    with suppress(subprocess.TimeoutExpired):
        assert take_lock(path) == f"an earlier server of it (pid {server.pid}) is about to end"
        assert server.wait(10) == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while isinstance(lock := take_lock(path), str):
        assert time.monotonic() < deadline
    os.close(lock)


def test_who_waits_for_a_device_gets_the_next_free_one(tmp_path: Path) -> None:
    loans, second = DeviceLoans(), Device("cpu:1", "cpu", 1, 1)
    assert not loans.grant([CPU], []) and loans.ask("a") is None and loans.ask("b") is None
    assert not loans.grant([CPU], [CPU]), "a run has it"
    assert loans.grant([CPU, second], [second]) and loans.ask("a") == CPU
    assert not loans.grant([CPU, second], [second, CPU])
    loans.give_back("b")
    assert not loans.grant([CPU, second], [CPU]) and loans.devices == [CPU]
    loans.give_back("a")
    assert loans.devices == []
