"""Runs one attempt of one job: store the attempt, send it, receive, grade and store the answer, queue the next step.

Invariants: an attempt is on disk before a byte leaves; a received answer is on disk before its slot is
freed, even while the daemon stops; a reservation is settled exactly once. `engine.teachers.classify` decides
what a failure means; only this module decides what follows from it.
A group of samples shares one attempt, which is stored and ended in one operation; afterwards each sample continues
alone. Members that the answer had no choice for are requested again as a group, at no cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import anyio
import anyio.to_thread

from daemon import events
from daemon.limits.evidence import Asked
from daemon.limits.rates import Reservation
from daemon.limits.retries import backoff
from daemon.sampling.attempt_store import AttemptStore
from daemon.sampling.context import Context
from daemon.sampling.job_queue import RetryQueue
from daemon.sampling.jobs import Job, together
from daemon.sampling.key_workers import KeyWorkers
from daemon.sampling.outcomes import (
    OUTCOMES,
    InFlightRequest,
    answer_in,
    ended,
    ended_event,
    given_up,
    packed_of,
    total,
    usages_of,
)
from daemon.sampling.panels import Panels
from daemon.sampling.plans import ActivePlan
from daemon.sampling.refusals import Judgement, Refusals, judge
from daemon.sampling.teacher import Teacher
from engine.teachers.client import Answer
from engine.teachers.failures import Failure
from state.enums import Outcome, SampleState
from state.errors import StateError
from state.outcomes import AttemptResult, SampleEnd

BUSY = (503, 529)
"""Statuses of a server that has no room, or is out of order: what else is answered tells which."""


class AttemptRunner:
    """Runs attempts for the keys of all teachers that are asked by single requests."""

    def __init__(
        self,
        context: Context,
        *,
        retry_queue: RetryQueue,
        out_of_money: Callable[[Job], None],
        parked: Callable[[Teacher], None],
        hold_plan: Callable[[ActivePlan, str], None],
        serves_others: Callable[[Teacher, ActivePlan], bool],
        panels: Panels,
    ) -> None:
        self._panels = panels
        self.attempts = AttemptStore(context)
        self._budget = context.budget
        self._bus = context.bus
        self._clock = context.clock
        self._rng = context.rng
        self._retry_queue = retry_queue
        self._out_of_money = out_of_money
        self._parked = parked
        self._hold_plan = hold_plan
        self._refusals = Refusals(
            context, retry_queue=retry_queue, hold_plan=hold_plan, serves_others=serves_others
        )

    async def run(self, job: Job, workers: KeyWorkers, reservation: Reservation) -> None:
        """One attempt of `job` on `workers`."""
        teacher = workers.teacher
        asked = workers.evidence.sent(job.sample_id, job.question, self._clock.monotonic())
        if job.attempt is None and not self._is_withheld(job, teacher):
            with anyio.CancelScope(shield=True), suppress(StateError):  # a lost database: it is not sent
                await self.attempts.open(job, teacher)
            workers.limits.departed(reservation, self._clock.monotonic())
        if job.attempt is None or self._is_withheld(job, teacher):
            with anyio.CancelScope(shield=True):
                await self.attempts.release(job, teacher)
            self._withdrawn(workers, reservation, asked)
            if self._is_stopped(job):
                self._retry_queue.put(job, 0.0)
            else:
                self._out_of_money(job)
            return
        attempts = [member.attempt for member in job.members if member.attempt is not None]
        request = InFlightRequest(job, teacher, attempts)
        teacher.meters.requests.add(self._clock.monotonic())
        try:
            result = await workers.client.send(
                job.request, request_id=attempts[0].request_id, key=workers.key.secret
            )
        except BaseException:
            # Cancelled at the end of a drain: the request may have been billed.
            why = "the daemon stopped before an answer"
            results = [
                request.result(index, Outcome.UNKNOWN, why, unknown_micros=attempt.reserved_micros)
                for index, attempt in enumerate(attempts)
            ]
            with anyio.CancelScope(shield=True):
                await self.attempts.end(request, results)
            raise
        request.received_ns = time.time_ns()
        job.apart()
        with anyio.CancelScope(shield=True):
            if isinstance(result, Answer):
                await self._answered(request, workers, reservation, asked, result)
            else:
                await self._failed(request, workers, reservation, asked, result)

    @staticmethod
    def _is_stopped(job: Job) -> bool:
        """Whether its plan sends nothing any more, since it was queued or while its attempt was stored."""
        return job.plan.state.disabled or bool(job.plan.state.held)

    def _is_withheld(self, job: Job, teacher: Teacher) -> bool:
        """Whether it may not be sent now: its plan is stopped, or what was claimed for it no longer fits a budget.

        Answers cost more than foreseen, or a budget was lowered; also while the attempt was stored.
        """
        claimed = job.attempt is not None
        return self._is_stopped(job) or (claimed and self._budget.room(job.plan.id, teacher.id) < 0)

    def _withdrawn(self, workers: KeyWorkers, reservation: Reservation, asked: Asked) -> None:
        """The request is not sent."""
        workers.limits.released(reservation)
        workers.evidence.ended(asked)
        workers.teacher.health.withdrawn()

    async def _answered(
        self,
        request: InFlightRequest,
        workers: KeyWorkers,
        reservation: Reservation,
        asked: Asked,
        answer: Answer,
    ) -> None:
        teacher, now = workers.teacher, self._clock.monotonic()
        written = sum(each.usage.completion_tokens for each in answer.completions if not each.usage.estimated)
        workers.limits.received(reservation, now, written)
        teacher.lateness.answered(answer.latency_s)
        suspended_s = workers.evidence.answered(asked, now)
        if suspended_s is not None:
            self._bus.emit(events.TeacherRecovered(teacher=teacher.name, seconds=suspended_s))
        teacher.changed.notify()  # the next request may leave while this answer is stored
        estimate, allowed = request.job.prompt_tokens, request.job.output_tokens
        if teacher.misses_logprobs(request.job.request, answer.completions):
            self._bus.emit(events.LogprobsMissing(teacher=teacher.name))
        got = list(zip(request.members, answer.completions, strict=False))
        missing = request.members[len(got) :]
        plan, turn = request.job.plan, request.job.conversation.turn
        usages = usages_of(answer.completions, len(got))
        reserved = [attempt.reserved_micros for attempt in request.attempts]
        bookings = teacher.tokens.booked(request.job.plan.id, usages, reserved)
        results: list[AttemptResult] = []
        for index, (member, completion) in enumerate(got):
            member.conversation.answer(completion)
            finished = member.conversation.finished
            results.append(
                request.result(
                    index,
                    Outcome.OK,
                    None,
                    status=answer.status,
                    provider_id=answer.provider_id,
                    raw=None if index else answer.raw,
                    finish_reason=finished.finish_reason if finished else completion.finish_reason,
                    **bookings[index].columns(),
                    latency_ms=round(answer.latency_s * 1000),
                    logprobs=await packed_of(completion),
                    answer=answer_in(member, completion),
                    end=await ended(member, finished) if finished is not None else None,
                )
            )
        why = f"the answer had {len(got)} of {len(request.members)} choices"
        results += [
            request.result(index, Outcome.RELEASED, why) for index in range(len(got), len(request.members))
        ]
        await self.attempts.end(request, results)
        usage = total(usages)
        tokens = usage.prompt_tokens + usage.completion_tokens
        counted = None if usage.estimated else teacher.tokens.counted(usage)
        workers.limits.succeeded(reservation, now, counted, answer.headers, usage.completion_tokens)
        self._works(teacher, now)
        teacher.retry_budget.succeeded(now)
        teacher.health.answered()
        teacher.tokens.learn(estimate, allowed, usage)
        teacher.meters.answers.add(now)
        teacher.meters.tokens.add(now, tokens)
        teacher.meters.latencies.add(answer.latency_s * 1000)
        if len(request.members) > 1:
            self._learn_groups(teacher, why if len(got) == 1 else "")
        if missing:
            self._again(missing, teacher)
        for (member, _), result in zip(reversed(got), reversed(results[: len(got)]), strict=True):
            if result.end is not None:
                self._panels.ended(member)
                self._bus.emit(ended_event(member, result.end))
            elif plan.panel:
                self._panels.answered(member)
            else:
                teacher.queue.push(member, first=True)
        first = teacher.first_answers(plan)
        for completion in answer.completions:
            if why := first.completed(plan.config, turn, completion):
                self._hold_plan(plan, why)

    def _again(self, members: list[Job], teacher: Teacher) -> None:
        """Queues members of a group that got no choice, as a group if the teacher takes groups."""
        for job in reversed(members) if teacher.groups.one_by_one else (together(members),):
            teacher.queue.push(job, first=True)

    def _learn_groups(self, teacher: Teacher, in_vain: str) -> None:
        """Learns whether a teacher gives several rationales for a request; `in_vain` is the reason why it did not."""
        if teacher.groups.ended(in_vain=bool(in_vain)):
            self._bus.emit(events.AskedOneByOne(teacher=teacher.name, reason=in_vain.rstrip(".")))

    async def _failed(
        self,
        request: InFlightRequest,
        workers: KeyWorkers,
        reservation: Reservation,
        asked: Asked,
        failure: Failure,
    ) -> None:
        teacher, now = workers.teacher, self._clock.monotonic()
        failure = self._refusals.timely(teacher, failure)
        if failure.kind == "transient" and failure.status in BUSY and workers.limits.busy(reservation, now):
            failure = replace(failure, kind="limited", scope="concurrency")
        judged = judge(together(request.members), workers, asked, failure, now)
        request.job.apart()
        # Before the refusal is stored: no further request must meet the same.
        self._refusals.conclude(request.job.plan, workers, failure, judged, now)
        outcome = OUTCOMES[failure.kind]
        counts = failure.kind in ("transient", "malformed") and failure.reached
        split = judged.split
        ends: list[SampleEnd | None] = []
        for member in request.members:
            member.attempts += counts
            member.unknowns += failure.kind == "ambiguous"
            reason = judged.given_up
            if not reason and not split and failure.kind != "permanent":
                reason = given_up(member, teacher, failure, counts, now)
            ends.append(SampleEnd(state=SampleState.FAILED, reason=reason) if reason else None)
            if reason:
                workers.evidence.forget(member.sample_id)
        limited = failure.kind == "limited"
        alone: float | None = None
        if limited:  # before the refusal is stored: the next request must not meet the same limit
            alone = self._react(request, workers, reservation, failure, judged, now)
        reserved = [attempt.reserved_micros for attempt in request.attempts]
        bookings = teacher.tokens.charged(request.job.plan.id, failure, reserved)
        results = [
            request.result(
                index,
                outcome,
                failure.reason,
                status=failure.status,
                provider_id=failure.provider_id,
                raw=failure.raw if not index and (failure.raw or failure.kind == "malformed") else None,
                **bookings[index].columns(),
                latency_ms=round(failure.latency_s * 1000),
                counts=counts,
                end=ends[index],
            )
            for index, attempt in enumerate(request.attempts)
        ]
        await self.attempts.end(request, results)
        teacher.meters.errors[failure.kind] += 1
        for member, end in zip(request.members, ends, strict=True):
            if end is not None:
                self._panels.ended(member)
                self._bus.emit(ended_event(member, end))
        if split:
            self._learn_groups(teacher, failure.reason)
        if not limited:
            self._react(request, workers, reservation, failure, judged, now)
        rest = [member for member, end in zip(request.members, ends, strict=True) if end is None]
        if not rest:
            return
        if split:
            for member in reversed(rest):
                teacher.queue.push(member, first=True)
            return
        job = together(rest)
        if failure.kind in ("limited", "parked", "permanent"):
            self._refusals.queue_again(job, workers, failure, judged, alone)
            return
        teacher.meters.retries.add(now)
        wait = max(backoff(max(1, job.attempts + job.unknowns), self._rng), failure.retry_after_s or 0.0)
        self._retry_queue.put(job, wait + teacher.retry_budget.spend(now))

    def _react(
        self,
        request: InFlightRequest,
        workers: KeyWorkers,
        reservation: Reservation,
        failure: Failure,
        judged: Judgement,
        now: float,
    ) -> float | None:
        """Applies a failure to the key, the teacher and the plan.

        Returns how long the request alone waits for a limit, None where the key does.
        """
        teacher, limits = workers.teacher, workers.limits
        if failure.kind == "limited":
            teacher.meters.limited.add(now)
            alone: float | None = None
            if judged.again:  # nobody else waits for it
                limits.refused_alone(reservation)
            else:
                alone = limits.limited(
                    *(reservation, now, failure.retry_after_s, failure.headers, failure.scope),
                    daily=failure.daily,
                )
            self._works(teacher, now)  # a server that answers with a rate limit works
            return alone
        if failure.kind == "transient" and failure.scope == "concurrency":
            # Too many open files on this machine: fewer at once; the teacher is not at fault.
            limits.limited(reservation, now, None, None, "concurrency")
            teacher.health.withdrawn()
            return None
        used = None if failure.charged == "unknown" else teacher.tokens.counted_of(failure)
        limits.failed(reservation, now, None if judged.again else failure.retry_after_s, used)
        if failure.kind == "parked":
            teacher.health.withdrawn()
        elif failure.kind == "permanent":
            self._works(teacher, now)
            own = judged.given_up and failure.blame == "request"
            if own and teacher.health.refused(request.job.question):
                count = len(teacher.health.refused_in_a_row)
                self._refusals.park_all(teacher, f"{count} requests in a row were rejected: {failure.reason}")
        elif failure.blame == "sample":
            self._works(teacher, now)  # it worked, for nothing
        else:
            if teacher.health.failed(failure.reason, now):
                self._bus.emit(events.TeacherCooling(teacher=teacher.name, reason=failure.reason))
                for each in teacher.transport.keys:
                    each.limits.fails(now)
        if teacher.park_if_no_key_works():
            self._parked(teacher)
        return None

    def _works(self, teacher: Teacher, now: float) -> None:
        """The teacher answered, if only with a refusal: ends an outage."""
        seconds = teacher.health.works(now)
        if seconds is not None:
            self._bus.emit(events.TeacherRecovered(teacher=teacher.name, seconds=seconds))
