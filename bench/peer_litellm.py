"""litellm on the benches' workload: `acompletion` behind a semaphore, its usual form.

It runs in its own environment (`bench/peers.py`) and imports nothing from Coterie. litellm stores nothing, so the answers stay in
memory and the figure is without durability.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import litellm

PROMPT = "Question {number}: how much is 40 and {number} less {number} and 2?\n\nThink step by step."


async def ask(url: str, requests: int, workers: int) -> dict[str, float]:
    """Sends `requests` requests, `workers` at once."""
    gate = asyncio.Semaphore(workers)

    async def one(number: int) -> int:
        async with gate:
            answer = await litellm.acompletion(
                model="openai/bench",
                api_base=url,
                api_key="none",
                messages=[{"role": "user", "content": PROMPT.format(number=number)}],
                temperature=0.7,
                max_tokens=256,
                num_retries=8,
            )
        return int(answer.choices[0].message.content.endswith("42"))

    started = time.monotonic()
    good = await asyncio.gather(*(one(number) for number in range(requests)), return_exceptions=True)
    return {
        "seconds": time.monotonic() - started,
        "good": sum(each for each in good if isinstance(each, int)),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=100)
    options = parser.parse_args()
    litellm.suppress_debug_info = True
    print(json.dumps(asyncio.run(ask(options.url, options.requests, options.workers))))
