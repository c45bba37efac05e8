"""What a user does to the files: edits the configuration, copies the database, puts the copy back."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import anyio

from state.health import copy_to
from tests.simulation.edits import EDITED, Edit
from tests.simulation.fault_server import FaultServer
from tests.simulation.invariants import History
from tests.simulation.scenario import Scenario

START = 1000.0
"""When a simulation begins, in virtual seconds."""
OFTEN = 0.7
"""What is due happens at the next start as often as this."""

BY_SIGHUP, BEFORE = "by SIGHUP", "before a start"
PUT_BACK = "the database is put back"
REFUSED = "an edit is refused"
FULL = "a commit meets a full disk"
FULL_RELOAD = "a reload meets a full disk"
KILLED_RELOAD = "a kill falls into a reload"
LOCKED_RELOAD = "a reload meets a locked database"
DISASTERS = (PUT_BACK, REFUSED, FULL, FULL_RELOAD, KILLED_RELOAD)


def kinds(seeds: int) -> list[str]:
    """The changes that a campaign of this many seeds has to show."""
    found = [*DISASTERS] if seeds >= 200 else []
    if seeds >= 1000:
        found += [f"{field} {how}" for field in EDITED for how in (BY_SIGHUP, BEFORE)]
    return found


class User:
    """One scenario's person, with what is still to be done."""

    def __init__(
        self, scenario: Scenario, folder: Path, rng: random.Random, history: History, seen: Counter[str]
    ) -> None:
        self.edits = list(scenario.edits)
        self.backup: Path | None = None
        """A copy of the database that is to be put back."""
        self._copied = False
        self._scenario = scenario
        self._folder = folder
        self._rng = rng
        self._history = history
        self._seen = seen

    def between(self, servers: Mapping[str, FaultServer]) -> None:
        """While no daemon runs: the copy is put back, the configuration is edited."""
        if self.backup is not None and self._rng.random() < OFTEN:
            database = self._scenario.config(self._folder).database
            self._history.restored(self.backup, servers)
            for suffix in ("-wal", "-shm"):
                database.with_name(database.name + suffix).unlink(missing_ok=True)
            self.backup.replace(database)
            self.backup = None
            self._seen[PUT_BACK] += 1
        while self.edits and self._rng.random() < OFTEN:
            self.edit(self.edits.pop(0), BEFORE)

    def edit(self, made: Edit, how: str) -> bool:
        """Edits the file; whether it is another valid one."""
        if not self._scenario.edit(made):
            self._seen[REFUSED] += 1
            return False
        self._seen[f"{made.what} {how}"] += 1
        self._history.edited = True
        return True

    async def copy(self, database: Path, now: Callable[[], float]) -> None:
        """Copies the database at its time, while the daemon works."""
        at = self._scenario.backup_at
        if at is None or self._copied:
            return
        await anyio.sleep(max(0.0, START + at - now()))
        self.backup = self._folder / "copy.db"
        copy_to(database, self.backup)
        self._copied = True
