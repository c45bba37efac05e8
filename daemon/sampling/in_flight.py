"""One request on its way, with everything that is on disk for it: its members and an attempt of each.

Made when the request is about to be sent, or is not to be sent after all: from then on its jobs have no attempt, and
what was written down is ended through here, even when the jobs have gone their own ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daemon.sampling.jobs import Job
from daemon.sampling.teacher import Teacher
from engine.teachers.messages import Completion, Usage
from state.claims import OpenAttempt
from state.enums import Outcome
from state.outcomes import AttemptResult


class InFlightRequest:
    """A request: its leading job, all whose turn it is, and their attempts in the same order."""

    __slots__ = ("attempts", "job", "members", "teacher")

    def __init__(self, job: Job, teacher: Teacher, attempts: list[OpenAttempt]) -> None:
        self.job = job
        self.teacher = teacher
        self.members = job.members
        self.attempts = attempts
        for member in self.members:
            member.attempt = None

    def ending(self, index: int, outcome: Outcome, reason: str | None, **more: Any) -> AttemptResult:
        """The end of the attempt at `index`."""
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


def usages_of(completions: Sequence[Completion], wanted: int) -> list[Usage]:
    """The usage of each of `wanted` completions; what came beyond them was paid for too, and counts with the first."""
    usages = [completion.usage for completion in completions]
    return [total([usages[0], *usages[wanted:]]), *usages[1:wanted]]


def total(usages: Sequence[Usage]) -> Usage:
    """The usage of several parts of one answer together."""
    if len(usages) == 1:
        return usages[0]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        completion_tokens=sum(usage.completion_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        cache_write_tokens=sum(usage.cache_write_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
        estimated=usages[0].estimated,
    )
