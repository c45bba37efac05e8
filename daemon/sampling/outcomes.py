"""How a sample ends: stored with its verdict, or given up with its reason; the same however it was asked."""

from __future__ import annotations

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from daemon.sampling.jobs import Job
from daemon.sampling.teacher import Teacher
from engine.grading import GRADER_VERSIONS, grade, in_worker
from engine.strategies import Finished
from engine.teachers.failures import Failure
from engine.teachers.messages import Completion
from state.enums import Outcome, SampleState
from state.logprobs import Packed, packed
from state.outcomes import SampleEnd, Verdict

MOST_UNKNOWN = 3
"""Attempts of a sample that may end without an answer before it is given up: each may have been billed."""

OUTAGE_S = 7200.0
"""A teacher may fail altogether for so long before that costs samples: they wait for it."""

GRADE_ON_LOOP = 20_000
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
        verdict=await judge(finished.answer, job.gold, job.plan.answer_format, job.question),
    )


def given_up(job: Job, teacher: Teacher, failure: Failure, counts: bool, now: float) -> str:
    """Why a sample is given up; empty when it is tried again, as after every failure that is not its own."""
    if failure.kind == "permanent":
        return failure.reason
    if failure.kind == "transient" and teacher.breaker.open and now - teacher.breaker.since < OUTAGE_S:
        return ""  # nobody is answered: that is not the sample's fault
    if counts and job.attempts >= teacher.config.max_attempts:
        return f"{job.attempts} attempts failed; the last: {failure.reason}"
    if failure.kind == "ambiguous" and job.unknowns >= MOST_UNKNOWN:
        return f"{job.unknowns} attempts were sent and brought no answer; the last: {failure.reason}"
    return ""


async def judge(answer: str, gold: str, answer_format: str, question: str) -> Verdict:
    """The careful grader's verdict, off the event loop where the text is long or another process is asked."""

    def verdict() -> Verdict:
        found = grade(answer, gold, answer_format, question=question, grader=GRADER)
        return Verdict(
            grader=GRADER_VERSIONS[GRADER],
            correct=found.correct,
            extracted=found.extracted,
            reason=found.reason,
            flags=found.flags,
        )

    if in_worker(answer_format):  # these threads wait; they must not use up the shared ones
        return await anyio.to_thread.run_sync(verdict, limiter=_waiting_threads())
    if len(answer) + len(question) <= GRADE_ON_LOOP:
        return verdict()
    return await anyio.to_thread.run_sync(verdict)


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
