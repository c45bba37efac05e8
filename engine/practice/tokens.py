"""The built-in teacher's tokens, by which it counts, bills and cuts.

A token is a piece of a word of up to six letters, up to three digits or one other character, each with one leading space,
or a run of other white space. The tokens of a text, joined, give the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice

_TOKEN = re.compile(r" ?[^\W\d_]{1,6}| ?\d{1,3}| ?[^\s\w]| ?_|\s+(?=\s)|\s+| ?\w")


def count_tokens(text: str) -> int:
    """The number of tokens."""
    return sum(1 for _ in _TOKEN.finditer(text))


def tokens_of(text: str) -> list[str]:
    """The tokens, in order."""
    return [match.group() for match in _TOKEN.finditer(text)]


def cut(text: str, limit: int, stop: Sequence[str] = ()) -> tuple[str, int, str]:
    """The text up to the first stop string, and at most `limit` tokens of it.

    Returns:
        The text, its tokens, and the finish reason: `stop` or `length`.
    """
    ends = [at for at in (text.find(word) for word in stop) if at >= 0]
    if ends:
        text = text[: min(ends)]
    tokens = 0
    for match in islice(_TOKEN.finditer(text), limit + 1):
        if tokens == limit:
            return text[: match.start()], tokens, "length"
        tokens += 1
    return text, tokens, "stop"
