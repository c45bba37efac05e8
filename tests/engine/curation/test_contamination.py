from __future__ import annotations

from engine.curation import between_tasks, contamination
from engine.question import Question

LONG = "A long winding story about a fox who crossed the river near the old mill and then slept"


def question(text: str, split: str) -> Question:
    return Question(key=text[:190] + split, text=text, answer="1", split=split)  # type: ignore[arg-type]


def test_near_duplicates_of_two_splits_are_counted() -> None:
    others = [
        question(f"Entirely different words number {i} follow here without any overlap at all, {i}", "train")
        for i in range(3)
    ]
    given = [question(LONG + " well.", "train"), *others, question(LONG + " badly.", "test")]
    assert contamination(given) == [
        "1 train questions (25.0 %) share most of their word 8-grams with a test question"
    ]
    assert contamination(given[:-1]) == []


def test_the_same_question_in_two_tasks_is_said_of_the_tested_one() -> None:
    one = [question("Joan found 70 seashells on the beach .", "train"), question("Own?", "test")]
    other = [question("Joan found 70 seashells on the beach.", "test"), question("Other?", "train")]
    assert between_tasks({"one": one, "other": other}) == {
        "other": ["1 of its test questions are also in train of one"]
    }
    assert between_tasks({"other": other}) == {}
