from __future__ import annotations

from pathlib import Path

import pytest

from daemon.cli.check_bases import check_distributions, check_selection
from tests.daemon.parts import config_of

DISTRIBUTION = {"objective": "distribution"}


def said(
    folder: Path,
    model: str,
    base: str,
    *,
    training: dict | None = None,
    logprobs: int = 5,
    builtin: bool = False,
) -> list[str]:
    real = {"base_url": "http://127.0.0.1:9/v1", "api_key_env": "KEY"}
    found = config_of(
        folder,
        teachers={"a": {"model": model, **({"builtin": True} if builtin else real)}},
        tasks={"t": {"source": "builtin:coin_flip", "answer": "yes_no"}},
        plans=[{"name": "p", "teachers": ["a"], "logprobs": logprobs}],
        students=[{"name": "s", "base": base, "training": training or {}}],
    )
    told: list[str] = []
    check_distributions(found.students[0], found, told.append)
    return told


def of_student(
    folder: Path, *students: dict, derived: tuple[dict, ...] = (), teacher: str = "warm"
) -> list[str]:
    """What is said of the last of some students, whose teacher is a student."""
    found = config_of(
        folder,
        teachers={"own": {"student": teacher}, "a": {"builtin": True, "model": "practice-large"}},
        tasks={"t": {"source": "builtin:coin_flip", "answer": "yes_no"}},
        plans=[
            {"name": "first", "teachers": ["a"]},
            {"name": "p", "teachers": ["own"], "strategy": "student", "logprobs": 5},
        ],
        students=[
            *({"plans": ["first"], **each} for each in students[:-1]),
            {"plans": ["p"], **students[-1]},
        ],
        derived=list(derived),
    )
    told: list[str] = []
    check_distributions(found.students[-1], found, told.append)
    return told


def tokenizers(folder: Path, *texts: str) -> list[str]:
    paths = [folder / str(number) for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.mkdir()
        (path / "tokenizer.json").write_text(text)
    return [str(path) for path in paths]


def test_distributions_are_proposed_where_the_tokenizer_is_the_same(tmp_path: Path) -> None:
    one, same, other = tokenizers(tmp_path, '{"a": 1}', '{"a": 1, "padding": 2}', '{"b": 1}')
    (line,) = said(tmp_path, one, same)
    assert "plan p asks a for log-probabilities" in line and 'training.objective = "distribution"' in line
    assert said(tmp_path, "org/model", "org/model")
    assert not said(tmp_path, one, other) and not said(tmp_path, one, same, logprobs=0)
    assert not said(tmp_path, "builtin:nano", "builtin:nano"), "each student has its own"


@pytest.mark.parametrize(
    ("builtin", "wanted"),
    [(True, "are made up: it would learn noise"), (False, "may have another tokenizer")],
)
def test_what_stands_against_learned_distributions_is_said(
    tmp_path: Path, builtin: bool, wanted: str
) -> None:
    (line,) = said(tmp_path, "m", "builtin:nano", training=DISTRIBUTION, builtin=builtin)
    assert wanted in line


WARM = {"name": "warm"}
HALF = ({"name": "half", "make": "prune", "of": ["warm"]},)


def test_a_student_that_teaches_has_the_tokenizer_of_its_first_ancestor(tmp_path: Path) -> None:
    (line,) = of_student(tmp_path, WARM, {"name": "s", "base": "student:warm"})
    assert "plan p asks own for log-probabilities" in line and 'training.objective = "distribution"' in line
    assert of_student(tmp_path, WARM, {"name": "s", "base": "student:half"}, derived=HALF), (
        "of its pruned self"
    )
    assert of_student(tmp_path, WARM, {"name": "s", "base": "student:warm"}, derived=HALF, teacher="half")
    assert not of_student(tmp_path, WARM, {"name": "s"}), "two built-in ones make two tokenizers"
    (line,) = of_student(tmp_path, WARM, {"name": "s", "training": DISTRIBUTION})
    assert "the student warm has another tokenizer than builtin:nano" in line
    assert 'With base = "student:warm" it has that one' in line
    assert (
        of_student(
            tmp_path, WARM, {"name": "s", "base": "student:half", "training": DISTRIBUTION}, derived=HALF
        )
        == []
    )


def test_students_of_one_pretrained_base_have_its_tokenizer(tmp_path: Path) -> None:
    one, other = tokenizers(tmp_path, '{"a": 1}', '{"b": 1}')
    assert of_student(tmp_path, {**WARM, "base": one}, {"name": "s", "base": one})
    assert of_student(tmp_path, {**WARM, "base": "org/model"}, {"name": "s", "base": "org/model"})
    assert not of_student(tmp_path, {**WARM, "base": one}, {"name": "s", "base": other})
    assert not of_student(tmp_path, {**WARM, "base": one}, {"name": "s"})


def test_nothing_stands_against_those_of_one_tokenizer(tmp_path: Path) -> None:
    assert said(tmp_path, "org/model", "org/model", training=DISTRIBUTION) == []


@pytest.mark.parametrize(("plans", "noted"), [(["p"], True), (["p", "q"], False), (["*"], False)])
def test_a_choice_between_teachers_of_which_there_is_one_is_said(
    tmp_path: Path, plans: list[str], noted: bool
) -> None:
    found = config_of(
        tmp_path,
        teachers={name: {"model": name, "builtin": True} for name in "ab"},
        tasks={"t": {"source": "builtin:coin_flip", "answer": "yes_no"}},
        plans=[{"name": "p", "teachers": ["a"]}, {"name": "q", "teachers": ["b"]}],
        students=[{"name": "s", "base": "builtin:nano", "plans": plans, "training": {"select": "uniform"}}],
    )
    told: list[str] = []
    check_selection(found.students[0], found, told.append)
    assert any("reads a alone" in line for line in told) == noted
