"""A sample on its way: its plan, its conversation so far and its next attempt."""

from __future__ import annotations

from dataclasses import dataclass, replace

from daemon.ledger import Price
from daemon.plans import ActivePlan
from engine.strategies import Conversation
from engine.teachers.messages import Request
from engine.teachers.tokens import estimate_prompt
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
    attempt: OpenAttempt | None = None  # on disk, and not sent yet
    attempts: int = 0  # used up, of the teacher's max_attempts
    unknowns: int = 0  # sent without an answer
    _estimated: tuple[int, int] | None = None  # turn, tokens

    @property
    def request(self) -> Request:
        """What to ask next."""
        request = self.conversation.request
        assert request is not None, "a job whose conversation has finished is not queued"
        seed = self.plan.config.seed
        return request if seed is None else replace(request, seed=seed + self.replicate)

    @property
    def prompt_tokens(self) -> int:
        """An estimate of the next request's prompt."""
        turn = self.conversation.turn
        if self._estimated is None or self._estimated[0] != turn:
            self._estimated = turn, estimate_prompt(self.request)
        return self._estimated[1]

    def bound(self, price: Price) -> int:
        """The most that the next request can cost, in micro-dollars."""
        return price.bound(bound_tokens(self.prompt_tokens), self.request.max_tokens)


def bound_tokens(prompt_estimate: int) -> int:
    """An upper bound of prompt tokens for reservations: the estimate is off by less than half on plain text."""
    return 2 * prompt_estimate + 16
