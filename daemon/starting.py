"""Samples before their first turn: as jobs, as conversations, and what they may cost from there on. Pure."""

from __future__ import annotations

from daemon.jobs import Job, bound_tokens
from daemon.ledger import Price
from daemon.plans import ActivePlan
from engine.strategies import Conversation, Settings, strategy
from engine.tasks.question import Question
from engine.teachers.messages import Completion, Usage
from engine.teachers.tokens import estimate_prompt
from state.claims import ClaimedSample

FRAME = 1024
"""Tokens around a question that no prompt of ours reaches; one with examples may."""


def job_of(sample: ClaimedSample, plan: ActivePlan) -> Job:
    """A claimed sample as a job, before its first turn."""
    return Job(
        sample_id=sample.sample_id,
        plan=plan,
        question=sample.question,
        gold=sample.gold,
        replicate=sample.replicate,
        teacher="",
        conversation=start(plan, sample.question, sample.gold),
        attempt=sample.attempt,
        attempts=sample.attempts,
        unknowns=sample.unknowns,
    )


def start(plan: ActivePlan, question: str, gold: str) -> Conversation:
    """A plan's conversation about a question, at its first turn."""
    return Conversation(
        strategy(plan.config.strategy),
        Question(key="", text=question, answer=gold, split=plan.config.split),
        Settings.of(plan.config, plan.answer_format, plan.wording),
    )


def further_turns(plan: ActivePlan, price: Price) -> int:
    """The most micro-dollars that what follows a sample's first turn may cost; 0 where a strategy has one turn."""
    conversation = start(plan, "", plan.gold)
    assert conversation.request is not None
    said = conversation.request.max_tokens
    conversation.answer(Completion(text="so", usage=Usage(prompt_tokens=0, completion_tokens=0)))
    if conversation.request is None:
        return 0
    prompt = plan.longest + max(FRAME, estimate_prompt(conversation.request)) + said
    return price.bound(bound_tokens(prompt), conversation.request.max_tokens)
