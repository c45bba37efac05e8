"""The axes of an experiment: what differs along each, bases with settings of their own, learning rates, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.config import load_config
from engine.config.axes import AXES
from engine.config.experiment import cells, stored_experiment
from engine.config.load import resolved
from engine.config.students import CurationConfig
from engine.errors import ConfigError
from engine.methods import METHODS
from tests.engine.config.test_experiment import loaded

ALL = """
teachers = ["good"]
methods = ["zero-shot", "zero-shot-cot", "fine-tune", "fine-tune-cot"]
rationales = [8, 1]
temperatures = [0.7, 1.0]
single_temperature = 0.0
max_tokens = [128, 512]
batch_rows = [8, 16]
epochs = [20, 5]
max_new_tokens = [64, 128]
"""


def test_every_axis_reaches_its_setting(tmp_path: Path) -> None:
    config = loaded(tmp_path, ALL)
    asked = {plan.name: (plan.rationales, plan.temperature, plan.max_tokens) for plan in config.plans}
    assert asked == {
        "paper.good.zero-shot": (1, 0.0, 128),
        "paper.good.zero-shot-cot": (1, 0.0, 128),
        "paper.good.zero-shot-cot.max512": (1, 0.0, 512),
        "paper.good.d1": (1, 0.0, 128),
        "paper.good.d8": (8, 0.7, 128),
        "paper.good.d8.t1": (8, 1.0, 128),
        "paper.good.d8.max512": (8, 0.7, 512),
    }
    students = {
        each.name: (
            each.plans,
            each.training.batch_rows,
            each.training.epochs,
            each.evaluation.max_new_tokens,
        )
        for each in config.students
    }
    d8 = ["paper.good.d8"]
    assert students == {
        "paper.fine-tune": (["*"], 8, 20, 64),
        "paper.fine-tune.rows16": (["*"], 16, 20, 64),
        "paper.fine-tune.epochs5": (["*"], 8, 5, 64),
        "paper.fine-tune.new128": (["*"], 8, 20, 128),
        "paper.fine-tune-cot": (d8, 8, 20, 64),
        "paper.fine-tune-cot.d1": (["paper.good.d1"], 8, 20, 64),
        "paper.fine-tune-cot.t1": (["paper.good.d8.t1"], 8, 20, 64),
        "paper.fine-tune-cot.max512": (["paper.good.d8.max512"], 8, 20, 64),
        "paper.fine-tune-cot.rows16": (d8, 16, 20, 64),
        "paper.fine-tune-cot.epochs5": (d8, 8, 5, 64),
        "paper.fine-tune-cot.new128": (d8, 8, 20, 128),
    }


def test_a_temperature_that_d_decides_makes_no_further_cells(tmp_path: Path) -> None:
    body = (
        'teachers = ["good"]\nmethods = ["fine-tune-cot"]\nrationales = [8, 1]\ntemperatures = [0.7, 1.0]\n'
    )
    every = loaded(tmp_path, body + 'vary = "all"\nsingle_temperature = 0.0\n').students
    assert [each.name for each in every] == [
        "paper.fine-tune-cot",
        "paper.fine-tune-cot.t1",
        "paper.fine-tune-cot.d1",
    ]
    assert len(loaded(tmp_path, body + 'vary = "all"\n').students) == 4


def test_steps_replace_passes_and_passes_replace_steps(tmp_path: Path) -> None:
    body = 'teachers = ["good"]\nmethods = ["fine-tune"]\n'
    for axis, wanted in (("steps = [7]", (20, 7)), ("epochs = [3]", (3, None))):
        [student] = loaded(tmp_path, body + axis + "\n").students
        assert (student.training.epochs, student.training.steps) == wanted


TABLES = """
teachers = ["good"]
methods = ["zero-shot-cot", "fine-tune", "fine-tune-cot"]
rationales = [4, 1]
curation = { votes = 3, max_characters = 99 }
filters = ["correct", "random", { name = "band", curation = { keep = "all", min_pass_rate = 0.5, max_characters = 9 } }, { name = "few", curation = { draw = 5 } }]
samplings = [{ name = "fixed" }, { name = "until2", plan = { stop_after_correct = 2, seed = 9 } }]
plan = { seed = 1, top_p = 0.5 }
"""


def test_a_filter_is_a_word_or_a_table_of_curation(tmp_path: Path) -> None:
    config = loaded(tmp_path, TABLES)
    found = {each.name: each.curation for each in config.students}
    assert {
        name: (each.keep, each.min_pass_rate, each.draw, each.max_characters) for name, each in found.items()
    } == {
        "paper.fine-tune": ("correct", 0.0, None, 99),
        "paper.fine-tune-cot": ("correct", 0.0, None, 99),
        "paper.fine-tune-cot.d1": ("correct", 0.0, None, 99),
        "paper.fine-tune-cot.until2": ("correct", 0.0, None, 99),
        "paper.fine-tune-cot.random": ("random", 0.0, None, 99),
        "paper.fine-tune-cot.band": ("all", 0.5, None, 9),
        "paper.fine-tune-cot.few": ("correct", 0.0, 5, 99),
    }
    assert {each.votes for each in found.values()} == {3}
    assert {type(each) for each in found.values()} == {CurationConfig}


def test_a_way_of_sampling_is_a_plan_with_its_own_students(tmp_path: Path) -> None:
    config = loaded(tmp_path, TABLES)
    asked = {
        each.name: (each.rationales, each.stop_after_correct, each.seed, each.top_p) for each in config.plans
    }
    assert asked == {
        "paper.good.zero-shot-cot": (1, 0, 1, 0.5),
        "paper.good.d1": (1, 0, 1, 0.5),
        "paper.good.d4": (4, 0, 1, 0.5),
        "paper.good.d4.until2": (4, 2, 9, 0.5),
    }
    read = {each.name: each.plans for each in config.students}
    assert read["paper.fine-tune-cot.until2"] == ["paper.good.d4.until2"]
    assert read["paper.fine-tune-cot"] == read["paper.fine-tune-cot.band"] == ["paper.good.d4"]


RATES = """
teachers = ["good"]
methods = ["zero-shot-cot", "fine-tune", "fine-tune-cot"]
rationales = [1]
learning_rates = [1e-3, 1e-4]
seeds = [0, 1]
fine_tune = { epochs = 2 }
bases = ["builtin:nano", { base = "builtin:micro", name = "big", training = { warmup = 0.5 }, learning_rates = [2e-4] }]
"""


def test_every_candidate_is_a_student_and_a_base_may_have_its_own(tmp_path: Path) -> None:
    config = loaded(tmp_path, RATES)
    found = {
        each.name: (each.base, each.training.learning_rate, each.training.warmup, each.training.epochs)
        for each in config.students
    }
    assert found == {
        f"paper.{method}.{part}.s{seed}": (base, rate, warmup, epochs)
        for method, epochs in (("fine-tune", 2), ("fine-tune-cot", 20))
        for part, base, rate, warmup in (
            ("lr0.001", "builtin:nano", 1e-3, 0.02),
            ("lr0.0001", "builtin:nano", 1e-4, 0.02),
            ("big", "builtin:micro", 2e-4, 0.5),
        )
        for seed in (0, 1)
    }
    assert {student.training.seed for student in config.students} == {0, 1}


def test_a_stored_experiment_has_the_same_cells(tmp_path: Path) -> None:
    for body in (ALL, RATES, TABLES, 'preset = "paper"\nteachers = ["good"]\nbatch_rows = [8, 16]\n'):
        config = loaded(tmp_path, body)
        assert config.experiment is not None
        stored = stored_experiment(json.loads(json.dumps(resolved(config))))
        assert stored is not None and cells(stored) == cells(config.experiment)


def test_each_axis_has_its_own_key_and_one_method_at_least() -> None:
    assert len({axis.key for axis in AXES.values()}) == len(AXES)
    assert set(AXES) == set().union(*(method.axes for method in METHODS.values()))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("epochs = [1]\nsteps = [3]", "epochs: steps also says how long"),
        ("epochs = [3]\ntraining = { steps = 3 }", "epochs: lists what training.steps says"),
        (
            "batch_rows = [8]\nfine_tune = { batch_rows = 3 }",
            "batch_rows: lists what fine_tune.batch_rows says",
        ),
        ("max_tokens = [8]\nplan = { max_tokens = 3 }", "max_tokens: lists what plan.max_tokens says"),
        ("temperatures = [0.7, 0.0]", "temperatures: at temperature 0 the 8 rationales of a question"),
        ('learning_rates = [1e-3]\nmethods = ["zero-shot"]', "learning_rates: has no effect"),
        (
            "learning_rates = [1e-3]\ntraining = { learning_rate = 1e-3 }",
            "learning_rates: lists what training",
        ),
        ('batch_rows = [8]\nmethods = ["zero-shot"]', "batch_rows: has no effect"),
        ('temperatures = [0.7]\nmethods = ["fine-tune"]', "temperatures: has no effect"),
        ('bases = ["builtin:nano", "builtin:nano"]', "bases: builtin:nano is listed twice"),
        ('bases = [{ base = "x", training = { warmpu = 1 } }]', r'bases\[0\].training.warmpu: .*"warmup"'),
        ('bases = [{ base = "x", training = { offload = "all" } }]', r"bases\[0\].training: offload"),
        ('bases = [{ name = "x" }]', r"bases.x.base: required"),
        (
            "epochs = [2]\nbases = [{ base = 'x', training = { epochs = 3 } }]",
            "bases: x: training.epochs is an axis",
        ),
        (
            "bases = [{ base = 'x', learning_rates = [1e-3], training = { learning_rate = 3e-4 } }]",
            "bases: x: learning_rates and training.learning_rate",
        ),
        (
            "training = { zero_stage = 0 }\nbases = [{ base = 'x', training = { offload = 'optimizer' } }]",
            'training: offload = "optimizer" needs',
        ),
        ('filters = ["correct", { name = "correct" }]', "filters: correct is listed twice"),
        ('filters = [{ name = "x", curation = { kepe = "all" } }]', r'filters.x.curation.kepe: .*"keep"'),
        (
            'curation = { min_pass_rate = 0.5 }\nfilters = [{ name = "x", curation = { max_pass_rate = 0.1 } }]',
            "curation: min_pass_rate must not exceed",
        ),
        ('filters = ["best"]', r"filters\[0\]: "),
        ('samplings = [{ name = "a" }, { name = "a", plan = { seed = 1 } }]', "samplings: a is listed twice"),
        ('samplings = [{ name = "a", plan = { tasks = [] } }]', "samplings: a: plan.tasks is decided"),
        ('samplings = [{ name = "a", plan = { stpo = 1 } }]', "plan.stpo: "),
        (
            'temperatures = [0.5, 0.7]\nsamplings = [{ name = "a", plan = { temperature = 1.0 } }]',
            "samplings: a: plan.temperature is an axis",
        ),
        (
            'samplings = [{ name = "a" }, { name = "b", plan = { stop_after_correct = 2, weight = 2.0 } }]',
            "samplings: b asks for the same samples as a",
        ),
        ('methods = ["fine-tune"]\nsamplings = [{ name = "a" }]', "samplings: has no effect"),
        ("learning_rates = [0]", r"learning_rates\[0\]: expected a number above 0"),
        ('preset = "papre"', "preset: .*paper"),
    ],
)
def test_a_combination_that_cannot_be_is_one_message(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"config.toml:[0-9]+: experiment.{message}") as told:
        loaded(tmp_path, f'teachers = ["good"]\n{body}\n')
    assert len(str(told.value).splitlines()) == 1


def test_dev_cannot_choose_without_dev_questions(tmp_path: Path) -> None:
    loaded(tmp_path, 'teachers = ["good"]\nlearning_rates = [1e-3, 1e-4]\n')
    path = tmp_path / "config.toml"
    path.write_text(path.read_text().replace('answer = "yes_no"', 'answer = "yes_no"\ndev = 0'))
    with pytest.raises(ConfigError, match="learning_rates: dev chooses among them, and t has no dev"):
        load_config(path)
    path.write_text(path.read_text().replace("[1e-3, 1e-4]", "[1e-3]"))
    load_config(path)
