"""A random order of ids that a seed decides: the same on every machine, and the first n are among the first n + 1."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def sort_key(seed: int, key: int) -> bytes:
    """An id's place in the order of a seed."""
    return hashlib.blake2b(f"{seed}|{key}".encode(), digest_size=16).digest()


def first(ids: Iterable[int], count: int, seed: int) -> frozenset[int]:
    """The first `count` of the ids in the order of a seed."""
    return frozenset(sorted(ids, key=lambda key: sort_key(seed, key))[:count])


def drawn(key: str, count: int, among: int, seed: int) -> list[int]:
    """Different numbers below `among`, in random order: `count` of them, or all if there are no more. A function of key and seed."""
    found: dict[int, None] = {}
    number = 0
    while len(found) < min(count, among):
        digest = hashlib.blake2b(f"{seed}|{key}|{number}".encode(), digest_size=8).digest()
        found[int.from_bytes(digest) % among] = None
        number += 1
    return list(found)
