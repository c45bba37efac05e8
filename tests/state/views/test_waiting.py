from __future__ import annotations

from dataclasses import replace

from state.heartbeat import HeartbeatData
from state.sqlite import Connection
from state.views.status import read_status, to_json
from state.views.status_records import RunStatus, Status, WaitingStudent
from state.views.status_text import format_status
from state.views.waiting import waiting_students
from tests.tui.seeded import NOW, PID
from tui.screens.overview_panels import Overview
from tui.screens.overview_work import training
from tui.screens.tasks import TaskRow, students


def read(reader: Connection) -> Status:
    return read_status(reader, NOW, lambda pid: pid == PID)


def said(status: Status, *runs: RunStatus, **heartbeat: object) -> list[str]:
    now = replace(status.heartbeat, **heartbeat)
    found = waiting_students(now, runs, status.tasks, status.plans, status.teachers)
    return [each.words for each in found]


def test_a_student_says_whom_it_waits_for_and_why(reader: Connection) -> None:
    status = read(reader)
    plan = next(each for each in status.plans if each.stored < each.wanted)
    trigger = next(
        each
        for task in status.tasks
        if task.name == plan.task
        for each in task.triggers
        if not each.progress.reached
    )
    source = f"{trigger.student} on {trigger.scope}"
    waits = {f"half on {trigger.scope}": source}
    words = f"student half on {trigger.scope} waits for {source}: "
    [nothing] = said(status, students=waits)
    assert nothing.startswith(f"{words}it has no run yet: ") and trigger.progress.text() in nothing.replace(
        ",", ""
    )
    held = {f"{plan.name} on {plan.task}": "its first answers are empty"}
    assert said(status, students=waits, held=held) == [
        f"{words}it has no run yet: plan {plan.name} on {plan.task} is held: its first answers are empty"
    ]
    assert said(status, students=waits | {source: "warm on joint"})[0] == f"{words}it waits for warm on joint"
    run = replace(
        status.active_runs[0],
        student=trigger.student,
        task=trigger.scope,
        state="training",
        step=40,
        steps=1200,
    )
    assert said(status, run, students=waits) == [f"{words}run {run.id} is training, step 40 of 1,200"]
    done = replace(run, state="done")
    assert said(status, done, students=waits)[0].startswith(f"{words}it has no run yet"), "an earlier one"


def test_a_queued_run_waits_for_its_sources(reader: Connection) -> None:
    status = read(reader)
    source = replace(status.active_runs[0], student="warm", task="t", state="queued", step=0)
    run = replace(source, id=99, student="half", sources=(source.id,))
    again = {"half on t": "warm on t"}
    assert said(status, source, run, students=again) == [
        f"student half on t waits for warm on t: run {source.id} is queued"
    ]
    assert said(status, replace(source, state="done"), run) == []
    assert said(status, replace(source, state="failed"), run) == [], "it fails itself, and says so"
    assert HeartbeatData.from_json(replace(status.heartbeat, students=again).to_json()).students == again


def test_readers_show_who_waits(reader: Connection) -> None:
    status = read(reader)
    found = waiting_students(
        replace(status.heartbeat, students={"half on t": "warm on t"}),
        (),
        status.tasks,
        status.plans,
        status.teachers,
    )
    shown = replace(status, waiting=found)
    assert "\nstudent half on t waits for warm on t: it has no run yet\n" in format_status(shown)
    assert to_json(shown)["waiting"] == [
        {"student": "half", "task": "t", "source": "warm on t", "why": "it has no run yet", "run": None}
    ]


def test_the_monitor_shows_who_waits(reader: Connection) -> None:
    status = read(reader)
    task = next(each for each in status.tasks if each.train)
    waiting = (WaitingStudent("half", task.name, "warm on t", "run 2 is training"),)
    view = Overview(status=replace(status, waiting=waiting))
    shown = [line.plain for line in training(view).paint(70, 12)]
    assert any("half" in line and "waits for warm on t" in line for line in shown)
    lines = [line.plain for line in students(TaskRow(view, task, None)).paint(60, 12)]
    assert "◐ half waits for warm on t" in lines and "  run 2 is training" in lines
