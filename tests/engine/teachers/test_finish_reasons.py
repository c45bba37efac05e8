"""Which finish reasons end an answer, which withhold it, which are a server's fault; and reasoning apart from the text."""

from __future__ import annotations

import pytest

from engine.teachers.dialects import dialect
from engine.teachers.dialects.finish import broken_off, finish
from engine.teachers.dialects.reasoning import split_think
from engine.teachers.failures import MalformedAnswer
from tests.engine.teachers.conftest import ASK

KNOWN = {
    "stop": ("stop", "STOP", "eos", "eos_token", "end_turn", "stop_sequence", "COMPLETE", "FINISH_REASON_STOP", "endTurn", "end-turn", "normal"),
    "length": ("length", "max_tokens", "MAX_TOKENS", "maxTokens", "model_length", "model_context_window_exceeded", "token_limit", "ERROR_LIMIT"),
    "content_filter": (
        *("content_filter", "content-filter", "contentFilter", "content_filtered", "content_filter: PROHIBITED_CONTENT", "sensitive"),
        *("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "guardrail_intervened", "ERROR_TOXIC"),
        *("moderation", "policy_violation", "FinishReason.SAFETY"),
    ),
    "refusal": ("refusal",),
    "unknown": ("", None, 7, "null", "FINISH_REASON_UNSPECIFIED"),
}  # fmt: skip
FAULTS = (
    *("insufficient_system_resource", "abort", "aborted", "error", "network_error", "cancelled", "canceled", "USER_CANCEL"),
    *("timeout", "TIMEOUT", "time_limit", "failed", "internal_error", "ERROR", "interrupted", "overloaded", "malformed_model_output"),
    *("MALFORMED_FUNCTION_CALL", "not_finished", "server-error", "serverError", "oom"),
)  # fmt: skip
OTHERS = (
    "tool_calls",
    "function_call",
    "pause_turn",
    "OTHER",
    "LANGUAGE",
    "repetition",
    "load",
    "xyz",
    "\ud800",
    "default",
)


@pytest.mark.parametrize(("meaning", "words"), KNOWN.items())
def test_known_words_however_they_are_written(meaning, words) -> None:
    for word in words:
        assert finish(word) == meaning, word
        assert not broken_off(finish(word))


@pytest.mark.parametrize("word", FAULTS)
def test_an_answer_that_the_server_broke_off_is_none(word) -> None:
    assert broken_off(finish(word))
    choice = {"message": {"content": "Perhaps 4 is right, but"}, "text": "Perhaps 4", "finish_reason": word}
    for name in ("openai-chat", "openai-completions"):
        with pytest.raises(MalformedAnswer, match="the server broke the answer off"):
            dialect(name).parse({"choices": [choice]}, ASK)
    with pytest.raises(MalformedAnswer, match="the server broke the answer off"):
        dialect("anthropic-messages").parse(
            {"content": [{"type": "text", "text": "4"}], "stop_reason": word}, ASK
        )


def test_of_several_choices_those_that_are_whole_are_kept() -> None:
    choices = [
        {"index": 0, "message": {"content": "a"}, "finish_reason": "stop"},
        {"index": 1, "message": {"content": "b"}, "finish_reason": "error"},
        {"index": 2, "message": {"content": "c"}, "error": {"code": 502}, "finish_reason": "stop"},
    ]
    usage = {"prompt_tokens": 9, "completion_tokens": 30}
    (found,) = dialect("openai-chat").parse({"choices": choices, "usage": usage}, ASK)
    assert (found.text, found.usage.completion_tokens) == ("a", 30), "all of it was billed"


@pytest.mark.parametrize("word", OTHERS)
def test_other_words_are_kept_as_they_are(word) -> None:
    (found,) = dialect("openai-chat").parse(
        {"choices": [{"message": {"content": "4"}, "finish_reason": word}]}, ASK
    )
    assert found.finish_reason == word.replace("\ud800", "\N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize(
    ("text", "rest", "thought"),
    [
        ("[THINK]t[/THINK]b", "b", "t"),
        ("<thinking>t</thinking>\n\nb", "b", "t"),
        ("\n<Think>t</think>b", "b", "t"),
        ("<thought>t</thought>b", "b", "t"),
        ("<seed:think>t</seed:think>b", "b", "t"),
        ("◁think▷t◁/think▷b", "b", "t"),
        ("t</thinking>b", "b", "t"),
        ("t[/THINK]b", "b", "t"),
        ("<thinking>t</think>b", "", "t</think>b"),
        ("analysis We add.assistantfinalAnswer: 4", "Answer: 4", "We add."),
        ("assistantanalysis We add.assistantfinal Answer: 4", "Answer: 4", "We add."),
        ("the assistantfinal word", "the assistantfinal word", None),
        ("<|channel|>analysis<|message|>t<|end|><|start|>assistant<|channel|>final<|message|>b", "b", "t"),
        ("<|channel|>analysis<|message|>t<|end|><|channel|>commentary to=f <|constrain|>json<|message|>{}<|call|>", "", "t\n\n{}"),
        ("<|channel|>final <|constrain|>x<|message|>b<|return|>", "b", None),
        ("<|channel|>", "<|channel|>", None),
        ("İ<think>İİ</think>b", "İ<think>İİ</think>b", None),
        ("<think>İİ</think>b", "b", "İİ"),
        ("x > 3 [1] and <b>4</b>", "x > 3 [1] and <b>4</b>", None),
    ],
)  # fmt: skip
def test_reasoning_within_the_text_is_split_off(text, rest, thought) -> None:
    assert split_think(text) == (rest, thought)


@pytest.mark.parametrize(
    ("message", "text", "reasoning", "kind"),
    [
        ({"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "t"}]}, {"type": "text", "text": "b"}]}, "b", "t", "summary"),
        ({"content": [{"type": "reasoning", "text": "t"}, {"type": "text", "text": "b"}]}, "b", "t", "full"),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}, "b"]}, "b", "t", "full"),
        ({"content": "b", "reasoning_details": [{"type": "reasoning.text", "text": "t"}]}, "b", "t", "full"),
        ({"content": "b", "reasoning_details": [{"type": "reasoning.summary", "summary": "t"}, {"type": "reasoning.encrypted", "data": "x"}]}, "b", "t", "summary"),
        ({"content": "b", "reasoning_details": [{"type": "reasoning.encrypted", "data": "x"}]}, "b", None, "hidden"),
        ({"content": "b", "reasoning": "", "reasoning_content": None, "reasoning_details": []}, "b", None, None),
        ({"content": "b", "thinking_blocks": [{"type": "thinking", "thinking": "t"}]}, "b", "t", "full"),
        ({"content": None, "reasoning_content": "t", "tool_calls": None, "refusal": None}, "", "t", "full"),
    ],
)  # fmt: skip
def test_reasoning_in_fields_and_parts(message, text, reasoning, kind) -> None:
    (found,) = dialect("openai-chat").parse({"choices": [{"message": message, "finish_reason": "stop"}]}, ASK)
    assert (found.text, found.reasoning, found.reasoning_kind) == (text, reasoning, kind)


def test_each_api_s_choices_are_read_in_the_other_s_form() -> None:
    chat, plain = {"message": {"content": "4"}}, {"text": "4"}
    content = {"content": [{"token": "4", "logprob": -1.0}]}
    lists = {"tokens": ["4"], "token_logprobs": [-1.0], "top_logprobs": [{"z": -3.0}]}
    for name in ("openai-chat", "openai-completions"):
        for said in (chat, plain):
            for logprobs in (content, lists, content["content"]):
                payload = {"choices": [{**said, "finish_reason": "stop", "logprobs": logprobs}]}
                (found,) = dialect(name).parse(payload, type(ASK)(messages=ASK.messages, logprobs=1))
                assert found.text == "4" and found.logprobs is not None
                assert found.logprobs.values == (-1.0,)
