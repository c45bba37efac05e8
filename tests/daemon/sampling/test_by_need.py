"""Sampling by need, and fallback teachers, over HTTP: what was asked, counted by the teacher itself."""

from __future__ import annotations

import json
from pathlib import Path

from tests.daemon.ledgers import check_promise
from tests.daemon.site import Teacher, configure, coterie, count, query, run_to_end, teacher

FAST = ("--latency-ms", "2")
DIVERSE = "SELECT stored, accepted, wanted, skipped FROM plan WHERE name = 'diverse'"
OTHER_PLAN = 6 * 2  # requests of the plan `teacher`: two turns of each test question


def test_a_question_is_asked_for_no_more_than_could_still_be_needed(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST, "--error-rate", "0") as school:
        configure(tmp_path, school.url, rationales=8, plan="stop_after_correct = 2")
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        assert len(school.ledger()) == 30 * 2 * 2 + OTHER_PLAN  # two correct ones, of two turns each
    assert query(tmp_path, DIVERSE) == [(60, 60, 60, 0)]


def test_questions_without_a_correct_one_are_tried_again_up_to_the_ceiling(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST, "--error-rate", "0.25") as school:
        configure(tmp_path, school.url, rationales=1, plan="max_rationales = 4")
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        stored, accepted, wanted, skipped = query(tmp_path, DIVERSE)[0]
        assert len(school.ledger()) == stored * 2 + OTHER_PLAN
        check_promise(tmp_path, school.ledger())
    assert 30 < stored < 120 and (wanted, skipped) == (stored, 0)
    by_question = query(
        tmp_path,
        "SELECT sum(verdict), count(*) FROM sample WHERE split = 'train' GROUP BY question_id",
    )
    assert len(by_question) == 30 and sum(correct for correct, _ in by_question) == accepted
    assert {(correct, tries) for correct, tries in by_question if not correct} <= {(0, 4)}
    assert {correct for correct, _ in by_question} <= {0, 1}
    assert count(tmp_path, "need") == 0


def test_so_many_correct_a_task_are_taken_and_hardly_more(tmp_path: Path) -> None:
    with teacher(tmp_path, "--latency-ms", "20") as school:
        setup = {"train": 100, "rationales": 4, "teacher": "concurrency = 8"}
        configure(tmp_path, school.url, plan="correct_per_task = 60", **setup)
        code, output = run_to_end(tmp_path)
        assert code == 0, output
        stored, accepted, wanted, _ = query(tmp_path, DIVERSE)[0]
        assert 60 <= accepted <= 68 and stored == wanted < 400
        asked = len(school.ledger())
        assert asked == stored * 2 + OTHER_PLAN
        assert query(tmp_path, "SELECT max(replicate) FROM sample WHERE split = 'train'") == [(0,)]
        configure(tmp_path, school.url, plan=f"correct_per_task = {accepted + 30}", **setup)
        code, output = run_to_end(tmp_path)
        assert code == 0 and "correct rationales and may" not in output
        more = query(tmp_path, DIVERSE)[0]
        assert accepted + 30 <= more[1] <= accepted + 38
        assert len(school.ledger()) - asked == (more[0] - stored) * 2, (
            "samples that there were are asked for again"
        )


def test_a_target_that_is_not_reached_says_so(tmp_path: Path) -> None:
    with teacher(tmp_path, *FAST) as school:
        configure(tmp_path, school.url, train=6, rationales=2, plan="correct_per_task = 50")
        code, output = run_to_end(tmp_path)
    assert code == 0 and "of 50 correct rationales and may" in output
    assert query(tmp_path, DIVERSE)[0][0] == 12
    assert json.loads(coterie(tmp_path, "status", "--json").stdout)["plans"][0]["wanted"] == 12


SECOND = """
[teachers.spare]
base_url = "{url}"
model = "practice-small"
usd_per_million_input = 0.15
usd_per_million_output = 0.60
"""
BY_TEACHER = (
    "SELECT t.name, t.model, count(*) FROM sample s JOIN teacher t ON t.id = s.teacher_id WHERE s.plan_id = 1"
    " GROUP BY 1 ORDER BY 1"
)


def test_a_fallback_takes_over_while_the_teacher_is_parked_and_hands_back(tmp_path: Path) -> None:
    (tmp_path / "spare").mkdir()
    (tmp_path / "key").write_text("sk-wrong-key-456")
    (tmp_path / "key").chmod(0o600)
    spare = Teacher(tmp_path / "spare", *FAST)
    try:
        with teacher(tmp_path, *FAST, "--key", "sk-right-key-123") as school:
            setup = {
                "teacher": 'api_key_file = "key"',
                "plan": 'fallback_teachers = ["spare"]',
                "students": SECOND.format(url=spare.url),
            }
            configure(tmp_path, school.url, **setup)
            text = (tmp_path / "config.toml").read_text()
            (tmp_path / "config.toml").write_text(
                text.replace('split = "test"', 'split = "test"\nteachers = ["spare"]')
            )
            code, output = run_to_end(tmp_path)
            assert code == 0, output
            assert "plan diverse falls back to spare: school is parked" in output
            assert query(tmp_path, BY_TEACHER) == [("spare", "practice-small", 60)]
            (tmp_path / "key").write_text("sk-right-key-123")
            configure(tmp_path, school.url, **{**setup, "rationales": 3})
            code, output = run_to_end(tmp_path)
            assert code == 0, output
            assert query(tmp_path, BY_TEACHER) == [
                ("school", "practice-large", 30),
                ("spare", "practice-small", 60),
            ]
    finally:
        spare.stop()
    exported = [json.loads(line) for line in coterie(tmp_path, "export", "samples").stdout.splitlines()]
    said = {(row["teacher"], row["model"]) for row in exported if row["plan"] == "diverse"}
    assert said == {("school", "practice-large"), ("spare", "practice-small")}


def test_a_fallback_takes_over_when_the_teachers_budget_is_used_up(tmp_path: Path) -> None:
    (tmp_path / "spare").mkdir()
    spare = Teacher(tmp_path / "spare", *FAST)
    try:
        with teacher(tmp_path, *FAST) as school:
            configure(
                tmp_path,
                school.url,
                teacher="budget_usd = 0.0015",
                plan='fallback_teachers = ["spare"]',
                students=SECOND.format(url=spare.url),
            )
            code, output = run_to_end(tmp_path)
            assert code == 0, output
            ledger = school.ledger() + spare.ledger()
    finally:
        spare.stop()
    assert output.count("falls back to spare: school has used up its budget") == 1
    assert "is back on" not in output
    assert query(tmp_path, "SELECT spent_micros <= 1500 FROM teacher WHERE name = 'school'") == [(1,)]
    made = {name: number for name, _, number in query(tmp_path, BY_TEACHER)}
    assert set(made) == {"school", "spare"} and sum(made.values()) == 60
    check_promise(tmp_path, ledger)
