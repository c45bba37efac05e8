"""Refusals as providers word them: what they suggest, how long to wait, and what the reader is told to write."""

from __future__ import annotations

import json
from typing import Any

import pytest
from multidict import CIMultiDict

from engine.teachers.classify import classify_reported, classify_status
from engine.teachers.failures import Failure


def error(message: Any, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


def classify(status: int, body: Any, **headers: str) -> Failure:
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return classify_status(status, named, raw, wall=0.0, secrets=("sk-secret",))


def google(*violations: str, delay: Any = None, message: str = "Quota exceeded") -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"description": "billing"}]},
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": each} for each in violations]},
    ]  # fmt: skip
    if delay is not None:
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    return [error(message, code=429, status="RESOURCE_EXHAUSTED", details=details)]


QUOTA = "You exceeded your current quota, please check your plan and billing details."
LARGE = "Request too large for gpt-4.1 on tokens per min (TPM): Limit 30000, Requested 40268."


@pytest.mark.parametrize(
    ("status", "body", "kind", "blame"),
    [
        (429, error(LARGE, type="tokens", code="rate_limit_exceeded"), "permanent", "request"),
        (429, error("on TPM: Limit 30,000, Used 29,000, Requested 2,000."), "limited", ""),
        (429, error("on TPM: Limit 30,000, Used 9, Requested 40,000."), "permanent", "request"),
        (429, error("Extra usage is required for long context requests.", type="rate_limit_error"), "permanent", "request"),
        (413, error("Request too large on tokens per minute (TPM): Limit 6000, Requested 8000. Upgrade at x/billing"),
         "permanent", "request"),
        (429, google("GenerateRequestsPerMinutePerProject", delay="5s", message=QUOTA), "limited", ""),
        (429, google("GenerateRequestsPerMinutePerProject", message=QUOTA), "limited", ""),
        (429, [error(f"{QUOTA} Please retry in 34.07s.", code=429)], "limited", ""),
        (429, [error(QUOTA, code=429, status="RESOURCE_EXHAUSTED")], "limited", ""),
        (429, error(QUOTA), "parked", "money"),
        (429, error(QUOTA, code="insufficient_quota"), "parked", "money"),
        (429, error("Allocated quota exceeded: requests per minute", code="insufficient_quota"), "limited", ""),
        (429, error("Resource exhausted. Please try again later.", status="RESOURCE_EXHAUSTED"), "limited", ""),
        (429, error("Your account org-x is suspended, please check your plan and billing details",
                    type="exceeded_current_quota_error"), "parked", "money"),
        (429, error("余额不足或无可用资源包,请充值。", code="1113"), "parked", "money"),
        (429, error("x", code="1302"), "limited", ""),
        (429, error("x", code="1112"), "parked", "key"),
        (402, error("can only afford 2431.", code=402), "parked", "money"),
        (403, {"code": 30001, "message": "Sorry, your account balance is insufficient", "data": None}, "parked", "money"),
        (400, {"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing."},
         "parked", "money"),
        (403, error("The request failed because your account has an overdue balance.", code="AccountOverdueError"),
         "parked", "money"),
        (403, {"code": 403, "reason": "NOT_ENOUGH_BALANCE", "message": "x"}, "parked", "money"),
        (403, error("x", code="insufficient_user_quota", type="new_api_error"), "parked", "money"),
        (429, error("prompt: how does my phone's billing quota work? Retry in 3s", code="rate_limited"), "limited", ""),
        (422, {"detail": [{"loc": ["body", "messages", 0], "msg": "bad", "input": "billing quota payment required"}]},
         "permanent", ""),
        (400, error("Failed to call a function", code="tool_use_failed", failed_generation="billing"), "transient", "sample"),
        (400, error("Tool choice is none, but model called a tool", code="tool_use_failed"), "transient", "sample"),
        (400, error("Failed to generate JSON", code="json_validate_failed"), "transient", "sample"),
        (400, error("Could not finish the message because max_tokens or model output limit was reached."),
         "transient", "sample"),
        (424, {"error": "Request failed during generation", "error_type": "generation"}, "transient", ""),
        (498, error("Flex tier capacity exceeded.", code="capacity_exceeded"), "transient", ""),
        (499, [error("The operation was cancelled.", code=499, status="CANCELLED")], "transient", ""),
        (425, "", "transient", ""),
        (503, {"error": "server busy, please try again.  maximum pending requests exceeded"}, "limited", ""),
        (529, error("Overloaded"), "limited", ""),
        (503, error("The queue is full"), "limited", ""),
        (503, error("no capacity left"), "limited", ""),
        (500, error("x", code="model_overloaded"), "limited", ""),
        (503, "<html><title>busy</title></html>", "limited", ""),
        (503, "<html><title>503</title><body>We are busy</body></html>", "transient", ""),
        (500, error("EngineCore encountered an issue.", code=500), "transient", ""),
        (403, {"code": "The caller does not have permission", "error": "Content violates usage guidelines."},
         "permanent", "request"),
        (403, error("Your input was flagged for violence.", code=403), "permanent", "request"),
        (400, error("Input data may contain inappropriate content.", code="data_inspection_failed"), "permanent", "request"),
        (400, error("x", code="1301"), "permanent", "request"),
        (400, error("(4390 tokens) exceeds the available context size", type="exceed_context_size_error"),
         "permanent", "request"),
        (400, [error("The input token count (1091639) exceeds the maximum number of tokens allowed (1048576).")],
         "permanent", "request"),
        (422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096", "error_type": "validation"},
         "permanent", "request"),
        (400, [error("User location is not supported for the API use.", status="FAILED_PRECONDITION")], "parked", "key"),
        (400, error("Your organization must be verified to generate reasoning summaries."), "parked", "key"),
        (403, "<!DOCTYPE html><html><head><title>Just a moment...</title>", "parked", "key"),
        (401, error("no"), "parked", "key"),
        (404, error("no such model", code="model_not_found"), "parked", "key"),
        (405, "", "parked", "place"),
        (302, "", "parked", "place"),
        (400, error("something else"), "permanent", ""),
    ],
)  # fmt: skip
def test_what_a_refusal_suggests(status: int, body: Any, kind: str, blame: str) -> None:
    failure = classify(status, body)
    assert (failure.kind, failure.blame) == (kind, blame), failure.reason


@pytest.mark.parametrize(
    ("status", "body", "line"),
    [
        (422, {"message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}},
         'omit = ["seed"]'),
        (422, {"detail": [{"loc": ["body", "top_p"], "msg": "ensure this value is less than 1"}]}, 'omit = ["top_p"]'),
        (400, [error('Invalid JSON payload received. Unknown name "seed": Cannot find field.')], 'omit = ["seed"]'),
        (400, error("invalid temperature: only 1 is allowed for this model"), "temperature = 1"),
        (400, error("`temperature` may only be set to 1 when thinking is enabled."), "temperature = 1"),
        (400, error("Unsupported value: 'temperature' does not support 0.7. Only the default (1) value is supported.",
                    param="temperature"), "temperature = 1"),
        (400, error("`temperature` is deprecated for this model."), 'omit = ["temperature"]'),
        (400, error("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled."), 'omit = ["top_p"]'),
        (400, {"code": "Client specified an invalid argument", "error": "Argument not supported on this model: stop"},
         'omit = ["stop"]'),
        (400, error("stop_sequences: Extra inputs are not permitted"), 'omit = ["stop"]'),
        (400, error("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens'.",
                    param="max_tokens"), 'max_tokens_field = "max_completion_tokens"'),
        (400, error("Unrecognized request argument supplied: max_completion_tokens"), 'max_tokens_field = "max_tokens"'),
        (400, error("max_tokens is too large: 32000. This model supports at most 16384 completion tokens.", param="max_tokens"),
         "lower max_tokens of the plan to 16384"),
        (400, error("'n' : number must be at most 1"), "per_request = 1"),
        (400, error("Only n=1 is supported", param="n"), "per_request = 1"),
        (403, error("You are not allowed to request logprobs from this model", param="logprobs"), "logprobs = 0"),
        (400, error("Unrecognized request argument supplied: stream_options"), "stream = false"),
        (400, error("This model only supports stream mode"), "stream = true"),
        (400, {"error": "Model grok-4 does not support parameter presencePenalty."}, '"presencePenalty" from extra_body'),
        (400, error("unknown field", param="reasoning_effort"), '"reasoning_effort" from extra_body'),
    ],
)  # fmt: skip
def test_a_refused_setting_says_the_line_to_write(status: int, body: Any, line: str) -> None:
    failure = classify(status, body)
    assert (failure.kind, failure.blame) == ("parked", "setting"), failure.reason
    assert line in failure.reason


@pytest.mark.parametrize(
    "body",
    [
        error("too long", param="messages"),
        error("bad", param="messages.0.content"),
        {"detail": [{"loc": ["body", "messages", 0, "content"], "msg": "field required"}]},
        error("input length and `max_tokens` exceed context limit: 9 + 9 > 10"),
    ],
)
def test_a_refused_prompt_is_no_setting(body: Any) -> None:
    assert classify(400, body).kind == "permanent"


@pytest.mark.parametrize(
    ("body", "headers", "wait", "daily"),
    [
        (google("GenerateRequestsPerMinutePerProject", delay="5s"), {}, 5.0, False),
        (google("GenerateRequestsPerMinutePerProject", delay={"seconds": 7}), {}, 7.0, False),
        (google("GenerateRequestsPerMinutePerProject", delay="34.074s"), {"Retry_After": "9"}, 9.0, False),
        (google("GenerateRequestsPerDayPerProject", delay="37s"), {}, None, True),
        (error("Please retry in 5.2s."), {}, 5.2, False),
        (error("Please wait 18 seconds before retrying."), {}, 18.0, False),
        (error("Try again after 18 seconds"), {}, 18.0, False),
        (error("Limited to one request every 10 s"), {}, 10.0, False),
        (error("Rate limit of 150 per 86400s exceeded. Please wait 43200 seconds before retrying."), {}, 43200.0, True),
        (error("slow", retry_after=3), {}, 3.0, False),
        (error("free-models-per-day", code=429, metadata={"headers": {"X-RateLimit-Reset": "3600000000000"}}), {}, 86400.0, True),
        (error("free-models-per-min", code=429, metadata={"headers": {"Retry-After": "12"}}), {}, 12.0, False),
        (error("how many eggs does a hen lay a day? limit reached"), {}, None, False),
    ],
)  # fmt: skip
def test_how_long_a_limit_says_to_wait(body: Any, headers: Any, wait: float | None, daily: bool) -> None:
    failure = classify(429, body, **headers)
    assert (failure.kind, failure.retry_after_s, failure.daily) == ("limited", wait, daily)


def test_seconds_in_the_words_of_a_server_error_are_no_wait() -> None:
    assert classify(500, error("the worker died after 30 s")).retry_after_s is None
    assert classify(503, error("Model is loading, try again in 20 s")).retry_after_s == 20.0


@pytest.mark.parametrize(
    ("body", "kind", "reason"),
    [
        ({"error": "rate limit exceeded"}, "limited", "rate limited (429)"),
        ({"object": "error", "message": "maximum context length is 4096", "code": 400}, "permanent", "too long"),
        (error("slow", code="rate_limited"), "limited", "rate limited (429): slow"),
        ({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, "limited", "rate limited"),
        ({"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, "parked",
         "quota or billing (429): insufficient balance"),
        ({"choices": [], "base_resp": {"status_code": 1026, "status_msg": "x"}}, "permanent", "content filter"),
        ({"choices": [], "base_resp": {"status_code": 1027, "status_msg": "x"}}, "transient", "server error (424)"),
        (error("x", code="1302"), "limited", "busy (503)"),
        ({"success": False, "errors": [{"code": 10000, "message": "Authentication error"}]}, "parked", "key was rejected"),
        ({"detail": "Not authenticated"}, "parked", "the API key was rejected (401): Not authenticated"),
        ({"choices": [{"error": {"code": 502, "message": "upstream died"}}]}, "transient", "server error (502)"),
        ({"choices": None, "error": {"message": "no idea"}}, "malformed", "the response reports an error: no idea"),
    ],
)  # fmt: skip
def test_an_error_under_a_200_is_classed_by_its_code(body: Any, kind: str, reason: str) -> None:
    failure = classify_reported(CIMultiDict(), json.dumps(body).encode(), wall=0.0)
    assert failure is not None
    assert (failure.kind, failure.charged) == (kind, "none")
    assert reason in failure.reason


@pytest.mark.parametrize(
    "body",
    [
        {"choices": []},
        {"choices": [{"message": {"content": "error"}}], "base_resp": {"status_code": 0}},
        {"output": 7},
        [],
    ],
)
def test_what_is_no_error_is_left_to_others(body: Any) -> None:
    assert classify_reported(CIMultiDict(), json.dumps(body).encode(), wall=0.0) is None


def test_a_reason_shows_the_words_of_the_provider_behind_a_gateway() -> None:
    behind = {"raw": "z-ai/glm is rate-limited \x1b[31mupstream, key sk-secret", "provider_name": "BaseTen"}
    reason = classify(429, error("Provider returned error", metadata=behind)).reason
    assert "Provider returned error (z-ai/glm is rate-limited" in reason and "; BaseTen)" in reason
    assert "sk-secret" not in reason and "\x1b" not in reason
    nested = {"raw": json.dumps(error("max context reached"))}
    assert "max context reached" in classify(400, error("Provider returned error", metadata=nested)).reason
    listed = classify(500, error("failed", details=[{"reason": "OOM", "message": "out of memory"}])).reason
    assert "failed (out of memory)" in listed


@pytest.mark.parametrize(
    "body",
    [
        '{"error": {"details": [null, 7, {"violations": 7}], "metadata": {"raw": 7, "headers": 7}, "code": {}}}',
        '{"error": {"error": {"error": {"error": {"error": {"error": "deep"}}}}}}',
        '{"error": [], "errors": [[]], "choices": [7], "base_resp": []}',
        '[[]]',
        '"text"',
        '{"detail": [{"loc": [], "msg": 7}], "retry_after": "NaN"}',
    ],
)  # fmt: skip
def test_bodies_of_any_form_are_read(body: str) -> None:
    for status in (400, 403, 429, 500):
        assert classify(status, body).reason
    classify_reported(CIMultiDict(), body.encode(), wall=0.0)


def test_a_code_is_surer_than_words_that_may_repeat_a_prompt() -> None:
    assert classify(429, error(QUOTA, code="insufficient_quota")).coded
    assert not classify(429, error("Invalid: how does billing work?")).coded
    assert not classify(400, error("Invalid: explain my credit balance")).coded
    assert classify(400, error("x", code="invalid_api_key")).coded
