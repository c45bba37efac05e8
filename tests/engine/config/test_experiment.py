from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import Config, load_config
from engine.config.experiment import cells
from engine.errors import ConfigError
from engine.forms import FIRST

HEAD = """
[teachers.good]
builtin = true
model = "m"

[teachers.bad]
builtin = true
model = "m2"

[tasks.t]
source = "builtin:coin_flip"
answer = "yes_no"

[experiment]
name = "paper"
"""
MATRIX = """
teachers = ["good", "bad"]
methods = ["zero-shot-cot", "fine-tune", "fine-tune-cot"]
rationales = [8, 1, 2]
questions = ["all", 50]
bases = ["builtin:nano", "models/Big One"]
filters = ["correct", "random"]
seeds = [0, 1]
plan = { max_tokens = 99 }
training = { steps = 10 }
fine_tune = { steps = 5 }
"""


def loaded(tmp_path: Path, body: str) -> Config:
    (tmp_path / "config.toml").write_text(HEAD + body)
    return load_config(tmp_path / "config.toml")


def test_each_axis_is_varied_for_itself(tmp_path: Path) -> None:
    config = loaded(tmp_path, MATRIX)
    plans = {
        plan.name: (plan.split, plan.rationales, plan.temperature, plan.teachers) for plan in config.plans
    }
    assert plans == {
        "paper.good.zero-shot-cot": ("test", 1, 0.0, ["good"]),
        "paper.bad.zero-shot-cot": ("test", 1, 0.0, ["bad"]),
        "paper.good.d1": ("train", 1, 0.7, ["good"]),
        "paper.good.d2": ("train", 2, 0.7, ["good"]),
        "paper.good.d8": ("train", 8, 0.7, ["good"]),
        "paper.bad.d8": ("train", 8, 0.7, ["bad"]),
    }
    assert {plan.max_tokens for plan in config.plans} == {99}
    names = ["fine-tune", "fine-tune.n50", "fine-tune.big-one", "fine-tune-cot", "fine-tune-cot.bad"]
    names += ["fine-tune-cot.d1", "fine-tune-cot.d2", "fine-tune-cot.n50", "fine-tune-cot.big-one"]
    names += ["fine-tune-cot.random"]
    assert [student.name for student in config.students] == [
        f"paper.{name}.s{seed}" for name in names for seed in (0, 1)
    ]
    students = {student.name: student for student in config.students}
    small = students["paper.fine-tune-cot.n50.s1"]
    assert (small.questions, small.training.seed, small.training.steps, small.rationales) == (50, 1, 10, 8)
    assert (small.plans, small.curation.keep, small.train_at) == (["paper.good.d8"], "correct", ["complete"])
    assert students["paper.fine-tune-cot.random.s0"].curation.keep == "random"
    assert students["paper.fine-tune.n50.s0"].training.steps == 5


def test_all_combinations_where_they_are_asked_for(tmp_path: Path) -> None:
    config = loaded(tmp_path, MATRIX + 'vary = "all"\n')
    cot = [student for student in config.students if student.method == "fine-tune-cot"]
    assert len(cot) == 2 * 3 * 2 * 2 * 2 * 2
    plain = [student for student in config.students if student.method == "fine-tune"]
    assert len(plain) == 2 * 2 * 2  # questions, bases, seeds: it knows no teacher, rationales or filter


def test_every_student_and_plan_is_measured_by_one_cell(tmp_path: Path) -> None:
    config = loaded(tmp_path, MATRIX)
    assert config.experiment is not None
    found = cells(config.experiment)
    assert sorted(cell.student for cell in found if cell.student) == sorted(s.name for s in config.students)
    assert {cell.plan for cell in found if cell.plan} == {plan.name for plan in config.plans}
    assert {student.form for student in config.students} == {FIRST}, "the paper's form"


def test_what_a_teacher_cannot_be_asked_is_told_once_at_the_shared_setting(tmp_path: Path) -> None:
    own = 'base_url = "http://127.0.0.1:9/v1"\nmodel = "m2"\ndialect = "openai-responses"'
    text = HEAD.replace('builtin = true\nmodel = "m2"', own)
    body = 'teachers = ["good", "bad"]\nrationales = [4, 1]\nplan = { per_request = 4, max_tokens = 9 }\n'
    (tmp_path / "config.toml").write_text(text + body)
    with pytest.raises(
        ConfigError, match=r"config.toml:19: experiment.plan.per_request: teacher bad"
    ) as told:
        load_config(tmp_path / "config.toml")
    assert str(told.value).count("per_request: teacher bad") == 1


def test_worked_examples_go_to_the_baseline_that_shows_them(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text("")
    body = 'teachers = ["good"]\nmethods = ["few-shot-cot", "fine-tune-cot"]\nplan = { exemplars = "mine.jsonl" }\n'
    plans = {plan.strategy: plan.exemplars for plan in loaded(tmp_path, body).plans}
    assert plans == {"few-shot-cot": "mine.jsonl", "zero-shot-cot": None}


FILES = """
[[plans]]
name = "own"
tasks = ["*"]

[[students]]
name = "mine"
tasks = ["*"]

[tasks.sums]
source = "sums.jsonl"
answer = "number"
seed = 3
test = 9
"""


@pytest.mark.parametrize("way", ["both", "template"])
def test_a_task_that_is_dealt_by_template_as_well_has_a_twin(tmp_path: Path, way: str) -> None:
    ways = '["question", "template"]' if way == "both" else '["template"]'
    body = f'teachers = ["good"]\ntasks = ["sums"]\nsplit_by = {ways}\n'
    config = loaded(tmp_path, body + FILES)
    assert list(config.tasks) == ["t", "sums", "sums.template"]
    twin = config.tasks["sums.template"]
    assert (twin.split_by, twin.source, twin.seed, twin.test) == ("template", "sums.jsonl", 3, 9)
    assert config.tasks["sums"].split_by == "question"
    asked = ["sums", "sums.template"] if way == "both" else ["sums.template"]
    assert config.experiment is not None and config.experiment.tasks == asked
    tasks = {plan.name: plan.tasks for plan in config.plans} | {s.name: s.tasks for s in config.students}
    assert tasks.pop("own") == tasks.pop("mine") == ["t", "sums"]  # all tasks of the file
    assert tasks and all(each == asked for each in tasks.values())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            'teachers = ["good"]\nsplit_by = ["template"]',
            r"config.toml:17: experiment.split_by: t is a builtin task, which has no data to split",
        ),
        (
            'teachers = ["good"]\ntasks = ["sums"]\nsplit_by = ["template"]\n'
            + FILES
            + 'split_by = "template"',
            r"experiment.split_by: .*sums is already split by template",
        ),
        (
            'teachers = ["good"]\ntasks = ["sums"]\nsplit_by = ["template"]\n'
            + FILES
            + '[tasks."sums.template"]\nsource = "x.jsonl"\nanswer = "text"',
            r"experiment.split_by: .*sums.template, which another task has",
        ),
        ('teachers = ["goud"]', r'config.toml:16: experiment.teachers\[0\]: unknown teacher "goud"'),
        ('teachers = ["*"]', r"unknown teacher"),
        (
            'teachers = ["good"]\ntasks = ["u"]',
            r'config.toml:17: experiment.tasks\[0\]: unknown task "u"',
        ),
        (
            'teachers = ["good"]\nplan = { max_tokes = 9 }',
            r'config.toml:17: experiment.plan.max_tokes: unknown key; .*"?max_tokens',
        ),
        (
            'teachers = ["good"]\nplan = { split = "dev" }',
            r"experiment.plan.split: is decided by the experiment",
        ),
        (
            'teachers = ["good"]\n[[students]]\nname = "paper.fine-tune"',
            r"share a name with others: paper.fine-tune",
        ),
        (
            'teachers = ["good"]\nplan = { prompts = "mine" }',
            r'config.toml:17: experiment.plan.prompts: unknown prompts "mine"',
        ),
        (
            'teachers = ["good"]\nplan = { needs = "other" }',
            r"experiment.plan.needs: expected a plan defined earlier",
        ),
        (
            'teachers = ["good"]\nplan = { exemplars = "mine.jsonl" }',
            r"experiment.plan.*exemplars belong to the strategy few-shot-cot",
        ),
        (f'teachers = ["good"]\nbases = ["x", "{"b" * 70}"]', r"experiment.name: .*name of 1 to 64"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loaded(tmp_path, body + "\n")
