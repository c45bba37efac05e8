"""Sampling, wired: scheduler, keys, attempt runner and delays around one writer, with time, chance and transport given.

The service builds one around real connections and the machine's clock, the simulation around a teacher and a
clock of its own; neither wires anything else. The order of an end is the owner's: `close`, `flight_ended` for
as long as it likes, then `put_back`, and only then the parts are cancelled.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from daemon import events
from daemon.batches.batch_recovery import take_up_batches
from daemon.batches.batch_rows import Settler
from daemon.batches.batch_teacher import BatchTeacher
from daemon.batches.key_batches import KeyBatches
from daemon.batches.outstanding import Shared
from daemon.host.clock import Clock
from daemon.host.notify import Notifier
from daemon.limits.key_limits import KeyLimits
from daemon.sampling.attempt_runner import AttemptRunner
from daemon.sampling.budget import Ledger
from daemon.sampling.key_workers import KeyWorkers
from daemon.sampling.plans import ActivePlan
from daemon.sampling.recovery import Aside, grade_missing, take_up
from daemon.sampling.retry_queue import RetryQueue
from daemon.sampling.scheduler import Scheduler
from daemon.sampling.teacher import Teacher
from engine.config import TeacherConfig
from engine.teachers.batch_client import BatchClient
from engine.teachers.client import Client
from engine.teachers.keys import TeacherKey
from state.catalog import SwitchRequest, park_teacher, switch
from state.tables import Teacher as TeacherRow
from state.writer import Writer

Child = Callable[..., Awaitable[None]]
"""Something that serves until it is cancelled, and says when it is ready."""

FLIGHT_LOOK_S = 0.02


class Pipeline:
    """The way of all samples, from claim to verdict."""

    def __init__(
        self,
        *,
        boot_id: int,
        writer: Writer,
        ledger: Ledger,
        bus: events.Bus,
        clock: Clock,
        rng: random.Random,
        teachers: list[Teacher],
        plans: list[ActivePlan],
        keys: Mapping[str, Sequence[TeacherKey]],
        aside: Aside = anyio.to_thread.run_sync,
    ) -> None:
        """Starts nothing.

        Args:
            boot_id: this start of the daemon.
            writer: stores everything; served by the owner.
            ledger: money, with what was spent before.
            bus: hears what happens.
            clock: the one clock.
            rng: the one source of chance.
            teachers: the teachers; they get their keys here.
            plans: what to sample.
            keys: each teacher's keys by its name; one without any has one key without a key.
            aside: runs reads that block.
        """
        self._writer = writer
        self._bus = bus
        self._clock = clock
        self._aside = aside
        self._parked: list[Teacher] = []
        self._parking = Notifier()
        self.scheduler = Scheduler(
            boot_id=boot_id,
            writer=writer,
            ledger=ledger,
            bus=bus,
            clock=clock,
            teachers=teachers,
            plans=plans,
        )
        self.retry_queue = RetryQueue(clock, self.scheduler.deliver)
        self.attempt_runner = AttemptRunner(
            boot_id=boot_id,
            writer=writer,
            ledger=ledger,
            bus=bus,
            clock=clock,
            rng=rng,
            retry_queue=self.retry_queue,
            out_of_money=self.scheduler.hold_for_money,
            parked=self._on_park,
        )
        self._ledger = ledger
        self._batches = Shared(
            boot_id=boot_id,
            writer=writer,
            ledger=ledger,
            bus=bus,
            clock=clock,
            settler=Settler(
                writer=writer, ledger=ledger, bus=bus, clock=clock, deliver=self.scheduler.deliver
            ),
            deliver=self.scheduler.deliver,
            out_of_money=self.scheduler.hold_for_money,
            parked=self._on_park,
            dry=self.scheduler.dry,
        )
        self.former: list[ActivePlan] = []
        """Plans that are no longer configured, some samples of which are out in a batch."""
        for teacher in teachers:
            for key in keys.get(teacher.name) or (TeacherKey("", None),):
                self.add_key(teacher, key)

    @property
    def teachers(self) -> list[Teacher]:
        """The teachers at work."""
        return self.scheduler.teachers

    @property
    def plans(self) -> list[ActivePlan]:
        """What is sampled."""
        return self.scheduler.plans

    def parts(self) -> list[tuple[str, Child]]:
        """What must be served, with names, in the order of starting."""
        return [
            ("delays", self.retry_queue.serve),
            ("parking", self._park),
            ("scheduler", self.scheduler.serve),
            *(
                (f"{teacher.name} key", workers.serve)
                for teacher in self.teachers
                for workers in teacher.key_workers
            ),
        ]

    async def take_up(self, database: Path) -> None:
        """What an earlier daemon left comes first: verdicts that are missing, then samples that are open."""
        await grade_missing(database, self._writer, self.plans)
        for note in await take_up(database, self.scheduler, self.plans, self._aside):
            self._bus.emit(events.Noted(what=note))
        teachers = [teacher for teacher in self.teachers if isinstance(teacher, BatchTeacher)]
        self.former, left = await take_up_batches(
            database, teachers, self.plans, self._ledger, self._clock.monotonic(), self._aside
        )
        for name, count in left:
            self._bus.emit(
                events.Noted(
                    what=f"{count} batches of the teacher {name} are out, and it is no longer configured with the dialect"
                    " openai-batch: their answers are fetched once it is again"
                )
            )

    def add_key(self, teacher: Teacher, key: TeacherKey) -> KeyWorkers:
        """A key for one more key; the owner serves it."""
        limits = KeyLimits(
            self._clock.monotonic(),
            requests_per_minute=teacher.config.requests_per_minute,
            tokens_per_minute=teacher.config.tokens_per_minute,
            input_tokens_per_minute=teacher.config.input_tokens_per_minute,
            output_tokens_per_minute=teacher.config.output_tokens_per_minute,
            concurrency=teacher.config.concurrency,
        )
        workers: KeyWorkers
        if isinstance(teacher, BatchTeacher):
            workers = KeyBatches(teacher, key, limits, self._batches)
        else:
            workers = KeyWorkers(teacher, key, limits, self._clock, self.attempt_runner.run)
        teacher.key_workers.append(workers)
        return workers

    async def switch(self, *, task: str | None, teacher: str | None, paused: bool) -> None:
        """Pauses or resumes a task or a teacher, or all of either; resuming tries parked teachers again.

        Without a name, pausing pauses every task, and resuming resumes every task and every teacher.

        Raises:
            ValueError: there is none of that name; the message names those there are.
        """
        plans = [plan for plan in self.plans if task in (None, plan.task)]
        teachers = [each for each in self.teachers if teacher in (None, each.name)]
        if task is not None and not plans:
            known = sorted({plan.task for plan in self.plans})
            raise ValueError(f"no plan samples a task {task!r}; there are: {', '.join(known) or 'none'}")
        if teacher is not None and not teachers:
            known = [each.name for each in self.teachers]
            raise ValueError(f"there is no teacher {teacher!r}; there are: {', '.join(known) or 'none'}")
        now = self._clock.monotonic()
        if teacher is None:
            for plan in plans:
                plan.paused = paused
            await self._writer.do(switch, SwitchRequest(table="task", name=task, paused=paused))
        if teacher is not None or (task is None and not paused):
            for each in teachers:
                each.paused = paused
                if not paused:
                    was = each.parked
                    each.unpark(now)
                    if was:
                        self._bus.emit(events.TeacherResumed(teacher=each.name))
            await self._writer.do(switch, SwitchRequest(table="teacher", name=teacher, paused=paused))
        self.scheduler.hold_or_return()
        self.scheduler.changed.notify()

    def close(self) -> None:
        """No new claim, no new request."""
        self.scheduler.close()
        for teacher in self.teachers:
            for workers in teacher.key_workers:
                workers.close()

    async def flight_ended(self) -> None:
        """Returns when nothing is in flight; batches that are out stay out."""
        while any(teacher.landing for teacher in self.teachers):
            await self._clock.sleep(FLIGHT_LOOK_S)

    async def put_back(self) -> None:
        """After `close`: attempts that were written down and are not going to be sent are released."""
        await self.scheduler.closed_for_good.wait()
        for teacher in self.teachers:
            await self.attempt_runner.release_all(teacher.take_out(lambda job: True), teacher)
        for job in self.scheduler.held_back():
            await self.attempt_runner.release(job, self.scheduler.teacher_of(job))

    def _on_park(self, teacher: Teacher) -> None:
        self._parked.append(teacher)
        self._parking.notify()

    async def _park(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Tells of teachers that were parked, and hands their work on, until cancelled."""
        task_status.started()
        while True:
            if not self._parked:
                await self._parking.wait()
                continue
            teacher = self._parked.pop(0)
            await self._writer.do(park_teacher, (teacher.id, teacher.parked))
            self._bus.emit(events.TeacherParked(teacher=teacher.name, reason=teacher.parked))
            moved = self.scheduler.hand_over(teacher)
            await self.attempt_runner.release_all([job for job, _ in moved], teacher)
            for job, other in moved:
                other.push(job)


def make_teacher(row: TeacherRow, config: TeacherConfig, client: Client, now: float) -> Teacher:
    """A teacher's teacher, paused where it was left so."""
    assert row.id is not None
    teacher = (
        BatchTeacher(row.id, row.name, config, client, now)
        if isinstance(client, BatchClient)
        else Teacher(row.id, row.name, config, client, now)
    )
    teacher.paused = row.state == "paused"
    return teacher
