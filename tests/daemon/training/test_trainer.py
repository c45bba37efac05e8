from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import pytest

from daemon.events import RunFailed, RunFinished, RunNoted, RunStarted, SampleStored
from daemon.host.clock import SystemClock
from daemon.host.processes import killed_for_memory, start_time
from daemon.sampling.plans import ActivePlan
from daemon.training.devices import Device, cores
from daemon.training.manifest import materialise
from daemon.training.planner import Planner
from daemon.training.run_directory import claim_directory
from daemon.training.run_process import RunProcess
from daemon.training.trainer import Trainer
from engine.config import Config
from engine.students.launch import ROOT
from engine.students.orphans import Owner, read_owner, show_owner
from engine.students.progress_file import FILE, ProgressWriter
from engine.students.run_commands import FINISH, Launch, read_launch, read_share, write_launch
from state.enums import RunState
from state.runs import RunRow, RunSettings, unfinished
from tests.daemon.parts import Heard, active_plan, config_of, owned, until, writing
from tests.state.world import World, make

pytestmark = pytest.mark.anyio
ENDED = (RunFinished, RunFailed)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=10)
    yield found
    found.connection.close()


def config(world: World, **training: object) -> Config:
    student = {
        **{"name": "s", "tasks": ["t"], "train_at": [3, 6], "start_from": "previous"},
        "training": {"steps": 2, "precision": "fp32", "batch_tokens": 64, **training},
        "evaluation": {"dev_evaluations": 0},
    }
    return config_of(
        world.path.parent,
        teachers={"a": {"builtin": True, "model": "m"}},
        tasks={"t": {"source": "x.jsonl", "answer": "yes_no"}},
        plans=[{"name": "p"}],
        students=[student],
    )


@asynccontextmanager
async def parts(
    world: World,
    config: Config,
    plan: ActivePlan,
    heard: Heard,
    devices: list[Device],
    trained: Config | None = None,
) -> AsyncIterator[tuple[Trainer, Planner]]:
    """A trainer on these devices, and the planner that makes its runs."""
    async with writing(world) as writer:
        trainer = Trainer(
            trained or config,
            boot_id=world.boot,
            writer=writer,
            bus=heard.bus,
            clock=SystemClock(),
            devices=devices,
        )
        planner = Planner(
            config, writer=writer, bus=heard.bus, trainer=trainer, plans=[plan], task_ids=world.tasks
        )
        yield trainer, planner


async def test_a_run_too_large_for_the_memory_is_tried_in_parts_and_the_next_one_starts_from_it(
    world: World,
) -> None:
    made, plan, heard = config(world), active_plan(world), Heard()
    devices = [Device(f"cpu:{index}", "cpu", index, 1) for index in (0, 1)]
    async with parts(world, made, plan, heard, devices) as (trainer, planner):
        async with anyio.create_task_group() as group:
            await group.start(planner.serve)
            for wanted in (1, 2):
                world.store(world.claim(plan.id, 3))
                heard.bus.emit(SampleStored(plan="p", task="t", correct=True))
                planner.changed.notify()
                await until(lambda wanted=wanted: len(world.rows("SELECT id FROM run")) == wanted)
            # The first run's process is gone; its last word was that the memory was too small.
            directory = materialise(world.connection, made, unfinished(world.connection)[0])
            said = ProgressWriter(directory / FILE)
            said.write("failed", message="out of memory: lower training.batch_tokens", rank=0, memory=True)
            said.close()
            world.connection.execute(
                "UPDATE run SET state = 'training', pid = ?, pid_started = 1.0, tries = 1 WHERE id = 1",
                (2**22 + 1,),
            )
            await group.start(trainer.serve)
            await until(
                lambda: trainer.idle and not world.rows("SELECT id FROM run WHERE state <> 'done'"), 120
            )
            group.cancel_scope.cancel()
    assert heard.of(RunFailed) == []
    [note] = heard.of(RunNoted)
    assert note.message() == (
        "run 1 (s on t): out of memory: lower training.batch_tokens; it is resumed with each micro-batch in 2 parts, "
        "as with batch_tokens = 32 and accumulation = 2: rows and tokens of a step stay the same"
    )
    first, second = (json.loads((made.runs / run / "spec.json").read_text()) for run in "12")
    assert first["pieces"] == 2 and first["base"] == "builtin:nano" and first["started_from"] is None
    assert world.rows("SELECT tries, state FROM run") == [(1, "done"), (1, "done")]
    # Two devices were free: the second run waited for the first, and is what that became, trained further.
    assert second["base"] == str(made.runs / "1" / "student") and second["started_from"] == 1
    # It goes on in the stream: the epochs that the first began are not repeated.
    seen = json.loads((made.runs / "1" / "evaluation.json").read_text())["epoch"]
    assert (first["epochs_before"], second["epochs_before"]) == (0, math.ceil(seen)) and seen > 0
    assert (
        "| started from | the student of run 1 |" in (made.runs / "2" / "student" / "README.md").read_text()
    )
    ended, begun = world.rows(
        "SELECT ended_at FROM run WHERE id = 1 UNION SELECT started_at FROM run WHERE id = 2"
    )
    assert ended <= begun


@pytest.mark.parametrize(
    ("last", "state", "tries", "full"),
    [
        ("done", "done", 3, False),
        ("stopped", "queued", 2, False),
        ("step", "failed", 3, False),
        ("checkpoint", "queued", 0, False),
        ("done", "done", 3, True),
        ("step", "queued", 2, True),
        ("failed", "queued", 2, True),
    ],
)
async def test_what_a_run_said_last_counts_though_the_daemon_that_read_it_was_killed(
    world: World, last: str, state: str, tries: int, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if full:  # a run that dies on a full disk waits for room, whatever it could still say
        monkeypatch.setattr(os, "posix_fallocate", no_room)
    made, plan, heard = config(world), active_plan(world), Heard()
    async with parts(world, made, plan, heard, []) as (trainer, planner):
        async with anyio.create_task_group() as group:
            await group.start(planner.serve)
            world.store(world.claim(plan.id, 3))
            heard.bus.emit(SampleStored(plan="p", task="t", correct=True))
            planner.changed.notify()
            await until(lambda: world.rows("SELECT id FROM run"))
            directory = materialise(world.connection, made, unfinished(world.connection)[0])
            (directory / "predictions.jsonl").write_text("")
            said = ProgressWriter(directory / FILE)
            said.write("starting", phase="importing")
            said.write(last, step=1, steps=1, reason="complete", message="no file")
            said.close()
            read = (directory / FILE).stat().st_size  # its process is gone, and all it said was read
            world.connection.execute(
                "UPDATE run SET state = 'evaluating', pid = ?, pid_started = 1.0, tries = 3, progress_offset = ?",
                (2**22 + 1, read),
            )
            idle: list[bool] = []
            heard.bus.listen(lambda event: idle.append(trainer.idle) if isinstance(event, ENDED) else None)
            trainer.queued = 0  # it is not queued any more
            await group.start(trainer.serve)
            await until(lambda: world.row("SELECT state FROM run") != ("evaluating",))
            group.cancel_scope.cancel()
    assert world.row("SELECT state, tries FROM run") == (state, tries)
    assert idle == [False] * (state != "queued"), "what follows from its end is not known before it is told"


def no_room(file: int, offset: int, size: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


HOLDER = """
import sys
from pathlib import Path
from engine.students.progress_file import ProgressWriter
from engine.students.run_lock import lock_run
run = Path(sys.argv[1])
lock_run(run, first=True)
print("held", flush=True)
sys.stdin.read()
if "say" in sys.argv:
    ProgressWriter(run / "progress.jsonl").write("done", step=1, steps=1, reason="complete")
"""


@contextmanager
def holder(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that trains in a directory, as far as others can see; it ends when its stdin does."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


async def test_a_trainer_is_found_again_though_its_daemon_died_before_it_stored_the_pid(world: World) -> None:
    """The same when `state.db` has the pid of an earlier process, as after a restored backup."""
    made, plan, heard = config(world), active_plan(world), Heard()
    made.daemon.__dict__["orphan_hours"] = 2.0
    devices = [Device(f"cpu:{index}", "cpu", index, 1) for index in (0, 1)]
    async with parts(world, made, plan, heard, devices) as (trainer, planner):
        async with anyio.create_task_group() as group:
            await group.start(planner.serve)
            for wanted in (1, 2):
                world.store(world.claim(plan.id, 3))
                heard.bus.emit(SampleStored(plan="p", task="t", correct=True))
                planner.changed.notify()
                await until(lambda wanted=wanted: len(world.rows("SELECT id FROM run")) == wanted)
            for row in unfinished(world.connection):
                if row.id == 1:
                    directory = materialise(world.connection, made, row)
            (directory / "predictions.jsonl").write_text("")
            dead = 2**22 + 1
            world.connection.execute(
                "UPDATE run SET student = 'r', state = 'training', pid = ?, pid_started = 1.0, tries = 1 WHERE id = 2",
                (dead,),
            )  # another student: it waits for no other
            (second,) = (row for row in unfinished(world.connection) if row.id == 2)
            claim_directory(world.connection, made, second, print)
            (made.runs / "2" / "predictions.jsonl").write_text("")
            owner = Owner.of(world.path, devices="cpu:1", orphan_hours=None)
            show_owner(directory, owner)  # what the daemon wrote before it started it
            with holder(directory, "say") as first, holder(made.runs / "2", "say") as other:
                await group.start(trainer.serve)
                assert trainer.active == [1, 2]
                assert world.rows("SELECT state, pid, device, tries FROM run") == [
                    ("starting", first.pid, "cpu:1", 1),
                    ("starting", other.pid, "cpu:0", 1),
                ]
                assert [event.pid for event in heard.of(RunStarted)] == [first.pid, other.pid]
                await until(lambda: (read_owner(directory) or owner).orphan_hours == 2.0)
            await until(lambda: world.rows("SELECT state FROM run") == [("done",)] * 2)
            group.cancel_scope.cancel()
    assert not (directory / "log.txt").exists(), "no process was started"


@pytest.mark.parametrize("dies", [True, False], ids=["the daemon dies", "the daemon drains"])
async def test_a_stop_for_good_stays_one_whatever_becomes_of_the_daemon(world: World, dies: bool) -> None:
    made, plan, heard = config(world), active_plan(world), Heard()
    devices = [Device("cpu:0", "cpu", 0, 1)]
    async with parts(world, made, plan, heard, devices) as (trainer, planner):
        async with anyio.create_task_group() as group:
            await group.start(planner.serve)
            world.store(world.claim(plan.id, 3))
            heard.bus.emit(SampleStored(plan="p", task="t", correct=True))
            planner.changed.notify()
            await until(lambda: world.rows("SELECT id FROM run"))
            (row,) = unfinished(world.connection)
            directory = materialise(world.connection, made, row)
            show_owner(directory, Owner.of(world.path, devices="cpu:0", orphan_hours=None))
            with holder(directory):
                await group.start(trainer.serve)
                assert trainer.active == [1]
                assert await trainer.stop_run(1)
                if dies:
                    group.cancel_scope.cancel()
                else:
                    await trainer.drain(0.0)
            if not dies:
                await until(lambda: not trainer.active)
                group.cancel_scope.cancel()
    if dies:
        async with parts(world, made, plan, heard, devices) as (trainer, _):
            async with anyio.create_task_group() as group:
                await group.start(trainer.serve)
                group.cancel_scope.cancel()
    assert world.rows("SELECT state FROM run") == [("stopped",)]


async def test_a_run_waits_for_a_trainer_of_another_database_in_its_directory(world: World) -> None:
    made, plan, heard = config(world), active_plan(world), Heard()
    async with parts(world, made, plan, heard, [Device("cpu:0", "cpu", 0, 1)]) as (trainer, planner):
        async with anyio.create_task_group() as group:
            await group.start(planner.serve)
            world.store(world.claim(plan.id, 3))
            heard.bus.emit(SampleStored(plan="p", task="t", correct=True))
            planner.changed.notify()
            await until(lambda: world.rows("SELECT id FROM run"))
            directory = made.runs / "1"
            directory.mkdir(parents=True)
            world.connection.execute(
                "UPDATE run SET digest = 'another'"
            )  # so that it fails as soon as it starts
            with holder(directory) as process:
                await group.start(trainer.serve)
                await until(lambda: heard.of(RunNoted))
                await until(lambda: not trainer.idle)
                assert world.rows("SELECT state, pid FROM run") == [("queued", None)]
                pid = process.pid
            await until(lambda: heard.of(RunFailed))
            group.cancel_scope.cancel()
    waits, aside = heard.of(RunNoted)
    assert waits.note == (
        f"process {pid} trains another run in {directory}, of a database that was there before: it waits until that has ended"
    )
    assert "It was set aside as 1.of-unknown" in aside.note


async def test_only_a_run_that_trains_can_be_finished(world: World) -> None:
    made, plan, heard = config(world), active_plan(world), Heard()
    async with parts(world, made, plan, heard, []) as (trainer, planner):
        async with anyio.create_task_group() as group:
            await group.start(planner.serve)
            world.store(world.claim(plan.id, 3))
            heard.bus.emit(SampleStored(plan="p", task="t", correct=True))
            planner.changed.notify()
            await until(lambda: world.rows("SELECT id FROM run"))
            group.cancel_scope.cancel()
        (made.runs / "1").mkdir(parents=True)
        owned(world.connection, made.runs / "1")
        assert not await trainer.finish_run(1), "it never began"
        world.connection.execute("UPDATE run SET started_at = 1, tries = 0")  # its last try made a checkpoint
        assert not await trainer.finish_run(2), "there is no such run"
        assert await trainer.finish_run(1)
        (made.runs / "1" / FINISH).unlink()
        world.connection.execute("UPDATE run SET spec = json_set(spec, '$.student.method', 'base')")
        assert not await trainer.finish_run(1), "the measurement of an untrained base has no steps"
        assert not (made.runs / "1" / FINISH).exists()


async def test_runs_side_by_side_share_the_threads_and_one_that_is_left_has_all(world: World) -> None:
    made, plan, heard = config(world), active_plan(world), Heard()
    devices = [Device(f"cpu:{index}", "cpu", index, 1, shared=True) for index in (0, 1)]
    async with parts(world, made, plan, heard, devices) as (trainer, planner):
        processes = [subprocess.Popen(["sleep", "60"]) for _ in devices]  # noqa: ASYNC220
        try:
            async with anyio.create_task_group() as group:
                await group.start(planner.serve)
                for number, process in enumerate(processes, start=1):
                    world.store(world.claim(plan.id, 3))
                    heard.bus.emit(SampleStored(plan="p", task="t", correct=True))
                    planner.changed.notify()
                    await until(lambda number=number: len(world.rows("SELECT id FROM run")) == number)
                    (made.runs / str(number)).mkdir(parents=True)
                    owned(world.connection, made.runs / str(number))
                    world.connection.execute(
                        "UPDATE run SET state = 'training', tries = 3, device = ?, pid = ?, pid_started = ? WHERE id = ?",
                        (devices[number - 1].name, process.pid, start_time(process.pid), number),
                    )
                await group.start(trainer.serve)
                assert [read_share(made.runs / run) for run in "12"] == [max(1, cores() // 2)] * 2
                processes[0].kill()
                processes[0].wait()
                await until(lambda: read_share(made.runs / "2") == cores() and trainer.active == [2])
                group.cancel_scope.cancel()
        finally:
            for process in processes:
                process.kill()
                process.wait()


async def test_a_run_waits_for_room_on_the_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def reserve(*given: int) -> None:
        asked.append(given)
        no_room(*given)

    monkeypatch.setattr(os, "posix_fallocate", reserve)
    plan, heard = active_plan(world), Heard()
    world.store(world.claim(plan.id, 3))
    async with (
        parts(world, config(world), plan, heard, [Device("cpu:0", "cpu", 0, 1)]) as (trainer, planner),
        anyio.create_task_group() as group,
    ):
        await group.start(trainer.serve)
        await group.start(planner.serve)
        await until(lambda: len(asked) >= 3)
        group.cancel_scope.cancel()
    assert [run.state for run in unfinished(world.connection)] == [RunState.QUEUED]
    (noted,) = heard.of(RunNoted)
    assert "has no room for 17 MB (No space left on device); it waits until there is room" in noted.note
    assert not heard.of(RunFailed)


async def test_a_run_whose_hostfile_is_gone_fails_and_says_so(world: World) -> None:
    made, plan, heard = config(world), active_plan(world), Heard()
    world.store(world.claim(plan.id, 3))
    gone = config(world, hostfile="hosts")
    async with parts(world, made, plan, heard, [Device("cpu:0", "cpu", 0, 1)], trained=gone) as (
        trainer,
        planner,
    ):
        async with anyio.create_task_group() as group:
            await group.start(planner.serve)
            await until(lambda: world.rows("SELECT id FROM run"))
            await group.start(trainer.serve)
            await until(lambda: heard.of(RunFailed))
            group.cancel_scope.cancel()
    [failed] = heard.of(RunFailed)
    assert "the hostfile" in failed.reason and "cannot be read" in failed.reason


def test_a_run_of_several_machines_is_stopped_by_an_order(tmp_path: Path) -> None:
    start = Launch(start="one", launcher="pdsh", hosts=(("a", 1),), address="a", port=1, env={})
    write_launch(tmp_path, start)
    row = RunRow(
        id=1,
        student="s",
        scope="t",
        trigger="3",
        state=RunState.TRAINING,
        base="builtin:nano",
        settings=RunSettings(student={}),
        digest="d",
    )
    run = RunProcess(row=row, directory=tmp_path, pid=2**22 + 1, pid_started=1.0, launched=True)
    for what, order in ((run.ask_to_stop, "stop"), (run.kill, "end")):
        what()
        told = read_launch(tmp_path)
        assert told is not None and told.command == order


@pytest.mark.parametrize(
    ("group", "file", "text"),
    [
        ("0::/a/b", "a/b/memory.events", "low 0\noom 4\noom_kill 3\n"),
        ("9:x:/\n4:cpu,memory:/c", "memory/c/memory.oom_control", "oom_kill_disable 0\noom_kill 3\n"),
    ],
)
def test_the_kernel_counts_processes_killed_for_memory(
    tmp_path: Path, group: str, file: str, text: str
) -> None:
    own, root = tmp_path / "cgroup", tmp_path / "groups"
    assert killed_for_memory(own, root) is None
    own.write_text(f"{group}\n")
    assert killed_for_memory(own, root) is None
    (root / file).parent.mkdir(parents=True)
    (root / file).write_text(text)
    assert killed_for_memory(own, root) == 3


async def test_a_queued_run_and_the_server_of_a_student_take_turns_on_one_device(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, plan, heard, device = config(world), active_plan(world), Heard(), Device("cpu:0", "cpu", 0, 1)
    started: list[int] = []

    def spawn(run: RunRow, *_: object) -> None:
        started.append(run.id)
        raise OSError(errno.ENOSPC, "no room")  # it would have started

    monkeypatch.setattr("daemon.training.trainer.spawn", spawn)
    async with parts(world, made, plan, heard, [device]) as (trainer, planner):
        async with anyio.create_task_group() as group:
            await group.start(planner.serve)
            world.store(world.claim(plan.id, 3))
            heard.bus.emit(SampleStored(plan="p", task="t", correct=True))
            planner.changed.notify()
            await until(lambda: world.rows("SELECT id FROM run"))
            assert trainer.loans.ask("me") is None, "the trainer decides"
            await group.start(trainer.serve)
            await until(lambda: trainer.queued == 1)
            assert trainer.loans.ask("me") == device and not trainer.idle
            for _ in range(3):  # looks at the queue
                trainer.changed.notify()
                await anyio.sleep(0.01)
            assert not started, "the server waited first"
            trainer.loans.give_back("me")
            trainer.changed.notify()
            await until(lambda: started == [1])
            group.cancel_scope.cancel()
