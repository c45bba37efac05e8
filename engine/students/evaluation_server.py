"""Answers of an exported student from a server with the OpenAI completions API: vLLM, SGLang, llama.cpp, `transformers serve`.

It is asked through the same client as the teachers. The server already runs (`server_url`) or is started for this
evaluation (`server_command`). A started server has its own process group, an environment without the variables of ranks,
and ends with the evaluation. `ServerFailed` says why it cannot be used; the caller then evaluates without it.
"""

from __future__ import annotations

import itertools
import json
import operator
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import anyio
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    Retrying,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_exponential,
    wait_fixed,
)

from engine.config import TeacherConfig
from engine.config.students import EvaluationConfig
from engine.students.launch import free_port, search_path
from engine.students.ranks import StopFlag, Stopped
from engine.students.room import Asked, Completion
from engine.teachers.client import Answer, TeacherClient
from engine.teachers.dialects import openai_completions
from engine.teachers.failures import Failure
from engine.teachers.messages import Message, Request

START_S = 900.0
LOOK_S = 0.3
"""How long a server may take to load the student."""
TRIES = 5
ANSWER_S = 600.0
_OF_RANKS = (
    *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "LOCAL_SIZE", "CROSS_RANK", "CROSS_SIZE"),
    *("MASTER_ADDR", "MASTER_PORT", "DS_ACCELERATOR", "PYTHONPATH", "GLOO_SOCKET_IFNAME", "COTERIE_START"),
)


class ServerFailed(Exception):
    """A server cannot be used for an evaluation; the message says why."""


@dataclass(frozen=True, slots=True)
class Served:
    """A running server."""

    url: str
    model: str
    concurrency: int
    stop: StopFlag
    specials: bool = False
    """Whether it is asked not to leave special tokens out of its texts."""

    def write(self, asked: Sequence[Asked], *, temperature: float | None, seed: int) -> list[Completion]:
        """Completions, in order.

        Raises:
            ServerFailed: a question has no answer after several tries.
            Stopped: this rank was asked to stop.
        """
        try:
            found: list[Completion] = anyio.run(self._write, asked, temperature, seed)
        except* (ServerFailed, Stopped) as errors:
            first: BaseException = errors
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from None
        return found

    async def _write(self, asked: Sequence[Asked], temperature: float | None, seed: int) -> list[Completion]:
        found = [Completion("", each.reason) for each in asked]
        todo = iter([index for index, each in enumerate(asked) if each.count])
        teacher = TeacherConfig(
            dialect=openai_completions.DIALECT.name,
            base_url=self.url,
            model=self.model,
            timeout_seconds=ANSWER_S,
            extra_body={"skip_special_tokens": False} if self.specials else {},
        )
        by_ids = True
        async with TeacherClient(teacher) as client, anyio.create_task_group() as group:

            async def work() -> None:
                nonlocal by_ids
                for index in todo:
                    if self.stop.set:
                        raise Stopped
                    each = asked[index]
                    request = Request(
                        messages=(Message("user", each.text),),
                        prompt_ids=tuple(each.ids),
                        temperature=temperature or 0.0,
                        max_tokens=each.count,
                        seed=None if temperature is None else (seed * 1_000_003 + index) % 2**31,
                    )
                    as_text = replace(request, prompt_ids=())
                    try:
                        found[index] = await _ask(client, request if by_ids else as_text, index)
                    except ServerFailed:  # it may take texts only
                        if not each.text or not by_ids:
                            raise
                        found[index] = await _ask(client, as_text, index)
                        by_ids = False

            for _ in range(min(self.concurrency, len(asked))):
                group.start_soon(work)
        return found


async def _ask(client: TeacherClient, request: Request, number: int) -> Completion:
    tries = AsyncRetrying(
        stop=stop_after_attempt(TRIES),
        wait=wait_exponential(),
        retry=retry_if_result(_worth_another_try),
        retry_error_callback=_last_result,
        sleep=anyio.sleep,
    )
    times = itertools.count()

    async def send() -> Answer | Failure:
        return await client.send(request, request_id=f"evaluation-{number}-{next(times)}", key=None)

    found: Answer | Failure = await tries(send)
    if isinstance(found, Failure):
        raise ServerFailed(f"the evaluation server did not answer: {found.reason}")
    [first, *_] = found.completions
    usage, text = first.usage, _raw_text(found.raw) or (first.reasoning or "") + first.text
    known = not usage.estimated
    return Completion(
        text,
        prompt_tokens=len(request.prompt_ids) or (usage.prompt_tokens if known else 0),
        tokens=usage.completion_tokens if known else 0,
    )


def _raw_text(body: bytes) -> str:
    """The text of the first choice as it stands in a response, since the dialect takes reasoning out; empty: none is found."""
    try:
        text = json.loads(body)["choices"][0]["text"]
    except (ValueError, LookupError, TypeError):
        return ""
    return text if isinstance(text, str) else ""


def _worth_another_try(found: Answer | Failure) -> bool:
    return isinstance(found, Failure) and found.kind not in ("permanent", "parked")


def _last_result(state: RetryCallState) -> Any:
    """What the last try brought, in place of tenacity's own error."""
    assert state.outcome is not None
    return state.outcome.result()


@contextmanager
def serving(
    config: EvaluationConfig, student: Path, stop: StopFlag, *, specials: bool = False
) -> Iterator[Served]:
    """The configured server, for the duration of the context.

    Raises:
        ServerFailed: it is not reachable or does not start.
        Stopped: this rank was asked to stop while it started.
    """
    if not config.server_command:
        if anyio.run(_models, config.server_url) is None:
            raise ServerFailed(f"no server answers at {config.server_url}/models")
        yield Served(config.server_url, str(student), config.server_concurrency, stop, specials)
        return
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    argv = [
        word.replace("{student}", str(student)).replace("{port}", str(port)) for word in config.server_command
    ]
    try:
        process = subprocess.Popen(
            argv, env=server_environment(os.environ), stdin=subprocess.DEVNULL, process_group=0
        )
    except OSError as error:
        raise ServerFailed(f"the evaluation server cannot be started: {error}") from None
    try:
        models = _wait(process, url, stop)
        model = models[0] if len(models) == 1 else str(student)
        yield Served(url, model, config.server_concurrency, stop, specials)
    finally:
        _end(process)


def server_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server: that of this process without the variables of ranks.

    Programs next to this Python are found by their name.
    """
    env = {name: value for name, value in environ.items() if name not in _OF_RANKS}
    return env | {"PATH": search_path(env)}


def _wait(process: subprocess.Popen[bytes], url: str, stop: StopFlag) -> list[str]:
    """Waits until the server answers; returns the names of its models."""

    def look() -> list[str] | None:
        if stop.set:
            raise Stopped
        if process.poll() is not None:
            raise ServerFailed(
                f"the evaluation server exited with code {process.returncode}; its output is in log.txt"
            )
        return anyio.run(_models, url)

    tries = Retrying(
        stop=stop_after_delay(START_S),
        wait=wait_fixed(LOOK_S),
        retry=retry_if_result(operator.not_),
        retry_error_callback=_last_result,
    )
    if models := tries(look):
        return models
    raise ServerFailed(f"the evaluation server did not answer within {START_S:.0f} s")


async def _models(url: str) -> list[str] | None:
    """The names of the models of a server; None if it does not answer."""
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10), trust_env=False) as session:
            async with session.get(f"{url.rstrip('/')}/models") as response:
                found = await response.json(content_type=None) if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
        return None
    data = found.get("data") if isinstance(found, dict) else None
    return [str(each["id"]) for each in data if "id" in each] if isinstance(data, list) else None


def _end(process: subprocess.Popen[bytes]) -> None:
    for number, seconds in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 20.0)):
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
        except ProcessLookupError:
            process.wait()
            return
        except subprocess.TimeoutExpired:
            continue
        return
