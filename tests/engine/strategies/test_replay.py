from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from engine.strategies.replay import sent

SHOT = {"question": "1 + 1?", "rationale": "Two.", "answer": "2"}


def body(text: str) -> bytes:
    answer = {
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1},
    }
    return zlib.compress(json.dumps(answer).encode())


def told(settings: dict[str, Any], *bodies: bytes, dialect: str = "openai-chat") -> list[str]:
    return sent(settings, "number", "How many?", "4", dialect, [(body, 0) for body in bodies])


def test_both_steps_to_the_letter() -> None:
    assert told({"strategy": "zero-shot-cot"}, body("\n\nSo 4."), body("4")) == [
        "Q: How many?\nA: Let's think step by step.",
        "Q: How many?\nA: Let's think step by step.\n\nSo 4.\nTherefore, the answer (arabic numerals) is",
    ]


def test_of_an_open_sample_what_was_or_will_be_asked_next() -> None:
    assert len(told({"strategy": "zero-shot-cot"})) == 1
    assert len(told({"strategy": "zero-shot-cot"}, body("So 4."))) == 2


def test_templates_and_examples_are_those_of_their_time() -> None:
    settings = {
        "strategy": "few-shot-cot",
        "wording": {"prompt": "{exemplars}|{question}", "exemplars": [SHOT]},
    }
    assert told(settings, body("x")) == ["Q: 1 + 1?\nA: Two. The answer is 2.|How many?"]
    assert "(Hint: the correct answer is 4.)" in told({"strategy": "rationalize"})[0]


@pytest.mark.parametrize(
    ("settings", "bodies", "dialect"),
    [
        ({"strategy": "of-tomorrow"}, (), "openai-chat"),
        ({}, (), "openai-chat"),
        ({"strategy": "zero-shot-cot"}, (b"damaged",), "openai-chat"),
        ({"strategy": "zero-shot-cot"}, (zlib.compress(b"<html>"),), "openai-chat"),
        ({"strategy": "zero-shot-cot"}, (body("x"),), "of-tomorrow"),
        ({"strategy": "zero-shot-cot", "wording": {"prompt": "{gold}"}}, (), "openai-chat"),
    ],
)
def test_what_this_version_cannot_tell_is_left_out(settings, bodies, dialect) -> None:
    assert told(settings, *bodies, dialect=dialect) == []
