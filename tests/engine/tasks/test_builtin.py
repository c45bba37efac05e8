from __future__ import annotations

import ast
import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.config.tasks import AnswerFormat, TaskConfig
from engine.errors import ConfigError
from engine.question import Exemplar, text_hash
from engine.tasks import BUILTIN_TASKS, load_task, shipped_exemplars
from engine.tasks.builtin.coin_flip import CoinFlip, Turn
from engine.tasks.procedural import trace
from engine.tasks.procedural.task import generate

FORMATS: dict[str, AnswerFormat] = {
    "coin_flip": "yes_no",
    "last_letter_concatenation": "text",
    "tracking_shuffled_objects": "choice",
    "date_understanding": "date",
    "multi_step_arithmetic": "number",
}
NAMES = sorted(FORMATS)


def load(name: str, **fields):
    config = {"source": f"builtin:{name}", "answer": FORMATS[name], "train": 60, "dev": 10, "test": 20}
    return load_task("t", TaskConfig(**(config | fields)), Path()).questions


def default_options(name: str):
    return BUILTIN_TASKS[name].options()


def test_the_five_tasks_are_there() -> None:
    assert sorted(BUILTIN_TASKS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_question_is_solved_from_its_text_alone(name: str) -> None:
    for question in load(name):
        solved = BUILTIN_TASKS[name].solve(question.text)
        assert solved is not None and solved.answer == question.answer


@pytest.mark.parametrize("name", NAMES)
def test_a_question_is_of_one_task_only(name: str) -> None:
    for question in load(name)[:10]:
        assert [other for other in NAMES if BUILTIN_TASKS[other].find(question.text)] == [name]


@pytest.mark.parametrize("name", NAMES)
def test_splits_have_their_sizes_and_no_text_twice(name: str) -> None:
    questions = load(name)
    assert [sum(q.split == split for q in questions) for split in ("train", "dev", "test")] == [60, 10, 20]
    assert len({q.text_hash for q in questions}) == 90 == len({q.key for q in questions})


@pytest.mark.parametrize("name", NAMES)
def test_a_greater_train_changes_no_question(name: str) -> None:
    small, large = load(name), load(name, train=200)
    assert set(small) <= set(large)
    assert [q for q in large if q.split == "train"][:60] == [q for q in small if q.split == "train"]


def test_a_greater_test_takes_from_the_others_but_keeps_keys() -> None:
    options = {"people": 2, "swaps": 1}
    small = {q.text: q.key for q in load("tracking_shuffled_objects", options=options)}
    large = load("tracking_shuffled_objects", options=options, test=60)
    assert len({q.text for q in large}) == 130
    assert all(small[q.text] == q.key for q in large if small.get(q.text, "x").split("-")[0] == q.split)


def test_seed_and_options_change_the_questions() -> None:
    base = {q.text for q in load("coin_flip")}
    assert not base & {q.text for q in load("coin_flip", seed=1)}
    assert all(
        q.text.count("the coin.") == 9 for q in load("coin_flip", options={"people_min": 9, "people_max": 9})
    )


def test_questions_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "import sys, hashlib; sys.path.insert(0, '.')\n"
        "from tests.engine.tasks.test_builtin import NAMES, load\n"
        "print(hashlib.sha256(repr([load(name) for name in NAMES]).encode()).hexdigest())"
    )
    here = hashlib.sha256(repr([load(name) for name in NAMES]).encode()).hexdigest()
    root = Path(__file__).resolve().parents[3]
    env = {**os.environ, "PYTHONHASHSEED": "7"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=env, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == here


def test_more_than_there_are_is_an_error() -> None:
    with pytest.raises(
        ConfigError, match=r"tasks\.t: .*has only \d+ distinct questions .*requested \(train 9,000"
    ):
        load("multi_step_arithmetic", train=9000, options={"steps_max": 1, "steps_min": 1, "maximum": 2})


def test_all_that_there_are_can_be_had() -> None:
    # 16 names x 2 for one person
    questions = load("coin_flip", train=20, dev=2, test=10, options={"people_min": 1, "people_max": 1})
    assert len(questions) == 32


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("coin_flip", {"options": {"people_mn": 3}}, r'tasks\.t\.options\.people_mn: unknown option; did you mean "people_min"'),
        ("coin_flip", {"options": {"people_min": "3"}}, r'people_min: expected a whole number from 1 to 16 \(got "3"\)\. Fewest people in a question\.'),
        ("coin_flip", {"options": {"people_min": True}}, "expected a whole number"),
        ("coin_flip", {"options": {"people_min": 99}}, "from 1 to 16"),
        ("coin_flip", {"options": {"people_min": 6, "people_max": 5}}, r"options: people_min \(6\) must not exceed people_max \(5\)"),
        ("coin_flip", {"answer": "number"}, r"tasks\.t\.answer: expected yes_no for builtin:coin_flip"),
        ("date_understanding", {"options": {"choices": 1}}, "expected true or false"),
        ("date_understanding", {"options": {"choices": True}}, "expected choice for"),
        ("multi_step_arithmetic", {"options": {"steps": 3}}, 'did you mean "steps_m'),
        ("coin_flip", {"source": "builtin:coin_flp"}, "unknown builtin task \"coin_flp\"; did you mean \"coin_flip\""),
    ],
)  # fmt: skip
def test_a_wrong_option_is_named(name: str, fields, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(name, **fields)


def test_one_bound_alone_moves_the_other() -> None:
    assert all(q.text.count("the coin.") == 8 for q in load("coin_flip", options={"people_min": 8}))
    assert all(len(q.answer) == 2 for q in load("last_letter_concatenation", options={"words_max": 2}))


def test_dates_with_choices_are_answered_by_letter() -> None:
    by_format = load("date_understanding", answer="choice")
    assert by_format == load("date_understanding", answer="choice", options={"choices": True})
    assert {q.answer for q in by_format} <= set("ABCDEF")
    assert all("(F)" in q.text for q in by_format)
    assert all(BUILTIN_TASKS["date_understanding"].solve(q.text).answer == q.answer for q in by_format)  # type: ignore[union-attr]


def test_arithmetic_stays_small() -> None:
    for question in load("multi_step_arithmetic", train=500):
        solved = BUILTIN_TASKS["multi_step_arithmetic"].solve(question.text)
        assert solved is not None and 3 <= len(solved.steps) <= 4
        assert all(0 <= step.after <= 10 for step in solved.steps)


def test_the_last_question_of_a_text_is_found() -> None:
    first, second = load("coin_flip")[:2]
    found = BUILTIN_TASKS["coin_flip"].find(f"Q: {first.text}\nA: yes.\n\nQ: {second.text}\nA:")
    assert found is not None
    assert trace(found.problem).answer == second.answer
    assert found.start == len(f"Q: {first.text}\nA: yes.\n\nQ: ")


@pytest.mark.parametrize("name", NAMES)
def test_every_slip_is_wrong_and_carried_on(name: str) -> None:
    for number, question in enumerate(load(name)):
        found = BUILTIN_TASKS[name].find(question.text)
        assert found is not None
        solved = trace(found.problem, random.Random(number), 1.0)
        before = found.problem.start
        for step in solved.steps:
            assert step.slipped and step.before == before
            assert step.after != found.problem.apply(step.before, step.move)
            before = step.after
        assert solved.answer == found.problem.answer(before)


def test_slips_come_at_their_rate() -> None:
    problem = CoinFlip("heads", (Turn("Anna", True),) * 20, "heads")
    rng = random.Random(3)
    slips = sum(step.slipped for _ in range(200) for step in trace(problem, rng, 0.1).steps)
    assert 320 < slips < 480


@pytest.mark.parametrize(("name", "known"), [("coin_flip", 500), ("last_letter_concatenation", 500), ("tracking_shuffled_objects", 750), ("date_understanding", 99)])  # fmt: skip
def test_the_papers_questions_are_solved(recorded: Path, name: str, known: int) -> None:
    solved = 0
    for split in ("train", "test"):
        with gzip.open(recorded / "tasks" / f"{name}.{split}.jsonl.gz", "rt", encoding="utf-8") as file:
            for row in map(json.loads, file):
                answer = BUILTIN_TASKS[name].solve(row["question"])
                if answer is None:
                    continue
                solved += 1
                if name == "last_letter_concatenation" and len(answer.steps) != len(row["answer"]):
                    assert len(answer.steps) == 5  # a gold that takes a double first name for one word
                    continue
                assert answer.answer == row["answer"], row["id"]
    assert solved == known


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_no_text_breaks_a_solver(text: str) -> None:
    for task in BUILTIN_TASKS.values():
        task.solve(text)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 10**6), st.data())
def test_no_damaged_question_breaks_a_solver(name: str, seed: int, data: st.DataObject) -> None:
    task = BUILTIN_TASKS[name]
    text = task.draw(random.Random(seed), default_options(name)).text
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    damaged = text[:start] + data.draw(st.text(max_size=20)) + text[end:]
    solved = task.solve(damaged)
    assert solved is None or isinstance(solved.answer, str)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 10**6), st.text(max_size=80), st.text(max_size=80))
def test_a_question_is_found_in_any_text_around_it(name: str, seed: int, before: str, after: str) -> None:
    task = BUILTIN_TASKS[name]
    draft = task.draw(random.Random(seed), default_options(name))
    found = task.find(f"{before}\n{draft.text}\n{after}")
    assert found is not None and trace(found.problem).answer == draft.answer


def test_generation_is_pure() -> None:
    task = BUILTIN_TASKS["coin_flip"]
    sizes = {"train": 5, "dev": 2, "test": 3}
    first = generate(task, seed=4, sizes=sizes, options=default_options("coin_flip"))  # type: ignore[arg-type]
    assert first == generate(task, seed=4, sizes=sizes, options=default_options("coin_flip"))  # type: ignore[arg-type]
    assert all(q.key == f"{q.split}-{text_hash(q.text)[:16]}" for q in first)


@pytest.mark.parametrize(
    ("name", "form", "example"),
    [
        (name, form, example)
        for name, form in [*FORMATS.items(), ("date_understanding", "choice")]
        for example in BUILTIN_TASKS[name].exemplars_for(form)  # type: ignore[arg-type]
    ],
)
def test_every_worked_example_is_correct(name: str, form: str, example: Exemplar) -> None:
    solved = BUILTIN_TASKS[name].solve(example.question)
    assert solved is not None and solved.answer == example.answer
    last = example.rationale.lower().rstrip(".").split()[-1].strip('"()')
    assert form == "yes_no" or example.answer.lower().strip() in (last, last.strip("()"))


def test_every_builtin_task_has_worked_examples() -> None:
    assert all(task.exemplars_for("text") for task in BUILTIN_TASKS.values())
    for source in ("hf:gsm8k", "gsm8k.jsonl"):
        assert shipped_exemplars(TaskConfig(source=source, answer="number")) == ()


def test_each_task_is_one_module_that_no_other_module_names() -> None:
    """Adding a task adds a file (or a folder): no list elsewhere has its name."""
    root = Path(__file__).resolve().parents[3]
    folder = root / "engine" / "tasks" / "builtin"
    entries = {
        path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert entries - {"__init__"} == set(BUILTIN_TASKS)
    for path in sorted((root / "engine").rglob("*.py")):
        if not path.is_relative_to(folder):
            strings = {
                node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
            }
            assert not strings & set(BUILTIN_TASKS), path
