from __future__ import annotations

import pytest

from engine.report.chance import chance


@pytest.mark.parametrize("form", ["number", "text", "date", "math"])
def test_a_free_answer_is_never_guessed(form: str) -> None:
    assert chance(form, [("q", "7")]) == 0.0


def test_yes_or_no_is_one_of_two() -> None:
    assert chance("yes_no", []) == chance("yes_no", [("q?", "yes")]) == 0.5


def test_a_choice_is_one_of_the_questions_own_options() -> None:
    two, four = "Which? (A) x (B) y", "Which? (A) x (B) y (C) z (D) w"
    assert chance("choice", [(two, "A"), (four, "B")]) == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert chance("choice", [(four, "B"), ("no options here", "B")]) == pytest.approx(1 / 8)
    assert chance("choice", []) == 0.0
