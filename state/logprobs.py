"""Log-probabilities of a completion's tokens, and their stored form.

The stored form is one version byte and a zlib stream: counts, values as float16 (three to four digits), and each
distinct token string once. It is far smaller than the JSON of an API; `completion` keeps the body as received. A
value outside the range of float16 is clamped.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

VERSION = 1
LOWEST = -65504.0  # of float16; APIs write -9999 for "too small to report"


@dataclass(frozen=True, slots=True)
class Logprobs:
    """The tokens of a completion with their natural logarithms of probability, and the alternatives to each.

    `top[i]` are the most likely tokens at position i (usually including the chosen one), in the order of the
    API; it may be empty.
    """

    tokens: tuple[str, ...]
    values: tuple[float, ...]
    top: tuple[tuple[tuple[str, float], ...], ...]

    @property
    def mean(self) -> float:
        """The mean over the chosen tokens; 0 without tokens."""
        return math.fsum(self.values) / len(self.values) if self.values else 0.0


@dataclass(frozen=True, slots=True)
class Packed:
    """Log-probabilities as a row stores them."""

    tokens: int
    mean: float
    data: bytes


def packed(logprobs: Logprobs) -> Packed:
    """Packs them for a row; takes some milliseconds for a long completion, so keep it off the event loop."""
    return Packed(len(logprobs.tokens), logprobs.mean, pack(logprobs))


def pack(logprobs: Logprobs) -> bytes:
    """The stored form; at most 255 alternatives per token."""
    count = len(logprobs.tokens)
    top = [entries[:255] for entries in logprobs.top]
    flat = [entry for entries in top for entry in entries]
    words = dict.fromkeys([*logprobs.tokens, *(token for token, _ in flat)])
    index = {token: number for number, token in enumerate(words)}
    texts = [token.encode("utf-8", "replace") for token in words]
    values = [_fit(value) for value in (*logprobs.values, *(value for _, value in flat))]
    places = [index[token] for token in (*logprobs.tokens, *(token for token, _ in flat))]
    wide = "I" if len(texts) > 0xFFFF else "H"
    body = b"".join(
        (
            struct.pack("<III", count, len(flat), len(texts)),
            bytes(len(entries) for entries in top),
            struct.pack(f"<{len(values)}e", *values),
            struct.pack(f"<{len(places)}{wide}", *places),
            struct.pack(f"<{len(texts)}I", *map(len, texts)),
            *texts,
        )
    )
    return bytes([VERSION]) + zlib.compress(body, 6)


def unpack(data: bytes) -> Logprobs:
    """Reverses `pack`, with the precision of float16.

    Raises:
        ValueError: the version is unknown.
    """
    if not data or data[0] != VERSION:
        raise ValueError(f"log-probabilities of version {data[0] if data else 'none'}; known is {VERSION}")
    body = zlib.decompress(data[1:])
    count, further, words = struct.unpack_from("<III", body)
    at = 12
    counts = body[at : at + count]
    at += count

    def numbers(form: str, many: int) -> tuple[int | float, ...]:
        nonlocal at
        found: tuple[int | float, ...] = struct.unpack_from(f"<{many}{form}", body, at)
        at += struct.calcsize(f"<{many}{form}")
        return found

    values = numbers("e", count + further)
    places = numbers("I" if words > 0xFFFF else "H", count + further)
    texts = []
    start = at + 4 * words
    for length in numbers("I", words):
        texts.append(body[start : start + int(length)].decode("utf-8"))
        start += int(length)
    tokens = [texts[int(place)] for place in places]
    flat = iter(zip(tokens[count:], values[count:], strict=True))
    return Logprobs(
        tokens=tuple(tokens[:count]),
        values=values[:count],
        top=tuple(tuple(_take(flat, number)) for number in counts),
    )


def widest(data: bytes) -> int:
    """The largest number of alternatives to a token, of a stored form."""
    body = zlib.decompress(data[1:])
    (count,) = struct.unpack_from("<I", body)
    return max(body[12 : 12 + count], default=0)


def _take(entries: Iterable[tuple[str, int | float]], number: int) -> Iterable[tuple[str, float]]:
    for _, (token, value) in zip(range(number), entries, strict=False):
        yield token, float(value)


def _fit(value: float) -> float:
    return max(LOWEST, min(-LOWEST, value))
