"""Streamed responses over the real client: put together as if they had come in one piece, however they are cut up."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from engine.teachers import client as client_module
from engine.teachers.client import Answer, TeacherClient
from engine.teachers.decode import decode_json
from engine.teachers.dialects import DIALECTS, dialect, read_stored
from engine.teachers.event_stream import EventStream, looks_like_events
from engine.teachers.failures import Failure
from engine.teachers.messages import Completion, Request
from engine.teachers.streams import STREAM_ABOVE
from tests.engine.teachers.conftest import ASK, FaultServer, make_client

pytestmark = pytest.mark.anyio

LONG = replace(ASK, max_tokens=STREAM_ABOVE + 1)
USAGE = {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21}
TEXT = "We add: ½ + ½ = 1 \N{GRINNING FACE}.\nAnswer: 4"
DONE = "data: [DONE]\n\n"


def chunk(
    delta: dict[str, Any] | None = None, finish: str | None = None, index: int = 0, **more: Any
) -> dict[str, Any]:
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish, **more}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m-1", "choices": [choice]}


def events(payloads: Iterable[object], name: bool = False) -> str:
    """Server-sent events; named by their type where the API does so."""
    return "".join(
        (f"event: {each['type']}\n" if name and isinstance(each, dict) else "")
        + f"data: {json.dumps(each)}\n\n"
        for each in payloads
    )


CHAT = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"role": "assistant", "reasoning_content": "hm, "}),
    chunk({"reasoning_content": "easy"}),
    *(chunk({"content": piece}) for piece in (TEXT[:5], TEXT[5:20], TEXT[20:])),
    chunk({}, "stop"),
    {"id": "c1", "model": "m-1", "choices": [], "usage": USAGE},
]
PLAIN_TEXT = [
    *(
        {"id": "c1", "model": "m-1", "choices": [{"index": 0, "text": piece, "finish_reason": None}]}
        for piece in (TEXT[:9], TEXT[9:])
    ),
    {
        "id": "c1",
        "model": "m-1",
        "choices": [{"index": 0, "text": "", "finish_reason": "stop"}],
        "usage": USAGE,
    },
]
MESSAGES = [
    {"type": "message_start", "message": {"id": "m1", "type": "message", "role": "assistant", "model": "claude-3", "content": [], "stop_reason": None, "usage": {"input_tokens": 10, "cache_read_input_tokens": 2, "output_tokens": 1}}},
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm, "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "easy"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    *({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": piece}} for piece in (TEXT[:4], TEXT[4:])),
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
]  # fmt: skip
RESPONSE = {
    "id": "r1", "object": "response", "model": "m-1", "status": "completed",
    "output": [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm, easy"}]},
        {"type": "message", "content": [{"type": "output_text", "text": TEXT}]},
    ],
    "usage": {"input_tokens": 12, "output_tokens": 9},
}  # fmt: skip
RESPONSES = [
    {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": [], "usage": None}},
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "summary": []}},
    {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "hm, easy"},
    {"type": "response.output_item.added", "output_index": 1, "item": {"type": "message", "content": []}},
    *({"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": piece} for piece in (TEXT[:4], TEXT[4:])),
    {"type": "response.completed", "response": RESPONSE},
]  # fmt: skip
STREAMS = {
    "openai-chat": events(CHAT) + DONE,
    "openai-completions": events(PLAIN_TEXT) + DONE,
    "anthropic-messages": events(MESSAGES, name=True),
    "openai-responses": events(RESPONSES, name=True),
}
EACH = pytest.mark.parametrize("name", list(STREAMS))


def streams(
    faults: FaultServer,
    raw: str | bytes,
    *,
    kind: str = "text/event-stream",
    cut: bool = False,
    size: int = 0,
) -> None:
    """Answers with this stream, in writes of `size` bytes; `cut` resets the connection afterwards."""
    body = raw.encode() if isinstance(raw, str) else raw

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        for at in range(0, len(body), size or len(body)):
            await response.write(body[at : at + (size or len(body))])
            if size:
                await asyncio.sleep(0)
        if cut:
            assert isinstance(request.transport, asyncio.Transport)
            request.transport.abort()
        return response

    faults.handler = handler


async def got(client: TeacherClient, request: Request = LONG) -> Answer:
    answer = await client.send(request, request_id="a", key=None)
    assert isinstance(answer, Answer), answer
    return answer


def body_of(faults: FaultServer, at: int = -1) -> dict[str, Any]:
    found = json.loads(faults.seen[at][1])
    assert isinstance(found, dict)
    return found


@EACH
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [0, 1, 7, 64])
async def test_each_dialect_s_stream_is_read_as_its_answer_in_one_piece(faults, name, ends, size) -> None:
    streams(faults, STREAMS[name].replace("\n", ends), size=size)
    async with make_client(faults.url, dialect=name) as client:
        answer = await got(client)
    (completion,) = answer.completions
    used = completion.usage
    assert (completion.text, completion.finish_reason) == (TEXT, "stop")
    assert completion.reasoning == (None if name == "openai-completions" else "hm, easy")
    assert (used.prompt_tokens, used.completion_tokens, used.estimated) == (12, 9, False)
    assert body_of(faults)["stream"] is True
    assert read_stored(decode_json(answer.raw), 0, LONG, name) == completion, (
        "a stored body needs no knowledge of streams"
    )
    assert b"delta" not in answer.raw


@EACH
async def test_a_request_is_streamed_above_4096_tokens_or_as_configured(faults, name) -> None:
    streams(faults, STREAMS[name])
    for mode, request, streamed in (
        *(("auto", replace(ASK, max_tokens=STREAM_ABOVE), False), ("auto", LONG, True)),
        *((True, ASK, True), (False, LONG, False)),
    ):
        async with make_client(faults.url, dialect=name, stream=mode) as client:
            await got(client, request)
        body = body_of(faults)
        assert body.get("stream", False) is streamed
        asked = dialect(name).streaming
        assert asked is not None
        assert ("stream_options" in body) is (streamed and "stream_options" in asked.ask_usage)


async def test_events_in_odd_forms(faults) -> None:
    body = (
        "\N{BOM}: a comment\n\nretry: 5\nid: 1\n\n: keep-alive\n\ndata:"
        + json.dumps(chunk({"content": "We "}))
        + "\n\n\n\ndata: ping\n\ndata: "
        + json.dumps(chunk({"content": "add.\n"}), indent=1).replace("\n", "\ndata: ")
        + "\n\n"
        + "".join(
            f"data: {json.dumps(each)}\n"
            for each in (chunk({"content": "Answer"}), chunk({"content": ": 4"}))
        )
        + "\ndata: "
        + json.dumps(chunk({}, "stop"))  # no [DONE], no empty line at the end
    )
    for size in (0, 1, 5):
        streams(faults, body, size=size)
        async with make_client(faults.url) as client:
            (completion,) = (await got(client)).completions
        assert (completion.text, completion.finish_reason) == ("We add.\nAnswer: 4", "stop")
        assert completion.usage.estimated, "no event stated a usage"


async def test_an_answer_in_one_piece_to_a_request_for_a_stream(faults) -> None:
    faults.says(
        json.dumps({"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}], "usage": USAGE})
    )
    async with make_client(faults.url) as client:
        assert (await got(client)).completions[0].text == "4"
        assert (await got(client, ASK)).completions[0].text == "4"
    assert "stream" not in body_of(faults), "what is not streamed teaches nothing"


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json", "text/plain"])
async def test_a_server_that_streams_unasked_is_asked_to_from_then_on(faults, kind) -> None:
    streams(faults, STREAMS["openai-chat"], kind=kind)
    async with make_client(faults.url) as client:
        for _ in range(2):
            assert (await got(client, ASK)).completions[0].text == TEXT
    assert "stream" not in body_of(faults, 0)
    assert body_of(faults, 1)["stream_options"] == {"include_usage": True}
    async with make_client(faults.url, stream=False) as client:
        for _ in range(2):
            assert (await got(client, ASK)).completions[0].text == TEXT
    assert "stream" not in body_of(faults)


DEMANDS = [
    {"error": {"message": "Requests with max_tokens > 4096 must have stream=true", "param": "max_tokens"}},
    {"error": {"message": "This model only support stream mode, please enable the stream parameter to access the model."}},
    {"error": {"message": "parameter.enable_thinking must be set to false for non-streaming calls"}},
    {"error": {"code": "1210", "message": "该模型仅支持流式调用"}},
    {"detail": [{"type": "value_error", "loc": ["body", "stream"], "msg": "streaming is required"}]},
]  # fmt: skip


@pytest.mark.parametrize("said", DEMANDS)
@pytest.mark.parametrize("status", [400, 422, 200])
async def test_a_server_that_demands_a_stream_gets_one_at_once(faults, said, status) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if not json.loads(faults.seen[-1][1]).get("stream"):
            return web.json_response(said, status=status)
        return web.Response(text=STREAMS["openai-chat"], content_type="text/event-stream")

    faults.handler = handler
    async with make_client(faults.url) as client:
        for _ in range(3):
            assert (await got(client, ASK)).completions[0].text == TEXT
    asked = [json.loads(body).get("stream", False) for _, body in faults.seen]
    assert asked == [False, True, True, True], "it is learned"


async def test_a_refused_stream_is_sent_in_one_piece_and_a_refused_option_without_it(faults) -> None:
    refused = "stream"

    async def handler(request: web.Request) -> web.StreamResponse:
        body = json.loads(faults.seen[-1][1])
        if refused in body:
            error = {"message": f"Unsupported value for {refused}", "param": refused}
            return web.json_response({"error": error}, status=400)
        if body.get("stream"):
            return web.Response(text=STREAMS["openai-chat"], content_type="text/event-stream")
        return web.json_response({"choices": [{"message": {"content": TEXT}}]})

    faults.handler = handler
    async with make_client(faults.url) as client:
        for _ in range(2):
            assert (await got(client)).completions[0].text == TEXT
    assert ["stream" in json.loads(body) for _, body in faults.seen] == [True, False, False]
    faults.seen.clear()
    refused = "stream_options"
    async with make_client(faults.url) as client:
        for _ in range(2):
            assert (await got(client)).completions[0].text == TEXT
    sent = [json.loads(body) for _, body in faults.seen]
    assert [(body["stream"], "stream_options" in body) for body in sent] == [
        (True, True),
        (True, False),
        (True, False),
    ]


async def test_an_echoed_prompt_teaches_nothing(faults) -> None:
    faults.says('{"error": {"message": "not allowed: \'the stream must only flow\'"}}', 400)
    async with make_client(faults.url) as client:
        for count in (2, 4, 6, 7):
            failure = await client.send(ASK, request_id="a", key=None)
            assert isinstance(failure, Failure) and failure.status == 400
            assert len(faults.seen) == count, "after three times in vain the other form is not tried"
        faults.says(json.dumps({"choices": [{"message": {"content": "4"}}]}))
        await got(client, ASK)
    assert "stream" not in body_of(faults)


async def test_a_demand_that_the_configuration_forbids_parks_and_says_the_line(faults) -> None:
    faults.says(json.dumps(DEMANDS[0]), 400)
    async with make_client(faults.url, stream=False) as client:
        failure = await client.send(LONG, request_id="a", key=None)
    assert isinstance(failure, Failure)
    assert failure.kind == "parked" and failure.reason.startswith(
        'the server demands a stream; set stream = "auto"'
    )


@EACH
@pytest.mark.parametrize("cut", [True, False], ids=["reset", "ended"])
async def test_a_cut_stream_is_ambiguous_and_what_came_is_kept(faults, name, cut) -> None:
    whole = STREAMS[name]
    at = whole.index(
        json.dumps(
            TEXT[9:] if name == "openai-completions" else TEXT[20:] if name == "openai-chat" else TEXT[4:]
        )
    )
    streams(faults, whole[: at + 4], cut=cut)
    async with make_client(faults.url, dialect=name) as client:
        failure = await client.send(LONG, request_id="a", key=None)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.charged) == ("ambiguous", "unknown")
    kept = json.dumps(json.loads(failure.raw), ensure_ascii=False)
    assert TEXT[:4] in kept and "delta" not in kept


async def test_silence_in_a_stream_is_a_cut_and_its_text_is_kept(faults) -> None:
    over = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(events(CHAT[:5]).encode())
        await over.wait()
        return response

    faults.handler = handler
    async with make_client(faults.url, timeout_seconds=0.2) as client:
        failure = await client.send(LONG, request_id="a", key=None)
        over.set()
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.reason) == ("ambiguous", "timed out before the response was complete")
    assert json.loads(failure.raw)["choices"][0]["message"]["content"] == TEXT[:20]


@pytest.mark.parametrize("cut", [True, False])
async def test_a_whole_answer_is_kept_though_the_end_of_the_stream_never_comes(faults, cut) -> None:
    streams(faults, events(CHAT[:-1]), cut=cut)
    async with make_client(faults.url) as client:
        (completion,) = (await got(client)).completions
    assert (completion.text, completion.finish_reason) == (TEXT, "stop")


async def test_a_connection_that_stays_open_after_the_last_event_holds_nothing_up(
    faults, monkeypatch
) -> None:
    monkeypatch.setattr("engine.teachers.receive.DONE_S", 0.05)
    monkeypatch.setattr("engine.teachers.receive.WHOLE_S", 0.05)
    over = asyncio.Event()
    for body in (STREAMS["openai-chat"], events(CHAT[:-1])):

        async def handler(request: web.Request, body: str = body) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            await response.write(body.encode())
            await over.wait()
            return response

        faults.handler = handler
        async with make_client(faults.url, timeout_seconds=30) as client:
            assert (await got(client)).completions[0].text == TEXT
    over.set()


async def test_several_choices_with_log_probabilities_come_in_any_order(faults) -> None:
    def token(word: str, value: float) -> dict[str, Any]:
        return {
            "content": [{"token": word, "logprob": value, "top_logprobs": [{"token": "z", "logprob": -3.0}]}]
        }

    body = events(
        [
            chunk({"content": "b"}, index=1, logprobs=token("b", -1.0)),
            chunk({"content": "a"}, index=0, logprobs=token("a", -0.5)),
            chunk({"content": "B"}, index=1, logprobs=token("B", -2.0)),
            chunk({}, "length", index=1),
            chunk({}, "stop", index=0),
            {"choices": [], "usage": USAGE},
        ]
    )
    streams(faults, body + DONE)
    async with make_client(faults.url) as client:
        first, second = (await got(client, replace(LONG, n=2, logprobs=1))).completions
    assert (first.text, first.finish_reason, second.text, second.finish_reason) == (
        "a",
        "stop",
        "bB",
        "length",
    )
    assert first.logprobs is not None and second.logprobs is not None
    assert (second.logprobs.tokens, second.logprobs.values) == (("b", "B"), (-1.0, -2.0))
    assert second.logprobs.top[0] == (("z", -3.0),)
    assert first.usage.completion_tokens + second.usage.completion_tokens == 9


async def test_log_probabilities_of_a_text_completion_s_stream(faults) -> None:
    chunks = [
        {"choices": [{"index": 0, "text": word, "finish_reason": None, "logprobs": {"tokens": [word], "token_logprobs": [value], "top_logprobs": [{"z": -3.0}], "text_offset": [0]}}]}
        for word, value in (("a", -0.5), ("b", -1.0))
    ]  # fmt: skip
    streams(
        faults, events([*chunks, {"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}]) + DONE
    )
    async with make_client(faults.url, dialect="openai-completions") as client:
        (completion,) = (await got(client, replace(LONG, logprobs=1))).completions
    assert completion.logprobs is not None
    assert (completion.logprobs.tokens, completion.logprobs.top) == (
        ("a", "b"),
        ((("z", -3.0),), (("z", -3.0),)),
    )


@pytest.mark.parametrize(
    ("deltas", "text", "reasoning", "finish"),
    [
        ([{"reasoning": "t"}, {"content": "b"}], "b", "t", "stop"),
        (
            [{"reasoning_details": [{"type": "reasoning.text", "text": piece, "index": 0}]} for piece in "th"] + [{"content": "b"}],
            *("b", "th", "stop"),
        ),
        (
            [{"content": [{"type": "thinking", "thinking": [{"type": "text", "text": piece}]}]} for piece in "th"] + [{"content": "b"}, {"content": "c"}],
            *("bc", "th", "stop"),
        ),
        (
            [{"content": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": piece}]}]} for piece in "th"]
            + [{"content": [{"type": "text", "text": piece}]} for piece in "bc"],
            *("bc", "th", "stop"),
        ),
        ([{"content": "<thi"}, {"content": "nk>t</think>b"}], "b", "t", "stop"),
        ([{"refusal": "I "}, {"refusal": "won't"}], "I won't", None, "refusal"),
        ([{"content": "\ud83d"}, {"content": "\ude00"}], "\N{GRINNING FACE}", None, "stop"),
        ([{"content": "\ud83d"}, {"content": "x"}], "\N{REPLACEMENT CHARACTER}x", None, "stop"),
    ],
)  # fmt: skip
async def test_what_a_message_can_hold_is_put_together(faults, deltas, text, reasoning, finish) -> None:
    streams(faults, events([*map(chunk, deltas), chunk({}, "stop")]) + DONE)
    async with make_client(faults.url) as client:
        (completion,) = (await got(client)).completions
    assert (completion.text, completion.reasoning, completion.finish_reason) == (text, reasoning, finish)


async def test_tool_calls_are_put_together_and_their_usage_is_booked(faults) -> None:
    def call(**function: str) -> dict[str, Any]:
        return chunk(
            {
                "tool_calls": [
                    {"index": 0, "function": function, **({"id": "t1"} if "name" in function else {})}
                ]
            }
        )

    body = events(
        [
            call(name="f", arguments=""),
            call(arguments='{"a"'),
            call(arguments=": 1}"),
            chunk({}, "tool_calls"),
            CHAT[-1],
        ]
    )
    streams(faults, body + DONE)
    async with make_client(faults.url) as client:
        failure = await client.send(LONG, request_id="a", key=None)
    assert isinstance(failure, Failure) and failure.usage is not None
    assert (failure.kind, failure.reason, failure.charged) == (
        "malformed",
        "a message has only tool calls",
        "usage",
    )
    assert failure.usage.completion_tokens == 9
    (made,) = json.loads(failure.raw)["choices"][0]["message"]["tool_calls"]
    assert made == {"index": 0, "id": "t1", "function": {"name": "f", "arguments": '{"a": 1}'}}


@pytest.mark.parametrize(
    ("before", "error", "kind", "charged"),
    [
        ([], {"error": {"code": 429, "message": "slow down"}}, "limited", "none"),
        ([], {"error": {"code": 503, "message": "gone"}}, "transient", "none"),
        ([], {"error": "no luck"}, "malformed", "none"),
        (CHAT[:4], {"error": {"code": 502, "message": "lost"}, "choices": [{"index": 0, "delta": {}, "finish_reason": "error"}]}, "transient", "unknown"),
        (CHAT[:4], {"error": {"code": 502, "message": "lost"}, "usage": USAGE, "choices": []}, "transient", "usage"),
        (CHAT[:4], chunk({}, "error", error={"code": 502, "message": "lost"}), "transient", "unknown"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("bare", [False, True])
async def test_an_error_in_a_stream_is_what_it_would_be_by_its_status(
    faults, before, error, kind, charged, bare
) -> None:
    said = json.dumps(error) + "\n" if bare and "choices" not in error else events([error])
    streams(faults, events(before) + said)
    async with make_client(faults.url) as client:
        failure = await client.send(LONG, request_id="a", key=None)
    if bare and not before:
        assert isinstance(failure, Failure) and failure.kind == kind
        return  # a body in one piece
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.charged) == (kind, charged)
    assert bool(failure.raw) == (bool(before) or kind == "malformed"), "what came before the error is kept"


@pytest.mark.parametrize(
    ("name", "payloads", "kind"),
    [
        ("anthropic-messages", [*MESSAGES[:5], {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}], "transient"),
        ("anthropic-messages", [{"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}], "limited"),
        ("openai-responses", [*RESPONSES[:3], {"type": "response.failed", "response": {**RESPONSE, "status": "failed", "output": [], "error": {"code": "server_error", "message": "x"}}}], "transient"),
        ("openai-responses", [*RESPONSES[:3], {"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": None}], "limited"),
    ],
)  # fmt: skip
async def test_other_dialects_errors_in_a_stream(faults, name, payloads, kind) -> None:
    streams(faults, events(payloads, name=True))
    async with make_client(faults.url, dialect=name) as client:
        failure = await client.send(LONG, request_id="a", key=None)
    assert isinstance(failure, Failure) and failure.kind in (kind, "limited" if kind == "transient" else kind)


async def test_an_incomplete_response_is_cut_off_and_a_response_without_its_output_is_filled_in(
    faults,
) -> None:
    last = {
        **RESPONSE,
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "output": [],
    }
    streams(faults, events([*RESPONSES[:-1], {"type": "response.incomplete", "response": last}], name=True))
    async with make_client(faults.url, dialect="openai-responses") as client:
        (completion,) = (await got(client)).completions
    assert (completion.text, completion.reasoning, completion.finish_reason) == (TEXT, "hm, easy", "length")


async def test_an_error_status_whose_body_is_an_event(faults) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        return web.Response(
            text='data: {"error": {"message": "slow down"}}\n\n', status=429, content_type="text/event-stream"
        )

    faults.handler = handler
    async with make_client(faults.url) as client:
        failure = await client.send(LONG, request_id="a", key=None)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.reason) == ("limited", "rate limited (429): slow down")


async def test_an_event_that_is_no_json_is_malformed_and_what_came_is_kept(faults) -> None:
    streams(faults, events(CHAT[:4]) + 'data: {"choices": [}\n\n' + events(CHAT[4:]) + DONE)
    async with make_client(faults.url) as client:
        failure = await client.send(LONG, request_id="a", key=None)
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.charged) == ("malformed", "unknown")
    assert json.loads(failure.raw)["choices"][0]["message"]["content"] == TEXT[:5]


async def test_a_stream_without_end_is_refused(faults) -> None:
    streams(faults, events(CHAT[:4]) + ": keep-alive\n\n" * 20_000, size=4096)
    async with make_client(faults.url, max_body=20_000) as client:
        failure = await client.send(LONG, request_id="a", key=None)
    assert isinstance(failure, Failure)
    assert failure.kind == "malformed" and "larger than" in failure.reason


async def test_a_key_that_is_echoed_in_pieces_is_stored_nowhere(faults) -> None:
    secret = "sk-canary-0123456789"
    streams(
        faults,
        events([chunk({"content": "key sk-can"}), chunk({"content": "ary-0123456789."}), chunk({}, "stop")])
        + DONE,
    )
    async with make_client(faults.url) as client:
        answer = await client.send(LONG, request_id="a", key=SecretStr(secret))
    assert isinstance(answer, Answer)
    assert secret not in repr(answer) and answer.completions[0].text == "key [redacted]."


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"data: {", True), (b"data:{", True), (b"event: x", True), (b": comment", True), (b"\n\n: x", True),
        (b"\xef\xbb\xbfdata: 1", True), (b"retry: 5", True), (b"id: 3", True),
        (b"{", False), (b"[", False), (b"<html>", False), (b"database", False), (b"null", False), (b"\xff\xfe", False),
        (b"", None), (b"\n \n", None), (b"da", None), (b"event", None),
    ],
)  # fmt: skip
def test_what_looks_like_events(head: bytes, found: bool | None) -> None:
    assert looks_like_events(head) is found


@EACH
def test_no_event_breaks_an_assembly(name) -> None:
    streaming = dialect(name).streaming
    assert streaming is not None
    for odd in (
        None,
        7,
        "x",
        [],
        [7],
        {},
        {"index": "x"},
        {"delta": 7},
        [{"index": None, "delta": [], "message": 3}],
    ):
        stream = EventStream(streaming.assembly())
        for key in (
            "choices",
            "usage",
            "delta",
            "message",
            "response",
            "item",
            "content_block",
            "error",
            "type",
            "index",
        ):
            stream.feed(f"data: {json.dumps({'type': 'content_block_delta', key: odd})}\n\n".encode())
            stream.feed(f"data: {json.dumps({'type': 'message_start', key: odd})}\n\n".encode())
            stream.feed(f"data: {json.dumps({'choices': [{key: odd}]})}\n\n".encode())
            stream.feed(f"data: {json.dumps(odd)}\n\n".encode())
        stream.close()
        assert isinstance(json.loads(stream.raw()), dict)


def test_a_dialect_of_batches_has_no_streams() -> None:
    assert [each.name for each in DIALECTS.values() if each.streaming is None] == ["openai-batch"]


async def test_the_connection_is_kept_alive(faults, monkeypatch) -> None:
    made: list[socket.socket] = []
    real = client_module._socket

    def remember(address: Any) -> socket.socket:
        made.append(real(address))
        return made[-1]

    monkeypatch.setattr(client_module, "_socket", remember)
    faults.says(json.dumps({"choices": [{"message": {"content": "4"}}]}))
    async with make_client(faults.url) as client:
        await got(client, ASK)
        (used,) = made
        assert used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
            assert used.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) * 60 >= 1200, (
                "an outage of minutes is survived"
            )


def test_a_completion_is_equal_however_it_came() -> None:
    assert isinstance(read_stored(RESPONSE, 0, ASK, "openai-responses"), Completion)
