"""One teacher at work: its queue of ready jobs, its keys' lanes, its state and its figures.

A desk does not know plans or claims. Jobs in the queue are claimed and on disk; a job that waits for
its next try is in the queue too, once it is due, and holds no slot.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from daemon.jobs import Job
from daemon.ledger import Price
from daemon.meters import Latencies, Meter
from daemon.retries import Breaker, RetryBudget
from daemon.signals import Signal
from engine.config import TeacherConfig
from engine.teachers.client import TeacherClient
from engine.teachers.tokens import Correction
from state.pulse import TeacherPulse

if TYPE_CHECKING:
    from daemon.lane import Lane
    from daemon.plans import ActivePlan


class Figures:
    """What a desk shows: meters of the last minute."""

    def __init__(self, now: float) -> None:
        self.requests = Meter(now)
        self.tokens = Meter(now)
        self.answers = Meter(now)
        self.limited = Meter(now)
        self.retries = Meter(now)
        self.latencies = Latencies()
        self.errors: Counter[str] = Counter()
        self.caps: deque[int] = deque(maxlen=60)


class Desk:
    """A teacher, its queue and its lanes (one a key)."""

    def __init__(
        self, teacher_id: int, name: str, config: TeacherConfig, client: TeacherClient, now: float
    ) -> None:
        self.id = teacher_id
        self.name = name
        self.config = config
        self.client = client
        cached = config.usd_per_million_cached
        self.price = Price(
            config.usd_per_million_input,
            config.usd_per_million_output,
            config.usd_per_million_input if cached is None else cached,
        )
        self.lanes: list[Lane] = []
        self.figures = Figures(now)
        self.correction = Correction()
        self.breaker = Breaker()
        self.budget = RetryBudget(now)
        self.changed = Signal()
        self.paused = False
        self.parked = ""  # why, for every key; empty when at least one key works
        self.permanent_in_a_row = 0
        self._queue: deque[Job] = deque()

    @property
    def available(self) -> bool:
        """Whether it takes work."""
        return not self.paused and not self.parked

    @property
    def in_flight(self) -> int:
        """Requests that were sent, or are being written down to be."""
        return sum(lane.limits.in_flight for lane in self.lanes)

    @property
    def cap(self) -> int:
        """Requests that may be in flight now, over the keys that work."""
        return sum(lane.limits.cap for lane in self.lanes if not lane.limits.parked)

    @property
    def queued(self) -> int:
        """Jobs that are ready to be sent."""
        return len(self._queue)

    @property
    def appetite(self) -> int:
        """Samples to claim: enough ready jobs for half a wave, so little is claimed that is not sent."""
        return max(4, self.cap // 2) - self.queued if self.available else 0

    def push(self, job: Job, *, first: bool = False) -> None:
        """Queues a job; `first` for a next turn, so that begun samples are finished early."""
        job.teacher = self.name
        if first:
            self._queue.appendleft(job)
        else:
            self._queue.append(job)
        self.changed.notify()

    def head(self) -> Job | None:
        """The next job, left in the queue."""
        return self._queue[0] if self._queue else None

    def pop(self) -> Job:
        """Takes the next job."""
        return self._queue.popleft()

    def waiting(self, plan: ActivePlan) -> int:
        """Ready jobs of a plan."""
        return sum(job.plan is plan for job in self._queue)

    def take_out(self, which: Callable[[Job], bool]) -> list[Job]:
        """Removes and returns the queued jobs that fit."""
        out = [job for job in self._queue if which(job)]
        self._queue = deque(job for job in self._queue if not which(job))
        return out

    def park_if_all_are(self) -> bool:
        """Marks the teacher as parked when each of its keys is; True when that is new."""
        if self.parked or not all(lane.limits.parked for lane in self.lanes):
            return False
        self.parked = self.lanes[-1].limits.parked
        return True

    def unpark(self, now: float) -> None:
        """Tries every key again."""
        self.parked = ""
        self.permanent_in_a_row = 0
        for lane in self.lanes:
            if lane.limits.parked:
                lane.limits.unpark(now)
        self.changed.notify()

    def pulse(self, now: float) -> TeacherPulse:
        """What the desk does now."""
        figures = self.figures
        figures.caps.append(self.cap)
        pause = min((lane.limits.pause_left(now) for lane in self.lanes), default=0.0)
        state = "ready"
        if self.parked:
            state = "parked"
        elif self.paused:
            state = "paused"
        elif self.breaker.open:
            state = "cooling"
        elif pause > 0:
            state = "limited"
        lane = self.lanes[0].limits if self.lanes else None
        return TeacherPulse(
            state=state,
            reason=self.parked,
            in_flight=self.in_flight,
            cap=self.cap,
            queued=self.queued,
            requests_per_minute=figures.requests.per_minute(now),
            tokens_per_minute=figures.tokens.per_minute(now),
            requests_limit=self.config.requests_per_minute,
            tokens_limit=self.config.tokens_per_minute,
            p50_ms=figures.latencies.quantile(0.5),
            p95_ms=figures.latencies.quantile(0.95),
            resumes_in_s=pause or None,
            bound_by=lane.binds(now) if lane else "",
            errors=dict(figures.errors),
            caps=list(figures.caps),
        )
