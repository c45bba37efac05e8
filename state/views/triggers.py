"""The triggers of a task's students, as displays show them. Pure; knows the configuration only as the daemon stored it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from state.triggers import LastRun, PlanCounts, Progress, StudentRule, Trigger, parse_trigger, student_rule


@dataclass(frozen=True, kw_only=True, slots=True)
class TriggerStatus:
    """A trigger of a student, and how far it is."""

    student: str
    scope: str
    """The task's name, or `joint`."""
    trigger: Trigger
    progress: Progress

    @property
    def name(self) -> str:
        """As it is written in `train_at`."""
        return self.trigger.name

    def text(self, number: Callable[[int], str] = str, *, unit: bool = True) -> str:
        """`145/400`, `97/800 sampled`, `every 6h: next in 2h10m`; numbers in a display's own form."""
        about = f"{self.name}: " if self.progress.unit == "seconds" else ""
        return about + self.progress.text(number, unit=unit)

    @property
    def have(self) -> int:
        """What there is of `goal`."""
        return self.progress.have

    @property
    def goal(self) -> int:
        """What is waited for, in the progress's unit."""
        return self.progress.goal

    @property
    def remaining(self) -> int:
        """What is missing of `goal`."""
        return self.progress.remaining


def triggers(
    config: Mapping[str, Any],
    task: str,
    plans: Sequence[PlanCounts],
    *,
    now: int = 0,
    last: Mapping[tuple[str, str], LastRun] | None = None,
    since: int = 0,
) -> list[TriggerStatus]:
    """The triggers of all students of `task`, reached ones included, in the order of the file.

    Args:
        config: the resolved configuration.
        task: name of the task; of a joint student, all its tasks count.
        plans: counters of all active plans.
        now: wall clock, UTC milliseconds.
        last: the newest run of each (student, scope).
        since: when the first daemon on the database started.
    """
    found: list[TriggerStatus] = []
    for rule in _rules(config, task):
        tasks = {plan.task for plan in plans} if rule.joint else {task}
        scope = "joint" if rule.joint else task
        stock = rule.stock(rule.read(plans, tasks), since=since, last=(last or {}).get((rule.name, scope)))
        found += [
            TriggerStatus(
                student=rule.name, scope=scope, trigger=trigger, progress=trigger.progress(stock, now)
            )
            for trigger in rule.train_at
        ]
    return found


def next_trigger(found: Sequence[TriggerStatus]) -> TriggerStatus | None:
    """The nearest of those that are not reached: by kind, then by what is missing."""
    waiting = [status for status in found if not status.progress.reached]
    return min(waiting, key=lambda status: (status.trigger.rank, status.remaining), default=None)


def student_names(config: Mapping[str, Any], task: str) -> tuple[str, ...]:
    """The students that are trained on `task`, in the order of the file."""
    return tuple(rule.name for rule in _rules(config, task))


def _rules(config: Mapping[str, Any], task: str) -> list[StudentRule]:
    students = config.get("students")
    if not isinstance(students, list):
        return []
    rules = [
        student_rule(item, _known(item.get("train_at"))) for item in students if isinstance(item, Mapping)
    ]
    return [rule for rule in rules if rule.trains_on(task)]


def _known(values: Any) -> list[Trigger]:
    """The triggers of `train_at`; what another version wrote, and this one does not know, is left out."""
    found = []
    for value in values if isinstance(values, list) else []:
        try:
            found.append(parse_trigger(value))
        except ValueError:
            continue
    return found
