"""What an edit does is said before, and is what happens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from daemon.catalog.sync import read_input, synchronise
from daemon.training.edits import edits, events_of
from engine.config import Config
from state.database import open_writer
from state.sqlite import Connection
from tests.daemon.parts import config_of
from tests.state.world import World

ROWS = [{"id": f"q{n}", "question": f"is it {n}?", "answer": "yes", "split": "train"} for n in range(4)]
ROWS.append({"id": "d", "question": "is it dev?", "answer": "yes", "split": "dev"})
PRICED = {"usd_per_million_input": 100.0, "usd_per_million_output": 1000.0}


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with closing(open_writer(tmp_path / "state.db")) as found:
        yield found


def config(folder: Path, edit: dict[str, Any]) -> Config:
    """Two plans on a task of four questions, a student, and an edit of them."""
    rows = edit.get("rows", ROWS)
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plans = [{"name": "p", "rationales": 2, **edit.get("plan", {})}, {"name": "other", "temperature": 0.1}]
    students = [{"name": "s", "method": "fine-tune", **edit.get("student", {})}]
    return config_of(
        folder,
        teachers={
            name: {"builtin": True, "model": model, **PRICED, **edit.get(name, {})}
            for name, model in (("a", "m"), ("b", "n"))
        },
        tasks={"t": {"source": "t.jsonl", "answer": edit.get("answer", "yes_no")}},
        plans=plans[: edit.get("plans", 2)],
        students=students,
    )


def begin(folder: Path, connection: Connection) -> World:
    """A start after which plan p has three samples of a and one of b, and other has two; and a finished run."""
    made = config(folder, {"plan": {"teachers": ["a", "b"]}})
    given = read_input(made)
    catalog = synchronise(made, given)
    teachers = {name: row.id or 0 for name, row in catalog.teachers.items()}
    world = World(folder / "state.db", connection, catalog.session.id, catalog.task_ids, teachers)
    first, other = catalog.plans
    world.store(world.claim(first.id, 3, teacher="a"))
    world.store(world.claim(first.id, 2, teacher="b"))
    world.store(world.claim(other.id, 2, teacher="a"))
    connection.execute("UPDATE sample SET prompt_tokens = 20, completion_tokens = 10")
    return world


SAID: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({}, []),
    "a parameter": (
        {"plan": {"temperature": 0.2}},
        [
            "plan p on t begins anew (temperature was 0.7 and is 0.2): 5 samples are set aside, 16 requests, about $0.10"
        ],
    ),
    "a model": (
        {"a": {"model": "new"}, "b": {"model": "new"}},
        [
            f"plan {name} on t begins anew (model of a was m and is new, model of b was n and is new): {rest}"
            for name, rest in (
                ("p", "5 samples are set aside, 16 requests, about $0.10"),
                ("other", "2 samples are set aside, 8 requests, about $0.05"),
            )
        ],
    ),
    "a teacher less": (
        {"plan": {"teachers": ["a"]}},
        [
            "plan p on t has other teachers: 3 samples of teachers that stay are kept, 2 samples are set aside",
        ],
    ),
    "prices": (
        {"a": {"usd_per_million_input": 7.0}},
        ["teacher a: usd_per_million_input was 100.0 and is 7.0: what was spent stays as it was booked"],
    ),
    "fewer rationales": (
        {"plan": {"rationales": 1}},
        [
            "plan p on t: 2 rationales were asked for and 1 are: 1 sample beyond that stays stored, but no longer counts"
        ],
    ),
    "more rationales": ({"plan": {"rationales": 3}}, ["plan p on t: up to 4 further samples are asked for"]),
    "another name": (
        {"plan": {"name": "renamed"}},
        ["plan renamed on t goes on with the 5 samples of plan p: nothing is asked again"],
    ),
    "a plan less": (
        {"plans": 1},
        ["plan other on t (train) is not configured any more: its 2 samples stay stored"],
    ),
    "the answer format": (
        {"answer": "text"},
        ["task t: `answer` was yes_no and is text: the next start grades its 7 stored samples again"],
    ),
    "a question less": (
        {"rows": ROWS[1:]},
        ["task t: other questions: 1 question gone (3 samples set aside)"],
    ),
    "a question edited": (
        {"rows": [{**ROWS[0], "question": "is it another?"}, *ROWS[1:]]},
        ["task t: other questions: 1 question gone (3 samples set aside), 1 new"],
    ),
    "a gold answer": (
        {"rows": [*ROWS[:3], {**ROWS[3], "answer": "no"}, ROWS[4]]},
        ["task t: other questions: 1 with another gold answer (1 sample graded again)"],
    ),
    "a split": (
        {"rows": [*ROWS[:3], {**ROWS[3], "split": "test"}, ROWS[4]]},
        ["task t: other questions: 1 in another split (1 sample moved with them)"],
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_what_an_edit_does_is_said_before_and_happens(
    tmp_path: Path, connection: Connection, name: str
) -> None:
    edit, expected = SAID[name]
    world = begin(tmp_path, connection)
    made = config(tmp_path, edit)
    given = read_input(made)
    found = edits(connection, made, given)
    assert [each.text for each in found] == expected
    before = dict(world.rows("SELECT name, stored FROM plan"))
    synchronise(made, given)
    assert edits(connection, made, given) == [], "once it is taken over, nothing differs"
    after = dict(world.rows("SELECT name, stored FROM plan WHERE active = 1"))
    if any("begins anew" in each.text for each in found):
        assert after["p"] == 0
    elif name == "a teacher less":
        assert after["p"] == 3
    elif "renamed" in after:
        assert after["renamed"] == before["p"]
    assert len(events_of(found)) == sum(not each.told for each in found)
