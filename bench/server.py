"""The benches' teacher: a server that answers chat completions immediately, after a delay, or within limits, streamed if asked.

It can also refuse by chance, or work on a few at once while the others wait.
It is a bare asyncio protocol, because it shares the machine with the client and must use little CPU. Its limits are strict. It
counts accepted and refused requests: `GET /stats`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

TEXT = (
    "Let us go through it step by step. "
    + "The first number is added to the second, which gives a third. " * 8
).strip() + "\nAnswer: 42"


_STREAMED = re.compile(rb'"stream":\s?true')


class Rules:
    """The limits of the server, and its counts."""

    def __init__(self, options: argparse.Namespace, now: float) -> None:
        self.delay_s = options.delay_ms / 1000
        self.concurrency: int | None = options.concurrency
        self.requests_per_minute: int | None = options.requests_per_minute
        self.refuse_s: float = options.refuse_s
        self.retry_after: float | None = options.retry_after
        self.body, self.events = answers(options.answer_bytes)
        self.refusal_status: int = options.refusal_status
        self.chance: float = options.chance
        self.slots: int | None = options.slots
        self.queue: deque[Connection] = deque()
        self.working = 0
        self.levels: list[int] = []  # in flight when each request came, with it
        self.answered: list[float] = []
        self._random = random.Random(1)
        self.started: float | None = None
        self._level, self._stamp = 0.0, now
        self.in_flight = 0
        self.accepted: list[float] = []  # times
        self.seen: list[float] = []
        self.refused = 0

    def refuses(self, now: float) -> bool:
        """Counts a request that arrives now; returns whether it gets a 429."""
        self.seen.append(now)
        self.levels.append(self.in_flight + 1)
        if self.started is None:
            self.started = now
        refused = (
            now < self.started + self.refuse_s
            or (self.concurrency is not None and self.in_flight >= self.concurrency)
            or (self.chance > 0 and self._random.random() < self.chance)
            or not self._within_rate(now)
        )
        if refused:
            self.refused += 1
        else:
            self.accepted.append(now)
        return refused

    def _within_rate(self, now: float) -> bool:
        """A bucket with the capacity of one second, so that 30 s behave like a minute."""
        if self.requests_per_minute is None:
            return True
        rate = self.requests_per_minute / 60
        self._level = min(rate, self._level + (now - self._stamp) * rate)
        self._stamp = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


class Connection(asyncio.Protocol):
    """One client connection, HTTP/1.1 with keep-alive."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Handles each complete request in the buffer."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = (
                int(head[at + 15 : head.find(b"\r\n", at) if b"\r\n" in head[at:] else None])
                if at >= 0
                else 0
            )
            if len(self._buffer) < end + 4 + length:
                return
            request = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            if head.startswith(b"get /stats"):
                self._send(200, _stats(self._rules))
            elif _STREAMED.search(request):
                self._rules.refuses(self._loop.time())
                self._stream()
            else:
                self._answer()

    def _answer(self) -> None:
        rules = self._rules
        if rules.refuses(self._loop.time()):
            extra = b"" if rules.retry_after is None else b"retry-after: %d\r\n" % rules.retry_after
            words = b"server busy" if rules.refusal_status >= 500 else b"rate limit"
            self._send(rules.refusal_status, b'{"error": {"message": "%b"}}' % words, extra)
        elif rules.delay_s:
            rules.in_flight += 1
            if rules.slots is not None and rules.working >= rules.slots:
                rules.queue.append(self)
            else:
                self._work()
        else:
            rules.answered.append(self._loop.time())
            self._send(200, rules.body)

    def _work(self) -> None:
        self._rules.working += 1
        self._loop.call_later(self._rules.delay_s, self._late)

    def _late(self) -> None:
        rules = self._rules
        rules.working -= 1
        rules.in_flight -= 1
        if rules.queue:
            rules.queue.popleft()._work()
        rules.answered.append(self._loop.time())
        self._send(200, rules.body)

    def _stream(self) -> None:
        """One write for each event, as a server that generates writes them."""
        self._transport.write(
            b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for event in self._rules.events:
            self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        self._transport.write(b"0\r\n\r\n")

    def _send(self, status: int, body: bytes, extra: bytes = b"") -> None:
        if not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b"
                % (status, extra, len(body), body)
            )


TOKEN = 4
"""Bytes of an event's text: about a token."""
USAGE = {"prompt_tokens": 60, "completion_tokens": 130, "total_tokens": 190}


def answers(size: int) -> tuple[bytes, list[bytes]]:
    """An answer of about `size` bytes of text (0: the usual one), in one piece and as the events of a stream."""
    text = TEXT if not size else ("We add one more number to it. " * (size // 30)) + TEXT[-11:]
    head = {"id": "chatcmpl-bench", "created": 1, "model": "bench"}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    whole = {**head, "object": "chat.completion", "choices": [choice], "usage": USAGE}
    pieces = [{"content": text[at : at + TOKEN]} for at in range(0, len(text), TOKEN)]
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": piece, "logprobs": None, "finish_reason": None}]}
        for piece in ({"role": "assistant", "content": ""}, *pieces)
    ]
    chunks.append({"choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]})
    chunks.append({"choices": [], "usage": USAGE})
    events = [
        b"data: %b\n\n" % json.dumps({**head, "object": "chat.completion.chunk", **chunk}).encode()
        for chunk in chunks
    ]
    return json.dumps(whole).encode(), [*events, b"data: [DONE]\n\n"]


def _stats(rules: Rules) -> bytes:
    found = {
        "accepted": rules.accepted,
        "seen": rules.seen,
        "levels": rules.levels,
        "answered": rules.answered,
    }
    return json.dumps({**found, "refused": rules.refused}).encode()


async def _serve(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    rules = Rules(options, loop.time())
    server = await loop.create_server(lambda: Connection(rules), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serves until killed; prints the port as its first line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.server")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="response time")
    parser.add_argument("--concurrency", type=int, help="most requests in flight; more are refused")
    parser.add_argument("--slots", type=int, help="requests worked on at once; more wait in order")
    parser.add_argument("--chance", type=float, default=0.0, help="share of all requests that is refused")
    parser.add_argument("--refusal-status", type=int, default=429, help="HTTP status of refusals")
    parser.add_argument("--requests-per-minute", type=int, help="limit; more are refused")
    parser.add_argument(
        "--refuse-s", type=float, default=0.0, help="refuse everything for this time after the first request"
    )
    parser.add_argument("--answer-bytes", type=int, default=0, help="bytes of an answer's text")
    parser.add_argument("--retry-after", type=float, help="Retry-After seconds of refusals")
    options = parser.parse_args()
    try:
        import uvloop

        uvloop.run(_serve(options))
    except ImportError:
        asyncio.run(_serve(options))


class Server:
    """A running server."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self._stats = f"http://127.0.0.1:{port}/stats"

    def stats(self) -> dict[str, Any]:
        """Its counts: times of accepted and of all requests and of answers, requests in flight as each came, refusals."""
        with urllib.request.urlopen(self._stats, timeout=30) as response:
            found: dict[str, Any] = json.loads(response.read())
            return found


@contextmanager
def running(**options: float) -> Iterator[Server]:
    """Runs a server process with these options."""
    flags = [f"--{name.replace('_', '-')}={value:g}" for name, value in options.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.server", *flags], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield Server(int(process.stdout.readline()))
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    main()
