"""Alerts: a daemon that is down, parked teachers, failed runs; with the reason and the remedy. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from state.heartbeat import HeartbeatData
from state.views.format import duration
from state.views.status_records import Alert, DaemonStatus, RunStatus, Status, TaskStatus, TeacherStatus
from state.views.triggers import student_names

MOST = 3
"""Failed runs that are listed one by one."""


def daemon_alerts(daemon: DaemonStatus, heartbeat: HeartbeatData) -> list[Alert]:
    """Alerts about the daemon itself, and about limits that it shares or has used up."""
    found = []
    if daemon.silent:
        found.append(
            Alert(
                what=f"the daemon (pid {daemon.pid}) is running but writes nothing: its disk is full, another process holds"
                " state.db, or it was suspended; it keeps what it received in memory, so do not kill it"
            )
        )
    elif daemon.copied:
        found.append(
            Alert(
                what=f"this is a copy: the daemon (pid {daemon.pid}) that wrote it works on another file",
                remedy="`coterie run` samples here on its own",
            )
        )
    elif daemon.state == "down":
        found.append(
            Alert(
                what="the daemon died",
                remedy="`coterie run` resumes where it stopped",
            )
        )
    if heartbeat.notice:
        found.append(Alert(what=heartbeat.notice))
    found += [
        Alert(
            what=f"plan {name} is held",
            why=why,
            remedy=f"change config.toml and send SIGHUP; `coterie resume --task {name.rpartition(' on ')[2]}` continues it as it is",
            subject=f"task:{name.rpartition(' on ')[2]}",
        )
        for name, why in heartbeat.held.items()
    ]
    found += [
        Alert(what=f"teacher {name} shares its limits with {_processes(now.shared_with)} on this machine")
        for name, now in heartbeat.teachers.items()
        if now.shared_with
    ]
    found += [
        Alert(
            what=f"teacher {name} has reached its daily limit; it resumes in {duration(now.resumes_in_s)}",
            subject=f"teacher:{name}",
        )
        for name, now in heartbeat.teachers.items()
        if now.bound_by == "limit a day"
    ]
    return found


def _processes(number: int) -> str:
    return "1 other process" if number == 1 else f"{number} other processes"


def teacher_alerts(teachers: Sequence[TeacherStatus]) -> list[Alert]:
    """Teachers that are parked until you act, and those that keep failing."""
    return [
        Alert(
            what=f"teacher {item.name} is parked",
            why=item.reason,
            remedy=f"`coterie resume --teacher {item.name}` tries again",
            subject=f"teacher:{item.name}",
        )
        for item in teachers
        if item.state == "parked"
    ] + [
        Alert(what=f"teacher {item.name} is failing", why=item.reason, subject=f"teacher:{item.name}")
        for item in teachers
        if item.state == "cooling"
    ]


def run_alerts(runs: Sequence[RunStatus], config: Mapping[str, Any]) -> list[Alert]:
    """Failed runs without a later run of the same student on the same task; newest first.

    Runs of students that are no longer configured are left out.
    """
    last = {(run.student, run.task): run for run in runs}
    students = [item.get("name") for item in config.get("students") or [] if isinstance(item, dict)]
    derived = [item.get("name") for item in config.get("derived") or [] if isinstance(item, dict)]
    failed = sorted(
        (
            run
            for run in last.values()
            if run.state == "failed"
            and run.student
            in (*derived, *(students if run.task == "joint" else student_names(config, run.task)))
        ),
        key=lambda run: -run.id,
    )
    found = [
        Alert(
            what=f"run {run.id} ({run.student} on {run.task}) failed",
            why=run.error or "see its log",
            remedy=f"`coterie train {run.task} --student {run.student}` tries again",
            subject=f"run:{run.id}",
        )
        for run in failed[:MOST]
    ]
    if len(failed) > MOST:
        found.append(Alert(what=f"{len(failed) - MOST} more failed runs", subject="run:"))
    return found


def bound_by(status: Status, task: TaskStatus) -> str:
    """The current bottleneck of a task, such as "tokens/min of gpt"; empty where there is none."""
    names = {
        name for plan in status.plans if plan.task == task.name for name in plan.teacher.split(", ") if name
    }
    for name in sorted(names):
        now = status.heartbeat.teachers.get(name)
        if now is not None and now.bound_by:
            return f"{now.bound_by} of {name}"
    return ""
