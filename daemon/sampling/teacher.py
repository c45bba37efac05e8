"""One teacher at work. It owns its queue, its keys, its health, its token estimates and its meters."""

from __future__ import annotations

from collections.abc import Sequence

from daemon.host.notify import Notifier
from daemon.limits.key_limits import KeyLimits
from daemon.limits.lateness import Lateness
from daemon.limits.retries import RetryBudget
from daemon.sampling.first_answers import FirstAnswers
from daemon.sampling.health import GroupSupport, Health
from daemon.sampling.job_queue import JobQueue
from daemon.sampling.jobs import Job
from daemon.sampling.meters import TeacherMeters
from daemon.sampling.plans import ActivePlan
from daemon.sampling.token_accounting import TokenAccounting
from daemon.sampling.transport import KeyTransport, Transport
from engine.config import TeacherConfig
from engine.config.base import Change, fields_marked
from engine.teachers.keys import TeacherKey
from engine.teachers.messages import Completion, Request
from state.heartbeat import TeacherHeartbeat
from state.views.format import duration

_RECONNECT = fields_marked(TeacherConfig, Change.RECONNECT)


class Teacher:
    """A teacher of the configuration; whatever changes in it is changed by a method of one of its parts."""

    def __init__(
        self,
        teacher_id: int,
        name: str,
        config: TeacherConfig,
        transport: Transport[Teacher, KeyTransport],
        now: float,
    ) -> None:
        self.id = teacher_id
        self.name = name
        self.config = config
        self.transport = transport
        self.changed = Notifier()
        """Wakes the keys: a job, a slot or a limit is there."""
        self.queue = JobQueue(name, self.changed, now)
        self.health = Health()
        self.groups = GroupSupport()
        self.tokens = TokenAccounting(config)
        self.meters = TeacherMeters(now)
        self.retry_budget = RetryBudget(now)
        self._told_logprobs = False
        self.lateness = Lateness()
        self.answered_before = False
        """Whether an earlier daemon session had answers of it."""
        self._first_answers: dict[int, FirstAnswers] = {}

    @property
    def available(self) -> bool:
        """Whether it takes work."""
        return self.health.available

    @property
    def queued(self) -> int:
        """Jobs that are ready to be sent."""
        return len(self.queue)

    @property
    def in_flight(self) -> int:
        """Requests that were sent, or are being written down to be, and answers that are not on disk yet."""
        return self.transport.in_flight

    @property
    def busy(self) -> bool:
        """Whether something happens without the user."""
        return bool(self.transport.active or (self.available and self.queued))

    @property
    def locked_out(self) -> bool:
        """Whether requests are in flight whose answers cannot be fetched until the user acts."""
        return any(key.in_flight and not key.active for key in self.transport.all_keys())

    @property
    def cap(self) -> int:
        """Requests that may be in flight now, over the keys that work."""
        return self.transport.cap

    @property
    def demand(self) -> int:
        """Jobs to claim now."""
        return self.transport.demand(self)

    def stuck(self, plan: ActivePlan) -> int:
        """Samples of a plan that wait here, as long as the teacher takes no work."""
        return self.queue.waiting(plan) + self.transport.stuck(plan)

    def first_answers(self, plan: ActivePlan) -> FirstAnswers:
        """Its first answers to a plan, since the configuration was read."""
        found = self._first_answers.get(plan.id)
        if found is None:
            found = self._first_answers[plan.id] = FirstAnswers()
        return found

    def expected_tokens(self, job: Job) -> tuple[int, int]:
        """Tokens that the next request of a job is expected to take from the limits: in all, and of the completion."""
        keys = self.transport.keys
        return self.tokens.expected(job, counts_apart=bool(keys) and keys[0].limits.counts_apart)

    def misses_logprobs(self, request: Request, completions: Sequence[Completion]) -> bool:
        """Whether an answer lacks the log-probabilities that were asked for; true once."""
        if not request.logprobs or self._told_logprobs:
            return False
        self._told_logprobs = all(each.logprobs is None for each in completions)
        return self._told_logprobs

    def add_key(self, key: TeacherKey, now: float) -> KeyTransport:
        """One more key with the configured limits; the caller serves it."""
        config = self.config
        limits = KeyLimits(
            now,
            requests_per_minute=config.requests_per_minute,
            tokens_per_minute=config.tokens_per_minute,
            input_tokens_per_minute=config.input_tokens_per_minute,
            output_tokens_per_minute=config.output_tokens_per_minute,
            concurrency=config.concurrency,
        )
        return self.transport.add_key(self, key, limits)

    def configure(self, now: float, config: TeacherConfig) -> None:
        """Other prices and limits from now on; what is in the queue keeps its place."""
        before, self.config = self.config, config
        self._first_answers.clear()
        if any(getattr(before, name) != getattr(config, name) for name in _RECONNECT):
            self.groups.forget()
            self.health.forget()
            self.lateness = Lateness()
            self._told_logprobs = False
        self.tokens.configure(config)
        self.transport.configure(config)
        for each in self.transport.keys:
            each.limits.configure(
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

    def park_if_no_key_works(self) -> bool:
        """Parks the teacher when each of its keys is parked; returns whether that is new."""
        keys = self.transport.keys
        if self.health.parked or not all(each.limits.parked for each in keys):
            return False
        self.health.park(keys[-1].limits.parked)
        return True

    def unpark(self, now: float) -> bool:
        """Tries every key again; returns whether the teacher was parked."""
        was = bool(self.health.parked) or self.transport.suspended
        self.health.unpark()
        for each in self.transport.keys:
            if each.limits.parked:
                each.limits.unpark(now)
        for each in self.transport.all_keys():
            each.look_again()
        self.changed.notify()
        return was

    def resume(self, plan: ActivePlan) -> None:
        """The user resumed a plan that was held: its settings are right, and what is refused again is at fault itself."""
        self.first_answers(plan).accept()
        for each in self.transport.all_keys():
            each.look_again()

    def heartbeat(self, now: float) -> TeacherHeartbeat:
        """What the teacher does now, for the heartbeat."""
        meters, health, keys = self.meters, self.health, self.transport.keys
        meters.caps.append(self.cap)
        pause = min((each.limits.pause_left(now) for each in keys), default=0.0)
        state, reason = "ready", ""
        if health.parked:
            state, reason = "parked", health.parked
        elif health.paused:
            state = "paused"
        elif health.cooling:
            state, reason = "cooling", health.failing
            if self.lateness.timeout_s is not None:
                after = self.lateness.timeout_s
                reason += f"; a gateway gives up after {after:.3g} s: raise its timeout, or set stream = true"
        elif self.transport.suspended:
            state, reason = "cooling", self.transport.refusals(now)
        elif pause > 0:
            state, reason = "limited", f"asked to wait; next request in {duration(pause)}"
            if refusals := self.transport.refusals(now):
                reason = f"{refusals}; next request in {duration(pause)}"
        return TeacherHeartbeat(
            state=state,
            reason=reason or self.transport.note(self, now),
            in_flight=self.transport.out,
            cap=self.cap,
            queued=self.queued,
            requests_per_minute=meters.requests.per_minute(now),
            tokens_per_minute=meters.tokens.per_minute(now),
            requests_limit=self.config.requests_per_minute,
            tokens_limit=self.config.tokens_per_minute,
            p50_ms=meters.latencies.quantile(0.5),
            p95_ms=meters.latencies.quantile(0.95),
            resumes_in_s=pause or None,
            shared_with=max((each.limits.others for each in keys), default=0),
            bound_by=keys[0].limits.binds(now) if keys else "",
            errors=dict(meters.errors),
            caps=list(meters.caps),
            latency_counts=list(meters.latencies.counts),
            latency_sum_s=meters.latencies.sum_s,
        )
