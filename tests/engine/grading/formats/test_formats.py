"""A format is one file: everything about it comes from its object, and nothing else compares its name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.config import TaskConfig
from engine.grading import grade, in_worker
from engine.grading.format import Format
from engine.grading.formats import FORMATS
from engine.grading.majority import common_form, majority
from engine.report.chance import chance
from engine.strategies import STRATEGIES

ROOT = Path(__file__).resolve().parents[4]
PRODUCT = [path for room in ("state", "engine", "daemon", "tui") for path in (ROOT / room).rglob("*.py")]


def compared(path: Path) -> Iterator[tuple[int, str, str]]:
    """Line, expression and text of each string that a module compares something with."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
        elif isinstance(node, ast.Match):
            sides = [node.subject, *(case.pattern for case in node.cases)]
        else:
            continue
        for side in sides:
            for each in ast.walk(side):
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    yield node.lineno, ast.unparse(node), each.value


def own(path: Path, folder: str) -> bool:
    return path.relative_to(ROOT).as_posix().startswith(folder)


def test_no_module_compares_the_name_of_a_format_or_strategy() -> None:
    for path in PRODUCT:
        for line, expression, text in compared(path):
            if text in STRATEGIES and text != "student":  # which is a kind of many things, too
                assert own(path, "engine/strategies/"), f"{path}:{line}: {expression}"
            if text in FORMATS and re.search(r"\b(answer_)?format\b|\banswer\b|\bform\b", expression):
                assert own(path, "engine/grading/formats/"), f"{path}:{line}: {expression}"


def test_a_comparison_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(
        'x = answer_format == "choice"\ny = z in ("date", "number")\nmatch q:\n    case "text": pass\n'
    )
    assert {text for _, _, text in compared(path)} == {"choice", "date", "number", "text"}


@pytest.mark.parametrize("form", FORMATS.values(), ids=lambda form: form.name)
def test_a_format_is_complete(form: Format) -> None:
    assert form.documentation.endswith(".")
    for phrases in (form.phrases, form.phrases_without_options or form.phrases):
        for phrase in (phrases.direct, phrases.after_rationale, phrases.described):
            assert phrase and phrase.replace("{last}", "E").format() == phrase.replace("{last}", "E")
    assert TaskConfig(source="t.jsonl", answer=form.name).answer == form.name


def test_everything_asks_the_object(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grading, votes, chance and threads follow a format that is registered here."""
    essay = replace(
        FORMATS["text"],
        name="essay",
        common_form=lambda answer: answer[:1],
        chance=lambda questions: 0.25,
        in_worker=True,
    )
    monkeypatch.setitem(FORMATS, "essay", essay)
    assert grade("Answer: So be it", "so be it", "essay").correct
    assert grade("so be it", "so be it", "essay", grader="paper").correct
    assert common_form("abc", "essay") == "a"
    vote = majority(["ab", "b", "ac"], "essay")
    assert vote is not None and (vote.answer, vote.votes) == ("ab", 2)
    assert chance("essay", []) == 0.25 and in_worker("essay") and not in_worker("text")


def test_an_unknown_format_is_borne_where_only_stored_data_name_it() -> None:
    assert common_form(" A  b", "gone") == "a b" and chance("gone", []) == 0.0 and not in_worker("gone")


@pytest.mark.parametrize(
    ("text", "gold", "correct"),
    [
        ("Answer: 100000000000.0000000000", "100000000001", False),  # whole numbers differ by one: no noise
        (
            "Answer: 100000000000.1234567891",
            "100000000000.1234567892",
            True,
        ),  # decimals beyond nine digits: noise
        ("Answer: 0.01", "0.006123456", False),  # rounded, but a third of it is gone
        ("Answer: 0.61", "0.606123456", True),
        (
            "Answer: 12\n\nAnswer: 12 or 13",
            "12",
            None,
        ),  # the last one does not choose: the first is not taken for it
    ],
)
def test_a_number_is_not_nearly_another_one(text: str, gold: str, correct: bool | None) -> None:
    verdict = grade(text, gold, "number")
    if correct is None:
        assert "hedged" in verdict.flags and not verdict.correct
    else:
        assert verdict.correct is correct, verdict.reason
