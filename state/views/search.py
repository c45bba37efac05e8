"""Words in samples: what a person typed, understood once, and looked for in the index and behind it.

`flip* tails "heads up"`: every word must occur, whole, in question, rationale, answer or reason; a word that ends in `*`
is the beginning of one; what stands in quotation marks must occur as it stands. The case does not matter.

Invariants: a sample that the index (`state/search.py`) has not reached is read instead, and found by the same rules,
so how far the index has come changes the time and never the result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from state import sqlite
from state.search import TEXT
from state.sqlite import Connection
from state.views.rows import first, rows

_PART = re.compile(r'"([^"]*)"?|(\S+)')
_TOKEN = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Terms:
    """What a text asks for: `tokens` with whether each is only a beginning, and `phrases` as they stand."""

    tokens: tuple[tuple[str, bool], ...]
    phrases: tuple[str, ...]

    @property
    def match(self) -> str:
        """The tokens as a query of FTS5; empty where there are none that its tokenizer is sure to have."""
        return " ".join(
            f'"{token}"' + ("*" if start else "") for token, start in self.tokens if token.isascii()
        )

    @property
    def exact(self) -> bool:
        """Whether the query says it all, so that what it finds need not be looked at."""
        return not self.phrases and all(token.isascii() for token, _ in self.tokens)

    def within(self) -> Callable[[str], bool]:
        """Whether a text has all of it."""
        patterns = [
            re.compile(f"(?<![^\\W_]){re.escape(token)}" + ("" if start else "(?![^\\W_])"), re.IGNORECASE)
            for token, start in self.tokens
        ]
        patterns += [re.compile(re.escape(phrase), re.IGNORECASE) for phrase in self.phrases]
        return lambda text: all(pattern.search(text) for pattern in patterns)


@lru_cache(maxsize=32)
def parse_terms(text: str) -> Terms:
    """The terms of what was typed."""
    tokens: list[tuple[str, bool]] = []
    phrases: list[str] = []
    for quoted, word in _PART.findall(text):
        given = quoted or word
        start = bool(word) and word.endswith("*")
        body = word[:-1] if start else given
        found = _TOKEN.findall(body)
        if quoted or not found or found != [body]:  # "14.00" must stand as it stands
            phrases += [body] if body.strip() else []
            # The ends of what is quoted may be parts of words: only what stands within is sure to be whole.
            found = found if not quoted else _whole(body, found)
            start = start and bool(word)
        tokens += [(token, start and at == len(found) - 1) for at, token in enumerate(found)]
    return Terms(tuple(dict.fromkeys(tokens)), tuple(dict.fromkeys(phrases)))


def _whole(body: str, found: list[str]) -> list[str]:
    first_at = 1 if found and body.startswith(found[0]) else 0
    last_at = len(found) - (1 if found and body.endswith(found[-1]) else 0)
    return found[first_at:last_at]


def indexed_upto(connection: Connection) -> int:
    """Up to which id the index has come; 0 where there is none, or this SQLite cannot read it."""
    if first(connection, "SELECT 1 FROM sqlite_schema WHERE name = 'sample_words_upto'") is None:
        return 0
    try:
        connection.execute("SELECT rowid FROM sample_words WHERE rowid = 0").fetchone()
    except sqlite.OperationalError:
        return 0
    found = first(connection, "SELECT upto FROM sample_words_upto")
    return int(found[0]) if found is not None else 0


def ids_with_words(
    connection: Connection,
    text: str,
    low: int,
    high: int,
    clauses: Sequence[str],
    values: Sequence[Any],
    upto: int,
) -> list[int]:
    """Ids from `low` to `high` of samples `s` that have the words of `text` and fulfil `clauses`, newest first."""
    terms = parse_terms(text)
    where = "".join(f" AND {clause}" for clause in clauses)
    edge = min(high, upto) if terms.match else low - 1
    found = _read(connection, terms, f"s.id BETWEEN ? AND ?{where}", (max(low, edge + 1), high, *values))
    if edge >= low:
        there = _looked_up(connection, terms, low, edge, where, values)
        holes = f"s.id IN (SELECT sample_id FROM sample_words_hole WHERE sample_id BETWEEN ? AND ?){where}"
        there += _read(connection, terms, holes, (low, edge, *values))
        found += sorted(there, reverse=True)
    return found


def _looked_up(
    connection: Connection, terms: Terms, low: int, high: int, where: str, values: Sequence[Any]
) -> list[int]:
    sql = "SELECT {} FROM sample_words w{} WHERE w.sample_words MATCH ? AND w.rowid BETWEEN ? AND ?"
    bounds = (terms.match, low, high)
    if terms.exact and not where:
        return [row[0] for row in rows(connection, sql.format("w.rowid", ""), bounds)]
    joined = " CROSS JOIN sample s ON s.id = w.rowid CROSS JOIN question q ON q.id = s.question_id"
    if terms.exact:
        return [row[0] for row in rows(connection, sql.format("s.id", joined) + where, (*bounds, *values))]
    has = terms.within()
    found = rows(connection, sql.format(f"s.id, {TEXT}", joined) + where, (*bounds, *values))
    return [key for key, text in found if has(text)]


def _read(connection: Connection, terms: Terms, where: str, values: Sequence[Any]) -> list[int]:
    """Looks through the texts themselves: of what SQLite lets through, those that really have it."""
    pieces = [token for token, _ in terms.tokens if token.isascii()]
    pieces += [phrase for phrase in terms.phrases if phrase.isascii()]
    # Not LIKE: it ends at a NUL, which what a model wrote may well have.
    pieces = [piece.lower() for piece in pieces]
    has_pieces = "".join(" AND instr(lower(text), ?) > 0" for _ in pieces)
    has = terms.within()
    found = rows(
        connection,
        f"SELECT id, text FROM (SELECT s.id AS id, {TEXT} AS text FROM sample s NOT INDEXED"
        f" JOIN question q ON q.id = s.question_id WHERE {where} AND s.state <> 'open' ORDER BY s.id DESC)"
        f" WHERE 1{has_pieces} ORDER BY id DESC",
        (*values, *pieces),
    )
    return [key for key, text in found if has(text)]
