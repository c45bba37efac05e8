"""The official client libraries against the teacher server: whatever they can be asked for with one model."""

from __future__ import annotations

import asyncio
import io
import json

import pytest

from tests.engine.practice.serving import MODEL, STEP1, teacher
from tests.lazily import Lazy

anthropic, openai = Lazy("anthropic"), Lazy("openai")

pytestmark = pytest.mark.anyio

SAID = [{"role": "user", "content": STEP1}]


def openai_client(url: str, key: str = "good") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0)


def anthropic_client(url: str, key: str = "good") -> anthropic.AsyncAnthropic:
    """Its base URL has no `/v1`, which the library adds."""
    return anthropic.AsyncAnthropic(base_url=url.removesuffix("/v1"), api_key=key, max_retries=0)


async def test_openai_s_chat() -> None:
    async with teacher() as server, openai_client(server.url) as client:
        chat = client.chat.completions
        whole = await chat.create(
            model=MODEL, messages=SAID, temperature=0, n=2, logprobs=True, top_logprobs=2
        )
        text = whole.choices[1].message.content
        assert whole.usage is not None and whole.usage.completion_tokens > 40 and text
        assert whole.choices[0].logprobs is not None and whole.choices[0].logprobs.content
        texts = {0: "", 1: ""}
        usage = None
        async for chunk in await chat.create(
            model=MODEL,
            messages=SAID,
            temperature=0,
            n=2,
            stream=True,
            stream_options={"include_usage": True},
        ):
            for choice in chunk.choices:
                texts[choice.index] += choice.delta.content or ""
            usage = chunk.usage or usage
        assert texts == {0: text, 1: text} and usage == whole.usage
        async with chat.stream(model=MODEL, messages=SAID, temperature=0) as helper:
            done = await helper.get_final_completion()
        assert done.choices[0].message.content == text and done.choices[0].finish_reason == "stop"


async def test_openai_s_text_completions() -> None:
    async with teacher() as server, openai_client(server.url) as client:
        whole = await client.completions.create(model=MODEL, prompt=STEP1, temperature=0, max_tokens=99)
        stream = await client.completions.create(
            model=MODEL, prompt=STEP1, temperature=0, max_tokens=99, stream=True
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
        assert chunks[-1].choices[0].finish_reason == "stop"


async def test_openai_s_responses() -> None:
    async with teacher() as server, openai_client(server.url) as client:
        whole = await client.responses.create(
            model=MODEL, instructions="Reason.", input=SAID, temperature=0, max_output_tokens=200
        )
        assert whole.status == "completed" and whole.usage is not None and whole.usage.output_tokens > 20
        async with client.responses.stream(
            model=MODEL, instructions="Reason.", input=SAID, temperature=0
        ) as stream:
            text = "".join(
                [event.delta async for event in stream if event.type == "response.output_text.delta"]
            )
            done = await stream.get_final_response()
        assert text == whole.output_text == done.output_text and done.usage == whole.usage


async def test_openai_s_models_files_and_batches() -> None:
    async with teacher(batch_seconds=0.02) as server, openai_client(server.url) as client:
        assert [model.id async for model in client.models.list()] == ["practice-large", "practice-small"]
        assert (await client.models.retrieve(MODEL)).id == MODEL
        row = {
            "custom_id": "a",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": MODEL, "messages": SAID},
        }
        files = [
            await client.files.create(file=io.BytesIO(json.dumps(row).encode()), purpose="batch")
            for _ in range(3)
        ]
        ids = [file.id for file in reversed(files)]
        assert [file.id async for file in client.files.list(limit=2)] == ids  # two pages
        assert [file.id async for file in client.files.list(order="asc")] == ids[::-1]
        batch = await client.batches.create(
            input_file_id=ids[0], endpoint="/v1/chat/completions", completion_window="24h"
        )
        while batch.status != "completed":
            await asyncio.sleep(0.01)
            batch = await client.batches.retrieve(batch.id)
        assert batch.output_file_id is not None
        output = json.loads((await client.files.content(batch.output_file_id)).text)
        assert output["custom_id"] == "a" and output["response"]["status_code"] == 200
        assert [found.id async for found in client.batches.list()] == [batch.id]
        assert (await client.files.delete(ids[1])).deleted


async def test_openai_s_errors() -> None:
    async with teacher(keys=("good",), requests_per_minute=1) as server:
        async with openai_client(server.url, "bad") as client:
            with pytest.raises(openai.AuthenticationError):
                await client.models.list()
        async with openai_client(server.url) as client:
            with pytest.raises(openai.NotFoundError) as error:
                await client.responses.create(model="gpt-7", input="x")
            assert error.value.code == "model_not_found"
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve("gpt-7")
            assert await client.responses.create(model=MODEL, input="Hello?")
            with pytest.raises(openai.RateLimitError):
                await client.chat.completions.create(model=MODEL, messages=SAID, stream=True)
    async with teacher("malformed=1") as server, openai_client(server.url) as client:
        seen = set()
        for _ in range(20):
            try:
                stream = await client.chat.completions.create(model=MODEL, messages=SAID, stream=True)
                seen.add(len([chunk async for chunk in stream]) > 0)
            except (openai.APIError, json.JSONDecodeError) as told:
                seen.add(type(told).__name__)
        assert {"APIError", "JSONDecodeError"} <= seen


async def test_anthropic_s_messages() -> None:
    async with teacher() as server, anthropic_client(server.url) as client:
        asked = {"model": MODEL, "max_tokens": 200, "system": "Reason.", "messages": SAID}
        whole = await client.messages.create(**asked)
        assert whole.stop_reason == "end_turn" and whole.usage.output_tokens > 20
        assert whole._request_id is not None
        async with client.messages.stream(**asked) as stream:
            text = "".join([piece async for piece in stream.text_stream])
            done = await stream.get_final_message()
        assert text == done.content[0].text and done.usage.input_tokens == whole.usage.input_tokens
        counted = await client.messages.count_tokens(model=MODEL, system="Reason.", messages=SAID)
        assert counted.input_tokens == whole.usage.input_tokens
        raw = await client.messages.create(**asked, stream=True)
        assert [event.type async for event in raw][-1] == "message_stop"
        stopped = await client.messages.create(**asked | {"stop_sequences": ["Anna"]})
        assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "Anna")
        assert "Anna" not in stopped.content[0].text


async def test_anthropic_s_models_and_errors() -> None:
    async with teacher(keys=("good",)) as server:
        async with anthropic_client(server.url) as client:
            assert [model.id async for model in client.models.list()] == ["practice-large", "practice-small"]
            assert (await client.models.retrieve(MODEL)).display_name == MODEL
            with pytest.raises(anthropic.NotFoundError):
                await client.messages.create(model="claude", max_tokens=9, messages=SAID)
            with pytest.raises(anthropic.NotFoundError):
                await client.messages.count_tokens(model="claude", messages=SAID)
            with pytest.raises(anthropic.BadRequestError):
                await client.messages.create(model=MODEL, max_tokens=9, messages=[])
            entries = await server.get("/ledger")
            assert [(entry["path"], entry["billed"]) for entry in entries] == [
                ("/v1/messages", False),
                ("/v1/messages/count_tokens", False),
                ("/v1/messages", False),
            ]
        async with anthropic_client(server.url, "bad") as client:
            with pytest.raises(anthropic.AuthenticationError):
                await client.messages.create(model=MODEL, max_tokens=9, messages=SAID)
    async with teacher("malformed=1") as server, anthropic_client(server.url) as client:
        seen = set()
        for _ in range(20):
            try:
                async with client.messages.stream(model=MODEL, max_tokens=99, messages=SAID) as stream:
                    await stream.get_final_message()
            except (anthropic.APIError, json.JSONDecodeError, AssertionError) as told:
                seen.add(type(told).__name__)
        assert "APIStatusError" in seen or "InternalServerError" in seen, seen
