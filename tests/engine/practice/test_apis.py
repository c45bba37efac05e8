"""The APIs of the teacher server as JSON and as streams; the official client libraries' types are the oracle."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, datetime
from pkgutil import resolve_name
from typing import Any

import aiohttp
import pytest
from pydantic import TypeAdapter

from engine.practice.apis import APIS
from engine.teachers.classify import classify_status
from engine.teachers.dialects import DIALECTS
from engine.teachers.headers import rate_headers
from engine.teachers.messages import Message as Said
from engine.teachers.messages import Request
from tests.engine.practice.serving import (
    COIN,
    MODEL,
    STEP1,
    Answer,
    Client,
    asking,
    events_of,
    teacher,
    text_of,
)
from tests.lazily import Lazy

anthropic_types, responses = Lazy("anthropic.types"), Lazy("openai.types.responses")

pytestmark = pytest.mark.anyio

PATHS = [api.path for api in APIS.values()]
EACH = pytest.mark.parametrize("path", PATHS)
WHOLE = {
    "/chat/completions": "openai.types.chat:ChatCompletion",
    "/completions": "openai.types:Completion",
    "/responses": "openai.types.responses:Response",
    "/messages": "anthropic.types:Message",
}
EVENTS = {
    "/chat/completions": "openai.types.chat:ChatCompletionChunk",
    "/completions": "openai.types:Completion",
    "/responses": "openai.types.responses:ResponseStreamEvent",
    "/messages": "anthropic.types:RawMessageStreamEvent",
}


async def ask(client: Client, path: str, prompt: str = STEP1, **fields: Any) -> Answer:
    return await client.post(path, json=asking(path, prompt, **fields))


def text_in(events: list[tuple[str, Any]]) -> str:
    """The text of a stream, from the pieces of any API."""
    texts = []
    for _, data in events:
        if data == "[DONE]":
            continue
        texts += [
            choice["delta"].get("content") or "" if "delta" in choice else choice["text"]
            for choice in data.get("choices", ())
        ]
        delta = data.get("delta")
        texts.append(delta if isinstance(delta, str) else (delta or {}).get("text", ""))
    return "".join(texts)


def test_each_dialect_s_path_is_served() -> None:
    request = Request(messages=(Said("user", "x"),), max_tokens=9)
    assert {each.build(request, "m", {})[0] for each in DIALECTS.values() if each.builtin} == set(PATHS)


@EACH
async def test_a_stream_is_the_same_response_in_pieces(path: str) -> None:
    async with teacher() as client:
        whole = await ask(client, path, temperature=0)
        assert whole.status == 200
        resolve_name(WHOLE[path]).model_validate(whole.json, strict=False)
        streamed = await ask(client, path, temperature=0, stream=True)
        assert streamed.headers["Content-Type"] == "text/event-stream"
        assert "Content-Length" not in streamed.headers
        events, adapter = events_of(streamed.body), TypeAdapter(resolve_name(EVENTS[path]))
        assert text_in(events) == text_of(path, whole.json) and len(events) > 20
        for name, data in events:
            if data == "[DONE]" or name == "ping":
                continue  # the libraries have no type for these
            assert name == data.get("type", "")
            if path == "/completions":  # its type is that of a whole response, which has a reason
                data["choices"][0]["finish_reason"] = data["choices"][0]["finish_reason"] or "stop"
            adapter.validate_python(data)
        first, second = await client.get("/ledger")
        names = ("status", "answered", "billed", "prompt_tokens", "completion_tokens", "choices")
        assert [first[name] for name in names] == [second[name] for name in names]
        assert second["path"] == f"/v1{path}" and second["answered"] and second["completion_tokens"] > 20
        assert second["sha256"] == hashlib.sha256(streamed.body).hexdigest()


async def test_chunks_of_a_chat_begin_with_the_role_and_end_with_reason_usage_and_done() -> None:
    async with teacher() as client:
        events = events_of((await client.chat(temperature=0.7, n=2, stream=True)).body)
        assert events.pop() == ("", "[DONE]")
        chunks = [data["choices"][0] for _, data in events]
        assert [chunk["index"] for chunk in chunks[:6]] == [0, 1, 0, 1, 0, 1]
        for index in (0, 1):
            own = [chunk for chunk in chunks if chunk["index"] == index]
            assert own[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
            assert [chunk["finish_reason"] for chunk in own] == [None] * (len(own) - 1) + ["stop"]
            assert own[-1]["delta"] == {} and all(chunk["delta"]["content"] for chunk in own[1:-1])
        assert all("usage" not in data for _, data in events)
        options = {"include_usage": True}
        cut = await client.chat(temperature=0, max_tokens=7, stream=True, stream_options=options)
        *chunks, (_, last), _ = events_of(cut.body)
        assert last["choices"] == [] and last["usage"]["completion_tokens"] == 7
        assert last["usage"]["total_tokens"] == last["usage"]["prompt_tokens"] + 7
        assert all(data["usage"] is None for _, data in chunks)
        assert chunks[-1][1]["choices"][0]["finish_reason"] == "length"


async def test_log_probabilities_are_those_of_the_whole_response() -> None:
    async with teacher() as client:
        asked: dict[str, Any] = {"temperature": 0, "logprobs": True, "top_logprobs": 2}
        whole = (await client.chat(**asked)).json["choices"][0]["logprobs"]["content"]
        events = events_of((await client.chat(**asked, stream=True)).body)
        found = [data["choices"][0]["logprobs"] for _, data in events[:-1]]
        assert [one for each in found if each for one in each["content"]] == whole
        plain = (await client.text(temperature=0, logprobs=2)).json["choices"][0]["logprobs"]
        events = events_of((await client.text(temperature=0, logprobs=2, stream=True)).body)
        found = [data["choices"][0]["logprobs"] for _, data in events[:-2]]
        assert {name: [each[name][0] for each in found] for name in plain} == plain
        asked = {"temperature": 0, "include": ["message.output_text.logprobs"], "top_logprobs": 2}
        part = (await ask(client, "/responses", **asked)).json["output"][0]["content"][0]
        assert [one["logprob"] for one in part["logprobs"]] == [one["logprob"] for one in whole]
        events = events_of((await ask(client, "/responses", **asked, stream=True)).body)
        found = [data["logprobs"] for name, data in events if name == "response.output_text.delta"]
        assert [each[0]["logprob"] for each in found] == [one["logprob"] for one in whole]
        assert len(found[0][0]["top_logprobs"]) == 2


async def test_the_events_of_a_response_come_in_their_order() -> None:
    async with teacher() as client:
        events = events_of((await ask(client, "/responses", stream=True, instructions="Reason.")).body)
        names = [name.removeprefix("response.") for name, _ in events]
        assert list(dict.fromkeys(names)) == [
            *("created", "in_progress", "output_item.added", "content_part.added", "output_text.delta"),
            *("output_text.done", "content_part.done", "output_item.done", "completed"),
        ]
        assert [data["sequence_number"] for _, data in events] == list(range(len(events)))
        last = events[-1][1]["response"]
        assert last["status"] == "completed" and last["instructions"] == "Reason."
        assert text_of("/responses", last) == text_in(events) and last["usage"]["output_tokens"] > 20
        cut = await ask(client, "/responses", max_output_tokens=7, stream=True)
        name, data = events_of(cut.body)[-1]
        assert name == "response.incomplete" and data["response"]["usage"]["output_tokens"] == 7
        assert data["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
        assert data["response"]["output"][0]["status"] == "incomplete"


async def test_the_events_of_a_message_come_in_their_order() -> None:
    async with teacher() as client:
        whole = (await ask(client, "/messages", temperature=0)).json
        events = events_of((await ask(client, "/messages", temperature=0, stream=True)).body)
        assert list(dict.fromkeys(name for name, _ in events)) == [
            *("message_start", "content_block_start", "ping", "content_block_delta", "content_block_stop"),
            *("message_delta", "message_stop"),
        ]
        begun = events[0][1]["message"]
        assert begun["content"] == [] and begun["stop_reason"] is None
        assert begun["usage"]["input_tokens"] == whole["usage"]["input_tokens"] > 30
        assert events[-2][1]["usage"] == {"output_tokens": whole["usage"]["output_tokens"]}
        assert events[-2][1]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}


async def test_why_a_message_ended() -> None:
    async with teacher() as client:
        text = text_of("/messages", (await ask(client, "/messages", temperature=0)).json)
        stopped = (await ask(client, "/messages", temperature=0, stop_sequences=["zzz", "Carla"])).json
        assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", "Carla")
        assert text_of("/messages", stopped) == text[: text.index("Carla")]
        cut = (await ask(client, "/messages", temperature=0, max_tokens=7)).json
        assert (cut["stop_reason"], cut["usage"]["output_tokens"]) == ("max_tokens", 7)
        assert TypeAdapter(anthropic_types.StopReason).validate_python(cut["stop_reason"])


TOOL = {"name": "add", "description": "Adds.", "input_schema": {"type": "object"}}
PARTS = [{"type": "text", "text": "Q: "}, {"type": "text", "text": COIN}]
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/chat/completions", {"messages": [{"role": "developer", "content": COIN}, {"role": "user", "content": "Well?"}]}),
        ("/chat/completions", {"messages": [{"role": "user", "content": PARTS}], "tools": [{"type": "function", "function": {"name": "add"}}], "tool_choice": "auto"}),
        ("/chat/completions", {"messages": [{"role": "user", "content": COIN}, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1", "content": "4"}]}),
        ("/chat/completions", {"max_tokens": None, "max_completion_tokens": 99, "reasoning_effort": "low", "unheard_of": {"a": 1}}),
        ("/responses", {"input": COIN, "instructions": "Be brief.", "tools": [{"type": "function", "name": "add", "parameters": {}, "strict": True}]}),
        ("/responses", {"instructions": COIN, "input": "Well?", "reasoning": {"effort": "low"}, "unheard_of": 1}),
        ("/responses", {"input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": COIN}]}]}),
        ("/responses", {"input": [{"role": "user", "content": COIN}, {"type": "reasoning", "summary": []}, {"type": "function_call_output", "call_id": "c1", "output": "4"}]}),
        ("/messages", {"system": COIN, "messages": [{"role": "user", "content": "Well?"}]}),
        ("/messages", {"system": [{"type": "text", "text": "Be brief."}], "messages": [{"role": "user", "content": PARTS}], "tools": [TOOL]}),
        ("/messages", {"messages": [{"role": "user", "content": COIN}, {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}]}]}),
        ("/messages", {"thinking": {"type": "enabled", "budget_tokens": 1024}, "metadata": {"user_id": "u"}, "unheard_of": 1}),
    ],
)  # fmt: skip
async def test_what_clients_send_is_accepted(path: str, fields: dict[str, Any]) -> None:
    async with teacher() as client:
        for stream in (False, True):
            answer = await ask(client, path, **fields, stream=stream)
            assert answer.status == 200, answer.body
            text = text_in(events_of(answer.body)) if stream else text_of(path, answer.json)
            assert "up" in text and "practice teacher" not in text  # the question was found


@pytest.mark.parametrize(
    ("path", "fields", "message"),
    [
        ("/responses", {"input": []}, "'input' must be a string or a list"),
        ("/responses", {"input": ["x"]}, "input[0]: expected an object"),
        ("/responses", {"input": [{"role": "robot", "content": "x"}]}, "input[0]: expected a message with a role"),
        ("/responses", {"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "list of text parts"),
        ("/responses", {"max_output_tokens": 0}, "'max_output_tokens' must be"),
        ("/responses", {"background": True}, "in the background"),
        ("/responses", {"previous_response_id": "resp_1"}, "Previous response with id 'resp_1' not found"),
        ("/responses", {"model": None}, "you must provide a model"),
        ("/messages", {"max_tokens": None}, "max_tokens: Field required"),
        ("/messages", {"messages": []}, "at least one message"),
        ("/messages", {"messages": [{"role": "system", "content": "x"}]}, "messages.0.role"),
        ("/messages", {"model": 3}, "model: Input should be"),
        ("/messages", {"system": 3}, "system.content: expected"),
        ("/messages", {"temperature": 1.5}, "'temperature' must be a number from 0 to 1"),
        ("/messages", {"stop_sequences": ["\n"]}, "must contain non-whitespace"),
        ("/completions", {"echo": True}, "does not repeat the prompt"),
        ("/completions", {"logprobs": 99}, "'logprobs' must be"),
    ],
)  # fmt: skip
async def test_a_wrong_field_is_400(path: str, fields: dict[str, Any], message: str) -> None:
    async with teacher() as client:
        answer = await ask(client, path, **fields)
        assert answer.status == 400 and message in answer.json["error"]["message"]
        assert answer.json["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("fault", "options", "fields", "status", "kind", "message"),
    [
        ("", {}, {"model": "claude"}, 404, "not_found_error", "model_not_found: The model 'claude' does not"),
        ("", {"keys": ("a",)}, {}, 401, "authentication_error", "Incorrect API key"),
        ("", {"refuse_unknown": True}, {"system": "?"}, 404, "not_found_error", "unknown_question: "),
        ("", {"tokens_per_minute": 10}, {}, 429, "rate_limit_error", "Rate limit reached"),
        ("529=1", {}, {}, 529, "overloaded_error", "Injected fault 529"),
        ("500=1", {}, {}, 500, "api_error", "Injected fault 500"),
        ("quota=1", {}, {}, 400, "invalid_request_error", "credit balance is too low"),
    ],
)
async def test_a_message_s_errors_are_anthropic_s(
    fault: str, options: dict[str, Any], fields: dict[str, Any], status: int, kind: str, message: str
) -> None:
    async with teacher(fault, **options) as client:
        if "tokens_per_minute" in options:
            assert (await ask(client, "/messages")).status == 200
        prompt = "What is the capital of France?" if "refuse_unknown" in options else STEP1
        for stream in (False, True):  # an error is no stream
            answer = await ask(client, "/messages", prompt, **fields, stream=stream)
            assert answer.status == status and answer.json["type"] == "error"
            assert answer.json["error"]["type"] == kind and message in answer.json["error"]["message"]
            assert answer.headers["request-id"]
        (*_, entry) = await client.get("/ledger")
        assert entry["status"] == status and not entry["billed"]


async def test_an_unknown_question_is_permanent_to_the_daemon_in_every_form() -> None:
    async with teacher(refuse_unknown=True) as client:
        for path in PATHS:
            answer = await ask(client, path, "What is the capital of France?")
            failure = classify_status(answer.status, answer.headers, answer.body, wall=0.0)
            assert failure.kind == "permanent" and "does not know this question" in failure.reason


async def test_limits_are_counted_for_all_apis_together_and_told_in_each_form() -> None:
    async with teacher(requests_per_minute=4, tokens_per_minute=10_000) as client:
        used = 0
        for left, path in zip((3, 2, 1, 0), PATHS, strict=True):
            answer = await ask(client, path, stream=left % 2 == 0)
            assert answer.status == 200
            (entry,) = await client.get(f"/ledger?since={3 - left}")
            used += entry["prompt_tokens"] + entry["completion_tokens"]
            read = rate_headers(answer.headers, datetime.now(UTC).timestamp())
            assert read is not None and (read.requests_limit, read.requests_remaining) == (4, left)
            assert read.tokens_limit == 10_000 and read.tokens_remaining == pytest.approx(
                10_000 - used, abs=60
            )
            assert read.requests_reset_s is not None and 0 < read.requests_reset_s <= 61
        assert [(await ask(client, path, stream=True)).status for path in PATHS] == [429] * 4


@EACH
async def test_every_path_is_there_without_v1_and_every_key_header_is_read(path: str) -> None:
    async with teacher(keys=("good",)) as client:
        root = client.url.removesuffix("/v1")
        for headers in ({"Authorization": "Bearer good"}, {"x-api-key": "good"}, {"api-key": "good"}):
            async with client.session.post(f"{root}{path}", json=asking(path), headers=headers) as answer:
                assert answer.status == 200
        async with client.session.post(
            f"{root}{path}", json=asking(path), headers={"x-api-key": "x"}
        ) as answer:
            assert answer.status == 401
        async with client.session.get(f"{root}{path}") as answer:
            assert answer.status == 405 and (await answer.json())["error"]["type"] == "invalid_request_error"
        async with client.session.post(f"{root}{path}/more", json={}) as answer:
            assert answer.status == 404 and "Unknown request URL" in (await answer.json())["error"]["message"]


async def test_models_in_both_forms() -> None:
    async with teacher() as client:
        for prefix in ("/v1", ""):
            listed = await client.get(f"{prefix}/models")
            assert [row["id"] for row in listed["data"]] == ["practice-large", "practice-small"]
            assert (await client.get(f"{prefix}/models/{MODEL}"))["object"] == "model"
            assert (await client.get(f"{prefix}/models/gpt/7"))["error"]["code"] == "model_not_found"
        headers = {"anthropic-version": "2023-06-01"}
        async with client.session.get(f"{client.url}/models", headers=headers) as answer:
            assert [row["type"] for row in (await answer.json())["data"]] == ["model"] * 2
        async with client.session.get(f"{client.url}/models/gpt-7", headers=headers) as answer:
            assert answer.status == 404 and (await answer.json())["error"]["type"] == "not_found_error"


# Faults in streams


@EACH
async def test_a_truncated_stream_breaks_off_or_ends_as_if_it_were_whole(path: str) -> None:
    async with teacher("truncate=1") as client:
        whole = []
        for _ in range(8):
            try:
                whole.append((await ask(client, path, temperature=0, stream=True)).body)
            except aiohttp.ClientPayloadError:
                whole.append(b"")
        cut = {body for body in whole if body}
        assert b"" in whole and cut
        last = (
            b"response.completed"
            if path == "/responses"
            else b"message_stop"
            if path == "/messages"
            else b"[DONE]"
        )
        assert not any(last in body for body in cut)
        entries = await client.get("/ledger")
        assert all(e["billed"] and not e["answered"] and e["fault"] == "truncate" for e in entries)
        assert len(entries) == 8 and all(e["completion_tokens"] > 20 for e in entries)


async def test_a_slow_stream_arrives_in_pieces_that_end_anywhere() -> None:
    async with teacher("slow=1", slow_seconds=0.4) as client:
        body = asking("/messages", temperature=0, stream=True)
        pieces: list[bytes] = []
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with client.session.post(f"{client.url}/messages", json=body) as answer:
            async for piece, _ in answer.content.iter_chunks():
                pieces.append(piece)
        assert loop.time() - started > 0.3 and len(pieces) > 4
        assert any(not piece.endswith(b"\n\n") for piece in pieces[:-1])
        assert events_of(b"".join(pieces))[-1][0] == "message_stop"
        (entry,) = await client.get("/ledger")
        assert entry["answered"] and entry["billed"] and entry["fault"] == "slow"


async def test_a_stream_takes_the_time_of_a_response_in_pieces_of_whole_events() -> None:
    async with teacher(latency_ms=300.0) as client:
        pieces: list[tuple[float, bytes]] = []
        loop = asyncio.get_running_loop()
        started = loop.time()
        async with client.session.post(
            f"{client.url}/responses", json=asking("/responses", stream=True)
        ) as answer:
            async for piece, _ in answer.content.iter_chunks():
                pieces.append((loop.time() - started, piece))
        assert len(pieces) > 4 and all(piece.endswith(b"\n\n") for _, piece in pieces)
        assert pieces[-1][0] - pieces[0][0] > 0.02 and pieces[0][0] > 0.02


@EACH
async def test_malformed_streams_are_of_four_kinds(path: str) -> None:
    def kind(answer: Answer) -> str:
        if not answer.body:
            return "empty"
        if answer.body.startswith(b"<!doctype"):
            return "html"
        try:
            events = events_of(answer.body)
        except (ValueError, KeyError):
            return "broken"
        name, last = events[-1]
        return "error" if "error" in (name, *last) else "fine"

    async with teacher("malformed=1") as client:
        answers = [await ask(client, path, stream=True) for _ in range(20)]
        assert {answer.status for answer in answers} == {200}
        assert {kind(answer) for answer in answers} == {"empty", "html", "broken", "error"}
        entries = await client.get("/ledger")
        assert all(e["billed"] and e["answered"] and e["fault"] == "malformed" for e in entries)


async def test_a_client_that_leaves_a_stream_is_billed_but_not_answered() -> None:
    async with teacher("slow=1", slow_seconds=0.4) as client:
        body = asking("/chat/completions", stream=True)
        async with client.session.post(f"{client.url}/chat/completions", json=body) as answer:
            await answer.content.readany()
            answer.close()
        for _ in range(500):
            if entries := await client.get("/ledger"):
                break
            await asyncio.sleep(0.01)
        assert [(e["answered"], e["billed"]) for e in entries] == [(False, True)]


async def test_a_batch_of_responses() -> None:
    async with teacher(batch_seconds=0.02) as client:
        lines = [
            json.dumps({"custom_id": f"a{n}", "method": "POST", "url": "/v1/responses", "body": body})
            for n, body in enumerate([asking("/responses"), asking("/responses", stream=True)])
        ]
        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        form.add_field("file", "\n".join(lines), filename="in.jsonl")
        file = (await client.post("/files", data=form)).json
        listed = await client.get("/v1/files?purpose=batch")
        assert [row["id"] for row in listed["data"]] == [file["id"]] and listed["has_more"] is False
        assert (await client.get("/v1/files?purpose=fine-tune"))["data"] == []
        assert "'limit' must be" in (await client.get("/v1/files?limit=x"))["error"]["message"]
        made = {"input_file_id": file["id"], "endpoint": "/v1/responses", "completion_window": "24h"}
        batch = (await client.post("/batches", json=made)).json
        while batch["status"] not in ("completed", "failed"):
            await asyncio.sleep(0.01)
            batch = await client.get(f"/v1/batches/{batch['id']}")
        assert batch["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
        async with client.session.get(f"{client.url}/files/{batch['output_file_id']}/content") as answer:
            row = json.loads(await answer.read())
        assert responses.Response.model_validate(row["response"]["body"]).output_text
