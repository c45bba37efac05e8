"""How a request to a teacher can fail: the classes on which everything that follows is decided.

| kind | means |
|---|---|
| limited | 429: the key's bucket pauses; no attempt of the sample is used up |
| parked | refused for key, quota, billing or address: the key is parked and a person is told |
| transient | worth another try: 408, 409, 5xx, 529, no connection |
| ambiguous | sent, and no whole answer came back: it may have been billed |
| permanent | the request itself is refused: the sample fails |
| malformed | a 2xx that is no completion; the raw bytes are kept |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from engine.teachers.headers import RateHeaders

LimitScope = Literal["requests", "tokens", "input", "output", "concurrency"]
"""A limit that was met: of requests, of tokens together, of prompt or completion tokens, or of requests at once."""
FailureKind = Literal["limited", "parked", "transient", "ambiguous", "permanent", "malformed"]


class MalformedAnswer(Exception):
    """An answer that is no completion; the message says why, and holds nothing of the answer's text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A request that brought no completion.

    `reason` is one short line, safe to show, without the key. `retry_after_s` is what the server asked
    for, bounded. `reached` is false where no connection was made: nothing was sent, and no attempt
    needs to be burned. `scope` is the limit that was met, where a refusal says so in words, and `daily` that it is one a
    day; of a transient failure
    "concurrency" means that this machine has no room for a further connection. `raw` holds the body
    of a malformed answer.
    """

    kind: FailureKind
    reason: str
    retry_after_s: float | None = None
    status: int | None = None
    reached: bool = True
    scope: LimitScope | None = None
    daily: bool = False
    raw: bytes = b""
    headers: RateHeaders | None = None
    latency_s: float = 0.0
    provider_id: str | None = None
