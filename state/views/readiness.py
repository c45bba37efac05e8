"""Whether the work goes on: for health checks and exit codes. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from state.views.status_records import Status
from state.views.waiting import held_up


class Condition(IntEnum):
    """How it is, as an exit code of `coterie status --exit-code`."""

    WELL = 0  # it works, or everything is done, or it was stopped in order
    TROUBLE = 1  # it goes on, but something needs you: a parked teacher, a failed run
    STUCK = 4  # nothing can go on without you
    DOWN = 5  # the daemon died, or writes nothing


@dataclass(frozen=True, slots=True)
class Readiness:
    """`live`: a daemon writes its heartbeat. `reasons`: why nothing can go on; none where something can, or all is done."""

    state: str
    live: bool
    reasons: tuple[str, ...]
    condition: Condition

    @property
    def ready(self) -> bool:
        """Whether a daemon is there, and something can go on or nothing is left to do."""
        return self.live and not self.reasons


def readiness(status: Status) -> Readiness:
    """Judges a status."""
    daemon = status.daemon
    live = daemon.alive and not daemon.silent
    reasons = _stuck(status) if live else (f"the daemon is {daemon.state}",)
    if daemon.silent or daemon.state == "down":
        condition = Condition.DOWN
    elif live and reasons:
        condition = Condition.STUCK
    elif status.alerts:
        condition = Condition.TROUBLE
    else:
        condition = Condition.WELL
    return Readiness(daemon.state, live, reasons, condition)


def _stuck(status: Status) -> tuple[str, ...]:
    """Why no plan with work left can go on, while no run is trained; empty where one can, or nothing is left."""
    left = [plan for plan in status.plans if plan.stored + plan.failed + plan.skipped < plan.wanted]
    busy = any(run.active or run.state == "queued" for run in status.runs)
    waits = status.heartbeat.waiting
    if (
        busy
        or not left
        or status.daemon.state == "starting"
        or any(plan.in_flight > waits.get(f"{plan.name} on {plan.task}", 0) for plan in left)
    ):
        return ()
    states = {teacher.name: teacher.state for teacher in status.teachers}
    paused = {task.name for task in status.tasks if task.paused}
    found = [held_up(plan, status.heartbeat, states, paused) for plan in left]
    return tuple(dict.fromkeys(why for why in found if why)) if all(found) else ()
