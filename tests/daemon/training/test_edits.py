"""What an edit does is said before, and is what happens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.catalog.changed_teachers import EarlierTeachers
from daemon.catalog.sync import read_input, synchronise
from daemon.training.derived import DerivedRuns, derived_scopes
from daemon.training.edited_plans import ConfiguredPlans
from daemon.training.edited_students import Recipe
from daemon.training.edits import edits, events_of
from daemon.training.lineage import base_source, sources_now
from daemon.training.run_fingerprint import settled
from daemon.training.scopes import order_of, scopes_of
from engine.config import Config, load_config
from state.database import open_writer
from state.runs import RunSettings, create_run, stored_runs
from state.sqlite import Connection
from tests.daemon.parts import config_of
from tests.state.test_runs import NEW
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


EXPERIMENT = """
[teachers.a]
builtin = true
model = "m"
[tasks.t]
source = "t.jsonl"
answer = "yes_no"
[experiment]
teachers = ["a"]
methods = ["fine-tune", "fine-tune-cot"]
SEEDS
D
"""


def ran(connection: Connection, made: Config) -> int:
    """Makes a finished run of each student; their number."""
    given = read_input(made)
    plans = ConfiguredPlans(connection, made, given, EarlierTeachers.stored(connection))
    for student in made.students:
        (scope,) = scopes_of(student, made)
        read = [Recipe(plan.fingerprint) for plan in scope.rule.read(plans.counts, scope.tasks)]
        new = settled(student, read, [given.tasks["t"].digest], ())
        settings = RunSettings(student=student.model_dump(mode="json"))
        run = replace(NEW, student=student.name, scope="t", trigger="complete", fingerprint=new.fingerprint)
        create_run(connection, [replace(run, sample_ids=(), task_id=None, settings=settings)])
    connection.execute("UPDATE run SET state = 'done'")
    return len(made.students)


@pytest.mark.parametrize(
    ("seeds", "rationales"), [("[1, 0]", "[2, 1]"), ("[0, 1]", "[1, 2]"), ("[1, 0]", "[1, 2]")]
)
def test_another_order_of_seeds_or_cells_changes_nothing(
    tmp_path: Path, connection: Connection, seeds: str, rationales: str
) -> None:
    def load(seeds: str, rationales: str) -> Config:
        text = EXPERIMENT.replace("SEEDS", f"seeds = {seeds}").replace("D\n", f"rationales = {rationales}\n")
        (tmp_path / "config.toml").write_text(text)
        (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
        return load_config(tmp_path / "config.toml")

    made = load("[0, 1]", "[2, 1]")
    catalog = synchronise(made, read_input(made))
    world = World(
        tmp_path / "state.db",
        connection,
        catalog.session.id,
        catalog.task_ids,
        {"a": catalog.teachers["a"].id or 0},
    )
    for plan in catalog.plans:
        world.store(world.claim(plan.id, 8))
    assert ran(connection, made) == 6
    other = load(seeds, rationales)
    found = edits(connection, other, read_input(other))
    assert [each.text for each in found if not each.told] == []
    assert all("nothing is trained again" in each.text for each in found)
    assert bool(found) == (rationales == "[1, 2]"), (
        "the names of cells tell what differs from the first value"
    )


def test_other_settings_of_a_student_are_named_and_others_evaluate_again(
    tmp_path: Path, connection: Connection
) -> None:
    begin(tmp_path, connection)
    ran(connection, before := config(tmp_path, {}))
    given = read_input(before)

    def said(**student: Any) -> list[str]:
        return [each.text for each in edits(connection, config(tmp_path, {"student": student}), given)]

    assert said() == said(training={"zero_stage": 3}, evaluation={"batch_size": 3}) == []
    [another] = said(training={"learning_rate": 1e-3})
    assert another == (
        "student s on t is another student now (learning_rate was 0.0003 and is 0.001): 1 run stays as it is, and the student is"
        " trained when its next trigger fires"
    )
    assert said(evaluation={"max_new_tokens": 8, "samples": 2}) == [
        "student s on t: run 1 is evaluated again (max_new_tokens was 256 and is 8, samples was 0 and is 2); nothing is trained"
    ]
    assert said(name="renamed") == ["run 1 of s on t is one of renamed: nothing is trained again"]


LINE = [{"name": f"s{seed}", "method": "fine-tune", "training": {"seed": seed}} for seed in (1, 2, 3)]
LAST = {"name": "last", "method": "fine-tune", "base": "student:half"}
BOTH = {"name": "both", "make": "ensemble", "of": ["s1", "s2"]}
HALF = {"name": "half", "make": "prune", "of": ["s1"]}
FASTER = {"training": {"learning_rate": 1e-3, "seed": 1}}
STAYS = "1 run stays as it is"
ANEW = {
    "nothing": ({}, []),
    "a source added": (
        {"both": {"of": ["s1", "s2", "s3"]}},
        [f"student both on t is another student now (s3 is added): {STAYS}, and it is made again; before that, s3 on t has no run yet"],
    ),
    "a source removed": (
        {"both": {"of": ["s2"]}},
        [f"student both on t is another student now (s1 is left out): {STAYS}, and it is made again"],
    ),
    "a star": ({"both": {"of": ["s2*", "s1"]}}, []),
    "another rule": (
        {"half": {"prune": {"share": 0.5, "criterion": "magnitude", "refit": False}}},
        [
            (f"student half on t is another student now (share was 0.25 and is 0.5, criterion was activation and is magnitude,"
            f" refit was true and is false): {STAYS}, and it is made again"),
            "student last on t is trained again once half is, which it starts from",
            "plan asks on t begins anew once half is there again, which it asks",
        ],
    ),
    "a source is another": (
        {"s1": FASTER, "both": {"of": ["s1", "s2", "s3"]}},
        [
            (f"student s1 on t is another student now (learning_rate was 0.0003 and is 0.001): {STAYS}, and the student is trained when its"
            " next trigger fires"),
            "student half on t is made again once s1 is, which it is made from",
            "student last on t is trained again once half is, which it starts from",
            f"student both on t is another student now (s3 is added): {STAYS}, and it is made again; before that, s1 is made anew",
            "plan asks on t begins anew once half is there again, which it asks",
        ],
    ),
    "another evaluation": (
        {"both": {"evaluation": {"max_new_tokens": 9}}},
        ["student both on t: run 5 is evaluated again (max_new_tokens was 256 and is 9); nothing is made"],
    ),
    "another name": (
        {"both": {"name": "pair"}, "s2": {"name": "second"}, "of": "second"},
        [
            "run 2 of s2 on t is one of second: nothing is trained again",
            "run 5 of both on t is one of pair: nothing is made again",
        ],
    ),
    "a vote": (
        {"both": {"combine": "vote"}},
        [f"student both is counted from stored answers now: {STAYS}"],
    ),
    "dropped": ({"without": ["both", "s2"]}, [f"student {name} is not configured any more: {STAYS}" for name in ("s2", "both")]),
}  # fmt: skip


def lineage(folder: Path, edit: dict[str, Any]) -> Config:
    """Three students, two derived ones, one that starts from one of these, and a plan that asks it."""
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    left = edit.get("without", ())
    both = {**BOTH, **edit.get("both", {})}
    if "of" in edit:
        both["of"] = ["s1", edit["of"]]
    tables = [*LINE, LAST, both, HALF]
    tables = [{**each, **edit.get(each["name"], {})} for each in tables if each["name"] not in left]
    return config_of(
        folder,
        teachers={"a": {"builtin": True, "model": "m"}, "own": {"student": "half"}},
        tasks={"t": {"source": "t.jsonl", "answer": "yes_no"}},
        plans=[
            {"name": "p", "teachers": ["a"]},
            {"name": "asks", "teachers": ["own"], "strategy": "student"},
        ],
        students=[each for each in tables if "make" not in each],
        derived=[each for each in tables if "make" in each],
    )


def run_all(connection: Connection, made: Config, task_ids: dict[str, int], *, but: str) -> None:
    """Makes a finished run of each student but one, in order."""
    given = read_input(made)
    keys = [(each.name, "t") for each in (*made.students, *made.derived)]
    for name in order_of(made):
        derived = next(iter(derived_scopes(made).get(name, ())), None)
        if derived is not None:
            new = DerivedRuns(made, task_ids).due(derived).run
        elif name != but:
            student = next(each for each in made.students if each.name == name)
            sources = sources_now(base_source(student.base, "t", keys), stored_runs(connection))
            own = settled(student, [], [given.tasks["t"].digest], (), sources=sources.identities)
            settings = RunSettings(student=student.model_dump(mode="json"))
            new = replace(
                NEW, student=name, scope="t", trigger="complete", fingerprint=own.fingerprint, sample_ids=(),
                task_id=None, settings=settings, sources=sources.rows, digest=name,
            )  # fmt: skip
        else:
            continue
        create_run(connection, [new])
        connection.execute("UPDATE run SET state = 'done'")


@pytest.mark.parametrize("name", ANEW)
def test_what_an_edit_makes_of_students_of_students_is_said(
    tmp_path: Path, connection: Connection, name: str
) -> None:
    made = lineage(tmp_path, {})
    catalog = synchronise(made, read_input(made))
    world = World(tmp_path / "state.db", connection, catalog.session.id, catalog.task_ids, {})
    run_all(connection, made, catalog.task_ids, but="s3")
    catalog = synchronise(made, read_input(made))
    teachers = {key: row.id or 0 for key, row in catalog.teachers.items()}
    world = replace(world, teachers=teachers, boot=catalog.session.id)
    world.store(world.claim(catalog.plans[1].id, 2, teacher="own"))
    edit, expected = ANEW[name]
    other = lineage(tmp_path, edit)
    found = edits(connection, other, read_input(other))
    assert [each.text for each in found] == expected
    synchronise(other, read_input(other))
    again = [each.text for each in edits(connection, other, read_input(other))]
    gone = ("is not configured any more", "is counted from stored answers now")
    assert not any(word in text for word in gone for text in again), "once it is taken over"


def test_a_plan_that_asks_a_student_says_which_run_it_asks_now(
    tmp_path: Path, connection: Connection
) -> None:
    made = lineage(tmp_path, {})
    catalog = synchronise(made, read_input(made))
    run_all(connection, made, catalog.task_ids, but="s3")
    catalog = synchronise(made, read_input(made))
    teachers = {key: row.id or 0 for key, row in catalog.teachers.items()}
    world = World(tmp_path / "state.db", connection, catalog.session.id, catalog.task_ids, teachers)
    world.store(world.claim(catalog.plans[1].id, 2, teacher="own"))
    run = replace(NEW, student="half", scope="t", fingerprint="y", sample_ids=(), task_id=None, kind="prune")
    create_run(connection, [run])
    connection.execute("UPDATE run SET state = 'done'")
    texts = [each.text for each in edits(connection, made, read_input(made))]
    assert (
        "plan asks on t begins anew (run 3 of half was asked and run 6 is): 2 samples are set aside, 4 requests"
        in texts
    )
