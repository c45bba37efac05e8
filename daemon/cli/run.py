"""`coterie run`: the daemon in the foreground, with the terminal UI or lines of progress beside it."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import anyio

from daemon.host.lock import hold
from daemon.host.parent_monitor import GO_ON
from daemon.host.places import check_places, make_folder
from daemon.observe.log import open_log
from daemon.observe.traces import check_traces
from daemon.service import DaemonResult, Service
from engine.config import Config, load_config
from engine.errors import CoterieError, JobFailed, UsageError
from engine.teachers.failures import NOT_RECORDED
from state import sqlite
from state.database import now_ms, open_reader, told
from state.given_up import GivenUp, count_once, given_up, in_all
from state.safe import safe
from state.views.costs import usd_per_correct
from state.views.format import count, per_thousand, spending
from state.views.given_up import given_up_lines, given_up_words
from state.views.progress import Progress
from state.views.status import Status, read_status

LOOK_S = 1.0


def command(arguments: argparse.Namespace) -> int:
    """Runs to the end; the last lines are the results and where they are."""
    config = load_config(arguments.config)
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    if arguments.tui and not on_terminal:
        raise UsageError(
            "--tui: standard input and output are no terminal that can show it; leave it out, or use --no-tui"
        )
    if on_terminal if arguments.tui is None else arguments.tui:
        return _with_tui(arguments, config)
    with hold(config.database):
        check_places(config)
        check_traces(config)
        ended = _run(config, arguments.config, arguments.until_idle, arguments.monitored)
    return _conclude(config, ended)


def _run(config: Config, file: Path, until_idle: bool, monitored: bool) -> DaemonResult:
    log = config.folder / config.daemon.log_file if config.daemon.log_file else None
    service = Service(
        config,
        until_idle=until_idle,
        monitored=monitored,
        log=open_log(log, loud=True),
        reread=partial(load_config, file),
        phase=_say_phase,
    )
    lines = Lines(config)
    lines.start()
    gc.set_threshold(50_000, 20, 50)  # a wave of answers is no reason to look through everything
    try:
        uvloop = find_spec("uvloop") is not None
        return anyio.run(service.run, backend="asyncio", backend_options={"use_uvloop": uvloop})
    except BaseExceptionGroup as group:
        error = _first(group)
        raise told(error, config.database) or error from None
    finally:
        lines.stop()


def _say_phase(text: str) -> None:
    """What a start does now, before there is a status to read."""
    with suppress(OSError):
        sys.stdout.write(f"starting: {safe(text)}\n")
        sys.stdout.flush()


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What went wrong first: one of ours with its message, else the error itself with where it was."""
    leaves: list[BaseException] = []
    stack: list[BaseException] = [group]
    while stack:
        error = stack.pop(0)
        if isinstance(error, BaseExceptionGroup):
            stack = [*error.exceptions, *stack]
        else:
            leaves.append(error)
    ours = [leaf for leaf in leaves if isinstance(leaf, CoterieError)]
    return ours[0] if ours else leaves[0]


class Lines(threading.Thread):
    """Prints a line when something changed, from `state.db` like any other reader."""

    def __init__(self, config: Config) -> None:
        super().__init__(name="progress lines", daemon=True)
        self._database = config.database
        self._ended = threading.Event()
        self._progress = Progress(time.monotonic())

    def run(self) -> None:
        """Looks once a second until stopped; a database that is not there yet, or locked, is looked at again."""
        while not self._ended.wait(LOOK_S):
            with suppress(CoterieError, OSError, sqlite.Error, UnicodeDecodeError):
                status = self._status()
                if status.daemon.boot_id is not None and status.daemon.alive:
                    self._say(self._progress.line(status, time.monotonic()))

    def stop(self) -> None:
        """Ends the lines with one that sums up."""
        self._ended.set()
        self.join()
        with suppress(CoterieError, OSError, sqlite.Error, UnicodeDecodeError):
            self._say(self._progress.end(self._status(), time.monotonic()))

    def _say(self, line: str | None) -> None:
        if line is not None:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    def _status(self) -> Status:
        with closing(open_reader(self._database)) as connection:
            return read_status(connection, now_ms())


def _with_tui(arguments: argparse.Namespace, config: Config) -> int:
    """The daemon in a process of its own and the UI here; whoever leaves the UI says what becomes of the daemon.

    The UI is made, and so checked, before the daemon starts. The daemon holds the other end of a pipe: if this process dies of
    whatever it may be, the daemon stops in order, unless it was told to go on.
    """
    from tui.__main__ import BACKGROUND, watcher

    watch = watcher(config)
    check_places(config)
    argv = [sys.executable, "-m", "daemon", "run", "-c", str(arguments.config), "--no-tui", "--monitored"]
    argv += ["--until-idle"] if arguments.until_idle else []
    output = config.folder / "logs" / "run.txt"
    make_folder(output.parent, "the daemon's output")
    try:
        sink = output.open("wb")
    except OSError as error:
        raise UsageError(f"{output}: the daemon's output cannot be written there: {error.strerror}") from None
    with sink:
        daemon = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        chosen = watch(lambda: daemon.poll() is not None)
        if daemon.poll() is None and chosen == BACKGROUND:
            assert daemon.stdin is not None
            daemon.stdin.write(GO_ON)
            daemon.stdin.close()
            sys.stdout.write(
                f"the daemon (pid {daemon.pid}) keeps running in the background; `coterie tui` watches it, `coterie stop` ends"
                f" it; its output is in {safe(str(output))}\n"
            )
            return 0
        if daemon.poll() is None:
            _stop(daemon, config)
    except KeyboardInterrupt:
        _stop(daemon, config)
    except BaseException:
        _stop(daemon, config)
        raise
    text = output.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
    with suppress(OSError):  # the terminal may be gone
        sys.stdout.write(safe("\n".join(_last_words(text))) + "\n")
        sys.stdout.flush()
    return daemon.returncode


def _stop(daemon: subprocess.Popen[bytes], config: Config) -> None:
    """Ends the daemon in order, with lines of progress; Ctrl-C ends it at once. A closed terminal changes nothing."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    daemon.send_signal(signal.SIGINT)
    with suppress(OSError):
        sys.stdout.write(f"the daemon (pid {daemon.pid}) stops in order; Ctrl-C stops it at once\n")
    lines = Lines(config)
    lines.start()
    while True:
        try:
            daemon.wait()
            break
        except KeyboardInterrupt:
            daemon.send_signal(signal.SIGINT)
    lines.stop()


def _is_recorded_in_part(plan: GivenUp) -> bool:
    """Whether a plan's samples were given up only because a recording has some of its questions and not these."""
    return plan.count < plan.wanted and all(reason.startswith(NOT_RECORDED) for reason in plan.reasons)


def _last_words(lines: list[str]) -> list[str]:
    """What the daemon said at its end: from the tables on, or its last lines."""
    from engine.report import TERMINAL  # as in _conclude

    start = next((index for index, line in enumerate(lines) if line == TERMINAL), max(0, len(lines) - 3))
    return lines[start:]


def _cost(config: Config) -> str:
    """What all of it cost so far, and for how many samples."""
    with closing(open_reader(config.database)) as connection:
        status = read_status(connection, now_ms())
    plans = [(plan.samples or str(plan.id), plan) for plan in status.plans]
    correct, stored = count_once((key, plan.correct, plan.stored) for key, plan in plans)
    answered, _ = count_once((key, plan.answered, plan.stored) for key, plan in plans)
    price = usd_per_correct(status.plans)
    words = [count(stored)]
    if any(plan.labelled for plan in status.plans):
        words += [
            f"{count(correct)} correct",
            *([f"{per_thousand(price)} per 1,000 correct"] if price else []),
        ]
    if any(not plan.labelled for plan in status.plans):
        words.append(f"{count(answered)} answered (no gold answers)")
    return f"cost: {spending(status.spend)}\nsamples: {', '.join(words)}"


def _conclude(config: Config, ended: DaemonResult) -> int:
    """The table, where things are, and the exit code."""
    # With its libraries: a week's sampling does without.
    from daemon.cli.report import findings_of, said, write

    found = findings_of(config)
    path = write(found, config.folder / "report")
    students = f"students: {config.runs}/<run>/student\n" if found.results.runs else ""
    sys.stdout.write(safe(f"\n{said(found, path)}\n{students}{_cost(config)}\n"))
    if ended.interrupted:
        sys.stdout.write("interrupted; run the same command again to resume\n")
        return 130
    with closing(open_reader(config.database)) as connection:
        abandoned = given_up(connection)
    for line in given_up_lines(abandoned):
        sys.stdout.write(safe(line) + "\n")
    sys.stdout.flush()
    unasked = given_up_words(*in_all(each for each in abandoned if not _is_recorded_in_part(each)))
    failed = [
        f"run {key} ({student} on {scope}) failed: {reason}"
        for key, student, scope, reason in found.results.failed
    ]
    if failed or ended.troubles or unasked:
        raise JobFailed("; ".join([*ended.troubles, *failed, *([unasked] if unasked else [])]))
    return 0
