"""`coterie check --measure`: trains a few steps of each run on this machine and says what the whole run will take."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from daemon.catalog.sync import Input
from daemon.cli.check_bases import size_text
from daemon.cli.expected_runs import expected_rows, rationales_for, write_run
from daemon.host.processes import is_alive, signal_group, start_time
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
PREFIX = ".check-"
"""Of the folders of measurements; the id of the process that made them follows."""
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


@dataclass(slots=True)
class Measurement:
    """A run that is being measured, in a folder of its own, which is removed with its processes."""

    scope: Scope
    training: TrainingConfig
    folder: Path
    ranks: list[subprocess.Popen[bytes]] = field(default_factory=list)
    devices: tuple[Device, ...] = ()

    def start(self, devices: tuple[Device, ...]) -> None:
        """Starts its processes on these devices, with the threads that a run has there beside others."""
        self.devices = devices
        self.ranks = spawn_here(
            self.folder,
            self.training,
            devices,
            sum(device.threads for device in devices),
            module="engine.students.measure_cost",
        )

    @property
    def ended(self) -> bool:
        """Whether all its processes ended, or one died, for which the others would wait."""
        codes = [rank.poll() for rank in self.ranks]
        return None not in codes or any(codes)

    def close(self) -> None:
        """Ends what is left of it."""
        if self.ranks:
            signal_group(self.ranks[0].pid, signal.SIGKILL)
        for rank in self.ranks:
            rank.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def result(self) -> tuple[RunCost | str, list[str]]:
        """What the run costs, or why it cannot be trained, and the notes of its process. After its end, before `close`."""
        events, _ = read_events(self.folder / FILE)
        notes = [str(event["message"]) for event in events if event["event"] == "note"]
        for event in reversed(events):
            if event["event"] == EVENT:
                return RunCost.model_validate(event), notes
            if event["event"] == "failed":
                return str(event["message"]), notes
        ended = ", ".join(str(rank.returncode) for rank in self.ranks)
        return f"its process ended with code {ended}: {tail(self.folder / 'log.txt')}", notes


def measure_runs(
    config: Config,
    given: Input,
    devices: list[Device],
    absent: Collection[str],
    say: Callable[[str], None],
) -> None:
    """Measures the runs of all students, as many at a time as there are devices, and prints one table.

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
    scopes = _scopes(config, absent, say)
    busy = _busy(config, devices, scopes)
    place = next(each for each in (config.runs, *config.runs.parents) if each.is_dir())
    _remove_left(place)
    waiting, running = deque(scopes), list[Measurement]()
    found: dict[tuple[str, ...], RunCost | str] = {}
    with _ended_by_signals() as end_if_asked:
        try:
            while waiting or running:
                end_if_asked()
                used = busy | {device.name for each in running for device in each.devices}
                if waiting and (free := free_devices(waiting[0].student.training, devices, used)):
                    if run := _prepared(config, given, waiting.popleft(), place, devices, free, say):
                        running.append(run)
                        run.start(free)
                elif ended := [each for each in running if each.ended]:
                    for run in ended:
                        cost, notes = run.result()
                        found[run.scope.key] = cost
                        for note in notes:
                            say(f"  {_name(run.scope)}: note: {note}")
                        if isinstance(cost, str):
                            say(f"  {_name(run.scope)}: failed: {cost}")
                        running.remove(run)
                        run.close()
                else:
                    time.sleep(POLL_S)
        finally:
            for run in running:
                run.close()
    measured = [
        MeasuredRun(scope, told, max(1, sum(not trigger.repeats for trigger in scope.student.triggers)))
        for scope in scopes
        if isinstance(told := found.get(scope.key), RunCost)
    ]
    if measured:
        _table(measured, devices, config, say)
    if len(measured) < len(found):
        raise JobFailed("a student cannot be trained on this machine; see `failed` above")


def _name(scope: Scope) -> str:
    return " on ".join(scope.key)


def _scopes(config: Config, absent: Collection[str], say: Callable[[str], None]) -> list[Scope]:
    """What can be measured; says what cannot."""
    found = []
    for student in config.students:
        if student.training.executor == "slurm":
            say(f"student {student.name}: not measured: it trains on the nodes of a Slurm cluster")
        elif student.training.hostfile:
            say(
                f"student {student.name}: not measured: it trains on the machines of {student.training.hostfile}"
            )
        elif student.name in absent:
            say(f"student {student.name}: not measured: its base is not on this machine")
        else:
            found += scopes_of(student, config)
    return found


def _busy(config: Config, devices: list[Device], scopes: Sequence[Scope]) -> set[str]:
    """Names of the devices in use; refuses if they are needed."""
    runs = _training_now(config)
    used = {name for row in runs for name in row.device.split(",")}
    if not all(free_devices(scope.student.training, devices, used) for scope in scopes):
        run = runs[0]
        raise InstanceRunning(
            f"run {run.id} ({run.student} on {run.scope}, pid {run.pid}) is training on {run.device}: measuring"
            " beside it would be wrong and slow it down. Wait until it is done, or stop it with `coterie stop`"
        )
    return used


def _remove_left(place: Path) -> None:
    """Removes what measurements left that were killed: their folders, which may hold checkpoints."""
    for folder in place.glob(f"{PREFIX}*-*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdecimal() and start_time(int(pid)) is None:
            shutil.rmtree(folder, ignore_errors=True)


def _prepared(
    config: Config,
    given: Input,
    scope: Scope,
    place: Path,
    devices: list[Device],
    free: tuple[Device, ...],
    say: Callable[[str], None],
) -> Measurement | None:
    """The run directory of a scope in `place`, with the rows that it will have; None where it has none."""
    rationales = {}
    if METHODS[scope.student.method].reads_samples:
        rationales = {
            task: rationales_for(config, task, given.tasks[task].questions or ()) for task in scope.tasks
        }
    sources = "; ".join(sorted({each.source for each in rationales.values()}))
    on = ", ".join(device.name for device in free)
    say(f"measuring {_name(scope)} on {on}{f': rows have {sources}' if sources else ''}")
    rows = expected_rows(config, given, scope, rationales)
    if not rows and METHODS[scope.student.method].trains:
        say(f"  {_name(scope)}: not measured: it would have no rows")
        return None
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place))
    try:
        spec = write_run(folder, config, given, scope, rows, devices)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Measurement(scope, spec.training, folder)


def _training_now(config: Config) -> list[RunRow]:
    """Runs whose process is alive."""
    try:
        with closing(open_reader(config.database)) as connection:
            return [row for row in unfinished(connection) if is_alive(row.pid, row.pid_started)]
    except StateMissing:
        return []


@contextmanager
def _ended_by_signals() -> Iterator[Callable[[], None]]:
    """Gives a function that raises once SIGINT, SIGTERM or SIGHUP came: only where all that was started is known.

    The second signal raises at once.
    """
    asked: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        if len(asked) > 1:
            check()

    def check() -> None:
        if signal.SIGINT in asked:
            raise KeyboardInterrupt
        if asked:
            raise SystemExit(128 + asked[0])

    before = {
        number: signal.signal(number, end)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
        f" {side} device{'s' if side != 1 else ''}: estimated from at least three steps of each, with this machine as busy as it is now"
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
