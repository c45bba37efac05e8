"""Carries one job through one attempt: written down, sent, received, graded, stored; then what comes next.

Invariants: an attempt is on disk before a byte leaves; what was received is on disk before its slot is
freed, even when the daemon is being stopped; a reservation is settled exactly once. What a failure
means is decided in `engine.teachers.classify`; what follows from it is decided here and nowhere else.
A group of samples goes through one attempt together, written and ended in one operation; then each goes on
by itself. Those that the answer has nothing for are asked for again, as a group, and lose nothing by it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import anyio
import anyio.to_thread

from daemon import events
from daemon.host.clock import Clock
from daemon.limits.key_limits import Reservation
from daemon.limits.retries import backoff
from daemon.sampling.budget import Ledger
from daemon.sampling.in_flight import InFlightRequest, total, usages_of
from daemon.sampling.jobs import Job, together
from daemon.sampling.key_workers import KeyWorkers
from daemon.sampling.outcomes import OUTCOMES, ended, given_up, packed_of
from daemon.sampling.retry_queue import RetryQueue
from daemon.sampling.teacher import Teacher
from engine.teachers.client import Answer
from engine.teachers.failures import Failure
from state.claims import AttemptRequest, OpenAttempt, open_attempts, open_groups
from state.enums import Outcome, SampleState
from state.outcomes import AttemptResult, SampleEnd, record, record_groups
from state.writer import Writer

PERMANENT_PARKS = 20
"""Requests refused in a row after which the teacher, not the samples, is taken to be at fault."""


class AttemptRunner:
    """What all keys share: the way of one attempt."""

    def __init__(
        self,
        *,
        boot_id: int,
        writer: Writer,
        ledger: Ledger,
        bus: events.Bus,
        clock: Clock,
        rng: random.Random,
        retry_queue: RetryQueue,
        out_of_money: Callable[[Job], None],
        parked: Callable[[Teacher], None],
    ) -> None:
        self._boot_id = boot_id
        self._writer = writer
        self._ledger = ledger
        self._bus = bus
        self._clock = clock
        self._rng = rng
        self._retry_queue = retry_queue
        self._out_of_money = out_of_money
        self._parked = parked

    async def run(self, job: Job, workers: KeyWorkers, reservation: Reservation) -> None:
        """One attempt of `job` on `workers`."""
        teacher = workers.teacher
        if job.plan.retired:  # since it was queued: nothing more is sent for it
            with anyio.CancelScope(shield=True):
                await self.release(job, teacher)
            workers.limits.released(reservation)
            teacher.breaker.withdrawn()
            self._retry_queue.put(job, 0.0)
            return
        attempts = [member.attempt for member in job.members if member.attempt is not None]
        if attempts and self._ledger.room(job.plan.id, teacher.id) < 0:
            # Answers cost more than could be foreseen, or a cap was lowered: what was claimed ahead is not sent.
            with anyio.CancelScope(shield=True):
                await self.release(job, teacher)
            workers.limits.released(reservation)
            teacher.breaker.withdrawn()
            self._out_of_money(job)
            return
        if not attempts:
            with anyio.CancelScope(shield=True):
                attempts = await self._opened(job, teacher)
            workers.limits.departed(reservation, self._clock.monotonic())
        if not attempts:
            workers.limits.released(reservation)
            teacher.breaker.withdrawn()
            self._out_of_money(job)
            return
        sent = InFlightRequest(job, teacher, attempts)
        teacher.figures.requests.add(self._clock.monotonic())
        try:
            result = await teacher.client.send(
                job.request, request_id=attempts[0].request_id, key=workers.key.secret
            )
        except BaseException:
            # Cancelled at the end of a drain: the request may have been answered and billed.
            why = "the daemon stopped before an answer"
            endings = [
                sent.ending(index, Outcome.UNKNOWN, why, cost_micros=attempt.reserved_micros)
                for index, attempt in enumerate(attempts)
            ]
            with anyio.CancelScope(shield=True):
                await self._record(endings)
            raise
        job.apart()
        with anyio.CancelScope(shield=True):
            if isinstance(result, Answer):
                await self._answered(sent, workers, reservation, result)
            else:
                await self._failed(sent, workers, reservation, result)

    async def release(self, job: Job, teacher: Teacher) -> None:
        """Takes back an attempt that was written down and is not going to be sent."""
        if job.attempt is None:
            return
        sent = InFlightRequest(
            job, teacher, [member.attempt for member in job.members if member.attempt is not None]
        )
        endings = [sent.ending(index, Outcome.RELEASED, "not sent") for index in range(len(sent.attempts))]
        await self._record(endings)
        self._settle(sent, endings)

    async def release_all(self, jobs: Iterable[Job], teacher: Teacher) -> None:
        """Takes back the attempts of many jobs, in few commits."""
        async with anyio.create_task_group() as group:
            for job in jobs:
                group.start_soon(self.release, job, teacher)

    async def _opened(self, job: Job, teacher: Teacher) -> list[OpenAttempt]:
        """A further attempt of each member on disk; none where the money does not reach."""
        bound = job.bound(teacher.price)
        if not self._ledger.reserve(job.plan.id, teacher.id, bound):
            return []
        members = job.members
        further = min(teacher.price.bound(0, job.output_tokens // len(members)), bound // len(members))
        requests = [
            AttemptRequest(
                sample_id=member.sample_id,
                plan_id=job.plan.id,
                turn=job.conversation.turn,
                teacher_id=teacher.id,
                boot_id=self._boot_id,
                reserved_micros=further if choice else bound - further * (len(members) - 1),
                choice=choice,
            )
            for choice, member in enumerate(members)
        ]
        if len(requests) == 1:
            return [await self._writer.do(open_attempts, requests[0])]
        return await self._writer.do(open_groups, requests)

    async def _answered(
        self, sent: InFlightRequest, workers: KeyWorkers, reservation: Reservation, answer: Answer
    ) -> None:
        teacher, now = workers.teacher, self._clock.monotonic()
        workers.limits.received(reservation, now)
        teacher.changed.notify()  # the teacher has room for the next one while this one is stored
        estimate, allowed = sent.job.prompt_tokens, sent.job.output_tokens
        got = list(zip(sent.members, answer.completions, strict=False))
        missing = sent.members[len(got) :]
        usages = usages_of(answer.completions, len(got))
        costs = teacher.costs(usages)
        endings: list[AttemptResult] = []
        for index, (member, completion) in enumerate(got):
            member.conversation.answer(completion)
            finished = member.conversation.finished
            usage = usages[index]
            endings.append(
                sent.ending(
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
        why = f"the answer had {len(got)} of {len(sent.members)} choices"
        endings += [sent.ending(index, Outcome.RELEASED, why) for index in range(len(got), len(sent.members))]
        await self._store(sent, endings)
        usage = total(usages)
        tokens = usage.prompt_tokens + usage.completion_tokens
        counted = None if usage.estimated else teacher.counted_tokens(usage)
        workers.limits.succeeded(reservation, now, counted, answer.headers, usage.completion_tokens)
        self._works(teacher, now)
        teacher.budget.succeeded()
        teacher.permanent_in_a_row = 0
        teacher.learn(estimate, allowed, usage)
        teacher.figures.answers.add(now)
        teacher.figures.tokens.add(now, tokens)
        teacher.figures.latencies.add(answer.latency_s * 1000)
        if len(sent.members) > 1:
            self._learn_groups(teacher, why if len(got) == 1 else "")
        if missing:
            self._again(missing, teacher)
        for (member, _), ending in zip(reversed(got), reversed(endings[: len(got)]), strict=True):
            if ending.end is None:
                teacher.push(member, first=True)
            else:
                self._tell_stored(member, ending.end)

    def _again(self, members: list[Job], teacher: Teacher) -> None:
        """Members of a group that nothing came for are next, as a group where the teacher takes one."""
        for job in reversed(members) if teacher.one_by_one else (together(members),):
            teacher.push(job, first=True)

    def _learn_groups(self, teacher: Teacher, in_vain: str) -> None:
        """Whether a teacher gives several rationales for a request; `in_vain` says why this time it did not."""
        if teacher.group_ended(in_vain=bool(in_vain)):
            self._bus.emit(events.AskedOneByOne(teacher=teacher.name, reason=in_vain.rstrip(".")))

    async def _failed(
        self, sent: InFlightRequest, workers: KeyWorkers, reservation: Reservation, failure: Failure
    ) -> None:
        teacher, now = workers.teacher, self._clock.monotonic()
        outcome = OUTCOMES[failure.kind]
        counts = failure.kind in ("transient", "malformed") and failure.reached
        # A group may be refused for being one, or for one of its samples' luck: each is asked for by itself.
        split = failure.kind == "permanent" and len(sent.members) > 1
        ends: list[SampleEnd | None] = []
        for member in sent.members:
            member.attempts += counts
            member.unknowns += failure.kind == "ambiguous"
            reason = "" if split else given_up(member, teacher, failure, counts, now)
            ends.append(SampleEnd(state=SampleState.FAILED, reason=reason) if reason else None)
        limited = failure.kind == "limited"
        if limited:  # at once: while the refusal is written down, the next request must not run into the same
            self._react(workers, reservation, failure, now)
        # An answer that may have been billed counts as billed: its reservation is spent.
        billed = failure.kind in ("ambiguous", "malformed")
        endings = [
            sent.ending(
                index,
                outcome,
                failure.reason,
                cost_micros=attempt.reserved_micros if billed else 0,
                status=failure.status,
                provider_id=failure.provider_id,
                raw=failure.raw if failure.kind == "malformed" and not index else None,
                estimated=billed,
                latency_ms=round(failure.latency_s * 1000),
                counts=counts,
                end=ends[index],
            )
            for index, attempt in enumerate(sent.attempts)
        ]
        await self._store(sent, endings)
        teacher.figures.errors[failure.kind] += 1
        for member, end in zip(sent.members, ends, strict=True):
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
        rest = [member for member, end in zip(sent.members, ends, strict=True) if end is None]
        if not rest:
            return
        if split:
            for member in reversed(rest):
                teacher.push(member, first=True)
            return
        job = together(rest)
        if failure.kind not in ("limited", "parked"):
            teacher.figures.retries.add(now)
            wait = max(backoff(max(1, job.attempts + job.unknowns), self._rng), failure.retry_after_s or 0.0)
            self._retry_queue.put(job, wait + teacher.budget.spend(now))
        else:
            teacher.push(job, first=True)

    def _react(
        self,
        workers: KeyWorkers,
        reservation: Reservation,
        failure: Failure,
        now: float,
        *,
        of_group: bool = False,
    ) -> None:
        """What a failure means for the key and the teacher; of a group's refusal its members will tell."""
        teacher, limits = workers.teacher, workers.limits
        if failure.kind == "limited":
            teacher.figures.limited.add(now)
            limits.limited(
                *(reservation, now, failure.retry_after_s, failure.headers, failure.scope),
                daily=failure.daily,
            )
            self._works(teacher, now)  # a server that refuses for a limit works
            return
        if failure.kind == "transient" and failure.scope == "concurrency":
            # Too many open files here: fewer at once, as if the server had said so; it is not at fault.
            limits.limited(reservation, now, None, None, "concurrency")
            teacher.breaker.withdrawn()
            return
        billed = failure.kind in ("ambiguous", "malformed")
        limits.failed(reservation, now, failure.retry_after_s, None if billed else 0)
        if failure.kind == "parked":
            limits.park(failure.reason)
            teacher.breaker.withdrawn()
        elif failure.kind == "permanent":
            self._works(teacher, now)
            teacher.permanent_in_a_row += not of_group
            if teacher.permanent_in_a_row >= PERMANENT_PARKS:
                for each in teacher.key_workers:
                    each.limits.park(
                        f"{teacher.permanent_in_a_row} requests in a row were refused: {failure.reason}"
                    )
        else:
            teacher.failing = failure.reason
            if teacher.breaker.failed(now):
                self._bus.emit(events.TeacherCooling(teacher=teacher.name, reason=failure.reason))
        if teacher.park_if_all_are():
            self._parked(teacher)

    def _works(self, teacher: Teacher, now: float) -> None:
        """The teacher answered, if only with a refusal that is its business."""
        if teacher.breaker.open:
            self._bus.emit(events.TeacherRecovered(teacher=teacher.name, seconds=now - teacher.breaker.since))
        teacher.breaker.succeeded()

    async def _store(self, sent: InFlightRequest, endings: list[AttemptResult]) -> None:
        await self._record(endings)
        self._settle(sent, endings)
        sent.job.plan.open -= sum(ending.end is not None for ending in endings)

    async def _record(self, endings: list[AttemptResult]) -> None:
        if len(endings) == 1:
            await self._writer.do(record, endings[0])
        else:
            await self._writer.do(record_groups, endings)

    def _settle(self, sent: InFlightRequest, endings: list[AttemptResult]) -> None:
        reserved = sum(ending.reserved_micros for ending in endings)
        spent = sum(ending.cost_micros for ending in endings)
        self._ledger.settle(sent.job.plan.id, sent.teacher.id, reserved, spent)

    def _tell_stored(self, job: Job, end: SampleEnd) -> None:
        correct = end.verdict is not None and end.verdict.correct
        self._bus.emit(events.SampleStored(plan=job.plan.config.name, task=job.plan.task, correct=correct))
