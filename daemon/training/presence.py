"""Tells the runs of a daemon that it is here: see `engine.students.orphans`."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import anyio.to_thread

from daemon.host.clock import Clock
from daemon.training.devices import Device
from daemon.training.run_process import RunProcess
from engine.config import Config
from engine.students.orphans import Owner, show_owner

EVERY_S = 10.0


class Presence:
    """What the daemon writes into the directories of its runs, and when it did last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._shown_at = float("-inf")

    def again(self) -> None:
        """What is written has changed, or there is another run."""
        self._shown_at = float("-inf")

    async def show(self, config: Config, runs: Iterable[RunProcess]) -> None:
        """Writes it where it is time."""
        now = self._clock.monotonic()
        if now - self._shown_at < EVERY_S:
            return
        self._shown_at = now
        with suppress(OSError):  # the database is gone: the runs see that too
            for run in list(runs):
                await anyio.to_thread.run_sync(show_owner, run.directory, owner_for(config, run.devices))


def owner_for(config: Config, devices: Iterable[Device]) -> Owner:
    """This daemon as the owner of a run on these devices."""
    names = ",".join(device.name for device in devices)
    return Owner.of(config.database, devices=names, orphan_hours=config.daemon.orphan_hours)
