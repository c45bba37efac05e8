"""Estimates token counts. They only reserve costs, so no tokenizer is downloaded.

`estimate_tokens` counts bytes; `Correction` learns a model's ratio of billed to estimated tokens from its responses, so
that reservations are close after a few requests.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.teachers.messages import Request

BYTES_PER_TOKEN = 4
MESSAGE_OVERHEAD = 4
"""Tokens that the chat template adds to each message."""


def estimate_tokens(text: str) -> int:
    """The approximate number of tokens in `text`; at least 1 unless it is empty."""
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_PER_TOKEN)


def estimate_prompt(request: Request) -> int:
    """The approximate prompt tokens of a request, including the chat template."""
    return sum(estimate_tokens(message.content) + MESSAGE_OVERHEAD for message in request.messages)


@dataclass(slots=True)
class Correction:
    """The learned ratio of observed to estimated tokens, an exponential average within bounds."""

    ratio: float = 1.0
    smoothing: float = 0.1
    low: float = 0.25
    high: float = 4.0
    seen: int = 0

    def observe(self, estimated: int, observed: int) -> None:
        """Learns from one response; the first responses have more weight."""
        if estimated <= 0 or observed <= 0:
            return
        self.seen += 1
        weight = max(self.smoothing, 1 / (self.seen + 1))
        ratio = min(self.high, max(self.low, observed / estimated))
        self.ratio += weight * (ratio - self.ratio)

    def apply(self, estimated: int) -> int:
        """The corrected estimate, rounded up."""
        return -int(-estimated * self.ratio // 1)
