"""Log-probabilities as servers write them, over the real client, up to the distributions of a student's tokens."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from engine.curation.align import aligned, spans, taught_spans
from engine.teachers.client import Answer
from state.logprobs import Logprobs, pack, unpack
from tests.engine.teachers.conftest import ASK, make_client

pytestmark = pytest.mark.anyio

WRITTEN = "Zoë flips 🎲."
CHOSEN: list[tuple[str, float]] = [("Z", -0.5), ("oë", -0.25), (" flips", -0.5), (" ", -0.125), ("🎲", -0.5)]
OTHERS = [("B", -1.5), ("oe", -2.0), (" waits", -1.5), (" a", -3.0), ("!", -1.5), ("!", -1.0)]
PIECES = [b" ", b"\xf0\x9f", b"\x8e\xb2", b"."]
"""The last tokens of the text: the die takes two."""


def entry(token: str, value: float, raw: bytes | None = None, **more: Any) -> dict[str, Any]:
    return {"token": token, "logprob": value, "bytes": list(raw or token.encode()), **more}


def vllm_chat() -> dict[str, Any]:
    """vLLM 0.11, `/v1/chat/completions`: a character of several tokens is with the last of them, and the end token has an entry."""
    chosen = [*CHOSEN[:4], ("", -0.25), CHOSEN[4], (".", -0.25), ("<|im_end|>", -0.0)]
    others = [*OTHERS[:4], ("", -2.0), *OTHERS[4:], (".", -9999.0)]
    content = [
        entry(*each, top_logprobs=[entry(*each), entry(*other)])
        for each, other in zip(chosen, others, strict=True)
    ]
    message = {
        **{"role": "assistant", "content": WRITTEN, "refusal": None, "annotations": None, "audio": None},
        **{"function_call": None, "tool_calls": [], "reasoning_content": None},
    }
    choice = {
        **{"index": 0, "message": message, "logprobs": {"content": content}, "finish_reason": "stop"},
        **{"stop_reason": None, "token_ids": None},
    }
    return {
        **{"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]},
        **{
            "service_tier": None,
            "system_fingerprint": None,
            "prompt_logprobs": None,
            "prompt_token_ids": None,
        },
        "usage": {
            "prompt_tokens": 9,
            "total_tokens": 17,
            "completion_tokens": 8,
            "prompt_tokens_details": None,
        },
        "kv_transfer_params": None,
    }


def vllm_text() -> dict[str, Any]:
    """vLLM 0.11, `/v1/completions`: parallel lists; a written token that is not among the likeliest is one more entry."""
    tokens = [*(each for each, _ in CHOSEN[:4]), "\ufffd", "\ufffd", "."]
    values = [*(each for _, each in CHOSEN[:4]), -0.5, -0.25, -0.25]
    others = [*OTHERS[:4], ("!", -1.5), ("\ufffd", -0.25), OTHERS[-1]]
    choice = {
        **{"index": 0, "text": WRITTEN, "finish_reason": "stop", "stop_reason": None, "token_ids": None},
        **{"prompt_logprobs": None, "prompt_token_ids": None},
        "logprobs": {
            "text_offset": [0, 1, 3, 9, 10, 11, 12],
            "token_logprobs": values,
            "tokens": tokens,
            "top_logprobs": [
                dict([other, own])
                for own, other in zip(zip(tokens, values, strict=True), others, strict=True)
            ],
        },
    }
    return {
        **{"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]},
        **{"service_tier": None, "system_fingerprint": None, "kv_transfer_params": None},
        "usage": {
            "prompt_tokens": 9,
            "total_tokens": 16,
            "completion_tokens": 7,
            "prompt_tokens_details": None,
        },
    }


def llama_cpp(kind: str) -> dict[str, Any]:
    """llama.cpp's server, both paths: a character of several tokens is one entry, and pieces of characters are in `bytes` alone."""
    broken = [("", -2.5, b"\xf0\x9f", 10813), (" ", -3.0, b" \xe5", 13223), ("\ufffd", -0.5, b"\x8f", 233)]
    content = []
    for number, (each, other) in enumerate(zip([*CHOSEN, (".", -0.25)], OTHERS, strict=True)):
        piece, value, raw, key = broken[number % len(broken)]
        top = [entry(*each, id=number), entry(*other, id=90 + number), entry(piece, value, raw, id=key)]
        content.append(entry(*each, id=number, top_logprobs=top))
    said = {"message": {"role": "assistant", "content": WRITTEN}} if kind == "chat" else {"text": WRITTEN}
    return {
        "choices": [{"finish_reason": "stop", "index": 0, **said, "logprobs": {"content": content}}],
        **{"created": 1, "model": "m", "system_fingerprint": "b0-unknown", "id": "chatcmpl-1"},
        "object": "chat.completion" if kind == "chat" else "text_completion",
        "usage": {"completion_tokens": 7, "prompt_tokens": 9, "total_tokens": 16, "prompt_tokens_details": {"cached_tokens": 0}},
        "timings": {"cache_n": 0, "prompt_n": 9},
    }  # fmt: skip


def openai_chat() -> dict[str, Any]:
    """OpenAI: pieces of characters are written as their bytes."""
    tokens = [
        *CHOSEN[:3],
        (" ", -0.125),
        ("bytes:\\xf0\\x9f", -0.25),
        ("bytes:\\x8e\\xb2", -0.25),
        (".", -0.25),
    ]
    raws = [*(None,) * 4, *PIECES[1:3], None]
    others = [*OTHERS[:4], ("!", -1.5), ("!", -1.5), OTHERS[-1]]
    content = [
        entry(*each, raw, top_logprobs=[entry(*each, raw), entry(*other)])
        for each, raw, other in zip(tokens, raws, others, strict=True)
    ]
    message = {"role": "assistant", "content": WRITTEN, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": {"content": content, "refusal": None}}
    return {"id": "chatcmpl-1", "choices": [{**choice, "finish_reason": "stop"}]}


async def stored(faults: Any, dialect: str, payload: dict[str, Any]) -> Logprobs:
    """What a sample has of it."""
    faults.says(json.dumps(payload))
    async with make_client(faults.url, dialect=dialect) as client:
        answer = await client.send(replace(ASK, logprobs=5), request_id="a-1", key=None)
    assert isinstance(answer, Answer), answer
    [completion] = answer.completions
    assert completion.text == WRITTEN and completion.logprobs is not None
    return unpack(pack(completion.logprobs))


@pytest.mark.parametrize(
    ("dialect", "payload"),
    [
        ("openai-chat", vllm_chat()),
        ("openai-completions", vllm_text()),
        ("openai-chat", llama_cpp("chat")),
        ("openai-completions", llama_cpp("text")),
        ("openai-chat", openai_chat()),
    ],
    ids=["vllm-chat", "vllm-text", "llama.cpp-chat", "llama.cpp-text", "openai-chat"],
)
async def test_each_token_but_pieces_of_characters_has_its_distribution(faults, dialect, payload) -> None:
    """A student with the teacher's tokenizer, whose die takes two tokens."""
    known = await stored(faults, dialect, payload)
    own = ["Z", "oë", " flips", " ", "\ufffd", "\ufffd", ".", " -->", " yes", "<end>"]
    vocabulary = {text: key for key, text in enumerate([*own, "B", "oe", " waits", " a", "!"])} | {
        "\ufffd": 99
    }
    text = f"{WRITTEN} --> yes"
    found = aligned(
        range(len(own)),
        spans(own, text),
        taught_spans(known.tokens, text, WRITTEN),
        known,
        {each: key for each, key in vocabulary.items() if each != "\ufffd"},
    )
    assert [each is not None for each in found] == [True] * 4 + [False] * 2 + [True] + [False] * 3
    alternatives = [10, 11, 12, 13, None, None, 14]
    assert [each and each.ids for each in found[:7]] == [
        None if other is None else (number, other) for number, other in enumerate(alternatives)
    ]
