"""Judges a request without a completion: whose fault it is, and whether its sample is given up for it.

The evidence of the key (`daemon/limits/evidence.py`) decides together with what the words suggest. Where it is not the
request's, `Refusals` suspends or parks the key, or holds the plan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from daemon import events
from daemon.limits.evidence import Asked, Owner
from daemon.limits.retries import backoff
from daemon.sampling.context import Context
from daemon.sampling.first_answers import UNSAID
from daemon.sampling.job_queue import RetryQueue
from daemon.sampling.jobs import Job
from daemon.sampling.key_workers import KeyWorkers
from daemon.sampling.plans import ActivePlan
from daemon.sampling.teacher import Teacher
from engine.teachers.failures import Failure
from state.given_up import tried
from state.safe import safe_line

AT_ONCE = frozenset({401, 402, 404, 405, 407})
"""Refusals of a key that never worked which need no second request to be told."""
NEARLY = 0.9
"""Share of a limit that counts as all of it."""
REFUSED_MAX_S = 5.0
LIMITED_MAX_S = 20.0
"""Longest waits of a sample that is refused for itself before it is tried again; longer where it may be a limit."""
REFUSED_SHARE, LONG_MAX_S = 0.1, 60.0
"""One that was refused for long waits up to this share of that time, at most a minute: quick tries showed nothing."""


@dataclass(kw_only=True, slots=True)
class Judgement:
    """What a failure means."""

    owner: Owner = "open"
    again: bool = False
    """The request is refused again, while others are not: nobody else waits for it."""
    given_up: str = ""
    """Why its sample is given up; empty: it is tried again."""
    split: bool = False
    """Each member of the group is requested alone."""
    at_fault: str = ""
    """Why the plan, or the teacher where it serves no other plan, is not asked any more."""
    holds: bool = False
    """It is the plan in any case."""


def judge(job: Job, workers: KeyWorkers, asked: Asked, failure: Failure, now: float) -> Judgement:
    """Judges a failure, and tells the key's evidence."""
    teacher, evidence = workers.teacher, workers.evidence
    first = teacher.first_answers(job.plan)
    if job.siblings and (failure.kind == "permanent" or failure.blame == "setting"):
        # A group may be refused because it is one, or because of one of its samples.
        evidence.ended(asked)
        return Judgement(split=True)
    if failure.kind == "limited":
        return _limited(job, workers, asked, failure, now)
    if failure.kind == "parked" and failure.blame != "setting":
        return _key(job, workers, asked, failure, now)
    if failure.kind not in ("parked", "permanent"):
        if failure.kind == "malformed" and failure.usage is not None:
            evidence.answered(asked, now)  # it worked, and is paid for
        else:
            evidence.ended(asked)
        at_fault = first.failed(job.plan.config, job.conversation.turn, job.question, failure)
        return Judgement(at_fault=at_fault, holds=True)
    if failure.blame == "request":
        evidence.ended(asked)
        at_fault = first.failed(job.plan.config, job.conversation.turn, job.question, failure)
        return Judgement(owner="request", given_up=failure.reason, at_fault=at_fault)
    if failure.blame == "recording":
        evidence.ended(asked)
        return Judgement(owner="request", given_up=failure.reason)
    if failure.blame != "setting" and evidence.is_vouched(asked):
        evidence.ended(asked)
        return Judgement(owner="request", given_up=tried("rejected again after a resume", failure.reason))
    if not first.answered:  # nothing shows that the plan's settings are right
        owner = evidence.limited(asked, now, failure.reason)
        at_fault = failure.reason
        if failure.blame != "setting":
            at_fault = first.rejected(job.question, failure.reason)
        return Judgement(owner="request" if owner == "request" else "open", again=True, at_fault=at_fault)
    owner = evidence.refused(asked, now, failure.reason, enough=UNSAID)
    if owner != "request" and failure.blame != "setting" and evidence.few_left:
        count = evidence.left_alone(asked, workers.teacher.config.max_attempts, seconds=0.0)
        given_up = _refused(count, "with nothing else left to ask", failure)
        return Judgement(owner="request" if count else "open", again=True, given_up=given_up)
    if owner == "key":
        why = f"requests that were answered before are rejected: {failure.reason}"
        return Judgement(owner=owner, at_fault=failure.reason if failure.blame == "setting" else why)
    if owner == "request" and failure.blame != "setting":
        return Judgement(owner=owner, given_up=failure.reason)
    return _again(job, workers, asked, failure, owner)


def _limited(job: Job, workers: KeyWorkers, asked: Asked, failure: Failure, now: float) -> Judgement:
    evidence = workers.evidence
    if failure.scope == "concurrency" or failure.daily:  # never for one request
        evidence.ended(asked)
        return Judgement()
    if _larger_than_limit(job, workers, failure):
        evidence.ended(asked)
        return Judgement(owner="request", again=True, given_up=f"larger than the limit: {failure.reason}")
    owner = evidence.limited(asked, now, failure.reason)
    if owner != "request" or evidence.refusals(job.sample_id) < 2:
        count = evidence.left_alone(asked, workers.teacher.config.max_attempts)
        return _given_up(job, owner, _refused(count, "in hours", failure))
    return _again(job, workers, asked, failure, owner)


def _given_up(job: Job, owner: Owner, reason: str, *, again: bool = False) -> Judgement:
    """Gives a sample up, if there is a reason; of a group, each member gets its own chance first."""
    split = bool(reason and job.siblings)
    return Judgement(owner=owner, again=again, split=split, given_up="" if split else reason)


def _refused(count: int, how: str, failure: Failure) -> str:
    """Why a sample is given up that was refused `count` times; empty for 0."""
    return tried(f"refused {count} times {how}", failure.reason) if count else ""


def _larger_than_limit(job: Job, workers: KeyWorkers, failure: Failure) -> bool:
    """Whether the headers show that nearly all of a limit is free, and that the request alone is larger."""
    told = failure.headers
    if told is None or not told.tokens_limit or job.siblings:
        return False
    free = (told.tokens_remaining or 0.0) >= NEARLY * told.tokens_limit
    return free and workers.teacher.expected_tokens(job)[0] > told.tokens_limit


def _key(job: Job, workers: KeyWorkers, asked: Asked, failure: Failure, now: float) -> Judgement:
    evidence = workers.evidence
    at_once = not failure.reached or failure.coded or failure.status in AT_ONCE or failure.blame == "place"
    enough = 1 if at_once and not evidence.answered_before else 2
    owner = evidence.refused(asked, now, failure.reason, enough=enough)
    if owner != "request":
        count = 0
        if failure.blame == "key" and not failure.coded and failure.status in (403, 404):
            count = evidence.left_alone(asked, workers.teacher.config.max_attempts)
        return _given_up(job, owner, _refused(count, "in hours", failure))
    return _again(job, workers, asked, failure, owner)


def _again(job: Job, workers: KeyWorkers, asked: Asked, failure: Failure, owner: Owner) -> Judgement:
    """A request that is refused while others are not: it is tried again, or given up for being hopeless."""
    evidence, most = workers.evidence, workers.teacher.config.max_attempts
    count = evidence.hopeless(asked.sample, most, limit=failure.kind == "limited")
    reason = _refused(count, "while others were not", failure)
    reason = reason or _refused(evidence.left_alone(asked, most), "in hours", failure)
    return _given_up(job, owner, reason, again=True)


class Refusals:
    """Does what judgements say, to keys, teachers and plans."""

    def __init__(
        self,
        context: Context,
        *,
        retry_queue: RetryQueue,
        hold_plan: Callable[[ActivePlan, str], None],
        serves_others: Callable[[Teacher, ActivePlan], bool],
    ) -> None:
        """Changes nothing.

        Args:
            context: the daemon session.
            retry_queue: takes jobs that let others go first.
            hold_plan: holds a plan, for a reason.
            serves_others: whether a teacher has work of other plans than this one.
        """
        self._bus = context.bus
        self._rng = context.rng
        self._retry_queue = retry_queue
        self._hold_plan = hold_plan
        self._serves_others = serves_others

    def timely(self, teacher: Teacher, failure: Failure) -> Failure:
        """The failure, unknown where a gateway gave up on a request that the model may have answered and billed."""
        lateness = teacher.lateness
        if failure.kind in ("limited", "parked", "permanent"):
            lateness.refused(failure.latency_s)
        told = failure.charge is not None  # an error under a 200 says what it costs
        if failure.kind != "transient" or told or not lateness.is_late(failure.status, failure.latency_s):
            return failure
        if lateness.gives_up(failure.latency_s):
            self._bus.emit(
                events.GatewayGaveUp(teacher=teacher.name, reason=failure.reason, seconds=failure.latency_s)
            )
        reason = f"no answer after {failure.latency_s:.3g} s, may have been billed: {failure.reason}"
        return replace(failure, kind="ambiguous", charge="unknown", reason=safe_line(reason))

    def conclude(
        self, plan: ActivePlan, workers: KeyWorkers, failure: Failure, judged: Judgement, now: float
    ) -> None:
        """Holds a plan whose settings are at fault; suspends or parks a key that is refused."""
        teacher = workers.teacher
        if judged.at_fault:
            if plan.state.held:
                return
            if judged.holds or teacher.first_answers(plan).answered or self._serves_others(teacher, plan):
                self._hold_plan(plan, judged.at_fault)
            else:
                self.park_all(teacher, judged.at_fault)
        elif judged.owner == "key":
            passing = failure.blame == "key" or not failure.reached
            wait = workers.evidence.suspend(now) if passing else None
            if wait is None:
                workers.limits.park(failure.reason)
            else:
                self._bus.emit(events.KeySuspended(teacher=teacher.name, reason=failure.reason, seconds=wait))

    def park_all(self, teacher: Teacher, reason: str) -> None:
        """Parks every key: the teacher refuses what all of them send."""
        for each in teacher.transport.keys:
            each.limits.park(reason)

    def queue_again(
        self, job: Job, workers: KeyWorkers, failure: Failure, judged: Judgement, alone: float | None
    ) -> None:
        """Queues a job that was refused: others go first, and where it alone is refused, it waits longer each time.

        `alone` is how long it waits for a limit that the others do not wait for.
        """
        refusals = workers.evidence.refusals(job.sample_id)
        if judged.again or (judged.owner == "open" and failure.kind != "limited"):
            long = min(workers.evidence.refused_for(job.sample_id) * REFUSED_SHARE, LONG_MAX_S)
            most = max(long, LIMITED_MAX_S if failure.kind == "limited" else REFUSED_MAX_S)
            wait = backoff(max(1, refusals), self._rng, max_s=most)
            self._retry_queue.put(job, max(wait, failure.retry_after_s or 0.0))
        elif alone is not None:  # refused by chance
            self._retry_queue.put(job, alone)
        else:
            workers.teacher.queue.push(job, first=refusals == 0)
