"""What strategies and APIs exchange: a request, a completion, its usage.

They are never changed after creation. They are not frozen dataclasses because those take three times as long to
create, and each sample creates several.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from state.logprobs import Logprobs

Role = Literal["system", "user", "assistant"]
ReasoningKind = Literal["full", "summary", "hidden"]

FINISH_REASONS = frozenset({"stop", "length", "content_filter", "refusal", "unknown"})
"""The finish reasons whose meaning is known; `unknown` is an answer that states none."""


@dataclass(slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(kw_only=True, slots=True)
class Request:
    """One turn for a teacher, independent of the API's dialect.

    It asks for `n` completions of at most `max_tokens` completion tokens each, ended by any of the `stop` strings.
    `logprobs` above 0 asks for each token's log-probability and for that many alternatives.
    """

    messages: tuple[Message, ...]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int = 1
    logprobs: int = 0
    prompt_ids: tuple[int, ...] = ()
    """Tokens in place of the messages, for APIs of text completions."""
    replicates: tuple[int, ...] = ()
    """Which samples of a question it asks for. Sent to the built-in teacher only, so that its answers depend on nothing else."""
    given: str | None = None
    """A text behind the prompt that is scored and not continued: the completion is that text with its log-probabilities."""


@dataclass(kw_only=True, slots=True)
class Usage:
    """Tokens as billed. `estimated` is true if the response had no usable numbers.

    Cached tokens (read from the provider's cache) and tokens written to the cache are included in the prompt tokens,
    reasoning tokens in the completion tokens. `cost_usd` is what the provider says it billed, in dollars, if it does.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    cost_usd: float | None = None


@dataclass(kw_only=True, slots=True)
class Completion:
    """One completion of a teacher.

    `finish_reason` is one of `FINISH_REASONS`, or the API's own word.
    """

    text: str
    usage: Usage
    finish_reason: str = "stop"
    reasoning: str | None = None
    reasoning_kind: ReasoningKind | None = None
    model: str = ""
    provider_id: str | None = None
    logprobs: Logprobs | None = None
    extra: dict[str, object] = field(default_factory=dict)
