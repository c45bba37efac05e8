from __future__ import annotations

import json
from dataclasses import replace

from engine.report import seen_table, selected_table
from state.run_reports import Predictions, RunReport, report_run, store_predictions
from state.runs import RunSettings, create_run
from state.seen_answers import LearnedAnswers, read_learned_answers
from state.selected_teachers import read_selected_teachers
from tests.state.test_runs import NEW, evaluation
from tests.state.world import World, question_row, stored

ANSWERS = ("one", "two", "Two", "three")


def test_what_each_student_learned_and_what_it_was_asked(world: World) -> None:
    """By method, labels and lineage: samples, pseudo-labels, a teacher's own answers, gold answers, sources."""
    train = [question_row(f"q{place}", gold=gold) for place, gold in enumerate(ANSWERS)]
    test = [
        question_row(f"t{place}", split="test", gold=gold)
        for place, gold in enumerate(("two", "four", "five"))
    ]
    world.task("t", [*train, *test])
    plan = world.plan(rationales=1)
    claimed = world.claim(plan, 4).samples
    world.record(*(stored(each, correct=place != 1) for place, each in enumerate(claimed)))
    world.connection.execute("UPDATE sample SET extracted = 'four' WHERE id = ?", (claimed[1].sample_id,))
    ids = tuple(each.sample_id for each in claimed)

    def run(
        name: str, samples: tuple[int, ...], sources: tuple[tuple[int, str], ...] = (), **student: object
    ) -> object:
        settings = RunSettings(student={"name": name, **student})
        return replace(NEW, student=name, sample_ids=samples, settings=settings, sources=sources)

    one, two = ids[:2]
    labels = ((1, "four", 2, 2),)
    runs = [
        run("gold", (one, two)),
        run("teacher", (one, two), curation={"labels": "teacher"}),
        replace(run("majority", (one,)), labels=labels),
        run("answers", ()),
        run("few", (), questions=2),
        run("child", (one,), ((4, "base"),)),
    ]
    assert create_run(world.connection, runs) == [1, 2, 3, 4, 5, 6]
    keys = [key for (key,) in world.rows("SELECT id FROM question WHERE split = 'test' ORDER BY position")]
    rows = tuple((key, "test", "x", "x", int(place != 1), "") for place, key in enumerate(keys))
    for key in range(1, 7):
        report_run(
            world.connection,
            [RunReport(run_id=key, values={"state": "done"}, evaluations=(evaluation(1, "test", 7, 3, 2),))],
        )
        store_predictions(world.connection, [Predictions(run_id=key, rows=rows)])
    found = read_learned_answers(world.connection)
    assert {each.student: each.learned for each in found} == {
        "gold": {"one", "two"},
        "teacher": {"one", "four"},
        "majority": {"four"},
        "answers": set(ANSWERS),
        "few": None,
        "child": set(ANSWERS),
    }
    assert {each.asked for each in found} == {(("two", True), ("four", False), ("five", True))}


def test_teachers_that_were_selected_stand_beside_their_own_accuracy(world: World) -> None:
    world.task("t", [question_row(f"q{place}") for place in range(3)])
    plan = world.plan(rationales=1)
    claimed = world.claim(plan, 3, teacher="a").samples
    world.record(*(stored(each, correct=place != 1) for place, each in enumerate(claimed)))
    ids = tuple(each.sample_id for each in claimed[:2])
    create_run(world.connection, [replace(NEW, sample_ids=ids), replace(NEW, sample_ids=(), student="plain")])
    figures = json.dumps({"weight.a@t": 0.75, "weight.b@t": 0.2})
    for key in (1, 2):
        values = {"state": "done", "figures": figures if key == 1 else "{}"}
        report_run(world.connection, [RunReport(run_id=key, values=values)])  # type: ignore[arg-type]
    found = read_selected_teachers(world.connection)
    assert [(each.teacher, each.weight, each.rows, each.graded, each.correct) for each in found] == [
        ("a", 0.75, 2, 3, 2),
        ("b", 0.2, 0, 0, 0),
    ]
    lines = selected_table(found).splitlines()
    assert "0.750" in lines[2] and "66.7 (20.8–93.9)" in lines[2] and lines[3].rstrip().endswith("– |")


def test_the_table_compares_answers_as_their_format_does_and_leaves_the_untrained_out() -> None:
    def learned(student: str, method: str, *answers: str) -> LearnedAnswers:
        asked = (("two", True), ("Two", True), ("four", False), ("five", True))
        return LearnedAnswers(
            run_id=1,
            student=student,
            task="t",
            answer_format="text",
            method=method,
            learned=frozenset(answers),
            asked=asked,
        )

    table = seen_table(
        [learned("cot", "fine-tune-cot", "TWO"), learned("all", "fine-tune", "two", "four", "five")]
    )
    first, second = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:4])
    assert first == ["cot", "t", "1", "2", "100.0 (34.2–100.0)", "2", "50.0 (9.5–90.5)"]
    assert second[3:] == ["4", "75.0 (30.1–95.4)", "0", "–"]
    assert seen_table([learned("base", "base", "two")]) == ""
