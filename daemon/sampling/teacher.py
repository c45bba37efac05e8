"""One teacher at work: its queue of ready jobs, its keys' keys, its state and its figures.

A teacher does not know plans or claims. Jobs in the queue are claimed and on disk; a job that waits for
its next try is in the queue too, once it is due, and holds no slot.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from daemon.host.notify import Notifier
from daemon.limits.retries import Breaker, RetryBudget
from daemon.sampling.budget import Price
from daemon.sampling.jobs import Job
from daemon.sampling.meters import Latencies, Meter
from engine.config import TeacherConfig
from engine.teachers.client import Client
from engine.teachers.messages import Usage
from engine.teachers.tokens import Correction
from state.heartbeat import TeacherHeartbeat
from state.views.format import duration

if TYPE_CHECKING:
    from daemon.sampling.key_workers import KeyWorkers
    from daemon.sampling.plans import ActivePlan

GROUPS_IN_VAIN = 3
"""Requests in a row for several rationales that brought one, or a refusal, after which each is asked for by itself."""

LEARN = 0.3
"""Weight of the latest claim in what is known of the need for ready jobs."""


class Figures:
    """What a teacher shows: meters of the last minute."""

    def __init__(self, now: float) -> None:
        self.requests = Meter(now)
        self.tokens = Meter(now)
        self.answers = Meter(now)
        self.limited = Meter(now)
        self.retries = Meter(now)
        self.latencies = Latencies()
        self.errors: Counter[str] = Counter()
        self.caps: deque[int] = deque(maxlen=60)


class Teacher:
    """A teacher, its queue and its keys (one a key)."""

    def __init__(self, teacher_id: int, name: str, config: TeacherConfig, client: Client, now: float) -> None:
        self.id = teacher_id
        self.name = name
        self.config = config
        self.client = client
        self.url: str | None = None  # in place of the configuration's: a built-in teacher's
        self.price = price_of(config)
        self.key_workers: list[KeyWorkers] = []
        self.leaving: list[KeyWorkers] = []
        """Lanes of keys that are no longer configured, whose last requests are in flight."""
        self.figures = Figures(now)
        self.correction = Correction()
        self.spoken = Correction(low=0.01, high=1.0)
        """Completion tokens that came, to those that were allowed."""
        self.breaker = Breaker()
        self.budget = RetryBudget(now)
        self.changed = Notifier()
        self.paused = False
        self.retired = False  # no longer in the configuration
        self.parked = ""  # why, for every key; empty when at least one key works
        self.failing = ""  # what the last answer was that failed, or why there was none
        self.permanent_in_a_row = 0
        self.one_by_one = False  # it takes no request for several rationales
        self._groups_in_vain = 0  # in a row: such requests that were refused, or brought one rationale
        self.popped = 0
        self._low = 0  # so few ready jobs are too few; of the last look
        self._need: float | None = None  # jobs taken while a claim is written, of late
        self._counted = (0, now)  # `popped` and the time, at the end of the last claim
        self.on_low_water: Callable[[], None] = lambda: None
        """Called when a claim is due."""
        self._queue: deque[Job] = deque()

    @property
    def available(self) -> bool:
        """Whether it takes work."""
        return not self.paused and not self.parked and not self.retired

    @property
    def in_flight(self) -> int:
        """Requests that were sent, or are being written down to be, and answers that are not on disk yet."""
        return sum(workers.limits.in_flight for workers in (*self.key_workers, *self.leaving))

    @property
    def out(self) -> int:
        """Requests that are with the teacher."""
        return sum(workers.limits.out for workers in (*self.key_workers, *self.leaving))

    @property
    def landing(self) -> bool:
        """Whether an end in order has something to wait for."""
        return self.in_flight > 0

    @property
    def busy(self) -> bool:
        """Whether something goes on that needs no person."""
        return bool(self.in_flight or (self.available and self.queued))

    @property
    def cap(self) -> int:
        """Requests that may be in flight now, over the keys that work."""
        return sum(workers.limits.cap for workers in self.key_workers if not workers.limits.parked)

    @property
    def queued(self) -> int:
        """Jobs that are ready to be sent."""
        return len(self._queue)

    @property
    def stock(self) -> int:
        """Jobs that should be ready: three times what is taken while a claim is written, at most two waves.

        No more, because each is on disk as an attempt, and one that was not sent when the daemon is killed is
        taken for unknown.
        """
        cap = self.cap
        return max(4, min(2 * cap, cap // 2 if self._need is None else math.ceil(3 * self._need)))

    @property
    def demand(self) -> int:
        """Jobs to claim: nothing until half of the stock is gone, then the rest of it, so claims come in groups."""
        stock = self.stock
        self._low = stock // 2
        return stock - self.queued if self.available and self.queued <= self._low else 0

    def push(self, job: Job, *, first: bool = False) -> None:
        """Queues a job; `first` for a next turn, so that begun samples are finished early."""
        for member in job.members:
            member.teacher = self.name
        if first:
            self._queue.appendleft(job)
        else:
            self._queue.append(job)
        self.changed.notify()

    def head(self) -> Job | None:
        """The next job, left in the queue."""
        return self._queue[0] if self._queue else None

    def pop(self) -> Job:
        """Takes the next job, and tells when little is left."""
        job = self._queue.popleft()
        self.popped += 1
        if len(self._queue) <= self._low:
            self.on_low_water()
        return job

    def expected_tokens(self, job: Job) -> tuple[int, int]:
        """What the next request of a job is expected to take from the limits: tokens in all, and of completions.

        The prompt by the learned ratio. Of a limit over both kinds providers hold back all of `max_tokens`; where the
        completion tokens are counted apart (and only then), what usually comes of them is reserved.
        """
        request = job.request
        prompt, most = self.correction.apply(job.prompt_tokens), request.max_tokens * request.n
        if self.key_workers and self.key_workers[0].limits.counts_apart:
            most = min(most, self.spoken.apply(most))
        return prompt + most, most

    def costs(self, usages: Sequence[Usage]) -> list[int]:
        """What each part of one answer costs, in micro-dollars."""
        return self.price.shares(
            [
                (
                    usage.prompt_tokens,
                    usage.completion_tokens,
                    usage.cached_tokens,
                    usage.cache_write_tokens,
                    usage.reasoning_tokens,
                )
                for usage in usages
            ]
        )

    def counted_tokens(self, usage: Usage) -> int:
        """The tokens of an answer that count against limits: Anthropic leaves out what was read from its cache."""
        uncounted = usage.cached_tokens if self.config.dialect == "anthropic-messages" else 0
        return usage.prompt_tokens - uncounted + usage.completion_tokens

    def learn(self, estimate: int, allowed: int, usage: Usage) -> None:
        """Learns from an answer's usage how many tokens the next one takes."""
        if not usage.estimated:
            self.correction.observe(estimate, usage.prompt_tokens)
            self.spoken.observe(allowed, usage.completion_tokens)

    def claimed(self, now: float, seconds: float) -> None:
        """A claim came back that took `seconds`: learns how many jobs are taken in such a time."""
        popped, since = self._counted
        need = seconds * (self.popped - popped) / max(now - since, seconds, 1e-3)
        self._counted = self.popped, now
        if not self._queue:
            need *= 2  # it was too little, by how much is not known
        before = self.cap / 6 if self._need is None else self._need
        self._need = before + LEARN * (need - before)

    def waiting(self, plan: ActivePlan) -> int:
        """Samples of a plan that are ready."""
        return sum(len(job.members) for job in self._queue if job.plan is plan)

    def ready(self) -> list[Job]:
        """The jobs in the queue."""
        return list(self._queue)

    def take_out(self, which: Callable[[Job], bool]) -> list[Job]:
        """Removes and returns the queued jobs that fit."""
        out = [job for job in self._queue if which(job)]
        self._queue = deque(job for job in self._queue if not which(job))
        return out

    def configure(self, now: float, config: TeacherConfig) -> None:
        """Other prices and limits from now on; what is in the queue keeps its place."""
        before, self.config = self.config, config
        if (before.model, before.dialect) != (config.model, config.dialect):
            self.one_by_one, self._groups_in_vain = False, 0
        self.price = price_of(config)
        for workers in self.key_workers:
            workers.limits.configure(
                now,
                requests_per_minute=config.requests_per_minute,
                tokens_per_minute=config.tokens_per_minute,
                input_tokens_per_minute=config.input_tokens_per_minute,
                output_tokens_per_minute=config.output_tokens_per_minute,
                concurrency=config.concurrency,
                was=(
                    *(before.requests_per_minute, before.tokens_per_minute, before.concurrency),
                    *(before.input_tokens_per_minute, before.output_tokens_per_minute),
                ),
            )
        self.changed.notify()

    def group_ended(self, *, in_vain: bool) -> bool:
        """A request for several rationales ended; True when by now it is clear that the teacher takes none."""
        self._groups_in_vain = self._groups_in_vain + 1 if in_vain else 0
        if self.one_by_one or self._groups_in_vain < GROUPS_IN_VAIN:
            return False
        self.one_by_one = True
        return True

    def drop_key(self, workers: KeyWorkers) -> None:
        """A key that is no longer used: its key takes nothing more, what is in flight ends."""
        workers.close()
        self.key_workers.remove(workers)
        self.leaving = [each for each in self.leaving if each.limits.in_flight] + [workers]

    def park_if_all_are(self) -> bool:
        """Marks the teacher as parked when each of its keys is; True when that is new."""
        if self.parked or not all(workers.limits.parked for workers in self.key_workers):
            return False
        self.parked = self.key_workers[-1].limits.parked
        return True

    def unpark(self, now: float) -> None:
        """Tries every key again."""
        self.parked = ""
        self.permanent_in_a_row = 0
        for workers in self.key_workers:
            if workers.limits.parked:
                workers.limits.unpark(now)
        self.changed.notify()

    def heartbeat(self, now: float) -> TeacherHeartbeat:
        """What the teacher does now."""
        figures = self.figures
        figures.caps.append(self.cap)
        pause = min((workers.limits.pause_left(now) for workers in self.key_workers), default=0.0)
        state, reason = "ready", ""
        if self.parked:
            state, reason = "parked", self.parked
        elif self.paused:
            state = "paused"
        elif self.breaker.open:
            state, reason = "cooling", self.failing
        elif pause > 0:
            state, reason = "limited", f"told to wait; asked again in {duration(pause)}"
        workers = self.key_workers[0].limits if self.key_workers else None
        return TeacherHeartbeat(
            state=state,
            reason=reason,
            in_flight=self.out,
            cap=self.cap,
            queued=self.queued,
            requests_per_minute=figures.requests.per_minute(now),
            tokens_per_minute=figures.tokens.per_minute(now),
            requests_limit=self.config.requests_per_minute,
            tokens_limit=self.config.tokens_per_minute,
            p50_ms=figures.latencies.quantile(0.5),
            p95_ms=figures.latencies.quantile(0.95),
            resumes_in_s=pause or None,
            shared_with=max((workers.limits.others for workers in self.key_workers), default=0),
            bound_by=workers.binds(now) if workers else "",
            errors=dict(figures.errors),
            caps=list(figures.caps),
        )


def price_of(config: TeacherConfig) -> Price:
    """A teacher's prices, a batch's discount taken off; cached prompt tokens cost as others where nothing else is said."""
    cached = config.usd_per_million_cached
    share = 1 - config.batch_discount if config.dialect == "openai-batch" else 1.0
    return Price(
        config.usd_per_million_input * share,
        config.usd_per_million_output * share,
        (config.usd_per_million_input if cached is None else cached) * share,
        _part(config.usd_per_million_cache_write, share),
        _part(config.usd_per_million_reasoning, share),
    )


def _part(price: float | None, share: float) -> float | None:
    return None if price is None else price * share
