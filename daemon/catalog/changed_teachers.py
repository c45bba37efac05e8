"""Keeps the samples of a plan whose teachers changed, as far as the teachers that made them stay.

A plan with other models has another fingerprint. A former plan is the same but for its teachers exactly if this
plan's fingerprint, taken with the former plan's teachers, is the former plan's. What those teachers were is in the
configurations of earlier daemon sessions. A teacher's name that stood for two of the plan's models at different times
keeps nothing: its samples could be either's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlmodel import Session

from daemon.catalog.plan_fingerprint import model_of
from engine.config import TeacherConfig
from state.catalog import plans_of_fingerprint, reconcile
from state.kept_samples import (
    FormerPlan,
    former_plan,
    former_plans,
    hand_over,
    move_samples,
    samples_by_teacher,
    session_configs,
)
from state.orm import driver_connection
from state.sqlite import Connection
from state.tables import Plan

Fingerprint = Callable[[Sequence[TeacherConfig]], str]
"""The fingerprint that a plan would have with these teachers."""


class EarlierTeachers:
    """The teachers of the stored configurations, read when they are first needed."""

    def __init__(self, configs: Sequence[str]) -> None:
        self._configs = configs
        self._read: list[dict[str, TeacherConfig]] | None = None

    @classmethod
    def stored(cls, connection: Connection) -> EarlierTeachers:
        """Those of all daemon sessions so far."""
        return cls(session_configs(connection))

    @property
    def sessions(self) -> list[dict[str, TeacherConfig]]:
        """By name, for each configuration, the newest first; what this version cannot read is left out."""
        if self._read is None:
            self._read = [_teachers(json.loads(text)) for text in self._configs]
        return self._read


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptSamples:
    """What became of a former plan's samples."""

    former: tuple[int, ...]
    """Ids of the plans that had the former fingerprint."""
    kept: dict[str, int]
    """How many samples of each teacher go on counting."""
    left: dict[str, int]
    """How many of each teacher do not."""


def keep_samples(
    opened: Session,
    plan: Plan,
    teachers: Sequence[TeacherConfig],
    fingerprint: Fingerprint,
    earlier: EarlierTeachers,
    *,
    in_hand: Collection[int] = (),
) -> list[KeptSamples]:
    """Moves what a plan's present teachers answered under its former fingerprints to its own.

    Args:
        opened: the session of the sync, after every plan's row is in it; recount the plan afterwards.
        plan: the plan's row.
        teachers: its teachers and fallbacks.
        fingerprint: what the plan's fingerprint would be with other teachers.
        earlier: the teachers of earlier daemon sessions.
        in_hand: ids of plans whose open samples a running daemon has in memory.
    """
    connection = driver_connection(opened)
    assert plan.id is not None
    models = {model_of(teacher) for teacher in teachers}
    found = []
    for former in former_plans(connection, plan.name, plan.task_id, plan.split):
        before = samples_by_teacher(connection, plan.task_id, plan.split, former.fingerprint)
        stay = _that_stay(former, list(before), models, fingerprint, earlier.sessions)
        if stay and move_samples(connection, former, plan.id, stay):
            left = samples_by_teacher(connection, plan.task_id, plan.split, former.fingerprint)
            rows = plans_of_fingerprint(opened, plan, former.fingerprint)
            found.append(
                KeptSamples(
                    former=tuple(row.id for row in rows if row.id is not None),
                    kept={name: n - left.get(name, 0) for name, n in before.items() if n > left.get(name, 0)},
                    left=left,
                )
            )
            for row in rows:
                reconcile(opened, row)
        hand_over(connection, former.id, plan.id, but=in_hand)
    return found


def samples_that_stay(
    connection: Connection,
    former_id: int,
    teachers: Sequence[TeacherConfig],
    fingerprint: Fingerprint,
    earlier: EarlierTeachers,
) -> tuple[dict[str, int], list[str]]:
    """How many samples each teacher of a plan has, and whose would be kept if its teachers were these. Only reads."""
    former, task_id, split = former_plan(connection, former_id)
    counts = samples_by_teacher(connection, task_id, split, former.fingerprint)
    models = {model_of(teacher) for teacher in teachers}
    return counts, _that_stay(former, list(counts), models, fingerprint, earlier.sessions)


def _that_stay(
    former: FormerPlan,
    names: Sequence[str],
    models: Collection[tuple[str, ...]],
    fingerprint: Fingerprint,
    sessions: Sequence[Mapping[str, TeacherConfig]],
) -> list[str]:
    """The teachers among `names` whose samples of a former plan are samples of the plan with `models` too."""
    had = next(
        (
            {model_of(known[name]) for name in former.teachers}
            for known in sessions
            if all(name in known for name in former.teachers)
            and fingerprint([known[name] for name in former.teachers]) == former.fingerprint
        ),
        None,
    )
    if had is None:
        return []
    stay = []
    for name in names:
        stood_for = {model_of(known[name]) for known in sessions if name in known} & had
        if len(stood_for) == 1 and stood_for <= set(models):
            stay.append(name)
    return stay


def _teachers(config: Any) -> dict[str, TeacherConfig]:
    found: dict[str, TeacherConfig] = {}
    tables = config.get("teachers") if isinstance(config, Mapping) else None
    for name, table in (tables if isinstance(tables, Mapping) else {}).items():
        try:
            found[name] = TeacherConfig.model_validate(table)
        except ValidationError:  # of another version
            continue
    return found
