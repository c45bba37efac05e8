"""The distributions that a student learns from: the file `targets.bin`, and the columns of rows. Needs numpy, not torch.

The file has the log-probabilities of each sample as they are stored (`state/logprobs.py`), so it is rebuilt byte for byte:

    b"CTGT", a version byte, the number of samples, the width (uint32 each)
    per sample: its id (int64), the number of its answers (uint8), and the length (uint32) and bytes of each
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engine.curation.align import Position, aligned, spans, taught_spans
from engine.errors import JobFailed
from engine.methods import TrainRow
from state.logprobs import unpack, widest

FILE = "targets.bin"
MAGIC = b"CTGT\x01"

Stored = Mapping[int, Sequence[bytes]]
"""Packed log-probabilities of a sample's answers, by its id."""


def targets_bytes(stored: Stored) -> bytes:
    """The content of the file."""
    width = max((widest(data) for parts in stored.values() for data in parts), default=0)
    found = [MAGIC, struct.pack("<II", len(stored), width)]
    for key, parts in sorted(stored.items()):
        found.append(struct.pack("<qB", key, len(parts)))
        found += [piece for data in parts for piece in (struct.pack("<I", len(data)), data)]
    return b"".join(found)


def digest_of_targets(stored: Stored) -> str:
    """The SHA-256 of the file."""
    return hashlib.sha256(targets_bytes(stored)).hexdigest()


def read_targets(path: Path, digest: str) -> tuple[dict[int, list[bytes]], int]:
    """The stored log-probabilities, and the largest number of alternatives to a token.

    Raises:
        JobFailed: the file is missing or not the one that the run was made with.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise JobFailed(f"{path} is missing: it has the distributions that the student learns from") from None
    if hashlib.sha256(data).hexdigest() != digest or not data.startswith(MAGIC):
        raise JobFailed(
            f"{path} is damaged: it is not the file that the run was made with. Remove the directory of the run; it is written"
            " again from state.db"
        )
    count, width = struct.unpack_from("<II", data, len(MAGIC))
    at = len(MAGIC) + 8
    found: dict[int, list[bytes]] = {}
    for _ in range(count):
        key, parts = struct.unpack_from("<qB", data, at)
        at += 9
        found[key] = []
        for _ in range(parts):
            (length,) = struct.unpack_from("<I", data, at)
            found[key].append(data[at + 4 : at + 4 + length])
            at += 4 + length
    return found, width


@dataclass
class Targets:
    """Makes the columns of rows: tokens, the target first, and their probabilities, at each supervised token."""

    stored: Mapping[int, Sequence[bytes]]
    width: int
    """The largest number of alternatives to a token."""
    texts: Sequence[str]
    """The text of each token of the student."""
    written: Callable[[TrainRow], str]
    """What the student writes for a row."""
    tail: bool
    """Whether the tokens that are not known keep their share; else the known ones get it."""
    tokens: int = 0
    """Tokens of rows with a rationale, so far."""
    known: int = 0
    """Those of them that have a distribution."""
    _vocabulary: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for key, text in enumerate(self.texts):
            if text in seen:
                self._vocabulary.pop(text, None)
            else:
                seen.add(text)
                self._vocabulary[text] = key

    def columns(self, row: TrainRow, ids: Sequence[int], places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[supervised, width + 1] tokens (int32) and probabilities (float32) of a row.

        Args:
            row: the row.
            ids: the tokens of its completion.
            places: [supervised] which of them the loss counts.
        """
        found = self.positions(row, ids)
        if row.rationale is not None:
            self.tokens += len(places)
        own = np.asarray(ids, dtype=np.int32)[places]
        tokens = np.repeat(own[:, None], self.width + 1, axis=1)
        shares = np.zeros(tokens.shape, dtype=np.float32)
        shares[:, 0] = 1.0
        for line, place in enumerate(places):
            if (position := found[place]) is None:
                continue
            self.known += 1
            several = np.asarray(position.shares)
            tokens[line, : len(several)] = position.ids
            shares[line, : len(several)] = several if self.tail else several / several.sum()
        return tokens, shares

    def positions(self, row: TrainRow, ids: Sequence[int]) -> list[Position | None]:
        """The distribution at each token of the completion of a row."""
        parts = self.stored.get(row.sample_id or 0, ())
        if row.rationale is None or not parts:
            return [None] * len(ids)
        text = self.written(row)
        own = spans([self.texts[token] for token in ids], text)
        for data in parts:
            logprobs = unpack(data)
            taught = taught_spans(logprobs.tokens, text, row.rationale)
            if any(taught):
                return aligned(ids, own, taught, logprobs, self._vocabulary)
        return [None] * len(ids)

    def mean_logprob(self, row: TrainRow) -> float:
        """The mean log-probability that the teacher gave the tokens of its first answer; 0 where it is not known."""
        parts = self.stored.get(row.sample_id or 0, ())
        return unpack(parts[0]).mean if parts else 0.0

    def said(self) -> str:
        """How many tokens have a distribution, for the log.

        Raises:
            JobFailed: none has one.
        """
        if not self.known:
            raise JobFailed(
                'training.objective = "distribution": no token of the rationales has a distribution of its teacher. Either the'
                " server sent no log-probabilities, or its tokens are never those of the student: let both have the same"
                ' tokenizer, or set objective = "tokens"'
            )
        return (
            f"{self.known:,} of {self.tokens:,} tokens of rationales and answers have a distribution of their teacher"
            f" ({self.known / self.tokens:.0%}); at the others, the token alone is learned"
        )
