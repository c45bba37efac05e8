"""What the next student of a task waits for. Pure; knows the configuration only as the boot stored it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainPlan:
    """The counters of an active plan over train questions."""

    name: str
    task: str
    wanted: int
    stored: int
    accepted: int
    failed: int
    skipped: int

    @property
    def ended(self) -> int:
        """Slots that will not change any more, out of `wanted`."""
        return min(self.wanted, self.stored + self.failed + self.skipped)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trigger:
    """`have` of `goal`, counted in accepted samples, or in ended slots where `complete`."""

    student: str
    name: str  # as the run will have it: "400", "complete"
    have: int
    goal: int

    @property
    def complete(self) -> bool:
        """Whether it waits for all plans rather than for a number of accepted samples."""
        return self.name == "complete"

    @property
    def remaining(self) -> int:
        """How many are missing; 0 once it fires."""
        return max(0, self.goal - self.have)


def triggers(config: Mapping[str, Any], task: str, plans: Sequence[TrainPlan]) -> list[Trigger]:
    """The triggers of all students of `task`, those that have fired included, in the order of the file."""
    found: list[Trigger] = []
    for student in _students(config, task):
        read = [plan for plan in plans if _listed(student.get("plans"), plan.name)]
        if student.get("scope") == "joint":
            read = [plan for plan in read if _listed(student.get("tasks"), plan.task)]
        else:
            read = [plan for plan in read if plan.task == task]
        name = str(student.get("name", ""))
        for at in student.get("train_at") or []:
            if at == "complete":
                have, goal = sum(plan.ended for plan in read), sum(plan.wanted for plan in read)
            elif isinstance(at, int):
                have, goal = sum(plan.accepted for plan in read), at
            else:
                continue
            found.append(Trigger(student=name, name=str(at), have=have, goal=goal))
    return found


def next_trigger(found: Sequence[Trigger]) -> Trigger | None:
    """The nearest of those that have not fired: numbers of samples before the end of all plans."""
    waiting = [trigger for trigger in found if trigger.remaining]
    return min(waiting, key=lambda trigger: (trigger.complete, trigger.remaining), default=None)


def student_names(config: Mapping[str, Any], task: str) -> tuple[str, ...]:
    """The students that are trained on `task`, in the order of the file."""
    return tuple(str(student.get("name", "")) for student in _students(config, task))


def _students(config: Mapping[str, Any], task: str) -> list[Mapping[str, Any]]:
    students = config.get("students")
    if not isinstance(students, list):
        return []
    return [item for item in students if isinstance(item, dict) and _listed(item.get("tasks"), task)]


def _listed(names: Any, name: str) -> bool:
    """Whether a list of names means `name`; `*`, and no list, stand for all."""
    return not isinstance(names, list) or "*" in names or name in names
