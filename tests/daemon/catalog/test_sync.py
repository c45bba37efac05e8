from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.catalog.regrading import regrade_changed_formats
from daemon.catalog.sync import Catalog, known_tasks, make_budget, read_input, synchronise
from daemon.events import PlanContinued
from engine.config import Config, StudentConfig
from engine.errors import ConfigError, TaskDataError
from engine.grading import GRADER_VERSIONS
from engine.strategies import PLAIN, Wording
from state.catalog import SwitchRequest, switch
from state.claims import open_samples
from state.daemon_sessions import end_session
from state.database import open_writer
from state.enums import Outcome, RunState, SampleState
from state.outcomes import SampleEnd
from state.runs import RunEnd, create_run, end_run
from state.sqlite import Connection
from tests.daemon.parts import config_of
from tests.state.test_runs import NEW
from tests.state.world import World, check_counts, ending

ROWS = [
    *(
        {"id": f"q{number}", "question": f"is it {number}?", "answer": "yes", "split": "train"}
        for number in range(3)
    ),
    {"id": "d", "question": "is it dev?", "answer": "yes", "split": "dev"},
]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with closing(open_writer(tmp_path / "state.db")) as found:
        yield found


def config(folder: Path, rows: list[dict[str, Any]] | None = None, **plan: Any) -> Config:
    """Three questions in a file, a teacher with a price, a plan."""
    lines = [json.dumps(row) for row in (ROWS if rows is None else rows)]
    (folder / "t.jsonl").write_text("\n".join(lines) + "\n")
    return config_of(
        folder,
        daemon={"budget_usd": 1.0},
        teachers={"a": {"builtin": True, "model": "m", "budget_usd": 0.5}},
        tasks={"t": {"source": "t.jsonl", "answer": "yes_no"}},
        plans=[{"name": "p", "budget_usd": 0.25, **plan}],
    )


def start(made: Config) -> Catalog:
    return synchronise(made, read_input(made))


def world_of(connection: Connection, catalog: Catalog, folder: Path) -> World:
    teachers = {name: row.id or 0 for name, row in catalog.teachers.items()}
    return World(folder / "state.db", connection, catalog.session.id, catalog.task_ids, teachers)


def test_a_first_start_makes_everything(tmp_path: Path, connection: Connection) -> None:
    catalog = start(config(tmp_path, rationales=2))
    (plan,) = catalog.plans
    assert (plan.task, plan.wanted, plan.longest, plan.exhausted, plan.teachers) == ("t", 6, 8, False, ("a",))
    assert catalog.session.previous_ended
    assert catalog.news == []
    assert connection.execute("SELECT count(*) FROM question WHERE active = 1").fetchone() == (4,)


def test_an_edited_question_is_sampled_though_there_are_as_many_as_before(
    tmp_path: Path, connection: Connection
) -> None:
    catalog = start(config(tmp_path))
    world = world_of(connection, catalog, tmp_path)
    world.store(world.claim(catalog.plans[0].id, 3))
    end_session(connection, catalog.session.id, "done")
    assert start(config(tmp_path)).plans[0].exhausted
    edited = [ROWS[0], {**ROWS[1], "question": "is it another?"}, *ROWS[2:]]
    again = start(config(tmp_path, edited))
    assert not again.plans[0].exhausted
    (sample,) = world.claim(again.plans[0].id, 10).samples
    assert sample.question == "is it another?"


def test_a_start_after_a_crash_counts_everything_anew(tmp_path: Path, connection: Connection) -> None:
    catalog = start(config(tmp_path, rationales=2))
    world = world_of(connection, catalog, tmp_path)
    world.store(world.claim(catalog.plans[0].id, 2))
    world.claim(catalog.plans[0].id, 2, cost=10)
    connection.execute("UPDATE plan SET stored = 99, accepted = 99, claimed = 1")
    again = start(config(tmp_path, rationales=2))
    assert (again.session.previous_ended, again.session.unknown_attempts) == (False, 2)
    assert connection.execute("SELECT stored, accepted, claimed FROM plan").fetchone() == (2, 2, 4)
    check_counts(world)


def test_a_changed_parameter_begins_a_new_plan(tmp_path: Path, connection: Connection) -> None:
    catalog = start(config(tmp_path))
    world = world_of(connection, catalog, tmp_path)
    world.store(world.claim(catalog.plans[0].id, 2))
    again = start(config(tmp_path, temperature=0.1))
    assert again.news == []
    assert not again.plans[0].exhausted


def test_a_renamed_plan_pays_for_nothing_twice(tmp_path: Path, connection: Connection) -> None:
    catalog = start(config(tmp_path, rationales=2))
    world = world_of(connection, catalog, tmp_path)
    world.store(world.claim(catalog.plans[0].id, 4))
    world.claim(catalog.plans[0].id, 2)
    again = start(config(tmp_path, rationales=2, name="renamed"))
    (plan,) = again.plans
    assert connection.execute("SELECT stored, claimed FROM plan WHERE id = ?", (plan.id,)).fetchone() == (
        4,
        6,
    )
    assert connection.execute(
        "SELECT count(*) FROM sample WHERE plan_id = ? AND state = 'open'", (plan.id,)
    ).fetchone() == (2,)
    assert world.claim(plan.id, 10).samples == ()


def test_a_paused_task_stays_paused(tmp_path: Path, connection: Connection) -> None:
    start(config(tmp_path))
    switch(connection, [SwitchRequest(table="task", name="t", paused=True)])
    assert [plan.state.paused for plan in start(config(tmp_path)).plans] == [True]


def test_money_that_was_spent_counts_against_every_cap_former_teachers_too(
    tmp_path: Path, connection: Connection
) -> None:
    made = config(tmp_path)
    catalog = start(made)
    world = world_of(connection, catalog, tmp_path)
    plan = catalog.plans[0].id
    world.store(world.claim(plan, 1, cost=100), cost=70)
    world.claim(plan, 1, cost=100)
    gone = world.teacher("gone")
    connection.execute("UPDATE teacher SET spent_micros = 1000 WHERE id = ?", (gone,))
    catalog = start(made)
    budget = make_budget(made, catalog)
    assert budget.total.used == 1170
    assert budget.room(plan, catalog.teachers["a"].id or 0) == 250_000 - 170
    budget.add_plan(plan, None)
    assert budget.room(plan, catalog.teachers["a"].id or 0) == 500_000 - 170


@pytest.mark.parametrize(
    ("sections", "error", "words"),
    [
        ({"teachers": {}}, ConfigError, "plans.p: no teacher is configured"),
        ({"tasks": {}}, ConfigError, "plans.p: no task is configured"),
        ({"tasks": {"t": {"source": "none.jsonl", "answer": "yes_no"}}}, TaskDataError, "none.jsonl"),
    ],
)
def test_wrong_input_is_found_before_anything_starts(
    tmp_path: Path, sections: dict[str, Any], error: type[Exception], words: str
) -> None:
    made = {
        "teachers": {"a": {"builtin": True, "model": "m"}},
        "tasks": {"t": {"source": "builtin:coin_flip", "answer": "yes_no", "train": 2, "dev": 0, "test": 0}},
        "plans": [{"name": "p"}],
        **sections,
    }
    with pytest.raises(error) as caught:
        read_input(config_of(tmp_path, **made))
    assert words in str(caught.value)
    assert not (tmp_path / "state.db").exists()


def with_spare(folder: Path, *, spare: str = "other", **plan: Any) -> Config:
    """A second teacher beside the one of `config`."""
    data = config(folder).model_dump(mode="json", include={"tasks", "teachers"})
    data["teachers"]["spare"] = {"builtin": True, "model": spare}
    return config_of(folder, **data, plans=[{"name": "p", **plan}])


def test_a_fallback_of_another_model_makes_another_plan_and_one_of_the_same_does_not(
    tmp_path: Path, connection: Connection
) -> None:
    def recipe(made: Config) -> str:
        return start(made).plans[0].recipe

    alone = recipe(with_spare(tmp_path, teachers=["a"]))
    assert alone == recipe(config(tmp_path))
    fallen = recipe(with_spare(tmp_path, teachers=["a"], fallback_teachers=["spare"]))
    assert fallen != alone
    assert fallen == recipe(
        with_spare(tmp_path, teachers=["a", "spare"])
    )  # who wrote it stands in the sample
    assert alone == recipe(with_spare(tmp_path, spare="m", teachers=["a"], fallback_teachers=["spare"]))


def test_a_star_stands_for_all_teachers_but_the_fallbacks(tmp_path: Path, connection: Connection) -> None:
    (plan,) = start(with_spare(tmp_path, fallback_teachers=["spare"])).plans
    assert (plan.teachers, plan.fallbacks) == (("a",), ("spare",))
    assert connection.execute("SELECT teachers FROM plan").fetchone() == ('["a", "spare"]',)
    with pytest.raises(ConfigError, match=r"plans\.p: no teacher is configured besides its fallbacks"):
        start(with_spare(tmp_path, fallback_teachers=["a", "spare"]))


def test_how_much_is_asked_for_changes_the_plan_in_place(tmp_path: Path, connection: Connection) -> None:
    catalog = start(config(tmp_path, rationales=2))
    world = world_of(connection, catalog, tmp_path)
    world.store(world.claim(catalog.plans[0].id, 6), correct=False)
    end_session(connection, catalog.session.id, "done")
    assert start(config(tmp_path, rationales=2)).plans[0].exhausted
    (again,) = start(config(tmp_path, rationales=2, max_rationales=4)).plans
    assert (again.id, again.exhausted, again.wanted) == (catalog.plans[0].id, False, 9)
    assert len(world.claim(again.id, 9).samples) == 3
    (few,) = start(config(tmp_path, rationales=2, correct_per_task=1)).plans
    assert few.exhausted  # its two rationales of each question were taken
    check_counts(world)


def test_a_file_that_did_not_change_is_not_read_again(
    tmp_path: Path, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.tasks.file_stamp.SETTLED_S", -60.0)
    made = config(tmp_path, rationales=2)
    first = start(made)
    end_session(connection, first.session.id, "done")
    given = read_input(made, known_tasks(made))
    assert given.tasks["t"].questions is None
    (plan,) = synchronise(made, given).plans
    assert (plan.wanted, plan.longest) == (6, 8)
    edited = config(tmp_path, [*ROWS, {**ROWS[0], "id": "new", "question": "is it a longer one?"}])
    again = read_input(edited, known_tasks(edited))
    assert again.tasks["t"].questions is not None
    (plan,) = synchronise(edited, again).plans
    assert (plan.wanted, plan.longest) == (4, 19)


LONG = "A long winding story about a fox who crossed the river near the old mill and then slept"


def test_what_stands_in_two_splits_is_told_when_a_task_is_new_and_not_again(
    tmp_path: Path, connection: Connection
) -> None:
    rows = [
        *ROWS,
        {"id": "long", "question": f"{LONG} well?", "answer": "yes", "split": "train"},
        {"id": "same", "question": f"{LONG} badly?", "answer": "yes", "split": "test"},
    ]
    made = config(tmp_path, rows)
    (said,) = [event.message() for event in start(made).news]
    assert said == (
        "task t: 1 train question (25.0 %) shares most of its word 8-grams with a test question"
        "; students read them unless drop_test_alike = true"
    )
    assert start(made).news == []


def test_plans_carry_their_words_and_what_comes_first(tmp_path: Path, connection: Connection) -> None:
    shots = [{"question": f"is it {number}?", "rationale": "It is.", "answer": "yes"} for number in (0, 7)]
    (tmp_path / "shots.jsonl").write_text("".join(json.dumps(shot) + "\n" for shot in shots))
    config(tmp_path)  # writes the questions
    made = config_of(
        tmp_path,
        teachers={"a": {"builtin": True, "model": "m"}},
        tasks={"t": {"source": "t.jsonl", "answer": "yes_no"}},
        prompts={"mine": {"prompt": "{exemplars}\n{question}"}},
        plans=[
            {"name": "p"},
            {"name": "h", "strategy": "rationalize", "needs": "p"},
            {"name": "f", "strategy": "few-shot-cot", "exemplars": "shots.jsonl", "prompts": "mine"},
        ],
    )
    first, hints, shown = start(made).plans
    assert (first.needs, first.wording) == (None, PLAIN)
    assert (hints.needs, hints.gold) == (first.id, "yes")
    assert connection.execute("SELECT name, unless FROM plan ORDER BY id").fetchall() == [
        *(("p", ""), ("h", first.recipe), ("f", ""))
    ]
    assert [each.question for each in shown.wording.exemplars] == [
        "is it 7?"
    ]  # the other one is itself asked
    (stored,) = connection.execute("SELECT settings FROM plan WHERE name = 'f'").fetchone()
    assert Wording.restored(json.loads(stored)["wording"]) == shown.wording


@pytest.mark.parametrize(
    ("shots", "message"),
    [
        (None, r"shots.jsonl: no such file"),
        ([{"question": "a?", "answer": "yes"}], r"shots.jsonl:1: rationale: required"),
        (
            [{"question": "is it 1?", "rationale": "So.", "answer": "yes"}],
            "every example is a question that is asked",
        ),
        (
            [{"question": f"{n}?", "rationale": "So.", "answer": "yes"} for n in range(65)],
            "65 examples; at most 64",
        ),
    ],
)
def test_examples_that_cannot_be_used_are_named(tmp_path: Path, shots: Any, message: str) -> None:
    if shots is not None:
        (tmp_path / "shots.jsonl").write_text("".join(json.dumps(shot) + "\n" for shot in shots))
    made = config(tmp_path, strategy="few-shot-cot", exemplars="shots.jsonl")
    with pytest.raises((ConfigError, TaskDataError), match=message):
        read_input(made)


def test_an_untrained_base_needs_examples_to_show(tmp_path: Path) -> None:
    student = {"name": "s", "base": "small", "method": "base", "strategy": "few-shot-cot"}
    made = config(tmp_path)
    given = StudentConfig.model_validate(student)
    made = made.model_copy(update={"students": [given]})
    with pytest.raises(
        ConfigError, match=r"students.s.exemplars: few-shot-cot on the task t has no worked example"
    ):
        read_input(made)
    shot = {"question": "a?", "rationale": "So.", "answer": "yes"}
    (tmp_path / "shots.jsonl").write_text(json.dumps(shot) + "\n")
    shown = given.model_copy(update={"exemplars": "shots.jsonl"})
    read_input(made.model_copy(update={"students": [shown]}))


def test_a_plan_that_can_take_no_more_wants_what_it_took_after_a_restart(
    tmp_path: Path, connection: Connection
) -> None:
    settings = {"rationales": 1, "max_rationales": 4, "stop_after_correct": 1, "correct_per_task": 100}
    catalog = start(config(tmp_path, **settings))
    world = world_of(connection, catalog, tmp_path)
    world.store(world.claim(catalog.plans[0].id, 3))  # each question has its one: a hundred cannot be reached
    end_session(connection, catalog.session.id, "done")
    (plan,) = start(config(tmp_path, **settings)).plans
    assert (plan.exhausted, plan.wanted) == (True, 3)
    assert connection.execute("SELECT wanted, claimed FROM plan").fetchone() == (3, 3)


def test_another_number_of_wrong_ones_changes_who_is_asked_again(
    tmp_path: Path, connection: Connection
) -> None:
    settings = {"rationales": 8, "stop_after_correct": 2, "stop_after_wrong": 2}
    catalog = start(config(tmp_path, **settings))
    world = world_of(connection, catalog, tmp_path)
    world.store(world.claim(catalog.plans[0].id, 9), correct=False)  # each of three questions twice
    for wrong, again in ((2, 0), (3, 3), (0, 3), (2, 0)):
        end_session(connection, catalog.session.id, "done")
        catalog = start(config(tmp_path, **{**settings, "stop_after_wrong": wrong}))
        assert catalog.plans[0].exhausted == (again == 0)
        assert connection.execute("SELECT count(*) FROM need").fetchone() == (again,)


TWO = {"a": {"builtin": True, "model": "m"}, "b": {"builtin": True, "model": "other"}}


def of_teachers(folder: Path, known: dict[str, Any], *more: dict[str, Any], **plan: Any) -> Config:
    """Three questions, these teachers, a plan of all of them."""
    data = config(folder).model_dump(mode="json", include={"tasks"})
    plans = [{"name": "p", "rationales": 2, **plan}, *more]
    return config_of(folder, **data, teachers=known, plans=plans)


def kept(catalog: Catalog) -> list[PlanContinued]:
    return [event for event in catalog.news if isinstance(event, PlanContinued)]


def slots(connection: Connection, plan: int) -> set[tuple[int, int]]:
    rows = connection.execute(
        "SELECT s.question_id, s.replicate FROM plan p JOIN sample s ON s.recipe = p.recipe WHERE p.id = ?",
        (plan,),
    )
    return set(rows.fetchall())


def test_leaving_a_teacher_out_keeps_the_samples_of_the_others(
    tmp_path: Path, connection: Connection
) -> None:
    catalog = start(of_teachers(tmp_path, TWO))
    world = world_of(connection, catalog, tmp_path)
    old = catalog.plans[0]
    world.store(world.claim(old.id, 2, teacher="a"), cost=70)
    world.store(world.claim(old.id, 1, teacher="b"), cost=50)
    failed = world.claim(old.id, 1, teacher="a").samples[0]
    given_up = SampleEnd(state=SampleState.FAILED, reason="no")
    world.record(ending(failed, Outcome.UNKNOWN, unknown_micros=10, end=given_up))
    end_session(connection, catalog.session.id, "done")
    again = start(of_teachers(tmp_path, {"a": TWO["a"]}))
    (plan,) = again.plans
    assert plan.recipe != old.recipe
    assert kept(again) == [PlanContinued(plan="p", task="t", kept={"a": 3}, left={"b": 1})]
    assert kept(again)[0].message() == (
        "plan p on t has other teachers: 3 samples of a are kept; 1 samples of b stay stored, but no longer count"
    )
    money = "spent_micros, unknown_micros"
    assert world.row(f"SELECT claimed, stored, failed, {money} FROM plan WHERE id = ?", plan.id) == (
        *(3, 2, 1, 140, 10),
    )
    assert world.row(f"SELECT claimed, {money} FROM plan WHERE id = ?", old.id) == (1, 50, 0)
    check_counts(world)
    assert len(world.claim(plan.id, 10, teacher="a").samples) == 3  # of six, only what b had and nobody had
    assert slots(connection, plan.id) == {(q, n) for q in (1, 2, 3) for n in (0, 1)}
    check_counts(world)


def test_a_teacher_that_comes_back_brings_its_samples(tmp_path: Path, connection: Connection) -> None:
    """Also what the other one answered meanwhile goes on counting; only two samples for one slot cannot."""
    both = of_teachers(tmp_path, TWO, {"name": "wide", "rationales": 3})
    alone = of_teachers(tmp_path, {"a": TWO["a"]}, {"name": "wide", "rationales": 3})
    catalog = start(both)
    world = world_of(connection, catalog, tmp_path)
    first, wide = catalog.plans
    world.store(world.claim(first.id, 2, teacher="a"))
    world.store(world.claim(wide.id, 2, teacher="b"))
    again = start(alone)
    world.store(world.claim(again.plans[0].id, 3, teacher="a"))  # the slots of b, and another
    check_counts(world)
    back = start(both)
    assert [plan.recipe for plan in back.plans] == [first.recipe, first.recipe]
    assert kept(back)[0].kept == {"a": 3} and kept(back)[0].left == {"a": 2}
    for plan in back.plans:
        assert world.row("SELECT claimed, stored FROM plan WHERE id = ?", plan.id) == (5, 5)
    check_counts(world)
    assert len(world.claim(back.plans[1].id, 10, teacher="b").samples) == 4


def test_open_samples_are_continued_by_the_plan_that_keeps_them(
    tmp_path: Path, connection: Connection
) -> None:
    catalog = start(of_teachers(tmp_path, TWO))
    world = world_of(connection, catalog, tmp_path)
    mine = world.claim(catalog.plans[0].id, 2, teacher="a").samples
    world.claim(catalog.plans[0].id, 1, teacher="b")
    (plan,) = start(of_teachers(tmp_path, {"a": TWO["a"]})).plans
    assert {each.sample_id for each in open_samples(connection, plan.id, 0, 10)} == {
        each.sample_id for each in mine
    }
    check_counts(world)


@pytest.mark.parametrize(
    ("teachers", "plan"),
    [
        ({"a": {**TWO["a"], "model": "new"}}, {}),
        ({"a": TWO["a"]}, {"temperature": 0.1}),
        ({"b": {**TWO["b"], "extra_body": {"x": 1}}}, {}),
    ],
    ids=["another model", "another parameter", "another body"],
)
def test_nothing_is_kept_where_the_requests_are_others(
    tmp_path: Path, connection: Connection, teachers: dict[str, Any], plan: dict[str, Any]
) -> None:
    catalog = start(of_teachers(tmp_path, TWO))
    world = world_of(connection, catalog, tmp_path)
    world.store(world.claim(catalog.plans[0].id, 2, teacher="a"))
    again = start(of_teachers(tmp_path, teachers, **plan))
    assert kept(again) == []
    assert world.row("SELECT stored FROM plan WHERE id = ?", again.plans[0].id) == (0,)


def test_a_name_that_stood_for_both_models_keeps_nothing(tmp_path: Path, connection: Connection) -> None:
    catalog = start(of_teachers(tmp_path, TWO))
    world = world_of(connection, catalog, tmp_path)
    world.store(world.claim(catalog.plans[0].id, 2, teacher="a"))
    start(of_teachers(tmp_path, {"a": TWO["b"], "b": TWO["a"]}))  # the same fingerprint
    again = start(of_teachers(tmp_path, {"a": TWO["a"]}))
    assert kept(again) == []


def test_what_another_plan_at_work_asks_for_stays_with_it(tmp_path: Path, connection: Connection) -> None:
    other = {"name": "other", "rationales": 2, "teachers": ["a", "b"]}
    catalog = start(of_teachers(tmp_path, TWO, other))
    world = world_of(connection, catalog, tmp_path)
    world.store(world.claim(catalog.plans[0].id, 2, teacher="a"))
    again = start(of_teachers(tmp_path, TWO, other, teachers=["a"]))
    assert kept(again) == []
    assert world.row("SELECT stored FROM plan WHERE id = ?", again.plans[1].id) == (2,)
    check_counts(world)


def with_format(made: Config, answer: str) -> Config:
    task = made.tasks["t"].model_copy(update={"answer": answer})
    changed = made.model_copy(update={"tasks": {"t": task}})
    changed._folder = made._folder
    return changed


def test_a_changed_format_is_graded_before_it_is_stored_by_the_grader_that_graded(
    tmp_path: Path, connection: Connection
) -> None:
    made = config(tmp_path)
    catalog = start(made)
    world = world_of(connection, catalog, tmp_path)
    found = world.claim(catalog.plans[0].id, 3)
    world.store(found)
    connection.execute("UPDATE sample SET answer = 'true', checksum = NULL")
    connection.execute(
        "UPDATE grade SET grader = 'paper:1' WHERE sample_id = ?", (found.samples[0].sample_id,)
    )
    changed = with_format(made, "text")
    for _ in range(2):  # a daemon that dies before the sync: the next one still finds the old format
        (told,) = regrade_changed_formats(changed)
        assert (told.before, told.now, told.samples) == ("yes_no", "text", 3)
        assert connection.execute("SELECT answer_format FROM task").fetchone() == ("yes_no",)
    assert told.changed == 0
    assert connection.execute("SELECT sum(verdict) FROM sample").fetchone() == (0,)
    again = start(changed)
    assert connection.execute("SELECT accepted, rejected FROM plan WHERE active = 1").fetchone() == (0, 3)
    graders = connection.execute("SELECT DISTINCT grader FROM grade WHERE reason LIKE '%gold%'").fetchall()
    assert sorted(graders) == [(GRADER_VERSIONS["careful"],), (GRADER_VERSIONS["paper"],)]
    assert [type(event).__name__ for event in again.news] == ["TaskRegraded"]
    assert regrade_changed_formats(changed) == []
    check_counts(world)


def test_a_plan_that_waits_for_a_student_keeps_its_row_when_it_begins(
    tmp_path: Path, connection: Connection
) -> None:
    made = config(tmp_path, teachers=["a"])
    made = config_of(
        tmp_path,
        **{
            **made.model_dump(exclude_defaults=True),
            "teachers": {
                "a": {"builtin": True, "model": "m"},
                "me": {"student": "s"},
                "big": {"base_url": "http://127.0.0.1:1/v1", "model": "b", "dialect": "openai-completions"},
            },
            "students": [{"name": "s"}],
            "plans": [
                {"name": "p", "teachers": ["a"]},
                {"name": "own", "teachers": ["me"], "strategy": "student"},
                {"name": "hinted", "teachers": ["me"], "strategy": "student-hinted", "needs": "own"},
                {"name": "scored", "teachers": ["big"], "strategy": "score", "scores": "own"},
            ],
        },
    )
    catalog = start(made)
    waits = "student s: it has no finished run on t"
    assert [(plan.waits_for, plan.served) for plan in catalog.plans] == [("", None), *[(waits, None)] * 3]
    end_session(connection, catalog.session.id, "done")
    run = replace(NEW, student="s", sample_ids=(), trigger="complete", fingerprint="f")
    create_run(connection, [run])
    end_run(connection, [RunEnd(run_id=1, state=RunState.DONE)])
    first, *begun = (again := start(made)).plans
    assert [plan.id for plan in again.plans] == [plan.id for plan in catalog.plans]
    assert [(plan.waits_for, plan.served) for plan in begun] == [("", 1), ("", 1), ("", None)]
    assert first.recipe == catalog.plans[0].recipe
    assert all(one.recipe != other.recipe for one, other in zip(begun, catalog.plans[1:], strict=True))
    own, hinted, scored = begun
    rows = connection.execute(
        "SELECT unless, settings ->> '$.scores', settings ->> '$.facts.by_name' FROM plan ORDER BY id"
    ).fetchall()
    assert rows == [("", None, None), ("", None, 1), (own.recipe, None, 1), ("", own.recipe, 1)]
    assert hinted.needs == scored.needs == own.id
    # It has begun: a newer run of the same settings is not asked, one of other settings is, by another row.
    world = world_of(connection, again, tmp_path)
    world.store(world.claim(own.id, 2, teacher="me"))
    end_session(connection, again.session.id, "done")
    create_run(connection, [replace(run, trigger="manual-1")])
    end_run(connection, [RunEnd(run_id=2, state=RunState.DONE)])
    same = start(made)
    assert [plan.id for plan in same.plans] == [plan.id for plan in again.plans]
    end_session(connection, same.session.id, "done")
    create_run(connection, [replace(run, trigger="manual-2", fingerprint="g")])
    end_run(connection, [RunEnd(run_id=3, state=RunState.DONE)])
    anew = start(made).plans[1]
    assert anew.served == 3 and anew.id != own.id and not anew.exhausted
    assert connection.execute("SELECT count(*) FROM sample WHERE recipe = ?", (own.recipe,)).fetchone() == (
        2,
    )
