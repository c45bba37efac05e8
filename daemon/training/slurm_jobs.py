"""Runs that are jobs of a Slurm cluster: what Slurm says of them, asked every few seconds, and what it is told.

Nothing here waits for Slurm in the daemon's loop. While it does not answer, a job counts as alive and orders wait.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio.to_thread

from daemon.host.notify import Notifier
from daemon.training.progress_reader import Ending, last_ending, tail
from daemon.training.run_process import RunProcess
from engine.students import slurm
from engine.students.progress_file import FILE as PROGRESS
from engine.students.slurm import JobState, SlurmBusy, SlurmJob

POLL_S = 5.0
IN_BETWEEN = ("COMPLETING", "SIGNALING", "STAGE_OUT")


class SlurmJobs:
    """The jobs that are followed."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._watched: dict[str, JobState | None] = {}
        self._orders: dict[int, str] = {}
        self._given: set[tuple[int, str]] = set()
        self._trouble = False
        self._wake = Notifier()

    async def serve(self, changed: Notifier) -> None:
        """Asks and tells, until cancelled."""
        while True:
            if self._watched or self._orders:
                try:
                    await self._look(changed)
                except SlurmBusy as error:
                    if not self._trouble:
                        self._say(f"Slurm does not answer ({error}): its jobs count as alive until it does")
                    self._trouble = True
                else:
                    self._trouble = False
            await self._wake.wait(POLL_S)

    def watch(self, name: str) -> None:
        """Follows a job from now on."""
        self._watched.setdefault(name, None)
        self._wake.notify()

    def forget(self, name: str) -> None:
        """Follows it no longer."""
        self._watched.pop(name, None)

    def state(self, name: str) -> JobState | None:
        """What Slurm said of a job last; None if it was not asked yet."""
        return self._watched.get(name)

    def order(self, job: int, what: str) -> None:
        """Has a job stopped ("stop") or cancelled ("cancel") as soon as Slurm answers."""
        if (job, what) not in self._given:
            self._given.add((job, what))
            self._orders[job] = what
            self._wake.notify()

    async def _look(self, changed: Notifier) -> None:
        for job, what in list(self._orders.items()):
            await anyio.to_thread.run_sync(slurm.ask_to_stop if what == "stop" else slurm.cancel, job)
            if self._orders.get(job) == what:
                del self._orders[job]
        if not (names := tuple(self._watched)):
            return
        found = await anyio.to_thread.run_sync(slurm.states_of, names)
        for name in set(names) & set(self._watched):
            state = found.get(name, JobState(0, "GONE"))
            if state != self._watched[name]:
                self._watched[name] = state
                changed.notify()


@dataclass(slots=True)
class SlurmRun(RunProcess):
    """A run that is a job."""

    jobs: SlurmJobs = field(kw_only=True)
    job: SlurmJob = field(kw_only=True)
    told: str = ""
    """The state that was said last."""

    def __post_init__(self) -> None:
        """Follows its job."""
        RunProcess.__post_init__(self)
        self.began = self.job.began
        self.jobs.watch(self.job.name)

    local = False

    @property
    def where(self) -> str:
        """Stands for the device."""
        return f"slurm:{self.job.job}"

    def alive(self) -> bool:
        """Whether its job waits or runs, as far as Slurm has said."""
        state = self.jobs.state(self.job.name)
        return state is None or not state.ended

    def ask_to_stop(self) -> None:
        """Asks for a checkpoint; a job that waits is cancelled."""
        if self.job.job is not None:
            self.jobs.order(self.job.job, "stop")

    def kill(self) -> None:
        """Cancels the job."""
        if self.job.job is not None:
            self.jobs.order(self.job.job, "cancel")

    def news(self) -> str:
        """What is new of the job: whether it waits, and why, or runs. Empty if nothing."""
        state = self.jobs.state(self.job.name)
        if state is None or state.ended or state.state in (self.told, *IN_BETWEEN):
            return ""
        self.told = state.state
        words = state.state.lower() + (f" ({state.reason})" if state.reason else "")
        return f"Slurm job {state.job} is {words}"

    def last_word(self) -> Ending:
        """What this job said, even if an earlier daemon read it; nothing if it never began."""
        path = self.directory / PROGRESS
        if not path.exists() or path.stat().st_size <= self.job.began:
            return Ending()
        return last_ending(self.directory)

    def out_of_memory(self) -> bool:
        """Whether its node ended it for that."""
        state = self.jobs.state(self.job.name)
        return state is not None and state.state == "OUT_OF_MEMORY"

    def cancelled(self) -> bool:
        """Whether somebody cancelled the job."""
        state = self.jobs.state(self.job.name)
        return state is not None and state.state == "CANCELLED"

    def stopped_in_order(self) -> bool:
        """Whether a stop uses up no try: one at a time limit does, unless it made a checkpoint."""
        return bool(self.stop)

    def why_gone(self) -> str:
        """How the job ended."""
        state = self.jobs.state(self.job.name)
        return f"Slurm job {self.job.job} ended as {state.state if state else 'unknown'}"

    def last_lines(self) -> str:
        """The end of what the job printed, which is where a rank that did not begin says why."""
        printed = self.directory / slurm.FOLDER / f"{self.job.job}_0_log.out"
        return tail(printed) or tail(self.directory / "log.txt")

    def close(self) -> None:
        """Follows the job no longer."""
        self.jobs.forget(self.job.name)


async def find_job(directory: Path) -> SlurmJob | None:
    """The job of a run that waits or runs, also one whose daemon died before it heard its number.

    Raises:
        SlurmBusy: Slurm does not answer.
    """
    job = await anyio.to_thread.run_sync(slurm.read_job, directory)
    if job is None:
        return None
    found = (await anyio.to_thread.run_sync(partial(slurm.states_of, (job.name,)))).get(job.name)
    return None if found is None or found.ended else job.model_copy(update={"job": found.job})
