"""Students that wait for the student that they come from, and what that one waits for. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from state.enums import ACTIVE_RUN_STATES
from state.heartbeat import HeartbeatData
from state.views.format import count
from state.views.status_records import PlanStatus, RunStatus, TaskStatus, TeacherStatus, WaitingStudent

STUCK = ("parked", "paused")
"""States of a teacher in which it is sent nothing until the user acts."""


def waiting_students(
    heartbeat: HeartbeatData,
    runs: Sequence[RunStatus],
    tasks: Sequence[TaskStatus],
    plans: Sequence[PlanStatus],
    teachers: Sequence[TeacherStatus],
) -> tuple[WaitingStudent, ...]:
    """Students without a run whose source is not there yet, as the daemon says, and queued runs whose sources have not ended."""
    by_id = {run.id: run for run in runs}
    found = []
    for run in runs:
        sources = [by_id[key] for key in run.sources if key in by_id] if run.state == "queued" else []
        if first := next((each for each in sources if _goes_on(each)), None):
            found.append(
                WaitingStudent(run.student, run.task, f"{first.student} on {first.task}", _run(first), run.id)
            )
    known = {f"{each.student} on {each.task}" for each in found}
    for name, source in heartbeat.students.items():
        if name in known:
            continue
        student, _, task = name.rpartition(" on ")
        own = [run for run in runs if f"{run.student} on {run.task}" == source and _goes_on(run)]
        if own:
            why = _run(own[-1])
        elif source in heartbeat.students:
            why = f"it waits for {heartbeat.students[source]}"
        else:
            why = _not_begun(source, heartbeat, tasks, plans, teachers)
        found.append(WaitingStudent(student, task, source, why))
    return tuple(found)


def _goes_on(run: RunStatus) -> bool:
    return run.state == "queued" or run.state in ACTIVE_RUN_STATES


def _run(run: RunStatus) -> str:
    """How far a run is."""
    steps = f", step {count(run.step)} of {count(run.steps)}" if run.steps and run.step else ""
    return f"run {run.id} is {run.state}{steps}"


def _not_begun(
    source: str,
    heartbeat: HeartbeatData,
    tasks: Sequence[TaskStatus],
    plans: Sequence[PlanStatus],
    teachers: Sequence[TeacherStatus],
) -> str:
    """Why a student has no run yet: what holds its plans up, else what its trigger waits for."""
    student, _, scope = source.rpartition(" on ")
    triggers = [
        (task.name, each)
        for task in tasks
        for each in task.triggers
        if (each.student, each.scope) == (student, scope) and not each.progress.reached
    ]
    names = {task for task, _ in triggers} or {scope}
    states = {teacher.name: teacher.state for teacher in teachers}
    paused = {task.name for task in tasks if task.paused}
    left = [
        plan
        for plan in plans
        if plan.task in names and plan.stored + plan.failed + plan.skipped < plan.wanted
    ]
    held = [why for plan in left if (why := held_up(plan, heartbeat, states, paused))]
    if held:
        return f"it has no run yet: {held[0]}"
    if triggers:
        return f"it has no run yet: {triggers[0][1].text(count)}"
    return "it has no run yet"


def held_up(plan: PlanStatus, heartbeat: HeartbeatData, states: Mapping[str, str], paused: set[str]) -> str:
    """What holds a plan up; empty if nothing does.

    Args:
        plan: with work left.
        heartbeat: of the daemon.
        states: of the teachers, by name.
        paused: names of paused tasks.
    """
    names = [name.strip() for name in plan.teacher.split(",")]
    if plan.task in paused:
        return f"task {plan.task} is paused"
    if waits := heartbeat.waits.get(f"{plan.name} on {plan.task}"):
        return f"plan {plan.name} on {plan.task} waits for {waits}"
    if held := heartbeat.held.get(f"{plan.name} on {plan.task}"):
        return f"plan {plan.name} on {plan.task} is held: {held}"
    if all(states.get(name) in STUCK for name in names):
        return f"teacher {', '.join(names)}: {', '.join(dict.fromkeys(states[name] for name in names))}"
    if plan.awaits:
        return f"plan {plan.name} on {plan.task} waits for {plan.awaits}"
    if "used up" in heartbeat.notice:
        return heartbeat.notice
    return ""
