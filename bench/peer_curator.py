"""bespokelabs-curator on the benches' workload: an `LLM` over a list of prompts, cached in a fresh folder.

It runs in its own environment (`bench/peers.py`) and imports nothing from Coterie. Curator appends each answer to a file
without syncing it to disk.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time

PROMPT = "Question {number}: how much is 40 and {number} less {number} and 2?\n\nThink step by step."


def ask(url: str, requests: int, workers: int, per_minute: int) -> dict[str, float]:
    """Sends `requests` requests, at most `workers` at once."""
    from bespokelabs import curator

    class Sum(curator.LLM):
        def prompt(self, row: dict[str, str]) -> str:
            return row["question"]

        def parse(self, row: dict[str, str], response: str) -> dict[str, bool]:
            return {"good": response.endswith("42")}

    llm = Sum(
        model_name="openai/bench",
        backend="litellm",
        backend_params={
            "base_url": url,
            "api_key": "none",
            "max_requests_per_minute": per_minute,
            "max_tokens_per_minute": 10**10,
            "max_concurrent_requests": workers,
            "max_retries": 8,
            "require_all_responses": False,
        },
        generation_params={"temperature": 0.7, "max_tokens": 256},
    )
    rows = [{"question": PROMPT.format(number=number)} for number in range(requests)]
    started = time.monotonic()
    found = llm(rows)
    dataset = getattr(found, "dataset", found)
    return {"seconds": time.monotonic() - started, "good": sum(bool(row["good"]) for row in dataset)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--per-minute", type=int, default=10_000_000)
    options = parser.parse_args()
    os.environ |= {
        "TELEMETRY_ENABLED": "false",
        "CURATOR_DISABLE_RICH_DISPLAY": "1",
        "HF_HUB_OFFLINE": "1",
        "OPENAI_API_KEY": "none",
    }
    with tempfile.TemporaryDirectory(prefix="coterie-peer-") as folder:
        os.environ["CURATOR_CACHE_DIR"] = folder
        print(json.dumps(ask(options.url, options.requests, options.workers, options.per_minute)))
