"""Log-probabilities of the built-in teacher's tokens. The simulated model has no distribution, so these are invented.

They are consistent enough to test a client: a pure function of the text; the chosen token is likeliest most of the time;
alternatives are taken from the text; the probabilities of one position add up to less than 1.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

from engine.practice.tokens import tokens_of

Position = tuple[str, float, list[tuple[str, float]]]
"""A token, its log-probability, and the likeliest tokens of its position with theirs."""


def logprobs(text: str, most: int) -> list[Position]:
    """For each token of `text` its log-probability, and up to `most` of the likeliest at its position, likeliest first."""
    tokens = tokens_of(text)
    words = sorted(set(tokens))
    rng = random.Random(f"likelihoods|{text}")
    positions: list[Position] = []
    for token in tokens:
        others = [word for word in rng.sample(words, min(len(words), most + 1)) if word != token][:most]
        weights = sorted((rng.random() ** 4 for _ in others), reverse=True)
        chosen = 0.2 + 3 * rng.random()
        whole = chosen + sum(weights) + 0.05
        entries = [(token, chosen), *zip(others, weights, strict=True)]
        ranked = sorted(
            ((word, _log(weight / whole)) for word, weight in entries), key=lambda entry: -entry[1]
        )
        positions.append((token, _log(chosen / whole), ranked[:most]))
    return positions


def chat_form(text: str, most: int) -> Mapping[str, Any]:
    """In the form of a chat completion's choice."""

    def shown(token: str, value: float) -> dict[str, Any]:
        return {"token": token, "logprob": value, "bytes": list(token.encode())}

    content = [
        {**shown(token, value), "top_logprobs": [shown(*entry) for entry in top]}
        for token, value, top in logprobs(text, most)
    ]
    return {"content": content, "refusal": None}


def plain_form(text: str, most: int) -> Mapping[str, Any]:
    """In the form of a text completion's choice."""
    positions = logprobs(text, most)
    offsets, at = [], 0
    for token, _, _ in positions:
        offsets.append(at)
        at += len(token)
    return {
        "tokens": [token for token, _, _ in positions],
        "token_logprobs": [value for _, value, _ in positions],
        "top_logprobs": [dict(top) for _, _, top in positions],
        "text_offset": offsets,
    }


def _log(share: float) -> float:
    return math.log(max(share, 1e-9))
