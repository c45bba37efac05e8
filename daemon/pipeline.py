"""Wires the parts that sample: scheduler, teachers with their keys, attempt runner, retry queue and batches.

The service builds one around real connections and the machine's clock, the simulation around its own servers and
clock; neither wires anything else. The owner stops it in this order: `close`, then `drained` for
as long as it likes, then `release_unsent`; only then it cancels the parts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import cast

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus

from daemon import events
from daemon.batches.batch_recovery import take_up_batches
from daemon.batches.batch_rows import Settler
from daemon.batches.batch_transport import BatchTransport
from daemon.batches.outstanding import Shared
from daemon.host.notify import Notifier
from daemon.host.processes import connections_per_key
from daemon.sampling.attempt_runner import AttemptRunner
from daemon.sampling.context import Context
from daemon.sampling.job_queue import RetryQueue
from daemon.sampling.key_workers import RequestTransport
from daemon.sampling.plans import ActivePlan
from daemon.sampling.recovery import RunBlocking, grade_missing, take_up
from daemon.sampling.scheduler import Scheduler
from daemon.sampling.teacher import Teacher
from daemon.sampling.transport import KeyTransport
from engine.config import TeacherConfig
from engine.teachers.batch_client import BatchClient
from engine.teachers.client import Client
from engine.teachers.dialects import dialect
from engine.teachers.keys import TeacherKey
from state.catalog import SwitchRequest, park_teacher, switch
from state.claims import settle
from state.commands import Effect, Retry, apply_once
from state.given_up import Retried, retry
from state.tables import Teacher as TeacherRow

Child = Callable[..., Awaitable[None]]
"""A part that serves until it is cancelled, and reports when it is ready."""

DRAIN_LOOK_S = 0.02


class Pipeline:
    """Everything a sample passes through, from claim to verdict."""

    def __init__(
        self,
        context: Context,
        *,
        plans: list[ActivePlan],
        run_blocking: RunBlocking = anyio.to_thread.run_sync,
    ) -> None:
        """Starts nothing.

        Args:
            context: the daemon session; its writer is served by the owner.
            plans: what to sample.
            run_blocking: runs functions that block outside the event loop.
        """
        self._context = context
        self._run_blocking = run_blocking
        self._parked: list[Teacher] = []
        self._parking = Notifier()
        self.scheduler = Scheduler(context, teachers=[], plans=plans)
        self.retry_queue = RetryQueue(context.clock, self.scheduler.deliver)
        self.attempt_runner = AttemptRunner(
            context,
            retry_queue=self.retry_queue,
            out_of_money=self.scheduler.hold_for_money,
            parked=self._on_park,
            hold_plan=self.scheduler.hold_plan,
            serves_others=self.scheduler.serves_others,
            panels=self.scheduler.panels,
        )
        self._batches = Shared(
            context=context,
            settler=Settler(context, self.scheduler.deliver),
            deliver=self.scheduler.deliver,
            out_of_money=self.scheduler.hold_for_money,
            parked=self._on_park,
            nothing_to_claim=self.scheduler.nothing_to_claim,
        )
        self._batched: list[tuple[Teacher, BatchTransport]] = []
        self.former: list[ActivePlan] = []
        """Plans that are no longer configured, some samples of which are out in a batch."""

    @property
    def teachers(self) -> list[Teacher]:
        """All teachers, also those that came with a reload."""
        return self.scheduler.teachers

    @property
    def plans(self) -> list[ActivePlan]:
        """The plans at work."""
        return self.scheduler.plans

    def parts(self) -> list[tuple[str, Child]]:
        """The parts to serve, with their names, in the order of starting."""
        return [
            ("retry queue", self.retry_queue.serve),
            ("parked teachers", self._park),
            ("scheduler", self.scheduler.serve),
            ("panels", self.scheduler.panels.serve),
            *(
                (f"{teacher.name} key", key.serve)
                for teacher in self.teachers
                for key in teacher.transport.keys
            ),
        ]

    def share_files(self, files: int) -> None:
        """Bounds the connections of each key, so that enough of so many open files are left for everything else."""
        each = connections_per_key(files, sum(len(teacher.transport.keys) for teacher in self.teachers))
        for teacher in self.teachers:
            for key in teacher.transport.keys:
                key.limits.concurrency.bound(each)
            if (teacher.config.concurrency or 0) > each:
                self._context.bus.emit(
                    events.Noted(
                        what=f"teachers.{teacher.name}.concurrency = {teacher.config.concurrency} is limited to {each}: this process"
                        f" may have {files} open files (ulimit -n; LimitNOFILE under systemd)"
                    )
                )

    async def take_up(self, database: Path) -> None:
        """Resumes the work of earlier daemons: missing verdicts first, then open samples, then batches."""
        await grade_missing(database, self._context.writer, self.plans)
        for note in await take_up(database, self.scheduler, self.plans, self._run_blocking):
            self._context.bus.emit(events.Noted(what=note))
        self.former, left = await take_up_batches(
            database,
            self._batched,
            self.plans,
            self._context.budget,
            self._context.clock.monotonic(),
            self._run_blocking,
        )
        for name, count in left:
            self._context.bus.emit(
                events.Noted(
                    what=f"{count} batches of teacher {name} are still at the provider, but its dialect is no longer served"
                    " by batches: their results will be fetched once it is"
                )
            )

    def make_teacher(
        self, row: TeacherRow, config: TeacherConfig, client: Client, url: str | None = None
    ) -> Teacher:
        """A teacher without keys, paused if it was left so; its dialect decides the transport."""
        assert row.id is not None
        now = self._context.clock.monotonic()
        if dialect(config.dialect).transport == "batches":
            batches = BatchTransport(cast(BatchClient, client), config, self._batches)
            teacher = Teacher(row.id, row.name, config, batches, now)
            self._batched.append((teacher, batches))
        else:
            requests = RequestTransport(client, self._context.clock, self.attempt_runner.run)
            teacher = Teacher(row.id, row.name, config, requests, now)
        teacher.transport.url = url
        teacher.answered_before = row.answered > 0
        teacher.health.pause(row.state == "paused")
        if config.student:
            teacher.health.absent = "not served yet"
        return teacher

    def add_teacher(self, teacher: Teacher, keys: Sequence[TeacherKey]) -> None:
        """Adds a teacher with its keys; one that needs no key gets one without a secret."""
        self.scheduler.add_teacher(teacher)
        for key in keys or (TeacherKey("", None),):
            self.add_key(teacher, key)

    def add_key(self, teacher: Teacher, key: TeacherKey) -> KeyTransport:
        """One more key of a teacher; the owner serves it."""
        return teacher.add_key(key, self._context.clock.monotonic())

    async def switch(self, *, task: str | None, teacher: str | None, paused: bool) -> None:
        """Pauses or resumes a task or a teacher, or all of either; resuming tries parked teachers again.

        Without a name, pausing pauses every task, and resuming resumes every task and every teacher.

        Raises:
            ValueError: no task or teacher has that name; the message lists those there are.
        """
        plans = [plan for plan in self.plans if task in (None, plan.task)]
        teachers = [each for each in self.teachers if teacher in (None, each.name)]
        if task is not None and not plans:
            known = sorted({plan.task for plan in self.plans})
            raise ValueError(f"no plan samples task {task!r}; known: {', '.join(known) or 'none'}")
        if teacher is not None and not teachers:
            known = [each.name for each in self.teachers]
            raise ValueError(f"unknown teacher {teacher!r}; known: {', '.join(known) or 'none'}")
        now = self._context.clock.monotonic()
        if teacher is None:
            for plan in plans:
                plan.state.pause(paused)
                if not paused and plan.state.release():
                    for each in self.teachers:
                        if each.name in plan.all_teachers:
                            each.resume(plan)
                    self._context.bus.emit(events.PlanResumed(plan=plan.config.name, task=plan.task))
            await self._context.writer.do(switch, SwitchRequest(table="task", name=task, paused=paused))
        if teacher is not None or (task is None and not paused):
            for each in teachers:
                each.health.pause(paused)
                if not paused and each.unpark(now):
                    self._context.bus.emit(events.TeacherResumed(teacher=each.name))
            await self._context.writer.do(switch, SwitchRequest(table="teacher", name=teacher, paused=paused))
        self.scheduler.hold_or_return()
        self.scheduler.changed.notify()

    async def retry(
        self, database: Path, request: Retry, effect: Callable[[Retry], Effect] | None = None
    ) -> Retried:
        """Asks given-up samples again; `effect` makes it that of a command, which is then applied once.

        Raises:
            ValueError: no plan or task has that name; the message lists those there are.
        """
        for kind, name, known in (
            ("plan", request.plan, {plan.config.name for plan in self.plans}),
            ("task", request.task, {plan.task for plan in self.plans}),
        ):
            if name is not None and name not in known:
                raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(sorted(known)) or 'none'}")
        do = self._context.writer.do
        async with self.scheduler.claim_lock:
            found: Retried = await (do(apply_once, effect(request)) if effect else do(retry, request))
            asked = [plan for plan in self.plans if plan.id in found.samples]
            for plan in self.plans:
                others = any(plan.shares(each) for each in asked)
                if others or plan in asked:
                    over = await do(settle, plan.id) if plan.by_need else plan.exhausted
                    plan.state.reopened(exhausted=over, shared=others)
            notes = await take_up(database, self.scheduler, asked, self._run_blocking, only=found.samples)
        for note in notes:
            self._context.bus.emit(events.Noted(what=note))
        self.scheduler.changed.notify()
        return found

    def close(self) -> None:
        """Stops new claims and new requests."""
        self.scheduler.close()
        for teacher in self.teachers:
            teacher.transport.close()

    async def drained(self) -> None:
        """Returns when nothing is in flight; batches stay at the provider."""
        while any(teacher.transport.on_the_wire for teacher in self.teachers):
            await self._context.clock.sleep(DRAIN_LOOK_S)

    async def release_unsent(self) -> None:
        """After `close`: releases attempts that are on disk and will not be sent."""
        await self.scheduler.closed_for_good.wait()
        for teacher in self.teachers:
            await self.attempt_runner.attempts.release_all(teacher.queue.take_out(lambda job: True), teacher)
        for job in self.scheduler.held_back():
            await self.attempt_runner.attempts.release(job, self.scheduler.teacher_of(job))

    def park(self, teacher: Teacher, reason: str) -> None:
        """Takes a teacher out of work until the user acts."""
        teacher.health.park(reason)
        self._on_park(teacher)

    def _on_park(self, teacher: Teacher) -> None:
        self._parked.append(teacher)
        self._parking.notify()

    async def _park(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Reports teachers that were parked and moves their work to others, until cancelled."""
        task_status.started()
        while True:
            if not self._parked:
                await self._parking.wait()
                continue
            teacher = self._parked.pop(0)
            await self._context.writer.do(park_teacher, (teacher.id, teacher.health.parked))
            self._context.bus.emit(events.TeacherParked(teacher=teacher.name, reason=teacher.health.parked))
            moved = self.scheduler.hand_over(teacher)
            await self.attempt_runner.attempts.release_all([job for job, _ in moved], teacher)
            for job, other in moved:
                other.queue.push(job)
