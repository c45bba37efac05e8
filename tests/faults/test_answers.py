"""One daemon and thirty teachers, each with a fault of its own: what a person sees of each, and what holds.

All teachers are one server (`fault_server.py`); each has a plan of its own over the same four questions, one
request at a time. Three of the questions are answered in any case, so each fault also shows whether others
are held up by it.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.daemon.site import Daemon, coterie, daemon, query, wait_until
from tests.faults.certificates import self_signed
from tests.faults.fault_server import (
    ANSWER,
    GOOD,
    Asked,
    Behaviour,
    FaultServer,
    body,
    cut,
    fault_server,
    first,
    nth,
    on,
    refuses,
    says,
)


def bomb(size: int) -> bytes:
    """`size` MiB of zeros as gzip: a flushed block that repeats, for every worker imports this file."""
    zeros, compressor = bytes(1024 * 1024), zlib.compressobj(1, wbits=31)
    first, other = (compressor.compress(zeros) + compressor.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    rest = compressor.flush()  # its checksum is that of two blocks: who gets there has read them all
    return first + other * (size - 1) + rest


KEY = "sk-canary-0123456789abcdef"
BOMB = bomb(512)
DEEP = b"[" * 100_000 + b"]" * 100_000
RATE = "Rate limit reached."
QUESTIONS = ("two", "three", "four", "five")


async def resets(request: web.Request, asked: Asked) -> web.StreamResponse:
    return cut(request)


async def resets_inside(request: web.Request, asked: Asked) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"choices"')
    return cut(request)


async def hangs(request: web.Request, asked: Asked) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


async def drips(request: web.Request, asked: Asked) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(30):
        try:
            await response.write(b" ")
        except ConnectionError:
            break
        await asyncio.sleep(1)
    return response


def piece(text: str | None, finish: str | None = None) -> bytes:
    """An event of a stream."""
    delta = {} if text is None else {"content": text}
    chunk = {"id": "x", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def streams(*events: bytes) -> Behaviour:
    """Answers with these events, whatever was asked for."""

    async def answer(request: web.Request, asked: Asked) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for event in events:
            await response.write(event)
        return response

    return answer


async def demands_a_stream(request: web.Request, asked: Asked) -> web.StreamResponse:
    if not (await request.json()).get("stream"):
        return await refuses(400, "This model only supports stream mode.")(request, asked)
    return await WHOLE_STREAM(request, asked)


WHOLE_STREAM = streams(
    piece(ANSWER[:9]), b": keep-alive\n\n", piece(ANSWER[9:]), piece(None, "stop"), b"data: [DONE]\n\n"
)


async def late(request: web.Request, asked: Asked) -> web.StreamResponse:
    await asyncio.sleep(0.3)  # stands for a gateway's 60 s
    return web.Response(status=504, text="<html>504 Gateway Time-out</html>")


async def later_date(request: web.Request, asked: Asked) -> web.StreamResponse:
    return await refuses(429, RATE, Retry_After=formatdate(time.time() + 2.5, usegmt=True))(request, asked)


def usage(prompt: Any, completion: Any) -> dict[str, Any]:
    return body(usage={"prompt_tokens": prompt, "completion_tokens": completion})


@dataclass(frozen=True)
class Case:
    """A teacher and what must come of it: the samples' states, the teacher's state and words, the failed one's reason."""

    does: Behaviour
    stored: int = 4
    failed: int = 0
    state: str = "ready"
    reason: str = ""
    why: str = ""
    settings: str = ""
    holds: Callable[[list[Asked]], bool] = field(default=lambda asked: True)


def gap(at_least: float) -> Callable[[list[Asked]], bool]:
    """Nothing was sent in the time that the first answer told to wait."""
    return lambda asked: len(asked) == 5 and asked[1].at - asked[0].at >= at_least


def bad(what: str, raw: bytes | dict[str, Any] | Behaviour, **headers: str) -> Case:
    """One question is answered by something that is no completion; it is asked again once."""
    does = says(raw, headers=headers) if isinstance(raw, bytes | dict) else raw
    why = f"2 attempts failed; the last: {what}"
    return Case(on("two", does), stored=3, failed=1, why=why, settings="max_attempts = 2")


def lost(what: str, does: Behaviour) -> Case:
    """One question's answers never come; each may have been billed, so three are tried."""
    why = f"3 requests got no answer; the last: {what}"
    return Case(on("two", does), stored=3, failed=1, why=why, settings="timeout_seconds = 0.5")


def parked(reason: str, does: Behaviour, at_most: int = 1, stored: int = 0) -> Case:
    """The teacher is parked and asked no more."""
    return Case(does, stored=stored, state="parked", reason=reason, holds=lambda asked: len(asked) <= at_most)


MINUTE = {
    "error": {
        "code": 429,
        "status": "RESOURCE_EXHAUSTED",
        "message": "You exceeded your current quota, please check your plan and billing details.",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1s"}],
    }
}
SEED = {
    "detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]
}
REDIRECT = "redirected (307) to 127.0.0.1, which is not followed: set base_url to the URL of the API"
CASES: dict[str, Case] = {
    "wait-seconds": Case(first(1, refuses(429, RATE, Retry_After="1")), holds=gap(0.99)),
    "wait-date": Case(first(1, later_date), holds=gap(1.4)),
    "wait-ms": Case(first(1, refuses(429, RATE, retry_after_ms="700")), holds=gap(0.69)),
    "wait-negative": Case(first(1, refuses(429, RATE, Retry_After="-5")), holds=gap(0.0)),
    "wait-nan": Case(first(1, refuses(429, RATE, Retry_After="NaN")), holds=gap(0.0)),
    "wait-for-ever": Case(
        refuses(429, RATE, Retry_After="1e308"),
        stored=0,
        state="limited",
        reason="asked to wait; next request in 59m",
        holds=lambda asked: len(asked) == 1,
    ),
    "quota": parked(
        "quota or billing (429): You exceeded your current quota.",
        refuses(429, "You exceeded your current quota.", "insufficient_quota"),
    ),
    "wait-google": Case(first(1, says([MINUTE], 429)), holds=gap(0.99)),
    "setting": parked(
        'the model rejects seed (422); set omit = ["seed"]: seed: Extra inputs are not permitted',
        says(SEED, 422),
    ),
    "for-itself": Case(
        on("two", refuses(403, "you may not ask this")),
        stored=3,
        failed=1,
        why="refused 7 times while others were not; the last: access denied (403): you may not ask this",
        settings="max_attempts = 2",
    ),
    "one-401": Case(nth(2, refuses(401, "service unavailable")), holds=lambda asked: len(asked) == 5),
    "busy": Case(first(2, refuses(503, "maximum pending requests exceeded"))),
    "late": lost("no answer after 0.", late),
    "overload": Case(first(2, refuses(529, "Overloaded"))),
    "key-refused": parked(
        "the API key was rejected (401): Incorrect API key provided: [redacted]",
        refuses(401, f"Incorrect API key provided: {KEY}", "invalid_api_key"),
    ),
    "forbidden": parked("access denied (403): no", refuses(403, "no"), at_most=2),
    "too-long": Case(
        on("two", refuses(400, "at most 4096 tokens", "context_length_exceeded")),
        stored=3,
        failed=1,
        why="too long for the model's context (400): at most 4096 tokens",
    ),
    "reset-before": lost("connection lost before the response", resets),
    "reset-inside": lost("connection lost in the middle of the response", resets_inside),
    "hang": lost("timed out before the response was complete", hangs),
    "drip": lost("timed out before the response was complete", drips),
    "html": bad("the response is HTML, not JSON", b"<html><body>Bad gateway</body></html>"),
    "nothing": bad("the response is empty", b""),
    "null": bad("the response is null, not an object", b"null"),
    "no-choices": bad("the response has no choices", {"choices": []}),
    "nan": bad("NaN is not a JSON value", b'{"choices": NaN}'),
    "digits": bad("the response contains a number too long to parse", b'{"choices": ' + b"9" * 5000 + b"}"),
    "deep": bad("the response's JSON is nested too deeply", DEEP),
    "bad-utf8": bad("the response is not valid UTF-8", b'{"choices": "\xff\xfe"}'),
    "bomb": bad("the response is larger than 33554432 bytes", BOMB, **{"Content-Encoding": "gzip"}),
    "header": bad(
        "invalid HTTP response: Got more than 8190 bytes when reading: b'aaaaa",
        says(body(), headers={"X-Much": "a" * 100_000}),
    ),
    "surrogate": Case(says(ANSWER.join(('{"choices": [{"message": {"content": "\\ud800 ', '"}}]}')).replace("\n", "\\n").encode())),
    "length": Case(says(body("2 and 2 make", "length"))),
    "filter": Case(says(body("", "content_filter"))),
    "refusal": Case(says(body("", message={"content": None, "refusal": "I will not."}))),
    "usage-missing": Case(says({key: value for key, value in body().items() if key != "usage"})),
    "usage-negative": Case(says(usage(-5, 5))),
    "usage-absurd": Case(says(usage(1e300, 10**12))),
    "usage-large": Case(
        says(usage(9_000_000, 5)),
        stored=1,
        settings="usd_per_million_input = 1.0\nusd_per_million_output = 1.0\nbudget_usd = 5.0",
        holds=lambda asked: len(asked) == 1,
    ),
    "stream-unasked": Case(WHOLE_STREAM, holds=lambda asked: len(asked) == 4),
    "stream-demanded": Case(demands_a_stream, holds=lambda asked: len(asked) == 5),
    "stream-cut": lost("the stream ended before the answer was complete", streams(piece(ANSWER[:9]))),
    "broken-off": bad("the server broke the answer off: abort", body(ANSWER, "abort")),
    "empty-reply": bad("the reply is empty", body("", usage={"prompt_tokens": 40, "completion_tokens": 0})),
    "tool-calls": bad("a message has only tool calls", body("", "tool_calls", message={"tool_calls": [{"id": "1"}]})),
    "unknown-finish": Case(says(body(ANSWER, "pause_turn"))),
    "in-reasoning": Case(says(body("", message={"content": None, "reasoning_content": ANSWER}))),
    "error-in-200": bad("server error (502): Provider returned error (upstream connect error)", {"error": {"code": 502, "message": "Provider returned error", "metadata": {"raw": "upstream connect error"}}}),
    "error-without-status": bad("the response reports an error: no luck", {"error": "no luck"}),
    "wrong-path-200": parked("model or URL not found (404): Unexpected endpoint or method.", says({"error": "Unexpected endpoint or method."})),
    "echo": Case(says(body(f"My key is {KEY}.\nAnswer: 4"), headers={"X-Request-Id": f"r-{KEY}"})),
    "good": Case(GOOD, holds=lambda asked: len(asked) == 4),
}  # fmt: skip
ELSEWHERE = {
    "redirect": Case(GOOD, stored=0, state="parked", reason=REDIRECT, holds=lambda asked: len(asked) == 1),
    "certificate": Case(
        GOOD,
        stored=0,
        state="parked",
        reason="the server's TLS certificate is not trusted: [SSL: CERTIFICATE_VERIFY_FAILED]",
    ),
    "no-server": Case(
        GOOD, stored=0, state="cooling", reason="no connection to 127.0.0.1:9: Connection refused"
    ),
    "no-name": Case(
        GOOD,
        stored=0,
        state="cooling",
        reason="cannot resolve the host 'no-such-host.invalid'",
    ),
}
"""Cases whose addresses are others."""
EVERY = CASES | ELSEWHERE


@dataclass
class Night:
    """What was left when everything had come to its end."""

    folder: Path
    asked: FaultServer
    elsewhere: FaultServer
    secure: FaultServer
    status: dict[str, Any]
    screen: str
    peak_mb: float
    output: str

    def teacher(self, name: str) -> dict[str, Any]:
        (found,) = [each for each in self.status["teachers"] if each["name"] == name]
        return dict(found)


def configure(folder: Path, urls: dict[str, str]) -> None:
    (folder / "key").write_text(KEY)
    (folder / "key").chmod(0o600)
    rows = [
        {"id": word, "question": f"What is {word}?", "answer": "4", "split": "train"} for word in QUESTIONS
    ]
    (folder / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = '[tasks.sums]\nsource = "sums.jsonl"\nanswer = "number"\ndev = 0\n'
    for name, url in urls.items():
        text += (
            f'[teachers.{name}]\nbase_url = "{url}"\nmodel = "{name}"\nconcurrency = 1\napi_key_file = "key"\n'
            f'{EVERY[name].settings}\n[[plans]]\nname = "{name}"\nteachers = ["{name}"]\n'
            'strategy = "zero-shot-cot-chat"\nrationales = 1\n'
        )
    (folder / "config.toml").write_text(text)


def come_to_its_end(folder: Path) -> bool:
    """Whether every plan has what its case says."""
    rows = query(folder, "SELECT name, stored, failed FROM plan")
    return len(rows) == len(EVERY) and all(
        stored >= EVERY[name].stored and failed >= EVERY[name].failed for name, stored, failed in rows
    )


def beats(folder: Path) -> bool:
    """Whether the daemon's last beat shows every teacher as its case says."""
    return all(EVERY[each["name"]].state == each["state"] for each in status_of(folder)["teachers"])


def peak_mb(running: Daemon) -> float:
    for line in Path(f"/proc/{running.process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("answers")
    context = self_signed(folder)
    with fault_server() as asked, fault_server() as elsewhere, fault_server(context) as secure:
        asked.does = {name: case.does for name, case in CASES.items()}
        asked.does["redirect"] = says(b"", 307, {"Location": f"{elsewhere.url}/taken/v1/chat/completions"})
        urls = {name: f"{asked.url}/{name}/v1" for name in (*CASES, "redirect")}
        urls["certificate"] = f"{secure.url}/certificate/v1"
        urls["no-server"] = "http://127.0.0.1:9/v1"
        urls["no-name"] = "http://no-such-host.invalid/v1"
        configure(folder, urls)
        with daemon(folder, anew=True) as running:  # its memory is measured
            wait_until("every case is at its end", lambda: come_to_its_end(folder), 60)
            wait_until("a beat after that", lambda: beats(folder))
            status, screen, peak = status_of(folder), coterie(folder, "status").stdout, peak_mb(running)
            running.terminate()
            assert running.wait() == 130, running.output()
            yield Night(folder, asked, elsewhere, secure, status, screen, peak, running.output())


def status_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads(coterie(folder, "status", "--json").stdout))


@pytest.mark.parametrize("name", EVERY)
def test_each_fault_is_seen_and_holds_up_nobody(night: Night, name: str) -> None:
    case = EVERY[name]
    ended = query(night.folder, "SELECT stored, failed FROM plan WHERE name = ?", name)
    assert ended == [(case.stored, case.failed)]
    found = night.teacher(name)
    assert case.holds(night.asked.of(name)), night.asked.of(name)
    assert found["state"] == case.state
    assert found["reason"].startswith(case.reason) if case.reason else not found["reason"], found
    if case.why:
        reasons = query(
            night.folder,
            "SELECT s.reason FROM sample s JOIN plan p ON p.id = s.plan_id WHERE p.name = ? AND s.state = 'failed'",
            name,
        )
        assert len(reasons) == 1 and reasons[0][0].startswith(case.why), reasons
        assert f"({name}) was given up: {case.why}" in night.output


def of_plan(night: Night, name: str, what: str) -> list[tuple[Any, ...]]:
    """Columns of a plan's attempts."""
    return query(
        night.folder,
        f"SELECT {what} FROM attempt a JOIN sample s ON s.id = a.sample_id JOIN plan p ON p.id = s.plan_id"
        " LEFT JOIN completion c ON c.attempt_id = a.id WHERE p.name = ? ORDER BY a.id",
        name,
    )


def test_what_came_whole_is_kept_byte_for_byte_but_for_the_key(night: Night) -> None:
    kept = {
        request: zlib.decompress(raw)
        for request, raw in query(
            night.folder,
            "SELECT a.request_id, c.raw FROM attempt a JOIN completion c ON c.attempt_id = a.id",
        )
    }
    assert len(kept) > 100
    unread = {
        "header",
        "bomb",
        "error-in-200",
        "wrong-path-200",
    }  # not read whole, or an error that costs nothing
    for asked in night.asked.asked:
        sent = night.asked.answered.get(asked.request_id)
        if sent is not None and asked.teacher not in unread:
            assert kept[asked.request_id] == sent.replace(KEY.encode(), b"[redacted]"), asked


def test_the_key_goes_where_it_belongs_and_nowhere_else(night: Night) -> None:
    assert {asked.key for asked in night.asked.asked} == {KEY}
    assert night.elsewhere.asked == [] and night.secure.asked == []
    (night.folder / "key").unlink(missing_ok=True)
    for path in night.folder.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path
    samples = coterie(night.folder, "export", "samples").stdout
    assert KEY not in samples and "My key is [redacted]." in samples


def test_what_is_no_whole_answer_is_counted_apart_and_not_correct(night: Night) -> None:
    rows = [json.loads(line) for line in coterie(night.folder, "export", "samples").stdout.splitlines()]
    for name, flag, finish in (
        ("length", "truncated", "length"),
        ("filter", "content_filter", "content_filter"),
        ("refusal", "refusal", "refusal"),
    ):
        own = [row for row in rows if row["plan"] == name]
        assert [row["correct"] for row in own] == [False] * 4, own
        assert all(flag in row["flags"] and row["finish_reason"] == finish for row in own), own
    assert all(row["correct"] for row in rows if row["plan"] in ("good", "echo", "surrogate"))


def test_usage_that_cannot_be_is_estimated_and_one_that_is_large_ends_at_the_cap(night: Night) -> None:
    for name in ("usage-missing", "usage-negative", "usage-absurd"):
        assert of_plan(night, name, "a.estimated, a.prompt_tokens < 200") == [(1, 1)] * 4
    assert of_plan(night, "usage-large", "a.outcome") == [("ok",), *[("released",)] * 3]
    used_up = "the teacher's budget (teachers.usage-large.budget_usd) is used up: no new requests are sent"
    assert used_up in night.output
    assert "budget" not in night.teacher("good")["reason"]


def test_faults_that_are_not_the_samples_use_up_no_attempt(night: Night) -> None:
    whole = (
        "wait-for-ever",
        "quota",
        "key-refused",
        "forbidden",
        "setting",
        "one-401",
        "redirect",
        "certificate",
    )
    for name in (*whole, "no-server", "no-name"):
        used = query(
            night.folder,
            "SELECT sum(s.attempts), sum(s.unknowns) FROM sample s JOIN plan p ON p.id = s.plan_id WHERE p.name = ?",
            name,
        )
        assert used == [(0, 0)], name


def test_a_person_is_told_in_status_and_log(night: Night) -> None:
    for name in ("quota", "key-refused", "forbidden", "setting", "redirect", "certificate"):
        assert f"! teacher {name} is parked: {EVERY[name].reason}" in night.screen
        assert f"{name} is parked: {EVERY[name].reason}" in night.output
    for name in ("no-server", "no-name"):
        assert f"! teacher {name} is failing: {EVERY[name].reason}" in night.screen
        assert f"{name} keeps failing: {EVERY[name].reason}" in night.output
    assert KEY not in night.screen + night.output
    assert "Traceback" not in night.output


def test_a_bomb_takes_no_memory(night: Night) -> None:
    assert 0 < night.peak_mb < 260, f"{night.peak_mb:.0f} MB for an answer of 512"


def test_streams_are_stored_as_answers_in_one_piece(night: Night) -> None:
    for name in ("stream-unasked", "stream-demanded"):
        kept = [json.loads(zlib.decompress(raw)) for (raw,) in of_plan(night, name, "c.raw")]
        assert [each["choices"][0]["message"]["content"] for each in kept] == [ANSWER] * 4
    cut = [
        json.loads(zlib.decompress(raw))
        for raw, outcome in of_plan(night, "stream-cut", "c.raw, a.outcome")
        if outcome == "unknown"
    ]
    assert [each["choices"][0]["message"]["content"] for each in cut] == [ANSWER[:9]] * 3


def test_what_may_be_no_whole_answer_is_flagged_and_what_is_none_is_booked_by_its_usage(night: Night) -> None:
    flags = dict(
        query(
            night.folder,
            "SELECT DISTINCT p.name, s.flags FROM sample s JOIN plan p ON p.id = s.plan_id"
            " WHERE p.name IN ('unknown-finish', 'in-reasoning') AND s.verdict = 1",
        )
    )
    assert flags == {"unknown-finish": '["unknown_finish"]', "in-reasoning": '["answer_in_reasoning"]'}
    for name, tokens in (
        ("broken-off", (40, 10)),
        ("tool-calls", (40, 10)),
        ("empty-reply", (40, 0)),
        ("error-in-200", (0, 0)),
    ):
        rows = of_plan(night, name, "a.outcome, a.prompt_tokens, a.completion_tokens, a.estimated")
        failed = [row[1:] for row in rows if row[0] != "ok"]
        assert failed == [(*tokens, 0)] * 2, name
