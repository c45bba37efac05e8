"""How attempts and samples end: stored with a verdict, or given up with a reason; the same for every transport."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from daemon.events import SampleFailed, SampleStored
from daemon.sampling.context import Attribute, Tracer
from daemon.sampling.jobs import Job
from daemon.sampling.teacher import Teacher
from engine.grading import GRADER_VERSIONS, UNLABELLED, grade, grade_unlabelled, in_worker
from engine.strategies import STRATEGIES, Finished
from engine.teachers.failures import Failure
from engine.teachers.messages import Completion, Usage
from state.claims import AttemptRequest, OpenAttempt
from state.enums import Outcome, SampleState
from state.given_up import tried
from state.logprobs import Packed, packed
from state.outcomes import AttemptResult, SampleEnd, Verdict

MOST_UNKNOWN = 3
"""Attempts of a sample without an answer before it is given up: each may have been billed."""

OUTAGE_S = 7200.0
"""How long a teacher may fail altogether before its samples are given up."""

GRADE_ON_LOOP = 100_000
"""Characters up to which grading stays on the event loop."""

WAITING_THREADS = 4
"""Threads that wait for the worker processes of slow answer formats."""

_WAITING_THREADS: RunVar[anyio.CapacityLimiter] = RunVar("_WAITING_THREADS")

GRADER = "careful"

OUTCOMES = {
    "limited": Outcome.LIMITED,
    "parked": Outcome.PARKED,
    "transient": Outcome.TRANSIENT,
    "ambiguous": Outcome.UNKNOWN,
    "malformed": Outcome.MALFORMED,
    "permanent": Outcome.PERMANENT,
}


async def ended(job: Job, finished: Finished) -> SampleEnd:
    """The end of a sample whose last turn was received, with its verdict."""
    return SampleEnd(
        state=SampleState.STORED,
        rationale=finished.rationale,
        answer=finished.answer,
        flags=finished.flags,
        verdict=await judge(
            finished.answer, job.gold, job.plan.answer_format, job.question, labelled=job.plan.labelled
        ),
    )


def given_up(job: Job, teacher: Teacher, failure: Failure, counts: bool, now: float) -> str:
    """Why a sample is given up; empty if it is tried again, as after every failure that is not its own."""
    if failure.kind == "permanent":
        return failure.reason
    if failure.kind == "transient" and teacher.health.failing_since(now, OUTAGE_S):
        return ""  # no sample is answered: this one is not at fault
    if counts and job.attempts >= teacher.config.max_attempts:
        return tried(f"{job.attempts} attempts failed", failure.reason)
    if job.refusals >= teacher.config.max_attempts:
        return tried(f"refused {job.refusals} times while others were not", failure.reason)
    if failure.kind == "ambiguous" and job.unknowns >= MOST_UNKNOWN:
        return tried(f"{job.unknowns} requests got no answer", failure.reason)
    return ""


async def judge(
    answer: str, gold: str, answer_format: str, question: str, *, labelled: bool = True
) -> Verdict:
    """The careful grader's verdict, off the event loop if the text is long or another process is asked.

    Without a gold answer it is whether an answer can be read.
    """

    def verdict() -> Verdict:
        if labelled:
            found = grade(answer, gold, answer_format, question=question, grader=GRADER)
        else:
            found = grade_unlabelled(answer, answer_format, question=question)
        return Verdict(
            grader=GRADER_VERSIONS[GRADER] if labelled else UNLABELLED,
            correct=found.correct,
            extracted=found.extracted,
            reason=found.reason,
            flags=found.flags,
        )

    if labelled and in_worker(answer_format):  # these threads wait; they must not use up the shared ones
        return await anyio.to_thread.run_sync(verdict, limiter=_waiting_threads())
    if len(answer) + len(question) <= GRADE_ON_LOOP:
        return verdict()
    return await anyio.to_thread.run_sync(verdict)


def answer_in(job: Job, completion: Completion) -> str | None:
    """The answer in one turn of a panel's member; None for other samples, or if there is none."""
    read = STRATEGIES[job.plan.config.strategy].answer_in
    return read(completion, job.question, job.plan.answer_format) if read is not None else None


async def packed_of(completion: Completion) -> Packed | None:
    """A completion's log-probabilities as they are stored, made off the event loop."""
    if completion.logprobs is None:
        return None
    return await anyio.to_thread.run_sync(packed, completion.logprobs)


def _waiting_threads() -> anyio.CapacityLimiter:
    """The threads of this event loop that may wait for a worker's verdict."""
    try:
        return _WAITING_THREADS.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(WAITING_THREADS)
        _WAITING_THREADS.set(limiter)
        return limiter


class InFlightRequest:
    """A request with everything that is on disk for it: its jobs, the leader first, and their attempts in the same order.

    Made when the request is about to be sent, or is released unsent. From then on its jobs have no attempt; the
    stored attempts are ended through here, even after the jobs were split.
    """

    __slots__ = ("attempts", "job", "members", "received_ns", "sent_ns", "teacher")

    def __init__(self, job: Job, teacher: Teacher, attempts: list[OpenAttempt]) -> None:
        self.job = job
        self.teacher = teacher
        self.members = job.members
        self.attempts = attempts
        self.sent_ns, self.received_ns = time.time_ns(), 0
        for member in self.members:
            member.attempt = None

    def result(self, index: int, outcome: Outcome, reason: str | None, **more: Any) -> AttemptResult:
        """The result of the attempt at `index`."""
        member, attempt = self.members[index], self.attempts[index]
        return AttemptResult(
            attempt_id=attempt.id,
            sample_id=member.sample_id,
            plan_id=member.plan.id,
            teacher_id=self.teacher.id,
            outcome=outcome,
            reserved_micros=attempt.reserved_micros,
            reason=reason,
            leader=index == 0,
            **more,
        )

    def trace(self, tracer: Tracer, results: Sequence[AttemptResult]) -> None:
        """Tells a tracer how it ended, once that is stored."""
        stored = time.time_ns()
        times = self.sent_ns, self.received_ns or stored, stored
        tracer.attempted(
            times, results, attributes_of(self.job, self.teacher, self.attempts[0].request_id, results)
        )


def attributes_of(
    job: Job, teacher: Teacher, request_id: str, results: Sequence[AttemptResult]
) -> dict[str, Attribute]:
    """What a trace says of a request that has ended."""
    found: dict[str, Attribute] = {
        "gen_ai.request.model": teacher.config.model,
        "gen_ai.usage.input_tokens": sum(each.prompt_tokens for each in results),
        "gen_ai.usage.output_tokens": sum(each.completion_tokens for each in results),
        "coterie.teacher": teacher.name,
        "coterie.plan": job.plan.config.name,
        "coterie.task": job.plan.task,
        "coterie.replicate": job.replicate,
        "coterie.request_id": request_id,
        "coterie.samples": len(results),
        "coterie.cost_usd": sum(each.cost_micros for each in results) / 1e6,
    }
    verdict = results[0].end.verdict if results[0].end is not None else None
    if verdict is not None:
        found["coterie.correct" if job.plan.labelled else "coterie.answered"] = verdict.correct
    return found


def ended_event(job: Job, end: SampleEnd) -> SampleStored | SampleFailed:
    """The event of a sample that has ended: stored with a verdict, or given up."""
    plan, task = job.plan.config.name, job.plan.task
    if end.state is SampleState.FAILED:
        return SampleFailed(plan=plan, task=task, sample_id=job.sample_id, reason=end.reason or "")
    return SampleStored(plan=plan, task=task, correct=end.verdict is not None and end.verdict.correct)


def further_attempts(job: Job, teacher: Teacher, session_id: int, bound: int) -> list[AttemptRequest]:
    """What is written down before a further request of a job is sent, for each member; `bound` is the most it costs."""
    members = job.members
    further = min(teacher.tokens.price.bound(0, job.output_tokens // len(members)), bound // len(members))
    return [
        AttemptRequest(
            sample_id=member.sample_id,
            plan_id=job.plan.id,
            turn=job.conversation.turn,
            teacher_id=teacher.id,
            boot_id=session_id,
            reserved_micros=further if choice else bound - further * (len(members) - 1),
            choice=choice,
        )
        for choice, member in enumerate(members)
    ]


def usages_of(completions: Sequence[Completion], wanted: int) -> list[Usage]:
    """The usage of each of `wanted` completions; further ones were paid for too, and count with the first."""
    usages = [completion.usage for completion in completions]
    return [total([usages[0], *usages[wanted:]]), *usages[1:wanted]]


def total(usages: Sequence[Usage]) -> Usage:
    """The sum of the usage of several parts of one answer."""
    if len(usages) == 1:
        return usages[0]
    told = [usage.cost_usd for usage in usages if usage.cost_usd is not None]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        cache_write_tokens=sum(usage.cache_write_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
        estimated=usages[0].estimated,
        cost_usd=math.fsum(told) if told else None,
    )
