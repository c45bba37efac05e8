"""Votes and cascades from stored answers, beside counts by hand."""

from __future__ import annotations

import random
from dataclasses import replace

from engine.grading.majority import common_form
from engine.report.together import Answer, Group, cascade, cheapest_first, chosen, groups, together, vote
from state.figure_data import FigureData
from state.results import PlanResult, Results, RunResult, TaskResult
from tests.engine.report.test_markdown import RUN

TASK = TaskResult(id=1, name="t", answer_format="number", train=5, dev=4, test=50, questions=())
N = 50


def answers(seed: int, share: float, n: int = N) -> dict[int, Answer]:
    """Answers to questions whose gold answer is their number; 5 and 5.0 are one answer."""
    chance = random.Random(seed)
    found: dict[int, Answer] = {}
    for question in range(n):
        right = chance.random() < share
        text = f"{question}.0" if chance.random() < 0.3 else str(question)
        found[question] = (text if right else chance.choice([None, "", "7000", "8000"]), right)
    return found


def test_a_vote_is_what_counting_by_hand_gives() -> None:
    given = [answers(seed, 0.6) for seed in (1, 2, 3, 4)]
    for question in range(N):
        own = [each[question] for each in given]
        forms = [common_form(text, "number") for text, _ in own if text]
        most = max(forms, key=lambda form: (forms.count(form), -forms.index(form))) if forms else None
        right = most is not None and next(
            ok for text, ok in own if text and common_form(text, "number") == most
        )
        assert vote(own, "number") == right
    assert not vote([(None, False), ("", False)], "number")


def test_a_cascade_asks_as_few_as_its_threshold_allows() -> None:
    questions: dict[int, list[Answer]] = {
        1: [("1", True), ("1", True), ("2", False)],
        2: [("5", False), ("2", True), ("2.0", True)],
        3: [("5", False), (None, False), ("6", False)],
    }
    teacher = {1: 1.0, 2: 0.0, 3: 1.0}
    found = [cascade(questions, teacher, "number", equal) for equal in (1, 2, 3, 4)]
    assert [each.correct for each in found] == [1, 3, 2, 2]
    assert [round(each.students, 2) for each in found] == [1.0, 2.67, 3.0, 0.0], (
        "the teacher alone asks no student"
    )
    assert [round(each.teacher, 2) for each in found] == [0.0, 0.33, 1.0, 1.0]
    assert chosen(found, 1.0) == 2
    cheaper = [replace(each, accuracy=0.5) for each in found]
    assert chosen(cheaper, 1.0) == 1, "of equal ones the cheapest"


def test_a_cascade_costs_the_answers_of_those_that_were_asked() -> None:
    questions: dict[int, list[Answer]] = {
        1: [("1", True), ("1", True)],
        2: [("5", False), ("2", True)],
    }
    flops = {1: [10.0, 100.0], 2: [30.0, 200.0]}
    one, two, teacher = [cascade(questions, {}, "number", equal, flops) for equal in (1, 2, 3)]
    assert (one.flops, two.flops, teacher.flops) == (20.0, 170.0, 0.0)
    assert cascade(questions, {}, "number", 1, {1: [10.0, 100.0]}).flops is None, "one answer has none"
    cheap, dear = replace(one, accuracy=0.5, students=2.0), replace(two, accuracy=0.5, students=1.0)
    assert chosen([dear, cheap], 1.0) == cheap.equal, "FLOPs count, not how many were asked"


def test_the_cheapest_student_is_asked_first_whatever_made_it() -> None:
    whole = run(1, "whole", parameters=56_000, flops=9e6)
    pruned = run(2, "pruned", base="", kind="prune", parameters=50_000, flops=8e6)
    chatty = run(3, "chatty", base="student:whole", parameters=40_000, flops=30e6)

    def order(*runs: RunResult) -> list[str]:
        group = cheapest_first(Group(name="g", task=TASK, runs=runs))
        return [each.student for each in group.runs]

    assert order(chatty, whole, pruned) == ["pruned", "whole", "chatty"], "by the FLOPs of an answer"
    unknown = replace(whole, flops=None)
    assert order(pruned, unknown, chatty) == ["chatty", "pruned", "whole"], "one has none: by parameters"
    earlier = replace(unknown, parameters=None)
    assert order(earlier, pruned) == ["pruned", "whole"], "of an older version: those of its base"
    assert order(replace(earlier, base="gpt2"), pruned) == ["whole", "pruned"], (
        "nothing is known: as they are"
    )


def results(*runs: RunResult, plans: tuple[PlanResult, ...] = (), **config: object) -> Results:
    return Results(
        tasks=(TASK,), plans=plans, runs=runs, failed=(), config=config, boots=1, spent_usd=0.0, unknown_attempts=0,
        prompt_tokens=0, completion_tokens=0,
    )  # fmt: skip


def run(number: int, student: str, base: str = "builtin:nano", **values: object) -> RunResult:
    return replace(
        RUN,
        run_id=number,
        student=student,
        task="t",
        base=base,
        superseded=False,
        dev_accuracy=None,
        **values,
    )


def plan(split: str, **values: object) -> PlanResult:
    return PlanResult(
        **{
            **{
                "name": f"p-{split}",
                "task": "t",
                "split": split,
                "teachers": ("a",),
                "rationales": 1,
                "wanted": N,
            },
            **{"stored": N, "accepted": 45, "rejected": 5, "failed": 0, "covered": 0, "questions": N},
            **{"spent_usd": 1.0, "sampled_usd": 0.5, "settings": {"strategy": "zero-shot-cot"}, **values},
        }
    )


def test_the_report_counts_named_groups_and_their_cascades() -> None:
    runs = (run(1, "s1", base="builtin:mini"), run(2, "s2"), run(3, "s3"), run(4, "other"))
    derived = [
        {"name": "three", "make": "ensemble", "combine": "vote", "of": ["s*"]},
        {"name": "five", "make": "ensemble", "combine": "logits", "of": ["s*"]},
    ]
    config = {"students": [{"name": each.student} for each in runs], "derived": derived}
    every = results(*runs, plans=(plan("test"), plan("train")), **config)
    assert [(group.name, [each.run_id for each in group.runs]) for group in groups(every, ())] == [
        ("three", [1, 2, 3])
    ]
    data = FigureData(
        curves=(),
        pass_rates=(),
        answers={},
        teacher_answers={("p-test", "t"): {question: question % 10 != 0 for question in range(N)}},
        given={
            (each.run_id, "t", split): answers(each.run_id, 0.7) for each in runs for split in ("dev", "test")
        },
    )
    text = "\n".join(together(every, data, ()))
    lines = [line for line in text.splitlines() if line.startswith("| t ")]
    asked = data.given[1, "t", "test"]
    by_hand = sum(
        vote([data.given[number, "t", "test"][question] for number in (1, 2, 3)], "number")
        for question in asked
    )
    assert f"{100 * by_hand / N:.1f} (" in lines[0] and "three" in lines[0]
    assert len(lines) == 5, "one vote, and four thresholds"
    assert lines[0].split("|")[-2].strip() == lines[1].split("|")[6].strip() == "–", (
        "older runs have no FLOPs"
    )
    assert sum("←" in line for line in lines) == 1
    ordered = [
        data.given[number, "t", "test"] for number in (2, 3, 1)
    ]  # the smallest first, and those that say something
    first = sum(next((ok for text, ok in (each[key] for each in ordered) if text), False) for key in asked)
    assert f"{100 * first / N:.1f} (" in lines[1]
    assert "teacher alone" in lines[4] and "90.0 (" in lines[4] and "10.000" in lines[4]
    counted = replace(
        data, flops={key: dict.fromkeys(found, 1e6 * key[0]) for key, found in data.given.items()}
    )
    measured = replace(every, runs=tuple(replace(each, flops=1e6 * each.run_id) for each in runs))
    voted, *rows = [
        line for line in "\n".join(together(measured, counted, ())).splitlines() if line.startswith("| t ")
    ]
    assert voted.split("|")[-2].strip() == "6.0", "all three answer"
    assert [row.split("|")[6].strip() for row in rows][-2:] == ["6.0", "0.0"] and rows != lines[1:]
    assert together(results(*runs, students=[]), data, ()) == []
    assert "Cascades" not in "\n".join(together(results(*runs, **config), data, ())), (
        "without a teacher on test"
    )
