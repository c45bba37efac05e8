"""The reference: a pool of aiohttp workers on uvloop that sends requests and parses responses, and stores nothing."""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import aiohttp

PROMPT = "Question {number}: how much is 40 and {number} less {number} and 2?\n\nThink step by step."


async def ask(url: str, requests: int, workers: int) -> dict[str, float]:
    """Sends `requests` requests with `workers` in flight; returns the seconds and the number of good responses."""
    numbers = iter(range(requests))
    good = 0

    async def work(session: aiohttp.ClientSession) -> None:
        nonlocal good
        for number in numbers:
            body = {
                "model": "bench",
                "messages": [{"role": "user", "content": PROMPT.format(number=number)}],
                "temperature": 0.7,
                "max_tokens": 256,
            }
            async with session.post(
                url + "/chat/completions",
                data=json.dumps(body).encode(),
                headers={"Content-Type": "application/json"},
            ) as response:
                answer = json.loads(await response.read())
                good += answer["choices"][0]["message"]["content"].endswith("42")

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
    options = parser.parse_args()
    work = ask(options.url, options.requests, options.workers)
    try:
        import uvloop

        found = uvloop.run(work)
    except ImportError:
        found = asyncio.run(work)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
