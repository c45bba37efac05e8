"""The Batch API's wire form; the official client library's types are the oracle."""

from __future__ import annotations

import json

import pytest
from pydantic import TypeAdapter

from engine.teachers.batch_api import BatchError as BatchErrorRow
from engine.teachers.batch_api import (
    create_body,
    input_line,
    read_batch,
    read_file_id,
    read_page,
    read_row,
    refusal,
)
from engine.teachers.decode import decode_json
from engine.teachers.dialects import dialect
from engine.teachers.dialects.openai_batch import body_of
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Message, Request
from tests.engine.teachers.test_official_types import read
from tests.lazily import Lazy

types, batches = Lazy("openai.types"), Lazy("openai.types.batch")
chat = Lazy("openai.types.chat")
chat_params = Lazy("openai.types.chat.completion_create_params")

ASK = Request(messages=(Message("user", "2 + 2?"),), temperature=0.7, max_tokens=64, seed=3, stop=("END",))


def answer() -> chat.ChatCompletion:
    return chat.ChatCompletion.model_validate(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "m-1",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "logprobs": None,
                    "message": {"role": "assistant", "content": "Four.", "refusal": None},
                }
            ],
            "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
        }
    )


def official(**change: object) -> bytes:
    """A batch as the library makes it."""
    batch = types.Batch.model_validate(
        {
            "id": "batch_1",
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": 1_700_000_000,
            "input_file_id": "file-1",
            "status": "in_progress",
            "request_counts": types.BatchRequestCounts(total=10, completed=4, failed=1),
            "metadata": {"coterie_batch": "abc"},
            **change,
        }
    )
    return batch.model_dump_json().encode()


def line(status: int, body: object, **change: object) -> bytes:
    row = {
        "id": "batch_req_1",
        "custom_id": "a1",
        "response": {"status_code": status, "request_id": "req_1", "body": body},
        "error": None,
        **change,
    }
    return json.dumps(row).encode()


def test_a_line_of_the_input_file_holds_the_chat_dialect_s_body() -> None:
    _, body = dialect("openai-batch").build(ASK, "m", {"reasoning_effort": "low"})
    assert (_, body) == dialect("openai-chat").build(ASK, "m", {"reasoning_effort": "low"})
    raw = input_line("a1", body)
    assert raw.endswith(b"\n") and raw.count(b"\n") == 1
    row = json.loads(raw)
    assert {name: row[name] for name in ("custom_id", "method", "url")} == {
        "custom_id": "a1",
        "method": "POST",
        "url": "/v1/chat/completions",
    }
    assert (
        read(
            TypeAdapter(chat_params.CompletionCreateParamsNonStreaming).validate_python(
                row["body"], strict=True
            )
        )
        == row["body"]
    )


def test_a_creation_fits_the_official_parameters() -> None:
    body = create_body("file-1", "abc")
    assert read(TypeAdapter(types.BatchCreateParams).validate_python(body, strict=True)) == body


@pytest.mark.parametrize("status", ["validating", "in_progress", "finalizing", "cancelling"])
def test_a_batch_that_goes_on(status: str) -> None:
    info = read_batch(decode_json(official(status=status)))
    assert (info.id, info.status, info.mark, info.ended) == ("batch_1", status, "abc", False)
    assert (info.total, info.completed, info.failed, info.created_at) == (10, 4, 1, 1_700_000_000)


@pytest.mark.parametrize("status", ["completed", "failed", "expired", "cancelled"])
def test_a_batch_that_has_ended(status: str) -> None:
    errors = batches.Errors(
        data=[types.BatchError(code="token_limit_exceeded", message="Enqueued token limit reached")]
    )
    info = read_batch(
        decode_json(official(status=status, output_file_id="file-2", error_file_id="file-3", errors=errors))
    )
    assert info.ended and (info.output_file_id, info.error_file_id) == ("file-2", "file-3")
    assert [(each.code, each.message) for each in info.errors] == [
        ("token_limit_exceeded", "Enqueued token limit reached")
    ]


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (
            "token_limit_exceeded",
            "Enqueued token limit reached for m. Limit: 2,000 enqueued tokens.",
            "no-room",
        ),
        ("", "Too many enqueued tokens", "no-room"),
        ("server_error", "Something went wrong.", "passing"),
        ("billing_hard_limit_reached", "Billing hard limit has been reached.", "lasting"),
        ("model_not_found", "The provided model 'm' is not supported by the Batch API.", "lasting"),
        ("", "", "lasting"),
    ],
)
def test_what_a_refusal_as_a_whole_means(code: str, message: str, kind: str) -> None:
    info = read_batch(
        decode_json(official(errors=batches.Errors(data=[types.BatchError(code=code, message=message)])))
    )
    found, words = refusal(info.errors)
    assert found == kind and words == (f"{code}: {message}".strip(": ") or "the provider gave no reason")
    assert "\n" not in refusal([BatchErrorRow(code="a", message="b\n\x1b[31m")])[1]


def test_a_page_of_batches_and_an_uploaded_file() -> None:
    rows = [json.loads(official()), {"id": 7}, json.loads(official(id="batch_2", metadata=None))]
    page, more = read_page({"object": "list", "data": rows, "has_more": True})
    assert [(info.id, info.mark) for info in page] == [("batch_1", "abc"), ("batch_2", "")] and more
    file = types.FileObject.model_validate(
        {
            "id": "file-1",
            "bytes": 3,
            "created_at": 1,
            "filename": "x.jsonl",
            "object": "file",
            "purpose": "batch",
            "status": "processed",
        }
    )
    assert read_file_id(decode_json(file.model_dump_json().encode())) == "file-1"


def test_an_answered_row_and_its_completion() -> None:
    raw = line(200, answer().model_dump(mode="json"))
    row = read_row(raw)
    assert (row.custom_id, row.status, row.request_id, row.answered) == ("a1", 200, "req_1", True)
    payload = decode_json(raw)
    (completion,) = dialect("openai-batch").parse(payload, ASK)
    assert (completion.text, completion.usage.prompt_tokens, completion.provider_id) == (
        "Four.",
        9,
        "chatcmpl-1",
    )
    assert dialect("openai-batch").parse(row.body, ASK) == [completion]
    assert dialect("openai-chat").parse(body_of(payload), ASK) == [completion]  # after a change of dialect


@pytest.mark.parametrize(
    ("raw", "kind", "reached", "words"),
    [
        (line(500, {"error": {"message": "boom"}}), "transient", True, "server error (500): boom"),
        (line(429, {"error": {"message": "slow down"}}), "limited", True, "slow down"),
        (line(429, {"error": {"code": "insufficient_quota"}}), "parked", True, "quota or billing"),
        (line(400, {"error": {"message": "no"}}), "permanent", True, "the request was rejected (400): no"),
        (
            line(0, None, response=None, error={"code": "batch_expired", "message": "The window expired."}),
            "transient",
            False,
            "not executed: The window expired.",
        ),
        (
            line(0, None, response=None, error={"code": "odd", "message": "?"}),
            "transient",
            True,
            "not executed: ?",
        ),
        (line(0, None, response=None), "transient", True, "no answer and no error"),
    ],
)
def test_a_row_without_an_answer(raw: bytes, kind: str, reached: bool, words: str) -> None:
    row = read_row(raw)
    failure = row.failure()
    assert (row.answered, failure.kind, failure.reached) == (False, kind, reached)
    assert words in failure.reason
    assert row.never_run is not reached


def test_a_key_that_a_row_repeats_is_not_in_the_reason() -> None:
    failure = read_row(line(400, {"error": {"message": "bad key sk-canary-1"}})).failure(("sk-canary-1",))
    assert "sk-canary-1" not in failure.reason


HOSTILE = [
    b"",
    b"[]",
    b"null",
    b"{}",
    b'{"custom_id": 7}',
    b'{"custom_id": ""}',
    b"<html>",
    b'{"custom_id": NaN}',
    b"[" * 100_000,
    b'{"id": "b", "status": null}',
]


@pytest.mark.parametrize("raw", HOSTILE, ids=[raw[:12].decode() for raw in HOSTILE])
def test_what_is_no_row_and_no_batch_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        read_row(raw)
    with pytest.raises(MalformedAnswer):
        read_batch(decode_json(raw))
    with pytest.raises(MalformedAnswer):
        read_page(decode_json(raw))
    with pytest.raises(MalformedAnswer):
        read_file_id({"id": raw[:0].decode()})


def test_odd_numbers_and_parts_are_as_if_absent() -> None:
    info = read_batch(
        {
            "id": "b",
            "status": "completed",
            "created_at": "now",
            "request_counts": {"total": -1, "completed": True, "failed": 1e9},
            "errors": {"data": ["x", {"code": 3}]},
            "metadata": [],
            "output_file_id": 9,
        }
    )
    assert (info.total, info.completed, info.failed, info.created_at) == (0, 0, 0, 0)
    assert info.output_file_id is None and info.mark == "" and len(info.errors) == 1
    assert read_row(b'{"custom_id": "a", "response": {"status_code": "200"}}').answered is False
