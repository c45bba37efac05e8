"""The fingerprint of a plan: the identity of what a teacher is asked, except for the question and the replicate.

It covers what the plan's own requests contain: models, templates, the phrase of the task's answer format, sampling
parameters. A plan with another fingerprint is another plan; samples are never mixed. The fingerprints of stored plans
(column `plan.recipe`) must never change: what is added later is left out where it is not used.
"""

from __future__ import annotations

import hashlib
import json

from engine.config import PlanConfig, TeacherConfig
from engine.config.base import Identity, default_of, fields_marked
from engine.strategies import PLAIN, STRATEGIES, Wording
from engine.teachers.dialects import dialect


def model_of(teacher: TeacherConfig) -> tuple[str, ...]:
    """What is part of a plan's fingerprint of a teacher: its model, and what changes the model's answers."""
    return (
        dialect(teacher.dialect).identity,
        teacher.model,
        json.dumps(teacher.extra_body, sort_keys=True),
        *sorted(set(teacher.omit)),
        *(
            f"{name}={value}"
            for name in fields_marked(TeacherConfig, Identity.IF_SET)
            if (value := getattr(teacher, name)) != default_of(TeacherConfig, name)
        ),
    )


def plan_fingerprint(
    plan: PlanConfig,
    teachers: list[TeacherConfig],
    answer_format: str,
    wording: Wording = PLAIN,
    scores: str = "",
) -> str:
    """The fingerprint of a plan on a task of this answer format.

    Of a member of a panel, `teachers` are all of the panel's, in order. `scores`: that of the plan whose samples it scores.
    """
    seen = _seen(plan, teachers, answer_format, wording)
    if plan.seat is not None:
        seen["member"] = plan.seat.member
    if scores:
        seen["scores"] = scores
    return _hash(seen)


def panel_fingerprint(
    plan: PlanConfig, teachers: list[TeacherConfig], answer_format: str, wording: Wording = PLAIN
) -> str:
    """What the members of a panel share; empty for plans of no panel."""
    return _hash(_seen(plan, teachers, answer_format, wording)) if plan.seat is not None else ""


def _seen(
    plan: PlanConfig, teachers: list[TeacherConfig], answer_format: str, wording: Wording
) -> dict[str, object]:
    models = [model_of(teacher) for teacher in teachers]
    seen: dict[str, object] = {
        "models": models if plan.panel else sorted(set(models)),
        "prompts": STRATEGIES[plan.strategy].identity(answer_format),
        **{name: getattr(plan, name) for name in fields_marked(PlanConfig, Identity.ALWAYS)},
        **{
            name: value
            for name in fields_marked(PlanConfig, Identity.IF_SET)
            if (value := getattr(plan, name)) != default_of(PlanConfig, name)
        },
    }
    if wording != PLAIN:
        seen["wording"] = wording.stored
    if plan.per_request > 1 and plan.seed is not None:  # without a seed it does not change the answers
        seen["per_request"] = plan.per_request
    if plan.panel:
        seen |= {"rounds": plan.rounds, "peer_characters": plan.peer_characters}
    return seen


def _hash(seen: dict[str, object]) -> str:
    text = json.dumps(seen, sort_keys=True, ensure_ascii=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
