"""`Request.given`: a text that a teacher scores, by `echo` of the completions API."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.question import Question, Written
from engine.strategies import Conversation, Settings, strategy
from engine.teachers.dialects import dialect
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Completion, Request
from engine.teachers.tokens import bound_prompt, estimate_prompt

QUESTION = Question(
    key="",
    text="Heads?",
    answer="no",
    split="train",
    written=Written(rationale="Ann flips.", answer="yes", flags=("truncated",), finish_reason="length"),
)
GIVEN = "Ann flips. --> yes"


def conversation(question: Question = QUESTION, **more: Any) -> Conversation:
    return Conversation(
        strategy("score"), question, Settings(answer_format="yes_no", temperature=0.7, stop=("x",), **more)
    )


def asked(**more: Any) -> Request:
    request = conversation(**more).request
    assert request is not None
    return request


def echoed(tokens: list[str], values: list[float | None] | None = None, **more: Any) -> dict[str, Any]:
    """A response that has the prompt's tokens too; the first has no value."""
    values = values or [None, *(-0.5 * place for place in range(1, len(tokens)))]
    top = [
        None if value is None else {token: value, "?": -9.0}
        for token, value in zip(tokens, values, strict=True)
    ]
    told = {"tokens": tokens, "token_logprobs": values, "top_logprobs": top, **more}
    return {
        "choices": [{"text": "".join(tokens), "logprobs": told, "finish_reason": "length"}],
        "usage": {"prompt_tokens": len(tokens) - 1, "completion_tokens": 1},
    }


def scored(payload: dict[str, Any]) -> Completion:
    [completion] = dialect("openai-completions").parse(payload, asked())
    return completion


def test_the_text_follows_the_prompt_and_one_token_is_written() -> None:
    request = asked(logprobs=5)
    path, body = dialect("openai-completions").build(request, "m", {})
    assert path == "/completions"
    assert body == {
        **{"model": "m", "prompt": f"Heads?\n{GIVEN}", "echo": True, "logprobs": 5},
        **{"max_tokens": 1, "temperature": 0.0},
    }
    bare = replace(request, given=None)
    assert bound_prompt(request) == bound_prompt(bare) + len(GIVEN)
    assert estimate_prompt(request) > estimate_prompt(bare)
    whole = replace(QUESTION, written=Written(rationale="18 of them", answer="18 of them"))
    request_of_whole = conversation(whole).request
    assert (
        request_of_whole is not None
        and request_of_whole.given == "18 of them"
        and request_of_whole.logprobs == 1
    )


def test_the_sample_is_the_same_text_with_the_scorers_log_probabilities() -> None:
    talk = conversation()
    completion = scored(echoed(["He", "ads?", "\n", "Ann", " flips.", " -->", " yes", "!"]))
    assert completion.text == GIVEN and completion.logprobs is not None
    assert completion.logprobs.tokens == ("Ann", " flips.", " -->", " yes")
    assert completion.logprobs.values == (-1.5, -2.0, -2.5, -3.0)
    assert completion.logprobs.top[0] == (("Ann", -1.5), ("?", -9.0))
    assert completion.usage.prompt_tokens == 7
    talk.answer(completion)
    assert talk.finished is not None
    found = talk.finished
    assert (found.rationale, found.answer, found.finish_reason, found.flags) == (
        *("Ann flips.", "yes", "length", ("truncated",)),
    )


@pytest.mark.parametrize(
    ("tokens", "more", "kept"),
    [
        (["<s>", "Heads?\n", GIVEN, " then"], {}, (GIVEN,)),
        (["Heads?", "\nAnn", " flips. --> yes", "!"], {}, ("\nAnn", " flips. --> yes")),
        (["Heads?\n", "Ann", "\ufffd", "\ufffd", "!"], {"text_offset": [0, 7, 10, 10, 25]}, ("Ann", "\ufffd", "\ufffd")),
    ],
    ids=["a first token of its own", "a token over the boundary", "parts of a character"],
)  # fmt: skip
def test_which_tokens_are_those_of_the_text(
    tokens: list[str], more: dict[str, Any], kept: tuple[str, ...]
) -> None:
    found = scored(echoed(tokens, **more)).logprobs
    assert found is not None and found.tokens == kept


@pytest.mark.parametrize(
    "payload",
    [
        {"choices": [{"text": "!", "finish_reason": "length"}]},
        echoed(["!"], [-0.5]),
        echoed(["Heads?\n", "Bob", " flips.", "!"]),
    ],
    ids=["no log-probabilities", "no echo", "another text"],
)
def test_a_server_without_echo_is_no_answer(payload: dict[str, Any]) -> None:
    with pytest.raises(MalformedAnswer, match="no log-probabilities of its prompt"):
        scored(payload)
