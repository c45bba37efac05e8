"""Full-text search in samples.

`flip* tails "heads up"`: every word must occur as a whole word in question, rationale, answer or reason; `*` at the end
makes it a prefix; text in quotation marks must occur literally. Case does not matter.

Invariant: samples that the index (`state/search.py`) does not cover yet are read instead and matched by the same
rules, so the progress of the index changes the time but never the result.
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
    """A parsed query: `tokens`, each with whether it is a prefix, and literal `phrases`."""

    tokens: tuple[tuple[str, bool], ...]
    phrases: tuple[str, ...]

    @property
    def match(self) -> str:
        """The tokens as an FTS5 query; empty if its tokenizer might split all of them differently."""
        return " ".join(
            f'"{token}"' + ("*" if start else "") for token, start in self.tokens if token.isascii()
        )

    @property
    def exact(self) -> bool:
        """Whether the FTS5 query expresses everything, so that its results need no check."""
        return not self.phrases and all(token.isascii() for token, _ in self.tokens)

    def within(self) -> Callable[[str], bool]:
        """A function that tells whether a text matches."""
        patterns = [
            re.compile(f"(?<![^\\W_]){re.escape(token)}" + ("" if start else "(?![^\\W_])"), re.IGNORECASE)
            for token, start in self.tokens
        ]
        patterns += [re.compile(re.escape(phrase), re.IGNORECASE) for phrase in self.phrases]
        return lambda text: all(pattern.search(text) for pattern in patterns)


@lru_cache(maxsize=32)
def parse_terms(text: str) -> Terms:
    """Parses a query."""
    tokens: list[tuple[str, bool]] = []
    phrases: list[str] = []
    for quoted, word in _PART.findall(text):
        given = quoted or word
        start = bool(word) and word.endswith("*")
        body = word[:-1] if start else given
        found = _TOKEN.findall(body)
        if quoted or not found or found != [body]:  # "14.00" must occur literally
            phrases += [body] if body.strip() else []
            # The first and last word of a quotation may be parts of words; only those between are whole.
            found = found if not quoted else _whole(body, found)
            start = start and bool(word)
        tokens += [(token, start and at == len(found) - 1) for at, token in enumerate(found)]
    return Terms(tuple(dict.fromkeys(tokens)), tuple(dict.fromkeys(phrases)))


def _whole(body: str, found: list[str]) -> list[str]:
    first_at = 1 if found and body.startswith(found[0]) else 0
    last_at = len(found) - (1 if found and body.endswith(found[-1]) else 0)
    return found[first_at:last_at]


def indexed_upto(connection: Connection) -> int:
    """The last id in the index; 0 without an index, or if this SQLite cannot read it."""
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
    """Ids from `low` to `high` of samples `s` that match `text` and `clauses`, newest first."""
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
    """Searches the texts themselves: SQLite preselects, and the patterns decide."""
    pieces = [token for token, _ in terms.tokens if token.isascii()]
    pieces += [phrase for phrase in terms.phrases if phrase.isascii()]
    # Not LIKE, which ends at a NUL: model output may contain one.
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
