"""Sampling, wired: claimer, lanes, carrier and delays around one writer, with time, chance and transport given.

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
from daemon.batches.batch_teacher import BatchDesk
from daemon.batches.key_batches import BatchLane
from daemon.batches.outstanding import Shared
from daemon.host.clock import Clock
from daemon.host.notify import Signal
from daemon.limits.key_limits import KeyLimits
from daemon.sampling.attempt_runner import Carrier
from daemon.sampling.budget import Ledger
from daemon.sampling.key_workers import Lane
from daemon.sampling.plans import ActivePlan
from daemon.sampling.recovery import Aside, grade_missing, take_up
from daemon.sampling.retry_queue import Delays
from daemon.sampling.scheduler import Claimer
from daemon.sampling.teacher import Desk
from engine.config import TeacherConfig
from engine.teachers.batch_client import BatchClient
from engine.teachers.client import Client
from engine.teachers.keys import TeacherKey
from state.catalog import SwitchRequest, park_teacher, switch
from state.tables import Teacher
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
        desks: list[Desk],
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
            desks: the teachers; they get their lanes here.
            plans: what to sample.
            keys: each teacher's keys by its name; one without any has one lane without a key.
            aside: runs reads that block.
        """
        self._writer = writer
        self._bus = bus
        self._clock = clock
        self._aside = aside
        self._parked: list[Desk] = []
        self._parking = Signal()
        self.claimer = Claimer(
            boot_id=boot_id, writer=writer, ledger=ledger, bus=bus, clock=clock, desks=desks, plans=plans
        )
        self.delays = Delays(clock, self.claimer.deliver)
        self.carrier = Carrier(
            boot_id=boot_id,
            writer=writer,
            ledger=ledger,
            bus=bus,
            clock=clock,
            rng=rng,
            delays=self.delays,
            out_of_money=self.claimer.hold_for_money,
            parked=self._on_park,
        )
        self._ledger = ledger
        self._batches = Shared(
            boot_id=boot_id,
            writer=writer,
            ledger=ledger,
            bus=bus,
            clock=clock,
            settler=Settler(writer=writer, ledger=ledger, bus=bus, clock=clock, deliver=self.claimer.deliver),
            deliver=self.claimer.deliver,
            out_of_money=self.claimer.hold_for_money,
            parked=self._on_park,
            dry=self.claimer.dry,
        )
        self.former: list[ActivePlan] = []
        """Plans that are no longer configured, some samples of which are out in a batch."""
        for desk in desks:
            for key in keys.get(desk.name) or (TeacherKey("", None),):
                self.add_lane(desk, key)

    @property
    def desks(self) -> list[Desk]:
        """The teachers at work."""
        return self.claimer.desks

    @property
    def plans(self) -> list[ActivePlan]:
        """What is sampled."""
        return self.claimer.plans

    def parts(self) -> list[tuple[str, Child]]:
        """What must be served, with names, in the order of starting."""
        return [
            ("delays", self.delays.serve),
            ("parking", self._park),
            ("claimer", self.claimer.serve),
            *((f"{desk.name} lane", lane.serve) for desk in self.desks for lane in desk.lanes),
        ]

    async def take_up(self, database: Path) -> None:
        """What an earlier daemon left comes first: verdicts that are missing, then samples that are open."""
        await grade_missing(database, self._writer, self.plans)
        for note in await take_up(database, self.claimer, self.plans, self._aside):
            self._bus.emit(events.Noted(what=note))
        desks = [desk for desk in self.desks if isinstance(desk, BatchDesk)]
        self.former, left = await take_up_batches(
            database, desks, self.plans, self._ledger, self._clock.monotonic(), self._aside
        )
        for name, count in left:
            self._bus.emit(
                events.Noted(
                    what=f"{count} batches of the teacher {name} are out, and it is no longer configured with the dialect"
                    " openai-batch: their answers are fetched once it is again"
                )
            )

    def add_lane(self, desk: Desk, key: TeacherKey) -> Lane:
        """A lane for one more key; the owner serves it."""
        limits = KeyLimits(
            self._clock.monotonic(),
            requests_per_minute=desk.config.requests_per_minute,
            tokens_per_minute=desk.config.tokens_per_minute,
            input_tokens_per_minute=desk.config.input_tokens_per_minute,
            output_tokens_per_minute=desk.config.output_tokens_per_minute,
            concurrency=desk.config.concurrency,
        )
        lane: Lane
        if isinstance(desk, BatchDesk):
            lane = BatchLane(desk, key, limits, self._batches)
        else:
            lane = Lane(desk, key, limits, self._clock, self.carrier.carry)
        desk.lanes.append(lane)
        return lane

    async def switch(self, *, task: str | None, teacher: str | None, paused: bool) -> None:
        """Pauses or resumes a task or a teacher, or all of either; resuming tries parked teachers again.

        Without a name, pausing pauses every task, and resuming resumes every task and every teacher.

        Raises:
            ValueError: there is none of that name; the message names those there are.
        """
        plans = [plan for plan in self.plans if task in (None, plan.task)]
        desks = [desk for desk in self.desks if teacher in (None, desk.name)]
        if task is not None and not plans:
            known = sorted({plan.task for plan in self.plans})
            raise ValueError(f"no plan samples a task {task!r}; there are: {', '.join(known) or 'none'}")
        if teacher is not None and not desks:
            known = [desk.name for desk in self.desks]
            raise ValueError(f"there is no teacher {teacher!r}; there are: {', '.join(known) or 'none'}")
        now = self._clock.monotonic()
        if teacher is None:
            for plan in plans:
                plan.paused = paused
            await self._writer.do(switch, SwitchRequest(table="task", name=task, paused=paused))
        if teacher is not None or (task is None and not paused):
            for desk in desks:
                desk.paused = paused
                if not paused:
                    was = desk.parked
                    desk.unpark(now)
                    if was:
                        self._bus.emit(events.TeacherResumed(teacher=desk.name))
            await self._writer.do(switch, SwitchRequest(table="teacher", name=teacher, paused=paused))
        self.claimer.hold_or_return()
        self.claimer.changed.notify()

    def close(self) -> None:
        """No new claim, no new request."""
        self.claimer.close()
        for desk in self.desks:
            for lane in desk.lanes:
                lane.close()

    async def flight_ended(self) -> None:
        """Returns when nothing is in flight; batches that are out stay out."""
        while any(desk.landing for desk in self.desks):
            await self._clock.sleep(FLIGHT_LOOK_S)

    async def put_back(self) -> None:
        """After `close`: attempts that were written down and are not going to be sent are released."""
        await self.claimer.closed_for_good.wait()
        for desk in self.desks:
            await self.carrier.release_all(desk.take_out(lambda job: True), desk)
        for job in self.claimer.held_back():
            await self.carrier.release(job, self.claimer.desk_of(job))

    def _on_park(self, desk: Desk) -> None:
        self._parked.append(desk)
        self._parking.notify()

    async def _park(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Tells of teachers that were parked, and hands their work on, until cancelled."""
        task_status.started()
        while True:
            if not self._parked:
                await self._parking.wait()
                continue
            desk = self._parked.pop(0)
            await self._writer.do(park_teacher, (desk.id, desk.parked))
            self._bus.emit(events.TeacherParked(teacher=desk.name, reason=desk.parked))
            moved = self.claimer.hand_over(desk)
            await self.carrier.release_all([job for job, _ in moved], desk)
            for job, other in moved:
                other.push(job)


def make_desk(row: Teacher, config: TeacherConfig, client: Client, now: float) -> Desk:
    """A teacher's desk, paused where it was left so."""
    assert row.id is not None
    desk = (
        BatchDesk(row.id, row.name, config, client, now)
        if isinstance(client, BatchClient)
        else Desk(row.id, row.name, config, client, now)
    )
    desk.paused = row.state == "paused"
    return desk
