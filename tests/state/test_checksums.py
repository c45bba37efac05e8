"""Texts whose bits flipped on the disk are found when they are read, named, and refused."""

from __future__ import annotations

from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.authors import Authors
from state.bulk import rows_json
from state.checksums import TABLES, Damaged, checksum, damaged_tasks, fill, intact, named
from state.errors import StateDamaged
from state.exports import predictions, samples
from state.regrades import graded_samples
from state.run_reports import Predictions, store_predictions
from state.runs import create_run
from state.sqlite import dbapi
from state.training_samples import stored_questions, stored_samples
from tests.state.test_runs import NEW
from tests.state.world import World, stored


@given(st.lists(st.one_of(st.none(), st.text(alphabet=st.characters(codec=None))), min_size=2, max_size=2))
def test_what_is_read_back_has_the_checksum_of_what_was_written(texts: list[str | None]) -> None:
    with closing(dbapi.connect(":memory:")) as opened:
        row = opened.execute("SELECT ? ->> 0, ?1 ->> 1", (rows_json([texts])[1:-1],)).fetchone()
    assert intact(checksum(*texts), *row)


def test_rows_differ_where_their_texts_do() -> None:
    rows = [("a", "b"), ("ab", ""), ("", "ab"), (None, "ab"), ("ab", None), ("b", "a"), ("a\0b", "")]
    assert len({checksum(*row) for row in rows}) == len(rows)
    assert intact(None, "whatever"), "rows of an earlier version have none"
    assert named([Damaged("sample", key) for key in range(7)]).endswith("sample 4 and 2 more")


FLIPS = {"a letter": b"becausd", "no text any more": b"bec\xe1use"}


def flip(world: World, table: str, column: str, key: int, data: bytes) -> None:
    """Some bits of a text are others, as after a fault of the disk: no code of ours wrote that."""
    world.connection.execute(f"UPDATE {table} SET {column} = CAST(? AS TEXT) WHERE rowid = ?", (data, key))


@pytest.mark.parametrize("data", FLIPS.values(), ids=list(FLIPS))
def test_a_damaged_sample_is_named_by_all_that_read_it(world: World, data: bytes) -> None:
    plan = world.plan()
    for sample in world.claim(plan, 3).samples:
        world.record(stored(sample))
    flip(world, "sample", "rationale", 2, data)
    damaged: list[Damaged] = []
    assert [row["sample_id"] for row in samples(world.connection, damaged=damaged)] == [1, 3]
    assert damaged == [Damaged("sample", 2)]
    found = stored_samples(world.connection, [plan], ["a"])
    assert {each.sample_id: each.damage for each in found} == {1: (), 2: (Damaged("sample", 2),), 3: ()}
    damaged = []
    assert [each.id for page in graded_samples(world.connection, None, damaged) for each in page] == [1, 3]
    assert damaged == [Damaged("sample", 2)]


def test_damaged_bodies_predictions_and_questions_are_named(world: World) -> None:
    plan = world.plan()
    for sample in world.claim(plan, 2).samples:
        world.record(stored(sample, raw=b'{"model": "m"}' * 9))
    run = create_run(world.connection, [NEW])[0]
    assert run is not None
    store_predictions(world.connection, [Predictions(run_id=run, rows=((1, "test", "yes", "yes", 1, ""),))])
    assert not [each for each in Authors(world.connection).of([1, 2]).values() if each.damaged]
    assert len(list(predictions(world.connection))) == 1

    (raw,) = world.connection.execute("SELECT raw FROM completion WHERE attempt_id = 1").fetchone()
    other = raw[:12] + bytes([raw[12] ^ 1]) + raw[13:]
    world.connection.execute("UPDATE completion SET raw = ? WHERE attempt_id = 1", (other,))
    flip(world, "prediction", "text", 1, b"yds")
    damaged: list[Damaged] = []
    assert [row["sample_id"] for row in samples(world.connection, damaged=damaged)] == [2]
    assert list(predictions(world.connection, damaged=damaged)) == []
    assert damaged == [Damaged("completion of sample", 1), Damaged(f"prediction of run {run}, question", 1)]

    assert damaged_tasks(world.connection) == set()
    flip(world, "question", "gold", 2, b"ye\xf3")
    assert damaged_tasks(world.connection) == {world.tasks["t"]}
    with pytest.raises(StateDamaged, match="question 2 in state"):
        stored_questions(world.connection, world.tasks["t"], "train")


def test_rows_of_an_earlier_version_get_their_checksums_once(world: World) -> None:
    for sample in world.claim(world.plan(), 5).samples[:4]:
        world.record(stored(sample))
    for table in TABLES:
        world.connection.execute(f"UPDATE {table} SET checksum = NULL")
    flip(world, "sample", "rationale", 2, b"becausd")  # before: nobody can tell
    assert len(list(samples(world.connection))) == 4
    assert fill(world.connection, [3])[0] == 6 and fill(world.connection, [100])[0] > 0
    assert fill(world.connection, [100]) == [0]
    plan = world.connection.execute(
        "EXPLAIN QUERY PLAN SELECT rowid FROM sample WHERE state = 'stored' AND checksum IS NULL LIMIT 1"
    ).fetchall()
    assert "sample_unchecked" in str(plan), "a start does not read a whole table for it"
    flip(world, "sample", "rationale", 3, b"becausd")
    assert [row["sample_id"] for row in samples(world.connection)] == [1, 2, 4]
