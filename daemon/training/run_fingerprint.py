"""The identity of what a run's student becomes: what decides that it is another student, and what does not.

Invariants: a newer program gives an older run's settings the recipe that they had, so it does not train anew what is
trained; settings that came later count only where they are used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.sampling.plans import ActivePlan
from engine.config import StudentConfig

NOT_THE_STUDENT: Mapping[str, set[str]] = {
    "student": {"name", "train_at", "priority"},
    "training": {
        *("devices", "checkpoint_steps", "keep_checkpoints", "offload", "activation_checkpointing"),
        *("loss_chunk", "attention", "compile", "liger"),
        *("hostfile", "launcher", "launcher_arguments", "master_address", "master_port", "tracker"),
    },
    "evaluation": {"batching", "server_url", "server_command", "server_concurrency"},
}
"""Settings that do not change what the student becomes: changing them starts no new run."""
FIRST_SETTINGS: Mapping[str, frozenset[str]] = {
    "": frozenset(
        ("base", "method", "tasks", "plans", "rationales", "scope", "curation", "training", "evaluation")
    ),
    "curation": frozenset(
        ("keep", "drop_duplicates", "drop_truncated", "max_characters", "drop_test_overlap")
    ),
    "training": frozenset(
        ("zero_stage", "epochs", "steps", "learning_rate", "warmup", "schedule", "final_learning_rate")
        + (
            "weight_decay",
            "beta1",
            "beta2",
            "clip",
            "lora_rank",
            "lora_alpha",
            "batch_tokens",
            "accumulation",
        )
        + ("max_length", "precision", "seed")
    ),
    "evaluation": frozenset(
        ("every_epochs", "dev_evaluations", "best", "patience", "max_new_tokens", "batch_size", "grader")
    ),
}
"""The settings of version 0.1. One that came later counts only where it is not at its default: a newer program does not
train anew what an older one has trained."""


def run_fingerprint(student: StudentConfig, plans: Sequence[ActivePlan], digests: Sequence[str]) -> str:
    """The recipe of a student's runs, but for how much data there was.

    Args:
        student: who is trained.
        plans: whose samples are read.
        digests: of the tasks' questions, in order.
    """
    settings = student.model_dump(mode="json", exclude=NOT_THE_STUDENT["student"])
    for section in ("training", "evaluation"):
        for name in NOT_THE_STUDENT[section]:
            del settings[section][name]
    if not settings["evaluation"]["samples"]:
        settings["evaluation"].pop("temperature")
    _without_later(settings)
    seen = {
        "student": settings,
        "plans": sorted({plan.recipe for plan in plans}) if student.method != "fine-tune" else [],
        "tasks": list(digests),
    }
    return hashlib.blake2b(json.dumps(seen, sort_keys=True).encode(), digest_size=12).hexdigest()


def _without_later(settings: dict[str, Any]) -> None:
    """Takes later settings that are at their default out."""
    usual = StudentConfig(name="x").model_dump(mode="json")
    for section, names in FIRST_SETTINGS.items():
        table, default = (settings[section], usual[section]) if section else (settings, usual)
        for name in [name for name in table if name not in names and table[name] == default[name]]:
            del table[name]
