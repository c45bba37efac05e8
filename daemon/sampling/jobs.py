"""A job: a claimed sample with its plan, its conversation so far and its next attempt.

Several samples of one question that share one first request (`per_request`) form a group: one job
leads, the others are its `siblings`, and only the leader is queued. After the answer each continues alone.
Invariant: all jobs of a group have an attempt, or none has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from daemon.sampling.budget import Price
from daemon.sampling.plans import ActivePlan
from engine.strategies import Conversation
from engine.teachers.messages import Request
from engine.teachers.tokens import bound_prompt, estimate_prompt
from state.claims import OpenAttempt


@dataclass(slots=True, eq=False)
class Job:
    """A claimed sample that has not ended."""

    sample_id: int
    plan: ActivePlan
    question: str
    gold: str
    replicate: int
    teacher: str
    conversation: Conversation
    question_id: int = 0
    attempt: OpenAttempt | None = None  # on disk, not sent yet
    attempts: int = 0  # counted against the teacher's max_attempts
    unknowns: int = 0  # sent without an answer
    left_out: bool = False  # no plan at work asks for it any more
    refusals: int = 0  # in batches, while other rows were answered
    siblings: list[Job] = field(default_factory=list)
    """Samples of the same question that share the next request."""
    _estimated: tuple[int, int] | None = None  # turn, tokens
    _bound: tuple[int, int] | None = None  # turn, tokens

    @property
    def members(self) -> list[Job]:
        """All jobs that share the next request, the leader first."""
        return [self, *self.siblings] if self.siblings else [self]

    @property
    def request(self) -> Request:
        """The next request."""
        request = self.conversation.request
        assert request is not None, "a job whose conversation has finished is not queued"
        seed = self.plan.config.seed
        if seed is not None:
            request = replace(request, seed=seed + self.replicate)
        replicates = tuple(job.replicate for job in self.members)
        return replace(request, n=len(replicates), replicates=replicates)

    @property
    def output_tokens(self) -> int:
        """The most completion tokens that the next request can bring."""
        request = self.conversation.request
        return request.max_tokens * (1 + len(self.siblings)) if request is not None else 0

    @property
    def prompt_tokens(self) -> int:
        """An estimate of the next request's prompt."""
        turn = self.conversation.turn
        if self._estimated is None or self._estimated[0] != turn:
            self._estimated = turn, estimate_prompt(self.request)
        return self._estimated[1]

    def bound(self, price: Price) -> int:
        """The most that the next request can cost, in micro-dollars."""
        turn = self.conversation.turn
        if self._bound is None or self._bound[0] != turn:
            self._bound = turn, bound_prompt(self.request, self.conversation.received)
        return price.bound(self._bound[1], self.output_tokens)

    def apart(self) -> list[Job]:
        """Splits the group; returns its members."""
        members = self.members
        self.siblings = []
        return members


def together(jobs: Sequence[Job]) -> Job:
    """Makes a group of single jobs; returns its leader."""
    leader, *leader.siblings = jobs
    return leader


def groups_of(jobs: Iterable[Job]) -> list[Job]:
    """Groups jobs before their first turn by question, up to their plan's `per_request`; others stay single."""
    found: list[Job] = []
    for job in jobs:
        last = found[-1] if found else None
        if (
            last is not None
            and last.plan is job.plan
            and last.question == job.question
            and last.teacher == job.teacher
            and last.conversation.turn == job.conversation.turn == 0
            and (last.attempt is None) == (job.attempt is None)
            and 1 + len(last.siblings) < job.plan.config.per_request
        ):
            last.siblings.append(job)
        else:
            found.append(job)
    return found
