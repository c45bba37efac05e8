"""Runs as Slurm jobs, with programs that stand for Slurm: what the trainer does. `make slurm` does it on a real one."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from daemon.events import Noted, RunFailed, RunNoted, RunStarted, SampleStored
from daemon.training import slurm_jobs
from daemon.training.devices import Device, check_ranks
from daemon.training.trainer import Trainer
from engine.config import Config
from engine.students.progress_file import FILE, ProgressWriter
from engine.students.slurm import read_job
from state.runs import unfinished
from tests.daemon.parts import Heard, active_plan, until
from tests.daemon.training.test_trainer import config, parts, world
from tests.state.world import World

pytest.importorskip("submitit")
pytestmark = pytest.mark.anyio
__all__ = ("world",)

PROGRAMS = {
    "sbatch": """
        for trouble in busy refuse; do
          if [ -e $trouble ]; then cat $trouble >&2; exit 1; fi
        done
        number=$(($(ls jobs | wc -l) + 1))
        name=$(sed -n 's/^#SBATCH --job-name=//p' "$1")
        cp "$1" script; env > environment
        echo "$name|$number|PENDING|Priority" > jobs/$number
        echo "Submitted batch job $number"
        """,
    "squeue": """
        if [ -e silent ]; then echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1; fi
        cat jobs/* 2>/dev/null || true
        """,
    "scancel": 'echo "$@" >> cancels',
    "srun": "exit 1",
    "scontrol": "exit 1",
}


class FakeSlurm:
    """A folder of programs that stand for Slurm's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "jobs").mkdir(parents=True)
        for name, text in PROGRAMS.items():
            (folder / name).write_text(f"#!/bin/sh\ncd {folder}\n{text}\n")
            (folder / name).chmod(0o755)

    def becomes(self, job: int, state: str, reason: str = "None") -> None:
        name = (self.folder / "jobs" / str(job)).read_text().split("|")[0]
        (self.folder / "jobs" / str(job)).write_text(f"{name}|{job}|{state}|{reason}\n")

    def jobs(self) -> int:
        return len(list((self.folder / "jobs").iterdir()))

    def says(self, file: str, words: str = "") -> None:
        (self.folder / file).write_text(words)

    def cancels(self) -> str:
        found = self.folder / "cancels"
        return found.read_text() if found.exists() else ""


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("PATH", f"{fake.folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    monkeypatch.setattr(slurm_jobs, "POLL_S", 0.02)
    return fake


def on_slurm(world: World, **more: object) -> Config:
    return config(world, executor="slurm", slurm={"gpu": False, "partition": "p", **more})


@asynccontextmanager
async def one_run(world: World, made: Config, heard: Heard) -> AsyncIterator[Trainer]:
    """A trainer with one queued run, or the one that an earlier trainer left."""
    plan = active_plan(world)
    devices = [Device("cpu:0", "cpu", 0, 1)]
    async with (
        parts(world, made, plan, heard, devices) as (trainer, planner),
        anyio.create_task_group() as group,
    ):
        if not world.rows("SELECT 1 FROM run"):
            world.store(world.claim(plan.id, 3))
            await group.start(planner.serve)
            heard.bus.emit(SampleStored(plan="p", task="t", correct=True))
            planner.changed.notify()
            await until(lambda: world.rows("SELECT id FROM run"))
        await group.start(trainer.serve)
        yield trainer
        group.cancel_scope.cancel()


def state(world: World) -> tuple[str, str, int]:
    [row] = world.rows("SELECT state, device, tries FROM run")
    return row


async def test_a_job_is_submitted_once_adopted_and_ended_as_slurm_says(
    world: World, slurm: FakeSlurm
) -> None:
    made, first = on_slurm(world), Heard()
    async with one_run(world, made, first) as trainer:
        await until(lambda: state(world)[1] == "slurm:1")
        slurm.becomes(1, "RUNNING")
        await until(lambda: any("is running" in note.note for note in first.of(RunNoted)))
        await trainer.drain(5.0)  # a daemon that stops leaves jobs alone
        assert not trainer.idle and slurm.cancels() == ""
    [started] = first.of(RunStarted)
    assert started.message() == "run 1 submitted: s on t (Slurm job 1)"
    script = (slurm.folder / "script").read_text()
    assert "--partition=p" in script and "--signal=USR2@120" in script and "--requeue" in script
    [export] = [line for line in script.splitlines() if "--export=" in line and "SBATCH" in line]
    assert "OPENAI_API_KEY" not in export and "ALL" not in export and "PATH" in export

    directory = made.runs / "1"
    job = read_job(directory)
    assert job is not None and job.job == 1
    (directory / "slurm.json").write_text(
        json.dumps({"name": job.name, "job": None})
    )  # died while it submitted
    second = Heard()
    async with one_run(world, made, second):
        await until(lambda: second.of(RunStarted))
        slurm.says("silent")
        await until(lambda: second.of(Noted))
        assert state(world)[0] == "starting", "it counts as alive until Slurm answers"
        (slurm.folder / "silent").unlink()
        said = ProgressWriter(directory / FILE)
        said.write("starting", phase="importing")
        said.write("stopped", step=0)  # as at a time limit, before the first checkpoint
        said.close()
        slurm.becomes(1, "TIMEOUT")
        await until(lambda: slurm.jobs() == 2)
        await until(lambda: state(world)[1:] == ("slurm:2", 2))  # it used up a try
        slurm.becomes(2, "CANCELLED")
        await until(lambda: state(world)[0] == "stopped")
        await until(lambda: any("CANCELLED" in note.note for note in second.of(RunNoted)))
    assert slurm.jobs() == 2
    assert second.of(RunStarted)[0].message() == "run 1 is still running: s on t (Slurm job 1)"
    assert [note.note for note in second.of(RunNoted) if "ended" in note.note] == [
        "Slurm job 1 ended as TIMEOUT: it is submitted again",
        "Slurm job 2 ended as CANCELLED: it is not submitted again unless you ask for it",
    ]


async def test_a_run_waits_while_slurm_takes_no_jobs_and_a_stop_cancels_its_job(
    world: World, slurm: FakeSlurm
) -> None:
    slurm.says("busy", "sbatch: error: Batch job submission failed: Unable to contact slurm controller")
    made, heard = on_slurm(world), Heard()
    async with one_run(world, made, heard) as trainer:
        await until(lambda: heard.of(RunNoted))
        assert state(world)[0] == "queued" and trainer.queued == 1
        (slurm.folder / "busy").unlink()
        trainer.changed.notify()
        await until(lambda: state(world)[1] == "slurm:1")
        assert await trainer.stop_run(1)
        await until(lambda: "--signal=TERM 1" in slurm.cancels())
        assert slurm.cancels().splitlines() == ["--state=PENDING 1", "--signal=TERM 1"]
        slurm.becomes(1, "CANCELLED")
        await until(lambda: state(world)[0] == "stopped")
    [note] = [note.note for note in heard.of(RunNoted) if "waits" in note.note]
    assert note.endswith("Unable to contact slurm controller; it waits until Slurm takes its job")


async def test_a_job_that_slurm_refuses_fails_the_run_with_its_words(world: World, slurm: FakeSlurm) -> None:
    slurm.says("refuse", "sbatch: error: Batch job submission failed: Invalid partition name specified")
    heard = Heard()
    async with one_run(world, on_slurm(world), heard):
        await until(lambda: heard.of(RunFailed))
    assert heard.of(RunFailed)[0].reason == (
        "Slurm refused the job: sbatch: error: Batch job submission failed: Invalid partition name specified"
    )
    assert not unfinished(world.connection)


async def test_ranks_on_nodes_need_no_devices_here(world: World) -> None:
    made = config(world, executor="slurm", devices=8, slurm={"nodes": 2})
    check_ranks([Device("cuda:0", "cuda", 0, 1)], made.students, made.folder)
