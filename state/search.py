"""The full-text index of samples that the monitor searches, built in the background.

It holds the words of question, rationale, answer and reason of every ended sample (FTS5, without the texts: about
160 bytes per sample). A sample's texts never change after it ended, so each row is written once. The index follows
the samples: it covers all ids up to `upto` except the `holes`, samples that were still open when it passed them.

It is derived data: not part of `schema.sql`, created if missing, and may be dropped at any time. A SQLite without FTS5
works without it. `state/views/search.py` searches it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from state import sqlite
from state.sqlite import Connection

HOLES = 200  # rechecked per batch

TABLES = """
CREATE VIRTUAL TABLE IF NOT EXISTS sample_words USING fts5(
    words, content='', contentless_delete=1, detail=none, tokenize='unicode61 remove_diacritics 0');
CREATE TABLE IF NOT EXISTS sample_words_upto (id INTEGER PRIMARY KEY CHECK (id = 1), upto INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS sample_words_hole (sample_id INTEGER PRIMARY KEY) STRICT;
INSERT OR IGNORE INTO sample_words_upto VALUES (1, 0)
"""

TEXT = "q.text || char(10) || coalesce(s.rationale, '') || char(10) || coalesce(s.answer, '') || char(10) || coalesce(s.reason, '')"
"""The searched text of a sample `s` with its question `q`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexStep:
    """One step of indexing: ids `looked` at, ids `left`, `seconds` taken. `able` is False without FTS5."""

    looked: int = 0
    left: int = 0
    seconds: float = 0.0
    able: bool = True


def index_words(connection: Connection, sizes: Sequence[int]) -> list[IndexStep]:
    """Indexes the next samples, as many ids as `sizes` say, and holes whose samples ended."""
    return [_index(connection, size) for size in sizes]


def _index(connection: Connection, size: int) -> IndexStep:
    try:
        return _take(connection, size)
    except sqlite.OperationalError as error:
        if "no such module" in str(error):
            return IndexStep(able=False)
        raise


def _take(connection: Connection, size: int) -> IndexStep:
    began = time.perf_counter()
    upto = _upto(connection)
    newest = connection.execute("SELECT coalesce(max(id), 0) FROM sample").fetchone()[0]
    last = min(newest, upto + size)
    _fill_holes(connection)
    if last > upto:
        connection.execute(
            f"INSERT INTO sample_words (rowid, words) SELECT s.id, {TEXT} FROM sample s"
            " JOIN question q ON q.id = s.question_id WHERE s.id BETWEEN ? AND ? AND s.state <> 'open'",
            (upto + 1, last),
        )
        connection.execute(
            "INSERT OR IGNORE INTO sample_words_hole SELECT id FROM sample WHERE id BETWEEN ? AND ? AND state = 'open'",
            (upto + 1, last),
        )
        connection.execute("UPDATE sample_words_upto SET upto = ?", (last,))
    return IndexStep(looked=last - upto, left=newest - last, seconds=time.perf_counter() - began)


def _upto(connection: Connection) -> int:
    """The last indexed id; creates the index if it is missing."""
    there = connection.execute(
        "SELECT count(*) FROM sqlite_schema WHERE name IN ('sample_words', 'sample_words_upto', 'sample_words_hole')"
    ).fetchone()[0]
    if there < 3:
        for name in ("sample_words", "sample_words_upto", "sample_words_hole"):
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        for statement in TABLES.split(";"):
            connection.execute(statement)
    return int(connection.execute("SELECT upto FROM sample_words_upto").fetchone()[0])


def _fill_holes(connection: Connection) -> None:
    ended = connection.execute(
        "SELECT s.id FROM sample_words_hole h CROSS JOIN sample s ON s.id = h.sample_id WHERE s.state <> 'open' LIMIT ?",
        (HOLES,),
    ).fetchall()
    for (sample,) in ended:
        connection.execute(
            f"INSERT INTO sample_words (rowid, words) SELECT s.id, {TEXT} FROM sample s"
            " JOIN question q ON q.id = s.question_id WHERE s.id = ?",
            (sample,),
        )
        connection.execute("DELETE FROM sample_words_hole WHERE sample_id = ?", (sample,))
