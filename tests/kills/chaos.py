"""What else happens to a daemon at work: edits and SIGHUP, SIGTERM, a held lock, a backup, a full disk, a killed trainer.

It is the campaign of kills with more moments. After an event the daemon goes on for a while and is killed as ever, so
all promises are checked in the same way, from the teacher's ledger.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from state.database import open_reader, open_writer
from tests.daemon.site import Daemon, Teacher, coterie, count, query
from tests.kills.campaign import Campaign, Moment

DISK_MB = 256
SOME = 5
"""Answers after which an event has been survived."""


class Chaos(Campaign):
    """The lives of one seed."""

    def _moments(self) -> dict[str, tuple[int, Moment]]:
        found = super()._moments() | {
            "edit, SIGHUP": (4, self._at_hangup),
            "SIGTERM": (2, self._at_end),
            "lock": (3, self._at_lock),
            "backup": (3, self._at_backup),
        }
        if self._folder.is_mount():
            found["full disk"] = (3, self._at_full_disk)
        if self._train:
            found["trainer killed"] = (4, self._at_trainer)
        return found

    @property
    def _ending(self) -> tuple[str, ...]:
        return (*super()._ending, "SIGTERM")

    def _settings(self) -> dict[str, Any]:
        """What a person edits: the price, the limits and the pace, and what a question is worth."""
        return super()._settings() | self._edits

    def _at_hangup(self, teacher: Teacher, running: Daemon) -> bool:
        """The configuration is edited in any of its numbers, and the daemon told."""
        self._while_sampling(teacher, running)
        before = count(self._folder, "event", "kind = 'ConfigReloaded'")
        self._edits = {
            "budget": self._rng.choice((5.0, 6.0)),
            "teacher": f"concurrency = {self._rng.choice((4, 8))}\nmax_attempts = {self._rng.randint(4, 9)}",
            "plan": f'teachers = ["school"]\nweight = {self._rng.choice((1.0, 3.0))}',
            "drain": self._rng.choice((5, 20)),
        }
        self._configure(teacher)
        running.process.send_signal(signal.SIGHUP)
        return self._until(lambda: count(self._folder, "event", "kind = 'ConfigReloaded'") > before)

    def _at_end(self, teacher: Teacher, running: Daemon) -> bool:
        """It is ended in order, and comes to its end."""
        self._while_sampling(teacher, running)
        running.terminate()
        return self._until(lambda: running.process.poll() is not None)

    def _at_lock(self, teacher: Teacher, running: Daemon) -> bool:
        """Another process holds the database until what was in flight has come."""
        self._while_sampling(teacher, running)
        with closing(open_writer(self._folder / "state.db")) as other:
            if not self._until(lambda: _begins(other)):
                return False
            quiet = self._quiet(teacher)
            other.execute("ROLLBACK")
        return quiet and self._goes_on(teacher)

    def _at_backup(self, teacher: Teacher, running: Daemon) -> bool:
        """`coterie backup` while it samples; the copy is whole and no older than what was stored before."""
        self._while_sampling(teacher, running)
        (before,) = query(self._folder, "SELECT count(*) FROM completion")[0]
        copy = self._folder / "copy.db"
        copy.unlink(missing_ok=True)
        made = coterie(self._folder, "backup", "-o", str(copy))
        assert made.returncode == 0, made.stderr
        with closing(open_reader(copy)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("SELECT count(*) FROM completion").fetchone()[0] >= before
        copy.unlink()
        return True

    def _at_full_disk(self, teacher: Teacher, running: Daemon) -> bool:
        """The disk has no room until nothing more is sent; then it has some again."""
        self._while_sampling(teacher, running)
        filler = self._folder / "filler"
        try:
            with filler.open("wb", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(1 << 20))
            with filler.open("ab", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(4096))
            quiet = self._quiet(teacher)
        finally:
            filler.unlink()
        return quiet and self._goes_on(teacher)

    def _at_trainer(self, teacher: Teacher, running: Daemon) -> bool:
        """A training process is killed; the run is tried again."""
        if not self._until(lambda: bool(self._trainers()), 20.0):
            return False
        for pid in self._trainers():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return True

    def _trainers(self) -> list[int]:
        return [
            pid
            for (pid,) in query(
                self._folder,
                "SELECT pid FROM run WHERE state IN ('starting', 'training', 'evaluating') AND pid > 0",
            )
        ]

    def _quiet(self, teacher: Teacher) -> bool:
        """Whether the teacher is asked nothing more for a while: the daemon waits for its database."""
        last, looks = self._entries(teacher), 0

        def look() -> bool:
            nonlocal last, looks
            now = self._entries(teacher)
            last, looks = now, looks + 1 if now == last else 0
            return looks >= 200

        return self._until(look)

    def _goes_on(self, teacher: Teacher) -> bool:
        """Whether it asks again."""
        wanted = self._entries(teacher) + SOME
        return self._until(lambda: self._entries(teacher) >= wanted or self._is_done())


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A file system of its own at a folder; whether there is one: it takes the root user. What failed is copied out of it."""
    mount = shutil.which("mount")
    options = ["-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(folder)]
    mounted = (
        mount is not None
        and not subprocess.run([mount, *options], check=False, capture_output=True).returncode
    )
    kept = folder.with_name(f"{folder.name}-kept")
    try:
        yield mounted
    except BaseException:
        if mounted:
            shutil.copytree(folder, kept)
        raise
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", folder], check=True)
            if kept.exists():
                folder.rmdir()
                kept.rename(folder)


def _begins(connection: Any) -> bool:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except Exception:  # the daemon writes just now
        return False
    return True
