"""The messages of a plan as templates, with placeholders for what is particular to a question.

Those are question, rationale, what others of a panel said, and (as a hint) the gold answer. The strategy itself makes them, from a question and an answer that are placeholders, so they are what is sent whatever the
strategy does. `…` replaces a part that depends on the question beyond its text (the letters of its choices). They are
stored with the plan, so that a sample can be shown with its prompt.
"""

from __future__ import annotations

from engine.config import PlanConfig
from engine.question import Question
from engine.strategies import PLAIN, Conversation, Settings, Wording, strategy
from engine.teachers.messages import Completion, Usage

QUESTION, RATIONALE, GOLD, PEER = "{question}", "{rationale}", "{gold}", "{peer}"
CHOICES = ("\n(A) x\n(B) y\n(C) z", "\n(A) w\n(B) x\n(C) y\n(D) z\n(E) v")
MOST_TURNS = 8

Turn = list[dict[str, str]]


def templates(plan: PlanConfig, answer_format: str, wording: Wording = PLAIN) -> list[Turn]:
    """The turns of a plan's requests, each a list of {"role", "content"}."""
    first, second = (_drive(plan, answer_format, wording, choices) for choices in CHOICES)
    return [
        [
            {"role": one["role"], "content": _common(one["content"], other["content"])}
            for one, other in zip(a, b, strict=False)
        ]
        for a, b in zip(first, second, strict=False)
    ]


def _drive(plan: PlanConfig, answer_format: str, wording: Wording, choices: str) -> list[Turn]:
    question = Question(key="", text=QUESTION + choices, answer=GOLD, split=plan.split)
    conversation = Conversation(strategy(plan.strategy), question, Settings.of(plan, answer_format, wording))
    turns: list[Turn] = []
    nothing = Usage(prompt_tokens=0, completion_tokens=0)
    peer = Completion(text=PEER, usage=nothing)
    members = plan.seat.members if plan.seat else 0
    while len(turns) < MOST_TURNS:
        if conversation.hears is not None:
            conversation.hear(tuple((member, peer) for member in range(members)))
        if conversation.request is None:
            break
        turns.append(
            [
                {"role": message.role, "content": message.content.replace(question.text, QUESTION)}
                for message in conversation.request.messages
            ]
        )
        conversation.answer(Completion(text=RATIONALE, usage=nothing))
    return turns


def _common(one: str, other: str) -> str:
    """What two texts share at both ends, with `…` between them."""
    if one == other:
        return one
    start = _alike(one, other)
    end = _alike(one[start:][::-1], other[start:][::-1])
    return one[:start] + "…" + one[len(one) - end :]


def _alike(one: str, other: str) -> int:
    """How many characters two texts share at their start."""
    return next(
        (at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
