"""The index of words and what is found with it: the same as by reading every sample."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from state.database import open_reader, open_writer
from state.search import index_words
from state.sqlite import Connection
from state.views.samples import SampleFilter, matching_ids
from state.views.search import indexed_upto, parse_terms
from tests.tui.seeded import SAMPLES, seed

LAST = 3 * SAMPLES
TEXTS = (
    "coin",
    "COIN",
    "coi",
    "coi*",
    "flipped 12",
    "12",
    '"step by step"',
    '"tep by ste"',
    "step-by",
    "many?",
    "中国",
    "中*",
    "content filter",
    "[/foo]",
    "apples tails",
    "nothing-like-this",
    "% _",
    "*",
    '"',
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    seed(tmp_path / "state.db")
    return tmp_path / "state.db"


@pytest.fixture
def writer(path: Path) -> Iterator[Connection]:
    connection = open_writer(path)
    yield connection
    connection.close()


def found(connection: Connection, text: str, upto: int, **more: int) -> list[int]:
    return matching_ids(connection, SampleFilter(text=text, **more), 1, LAST, upto)  # type: ignore[arg-type]


def test_how_far_the_index_has_come_changes_nothing(path: Path, writer: Connection) -> None:
    reader = open_reader(path)
    read = {text: found(reader, text, 0) for text in TEXTS}
    assert len(read["coin"]) == len(read["COIN"]) >= SAMPLES
    assert not read["coi"] and read["coi*"] == read["coin"]
    assert set(read['"tep by ste"']) == set(read['"step by step"']) != set()
    assert read["中国"] and read["content filter"] and read["[/foo]"]
    while index_words(writer, [60])[0].left:
        upto = indexed_upto(reader)
        for text in TEXTS:
            assert found(reader, text, upto) == read[text], (text, upto)
            assert found(reader, text, upto, verdict=0) == found(reader, text, 0, verdict=0)
    assert indexed_upto(reader) == LAST
    assert {text: found(reader, text, LAST) for text in TEXTS} == read
    reader.close()


def test_windows_together_find_what_one_finds(writer: Connection) -> None:
    index_words(writer, [400])
    upto, rng = indexed_upto(writer), random.Random(1)
    wanted = SampleFilter(text="coin")
    cuts = sorted(rng.sample(range(1, LAST), 6))
    parts = [
        matching_ids(writer, wanted, low, high - 1, upto)
        for low, high in zip([1, *cuts], [*cuts, LAST + 1], strict=True)
    ]
    assert [key for part in reversed(parts) for key in part] == found(writer, "coin", 0)


def test_a_sample_that_was_open_is_found_once_it_ended(writer: Connection) -> None:
    while index_words(writer, [1_000])[0].left:
        pass
    assert found(writer, "unheardof", LAST) == []
    writer.execute("UPDATE sample SET state = 'stored', rationale = 'an unheardof word' WHERE id = 169")
    assert found(writer, "unheardof", LAST) == [169]  # read, for it is a hole
    index_words(writer, [1_000])
    assert found(writer, "unheardof", LAST) == [169]  # from the index
    holes = [row[0] for row in writer.execute("SELECT sample_id FROM sample_words_hole ORDER BY 1")]
    assert 169 not in holes
    assert 168 in holes


def test_an_index_that_was_dropped_or_half_dropped_is_made_anew(writer: Connection) -> None:
    index_words(writer, [1_000])
    writer.execute("DROP TABLE sample_words_upto")
    assert indexed_upto(writer) == 0
    assert index_words(writer, [1_000])[0].looked == LAST
    assert len(found(writer, "coin", LAST)) == len(found(writer, "coin", 0))


def test_without_fts5_everything_is_read(writer: Connection) -> None:
    writer.execute("PRAGMA writable_schema = ON")
    index_words(writer, [1_000])
    writer.execute("UPDATE sample_words_upto SET upto = 0")
    writer.execute("UPDATE sqlite_schema SET sql = replace(sql, 'fts5', 'nofts') WHERE name = 'sample_words'")
    path = Path(writer.execute("PRAGMA database_list").fetchone()[2])
    again = open_writer(path)
    assert not index_words(again, [1_000])[0].able
    assert indexed_upto(again) == 0
    again.close()


def test_words_are_whole_beginnings_or_as_they_stand() -> None:
    assert parse_terms("Flip* coins").tokens == (("Flip", True), ("coins", False))
    assert parse_terms("Flip* coins").exact
    quoted = parse_terms('"ead is up n"')
    assert (quoted.tokens, quoted.phrases) == ((("is", False), ("up", False)), ("ead is up n",))
    assert parse_terms("14.00").phrases == ("14.00",)
    assert parse_terms("中国").match == ""
