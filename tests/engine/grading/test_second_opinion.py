"""Numbers and LaTeX against math-verify: every disagreement was read, decided and recorded.

`second_opinion.jsonl` holds one disagreement a line: `format`, `completion` and `gold` (for recorded completions `task` and `index`), the two
verdicts `ours` and `theirs`, `decision` (who is right) and `why`, which is the same sentence for all of a kind. Where math-verify is right
our grader has a fault. A disagreement that is not in the list fails the test, and so does a row that no longer is one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import pytest

from engine.grading import grade
from tests.conftest import DATA
from tests.engine.grading import generated, math_verify_says
from tests.engine.grading.test_careful import CASES
from tests.engine.grading.test_cases import OURS, rows, written_out
from tests.engine.grading.test_recorded import FORMATS as TASKS
from tests.engine.grading.test_recorded import rows as recorded_rows

LIST = Path(__file__).parent / "second_opinion.jsonl"
KINDS = 30
"""Kinds of reasons at most, so that a reader can check them."""
NTH = 4
"""Every fourth recorded completion is compared."""

Row = dict[str, Any]
Asked = tuple[Row, str, str, str, str | None]
"""What a row of the list says of the pair; completion, gold, format, question."""


def own() -> Iterator[Asked]:
    """Our case tables and generated pairs."""
    for answer_format in ("number", "math"):
        cases = [(row, written_out(row)) for row in rows(OURS / f"{answer_format}.jsonl")]
        cases += [(row, row["completion"]) for row in CASES if row["format"] == answer_format]
        for row, completion in cases:
            said = {"format": answer_format, "completion": row["completion"], "gold": row["gold"]}
            yield said, completion, row["gold"], answer_format, row.get("question")
    random = Random("second opinion")
    expressions = [each for forms in generated.EXPRESSIONS for each in forms]
    pairs = [("number", f"The answer is {one}.", two) for one, two in product(generated.NUMBERS, repeat=2)]
    pairs = random.sample(pairs, 250)
    boxed = [("math", f"\\boxed{{{one}}}", two) for one, two in product(expressions, repeat=2)]
    pairs += random.sample(boxed, 60)
    for answer_format in ("number", "math"):
        for _ in range(60):
            sample = generated.SAMPLES[answer_format](random)
            answer = random.choice((sample.right, sample.wrong))
            pairs.append((answer_format, generated.marked(answer, answer_format, "Answer: {}"), sample.gold))
    for answer_format, completion, gold in pairs:
        said = {"format": answer_format, "completion": completion, "gold": gold}
        yield said, completion, gold, answer_format, None


def recorded_own(folder: Path) -> Iterator[Asked]:
    """Completions of a real teacher, which the list names by task and index in its file."""
    for task, answer_format in TASKS.items():
        if answer_format == "number":
            for index, row in list(enumerate(recorded_rows(folder, task)))[::NTH]:
                said = {"format": answer_format, "task": task, "index": index}
                yield said, row["final"], row["gold"], answer_format, row["question"]


def key(row: Row) -> str:
    """What names a pair in the list."""
    return json.dumps(
        {name: row[name] for name in ("format", "task", "index", "completion", "gold") if name in row}
    )


@pytest.fixture(scope="module")
def asked() -> list[Asked]:
    return [*own(), *(recorded_own(DATA) if DATA.is_dir() else ())]


@pytest.fixture(scope="module")
def disagreements(asked: list[Asked], patient: None) -> dict[str, Row]:
    theirs = math_verify_says.verdicts([(completion, gold) for _, completion, gold, _, _ in asked])
    found = {}
    for (said, completion, gold, answer_format, question), other in zip(asked, theirs, strict=True):
        ours = grade(completion, gold, answer_format, question=question).correct
        if ours is not other:
            found[key(said)] = {**said, "ours": ours, "theirs": other}
    return found


@pytest.fixture(scope="module")
def decided() -> dict[str, Row]:
    listed = {key(row): row for row in rows(LIST)}
    assert len(listed) == len(rows(LIST))
    return listed


def test_every_disagreement_with_math_verify_is_decided(
    asked: list[Asked], disagreements: dict[str, Row], decided: dict[str, Row]
) -> None:
    print(f"\n{len(asked)} pairs, {len(disagreements)} disagreements", end="")  # noqa: T201 — for a run with -s
    new = [
        json.dumps(row, ensure_ascii=False)
        for name, row in disagreements.items()
        if name not in decided or decided[name]["ours"] is not row["ours"]
    ]
    assert not new, "decide these and add them to second_opinion.jsonl:\n" + "\n".join(new)


def test_no_row_of_the_list_is_out_of_date(disagreements: dict[str, Row], decided: dict[str, Row]) -> None:
    skipped = [row for row in decided.values() if "task" in row and not DATA.is_dir()]
    gone = [
        json.dumps(row, ensure_ascii=False)
        for name, row in decided.items()
        if name not in disagreements and row not in skipped
    ]
    assert not gone, "these are no disagreements any more:\n" + "\n".join(gone)
    if skipped:
        pytest.skip(f"recorded teacher data is not at {DATA}: {len(skipped)} rows were not compared")


def test_each_decision_has_a_reason_and_none_is_open(decided: dict[str, Row]) -> None:
    kinds = Counter((row["decision"], row["why"]) for row in decided.values())
    print("".join(f"\n{count:4} {who}: {why}" for (who, why), count in kinds.most_common()))  # noqa: T201
    assert {row["decision"] for row in decided.values()} == {"ours"}, "repair what math-verify reads better"
    assert all(why for _, why in kinds)
    assert len(kinds) <= KINDS
