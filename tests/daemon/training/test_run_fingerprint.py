"""Which settings of a student are part of its run's fingerprint."""

from __future__ import annotations

import pytest

from engine.config import CurationConfig, EvaluationConfig, StudentConfig, TrainingConfig
from engine.config.base import Identity, Section, fields_marked

FIRST_RELEASE = {
    StudentConfig: (
        *("base", "method", "tasks", "plans", "rationales", "scope"),
        *("curation", "training", "evaluation"),
    ),
    CurationConfig: ("keep", "drop_duplicates", "drop_truncated", "max_characters", "drop_test_overlap"),
    TrainingConfig: (
        *("zero_stage", "epochs", "steps", "learning_rate", "warmup", "schedule", "final_learning_rate"),
        *("weight_decay", "beta1", "beta2", "clip", "lora_rank", "lora_alpha", "batch_tokens"),
        *("accumulation", "max_length", "precision", "seed"),
    ),
    EvaluationConfig: (
        *("every_epochs", "dev_evaluations", "best", "patience", "max_new_tokens", "batch_size", "grader"),
    ),
}


@pytest.mark.parametrize("model", FIRST_RELEASE)
def test_every_field_says_whether_it_is_part_of_the_student(model: type[Section]) -> None:
    marked = [name for mark in Identity for name in fields_marked(model, mark)]
    assert sorted(marked) == sorted(model.model_fields), "one mark each"
    assert not fields_marked(model, Identity.BY_CONTENT)


@pytest.mark.parametrize("model", FIRST_RELEASE)
def test_a_field_that_came_after_the_first_release_counts_only_if_set(model: type[Section]) -> None:
    """Marked ALWAYS, a new field would train every student again."""
    assert set(fields_marked(model, Identity.ALWAYS)) == set(FIRST_RELEASE[model])
