"""The heartbeat, once a second, and the event log: what the daemon stores about itself in `state.db`."""

from __future__ import annotations

import resource
import sys
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import anyio
from anyio.abc import TaskStatus

from daemon.events import Bus, Event, SampleStored, StoodStill
from daemon.host.clock import Clock
from daemon.sampling.context import Context
from daemon.sampling.meters import Meter
from daemon.sampling.panels import Panels
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher
from state.events import EventRow, add_events
from state.heartbeat import HeartbeatData, HeartbeatRow, write_heartbeat
from state.writer import Writer

SECOND = 1.0
STILL_S = 3.0
"""A delay from which on an event reports it."""
ALL_SHOWN = 5
"""Events with one cause that are all shown."""
CAUSES = 1000
"""Causes that are counted at a time."""


class LagMeter:
    """Measures how late the event loop runs tasks that are due: the worst of the last seconds."""

    def __init__(self, clock: Clock, bus: Bus) -> None:
        self._clock = clock
        self._bus = bus
        self._worst: deque[float] = deque(maxlen=50)

    @property
    def worst_ms(self) -> float:
        """The worst delay of the last five seconds."""
        return max(self._worst, default=0.0)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Measures ten times a second, until cancelled."""
        task_status.started()
        while True:
            before = self._clock.monotonic()
            await self._clock.sleep(0.1)
            late = max(0.0, self._clock.monotonic() - before - 0.1)
            self._worst.append(late * 1000)
            if late > STILL_S:
                self._bus.emit(StoodStill(seconds=late))


class Heartbeat:
    """Gathers the current figures and stores them."""

    def __init__(
        self,
        context: Context,
        *,
        teachers: list[Teacher],
        lag: LagMeter,
        state: Callable[[], str],
        notice: Callable[[], str],
        waiting: Callable[[], int],
        plans: Sequence[ActivePlan] = (),
        panels: Panels | None = None,
        students: Callable[[], dict[str, str]] = dict,
        file: int = 0,
    ) -> None:
        self._session_id = context.session_id
        self._writer = context.writer
        self._clock = context.clock
        self._teachers = teachers
        self._lag = lag
        self._state = state
        self._notice = notice
        self._waiting = waiting
        self._plans = plans
        self._panels = panels
        self._students = students
        self._file = file
        self._accepted: dict[str, Meter] = {}
        context.bus.listen(self._on_event)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Stores a heartbeat every second until cancelled."""
        await self.beat()
        task_status.started()
        while True:
            await self._clock.sleep(SECOND)
            await self.beat()

    async def beat(self) -> None:
        """Stores one heartbeat."""
        row = HeartbeatRow(boot_id=self._session_id, state=self._state(), data=self._data())
        await self._writer.do(write_heartbeat, row)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, SampleStored) and event.correct:
            now = self._clock.monotonic()
            self._accepted.setdefault(event.task, Meter(now)).add(now)

    def _data(self) -> HeartbeatData:
        now = self._clock.monotonic()
        figures = [teacher.meters for teacher in self._teachers]
        answers = sum(each.answers.total(now) for each in figures)
        limited = sum(each.limited.total(now) for each in figures)
        waits = {
            f"{plan.config.name} on {plan.task}": plan
            for plan in self._plans
            if self._panels is not None and self._panels.waiting(plan)
        }
        return HeartbeatData(
            loop_lag_ms=self._lag.worst_ms,
            commit_lag_ms=self._writer.lag_ms,
            in_flight=sum(teacher.in_flight for teacher in self._teachers),
            waiting_retry=self._waiting(),
            requests_per_second=sum(each.requests.per_second(now) for each in figures),
            tokens_per_second=sum(each.tokens.per_second(now) for each in figures),
            retries_per_second=sum(each.retries.per_second(now) for each in figures),
            share_429=limited / (limited + answers) if limited else 0.0,
            memory_mb=memory_mb(),
            file=self._file,
            notice=self._notice(),
            teachers={teacher.name: teacher.heartbeat(now) for teacher in self._teachers},
            held={
                f"{plan.config.name} on {plan.task}": plan.state.held
                for plan in self._plans
                if plan.state.held
            },
            awaits={name: self._panels.told(plan) for name, plan in waits.items() if self._panels},
            waiting={name: self._panels.waiting(plan) for name, plan in waits.items() if self._panels},
            waits={
                f"{plan.config.name} on {plan.task}": plan.waits_for for plan in self._plans if plan.waits_for
            },
            students=self._students(),
            tasks={task: meter.per_minute(now) for task, meter in self._accepted.items()},
            requests=_sum([each.requests.series(now) for each in figures]),
            tokens=_sum([each.tokens.series(now) for each in figures]),
            limited=_sum([each.limited.series(now) for each in figures]),
            retries=_sum([each.retries.series(now) for each in figures]),
        )


class EventLog:
    """Stores the events that are worth a row, in order; `log` gets each as it happens.

    Of many events with one cause the first five are shown, then the 8th, 16th, 32nd and so on.
    """

    def __init__(self, writer: Writer, bus: Bus, log: Callable[[EventRow], None]) -> None:
        self._writer = writer
        self._log = log
        self._pending: list[EventRow] = []
        self._arrived = anyio.Event()
        self._closing = False
        self._causes: Counter[str] = Counter()
        bus.listen(self._on_event)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Stores events until `close` was called and none is left."""
        task_status.started()
        while not (self._closing and not self._pending):
            await self._arrived.wait()
            if not self._closing:
                self._arrived = anyio.Event()
            rows, self._pending = self._pending, []
            async with (
                anyio.create_task_group() as group
            ):  # together, in order: a storm of events is one commit
                for row in rows:
                    group.start_soon(self._writer.do, add_events, row)

    def close(self) -> None:
        """Lets `serve` end."""
        self._closing = True
        self._arrived.set()

    def _on_event(self, event: Event) -> None:
        row = self._thinned(event)
        if row is not None:
            self._log(row)
            self._pending.append(row)
            self._arrived.set()

    def _thinned(self, event: Event) -> EventRow | None:
        cause = event.cause()
        if not cause:
            return event.row()
        if len(self._causes) >= CAUSES:  # reasons that are all different
            self._causes.clear()
        self._causes[cause] += 1
        count = self._causes[cause]
        row = event.row() if count <= ALL_SHOWN or count & (count - 1) == 0 else None
        return (
            row
            if row is None or count <= ALL_SHOWN
            else replace(row, message=f"{row.message} ({count:,} so far)")
        )


def memory_mb() -> float:
    """Resident memory of this process."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1e6 if sys.platform == "darwin" else 1e3)


def _sum(series: list[list[float]]) -> list[float]:
    """Adds series that end at the same second."""
    longest = max((len(each) for each in series), default=0)
    padded = [[0.0] * (longest - len(each)) + each for each in series]
    return [sum(column) for column in zip(*padded, strict=True)]
