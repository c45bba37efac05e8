from __future__ import annotations

from typing import Any, get_args

import pytest

from daemon.catalog.prompt_preview import templates
from engine.config import AnswerFormat, PlanConfig
from engine.question import Question
from engine.strategies import STRATEGIES, Conversation, Settings, strategy
from engine.teachers.messages import Completion, Usage
from state.views.samples import sent

TEXT = "Which {rationale} is {question} best?\nAnswer Choices: (A) one (B) two (C) three"
RATIONALE = "Because {question} of {rationale}."


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("form", get_args(AnswerFormat))
def test_what_is_stored_with_a_plan_gives_what_is_sent(name: Any, form: Any) -> None:
    facts = STRATEGIES[name]
    others = {"needs": "other" if facts.hinted else None, "scores": "other" if facts.scores else None}
    plan = PlanConfig(name="p", strategy=name, **others)
    question = Question(key="", text=TEXT, answer="", split="train")
    conversation = Conversation(strategy(name), question, Settings.of(plan, form))
    really = []
    while conversation.request is not None:
        really.append(tuple((message.role, message.content) for message in conversation.request.messages))
        conversation.answer(Completion(text=RATIONALE, usage=Usage(prompt_tokens=1, completion_tokens=1)))
    shown = sent({"templates": templates(plan, form)}, TEXT, RATIONALE)
    if form == "choice":  # its letters are the question's own
        really = [
            tuple((role, text.replace("through C", "through …")) for role, text in turn) for turn in really
        ]
    assert list(shown) == really


def test_a_turn_that_was_not_reached_is_not_shown() -> None:
    plan = PlanConfig(name="p", strategy="zero-shot-cot")
    assert len(sent({"templates": templates(plan, "number")}, "How many?", None)) == 1


@pytest.mark.parametrize("settings", [{}, {"templates": 3}, {"templates": [1, [2], [{"role": 1}]]}])
def test_settings_of_another_version_are_borne(settings: dict[str, Any]) -> None:
    assert all(isinstance(turn, tuple) for turn in sent(settings, "q", "r"))
