"""Verdicts that a careful reader gave: what did the writer answer, and is that the gold answer?

`cases/<format>.jsonl` holds one row a line: `completion`, `gold`, `answer_format`, `expected_correct`, `why`, and where they
matter `question` and `repeat` (a text and how often it replaces "<<repeat>>", which keeps long texts short here). Where
a verdict is a rule and not a matter of reading, `why` says that the format documents it. With `-s` the tests print how
many rows of each format hold.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.grading import FORMATS, Verdict, grade
from tests.conftest import DATA

OURS = Path(__file__).parent / "cases"
READ_BY_HAND = DATA.parent / "cases" / "grading" / "read_by_hand.jsonl"
"""More rows of the same form, kept beside the checkout."""

Row = dict[str, Any]
pytestmark = pytest.mark.usefixtures("patient")


def rows(file: Path) -> list[Row]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def written_out(row: Row) -> str:
    """The completion of a row, with its repeated text."""
    piece, times = row.get("repeat", ("", 0))
    return str(row["completion"]).replace("<<repeat>>", piece * times)


def judged(row: Row) -> Verdict:
    return grade(written_out(row), row["gold"], row["answer_format"], question=row.get("question"))


def check(cases: list[Row]) -> None:
    """Fails with every row whose verdict is not the reader's."""
    table, wrong = [], []
    for answer_format in FORMATS:
        of_format = [row for row in cases if row["answer_format"] == answer_format]
        told = [misjudged(row) for row in of_format]
        table.append(f"{answer_format}: {told.count('')} of {len(of_format)} rows hold")
        wrong += [line for line in told if line]
    print("\n" + "\n".join(table))  # noqa: T201 — for a run with -s
    if wrong:
        pytest.fail("\n".join([*wrong, *table]), pytrace=False)


def misjudged(row: Row) -> str:
    """What is wrong with the verdict on a row; empty if nothing is."""
    verdict = judged(row)
    if verdict.correct is row["expected_correct"]:
        return ""
    expected = "correct" if row["expected_correct"] else "wrong"
    return (
        f"{row['answer_format']}: {row['completion']!r} for the gold {row['gold']!r} is {expected} "
        f"({row.get('why', 'no reason given')}), not as graded: {verdict.reason}"
    )


def test_verdicts_are_those_of_a_careful_reader() -> None:
    check([row for answer_format in FORMATS for row in rows(OURS / f"{answer_format}.jsonl")])


def test_verdicts_are_those_that_others_gave_by_hand() -> None:
    if not READ_BY_HAND.is_file():
        pytest.skip(f"rows read by hand are not at {READ_BY_HAND}")
    check(rows(READ_BY_HAND))


def test_the_table_is_whole() -> None:
    """Every format, both verdicts, no row twice, each with a reason."""
    assert {file.stem for file in OURS.iterdir()} == set(FORMATS)
    for answer_format in FORMATS:
        cases = rows(OURS / f"{answer_format}.jsonl")
        assert {row["answer_format"] for row in cases} == {answer_format}
        assert min(sum(row["expected_correct"] is value for row in cases) for value in (True, False)) >= 20
        assert all(row["why"] for row in cases)
        keys = {
            (row["completion"], row["gold"], row.get("question"), str(row.get("repeat"))) for row in cases
        }
        assert len(keys) == len(cases)
        assert {len(written_out(row)) > size for row in cases for size in (3_500, 38_000)} == {True, False}
