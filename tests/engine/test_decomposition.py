from __future__ import annotations

import gzip
import json
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, strategies

from engine.config import TaskConfig
from engine.decomposition import Step, equations, read_steps, write_steps
from engine.tasks.source import load_task
from tests.conftest import DATA

FILE = DATA / "tasks" / "gsm8k_socratic.test.jsonl.gz"


def test_lines_are_steps_and_further_lines_go_on_with_a_solution() -> None:
    text = "1. How many? ** 2 + 2 = 4\n\n- And then? **  so it\n  is 4.\nWhy? ** \n"
    assert read_steps(text) == (Step("How many?", "2 + 2 = 4"), Step("And then?", "so it is 4."))


@pytest.mark.parametrize(
    "text", ["", "so", "First we add.\nWhat? ** 4", " ** 4", "**How many?** 4", "What? ** "]
)
def test_other_texts_have_no_steps(text) -> None:
    assert read_steps(text) is None


WORDS = strategies.text(alphabet="ab 4*?.-\t", max_size=12)


@given(strategies.lists(strategies.tuples(WORDS, WORDS), max_size=4))
def test_what_was_read_is_read_again(pairs) -> None:
    steps = read_steps("\n".join(f"{question} ** {solution}" for question, solution in pairs))
    if steps is not None:
        assert read_steps(write_steps(steps)) is not None
        assert write_steps(read_steps(write_steps(steps)) or ()) == write_steps(steps)


def test_equations_are_the_annotations_or_those_in_the_text() -> None:
    assert equations("She makes 9 * 2 = $<<9*2=18>>18 a day.") == ["9*2=18"]
    assert equations("So 3 + 4 = 7, and 7 x 2 = 14.") == ["3+4=7", "7x2=14"]
    assert equations("It is 5.") == []


def value(expression: str) -> Fraction:
    """The value of an arithmetic expression of numbers."""
    text = re.sub(r"(\d),(?=\d{3})", r"\1", expression).replace("%", "*0.01")
    assert re.fullmatch(r"[\d.+\-*/() ]+", text), expression
    return Fraction(eval(re.sub(r"(\d+\.?\d*|\.\d+)", r"Fraction('\1')", text), {"Fraction": Fraction}))


def test_the_socratic_file_of_gsm8k_is_a_task() -> None:
    if not FILE.exists():
        pytest.skip(f"{FILE} is not there: test data are kept beside the checkout")
    with gzip.open(FILE, "rt", encoding="utf-8") as file:
        published = [json.loads(line) for line in file]
    task = TaskConfig(source=str(FILE), answer="number", test=1319)
    questions = load_task("gsm8k_socratic", task, Path()).questions
    assert len(questions) == len(published) == 1319
    golds = {row["question"]: row["answer"].rpartition("#### ")[2] for row in published}
    right = wrong = parsed = 0
    for each in questions:
        steps = read_steps(each.rationale or "")
        parsed += steps is not None
        assert each.answer == golds[each.text].strip()
        for equation in [
            found for step in steps or () for found in equations(step.solution) if "<<" in step.solution
        ]:
            left, _, said = equation.rpartition("=")
            good = abs(value(left) - value(said)) <= Fraction(1, 100)
            right, wrong = right + good, wrong + (not good)
    assert value("20-2*40%") == Fraction("19.2")
    assert (parsed, right, wrong) == (1319, 4282, 0), "4,281 are numbers, and one is 3/4=3/4"
