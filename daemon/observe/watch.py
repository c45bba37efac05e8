"""Looks at what runs out: budgets and disks. Emits each warning once, and again only after it was over."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import anyio.to_thread
from anyio.abc import TaskStatus

from daemon.events import BudgetNear, Bus, DiskLow
from daemon.host.clock import Clock
from daemon.sampling.budget import Budget
from engine.config import Config

LOOK_S = 10.0
OVER = 1.25
"""A disk is no longer low once it has this many times the threshold free."""


class Watch:
    """Looks every ten seconds."""

    def __init__(self, config: Callable[[], Config], *, budget: Budget, bus: Bus, clock: Clock) -> None:
        self._config = config
        self._budget = budget
        self._bus = bus
        self._clock = clock
        self._near: dict[str, int] = {}  # caps of the budgets that were reported, by their description
        self._low: set[Path] = set()

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Looks until cancelled."""
        task_status.started()
        while True:
            self.look_at_budgets()
            await self._look_at_disks()
            await self._clock.sleep(LOOK_S)

    def look_at_budgets(self) -> None:
        """Reports each budget once that is used to the configured share; again after its cap was changed."""
        share = self._config().notify.budget_share
        for account in self._budget.accounts():
            cap = account.cap
            if not cap or account.used < share * cap:
                self._near.pop(account.words, None)
            elif self._near.get(account.words) != cap:
                self._near[account.words] = cap
                self._bus.emit(
                    BudgetNear(which=account.words, share=account.used / cap, figures=account.figures())
                )

    async def _look_at_disks(self) -> None:
        config = self._config()
        least = config.notify.disk_gb
        for path in dict.fromkeys((config.database.parent, config.runs)):
            free = await anyio.to_thread.run_sync(_free_gb, path)
            if free is None:
                continue
            if free >= OVER * least:
                self._low.discard(path)
            elif free < least and path not in self._low:
                self._low.add(path)
                self._bus.emit(DiskLow(path=str(path), free_gb=free))


def _free_gb(path: Path) -> float | None:
    try:
        return shutil.disk_usage(next(each for each in (path, *path.parents) if each.is_dir())).free / 1e9
    except OSError:
        return None
