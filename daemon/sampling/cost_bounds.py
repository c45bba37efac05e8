"""Claimed samples as jobs and conversations, and upper bounds of what they may cost. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.sampling.budget import Price
from daemon.sampling.jobs import Job
from daemon.sampling.plans import ActivePlan
from engine.question import Question, Written
from engine.strategies import Conversation, Settings, strategy
from engine.teachers.tokens import AGAIN, LONGEST_CHARACTER, bound_prompt, bound_tokens
from state.claims import ClaimedSample, WrittenSample


def job_of(sample: ClaimedSample, plan: ActivePlan) -> Job:
    """A claimed sample as a job, before its first turn."""
    return Job(
        sample_id=sample.sample_id,
        plan=plan,
        question=sample.question,
        gold=sample.gold,
        replicate=sample.replicate,
        teacher="",
        conversation=start(plan, sample.question, sample.gold, sample.written),
        question_id=sample.question_id,
        attempt=sample.attempt,
        attempts=sample.attempts,
        unknowns=sample.unknowns,
    )


def start(plan: ActivePlan, question: str, gold: str, scored: WrittenSample | None = None) -> Conversation:
    """A plan's conversation about a question, at its first turn; `scored`: the sample that it scores."""
    written = None
    if scored is not None:
        text = {"rationale": scored.rationale, "answer": scored.answer}
        written = Written(**text, finish_reason=scored.finish_reason, flags=scored.flags)
    return Conversation(
        strategy(plan.config.strategy),
        Question(key="", text=question, answer=gold, split=plan.config.split, written=written),
        settings_of(plan),
    )


def settings_of(plan: ActivePlan) -> Settings:
    """What a plan's strategy knows besides the question."""
    return Settings.of(plan.config, plan.answer_format, plan.wording)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a sample of a plan may cost at a teacher, in micro-dollars."""

    price: Price
    frame: int  # the most tokens of the first prompt around the question
    output: int  # tokens of the first answer
    most: int  # the first turn, of any question
    rest: int  # the turns after it; 0 if the strategy has one turn

    def first(self, question: str) -> int:
        """The first turn of this question."""
        return self.price.bound(self.frame + bound_tokens(question), self.output)

    @property
    def further(self) -> int:
        """What each rationale after the first adds to a request for several."""
        return self.price.bound(0, self.output)


def bounds(plan: ActivePlan, price: Price) -> Bounds:
    """Bounds of a plan's samples: prompts by its longest question, answers by their token limits."""
    request = start(plan, "", plan.gold).request
    assert request is not None
    frame = bound_prompt(request)
    longest = Question(key="", text="x" * plan.longest, answer=plan.gold, split=plan.config.split)
    rest = sum(
        price.bound(
            bound_prompt(turn.request) + AGAIN * turn.repeats + LONGEST_CHARACTER * turn.quotes,
            turn.request.max_tokens,
        )
        for turn in strategy(plan.config.strategy).later(longest, settings_of(plan))
    )
    most = price.bound(frame + plan.longest, request.max_tokens)
    return Bounds(price=price, frame=frame, output=request.max_tokens, most=most, rest=rest)
