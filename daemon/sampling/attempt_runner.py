"""Runs one attempt of one job: store the attempt, send it, receive, grade and store the answer, queue the next step.

Invariants: an attempt is on disk before a byte leaves; a received answer is on disk before its slot is
freed, even while the daemon stops; a reservation is settled exactly once. `engine.teachers.classify` decides
what a failure means; only this module decides what follows from it.
A group of samples shares one attempt, which is stored and ended in one operation; afterwards each sample continues
alone. Members that the answer had no choice for are requested again as a group, at no cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import anyio
import anyio.to_thread

from daemon import events
from daemon.limits.key_limits import Reservation
from daemon.limits.retries import backoff
from daemon.sampling.context import Context
from daemon.sampling.job_queue import RetryQueue
from daemon.sampling.jobs import Job, together
from daemon.sampling.key_workers import KeyWorkers
from daemon.sampling.outcomes import OUTCOMES, InFlightRequest, ended, given_up, packed_of, total, usages_of
from daemon.sampling.teacher import Teacher
from engine.teachers.client import Answer
from engine.teachers.failures import Failure
from state.claims import AttemptRequest, OpenAttempt, open_attempts, open_groups
from state.enums import Outcome, SampleState
from state.outcomes import AttemptResult, SampleEnd, record, record_groups


class AttemptRunner:
    """Runs attempts for the keys of all teachers that are asked by single requests."""

    def __init__(
        self,
        context: Context,
        *,
        retry_queue: RetryQueue,
        out_of_money: Callable[[Job], None],
        parked: Callable[[Teacher], None],
    ) -> None:
        self._session_id = context.session_id
        self._writer = context.writer
        self._budget = context.budget
        self._bus = context.bus
        self._clock = context.clock
        self._rng = context.rng
        self._retry_queue = retry_queue
        self._out_of_money = out_of_money
        self._parked = parked

    async def run(self, job: Job, workers: KeyWorkers, reservation: Reservation) -> None:
        """One attempt of `job` on `workers`."""
        teacher = workers.teacher
        if job.plan.state.disabled:  # since it was queued
            with anyio.CancelScope(shield=True):
                await self.release(job, teacher)
            workers.limits.released(reservation)
            teacher.health.withdrawn()
            self._retry_queue.put(job, 0.0)
            return
        attempts = [member.attempt for member in job.members if member.attempt is not None]
        if attempts and self._budget.room(job.plan.id, teacher.id) < 0:
            # Answers cost more than foreseen, or a budget was lowered: what was claimed ahead is not sent.
            with anyio.CancelScope(shield=True):
                await self.release(job, teacher)
            workers.limits.released(reservation)
            teacher.health.withdrawn()
            self._out_of_money(job)
            return
        if not attempts:
            with anyio.CancelScope(shield=True):
                attempts = await self._opened(job, teacher)
            workers.limits.departed(reservation, self._clock.monotonic())
        if not attempts:
            workers.limits.released(reservation)
            teacher.health.withdrawn()
            self._out_of_money(job)
            return
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
                request.result(index, Outcome.UNKNOWN, why, cost_micros=attempt.reserved_micros)
                for index, attempt in enumerate(attempts)
            ]
            with anyio.CancelScope(shield=True):
                await self._record(results)
            raise
        job.apart()
        with anyio.CancelScope(shield=True):
            if isinstance(result, Answer):
                await self._answered(request, workers, reservation, result)
            else:
                await self._failed(request, workers, reservation, result)

    async def release(self, job: Job, teacher: Teacher) -> None:
        """Releases an attempt that is on disk and will not be sent."""
        if job.attempt is None:
            return
        request = InFlightRequest(
            job, teacher, [member.attempt for member in job.members if member.attempt is not None]
        )
        results = [
            request.result(index, Outcome.RELEASED, "not sent") for index in range(len(request.attempts))
        ]
        await self._record(results)
        self._settle(request, results)

    async def release_all(self, jobs: Iterable[Job], teacher: Teacher) -> None:
        """Releases the attempts of many jobs, in few commits."""
        async with anyio.create_task_group() as group:
            for job in jobs:
                group.start_soon(self.release, job, teacher)

    async def _opened(self, job: Job, teacher: Teacher) -> list[OpenAttempt]:
        """Stores a further attempt of each member; none if the budget has no room."""
        bound = job.bound(teacher.tokens.price)
        if not self._budget.reserve(job.plan.id, teacher.id, bound):
            return []
        members = job.members
        further = min(teacher.tokens.price.bound(0, job.output_tokens // len(members)), bound // len(members))
        requests = [
            AttemptRequest(
                sample_id=member.sample_id,
                plan_id=job.plan.id,
                turn=job.conversation.turn,
                teacher_id=teacher.id,
                boot_id=self._session_id,
                reserved_micros=further if choice else bound - further * (len(members) - 1),
                choice=choice,
            )
            for choice, member in enumerate(members)
        ]
        if len(requests) == 1:
            return [await self._writer.do(open_attempts, requests[0])]
        return await self._writer.do(open_groups, requests)

    async def _answered(
        self, request: InFlightRequest, workers: KeyWorkers, reservation: Reservation, answer: Answer
    ) -> None:
        teacher, now = workers.teacher, self._clock.monotonic()
        workers.limits.received(reservation, now)
        teacher.changed.notify()  # the next request may leave while this answer is stored
        estimate, allowed = request.job.prompt_tokens, request.job.output_tokens
        if teacher.misses_logprobs(request.job.request, answer.completions):
            self._bus.emit(events.LogprobsMissing(teacher=teacher.name))
        got = list(zip(request.members, answer.completions, strict=False))
        missing = request.members[len(got) :]
        usages = usages_of(answer.completions, len(got))
        costs = teacher.tokens.costs(usages)
        results: list[AttemptResult] = []
        for index, (member, completion) in enumerate(got):
            member.conversation.answer(completion)
            finished = member.conversation.finished
            usage = usages[index]
            results.append(
                request.result(
                    index,
                    Outcome.OK,
                    None,
                    cost_micros=costs[index],
                    status=answer.status,
                    provider_id=answer.provider_id,
                    raw=None if index else answer.raw,
                    finish_reason=finished.finish_reason if finished else completion.finish_reason,
                    prompt_tokens=usage.prompt_tokens,
                    completion_tokens=usage.completion_tokens,
                    cached_tokens=usage.cached_tokens,
                    cache_write_tokens=usage.cache_write_tokens,
                    reasoning_tokens=usage.reasoning_tokens,
                    estimated=usage.estimated,
                    latency_ms=round(answer.latency_s * 1000),
                    logprobs=await packed_of(completion),
                    end=await ended(member, finished) if finished is not None else None,
                )
            )
        why = f"the answer had {len(got)} of {len(request.members)} choices"
        results += [
            request.result(index, Outcome.RELEASED, why) for index in range(len(got), len(request.members))
        ]
        await self._store(request, results)
        usage = total(usages)
        tokens = usage.prompt_tokens + usage.completion_tokens
        counted = None if usage.estimated else teacher.tokens.counted(usage)
        workers.limits.succeeded(reservation, now, counted, answer.headers, usage.completion_tokens)
        self._works(teacher, now)
        teacher.retry_budget.succeeded()
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
            if result.end is None:
                teacher.queue.push(member, first=True)
            else:
                self._emit_stored(member, result.end)

    def _again(self, members: list[Job], teacher: Teacher) -> None:
        """Queues members of a group that got no choice, as a group if the teacher takes groups."""
        for job in reversed(members) if teacher.groups.one_by_one else (together(members),):
            teacher.queue.push(job, first=True)

    def _learn_groups(self, teacher: Teacher, in_vain: str) -> None:
        """Learns whether a teacher gives several rationales for a request; `in_vain` is the reason why it did not."""
        if teacher.groups.ended(in_vain=bool(in_vain)):
            self._bus.emit(events.AskedOneByOne(teacher=teacher.name, reason=in_vain.rstrip(".")))

    async def _failed(
        self, request: InFlightRequest, workers: KeyWorkers, reservation: Reservation, failure: Failure
    ) -> None:
        teacher, now = workers.teacher, self._clock.monotonic()
        outcome = OUTCOMES[failure.kind]
        counts = failure.kind in ("transient", "malformed") and failure.reached
        # A group may be refused because it is one, or because of one of its samples: each is requested alone.
        split = failure.kind == "permanent" and len(request.members) > 1
        ends: list[SampleEnd | None] = []
        for member in request.members:
            member.attempts += counts
            member.unknowns += failure.kind == "ambiguous"
            reason = "" if split else given_up(member, teacher, failure, counts, now)
            ends.append(SampleEnd(state=SampleState.FAILED, reason=reason) if reason else None)
        limited = failure.kind == "limited"
        if limited:  # before the refusal is stored: the next request must not meet the same limit
            self._react(workers, reservation, failure, now)
        reserved = [attempt.reserved_micros for attempt in request.attempts]
        costs, usages = teacher.tokens.charged(failure, reserved)
        results = [
            request.result(
                index,
                outcome,
                failure.reason,
                cost_micros=costs[index],
                status=failure.status,
                provider_id=failure.provider_id,
                raw=failure.raw if not index and (failure.raw or failure.kind == "malformed") else None,
                prompt_tokens=usages[index].prompt_tokens,
                completion_tokens=usages[index].completion_tokens,
                cached_tokens=usages[index].cached_tokens,
                cache_write_tokens=usages[index].cache_write_tokens,
                reasoning_tokens=usages[index].reasoning_tokens,
                estimated=failure.charged == "unknown",
                latency_ms=round(failure.latency_s * 1000),
                counts=counts,
                end=ends[index],
            )
            for index, attempt in enumerate(request.attempts)
        ]
        await self._store(request, results)
        teacher.meters.errors[failure.kind] += 1
        for member, end in zip(request.members, ends, strict=True):
            if end is not None:
                self._bus.emit(
                    events.SampleFailed(
                        plan=member.plan.config.name,
                        task=member.plan.task,
                        sample_id=member.sample_id,
                        reason=end.reason or "",
                    )
                )
        if split:
            self._learn_groups(teacher, failure.reason)
        if not limited:
            self._react(workers, reservation, failure, now, of_group=split)
        rest = [member for member, end in zip(request.members, ends, strict=True) if end is None]
        if not rest:
            return
        if split:
            for member in reversed(rest):
                teacher.queue.push(member, first=True)
            return
        job = together(rest)
        if failure.kind not in ("limited", "parked"):
            teacher.meters.retries.add(now)
            wait = max(backoff(max(1, job.attempts + job.unknowns), self._rng), failure.retry_after_s or 0.0)
            self._retry_queue.put(job, wait + teacher.retry_budget.spend(now))
        else:
            teacher.queue.push(job, first=True)

    def _react(
        self,
        workers: KeyWorkers,
        reservation: Reservation,
        failure: Failure,
        now: float,
        *,
        of_group: bool = False,
    ) -> None:
        """Applies a failure to the key and the teacher; a refused group counts only once its members were asked."""
        teacher, limits = workers.teacher, workers.limits
        if failure.kind == "limited":
            teacher.meters.limited.add(now)
            limits.limited(
                *(reservation, now, failure.retry_after_s, failure.headers, failure.scope),
                daily=failure.daily,
            )
            self._works(teacher, now)  # a server that answers with a rate limit works
            return
        if failure.kind == "transient" and failure.scope == "concurrency":
            # Too many open files on this machine: fewer at once; the teacher is not at fault.
            limits.limited(reservation, now, None, None, "concurrency")
            teacher.health.withdrawn()
            return
        used = None if failure.charged == "unknown" else teacher.tokens.counted_of(failure)
        limits.failed(reservation, now, failure.retry_after_s, used)
        if failure.kind == "parked":
            limits.park(failure.reason)
            teacher.health.withdrawn()
        elif failure.kind == "permanent":
            self._works(teacher, now)
            if not of_group and teacher.health.refused():
                count = teacher.health.permanent_in_a_row
                for each in teacher.transport.keys:
                    each.limits.park(f"{count} requests in a row were rejected: {failure.reason}")
        else:
            if teacher.health.failed(failure.reason, now):
                self._bus.emit(events.TeacherCooling(teacher=teacher.name, reason=failure.reason))
        if teacher.park_if_no_key_works():
            self._parked(teacher)

    def _works(self, teacher: Teacher, now: float) -> None:
        """The teacher answered, if only with a refusal: ends an outage."""
        seconds = teacher.health.works(now)
        if seconds is not None:
            self._bus.emit(events.TeacherRecovered(teacher=teacher.name, seconds=seconds))

    async def _store(self, request: InFlightRequest, results: list[AttemptResult]) -> None:
        await self._record(results)
        self._settle(request, results)
        request.job.plan.state.ended(sum(result.end is not None for result in results))

    async def _record(self, results: list[AttemptResult]) -> None:
        if len(results) == 1:
            await self._writer.do(record, results[0])
        else:
            await self._writer.do(record_groups, results)

    def _settle(self, request: InFlightRequest, results: list[AttemptResult]) -> None:
        reserved = sum(result.reserved_micros for result in results)
        spent = sum(result.cost_micros for result in results)
        self._budget.settle(request.job.plan.id, request.teacher.id, reserved, spent)

    def _emit_stored(self, job: Job, end: SampleEnd) -> None:
        correct = end.verdict is not None and end.verdict.correct
        self._bus.emit(events.SampleStored(plan=job.plan.config.name, task=job.plan.task, correct=correct))
