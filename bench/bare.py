"""The reference: a pool of aiohttp workers on uvloop that sends requests and parses responses, and stores nothing."""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import aiohttp

PROMPT = "Question {number}: how much is 40 and {number} less {number} and 2?\n\nThink step by step."


RETRY_S = 0.05
"""How long a refused request waits if the server does not say."""


async def ask(url: str, requests: int, workers: int, per_minute: int = 0) -> dict[str, float]:
    """Sends `requests` requests with `workers` in flight; returns the seconds and the number of good responses.

    `per_minute` spaces them evenly. A refused one is sent again after its `Retry-After`.
    """
    numbers = iter(range(requests))
    good = 0
    due = 0.0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal good
        for number in numbers:
            body = {
                "model": "bench",
                "messages": [{"role": "user", "content": PROMPT.format(number=number)}],
                "temperature": 0.7,
                "max_tokens": 256,
            }
            data = json.dumps(body).encode()
            while True:
                if per_minute:
                    await slot()
                async with session.post(
                    url + "/chat/completions", data=data, headers={"Content-Type": "application/json"}
                ) as response:
                    answer = json.loads(await response.read())
                    if response.status == 200:
                        good += answer["choices"][0]["message"]["content"].endswith("42")
                        break
                    wait = float(response.headers.get("retry-after", RETRY_S))
                await asyncio.sleep(wait)

    async def slot() -> None:
        """Waits for the next free moment."""
        nonlocal due
        due = max(due + 60 / per_minute, time.monotonic())
        await asyncio.sleep(due - time.monotonic())

    started = time.monotonic()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work(session))
    return {"seconds": time.monotonic() - started, "good": good}


def main() -> None:
    """Prints the measurements as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.bare")
    parser.add_argument("url")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument(
        "--per-minute", type=int, default=0, help="requests a minute; 0: as fast as answers come"
    )
    options = parser.parse_args()
    work = ask(options.url, options.requests, options.workers, options.per_minute)
    try:
        import uvloop

        found = uvloop.run(work)
    except ImportError:
        found = asyncio.run(work)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
