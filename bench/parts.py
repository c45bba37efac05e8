"""CPU cost per sample of the daemon's parts, each by itself: `python -m bench.parts client URL`, `python -m bench.parts storing FILE`.

`client` only sends requests with the teacher's client; `storing` claims the samples of a configuration and stores an answer for
each, without a teacher. Both print the CPU seconds of that work as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from contextlib import closing
from pathlib import Path

from bench.bare import PROMPT
from daemon.catalog.sync import read_input, synchronise
from engine.config import TeacherConfig, load_config
from engine.teachers.client import Answer, TeacherClient
from engine.teachers.messages import Message, Request
from state.claims import ClaimedSample, ClaimRequest, claim
from state.database import open_writer
from state.enums import Outcome, SampleState
from state.outcomes import AttemptResult, SampleEnd, Verdict, record

GROUP = 100
"""Samples in a transaction: about as many as the daemon has with 100 requests in flight."""
MONEY = 2**60
BODY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "40 and 2 make 42.\nAnswer: 42"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60},
    }
).encode()


async def send(url: str, requests: int, workers: int, stream: bool = False) -> float:
    """CPU seconds of this many requests through the teacher's client, streamed or not."""
    numbers = iter(range(requests))

    async def work(client: TeacherClient) -> None:
        for number in numbers:
            request = Request(
                messages=(Message("user", PROMPT.format(number=number)),), temperature=0.7, max_tokens=256
            )
            answer = await client.send(request, request_id=f"bench-{number}", key=None)
            if not isinstance(answer, Answer):
                raise RuntimeError(answer.reason)

    async with TeacherClient(TeacherConfig(base_url=url, model="bench", stream=stream)) as client:
        started = time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work(client))
        return time.process_time() - started


def store(file: Path) -> tuple[float, int]:
    """CPU seconds of claiming and storing all samples of a configuration, and their number."""
    config = load_config(file)
    with closing(open_writer(config.database)) as connection:
        catalog = synchronise(config, read_input(config))
        plan, teacher = catalog.plans[0], next(iter(catalog.teachers.values()))
        assert teacher.id is not None
        request = ClaimRequest(
            plan_id=plan.id,
            teacher_id=teacher.id,
            boot_id=catalog.session.id,
            count=GROUP,
            allowance=MONEY,
            reserve=lambda question: 100,
        )
        started, stored = time.process_time(), 0
        while True:
            connection.execute("BEGIN IMMEDIATE")
            claimed = claim(connection, [request])[0]
            connection.execute("COMMIT")
            connection.execute("BEGIN IMMEDIATE")
            record(connection, [_ending(sample) for sample in claimed.samples])
            connection.execute("COMMIT")
            stored += len(claimed.samples)
            if claimed.exhausted:
                return time.process_time() - started, stored


def _ending(sample: ClaimedSample) -> AttemptResult:
    assert sample.attempt is not None
    return AttemptResult(
        attempt_id=sample.attempt.id,
        sample_id=sample.sample_id,
        plan_id=sample.plan_id,
        teacher_id=sample.teacher_id,
        outcome=Outcome.OK,
        reserved_micros=sample.attempt.reserved_micros,
        cost_micros=12,
        status=200,
        raw=BODY,
        finish_reason="stop",
        prompt_tokens=50,
        completion_tokens=10,
        latency_ms=5,
        end=SampleEnd(
            state=SampleState.STORED,
            rationale="40 and 2 make 42.",
            answer="42",
            verdict=Verdict(grader="careful:3", correct=True, extracted="42", reason="equal"),
        ),
    )


def main() -> None:
    """Runs one part."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.parts")
    parts = parser.add_subparsers(dest="part", required=True)
    client = parts.add_parser("client", help="requests through the client")
    client.add_argument("url")
    client.add_argument("--requests", type=int, default=20_000)
    client.add_argument("--workers", type=int, default=100)
    client.add_argument("--stream", action="store_true", help="ask for streams")
    storing = parts.add_parser("storing", help="claims and storing")
    storing.add_argument("config", type=Path)
    options = parser.parse_args()
    if options.part == "client":
        try:
            from uvloop import run
        except ImportError:
            from asyncio import run
        sent = send(options.url, options.requests, options.workers, options.stream)
        cpu_s, samples = run(sent), options.requests
    else:
        cpu_s, samples = store(options.config)
    print(json.dumps({"cpu_s": cpu_s, "samples": samples}))


if __name__ == "__main__":
    main()
