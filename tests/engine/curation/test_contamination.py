from __future__ import annotations

from engine.curation import overlaps, same_questions
from engine.question import Question

LONG = "A long winding story about a fox who crossed the river near the old mill and then slept"

UNLESS = "; students read them unless drop_test_alike = true"


def question(text: str, split: str) -> Question:
    return Question(key=text[:190] + split, text=text, answer="1", split=split)  # type: ignore[arg-type]


def within(*questions: Question) -> list[str]:
    return overlaps({"t": questions}, {"t"})["t"]


def test_questions_of_two_splits_that_are_alike_are_counted() -> None:
    others = [
        question(f"Entirely different words number {i} follow here without any overlap at all, {i}", "train")
        for i in range(3)
    ]
    given = [question(LONG + " well.", "train"), *others, question(LONG + " badly.", "test")]
    assert within(*given) == [
        "1 train question (25.0 %) shares most of its word 8-grams with a test question" + UNLESS
    ]
    assert within(*given[:-1]) == []


def test_the_same_question_in_two_splits_is_counted_once_as_the_same() -> None:
    given = [question(LONG, "train"), question(LONG.upper() + " .", "test"), question(LONG + "!", "dev")]
    assert within(*given) == [
        "1 train question (100.0 %) is also in test, in the same or another spelling or order; students do not read them",
        "1 dev question (100.0 %) is also in test, in the same or another spelling or order",
        "1 train question (100.0 %) is also in dev, in the same or another spelling or order; students do not read them",
    ]


def test_the_same_question_in_two_tasks_is_said_of_the_tested_one() -> None:
    one = [question("Joan found 70 seashells on the beach .", "train"), question("Own?", "test")]
    other = [question("Joan found 70 seashells on the beach.", "test"), question("Other?", "train")]
    assert overlaps({"one": one, "other": other}, {"one", "other"}) == {
        "one": [],
        "other": ["1 of its test questions is also in train of one"],
    }
    assert overlaps({"one": one, "other": other}, {"one"}) == {"one": []}
    assert overlaps({"other": other}, {"other"}) == {"other": []}


def test_a_training_question_is_compared_with_all_that_is_held_out() -> None:
    train = {1: "Which? (A) red (B) blue", 2: "Which? (A) red (B) green", 3: "Is it 3.5?"}
    held_out = ["which?\nA. BLUE\nB. RED\n", "Is it 35?"]
    assert same_questions(train, held_out) == {1}
    assert same_questions({}, held_out) == same_questions(train, []) == frozenset()
