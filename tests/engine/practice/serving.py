"""A teacher server on a free loopback port, for tests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from engine.practice.server import serve
from engine.practice.server_options import PracticeOptions, parse_faults

COIN = (
    "A coin is heads up. Anna flips the coin. Ben does not flip the coin. Carla flips the coin. David flips the "
    'coin. Is the coin still heads up? Note that "flip" here means "reverse".'
)
MODEL = "practice-large"
STEP1 = f"Q: {COIN}\nA: Let's think step by step."


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def texts(self) -> list[str]:
        return [c["message"]["content"] if "message" in c else c["text"] for c in self.json["choices"]]


def asking(path: str, prompt: str = STEP1, **fields: Any) -> dict[str, Any]:
    """The body of a request with one prompt, by the path of its API."""
    said = [{"role": "user", "content": prompt}]
    own: dict[str, dict[str, Any]] = {
        "/chat/completions": {"messages": said, "max_tokens": 256},
        "/completions": {"prompt": prompt, "max_tokens": 256},
        "/responses": {"input": said, "max_output_tokens": 256},
        "/messages": {"messages": said, "max_tokens": 256},
    }
    return {"model": MODEL, **own[path], **fields}


def text_of(path: str, answer: Any) -> str:
    """The text of a response with one completion."""
    texts: dict[str, Callable[[Any], str]] = {
        "/chat/completions": lambda found: found["choices"][0]["message"]["content"],
        "/completions": lambda found: found["choices"][0]["text"],
        "/responses": lambda found: found["output"][0]["content"][0]["text"],
        "/messages": lambda found: found["content"][0]["text"],
    }
    return texts[path](answer)


def events_of(body: bytes) -> list[tuple[str, Any]]:
    """The names and data of a stream's events."""
    found = []
    for block in body.decode().split("\n\n")[:-1]:
        lines = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((lines.get("event", ""), lines["data"]))
    return [(name, data if data == "[DONE]" else json.loads(data)) for name, data in found]


@dataclass(frozen=True)
class Client:
    url: str
    session: aiohttp.ClientSession

    async def post(self, path: str, *, headers: dict[str, str] | None = None, **request: Any) -> Answer:
        async with self.session.post(f"{self.url}{path}", headers=headers, **request) as answer:
            return Answer(answer.status, answer.headers, await answer.read())

    async def chat(
        self, prompt: str = STEP1, *, headers: dict[str, str] | None = None, **fields: Any
    ) -> Answer:
        body = {
            "model": "practice-large",
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": 256,
        }
        return await self.post("/chat/completions", json=body | fields, headers=headers)

    async def text(self, prompt: str = STEP1, **fields: Any) -> Answer:
        body = {"model": "practice-large", "prompt": prompt, "max_tokens": 256}
        return await self.post("/completions", json=body | fields)

    async def get(self, path: str) -> Any:
        async with self.session.get(self.url.removesuffix("/v1") + path) as answer:
            return await answer.json()


@asynccontextmanager
async def teacher(fault: str = "", **options: Any) -> AsyncIterator[Client]:
    options = {"latency_ms": 0.0, "faults": parse_faults(fault)} | options
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(PracticeOptions(**options), ready=ready.set_result))
    try:
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        async with aiohttp.ClientSession() as session:
            yield Client(ready.result(), session)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
