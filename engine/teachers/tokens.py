"""Estimates and bounds token counts, without a tokenizer, since no model's own one is downloaded.

`estimate_tokens` divides bytes by four: what a request is expected to take from a limit. `Correction` learns a model's
ratio of billed to estimated tokens from its responses. `bound_tokens` is what money is reserved by: tokenizers of today's
models work on bytes, or fall back to them, so each token stands for at least one byte. A text is at most as many
tokens as bytes, and digits, rare scripts and random letters come close to that.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.teachers.messages import Completion, Request

BYTES_PER_TOKEN = 4
MESSAGE_OVERHEAD = 4
"""Tokens that the chat template adds to each message."""
BOUND_OVERHEAD = 12
"""The most that it adds: marks around a role and a text are 4 to 8 tokens."""
PROMPT_OVERHEAD = 80
"""The most that it adds to a prompt: system prompts of their own that models are given by default have 20 to 70 tokens."""
AGAIN = 2
"""The most tokens of an answer's text when it is sent back, for each token that it was billed with.

It is mostly one: a text is not always divided as it was written.
"""
LONGEST_CHARACTER = 4
"""Bytes of a character in UTF-8."""
LONGEST_TOKEN = 16
"""Bytes of a text for each of its tokens: a server that states fewer tokens is not believed."""


def estimate_tokens(text: str) -> int:
    """The approximate number of tokens in `text`; at least 1 unless it is empty."""
    return -(-bound_tokens(text) // BYTES_PER_TOKEN)


def estimate_prompt(request: Request) -> int:
    """The approximate prompt tokens of a request, including the chat template."""
    scored = estimate_tokens(request.given or "")
    return scored + sum(estimate_tokens(message.content) + MESSAGE_OVERHEAD for message in request.messages)


def bound_tokens(text: str) -> int:
    """The most tokens that `text` can be: its bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def bound_prompt(request: Request, received: Completion | None = None) -> int:
    """The most prompt tokens of a request, including the chat template and a system prompt of the model's own.

    An answer that was `received` before and is part of the request is known by its tokens.
    """
    most = PROMPT_OVERHEAD + bound_tokens(request.given or "")
    most += sum(bound_tokens(message.content) + BOUND_OVERHEAD for message in request.messages)
    if received is None or not (text := received.text.strip()):
        return most
    size, told = bound_tokens(text), received.usage
    if told.estimated or size > LONGEST_TOKEN * told.completion_tokens:
        return most
    again = AGAIN * told.completion_tokens
    sent_back = any(text in message.content for message in request.messages)
    return most - size + again if again < size and sent_back else most


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
