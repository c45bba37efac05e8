"""The teacher server's Batch API; the official client library's types are the oracle."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.engine.practice.serving import STEP1, Client, teacher
from tests.lazily import Lazy

types, chat = Lazy("openai.types"), Lazy("openai.types.chat")

pytestmark = pytest.mark.anyio


def rows(count: int, **change: Any) -> list[dict[str, Any]]:
    body = {"model": "practice-large", "messages": [{"role": "user", "content": STEP1}], "max_tokens": 64}
    return [
        {"custom_id": f"a{n}", "method": "POST", "url": "/v1/chat/completions", "body": body, **change}
        for n in range(count)
    ]


async def upload(client: Client, lines: list[Any]) -> types.FileObject:
    form = aiohttp.FormData()
    form.add_field("purpose", "batch")
    content = b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )
    form.add_field("file", content, filename="in.jsonl")
    answer = await client.post("/files", data=form)
    return types.FileObject.model_validate(answer.json, strict=True)


async def create(client: Client, lines: list[Any]) -> types.Batch:
    file = await upload(client, lines)
    answer = await client.post(
        "/batches",
        json={
            "input_file_id": file.id,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {"k": "v"},
        },
    )
    assert answer.status == 200
    return types.Batch.model_validate(answer.json, strict=True)


async def ended(client: Client, batch: types.Batch) -> types.Batch:
    while batch.status in ("validating", "in_progress", "finalizing", "cancelling"):
        await asyncio.sleep(0.01)
        batch = types.Batch.model_validate(await client.get(f"/v1/batches/{batch.id}"), strict=True)
    return batch


async def content(client: Client, file_id: str | None) -> list[dict[str, Any]]:
    async with client.session.get(f"{client.url}/files/{file_id}/content") as answer:
        return [json.loads(line) for line in (await answer.read()).splitlines()]


async def test_a_batch_is_answered_row_by_row_and_billed() -> None:
    async with teacher(batch_seconds=0.05) as client:
        batch = await ended(client, await create(client, rows(5)))
        assert batch.status == "completed" and batch.metadata == {"k": "v"} and batch.error_file_id is None
        assert batch.request_counts is not None and batch.request_counts.completed == 5
        output = await content(client, batch.output_file_id)
        assert sorted(row["custom_id"] for row in output) == [f"a{n}" for n in range(5)]
        for row in output:
            chat.ChatCompletion.model_validate(row["response"]["body"])
        assert len({row["response"]["body"]["choices"][0]["message"]["content"] for row in output}) > 1
        ledger = await client.get("/ledger")
        billed = {entry["request_id"] for entry in ledger if entry["billed"]}
        assert billed == {f"a{n}" for n in range(5)}
        listed = await client.get("/v1/batches?limit=1")
        assert types.Batch.model_validate(listed["data"][0]).id == batch.id and listed["has_more"] is False


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([], "empty_file"),
        ([b"{"], "invalid_json_line"),
        ([*rows(1), *rows(1)], "duplicate_custom_id"),
        (rows(1, url="/v1/completions"), "mismatched_url"),
        (rows(1, method="GET"), "invalid_method"),
        (rows(1, body=[]), "invalid_request"),
        (rows(1, custom_id=None), "invalid_request"),
    ],
)
async def test_a_wrong_file_fails_the_whole_batch(lines: list[Any], code: str) -> None:
    async with teacher() as client:
        batch = await ended(client, await create(client, lines))
        assert batch.status == "failed" and batch.output_file_id is None
        assert (
            batch.errors is not None and batch.errors.data is not None and batch.errors.data[0].code == code
        )


@pytest.mark.parametrize(
    ("fault", "status", "done"),
    [("batch-expire=1", "expired", 2), ("batch-cancel=1", "cancelled", 2), ("batch-queue=1", "failed", 0)],
)
async def test_faults_of_a_batch(fault: str, status: str, done: int) -> None:
    async with teacher(fault, batch_seconds=0.02) as client:
        batch = await ended(client, await create(client, rows(4)))
        assert batch.status == status
        assert batch.request_counts is not None and batch.request_counts.completed == done
        codes = [row["error"]["code"] for row in await content(client, batch.error_file_id)] if done else []
        assert codes == (["batch_expired"] * 2 if status == "expired" else []) or status == "cancelled"


async def test_rows_that_fail_are_in_the_error_file_and_cost_nothing() -> None:
    async with teacher("500=0.5", batch_seconds=0.02) as client:
        batch = await ended(client, await create(client, rows(20)))
        assert batch.request_counts is not None and batch.request_counts.failed > 0
        wrong = await content(client, batch.error_file_id)
        assert len(wrong) == batch.request_counts.failed
        assert {row["response"]["status_code"] for row in wrong} == {500}
        billed = sum(entry["billed"] for entry in await client.get("/ledger"))
        assert billed == batch.request_counts.completed == 20 - len(wrong)


async def test_a_batch_can_be_cancelled_and_what_is_not_there_is_told() -> None:
    async with teacher(batch_seconds=60) as client:
        batch = await create(client, rows(4))
        await client.post(f"/batches/{batch.id}/cancel")
        shown = await client.get(f"/v1/batches/{batch.id}")
        assert shown["status"] in ("cancelling", "cancelled")
        for path in ("/batches/nope/cancel", "/batches"):
            assert (await client.post(path, json={})).status in (400, 404)
        async with client.session.get(f"{client.url}/files/nope/content") as answer:
            assert answer.status == 404
        wrong = await client.post("/files", json={})
        assert wrong.status == 400
