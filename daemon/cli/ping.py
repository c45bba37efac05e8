"""`coterie check --ping`: asks each teacher the first question of each of its plans, as the plan would.

Every field is the plan's own, `max_tokens` too: by it a server decides whether it takes the request, streams it or
waits for its share of a limit. Only `n` is 1. So a ping costs one sample for each plan and teacher. Every key is used
at least once. What passes (no connection, a busy server) is tried three times. Nothing is stored.
"""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import anyio
from pydantic import SecretStr
from tenacity import AsyncRetrying, RetryCallState, retry_if_result, stop_after_attempt, wait_exponential
from tenacity.wait import wait_base

from daemon.catalog.sync import Input
from daemon.sampling.outcomes import judge
from daemon.sampling.token_accounting import TokenAccounting
from engine.config import Config, PlanConfig, TeacherConfig
from engine.config.named import expand, teachers_of
from engine.config.secret_places import REFERENCE, shown_url
from engine.question import Question
from engine.strategies import PLAIN, Conversation, Settings, strategy
from engine.teachers.client import Answer, TeacherClient
from engine.teachers.dialects import dialect
from engine.teachers.endpoint import Endpoint
from engine.teachers.failures import Failure
from engine.teachers.keys import TeacherKey
from engine.teachers.messages import Request, Usage
from engine.teachers.transport import by_address, single_client
from state.safe import safe_line
from state.views.format import money

TRIES = 3
MOST_WAIT_S = 20.0
SHOWN = 2000
"""Bytes of a body that are looked through for the words of a web server."""
WORDS = 60
"""Characters of an answer that are shown."""

Sleep = Callable[[float], Awaitable[None]]
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A plan's first question on its first task."""

    plan: PlanConfig
    conversation: Callable[[], Conversation]
    question: Question
    answer_format: str
    labelled: bool


async def ping_all(config: Config, given: Input, say: Say, *, sleep: Sleep = anyio.sleep) -> bool:
    """Asks every teacher whose server is not the daemon's own; whether all answered.

    Args:
        config: the configuration.
        given: its tasks, with their questions, and keys.
        say: prints a line.
        sleep: waits before a further try.
    """
    good = True
    for name, teacher in config.teachers.items():
        if teacher.local:
            continue
        for config_there, at in by_address(teacher, given.endpoints[name]):
            async with single_client(config_there, at) as client:
                keys = given.keys[name] or (TeacherKey("", None),)
                asked = list(_asked_of(name, config, given))
                if dialect(teacher.dialect).transport == "batches" or not asked:
                    for key in keys:
                        good &= _tell_plain(say, _label(name, key), await client.ping(key=key.secret))
                    continue
                rounds = zip(range(max(len(asked), len(keys))), itertools.cycle(asked), itertools.cycle(keys))
                for _, each, key in rounds:
                    good &= await _Ping(client, at, key.secret, say, sleep).ask(each, _label(name, key))
    return good


def _asked_of(name: str, config: Config, given: Input) -> Iterator[_Asked]:
    """What a teacher is asked for each of its plans."""
    for plan in config.plans:
        if name not in (*teachers_of(plan, config.teachers), *plan.fallback_teachers):
            continue
        for task in expand(plan.tasks, list(config.tasks)):
            questions = given.tasks[task].questions or ()
            question = next((each for each in questions if each.split == plan.split), None)
            if question is not None:
                answer_format = config.tasks[task].answer
                settings = Settings.of(plan, answer_format, given.wordings.get((plan.name, task), PLAIN))
                start = partial(Conversation, strategy(plan.strategy), question, settings)
                yield _Asked(plan, start, question, answer_format, config.tasks[task].labelled)
                break


def _label(name: str, key: TeacherKey) -> str:
    return f"teacher {name} ({key.label})" if key.label else f"teacher {name}"


def _graded(asked: _Asked, correct: bool) -> str:
    if not asked.labelled:
        return "answered: the task has no gold answers"
    return f"graded: {'correct' if correct else 'wrong'}"


def _tell_plain(say: Say, label: str, got: Failure | str) -> bool:
    say(f"{label}: {got if isinstance(got, str) else f'{got.kind}: {got.reason}'}")
    return isinstance(got, str)


class _Ping:
    """One sample of one plan from one teacher with one key."""

    def __init__(
        self, client: TeacherClient, at: Endpoint, key: SecretStr | None, say: Say, sleep: Sleep
    ) -> None:
        self._client = client
        self._at = at
        self._key = key
        self._say = say
        self._accounting = TokenAccounting(client.config)
        self._tries = AsyncRetrying(
            stop=stop_after_attempt(TRIES),
            wait=_AsTold(),
            retry=retry_if_result(_passes),
            retry_error_callback=_last_result,
            sleep=sleep,
        )

    async def ask(self, asked: _Asked, label: str) -> bool:
        """Asks, and says what came back; whether it was an answer."""
        conversation, usages = asked.conversation(), list[Usage]()
        assert conversation.request is not None
        url = self._client.url(conversation.request)
        self._say(f"{label}, plan {asked.plan.name}: POST {url}")
        while conversation.request is not None:
            request = replace(conversation.request, n=1)
            if asked.plan.seed is not None:
                request = replace(request, seed=asked.plan.seed)
            got: Answer | Failure = await self._tries(self._send, request)
            if isinstance(got, Failure):
                self._say(f"  failed ({got.kind}): {got.reason}")
                for advice in await self._advice(got, request):
                    self._say(f"  {advice}")
                self._say_cost(usages, got)
                return False
            completion = got.completions[0]
            usages.append(completion.usage)
            self._say(
                f"  {safe_line(completion.text, WORDS) or '(no text)'} [{completion.finish_reason};"
                f" {completion.usage.prompt_tokens:,} + {completion.usage.completion_tokens:,} tokens"
                f"{', estimated: the answer states no usage' if completion.usage.estimated else ''};"
                f" {got.latency_s * 1000:.0f} ms]"
            )
            conversation.answer(completion)
            if conversation.hears is not None:  # only this teacher is asked
                conversation.hear(())
        finished = conversation.finished
        assert finished is not None
        verdict = await judge(
            *(finished.answer, asked.question.answer, asked.answer_format, asked.question.text),
            labelled=asked.labelled,
        )
        flags = f"; flags: {', '.join(finished.flags)}" if finished.flags else ""
        if verdict.extracted is None:
            self._say(
                f"  warning: no answer could be read from it ({verdict.reason}){flags}: look at max_tokens and strategy of the"
                " plan, and at the task's answer format"
            )
        else:
            self._say(
                f"  {_graded(asked, verdict.correct)} (answer {safe_line(verdict.extracted, WORDS)}){flags}"
            )
        self._say_cost(usages, None)
        return True

    async def _send(self, request: Request) -> Answer | Failure:
        return await self._client.send(request, request_id=f"ping-{uuid.uuid4().hex}", key=self._key)

    async def _advice(self, failure: Failure, request: Request) -> list[str]:
        """What to do about a failure, beyond what its reason says."""
        config = self._client.config
        if failure.kind in ("transient", "limited", "ambiguous"):
            return [f"tried {TRIES} times; it may pass: run it again in a while"] if _passes(failure) else []
        if not _may_be_elsewhere(failure) or _VERSION.search(self._at.base_url):
            return []
        shown = config.base_url
        better = f"{shown} + /v1" if REFERENCE.fullmatch(shown) else _with_v1(shown_url(shown))
        async with single_client(config, replace(self._at, base_url=_with_v1(self._at.base_url))) as other:
            got = await other.send(request, request_id=f"ping-{uuid.uuid4().hex}", key=self._key)
        if isinstance(got, Answer):
            return [f'base_url lacks /v1, where the server does answer: write base_url = "{better}"']
        return [f'base_url may lack a part such as /v1: try base_url = "{better}"']

    def _say_cost(self, usages: list[Usage], failure: Failure | None) -> None:
        stated = failure.usage if failure is not None and failure.charged == "usage" else None
        usd = self._accounting.exact_usd([*usages, *([stated] if stated is not None else [])])
        perhaps = "; it may have been billed" if failure is not None and failure.charged == "unknown" else ""
        if usd or _priced(self._client.config):
            self._say(f"  cost {money(usd, None)}{perhaps}")
        elif usages or perhaps:
            self._say(f"  cost unknown: the teacher has no prices{perhaps}")


class _AsTold(wait_base):
    """Waits as long as the server says, within bounds, or 1, 2, 4 … seconds."""

    def __init__(self) -> None:
        self._else = wait_exponential(max=MOST_WAIT_S)

    def __call__(self, retry_state: RetryCallState) -> float:
        failure = _last_result(retry_state)
        told = failure.retry_after_s if isinstance(failure, Failure) else None
        return float(max(self._else(retry_state), min(told or 0.0, MOST_WAIT_S)))


def _passes(got: Answer | Failure) -> bool:
    return isinstance(got, Failure) and got.kind in ("transient", "limited")


def _last_result(state: RetryCallState) -> Answer | Failure:
    assert state.outcome is not None
    result: Answer | Failure = state.outcome.result()
    return result


_VERSION = re.compile(r"/v\d+(?:[a-z]+\d*)?(?:/|\?|$)")
_NOT_AN_API = re.compile(
    r"unexpected endpoint|html|not found|cannot post|unknown (?:url|path|route)", re.IGNORECASE
)


def _may_be_elsewhere(failure: Failure) -> bool:
    """Whether the server may answer under another path."""
    said = failure.reason + failure.raw[:SHOWN].decode("utf-8", "replace")
    return failure.status in (404, 405) or bool(_NOT_AN_API.search(said))


def _with_v1(base_url: str) -> str:
    address, mark, query = base_url.partition("?")
    return f"{address.rstrip('/')}/v1{mark}{query}"


def _priced(config: TeacherConfig) -> bool:
    return bool(config.usd_per_million_input or config.usd_per_million_output)
