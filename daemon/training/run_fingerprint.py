"""The fingerprint of a run: the identity of the student that it makes.

Each field of a student's configuration says itself whether it is part of it (`engine.config.base.Identity`). Invariants: a
newer program gives the settings of an older run the same fingerprint, so it trains nothing twice; a setting that was added
later is part of it only if it is not at its default.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from daemon.sampling.plans import ActivePlan
from engine.config import StudentConfig
from engine.config.base import Identity, Section, default_of, fields_marked


def run_fingerprint(student: StudentConfig, plans: Sequence[ActivePlan], digests: Sequence[str]) -> str:
    """The recipe of a student's runs, but for how much data there was.

    Args:
        student: who is trained.
        plans: whose samples are read.
        digests: of the tasks' questions, in order.
    """
    settings = _part_of_the_student(student)
    if not settings["evaluation"].get("samples"):
        settings["evaluation"].pop("temperature", None)
    seen = {
        "student": settings,
        "plans": sorted({plan.recipe for plan in plans}) if student.method != "fine-tune" else [],
        "tasks": list(digests),
    }
    return hashlib.blake2b(json.dumps(seen, sort_keys=True).encode(), digest_size=12).hexdigest()


def _part_of_the_student(section: Section) -> dict[str, Any]:
    """The settings of a section that decide what the student becomes, as their marks say, as JSON values."""
    values, model = section.model_dump(mode="json"), type(section)
    usual = {name: default_of(model, name) for name in fields_marked(model, Identity.IF_SET)}
    later = {name for name, default in usual.items() if getattr(section, name) != default}
    return {
        name: _part_of_the_student(value)
        if isinstance(value := getattr(section, name), Section)
        else values[name]
        for name in fields_marked(model, Identity.ALWAYS, Identity.IF_SET)
        if name not in usual or name in later
    }
