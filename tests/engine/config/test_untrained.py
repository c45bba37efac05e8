"""Students that are not trained: what they take for granted, and what makes no sense with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.training.run_fingerprint import run_fingerprint
from engine.config import StudentConfig
from engine.config.experiment import cells
from tests.engine.config.test_experiment import loaded

BASE = {"name": "s", "base": "models/small", "method": "base"}


def test_an_untrained_base_is_asked_at_once_and_in_two_steps() -> None:
    student = StudentConfig.model_validate(BASE)
    assert (student.strategy, student.train_at) == ("zero-shot-cot", [0])
    assert StudentConfig.model_validate(student.model_dump(mode="json")) == student
    trained = StudentConfig.model_validate({"name": "s"})
    assert (trained.strategy, trained.train_at) == (None, ["complete"])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"base": "builtin:nano"}, "builtin:nano knows nothing before it is trained"),
        ({"start_from": "previous"}, "trains nothing, at once: remove start_from"),
        ({"train_at": ["complete"]}, "remove train_at"),
        ({"questions": 5}, "remove questions"),
        ({"curation": {"keep": "all"}}, "remove curation"),
        ({"curation": {"labels": "majority"}}, "labels"),
        ({"training": {"lora_rank": 4}}, "remove training.lora_rank"),
        ({"strategy": "rationalize"}, "zero-shot"),
        ({"exemplars": "x.jsonl"}, "exemplars belong to the strategy few-shot-cot"),
        (
            {"method": "fine-tune", "strategy": "zero-shot"},
            'strategy says how an untrained base is asked: it needs method = "base"',
        ),
    ],
)
def test_what_makes_no_sense_is_refused(given, said) -> None:
    with pytest.raises(ValueError, match=said):
        StudentConfig.model_validate(BASE | given)


def test_what_decides_a_training_is_no_part_of_its_fingerprint() -> None:
    def fingerprint(**changes: object) -> str:
        return run_fingerprint(StudentConfig.model_validate(BASE | changes), [], ["d"])

    assert fingerprint() == fingerprint(training={"epochs": 3}) == fingerprint(rationales=2)
    others = ({"strategy": "zero-shot"}, {"base": "other"}, {"evaluation": {"max_new_tokens": 9}})
    assert len({fingerprint(), *(fingerprint(**each) for each in others)}) == 4


def test_an_experiment_measures_each_base_with_each_strategy(tmp_path: Path) -> None:
    body = """
teachers = ["good"]
methods = ["base", "fine-tune"]
base_strategies = ["zero-shot", "few-shot-cot"]
bases = ["models/small", "models/large"]
seeds = [0, 1]
training = { lora_rank = 4 }
curation = { drop_test_alike = true }
"""
    config = loaded(tmp_path, body)
    untrained = [student for student in config.students if student.strategy]
    assert [(each.name, Path(each.base).name, each.strategy) for each in untrained] == [
        ("paper.base.zero-shot", "small", "zero-shot"),
        ("paper.base.few-shot-cot", "small", "few-shot-cot"),
        ("paper.base.zero-shot.large", "large", "zero-shot"),
        ("paper.base.few-shot-cot.large", "large", "few-shot-cot"),
    ]
    assert len(config.students) == 8
    assert config.experiment is not None
    assert {cell.label for cell in cells(config.experiment)} == {
        "base, zero-shot",
        "base, few-shot-cot",
        "fine-tune",
    }
