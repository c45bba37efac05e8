"""How a request to a teacher can fail. What happens next depends only on the kind of failure.

| kind | means |
|---|---|
| limited | 429: the key pauses; the sample's attempt does not count |
| parked | rejected because of key, quota, billing or URL: the key is parked until you act |
| transient | worth retrying: 408, 409, 5xx, 529, no connection |
| ambiguous | sent, but no complete response arrived: it may have been billed |
| permanent | the request itself is rejected: the sample fails |
| malformed | a 2xx response without a completion; its raw bytes are stored |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from engine.teachers.headers import RateHeaders
    from engine.teachers.messages import Usage

LimitScope = Literal["requests", "tokens", "input", "output", "concurrency"]
"""The limit that was reached: requests, all tokens, prompt tokens, completion tokens, or concurrent requests."""
FailureKind = Literal["limited", "parked", "transient", "ambiguous", "permanent", "malformed"]
Charge = Literal["none", "usage", "unknown"]
"""What a request without a completion costs: nothing, what its `usage` says, or perhaps all that was reserved."""


class MalformedAnswer(Exception):
    """A response that is not a completion. The message says why and contains none of the response's text.

    `usage` is what the response says was used, if it does: it was billed all the same.
    """

    def __init__(self, message: str, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A request without a completion.

    `reason` is one short printable line without the key. `retry_after_s` is the server's request, bounded. `reached`
    is false if no connection was made: nothing was sent, so the attempt does not count. `scope` is the limit that was
    reached, if the message names it, and `daily` whether that is a limit per day; for a transient failure,
    "concurrency" means that this machine cannot open another connection. `raw` is the body of a malformed response.
    `usage` is what the response says was used, `charge` what is booked; unset, both follow from the kind.
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
    usage: Usage | None = None
    charge: Charge | None = None

    @property
    def charged(self) -> Charge:
        """What is booked: as stated, else what `usage` says, else by the kind of failure."""
        if self.charge is not None:
            return self.charge
        if self.usage is not None:
            return "usage"
        return "unknown" if self.kind in ("ambiguous", "malformed") else "none"
