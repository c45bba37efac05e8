"""`coterie check --measure`: trains a few steps of each run on this machine and says what the whole run will take."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from daemon.catalog.sync import Input
from daemon.cli.check_bases import size_text
from daemon.cli.expected_runs import expected_rows, rationales_for, write_run
from daemon.host.processes import is_alive, signal_group
from daemon.training.devices import Device
from daemon.training.placement import free_devices, spawn_here
from daemon.training.progress_reader import tail
from daemon.training.scopes import Scope, scopes_of
from engine.config import Config, TrainingConfig
from engine.errors import InstanceRunning, JobFailed
from engine.methods import METHODS
from engine.students.progress_file import FILE, read_events
from engine.students.run_cost import EVENT, RunCost
from state.database import open_reader
from state.errors import StateMissing
from state.runs import RunRow, unfinished
from state.views.format import duration

POLL_S = 0.1
BUSY = 0.75
"""The share of a core below which others are said to keep a process waiting."""
HEAD = ("run", "rows", "steps", "tokens/s", "training", "evaluation", "in all", "memory", "disk")


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A run with what it costs. `times`: how many runs of at most this size its triggers make."""

    scope: Scope
    cost: RunCost
    times: int

    @property
    def cells(self) -> tuple[str, ...]:
        """A row of the table."""
        cost = self.cost
        speed = "–" if cost.tokens_per_second is None else f"{cost.tokens_per_second:,.0f}"
        return (
            " on ".join(self.scope.key),
            f"{cost.rows:,}",
            f"{cost.steps:,}",
            speed,
            duration(cost.training_s),
            duration(cost.evaluation_s),
            duration(cost.seconds),
            size_text(cost.memory_bytes),
            size_text(cost.disk_bytes),
        )


def measure_runs(
    config: Config,
    given: Input,
    devices: list[Device],
    absent: Collection[str],
    say: Callable[[str], None],
) -> None:
    """Measures the runs of all students and prints one table.

    Args:
        config: the configuration.
        given: its tasks, with their questions.
        devices: where runs are trained.
        absent: names of students whose base is not on this machine.
        say: is told what to print.

    Raises:
        InstanceRunning: a training process uses the devices.
        JobFailed: a run could not be trained.
    """
    busy = _training_now(config)
    used = {name for row in busy for name in row.device.split(",")}
    measured, failed = [], []
    for student in config.students:
        if student.training.hostfile:
            say(
                f"student {student.name}: not measured: it trains on the machines of {student.training.hostfile}"
            )
            continue
        if student.name in absent:
            say(f"student {student.name}: not measured: its base is not on this machine")
            continue
        free = free_devices(student.training, devices, used)
        if not free:
            run = busy[0]
            raise InstanceRunning(
                f"run {run.id} ({run.student} on {run.scope}, pid {run.pid}) is training on {run.device}: measuring"
                " beside it would be wrong and slow it down. Wait until it is done, or stop it with `coterie stop`"
            )
        for scope in scopes_of(student, config):
            rationales = {}
            if METHODS[student.method].reads_samples:
                rationales = {
                    task: rationales_for(config, task, given.tasks[task].questions or ())
                    for task in scope.tasks
                }
            sources = "; ".join(sorted({each.source for each in rationales.values()}))
            on = ", ".join(device.name for device in free)
            say(f"measuring {' on '.join(scope.key)} on {on}{f': rows have {sources}' if sources else ''}")
            rows = expected_rows(config, given, scope, rationales)
            if not rows and METHODS[student.method].trains:
                say("  not measured: it would have no rows")
                continue
            with _folder(config) as folder:
                spec = write_run(folder, config, given, scope, rows, devices)
                cost, notes = _measure(folder, spec.training, free)
            for note in notes:
                say(f"  note: {note}")
            if isinstance(cost, str):
                say(f"  failed: {cost}")
                failed.append(scope)
                continue
            times = max(1, sum(not trigger.repeats for trigger in student.triggers))
            measured.append(MeasuredRun(scope, cost, times))
    if measured:
        _table(measured, devices, config, say)
    if failed:
        raise JobFailed("a student cannot be trained on this machine; see `failed` above")


def _training_now(config: Config) -> list[RunRow]:
    """Runs whose process is alive."""
    try:
        with closing(open_reader(config.database)) as connection:
            return [row for row in unfinished(connection) if is_alive(row.pid, row.pid_started)]
    except StateMissing:
        return []


@contextmanager
def _folder(config: Config) -> Iterator[Path]:
    """A folder on the disk of the runs, which may hold a checkpoint; it is removed again."""
    place = next(each for each in (config.runs, *config.runs.parents) if each.is_dir())
    with tempfile.TemporaryDirectory(prefix=".check-", dir=place) as name:
        yield Path(name)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit, so that what was started is ended."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _measure(
    folder: Path, training: TrainingConfig, devices: tuple[Device, ...]
) -> tuple[RunCost | str, list[str]]:
    """What a run directory costs, or why it cannot be trained, and the notes of its process."""
    ranks: list[subprocess.Popen[bytes]] = []
    with _ended_by_signals():
        try:
            ranks = spawn_here(
                folder,
                training,
                devices,
                sum(device.threads for device in devices),
                module="engine.students.measure_cost",
            )
            while None in (codes := [rank.poll() for rank in ranks]):
                if any(codes):
                    break  # the others would wait for it
                time.sleep(POLL_S)
        finally:
            if ranks:
                signal_group(ranks[0].pid, signal.SIGKILL)
            for rank in ranks:
                rank.wait()
    events, _ = read_events(folder / FILE)
    notes = [str(event["message"]) for event in events if event["event"] == "note"]
    for event in reversed(events):
        if event["event"] == EVENT:
            return RunCost.model_validate(event), notes
        if event["event"] == "failed":
            return str(event["message"]), notes
    ended = ", ".join(str(rank.returncode) for rank in ranks)
    return f"its process ended with code {ended}: {tail(folder / 'log.txt')}", notes


def _table(
    measured: Sequence[MeasuredRun], devices: Sequence[Device], config: Config, say: Callable[[str], None]
) -> None:
    rows = [HEAD, *(each.cells for each in measured)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    for row in rows:
        first, *others = (
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        say("  ".join((first, *others)))
    runs = sum(each.times for each in measured)
    total = sum(each.cost.seconds * each.times for each in measured)
    side = len(devices)
    longest = max(each.cost.seconds for each in measured)
    hours = max(longest, total / side)
    say(
        f"{runs:,} run{'s' if runs != 1 else ''}, {duration(total)} of training processes, about {duration(hours)} with"
        f" {side} device{'s' if side != 1 else ''}: an estimate from at least three steps of each, on this machine as busy as it is now"
    )
    waiting = [each.cost.cpu_share for each in measured if each.cost.cpu_share is not None]
    if waiting and min(waiting) < BUSY:
        say(
            f"warning: this machine is busy: a process got {100 * min(waiting):.0f} % of a core. When it is quiet, runs are up"
            f" to {1 / min(waiting):.1f} times as fast"
        )
    kept = sum(each.cost.kept_bytes * each.times for each in measured)
    most = kept + max(each.cost.disk_bytes for each in measured) * min(side, runs)
    free = shutil.disk_usage(next(each for each in (config.runs, *config.runs.parents) if each.is_dir())).free
    say(f"disk: {size_text(kept)} stay, {size_text(most)} at most; {size_text(free)} are free")
    if most > free:
        say("warning: the runs may fill the disk: lower training.keep_checkpoints, or move [state] runs")
    if any(each.times > 1 for each in measured):
        say("a student with several triggers is measured with the rows of its largest run")
