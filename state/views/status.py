"""Reads the status: what `coterie status`, the monitor and one-line displays show.

Invariants: everything comes from counters that the writer keeps (plan, teacher and run rows) and from the
heartbeat. Nothing here counts samples, so it costs the same with a million of them. One short snapshot reads it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from state.budget import budget_in_force
from state.enums import FINISHED_EARLY
from state.given_up import count_given_up
from state.heartbeat import HeartbeatData, is_copy
from state.sqlite import Connection
from state.triggers import LastRun, PlanCounts, first_start, last_runs, plan_counts
from state.views.alerts import daemon_alerts, run_alerts, teacher_alerts
from state.views.costs import widest, with_shared
from state.views.rows import first, loaded, rows, snapshot
from state.views.status_json import to_json
from state.views.status_records import (
    Accuracy,
    DaemonStatus,
    PendingCommand,
    PlanStatus,
    RunStatus,
    Spend,
    Status,
    TaskStatus,
    TeacherStatus,
    share,
)
from state.views.triggers import TriggerStatus, next_trigger, student_names, triggers
from state.views.waiting import waiting_students
from state.views.wordings import search_statuses
from state.wordings import searches

__all__ = ["Status", "process_exists", "read_status", "to_json"]

STALE_MS = 5_000
"""A daemon with an older heartbeat is no longer running, whatever its last heartbeat said."""

RUNS = 1_000
"""The newest runs that are read."""


def process_exists(pid: int) -> bool:
    """Whether a process on this machine has that id, of any user."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_same(pid: int, started: float) -> bool:
    """Whether a process is the one that started then (in clock ticks since boot), not a later one."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0] not in "ZX" and float(fields[19]) == started
    except (OSError, ValueError, IndexError):
        return False


def read_status(connection: Connection, now_ms: int, alive: Callable[[int], bool] = process_exists) -> Status:
    """Reads the status.

    Args:
        connection: an open reading connection.
        now_ms: wall clock, UTC milliseconds.
        alive: whether a process id on this machine is in use.
    """
    with snapshot(connection):
        boot = first(
            connection,
            "SELECT id, pid, host, started_at, ended_at, exit_reason, config, pid_started FROM boot ORDER BY id DESC LIMIT 1",
        )
        beat = first(connection, "SELECT boot_id, at, state, data FROM pulse ORDER BY at DESC LIMIT 1")
        plan_rows = rows(
            connection,
            "SELECT p.id, p.name, t.name, p.teachers, p.split, p.wanted, p.claimed, p.stored, p.accepted,"
            " p.rejected, p.failed, p.skipped, p.spent_micros, p.reserved_micros, p.unknown_micros, p.recipe, iif(json_valid(p.settings), coalesce(p.settings ->> '$.facts.writes_rationale', 1), 1) FROM plan p JOIN task t ON t.id = p.task_id"
            " WHERE p.active = 1 ORDER BY p.id",
        )
        teacher_rows = rows(
            connection,
            "SELECT id, name, model, state, reason, active, requests, answered, status_429, retries, errors,"
            " unknown_attempts, prompt_tokens, completion_tokens, spent_micros, reserved_micros, unknown_micros"
            " FROM teacher ORDER BY id",
        )
        task_rows = rows(
            connection,
            "SELECT id, name, source, answer_format, paused, train, dev, test, unreadable, labelled FROM task WHERE active = 1 ORDER BY id",
        )
        run_rows = rows(
            connection,
            'SELECT id, student, scope, "trigger", state, method, samples, step, steps, loss,'
            " tokens_per_second, eta_s, directory, error, state = 'done' AND phase = ?, kind,"
            " (SELECT json_group_array(source_id) FROM run_source WHERE run_id = run.id), parameters, bytes,"
            " (SELECT sum(e.flops * e.n) / sum(e.n) FROM evaluation e WHERE e.run_id = run.id AND e.split = 'test' AND e.flops IS NOT NULL)"
            " FROM run ORDER BY id DESC LIMIT ?",
            (FINISHED_EARLY, RUNS),
        )
        tests = rows(
            connection,
            "SELECT e.run_id, e.task_id, e.correct, e.n, r.seed, (SELECT d.accuracy FROM evaluation d WHERE d.run_id = e.run_id"
            " AND d.task_id = e.task_id AND d.split = 'dev' AND d.step = e.step) FROM evaluation e JOIN run r ON r.id = e.run_id"
            " WHERE e.split = 'test' ORDER BY e.run_id",
        )
        unasked = count_given_up(connection)
        stocked = _Stocked(now_ms, plan_counts(connection), last_runs(connection), first_start(connection))
        command_rows = rows(
            connection,
            "SELECT id, kind, args, created_at FROM command WHERE state = 'pending' ORDER BY id LIMIT 100",
        )
        copy = is_copy(connection)
        tried = searches(connection)
    daemon, config, heartbeat = _daemon(boot, beat, now_ms, alive, copy)
    cap_usd = budget_in_force(connection, _cap(config))
    without = frozenset(row[1] for row in task_rows if not row[9])
    teachers = tuple(_teacher(row, heartbeat if daemon.alive else None) for row in teacher_rows if row[5])
    plans = tuple(
        with_shared(
            [
                _plan(
                    row,
                    daemon.alive,
                    unasked.get(row[0], 0),
                    heartbeat.awaits if daemon.alive else {},
                    without,
                )
                for row in plan_rows
            ]
        )
    )
    tested, best = _tested(tests)
    runs = tuple(
        RunStatus(
            **dict(zip(_RUN_FIELDS, (*row[:13], row[13] or "", bool(row[14]), row[15]), strict=True)),
            sources=tuple(loaded(row[16], list)),
            test=tested.get(row[0]),
            parameters=row[17],
            bytes=row[18],
            flops_per_question=row[19],
        )
        for row in reversed(run_rows)
    )
    # Rates of the last minutes predict nothing while the daemon drains or is paused.
    rates = heartbeat.tasks if daemon.state == "running" else {}
    tasks = tuple(_task(row, plans, runs, config, rates, best.get(row[0]), stocked) for row in task_rows)
    return Status(
        at=now_ms,
        daemon=daemon,
        spend=Spend(
            usd=sum(row[14] for row in teacher_rows) / 1e6,
            reserved_usd=sum(row[15] for row in teacher_rows) / 1e6,
            unknown_usd=sum(row[16] for row in teacher_rows) / 1e6,
            cap_usd=cap_usd,
            prompt_tokens=sum(row[12] for row in teacher_rows),
            completion_tokens=sum(row[13] for row in teacher_rows),
            unknown_attempts=sum(row[11] for row in teacher_rows),
        ),
        tasks=tasks,
        plans=plans,
        teachers=teachers,
        runs=runs,
        alerts=(*daemon_alerts(daemon, heartbeat), *teacher_alerts(teachers), *run_alerts(runs, config)),
        commands=tuple(
            PendingCommand(id=row[0], kind=row[1], args=loaded(row[2], dict), created_at=row[3])
            for row in command_rows
        ),
        heartbeat=heartbeat,
        waiting=waiting_students(heartbeat, runs, tasks, plans, teachers),
        wordings=search_statuses(tried),
    )


class _Stocked(NamedTuple):
    """What triggers are judged by."""

    now: int
    plans: list[PlanCounts]
    last: dict[tuple[str, str], LastRun]
    since: int


_RUN_FIELDS = (
    *("id", "student", "task", "trigger", "state", "method", "samples", "step", "steps", "loss"),
    *("tokens_per_second", "eta_s", "directory", "error", "early", "kind"),
)


def _tested(tests: Sequence[Any]) -> tuple[dict[int, Accuracy | None], dict[int, Accuracy | None]]:
    """Accuracies on test: of each run over all its tasks, and by task of the run that dev chooses (of equal ones the last).

    A run without dev questions is never the best: only test could tell, and test chooses nothing.
    """
    sums: dict[int, tuple[int, int, int]] = {}
    chosen: dict[int, tuple[float, Accuracy | None]] = {}
    for run, task, correct, n, seed, dev in tests:
        before = sums.get(run, (0, 0, 0))
        sums[run] = (before[0] + correct, before[1] + n, seed)
        if dev is not None and dev >= chosen.get(task, (0.0, None))[0]:
            chosen[task] = (dev, Accuracy.of(correct, n, seed=seed, run=run))
    return (
        {run: Accuracy.of(correct, n, seed=seed, run=run) for run, (correct, n, seed) in sums.items()},
        {task: accuracy for task, (_, accuracy) in chosen.items()},
    )


def _daemon(
    boot: Any, beat: Any, now_ms: int, alive: Callable[[int], bool], copy: bool
) -> tuple[DaemonStatus, dict[str, Any], HeartbeatData]:
    if boot is None:
        return DaemonStatus(state="stopped"), {}, HeartbeatData()
    boot_id, pid, host, started_at, ended_at, exit_reason, config_text, pid_started = boot
    config = loaded(config_text, dict)
    heartbeat_at = beat[1] if beat is not None and beat[0] == boot_id else None
    last = heartbeat_at if heartbeat_at is not None else started_at
    here = host == socket.gethostname()
    gone = now_ms - last > STALE_MS or (here and not alive(pid)) or copy
    common = {"pid": pid, "boot_id": boot_id, "heartbeat_at": heartbeat_at, "ended_at": ended_at}
    if ended_at is not None or gone:
        state = "stopped" if ended_at is not None else "down"
        working = state == "down" and here and alive(pid) and _is_same(pid, pid_started)
        uptime = max(
            0, (ended_at if ended_at is not None else last) - started_at
        )  # the clock may have been set back
        return (
            DaemonStatus(
                state=state,
                uptime_s=uptime / 1000,
                exit_reason=exit_reason or "",
                silent=working and not copy,
                copied=working and copy,
                **common,
            ),
            config,
            HeartbeatData(),
        )
    heartbeat = HeartbeatData.from_json(beat[3]) if heartbeat_at is not None else HeartbeatData()
    return (
        DaemonStatus(
            state=beat[2] if heartbeat_at is not None else "starting",
            uptime_s=max(0, now_ms - started_at) / 1000,
            loop_lag_ms=heartbeat.loop_lag_ms,
            **common,
        ),
        config,
        heartbeat,
    )


def _cap(config: dict[str, Any]) -> float | None:
    section = config.get("daemon")
    cap = section.get("budget_usd") if isinstance(section, dict) else None
    return float(cap) if isinstance(cap, int | float) else None


def _plan(
    row: Any, alive: bool, unasked: int, awaits: Mapping[str, str], without: frozenset[str]
) -> PlanStatus:
    (
        plan_id,
        name,
        task,
        teachers,
        split,
        wanted,
        claimed,
        stored,
        accepted,
        rejected,
        failed,
        skipped,
        spent,
        reserved,
        unknown,
        recipe,
        writes_rationale,
    ) = row
    return PlanStatus(
        id=plan_id,
        name=name,
        task=task,
        teacher=", ".join(str(item) for item in loaded(teachers, list)),
        split=split,
        wanted=wanted,
        in_flight=max(0, claimed - stored - failed) if alive else 0,  # without a daemon, begun samples wait
        stored=stored,
        accepted=accepted,
        rejected=rejected,
        failed=failed,
        skipped=skipped,
        given_up=unasked,
        usd=spent / 1e6,
        reserved_usd=reserved / 1e6,
        unknown_usd=unknown / 1e6,
        writes_rationale=bool(writes_rationale),
        samples=f"{task}|{split}|{recipe}",
        labelled=task not in without,
        awaits=awaits.get(f"{name} on {task}", ""),
    )


def _teacher(row: Any, heartbeat: HeartbeatData | None) -> TeacherStatus:
    now = heartbeat.teachers.get(row[1]) if heartbeat is not None else None
    return TeacherStatus(
        id=row[0],
        name=row[1],
        model=row[2],
        state=now.state if now is not None and row[3] == "ready" else row[3],
        reason=(now.reason if now is not None else "") or row[4],
        in_flight=now.in_flight if now is not None else 0,
        cap=now.cap if now is not None else 0,
        requests_per_minute=now.requests_per_minute if now is not None else 0.0,
        tokens_per_minute=now.tokens_per_minute if now is not None else 0.0,
        requests=row[6],
        answered=row[7],
        status_429=row[8],
        retries=row[9],
        errors=row[10],
        unknown_attempts=row[11],
        prompt_tokens=row[12],
        completion_tokens=row[13],
        usd=row[14] / 1e6,
        reserved_usd=row[15] / 1e6,
        unknown_usd=row[16] / 1e6,
        p50_ms=now.p50_ms if now is not None else None,
        p95_ms=now.p95_ms if now is not None else None,
    )


def _task(
    row: Any,
    plans: tuple[PlanStatus, ...],
    runs: tuple[RunStatus, ...],
    config: dict[str, Any],
    rates: dict[str, float],
    best: Accuracy | None,
    stocked: _Stocked,
) -> TaskStatus:
    task_id, name, source, answer_format, paused, train, dev, test, unreadable, labelled = row
    own = widest(plan for plan in plans if plan.task == name and plan.split == "train")
    held_out = [plan for plan in plans if plan.task == name and plan.split == "test"]
    accepted, rejected = sum(plan.accepted for plan in own), sum(plan.rejected for plan in own)
    found = triggers(config, name, stocked.plans, now=stocked.now, last=stocked.last, since=stocked.since)
    waiting = next_trigger(found)
    busy = [run for run in runs if run.task == name and (run.active or run.state == "queued")]
    return TaskStatus(
        id=task_id,
        name=name,
        source=source,
        answer_format=answer_format,
        paused=bool(paused),
        train=train,
        dev=dev,
        test=test,
        unreadable=unreadable,
        labelled=bool(labelled),
        wanted=sum(plan.wanted for plan in own),
        stored=sum(plan.stored for plan in own),
        accepted=accepted,
        rejected=rejected,
        trigger=waiting,
        triggers=tuple(found),
        students=student_names(config, name),
        best=best,
        teacher=_teacher_accuracy(held_out),
        eta_s=_eta(waiting, 0.0 if paused else rates.get(name, 0.0), share(accepted, accepted + rejected)),
        run_id=next((run.id for run in sorted(busy, key=lambda run: not run.active)), None),
    )


def _teacher_accuracy(plans: Sequence[PlanStatus]) -> Accuracy | None:
    """The accuracy of the best plan on test, as in the report: of plans that reason; a failed sample counts as wrong."""
    reasoning = [plan for plan in plans if plan.writes_rationale] or plans
    found = [Accuracy.of(plan.accepted, plan.accepted + plan.rejected + plan.failed) for plan in reasoning]
    return max((each for each in found if each is not None), key=lambda each: each.accuracy, default=None)


def _eta(trigger: TriggerStatus | None, accepted_a_minute: float, correct: float | None) -> float | None:
    """Seconds to the trigger, of samples at the rate of the last minutes; None where that is not known."""
    if trigger is None:
        return None
    if trigger.progress.unit == "seconds":
        return float(trigger.remaining) if trigger.remaining else None
    if accepted_a_minute <= 0:
        return None
    rate = accepted_a_minute
    if trigger.progress.unit == "sampled":  # all stored samples; the correct ones are a share of them
        if not correct:
            return None
        rate /= correct
    return trigger.remaining / rate * 60
