"""`coterie check`: checks that a run has everything it needs, before anything is paid for."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from contextlib import closing
from pathlib import Path

import anyio

from daemon.catalog.served_runs import ServedRuns
from daemon.catalog.sync import Input, overlaps, read_input
from daemon.cli.check_bases import check_bases
from daemon.cli.check_measure import measure_runs
from daemon.cli.estimate import summary
from daemon.cli.ping import ping_all
from daemon.host.builtin_teacher import check_builtin, read_recording
from daemon.observe.traces import check_traces
from daemon.training.devices import Device, check_ranks, find_devices
from daemon.training.edits import edits_since
from daemon.training.manifest import base_of
from daemon.training.run_fingerprint import teaches_gold_when_wrong
from engine.config import Config, TeacherConfig, load_config
from engine.config.ancestors import derived_members, scopes_by_student
from engine.config.named import expand, teachers_of
from engine.config.notes import left_out, two_step_chats
from engine.config.prices import unpriced
from engine.errors import JobFailed
from engine.methods import METHODS
from engine.students.base_names import is_path, unusable
from engine.students.operations import OPERATIONS
from engine.students.requirements import missing
from engine.teachers.keys import TeacherKey
from state import sqlite
from state.checksums import damaged_tasks
from state.database import open_reader
from state.errors import StateMissing
from state.health import CRASH_S, examine
from state.runs import own_answer_runs
from state.safe import safe
from state.views.samples import count_samples
from tui.__main__ import check as check_tui


def command(arguments: argparse.Namespace) -> int:
    """Prints what was found; stops at the first error."""
    config = load_config(arguments.config)
    check_tui(config)
    _say(f"{arguments.config}: OK")
    given = read_input(config)
    overlap = overlaps(given, given.tasks)
    for name, task in given.tasks.items():
        _say(f"task {name}: {task.split_line}")
        for note in (*task.notes, *overlap[name]):
            _say(f"  {note}")
    for name, teacher in config.teachers.items():
        if teacher.builtin:
            check_builtin(name, teacher)
        _say(f"teacher {name}: {teacher.model} by {teacher.dialect}, {_keys(teacher, given.keys[name])}")
        if not teacher.training_allowed:
            _say("  its samples are excluded from training (training_allowed = false)")
        if teacher.recordings:
            _replay(name, teacher, config, given)
    for said in unpriced(config):
        _say(f"warning: {said}")
    for said in (*left_out(config), *two_step_chats(config)):
        _say(f"note: {said}")
    check_traces(config)
    _say(sqlite.describe())
    _database(config, given)
    for said in summary(config, given) if config.plans else ():
        _say(said)
    if config.students:
        devices = _training(config)
        absent = check_bases(config, given, devices, _say)
        if arguments.measure:
            measure_runs(config, given, devices, absent, _say)
    if arguments.ping and not anyio.run(ping_all, config, given, _say):
        raise JobFailed("a teacher did not answer; see `failed` above")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(safe(text) + "\n")


def _keys(teacher: TeacherConfig, keys: tuple[TeacherKey, ...]) -> str:
    if teacher.local:
        return "built-in" if teacher.builtin else "served by the daemon"
    known = [key for key in keys if key.secret is not None]
    return _plural(len(known), "key") if known else "no key"


def _replay(name: str, teacher: TeacherConfig, config: Config, given: Input) -> None:
    """Says what a teacher replays, and for how many of the questions that it is asked it has nothing."""
    model = read_recording(name, teacher, config.folder)
    _say(f"  replays {_plural(len(model), 'recorded completion')}")
    asked = [
        plan
        for plan in config.plans
        if name in (*teachers_of(plan, config.teachers), *plan.fallback_teachers)
    ]
    for task in config.tasks:
        questions = given.tasks[task].questions or ()
        for split in dict.fromkeys(
            plan.split for plan in asked if task in expand(plan.tasks, list(config.tasks))
        ):
            of_split = [each for each in questions if each.split == split]
            absent = sum(not model.knows(each.text) for each in of_split)
            if absent:
                warning = "warning: " if absent == len(of_split) else ""
                _say(
                    f"  {warning}{absent:,} of {_plural(len(of_split), f'{split} question')} of {task} have no recorded"
                    " completion: they are asked once and given up"
                )


def _plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _database(config: Config, given: Input) -> None:
    served = ServedRuns(config)
    try:
        if note := examine(config.database, CRASH_S):
            _say(f"note: {note}")
        with closing(open_reader(config.database)) as connection:
            samples, taught = count_samples(connection), own_answer_runs(connection)
            questions, served = damaged_tasks(connection), ServedRuns.stored(connection, config)
        _say(f"{config.database}: {samples:,} samples")
        if questions:
            _say("  questions of it are damaged: the next start reads their files again")
        for student in config.students:
            again = sorted(scope for name, scope in taught if name == student.name)
            if again and teaches_gold_when_wrong(student):
                _say(
                    f"  student {student.name} is trained again on {', '.join(again)}: its runs there were made by an earlier version,"
                    ' which taught the teacher\'s own answers under wrong rationales; `labels = "teacher"` goes on with them'
                )
        for edit in edits_since(config, given):
            _say(f"  {edit.text}")
    except StateMissing:
        _say(f"{config.database}: does not exist yet; `coterie run` creates it")
    for plan in config.plans:
        for task in expand(plan.tasks, list(config.tasks)):
            if waits := served.waits_for(plan, task):
                _say(f"note: plan {plan.name} on {task} waits for {waits}")


def _training(config: Config) -> list[Device]:
    devices = find_devices(config.daemon.devices)
    check_ranks(devices, config.students, config.folder)
    _say("devices: " + ", ".join(device.name for device in devices))
    absent = [
        name for name in ("torch", "transformers", "deepspeed") if importlib.util.find_spec(name) is None
    ]
    if absent:
        raise JobFailed(
            f"students cannot be trained: {', '.join(absent)} not installed; pip install '.[train]'"
        )
    if lacks := missing(config.students, os.environ, on_gpu=devices[0].kind == "cuda"):
        raise JobFailed("\n".join(lacks))
    for student in config.students:
        does = "trains" if METHODS[student.method].trains else "is measured"
        _say(f"student {student.name}: {does} {', '.join(each.describe() for each in student.triggers)}")
        if all(trigger.repeats for trigger in student.triggers):
            _say(
                '  `--until-idle` does not wait for an interval: add "complete" to train on everything at the end'
            )
        if is_path(student.base):
            path = Path(base_of(config, student.base))
            if why := unusable(path):
                raise JobFailed(f"students.{student.name}.base: {path}: {why}")
    scopes, members = scopes_by_student(config), derived_members(config)
    for each in config.derived:
        made = f"made by {each.make} from {', '.join(members[each.name])}"
        where = (
            f"on {', '.join(scopes[each.name])}"
            if OPERATIONS[each.make].runs(each)
            else "counted in the report"
        )
        _say(f"student {each.name}: {made}; {where}")
    return devices
