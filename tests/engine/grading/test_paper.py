from __future__ import annotations

import pytest

from engine.grading import grade, grade_unmarked


@pytest.mark.parametrize(
    ("completion", "gold", "answer_format", "correct", "extracted"),
    [
        ("180 * 7 = 1260", "1260", "number", False, "180"),
        (" 1,260.", "1260", "number", True, "1260"),
        (" 1260.0000001", "1260", "number", True, "1260.0000001"),
        ("A, B, C or D", "A", "choice", True, "A"),
        ("yes!", "yes", "yes_no", False, None),
        (": Yes", "yes", "yes_no", True, "yes"),
        (' "n a o i".', "naoi", "text", True, "naoi"),
        ("12 hats and 3 --> 15 END", "15", "number", True, "15"),
        ("nothing", "5", "number", False, None),
        ("05/01/2021", "05/01/2021", "date", True, "05/01/2021"),
        ("1", "one", "number", False, "1"),
        (" \\frac{1}{2}.", "\\frac{1}{2}", "math", True, "\\frac{1}{2}"),
        ("0.5", "1/2", "math", False, "05"),
    ],
)
def test_the_published_expressions_with_their_faults(
    completion, gold, answer_format, correct, extracted
) -> None:
    verdict = grade(completion, gold, answer_format, grader="paper")
    assert (verdict.correct, verdict.extracted) == (correct, extracted)


def test_letters_are_those_of_the_question() -> None:
    question = "Who? Answer Choices: (A) Ann (B) Bob (C) Claire"
    assert grade("E or B", "B", "choice", question=question, grader="paper").correct
    assert not grade("E or B", "B", "choice", grader="paper").correct


@pytest.mark.parametrize(
    ("text", "gold", "answer_format", "correct", "extracted"),
    [
        ("3 and 4 make 7, so 1,260", "1260", "number", True, "1260"),
        ("A, B, then C", "C", "choice", True, "C"),
        ("No. But: yes", "yes", "yes_no", True, "yes"),
        (" n a o i.", "naoi", "text", True, "naoi"),
        ("nothing", "5", "number", False, None),
    ],
)
def test_the_evaluator_takes_the_last_candidate_where_the_arrow_is_missing(
    text, gold, answer_format, correct, extracted
) -> None:
    verdict = grade_unmarked(text, gold, answer_format, grader="published")
    assert verdict is not None and (verdict.correct, verdict.extracted) == (correct, extracted)
    for grader in ("paper", "careful"):
        assert grade_unmarked(text, gold, answer_format, grader=grader) is None


def test_behind_the_arrow_the_evaluator_is_the_published_expressions() -> None:
    for text in ("180 * 7 = 1260", "12 hats and 3 --> 15, not 16", "nothing"):
        verdicts = [grade(text, "15", "number", grader=grader) for grader in ("paper", "published")]
        assert verdicts[0] == verdicts[1]
