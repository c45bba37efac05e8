"""SIGKILL in each phase of derived runs: `python -m tests.kills.derived [FOLDER [PHASE …]]`. Prints a table; ends with 1 if a byte differs.

A real daemon trains small students, and an operation of each kind makes a student from them. Then all of these are made again, once for
each phase: in it the process of the run, the daemon, or both are killed, in turn. What was killed is started again, as a service
manager would; the students must be the same to the byte. In a folder that has them already, it goes on with the phases that are named.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from engine.decomposition import write_steps
from engine.students.operations import OPERATIONS
from engine.students.progress_file import FILE, read_events
from engine.tasks.builtin import BUILTIN_TASKS
from engine.tasks.procedural import trace
from engine.tasks.procedural.task import generate
from state.database import open_writer
from tests.daemon.site import Daemon, query

OF_BOTH = 'of = ["s1", "s2"]'
MADE = {
    "ensemble": OF_BOTH,
    "merge": f'{OF_BOTH}\nmerge = {{ rule = "regmean", alpha = [0.9, 0.5] }}',
    "prune": 'of = ["warm"]\nprune = { share = [0.25, 0.5] }',
    "prompt": 'of = ["warm"]\nprompt = { tokens = 3, candidates = 4, steps = 6, batch = 4 }',
    "pair": 'of = ["asker", "solver"]',
}
"""A derived student of each operation."""
STUDENTS = {
    "warm": 'training = { steps = 8 }\nmethod = "fine-tune-golden"',
    "s1": 'base = "student:warm"\ntraining = { steps = 6, seed = 1 }\nmethod = "fine-tune-golden"',
    "s2": 'base = "student:warm"\ntraining = { steps = 6, seed = 2 }\nmethod = "fine-tune-golden"',
    "asker": 'training = { steps = 6 }\nmethod = "socratic-golden"\npart = "ask"',
    "solver": 'training = { steps = 6 }\nmethod = "socratic-golden"\npart = "solve"',
}
HEAD = """\
[daemon]
devices = ["cpu:0"]
max_run_tries = 99
[tasks.arithmetic]
source = "arithmetic.jsonl"
answer = "number"
"""
EVALUATION = "evaluation = { max_new_tokens = 6, batch_size = 8 }"
LONGEST_S = 1800.0
SIZES = {"train": 30, "dev": 4, "test": 12}

WAITING, LOADING, CARD = "waiting", "loading", "card"
PHASES = (WAITING, LOADING, "making", "exporting", "evaluating", CARD)
VICTIMS = ("process", "daemon", "both")


def write_config(folder: Path) -> None:
    """A configuration with students of all kinds, on problems whose solutions are in the data."""
    task = BUILTIN_TASKS["multi_step_arithmetic"]
    rows = []
    for each in generate(task, seed=0, sizes=SIZES, options=task.options()):
        found = task.find(each.text)
        assert found is not None
        lines = write_steps(task.renderer.steps(trace(found.problem)))
        rows.append({"question": each.text, "answer": each.answer, "rationale": lines, "split": each.split})
    (folder / "arithmetic.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tables = [HEAD]
    tables += [
        f'[[students]]\nname = "{name}"\n{EVALUATION}\n{settings}\n' for name, settings in STUDENTS.items()
    ]
    tables += [
        f'[[derived]]\nname = "{make}"\nmake = "{make}"\n{EVALUATION}\n{settings}\n'
        for make, settings in MADE.items()
    ]
    (folder / "config.toml").write_text("".join(tables))


def content(student: Path) -> dict[str, str]:
    """The files of a student with their digests."""
    return {
        str(path.relative_to(student)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(student.rglob("*"))
        if path.is_file()
    }


class Site:
    """A folder with a daemon that works until nothing is left, and the derived runs of its database by kind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemon: Daemon | None = None
        self.runs: dict[str, int] = {}

    def start(self) -> None:
        """Starts a daemon."""
        self.daemon = Daemon(self.folder, "--until-idle")

    @property
    def alive(self) -> bool:
        """Whether there is a daemon."""
        return self.daemon is not None and self.daemon.process.poll() is None

    def finish(self) -> None:
        """Waits until nothing is left.

        Raises:
            AssertionError: the daemon does not end well.
        """
        assert self.daemon is not None
        code = self.daemon.wait(LONGEST_S)
        assert code == 0, f"exit {code}\n{self.daemon.output()[-2000:]}"
        self.look()

    def look(self) -> None:
        """Reads which runs there are."""
        self.runs = dict(query(self.folder, "SELECT kind, id FROM run WHERE kind <> 'train' ORDER BY id"))

    def directory(self, kind: str) -> Path:
        """Of a run."""
        return self.folder / "runs" / str(self.runs[kind])

    def state(self, kind: str) -> tuple[str, int | None]:
        """Of a run: state and process."""
        [(state, pid)] = query(self.folder, "SELECT state, pid FROM run WHERE id = ?", self.runs[kind])
        return state, pid

    def phase(self, kind: str) -> str:
        """Where a run is; "done" if it is."""
        directory = self.directory(kind)
        if (directory / "student").exists():
            return "done"
        if (directory / "evaluation.json").exists():
            return CARD
        if not (directory / FILE).exists():
            return WAITING
        found, _ = read_events(directory / FILE)
        told = [each for each in found if each["event"] in ("phase", "starting")]
        if not told:
            return WAITING
        return str(told[-1]["phase"]) if told[-1]["event"] == "phase" else LOADING

    def again(self) -> None:
        """Makes all derived runs queued ones without a directory, as they were once."""
        for run in self.runs.values():
            shutil.rmtree(self.folder / "runs" / str(run), ignore_errors=True)
        with closing(open_writer(self.folder / "state.db")) as connection:
            for table in ("prediction", "evaluation"):
                connection.execute(
                    f"DELETE FROM {table} WHERE run_id IN (SELECT id FROM run WHERE kind <> 'train')"
                )
            connection.execute(
                "UPDATE run SET state = 'queued', started_at = NULL, ended_at = NULL, pid = NULL, tries = 0,"
                " progress_offset = 0, phase = '' WHERE kind <> 'train'"
            )
            connection.commit()

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits, as long as there is a daemon."""
        while self.alive and not condition():
            time.sleep(0.0002)

    def kill(self, kind: str, phase: str, victim: str) -> str:
        """Kills in a phase of a run; returns what it hit: the phase, and what had a process."""
        daemon = self.daemon
        assert daemon is not None
        if phase == WAITING:
            pid = daemon.process.pid
            self.until(lambda: bool(query(self.folder, "SELECT 1 FROM boot WHERE pid = ?", pid)))
        else:
            self.until(lambda: self.phase(kind) in (phase, "done"))
        [*pids] = self._processes() if phase == WAITING else filter(None, [self.state(kind)[1]])
        hit = self.phase(kind)
        if victim in ("daemon", "both"):
            daemon.kill()
        if victim in ("process", "both"):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
        return hit if victim == "daemon" or pids else f"{hit} (no process)"

    def _processes(self) -> list[int]:
        rows = query(self.folder, "SELECT pid FROM run WHERE pid IS NOT NULL AND state <> 'done'")
        return [pid for (pid,) in rows]


def say(line: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def undisturbed(site: Site) -> dict[str, dict[str, str]]:
    """The students as they are without a kill, by kind."""
    known = site.folder / "expected.json"
    if not known.exists():
        write_config(site.folder)
        site.start()
        site.finish()
        known.write_text(json.dumps({kind: content(site.directory(kind) / "student") for kind in site.runs}))
    site.look()
    found: dict[str, dict[str, str]] = json.loads(known.read_text())
    return found


def main(argv: list[str] | None = None) -> int:
    """The table, and whether all students were the same."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills.derived")
    parser.add_argument("folder", nargs="?", help="kept; students that are in it are not made again")
    parser.add_argument("phases", nargs="*", metavar="PHASE", help=f"all of {', '.join(PHASES)}")
    options = parser.parse_args(argv)
    if unknown := [phase for phase in options.phases if phase not in PHASES]:
        parser.error(f"no phase {unknown[0]!r}; there are {', '.join(PHASES)}")
    folder, phases = options.folder or tempfile.mkdtemp(prefix="coterie-derived-"), options.phases or PHASES
    assert set(MADE) == set(OPERATIONS), "each operation is killed"
    site = Site(Path(folder))
    expected = undisturbed(site)
    assert set(expected) == set(MADE)
    hits: Counter[str] = Counter()
    for phase in phases:
        row = PHASES.index(phase)
        site.again()
        site.start()
        for column, kind in enumerate(site.runs):
            victim = VICTIMS[(row + column) % len(VICTIMS)]
            hit = site.kill(kind, phase, victim)
            hits[hit] += 1
            say(f"{kind:9} {phase:10} killed: {victim:8} hit: {hit}")
            if not site.alive:
                site.start()
        site.finish()
        found = {kind: content(site.directory(kind) / "student") for kind in site.runs}
        differ = [kind for kind in expected if found[kind] != expected[kind]]
        say(f"all of them {phase}: exit 0, {f'DIFFERENT: {differ}' if differ else 'same bytes'}")
        if differ:
            return 1
    say(f"hit: {', '.join(f'{count} {name}' for name, count in hits.items())}")
    missed = [phase for phase in phases if not hits[phase]]
    if missed:
        say(f"never hit: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
