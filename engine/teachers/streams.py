"""Whether a teacher's requests ask for streams: by configuration, by length, and as the server was seen to take them.

What is learned holds for the client's life. Some servers demand a stream above a number of tokens or at all, some refuse
streams or the request for their usage, some stream whatever they are asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from engine.teachers.failures import Failure
from engine.teachers.messages import Request

STREAM_ABOVE = 4096
"""Completion tokens above which `"auto"` streams: servers and gateways that cut off silent connections then see bytes."""

READ_BODY = 64 * 1024
IN_VAIN = 3
"""Refusals in a row that the other form did not help against, after which it is no longer tried."""

_REFUSALS = frozenset({400, 403, 404, 405, 406, 415, 422, 501})
_MENTIONED = re.compile(rb"\bstream(?:ing|ed|s)?\b|\xe6\xb5\x81\xe5\xbc\x8f", re.IGNORECASE)  # or in Chinese
_USAGE = re.compile(rb"stream_options|include_usage")
_DEMANDED = re.compile(
    r"stream\W{0,4}(?:must be |is |set to |to |be )?true|\b(?:must|only|requires?|enable)\b.{0,60}\bstream"
    r"|\bstream(?:ing)?\b.{0,60}\b(?:required|mandatory|only|must)\b|non-?stream",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Form:
    """How a response is asked for: as a stream or not, and with its usage or not."""

    stream: bool
    usage: bool = True


PLAIN = Form(stream=False)


class StreamSupport:
    """What is known of one teacher's streams."""

    __slots__ = ("_able", "_demands", "_in_vain", "_mode", "_no_usage", "_refuses")

    def __init__(self, mode: Literal["auto"] | bool, able: bool) -> None:
        """`mode` is the teacher's key `stream`, `able` whether its dialect has streams."""
        self._mode = mode
        self._able = able and mode is not False
        self._demands = mode is True
        self._refuses = self._no_usage = False
        self._in_vain = 0

    def form(self, request: Request) -> Form:
        """The form in which a request is sent first."""
        if not self._able:
            return PLAIN
        if self._demands or (request.max_tokens > STREAM_ABOVE and not self._refuses):
            return Form(stream=True, usage=not self._no_usage)
        return PLAIN

    def other(self, form: Form, failure: Failure, body: bytes) -> Form | None:
        """The form to try after a refusal that may be because of this one; None: it is not.

        A prompt that the server echoes may contain the word. Then the other form is refused too, and nothing is learned.
        """
        if not self._able or self._in_vain >= IN_VAIN or not _refused(failure):
            return None
        words = body[:READ_BODY] + failure.reason.encode()
        if form.stream and form.usage and _USAGE.search(words):
            return Form(stream=True, usage=False)
        if self._mode != "auto" or not _MENTIONED.search(words):
            return None
        return PLAIN if form.stream else Form(stream=True, usage=not self._no_usage)

    def learn(self, first: Form, last: Form, outcome: object) -> None:
        """The first form was refused; learns from the outcome of the last one."""
        if isinstance(outcome, Failure):
            self._in_vain += _refused(outcome)
            return
        self._in_vain = 0
        self._no_usage = self._no_usage or (last.stream and not last.usage)
        if last.stream and not first.stream:
            self._demands = True
        elif first.stream and not last.stream:
            self._refuses, self._demands = True, False

    def streamed(self, form: Form) -> None:
        """A response came as a stream. A server that streams unasked is asked to, so that it states the usage."""
        if self._able and not form.stream:
            self._demands = True

    def explained(self, form: Form, failure: Failure, body: bytes) -> Failure:
        """A refusal that a setting causes, with the line to write: each further request would be refused too."""
        if self._mode is not False or failure.kind != "permanent" or not _refused(failure):
            return failure
        if not _DEMANDED.search(body[:READ_BODY].decode("utf-8", "replace")):
            return failure
        return replace(
            failure,
            kind="parked",
            reason=f'the server demands a stream; set stream = "auto": {failure.reason}',
        )


def _refused(failure: Failure) -> bool:
    """Whether the request itself was refused, under its own status or as an error under a 200."""
    return failure.status in _REFUSALS or (failure.kind == "malformed" and failure.charge == "none")
