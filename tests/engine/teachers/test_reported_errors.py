"""Errors under a status of 200, however they are written: what they are, what they cost, and their words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.teachers.failures import Failure
from engine.teachers.reported import reported, words_of
from tests.engine.teachers.conftest import ASK

pytestmark = pytest.mark.anyio


def e(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


CASES: list[tuple[object, int | None, str]] = [
    (e("Provider returned error", code=502, metadata={"raw": "upstream connect error: overloaded", "provider_name": "Targon"}), 502, "Provider returned error (upstream connect error: overloaded)"),
    (e("Provider returned error", code=429, metadata={"raw": '{"error": {"message": "slow down", "code": "x"}}'}), 429, "Provider returned error (slow down)"),
    (e("bad", code=400, details=[{"@type": "x", "description": "field a"}, {"reason": "field b"}]), 400, "bad (field a; field b)"),
    (e("slow", code="rate_limited", type="too_many_requests"), 429, "slow"),
    (e("x", type="overloaded_error"), 503, "x"),
    (e("x", type="api_error"), 500, "x"),
    (e("x", type="authentication_error"), 401, "x"),
    (e("x", type="invalid_request_error"), 400, "x"),
    (e("x", code="insufficient_quota"), 429, "x"),
    (e("x", code="1113"), 402, "x"),
    (e("concurrency", code="1302"), 429, "concurrency"),
    (e("Service is too busy"), 503, "Service is too busy"),
    ([e("quota", code=429, status="RESOURCE_EXHAUSTED")], 429, "quota"),
    ({"error": "rate limit exceeded"}, 429, "rate limit exceeded"),
    ({"error": "Unexpected endpoint or method. (POST /chat/completions)"}, 404, "Unexpected endpoint or method. (POST /chat/completions)"),
    ({"error": "no luck"}, None, "no luck"),
    ({"error": {"code": 402.0}}, 402, ""),
    ({"object": "error", "message": "maximum context length is 4096", "type": "BadRequestError", "code": 400}, 400, "maximum context length is 4096"),
    ({"type": "error", "message": "x", "code": 500}, 500, "x"),
    ({"choices": [{"error": {"code": 503, "message": "x"}, "finish_reason": "error"}]}, 503, "x"),
    ({"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, 402, "insufficient balance"),
    ({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, 429, "rate limit"),
    ({"success": False, "errors": [{"code": 10000, "message": "Authentication error"}], "result": None}, 401, "Authentication error"),
    ({"success": False, "errors": ["Worker unavailable"]}, 503, "Worker unavailable"),
    ({"detail": "Not authenticated"}, 401, "Not authenticated"),
    ({"detail": [{"loc": ["body", "seed"], "msg": "extra fields not permitted", "type": "extra"}]}, None, "body.seed: extra fields not permitted"),
    ({"code": 30001, "message": "balance is insufficient", "data": None}, 402, "balance is insufficient"),
    ({"code": 429, "msg": "x"}, 429, "x"),
]  # fmt: skip


@pytest.mark.parametrize(("payload", "status", "words"), CASES)
async def test_an_error_is_found_and_costs_nothing(faults, client, payload, status, words) -> None:
    found = reported(payload)
    assert found is not None
    assert (found.status, found.message) == (status, words)
    faults.says(json.dumps(payload))
    failure = await client.send(ASK, request_id="a", key=None)
    assert isinstance(failure, Failure)
    assert failure.charged == "none" and (words[:20] in failure.reason or status in (400, 402, 429))
    assert (failure.kind == "malformed") is (status is None) and bool(failure.raw) is (status is None)


@pytest.mark.parametrize(
    "payload",
    [
        {}, [], None, 7, "x", {"choices": []}, {"choices": None, "base_resp": {"status_code": 0, "status_msg": ""}},
        {"error": None}, {"error": {}}, {"code": 200, "message": "success", "data": {}}, {"code": "ok", "msg": "fine"},
        {"choices": [{"message": {"content": "4"}}]}, {"success": True},
    ],
)  # fmt: skip
async def test_what_reports_no_error_is_none(payload) -> None:
    assert reported(payload) is None


async def test_an_error_with_a_usage_is_booked_by_it_and_one_after_a_part_of_an_answer_is_unknown(
    faults, client
) -> None:
    usage = {"prompt_tokens": 40, "completion_tokens": 5}
    part = {
        "choices": [
            {"error": {"code": 502, "message": "x"}, "message": {"content": "We "}, "finish_reason": "error"}
        ]
    }
    for payload, charged in (
        ({**e("x", code=500), "usage": usage}, "usage"),
        ({**e("x", code=500), "usage": {"total_tokens": 0}}, "none"),
        ({**e("x", code=500), "usage": {"prompt_tokens": 0, "completion_tokens": 0}}, "none"),
        (part, "unknown"),
        ({**part, "usage": usage}, "usage"),
    ):
        faults.says(json.dumps(payload))
        failure = await client.send(ASK, request_id="a", key=None)
        assert isinstance(failure, Failure)
        assert (failure.kind, failure.charged) == ("transient", charged), payload
        assert bool(failure.raw) is (charged != "none")


async def test_an_error_beside_whole_choices_costs_no_answer(faults, client) -> None:
    choice = {"message": {"content": "4"}, "finish_reason": "stop"}
    faults.says(json.dumps({"choices": [choice], "error": {"message": "logging failed"}}))
    answer = await client.send(ASK, request_id="a", key=None)
    assert not isinstance(answer, Failure) and answer.completions[0].text == "4"


async def test_words_are_bounded_however_deep_they_are() -> None:
    deep: object = "x"
    for _ in range(50):
        deep = {"message": "m", "details": [deep, "y" * 5000]}
    assert len(words_of(deep)) <= 2000
    text = "[" * 500
    assert words_of({"message": text})
