"""How a request to a teacher can fail. What happens next depends only on the kind of failure.

| kind | means |
|---|---|
| limited | a limit or a busy server: the key pauses or sends fewer; the sample's attempt does not count |
| parked | key, quota, billing, URL or a setting: parked until you act, unless others are answered |
| transient | worth retrying: 408, 409, 424, 5xx, no connection |
| ambiguous | sent, but no complete response arrived: it may have been billed |
| permanent | the request itself is rejected: the sample fails, unless nothing was answered yet |
| malformed | a 2xx response without a completion; its raw bytes are stored |

Words alone never decide whose refusal it is. `blame` is what they suggest; the daemon decides by what it sees of other
requests of the same key (`daemon/limits/evidence.py`).

| blame | suggests |
|---|---|
| request | this request, which will be refused whenever it is sent: content, too long |
| recording | that this request's question is none of those that were recorded: it says nothing of any other |
| sample | the text that was sampled this time: the same request may be answered the next time |
| setting | a setting that all requests of the plan share |
| key | the key, its permissions, or the model |
| money | the balance behind the key |
| place | `base_url`, a proxy, a certificate |
| (empty) | nothing |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from engine.teachers.headers import RateHeaders
    from engine.teachers.messages import Usage

NOT_RECORDED = "the question has no recorded completion"
"""How the reason begins that a teacher with recorded completions gives a sample up for."""

LimitScope = Literal["requests", "tokens", "input", "output", "concurrency"]
"""The limit that was reached: requests, all tokens, prompt tokens, completion tokens, or concurrent requests."""
FailureKind = Literal["limited", "parked", "transient", "ambiguous", "permanent", "malformed"]
Blame = Literal["", "request", "recording", "sample", "setting", "key", "money", "place"]
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
    "concurrency" means that this machine cannot open another connection. `coded` means that a code of the provider says
    what is blamed, and not only words, which may repeat a prompt. `cut` means that the token limit ended the
    answer before it had any text. `raw` is the body of a malformed response.
    `usage` is what the response says was used, `charge` what is booked; unset, both follow from the kind.
    """

    kind: FailureKind
    reason: str
    retry_after_s: float | None = None
    status: int | None = None
    reached: bool = True
    scope: LimitScope | None = None
    daily: bool = False
    blame: Blame = ""
    coded: bool = False
    cut: bool = False
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
