from __future__ import annotations

import errno
import json
import os

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict

from engine.teachers.classify import classify_exception, classify_status

WALL = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def classify(status, body=b"", secrets=(), **headers):
    raw = json.dumps(body).encode() if isinstance(body, dict | list) else body
    named = CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()})
    return classify_status(status, named, raw, wall=WALL, secrets=secrets)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry_After": "5"}, 5.0),
        ({"Retry_After": "0.25"}, 0.25),
        ({"retry_after_ms": "1500"}, 1.5),
        ({"retry_after_ms": "1500", "Retry_After": "9"}, 1.5),
        ({"retry_after_ms": "nan", "Retry_After": "9"}, 9.0),
        ({"Retry_After": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"Retry_After": "Tue, 14 Nov 2023 22:00:00 GMT"}, 0.0),
        ({"Retry_After": "Fri, 31 Dec 9999 23:59:59 GMT"}, 3600.0),
        ({"Retry_After": "-3"}, None),
        ({"Retry_After": "NaN"}, None),
        ({"Retry_After": "inf"}, None),
        ({"Retry_After": "1e308"}, 3600.0),
        ({"Retry_After": "1e999"}, None),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": ""}, None),
        ({"Retry_After": "9" * 5000}, None),
        ({"Retry_After": "Mon, 99 Zzz 2023 99:99:99 GMT"}, None),
    ],
)
def test_retry_after_in_all_its_forms(headers, seconds) -> None:
    failure = classify(429, **headers)
    assert failure.kind == "limited"
    assert failure.retry_after_s == seconds


def test_a_date_is_meant_by_the_clock_of_the_server_that_sends_it() -> None:
    day_later = "Wed, 15 Nov 2023 22:13:20 GMT"
    failure = classify(429, Retry_After="Wed, 15 Nov 2023 22:13:50 GMT", Date=day_later)
    assert failure.retry_after_s == 30.0
    reset = classify(429, anthropic_ratelimit_requests_reset="2023-11-15T22:13:27Z", Date=day_later).headers
    assert reset is not None and reset.requests_reset_s == 7.0
    unix = classify(429, x_ratelimit_reset_requests="1700086409", Date=day_later).headers
    assert unix is not None and unix.requests_reset_s == 9.0
    nonsense = classify(429, Retry_After="Tue, 14 Nov 2023 22:13:50 GMT", Date="yesterday")
    assert nonsense.retry_after_s == 30.0


def test_a_wait_in_words_is_read_where_no_header_helps() -> None:
    body = {"error": {"message": "Rate limit reached. Please try again in 350ms."}}
    assert classify(429, body).retry_after_s == pytest.approx(0.35)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("8m38.4s", 518.4),
        ("1h2m3s", 3600.0),
        ("20s", 20.0),
        ("7 seconds", 7.0),
        ("1 minute and 5 seconds", 65.0),
        ("250 milliseconds", 0.25),
        ("a while", None),
    ],
)
def test_a_wait_in_words_is_read_to_its_end(words, seconds) -> None:
    body = {"error": {"message": f"Rate limit reached. Please try again in {words}."}}
    assert classify(429, body).retry_after_s == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("message", "daily", "seconds"),
    [
        ("on requests per day (RPD): Limit 200, Used 200. Please try again in 7h12m0s.", True, 25_920.0),
        ("on tokens per day (TPD): Limit 200. Please try again in 9d.", True, 86_400.0),
        ("daily limit reached", True, None),
        ("on requests per min (RPM): Limit 3. Please try again in 7h12m0s.", False, 3600.0),
    ],
)
def test_a_limit_a_day_is_told_apart_and_waited_for(message, daily, seconds) -> None:
    failure = classify(429, {"error": {"message": f"Rate limit reached for gpt {message}"}})
    assert (failure.kind, failure.daily, failure.retry_after_s) == ("limited", daily, seconds)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b"", "parked"),
        (402, b"", "parked"),
        (403, b"", "parked"),
        (404, b"", "parked"),
        (404, b'{"error": {"message": "No question", "code": "unknown_question"}}', "permanent"),
        (
            429,
            {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}},
            "parked",
        ),
        (429, {"error": {"type": "billing_not_active", "message": "inactive"}}, "parked"),
        (429, {"error": {"type": "enforced_spend_limit_reached"}}, "parked"),
        (429, {"error": "slow down"}, "limited"),
        (429, b"<html>Too Many Requests</html>", "limited"),
        (400, {"error": {"message": "Your credit balance is too low"}}, "parked"),
        (400, [{"error": {"status": "INVALID_ARGUMENT", "message": "API key not valid."}}], "parked"),
        (400, {"error": {"code": "context_length_exceeded", "message": "maximum context"}}, "permanent"),
        (400, {"error": {"code": "content_filter", "message": "policy"}}, "permanent"),
        (403, {"error": {"message": "Your input was flagged by moderation"}}, "permanent"),
        (400, b"", "permanent"),
        (413, b"", "permanent"),
        (422, {"detail": [{"msg": "field required"}]}, "permanent"),
        (408, b"", "transient"),
        (409, b"", "transient"),
        (500, b"<html>", "transient"),
        (503, {"error": {"message": "overloaded"}}, "limited"),
        (503, {"error": "server busy, please try again.  maximum pending requests exceeded"}, "limited"),
        (503, {"error": {"message": "The service is temporarily unavailable"}}, "transient"),
        (503, {"error": {"message": "down for maintenance"}}, "transient"),
        (529, b"", "transient"),
        (302, b"", "parked"),
    ],
)
def test_the_table_of_classes(status, body, kind) -> None:
    failure = classify(status, body)
    assert failure.kind == kind
    assert failure.status == status
    assert str(status) in failure.reason


@pytest.mark.parametrize(
    ("message", "scope"),
    [
        ("Rate limit reached for gpt on tokens per min (TPM): Limit 30000", "tokens"),
        ("Rate limit reached for requests per min (RPM)", "requests"),
        ("Rate limit reached for gpt on requests per day (RPD): Limit 10000, Used 10000", "requests"),
        ("Rate limit reached for gpt on tokens per day (TPD): Limit 90000", "tokens"),
        ("Too many concurrent requests", "concurrency"),
        ("slow down", None),
    ],
)
def test_which_limit_was_met_is_read_from_the_words(message, scope) -> None:
    assert classify(429, {"error": {"message": message}}).scope == scope


def test_reasons_are_one_safe_short_line_without_secrets() -> None:
    body = {"error": {"message": "bad\x1b]0;owned\x07 \u202e key sk-secret-1 \n" + "x" * 5000}}
    failure = classify(400, body, secrets=("sk-secret-1",))
    assert "\x1b" not in failure.reason
    assert "\u202e" not in failure.reason
    assert "\n" not in failure.reason
    assert "sk-secret-1" not in failure.reason
    assert len(failure.reason) <= 200


def test_headers_of_both_kinds_are_read() -> None:
    openai = classify(
        429,
        x_ratelimit_limit_requests="60",
        x_ratelimit_remaining_requests="0",
        x_ratelimit_reset_requests="6m0s",
    ).headers
    assert openai is not None
    assert (openai.requests_limit, openai.requests_remaining, openai.requests_reset_s) == (60, 0, 360)
    anthropic = classify(
        429,
        anthropic_ratelimit_tokens_limit="40000",
        anthropic_ratelimit_tokens_remaining="-1",
        anthropic_ratelimit_tokens_reset="2023-11-14T22:13:30Z",
    ).headers
    assert anthropic is not None
    assert (anthropic.tokens_limit, anthropic.tokens_remaining, anthropic.tokens_reset_s) == (40000, None, 10)


def test_headers_of_gateways_are_read_as_far_as_they_say_what_they_count() -> None:
    mistral = classify(
        429,
        x_ratelimit_limit_req_minute="720",
        x_ratelimit_remaining_req_minute="717",
        x_ratelimit_limit_tokens_minute="500000",
        x_ratelimit_remaining_tokens_minute="0",
        x_ratelimit_tokens_query_cost="52",
    ).headers
    assert mistral is not None
    assert (mistral.requests_limit, mistral.requests_remaining) == (720, 717)
    assert (mistral.tokens_limit, mistral.tokens_remaining, mistral.tokens_reset_s) == (500000, 0, None)
    day_later = "Wed, 15 Nov 2023 22:13:20 GMT"
    for form in ("x_ratelimit", "ratelimit"):
        for reset in ("1700086409000", "1700086409", "9"):
            headers = {f"{form}_limit": "20", f"{form}_remaining": "0", f"{form}_reset": reset}
            read = classify(429, Date=day_later, **headers).headers
            assert read is not None
            assert (read.requests_limit, read.requests_remaining, read.requests_reset_s) == (None, 0, 9)
        lasting = classify(
            429, **{f"{form}_remaining": "0", f"{form}_reset": "60000"}
        ).headers  # milliseconds?
        assert lasting is not None and lasting.requests_reset_s == 60
        assert (
            classify(429, **{f"{form}_limit": "20", f"{form}_remaining": "7", f"{form}_reset": "9"}).headers
            is None
        )


def anthropic(kind: str, message: str, **details: str) -> dict[str, object]:
    error = {"type": kind, "message": message, **({"details": details} if details else {})}
    return {"type": "error", "error": error, "request_id": "req_1"}


@pytest.mark.parametrize(
    ("status", "body", "kind", "scope"),
    [
        (401, anthropic("authentication_error", "invalid x-api-key"), "parked", None),
        (402, anthropic("billing_error", "There is an issue with your billing."), "parked", None),
        (403, anthropic("permission_error", "Your API key does not have permission."), "parked", None),
        (404, anthropic("not_found_error", "model: claude-9"), "parked", None),
        (400, anthropic("invalid_request_error", "Your credit balance is too low to access"), "parked", None),
        (400, anthropic("invalid_request_error", "You have reached your specified API usage limits. You will "
         "regain access on 2026-12-01 at 00:00 UTC."), "parked", None),
        (400, anthropic("invalid_request_error", "This organization has been disabled."), "parked", None),
        (400, anthropic("invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
         "permanent", None),
        (400, anthropic("invalid_request_error", "input length and `max_tokens` exceed context limit: 9 + 9 > 10"),
         "permanent", None),
        (400, anthropic("invalid_request_error", "Output blocked by content filtering policy"), "permanent", None),
        (400, anthropic("invalid_request_error", "messages: at least one message is required"), "permanent", None),
        (413, anthropic("request_too_large", "Request exceeds the maximum size"), "permanent", None),
        (429, anthropic("rate_limit_error", "This request would exceed your organization's rate limit of 40,000 "
         "input tokens per minute"), "limited", "input"),
        (429, anthropic("rate_limit_error", "This request would exceed your organization's rate limit of 8,000 "
         "output tokens per minute"), "limited", "output"),
        (429, anthropic("rate_limit_error", "Number of requests has exceeded your per-minute rate limit"),
         "limited", "requests"),
        (429, anthropic("rate_limit_error", "Number of request tokens has exceeded your per-minute rate limit"),
         "limited", "tokens"),
        (429, anthropic("rate_limit_error", "Number of concurrent connections has exceeded your rate limit"),
         "limited", "concurrency"),
        (429, anthropic("rate_limit_error", "Limit reached.", error_code="enforced_spend_limit_reached"),
         "parked", None),
        (429, anthropic("rate_limit_error", "Slow down.", error_code="ramp_limit_exceeded"), "limited", None),
        (500, anthropic("api_error", "Internal server error"), "transient", None),
        (504, anthropic("timeout_error", "Timed out"), "transient", None),
        (529, anthropic("overloaded_error", "Overloaded"), "limited", "concurrency"),
    ],
)  # fmt: skip
def test_errors_of_anthropic(status, body, kind, scope) -> None:
    failure = classify(status, body)
    assert (failure.kind, failure.scope) == (kind, scope), failure.reason


@pytest.mark.parametrize(
    ("status", "body", "kind", "wait"),
    [
        (429, {"error": {"code": "429", "message": "Requests to the ChatCompletions_Create Operation have exceeded "
         "token rate limit of your current pricing tier. Please retry after 7 seconds."}}, "limited", 7),
        (429, {"error": {"message": "Rate limit reached on requests per min. Please try again in 200 milliseconds. "
         "Visit https://platform.openai.com/account/billing to raise it."}}, "limited", 0.2),
        (401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key"}}, "parked", None),
        (404, {"error": {"code": "DeploymentNotFound", "message": "no such deployment"}}, "parked", None),
        (400, {"error": {"code": "invalid_prompt", "message": "Invalid prompt: your prompt was flagged"}},
         "permanent", None),
        (400, {"error": {"code": "content_filter", "message": "The response was filtered"}}, "permanent", None),
        (407, b"", "parked", None),
    ],
)  # fmt: skip
def test_errors_of_azure_and_of_responses(status, body, kind, wait) -> None:
    failure = classify(status, body)
    assert (failure.kind, failure.retry_after_s) == (kind, wait)


@pytest.mark.parametrize(
    "message",
    [
        "`temperature` is deprecated for this model.",
        "temperature: Extra inputs are not permitted",
        "`temperature` and `top_p` cannot both be specified for this model.",
        "Unsupported parameter: 'temperature' is not supported with this model.",
        "Unsupported value: 'temperature' does not support 0.7 with this model.",
    ],
)
def test_a_refused_parameter_is_told_before_every_sample_fails(message) -> None:
    failure = classify(400, {"error": {"type": "invalid_request_error", "message": message}})
    assert failure.kind == "parked"
    assert 'omit = ["temperature"]' in failure.reason


def test_anthropic_s_limits_of_prompt_and_completion_tokens() -> None:
    apart = {
        "input_tokens_limit": "40000", "input_tokens_remaining": "12000",
        "input_tokens_reset": "2023-11-14T22:13:40Z",
        "output_tokens_limit": "8000", "output_tokens_remaining": "5000",
        "output_tokens_reset": "2023-11-14T22:13:30Z",
    }  # fmt: skip
    apart |= {"tokens_limit": "48000", "tokens_remaining": "-1", "requests_remaining": "9"}
    named = {f"anthropic_ratelimit_{name}": value for name, value in apart.items()}
    read = classify(429, **named).headers
    assert read is not None
    assert (read.input_limit, read.input_remaining, read.input_reset_s) == (40000, 12000, 20)
    assert (read.output_limit, read.output_remaining, read.output_reset_s) == (8000, 5000, 10)
    assert (read.tokens_limit, read.tokens_remaining, read.requests_remaining) == (48000, None, 9)
    partly = classify(429, anthropic_ratelimit_output_tokens_remaining="0").headers
    assert partly is not None
    assert (partly.output_limit, partly.output_remaining, partly.output_reset_s) == (None, 0, None)


HOST = ConnectionKey("teacher.example", 443, True, True, None, None, None)


@pytest.mark.parametrize(
    ("code", "reason", "scope"),
    [
        (errno.EMFILE, "no connection: too many open files (ulimit -n)", "concurrency"),
        (errno.ENFILE, "no connection: too many open files (ulimit -n)", "concurrency"),
        (errno.ECONNREFUSED, "no connection to teacher.example:443: Connection refused", None),
        (errno.ENETUNREACH, "no connection to teacher.example:443: Network is unreachable", None),
    ],
)
def test_too_many_open_files_ask_for_fewer_at_once(code, reason, scope) -> None:
    """The event loop's own words ("Connect call failed") say nothing to a person."""
    error = aiohttp.ClientConnectorError(HOST, OSError(code, f"Connect call failed ({os.strerror(code)})"))
    failure = classify_exception(error)
    assert (failure.kind, failure.reached, failure.reason, failure.scope) == (
        "transient",
        False,
        reason,
        scope,
    )
