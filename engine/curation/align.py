"""Finds the teacher's distribution for a student's tokens, by the characters that tokens cover. Works on texts alone.

Only where a token of the student and one of the teacher cover the same characters of the rationale does the student's token get
the teacher's distribution. Of its candidates those count that are one token of the student's; the others are in the tail.
With one tokenizer these are all tokens. Joining or splitting tokens over other boundaries makes students worse
(docs/method.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp

from state.logprobs import Logprobs

ANCHORS = (16, 8, 4)
"""Characters by which the beginning of the rationale is found in the student's text: a method may write the rest otherwise."""
BROKEN = "\ufffd"
"""In a piece that is no whole character."""
WIDEST = 4
"""Characters that a broken piece may stand for."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Position:
    """What is known of a teacher's distribution: tokens of the student with probabilities, the written token first. Their sum is at most 1."""

    ids: tuple[int, ...]
    shares: tuple[float, ...]


def spans(pieces: Sequence[str], text: str, at: int = 0) -> list[Span | None]:
    """The characters of a text that each of its tokens covers, from `at` on.

    None for pieces of characters, for empty ones, and for all from the first on that does not continue the text.
    """
    found: list[Span | None] = []
    broken = 0
    for piece in pieces:
        if _broken(piece):
            broken += 1
            found.append(None)
            continue
        if broken:
            ends = range(at, min(len(text), at + WIDEST * broken) + 1)
            at = next((end for end in ends if piece and text.startswith(piece, end)), at)
        if not text.startswith(piece, at):
            break
        found.append((at, at + len(piece)) if piece else None)
        at, broken = at + len(piece), 0
    return found + [None] * (len(pieces) - len(found))


def taught_spans(tokens: Sequence[str], text: str, rationale: str) -> list[Span | None]:
    """The characters of a student's text that each of a teacher's tokens covers: those of the rationale, and what continues it.

    All None if the rationale is not in what the teacher wrote, or not in the text.
    """
    rationale = rationale.strip()
    own = next((at for size in ANCHORS if (at := text.find(rationale[:size])) >= 0), -1)
    if not rationale or own < 0:
        return [None] * len(tokens)
    found = [_from(tokens, text, own, begin) for begin in _begins(tokens, rationale)]
    return max(found, key=lambda each: len(each) - each.count(None), default=[None] * len(tokens))


def _begins(tokens: Sequence[str], rationale: str) -> list[int]:
    """Where in a teacher's tokens the rationale may begin. If some are pieces of characters, it is found by its first characters."""
    joined = "".join(tokens)
    begin = joined.find(rationale)
    if begin >= 0 or not any(map(_broken, tokens)):
        return [begin] if begin >= 0 else []
    places = ([each.start() for each in re.finditer(re.escape(rationale[:size]), joined)] for size in ANCHORS)
    return next(filter(None, places), [])


def _from(tokens: Sequence[str], text: str, own: int, begin: int) -> list[Span | None]:
    """The characters that each token covers, if `own` in the text is `begin` in the joined tokens."""
    start = 0
    for number, token in enumerate(tokens):
        # The first token may begin with the space before the rationale.
        early = begin - start
        if start + len(token) > begin:
            if early <= own and text.startswith(token, own - early):
                return [None] * number + spans(tokens[number:], text, own - early)
            later = number + 1
            return [None] * later + spans(tokens[later:], text, own + len(token) - early)
        start += len(token)
    return [None] * len(tokens)


def _broken(piece: str) -> bool:
    """Whether a token is no whole characters: OpenAI writes the bytes of such a one."""
    return BROKEN in piece or piece.startswith("bytes:")


def aligned(
    ids: Sequence[int],
    own: Sequence[Span | None],
    taught: Sequence[Span | None],
    logprobs: Logprobs,
    vocabulary: Mapping[str, int],
) -> list[Position | None]:
    """The distribution of each token of a student; None where it has none.

    Args:
        ids: the student's tokens.
        own: the characters that each covers.
        taught: the characters that each token of the teacher covers.
        logprobs: of the teacher's tokens.
        vocabulary: the student's token with a text, where it is the only one.
    """
    by_span = {span: number for number, span in enumerate(taught) if span is not None}
    return [
        None
        if span is None or (number := by_span.get(span)) is None
        else _position(
            token, logprobs.tokens[number], logprobs.values[number], logprobs.top[number], vocabulary
        )
        for token, span in zip(ids, own, strict=True)
    ]


def _position(
    token: int,
    written: str,
    value: float,
    top: Sequence[tuple[str, float]],
    vocabulary: Mapping[str, int],
) -> Position:
    shares = {token: exp(min(value, 0.0))}
    for text, each in top:
        candidate = token if text == written else vocabulary.get(text)
        if candidate is not None:
            shares[candidate] = max(shares.get(candidate, 0.0), exp(min(each, 0.0)))
    scale = max(1.0, sum(shares.values()))  # they are rounded
    return Position(tuple(shares), tuple(each / scale for each in shares.values()))
