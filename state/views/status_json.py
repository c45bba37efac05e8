"""The JSON of `coterie status --json`: other programs rely on its keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from state.views.status_records import Accuracy, Status

_DAEMON = ("state", "pid", "boot_id", "uptime_s", "loop_lag_ms")
_MONEY = ("usd", "reserved_usd", "unknown_usd")
_SPEND = (*_MONEY, "cap_usd", "prompt_tokens", "completion_tokens", "unknown_attempts")
_PLAN = (
    *("name", "task", "teacher", "split", "wanted", "in_flight", "stored", "accepted", "rejected", "failed"),
    *("given_up", *_MONEY, "usd_per_correct", "awaits", "labelled"),
)
_TEACHER = (
    *("name", "state", "in_flight", "cap", "requests_per_minute", "tokens_per_minute", "status_429"),
    *("retries", "p50_ms", "p95_ms", "reason", *_MONEY),
)
_RUN = (
    *("id", "student", "task", "state", "samples", "step", "steps", "loss", "tokens_per_second", "eta_s"),
    *(
        "accuracy",
        "directory",
        "early",
        "test",
        "kind",
        "sources",
        "parameters",
        "bytes",
        "flops_per_question",
    ),
)


def to_json(status: Status) -> dict[str, Any]:
    """The status as plain values, ready for `json.dumps`."""
    return {
        "daemon": _picked(status.daemon, _DAEMON),
        "spend": _picked(status.spend, _SPEND),
        "plans": [_picked(plan, _PLAN) for plan in status.plans],
        "wordings": [asdict(each) for each in status.wordings],
        "teachers": [_picked(teacher, _TEACHER) for teacher in status.teachers],
        "runs": [_picked(run, _RUN) for run in status.runs],
        "tasks": [
            {
                "name": task.name,
                "questions": task.questions,
                "unreadable": task.unreadable,
                "accepted": task.accepted,
                "next_trigger": task.trigger.name if task.trigger is not None else None,
                "have": task.trigger.have if task.trigger is not None else None,
                "goal": task.trigger.goal if task.trigger is not None else None,
                "triggers": [
                    {
                        "student": each.student,
                        "name": each.name,
                        "have": each.have,
                        "goal": each.goal,
                        "unit": each.progress.unit,
                        "reached": each.progress.reached,
                        "text": f"{each.name}: {each.progress.text()}",
                    }
                    for each in task.triggers
                ],
                "students": list(task.students),
                "best_accuracy": task.best.accuracy if task.best is not None else None,
                "best": _plain(task.best),
                "teacher_accuracy": task.teacher.accuracy if task.teacher is not None else None,
                "teacher": _plain(task.teacher),
                "eta_s": task.eta_s,
            }
            for task in status.tasks
        ],
        "waiting": [asdict(each) for each in status.waiting],
        "notices": list(status.notices),
        "commands_pending": [
            {"id": command.id, "kind": command.kind, "args": command.args} for command in status.commands
        ],
    }


def _picked(item: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: _plain(getattr(item, name)) for name in names}


def _plain(value: Any) -> Any:
    return asdict(value) if isinstance(value, Accuracy) else value
