"""The paper's settings by name: what they set, that written keys win, and that they are what the teacher is sent."""

from __future__ import annotations

import tomllib
from pathlib import Path

from daemon.catalog.prompt_preview import templates
from engine.config import EvaluationConfig, PlanConfig, StudentConfig, TrainingConfig
from engine.config.presets import PAPER, PRESETS, told
from engine.config.prompts import templates_of
from engine.strategies import Wording
from tests.daemon.site import coterie
from tests.engine.config.test_experiment import loaded


def plan(**keys: object) -> PlanConfig:
    return PlanConfig.model_validate({"name": "p", "preset": "paper", **keys})


def student(**keys: object) -> StudentConfig:
    return StudentConfig.model_validate({"name": "s", "preset": "paper", **keys})


def test_one_rationale_is_greedy_and_several_are_sampled() -> None:
    one, several = plan(), plan(rationales=8)
    assert (one.temperature, several.temperature) == (0.0, 0.7)
    assert plan(max_rationales=4).temperature == 0.7, "the same again would be no other rationale"
    for each in (one, several):
        assert (each.max_tokens, each.answer_max_tokens, each.stop) == (128, 128, ["END"])
    assert plan(temperature=1.0, stop=[]).model_dump() == {
        **one.model_dump(),
        "temperature": 1.0,
        "stop": [],
    }


def test_prompts_are_those_of_the_public_code() -> None:
    """`src/data/format.py` of itsnamgyu/reasoning-teacher: zs_cot and zs; the format is not named."""

    def sent(strategy: str) -> list[str]:
        given = templates_of({}, "paper", strategy)
        asked = plan(strategy=strategy)
        return [turn[0]["content"] for turn in templates(asked, "number", Wording(**given))]

    first = "Q: {question}\nA: Let's think step by step."
    assert sent("zero-shot-cot") == [first, f"{first} {{rationale}}\nTherefore, the answer is"]
    assert sent("zero-shot") == ["Q: {question}\n\nA:"]


def test_a_student_is_trained_and_read_as_published() -> None:
    trained = student()
    assert trained.form is not None and trained.form.type == "paper"
    assert not (trained.curation.drop_duplicates or trained.curation.drop_truncated)
    assert not trained.curation.drop_test_overlap and trained.evaluation.grader == "published"
    training = trained.training
    assert (training.batch_rows, training.epochs, training.steps) == (8, 20, None)
    assert (training.beta1, training.beta2, training.weight_decay, training.decay) == (
        0.9,
        0.999,
        0.01,
        "all",
    )
    assert (training.learning_rate, training.schedule, training.warmup, training.clip) == (
        3e-4,
        "constant",
        0.0,
        0.0,
    )


def test_what_is_written_wins_in_nested_tables_too() -> None:
    own = student(
        base="models/small",
        training={"learning_rate": 1e-3, "steps": 7},
        curation={"drop_duplicates": True},
        form={"type": "chat"},
    )
    assert (own.training.learning_rate, own.training.steps, own.training.batch_rows) == (1e-3, 7, 8)
    assert own.curation.drop_duplicates and not own.curation.drop_truncated
    assert own.form is not None and own.form.type == "chat"
    assert student(training={"batch_tokens": 512}).training.batch_rows is None
    assert student(evaluation={"dev_evaluations": 3}).evaluation.every_epochs == 0


def test_an_untrained_base_has_the_prompts_and_nothing_of_training() -> None:
    base = student(base="models/small", method="base", strategy="zero-shot")
    assert (base.prompts, base.evaluation.max_new_tokens) == ("paper", 1024)
    assert base.training == TrainingConfig()


def test_without_a_preset_nothing_changes() -> None:
    assert PlanConfig(name="p").model_dump() == {**PlanConfig(name="p").model_dump(), "preset": None}
    plain = StudentConfig(name="s")
    assert (plain.training, plain.evaluation) == (TrainingConfig(), EvaluationConfig())


def test_every_key_of_a_preset_exists_and_differs_from_the_default_or_is_said_on_purpose() -> None:
    """A renamed key or a preset that sets nothing would be noticed."""
    StudentConfig.model_validate({"name": "s", **PAPER.student})
    PlanConfig.model_validate({"name": "p", **PAPER.plan, **PAPER.single})
    StudentConfig.model_validate({"name": "s", "base": "x", "method": "base", **PAPER.untrained})
    for table, model in (("training", TrainingConfig), ("evaluation", EvaluationConfig)):
        same = {
            key for key, value in PAPER.student[table].items() if model.model_fields[key].default == value
        }
        assert same <= {"epochs", "learning_rate", "beta1", "max_length"}


def test_an_experiment_hands_it_on(tmp_path: Path) -> None:
    body = 'preset = "paper"\nteachers = ["good"]\nmethods = ["zero-shot", "base", "fine-tune", "fine-tune-cot"]\n'
    body += 'bases = ["models/small"]\nfine_tune = { epochs = 3 }\ntraining = { learning_rate = 1e-4 }\n'
    config = loaded(tmp_path, body)
    plans = {each.name: (each.temperature, each.prompts, each.max_tokens) for each in config.plans}
    assert plans == {
        "paper.good.zero-shot": (0.0, "paper", 128),
        "paper.good.d1": (0.0, "paper", 128),
        "paper.good.d8": (0.7, "paper", 128),
    }
    students = {each.name: each for each in config.students}
    cot, plain = students["paper.fine-tune-cot"], students["paper.fine-tune"]
    assert (cot.training.learning_rate, cot.training.batch_rows, cot.training.epochs) == (1e-4, 8, 20)
    assert (plain.training.learning_rate, plain.training.batch_rows, plain.training.epochs) == (3e-4, 8, 3)
    assert cot.evaluation.grader == "published" and not cot.curation.drop_test_overlap
    base = students["paper.base.zero-shot"]
    assert (base.prompts, base.form, base.evaluation.grader) == ("paper", cot.form, "published")


def test_the_command_prints_it_as_tables_that_can_be_read(tmp_path: Path) -> None:
    assert told("paper") == coterie(tmp_path, "config", "preset", "paper").stdout
    first = tomllib.loads(told("paper"))
    assert first["plans"] == [dict(PAPER.plan)] and first["experiment"] == dict(PAPER.experiment)
    assert first["students"] == [
        {key: dict(value) if isinstance(value, dict) else value for key, value in each.items()}
        for each in (PAPER.student, PAPER.untrained)
    ]
    wrong = coterie(tmp_path, "config", "preset", "papre")
    assert wrong.returncode == 2 and ", ".join(PRESETS) in wrong.stderr
