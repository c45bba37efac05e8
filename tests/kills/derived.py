"""SIGKILL in each phase of derived runs: `python -m tests.kills.derived [FOLDER]`. Prints a table; ends with 1 if a byte differs.

A real daemon trains three small students, and makes an ensemble and a merge of two. Then both are made again and killed: by the daemon while they
are queued and while they are evaluated, and as processes in each phase.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from engine.config.students import TrainingConfig
from engine.students.launch import rank_commands
from engine.students.progress_file import FILE, read_events
from state.database import open_writer
from tests.daemon.site import ENV, query

CONFIG = """\
[daemon]
devices = ["cpu:0"]
[teachers.practice]
builtin = true
model = "practice-large"
[tasks.coins]
source = "builtin:coin_flip"
answer = "yes_no"
train = 30
dev = 4
test = 20
[[plans]]
name = "p"
rationales = 1
[[students]]
name = "warm"
training = { steps = 8 }
[[students]]
name = "s1"
base = "student:warm"
training = { steps = 6, seed = 1 }
[[students]]
name = "s2"
base = "student:warm"
training = { steps = 6, seed = 2 }
[[derived]]
name = "both"
make = "ensemble"
of = ["s1", "s2"]
evaluation = { max_new_tokens = 6, batch_size = 8 }
[[derived]]
name = "mean"
make = "merge"
of = ["s1", "s2"]
evaluation = { max_new_tokens = 6, batch_size = 8 }
"""
PHASES = ("making", "exporting", "evaluating")


def content(student: Path) -> dict[str, str]:
    """The files of a student with their digests."""
    return {
        str(path.relative_to(student)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(student.rglob("*"))
        if path.is_file()
    }


def derived(folder: Path) -> dict[str, int]:
    """The derived runs by kind."""
    return dict(query(folder, "SELECT kind, id FROM run WHERE kind <> 'train' ORDER BY id"))


def start(folder: Path) -> subprocess.Popen[bytes]:
    """A daemon that works until nothing is left."""
    log = (folder / "daemon.log").open("ab")
    argv = [sys.executable, "-m", "daemon", "run", "--until-idle"]
    return subprocess.Popen(argv, cwd=folder, env=ENV, stdout=log, stderr=log, start_new_session=True)


def again(folder: Path) -> None:
    """Makes the derived runs queued ones without a directory, as they were once."""
    for run in derived(folder).values():
        shutil.rmtree(folder / "runs" / str(run), ignore_errors=True)
        with closing(open_writer(folder / "state.db")) as connection:
            for table in ("prediction", "evaluation"):
                connection.execute(f"DELETE FROM {table} WHERE run_id = ?", (run,))
            connection.execute(
                "UPDATE run SET state = 'queued', started_at = NULL, ended_at = NULL, pid = NULL, tries = 0,"
                " progress_offset = 0, phase = '' WHERE id = ?",
                (run,),
            )
            connection.commit()


def last_phase(directory: Path) -> str:
    """The phase that a run reported last; "done" if it is."""
    found, _ = read_events(directory / FILE)
    phases = [
        event.get("phase", event["event"])
        for event in found
        if event["event"] in ("phase", "done", "starting")
    ]
    return str(phases[-1]) if phases else ""


def kill_in(phase: str, directory: Path, process: subprocess.Popen[bytes]) -> str:
    """Kills a process while its run is in a phase; returns the phase that it died in."""
    while last_phase(directory) not in (phase, "done") and process.poll() is None:
        time.sleep(0.0005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return last_phase(directory)


def trained(directory: Path) -> subprocess.Popen[bytes]:
    """The process of a run, as the daemon starts it."""
    [launch] = rank_commands(directory, TrainingConfig(), device="cpu", threads=1)
    log = (directory / "log.txt").open("ab")
    return subprocess.Popen(launch.argv, env=dict(launch.env), stdout=log, stderr=log, start_new_session=True)


def say(line: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def words(same: bool) -> str:
    """Whether the students were the same."""
    return "same bytes" if same else "DIFFERENT"


def main() -> int:
    """The table, and whether all students were the same."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="coterie-derived-"))
    if not (folder / "config.toml").exists():
        (folder / "config.toml").write_text(CONFIG)
    assert start(folder).wait() == 0, (folder / "daemon.log").read_text()[-2000:]
    runs = derived(folder)
    place = {kind: folder / "runs" / str(run) for kind, run in runs.items()}
    expected = {kind: content(place[kind] / "student") for kind in runs}
    for kind in runs:  # process by process, in a copy that has only what the daemon wrote
        for phase in PHASES:
            shutil.rmtree(copy := folder / "copies" / f"{kind}-{phase}", ignore_errors=True)
            copy.mkdir(parents=True)
            for name in ("spec.json", "owner.json", "manifest.jsonl", "questions.jsonl"):
                shutil.copy2(place[kind] / name, copy)
            died = kill_in(phase, copy, trained(copy))
            code = trained(copy).wait()
            same = content(copy / "student") == expected[kind]
            say(f"{kind:9} process killed in {died:10} resumed: exit {code}, {words(same)}")
            if not same or code:
                return 1
    for when in ("queued", "evaluating"):
        again(folder)
        daemon = start(folder)
        if when == "queued":
            while not query(folder, "SELECT 1 FROM boot WHERE pid = ?", daemon.pid):
                time.sleep(0.01)
        else:
            while last_phase(place["merge"]) != when:
                time.sleep(0.001)
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.wait()
        states = [
            state for (state,) in query(folder, "SELECT state FROM run WHERE kind <> 'train' ORDER BY id")
        ]
        for (pid,) in query(folder, "SELECT pid FROM run WHERE kind <> 'train' AND pid IS NOT NULL"):
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        code = start(folder).wait()
        same = all(content(place[kind] / "student") == expected[kind] for kind in runs)
        say(
            f"daemon and processes killed while {when} ({', '.join(states)}) next: exit {code}, {words(same)}"
        )
        if not same or code:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
