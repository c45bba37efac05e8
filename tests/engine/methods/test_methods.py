from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import example, given, strategies

from engine.config.experiment import AXES
from engine.config.students import StudentConfig
from engine.methods import METHODS, RowSettings, TrainingQuestion, TrainRow

ROOT = Path(__file__).parents[3]
ROOMS = ("state", "engine", "daemon", "tui")


@dataclass(frozen=True)
class Rationale:
    sample_id: int
    rationale: str
    correct: bool = True
    extracted: str | None = None


def question(key: int, *samples: Rationale, label: str | None = None) -> TrainingQuestion:
    return TrainingQuestion(question_id=key, question=f"q{key}? ", gold="yes", label=label, samples=samples)


def rows(method: str, *questions: TrainingQuestion, **settings: float) -> list[tuple[object, ...]]:
    made = METHODS[method].rows(questions, RowSettings(**settings))  # type: ignore[arg-type]
    return [(row.sample_id, row.question_id, row.question, row.rationale, row.answer) for row in made]


def row(rationale: str | None, answer: str) -> TrainRow:
    return TrainRow(sample_id=1, question_id=1, question="q?", rationale=rationale, answer=answer)


def test_the_methods_in_order() -> None:
    assert list(METHODS) == [
        "base",
        "fine-tune",
        "fine-tune-cot",
        "fine-tune-golden",
        "socratic",
        "socratic-golden",
    ]


@pytest.mark.parametrize("method", METHODS.values(), ids=list(METHODS))
def test_what_a_method_says_of_itself_holds_together(method) -> None:
    assert method.axes <= set(AXES)
    assert "gold" in method.labels
    assert all(marker in method.writes for marker in method.markers)
    assert method.doc in (StudentConfig.model_fields["method"].description or "")
    student = StudentConfig(name="s", method=method.name, base="a/b", train_at=list(method.train_at))
    assert student.method == method.name and method.trains == (student.strategy is None)
    assert method.reads_samples or ("complete" not in method.train_at and "rationales" not in method.axes)


def test_fine_tune_reads_questions_and_answers_alone() -> None:
    assert rows("fine-tune", question(1, Rationale(7, "so")), question(2, label="no")) == [
        (None, 1, "q1? ", None, "yes"),
        (None, 2, "q2? ", None, "no"),
    ]


def test_a_wrong_rationale_teaches_the_gold_answer_or_where_asked_its_own() -> None:
    samples = Rationale(1, " a "), Rationale(2, "b", False, "no"), Rationale(3, "c", False)
    taught = rows("fine-tune-cot", question(5, *samples), question(6))
    assert taught == [(key, 5, "q5? ", text, "yes") for key, text in ((1, "a"), (2, "b"), (3, "c"))]
    own = rows("fine-tune-cot", question(5, *samples), own_answers=True)
    assert [each[4] for each in own] == ["yes", "no", ""]
    for own_answers in (False, True):
        labelled = rows("fine-tune-cot", question(5, *samples, label="maybe"), own_answers=own_answers)
        assert [each[4] for each in labelled] == ["maybe"] * 3


def test_golden_rationales_are_those_of_the_data() -> None:
    given = [
        replace(question(1, Rationale(7, "so")), rationale=" since "),
        question(2),
        question(3, label="no"),
    ]
    assert rows("fine-tune-golden", *given) == [(None, 1, "q1? ", "since", "yes")]
    assert [each[3] for each in rows("fine-tune-golden", *given, mix_answers=0.5)] == ["since", None]


def test_answers_alone_follow_the_last_rationale_of_their_question() -> None:
    asked = [question(key, Rationale(10 * key, "a"), Rationale(10 * key + 1, "b")) for key in range(1, 5)]
    made = rows("fine-tune-cot", *asked, question(9), mix_answers=0.2, seed=1)
    alone = [place for place, each in enumerate(made) if each[3] is None]
    assert len(alone) == 2 and len(made) == 10, "2 of 10 rows"
    for place in alone:
        before, own = made[place - 1], made[place]
        assert own[0] is None and own[1] == before[1] and before[0] == 10 * own[1] + 1
        assert own[2] == f"q{own[1]}? (Answer only.)" and own[4] == "yes"
    assert rows("fine-tune-cot", *asked, mix_answers=0.2, seed=2) != made[:-1]


def test_a_mixture_has_rows_of_each_format() -> None:
    """Per rationale as many as its share says; an answer once per question; nothing else than without the mixture in between."""
    asked = [question(key, Rationale(10 * key, "a"), Rationale(10 * key + 1, "b")) for key in range(1, 9)]
    settings = RowSettings(
        formats={"cot": 1.0, "answer": 0.25, "shots-cot": 0.5, "shots-answer": 1.0}, shots=2, seed=1
    )
    method = METHODS["fine-tune-cot"]
    made = list(method.rows(asked, settings))
    assert Counter(row.format for row in made) == {"": 16, "answer": 4, "shots-cot": 8, "shots-answer": 8}
    assert [row for row in made if not row.format] == list(method.rows(asked, RowSettings()))
    assert made == list(method.rows(asked, settings)) != list(method.rows(asked, replace(settings, seed=2)))
    for row in made:
        own = f"q{row.question_id}?"
        match row.format:
            case "answer":
                assert row.question == f"{own} (Answer only.)" and row.rationale is None
            case "shots-cot" | "shots-answer":
                *shown, last = row.question.split("\n\n")
                reasons = row.format == "shots-cot"
                assert last == f"Q: {own}" and len(set(shown)) == 2
                assert all(each.endswith("\nA: a --> yes" if reasons else "\nA: yes") for each in shown)
                assert not any(own in each for each in shown)
                assert (row.rationale is not None) == (row.sample_id is not None) == reasons


def test_few_questions_show_what_there_is() -> None:
    settings = RowSettings(formats={"cot": 1.0, "shots-cot": 1.0}, shots=9)
    (_, alone) = METHODS["fine-tune-cot"].rows([question(1, Rationale(1, "a"))], settings)
    assert alone.question == "Q: q1?"


WORDS = ("-->", "--->", "---->", "->", "END", "###", "</s>", "Answer:", "the", "x", "4", " ", "\n")
TEXTS = strategies.lists(strategies.sampled_from(WORDS), min_size=1, max_size=8).map("".join)


@given(rationale=strategies.none() | TEXTS, answer=TEXTS.filter(str.strip))
@example(rationale="So a ---> b, the END.", answer="the END of it")
def test_what_is_written_is_read_back(rationale, answer) -> None:
    method = METHODS["fine-tune-cot" if rationale is not None else "fine-tune"]
    target = method.target(row(rationale, answer))
    assert method.parse(target) == answer.strip()


def test_targets_are_the_papers() -> None:
    assert METHODS["fine-tune-cot"].target(row("Two and two.", "4")) == "Two and two. --> 4"
    assert METHODS["fine-tune-cot"].target(row(" Two and two. ", "4 ")) == "Two and two. --> 4"
    assert (
        METHODS["fine-tune-cot"].target(row(None, "4")) == METHODS["fine-tune"].target(row(None, " 4")) == "4"
    )


@pytest.mark.parametrize(
    ("text", "method", "answer"),
    [
        (" It is 4 --> 4", "fine-tune-cot", "4"),
        (" It is 4, so the answer is 4", "fine-tune-cot", None),
        (" It is 4 -->", "fine-tune-cot", None),
        ("", "fine-tune-cot", None),
        (" 4", "fine-tune", "4"),
        (" ", "fine-tune", None),
    ],
)
def test_a_text_without_an_answer_has_none(text, method, answer) -> None:
    assert METHODS[method].parse(text) == answer


def compared(tree: ast.AST) -> Iterator[ast.Constant]:
    """Constants that something is compared with, alone or in a tuple, list or set, and the keys of dictionaries."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            for side in (node.left, *node.comparators):
                yield from (each for each in ast.walk(side) if isinstance(each, ast.Constant))
        elif isinstance(node, ast.MatchValue):
            yield from (each for each in ast.walk(node) if isinstance(each, ast.Constant))
        elif isinstance(node, ast.Dict):
            yield from (key for key in node.keys if isinstance(key, ast.Constant))


def test_no_other_file_compares_the_name_of_a_method() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{each.lineno}: {each.value}"
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        if path.parent != ROOT / "engine" / "methods"
        for each in compared(ast.parse(path.read_text(encoding="utf-8")))
        if each.value in METHODS and each.value != "base"  # also the name of a key, and of an axis
    ]
    assert not found, found
    assert list(compared(ast.parse("x == 'fine-tune' or x in ('a', 'fine-tune-cot')")))
