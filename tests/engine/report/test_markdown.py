from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from engine.report import TERMINAL, method_table, page, render, summary, terminal_tables, text_table
from state.confidence_interval import wilson
from state.results import PlanResult, Results, RunResult, TaskResult

HOSTILE = "evil | name\n| forged | row |\r\x1b[2J\u202e <script>alert(1)</script> [a](http://b.example) ![a](c.png) `x` \\"

TASK = TaskResult(
    id=1,
    name="coin_flip",
    answer_format="yes_no",
    train=10,
    dev=2,
    test=4,
    questions=(("q1?", "yes"), ("q2?", "no")),
)
PLAN = PlanResult(
    name="diverse",
    task="coin_flip",
    split="train",
    teachers=("practice", "gpt"),
    rationales=8,
    wanted=80,
    stored=79,
    accepted=60,
    rejected=19,
    failed=1,
    covered=9,
    questions=10,
    spent_usd=0.0123,
    settings={"temperature": 0.7},
)
EXAM = replace(
    PLAN, name="exam", split="test", wanted=4, stored=3, accepted=2, rejected=1, failed=1, rationales=1
)
RUN = RunResult(
    run_id=7,
    student="cot",
    method="fine-tune-cot",
    task="coin_flip",
    trigger="complete",
    rows=58,
    questions=9,
    seed=3,
    n=150,
    correct=120,
    accuracy=0.8,
    low=0.729,
    high=0.856,
    dev_accuracy=0.78,
    directory="runs/7",
    drops={"wrong answer": 19, "duplicate rationale": 2},
    seconds=12.4,
)
EMPTY = Results(
    tasks=(),
    plans=(),
    runs=(),
    failed=(),
    config={},
    boots=1,
    spent_usd=0.0,
    unknown_attempts=0,
    prompt_tokens=0,
    completion_tokens=0,
)
FULL = replace(
    EMPTY,
    tasks=(TASK,),
    plans=(PLAN, EXAM),
    runs=(replace(RUN, run_id=5, accuracy=0.5), RUN, replace(RUN, run_id=8, student="plain", accuracy=0.6)),
    failed=((9, "plain", "coin_flip", "out of memory"),),
    config={"students": [{"name": "plain"}, {"name": "cot"}]},
    boots=2,
    spent_usd=0.0125,
    unknown_attempts=3,
    prompt_tokens=1000,
    completion_tokens=500,
)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")]


def test_a_table_reads_as_plain_text_and_as_markdown() -> None:
    assert text_table(("name", "n"), [["a", "1"], ["longer", "1000"]]) == (
        "| name   |    n |\n| ------ | ---: |\n| a      |    1 |\n| longer | 1000 |"
    )
    assert text_table(("a",), []).count("\n") == 1


@pytest.mark.parametrize("bad", ["a | b", "a\nb", "\n| x |\n", "a\r\nb\x0bc\u2028d\x85e"])
def test_a_cell_stays_one_cell(bad: str) -> None:
    lines = text_table(("name", "n"), [[bad, "1"], ["b", "2"]]).splitlines()
    assert len(lines) == 4
    assert [len(cells(line)) for line in lines] == [2, 2, 2, 2]
    assert len({len(line) for line in lines}) == 1


def test_a_student_whose_answers_were_sampled_has_a_row_for_their_majority() -> None:
    voted = replace(RUN, majority_of=5, majority=126 / 150)
    first, second = method_table(replace(FULL, plans=(), runs=(voted,)))["coin_flip"][1:]
    assert (first.method, first.kind, first.accuracy) == ("cot", "fine-tune-cot", 0.8)
    assert (second.method, second.kind) == ("cot, majority of 5", "fine-tune-cot majority")
    assert (second.accuracy, second.n, second.where) == (0.84, 150, "runs/7")
    assert (second.low, second.high) == wilson(126, 150)
    assert "| cot, majority of 5 | 84.0 (77.3–89.0) |" in " ".join(
        summary(replace(FULL, runs=(voted,))).split()
    )


def test_the_end_of_a_run_fits_a_terminal_and_shows_what_matters() -> None:
    long = replace(RUN, student="experiment.fine-tune-cot.d1.rows16.s0", step=1760, passes=40.0)
    shown = terminal_tables(replace(FULL, runs=(long, RUN)))
    assert shown.startswith(TERMINAL) and "\ncoin_flip (n = 4–150, seed 3)\n| method" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
    [row] = [line for line in shown.splitlines() if "rows16.s0" in line]
    assert "80.0 (72.9–85.6)" in row and "40.0" in row and "1,760" in row
    assert cells(shown.splitlines()[3]) == ["method", "accuracy", "passes", "steps"]


@pytest.mark.parametrize("width", [80, 60, 44, 34])
def test_columns_that_do_not_fit_are_left_out_before_names_are_shortened(width: int) -> None:
    first, last = "reproduce.fine-tune-cot.d1.s0", "reproduce.fine-tune-cot.d1.s1"
    runs = (replace(RUN, student=first, seed=0), replace(RUN, student=last, seed=1))
    lines = terminal_tables(replace(FULL, runs=runs), width=width).splitlines()[3:]
    assert all(len(line) <= width for line in lines)
    assert all("80.0 (72.9–85.6)" in line for line in lines if "s0 |" in line or "s1 |" in line)
    head = cells(lines[0])
    assert head == ["method", "accuracy", "seed", "passes", "steps", "rows"][: len(head)]
    assert (first in "".join(lines)) == (width > 50)
    assert len(cells(lines[-1])[0]) == (len(last) if width > 50 else width - 23)


def test_no_text_of_others_reaches_the_terminal_raw() -> None:
    shown = terminal_tables(replace(FULL, runs=(replace(RUN, student=HOSTILE),)))
    assert "\x1b" not in shown and "\u202e" not in shown and "\r" not in shown
    assert len({len(cells(line)) for line in shown.splitlines() if line.startswith("| ")}) == 1


def test_methods_stand_side_by_side_in_the_order_of_the_configuration() -> None:
    table = method_table(FULL)
    assert [cell.method for cell in table["coin_flip"]] == [
        "random",
        "teacher (practice, gpt)",
        "plain",
        "cot",
    ]
    random, teacher, plain, cot = table["coin_flip"]
    assert (random.accuracy, random.low, random.n) == (0.5, None, 0)
    assert (plain.accuracy, cot.accuracy, cot.where) == (0.6, 0.8, "runs/7")
    assert random.text() == "50.0"
    assert cot.text() == "80.0 (72.9–85.6)"
    assert teacher.where == "plan exam"


def test_a_teachers_failed_sample_is_a_wrong_one() -> None:
    teacher = method_table(FULL)["coin_flip"][1]
    assert (teacher.accuracy, teacher.n) == (0.5, 4)
    assert (teacher.low, teacher.high) == wilson(2, 4)


def test_baselines_by_strategy_and_by_majority() -> None:
    votes = (
        (1, "yes", 1),
        (1, "no", 0),
        (1, "no", 0),
        (2, "no", 1),
        (2, None, None),
        (2, "no", 1),
        (3, None, 0),
    )
    shots = replace(
        EXAM, name="shots", rationales=3, accepted=3, rejected=3, failed=1, settings={"strategy": "few-shot-cot"}, votes=votes
    )  # fmt: skip
    direct = replace(EXAM, name="direct", settings={"strategy": "zero-shot"})
    hints = replace(EXAM, name="hints", settings={"strategy": "rationalize"})
    cells = method_table(replace(FULL, plans=(shots, hints, direct, EXAM)))["coin_flip"]
    told = [(cell.kind, cell.method, cell.n, round(cell.accuracy, 3)) for cell in cells[:5]]
    assert told == [
        ("random", "random", 0, 0.5),
        ("zero-shot", "zero-shot (practice, gpt)", 4, 0.5),
        ("zero-shot-cot", "teacher (practice, gpt)", 4, 0.5),
        ("few-shot-cot", "few-shot-cot (practice, gpt)", 3, 0.333),  # of a third, two thirds and none
        ("few-shot-cot majority", "few-shot-cot, majority of 3 (practice, gpt)", 3, 0.333),
    ]
    assert {cell.kind for cell in cells[5:]} == {"fine-tune-cot"}


def test_several_answers_to_a_question_are_no_further_questions() -> None:
    """Questions that are right or wrong altogether tell as much as with one answer each, not eight times as much."""
    votes = tuple((key, "a", int(key % 2)) for key in range(40) for _ in range(8))
    often = replace(EXAM, rationales=8, accepted=160, rejected=160, failed=0, votes=votes)
    (cell,) = [
        each
        for each in method_table(replace(FULL, plans=(often,)))["coin_flip"]
        if each.kind == "zero-shot-cot"
    ]
    assert (cell.n, cell.accuracy) == (40, 0.5)
    assert cell.low is not None and cell.high is not None
    low, high = wilson(20, 40)
    assert cell.low == pytest.approx(low, abs=0.02) and cell.high == pytest.approx(high, abs=0.02)


def test_a_students_majority_stands_below_its_greedy_answers() -> None:
    voted = replace(RUN, majority_of=5, majority=0.9)
    greedy, most = method_table(replace(FULL, runs=(voted,)))["coin_flip"][2:]
    assert (greedy.method, greedy.accuracy) == ("cot", 0.8)
    assert (most.method, most.kind, most.accuracy) == ("cot, majority of 5", "fine-tune-cot majority", 0.9)
    assert (most.low, most.high) == wilson(135, 150)


def test_a_result_of_earlier_settings_says_so() -> None:
    old = replace(RUN, superseded=True)
    assert method_table(replace(FULL, runs=(old,)))["coin_flip"][-1].method == "cot (earlier settings)"


def test_samples_that_plans_share_count_and_cost_once() -> None:
    wide = replace(PLAN, fingerprint="r", sampled_usd=0.03)
    few = replace(
        PLAN, name="few", fingerprint="r", stored=10, accepted=6, spent_usd=0.0001, sampled_usd=0.003
    )
    text = render(replace(FULL, plans=(few, wide, EXAM)))
    assert "Samples: 82, for 3 plans." in text  # 79 and 3
    (line,) = [line for line in text.splitlines() if line.startswith("| few ")]
    assert cells(line)[-2:] == ["0.0030", "0.500"]


def test_what_was_read_and_given_up_is_told_with_its_reasons() -> None:
    noted = replace(TASK, source="x.jsonl", notes=("3 rows repeat a question",))
    given_up = replace(PLAN, failures=(("HTTP 400: too long | x", 3), ("", 1)), failed=4)
    text = render(replace(FULL, tasks=(noted,), plans=(given_up,)))
    assert "| coin_flip | x.jsonl | yes_no | 10 | 2 | 4 | 3 rows repeat a question |" in " ".join(
        text.split()
    )
    said = [cells(line) for line in text.splitlines() if "HTTP 400" in line or "no reason" in line]
    assert said == [
        ["diverse", "coin_flip", "HTTP 400: too long ¦ x", "3"],
        ["diverse", "coin_flip", "no reason", "1"],
    ]


def test_only_what_there_is_is_shown() -> None:
    only = replace(EMPTY, tasks=(TASK,), plans=(PLAN, replace(EXAM, accepted=0, rejected=0, failed=0)))
    assert [cell.method for cell in method_table(only)["coin_flip"]] == ["random"]
    assert "| coin_flip | random" in summary(only)
    text = render(EMPTY)
    assert "No plans." in text and "No finished runs." in text and "## Failed runs" not in text


def test_the_report_has_its_results_first_and_all_of_its_numbers() -> None:
    text = render(FULL)
    assert text.index("## Accuracy on test") < text.index("## Sampling") < text.index("## Training sets")
    for said in (
        "80.0 (72.9–85.6)",
        "95 % interval (Wilson)",
        "practice, gpt",
        "75.9",
        "0.0123",
        "19 wrong answer, 2 duplicate rationale",
        "9 of 10",
        "out of memory",
        "$0.0125 for 1,000 prompt tokens and 500 completion tokens. Starts of the daemon: 2.",
        "3 requests ended without an answer and may have been billed",
    ):
        assert said in text, said
    assert json.loads(text.split("```json\n")[1].split("\n```")[0]) == FULL.config


def test_hostile_names_and_reasons_stay_in_their_cell_and_do_nothing() -> None:
    results = replace(
        FULL,
        runs=(replace(RUN, student=HOSTILE, directory=HOSTILE, drops={HOSTILE: 1}),),
        failed=((9, HOSTILE, HOSTILE, HOSTILE),),
        plans=(replace(PLAN, name=HOSTILE, teachers=(HOSTILE,)), EXAM),
        config={"x": "```\n# forged\n" + HOSTILE},
    )
    text = render(results)
    assert not set(text) & set("\x1b\r\u202e\x00")
    assert "\n| forged | row |" not in text
    assert "\n# forged" not in text
    shown = text.partition("```json")[0]
    assert not re.search(r"(?<!\\)(?:<script|\[a\]\(|http://)", shown)
    html = page(text, "report")
    assert "<script" not in html and "<a " not in html and "<img" not in html
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [line for line in render(FULL).splitlines() if line.startswith("#")]
    for block in text.split("\n\n"):
        if block.startswith("| "):
            assert len({len(cells(line)) for line in block.splitlines()}) == 1


def test_what_a_correct_one_cost_stands_in_the_table_of_sampling() -> None:
    text = render(FULL)
    assert "| $ per 1,000 correct |" in text
    assert " 0.205 |" in text  # 1,000 x 0.0123 / 60
    assert "Spent: $0.0125. $0.205 per 1,000 correct rationales." in text


def test_the_head_says_when_and_of_which_models_it_is() -> None:
    day = 24 * 3600 * 1000
    runs = (
        replace(RUN, base="small", passes=2.6, ended_at=day),
        replace(RUN, run_id=8, base="large\n# forged", passes=20.0, ended_at=3 * day),
    )
    results = replace(FULL, runs=runs, models=(("practice", "solver"), ("gpt", "gpt-x")))
    text = render(results, written_at="2026-11-29 12:41 UTC")
    assert (
        "Written on 2026-11-29 12:41 UTC. Newest run of 1970-01-04. Teachers: practice (solver), gpt (gpt-x)."
        " Bases: small, large # forged. Passes over the training sets: 2.6 to 20.0."
    ) in text
    assert "Written on" not in render(FULL) and "Teachers:" not in render(FULL)


def test_the_main_figure_stands_above_the_tables_and_the_others_below() -> None:
    text = render(FULL, main_figure=("what counts", "m.svg"), figures=[("more", "a.svg")])
    assert text.index("![what counts](m.svg)") < text.index("## Accuracy on test") < text.index("![more]")
    assert "## Figures" not in render(FULL, main_figure=("what counts", "m.svg"))


def test_beside_a_student_s_accuracy_stands_what_it_rests_on() -> None:
    run = replace(RUN, passes=9.04, step=1234, warm_start=5, test_reads=3)
    lines = summary(replace(FULL, runs=(run,))).splitlines()
    head, student = cells(lines[0]), cells(lines[-1])
    found = dict(zip(head, student, strict=True))
    assert (found["n"], found["seed"], found["passes"], found["steps"]) == ("150", "3", "9.0", "1,234")
    assert (found["warm start"], found["test read"]) == ("run 5", "3")
    teacher = dict(zip(head, cells(next(line for line in lines if "teacher" in line)), strict=True))
    assert {teacher[name] for name in ("passes", "steps", "warm start", "test read")} == {"–"}


def test_how_the_answers_of_a_student_ended_is_reported_where_it_is_known() -> None:
    assert "## Answers of the students" not in render(FULL)
    run = replace(RUN, correct_format=0.9, complete=0.75, repetitions=(0.5, 0.625))
    line = next(line for line in render(replace(FULL, runs=(RUN, run))).splitlines() if "50.0, 62.5" in line)
    assert cells(line) == ["7", "cot", "coin_flip", "150", "80.0", "90.0", "75.0", "50.0, 62.5"]


def test_a_student_of_several_formats_is_reported_in_each() -> None:
    assert "## Formats" not in render(FULL)
    half = {"n": 150, "correct": 75, "accuracy": 0.5, "low": 0.42, "high": 0.58}
    text = render(replace(FULL, runs=(RUN, replace(RUN, formats={"answer": half}))))
    (line,) = [line for line in text.splitlines() if "50.0 (42.0–58.0)" in line]
    assert cells(line)[:4] == ["7", "cot", "coin_flip", "150"] and cells(line)[4].startswith("80.0 (")
