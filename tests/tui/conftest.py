"""A seeded database, a frozen clock, and a pilot that waits until everything read is drawn."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.command import CommandPalette
from textual.events import Key
from textual.keys import _character_to_key
from textual.pilot import Pilot

from tests.tui.seeded import NOW, PID, seed
from tui.app import Monitor, make_app


@pytest.fixture(autouse=True, scope="session")
def utc() -> Iterator[None]:
    """Clocks on screens are local: everywhere the same here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that is only read."""
    path = tmp_path_factory.mktemp("seeded") / "state.db"
    seed(path)
    log = path.parent / "runs" / "3" / "log.txt"
    log.parent.mkdir(parents=True)
    log.write_text("loading\rloaded\nstep 1 \x1b]0;owned\x07 [/foo]\nstep 2\n")
    return path


@pytest.fixture
def own(seeded: Path, tmp_path: Path) -> Path:
    """A database of the test's own."""
    return Path(shutil.copy(seeded, tmp_path / "state.db"))


def monitor(path: Path, **more: Any) -> Monitor:
    given = {"clock": lambda: NOW, "alive": lambda pid: pid == PID, "place": "gpu7:~/math/state.db"}
    return make_app(path, **{**given, **more})


async def settled(pilot: Pilot[Any]) -> None:
    """Until nothing is read any more and what was read is drawn."""
    app: Any = pilot.app
    quiet = 0
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        await pilot.pause(
            0
        )  # handles every message; without a number it waits for an idle process, 20 ms a time
        await app.workers.wait_for_complete()
        quiet = 0 if app.busy or app.holding else quiet + 1
        if quiet == 3:
            return
        await asyncio.sleep(0.005 if quiet == 0 else 0.0)
    raise AssertionError(f"the monitor never comes to rest (busy {app.busy}, holding {app.holding})")


@asynccontextmanager
async def running(path: Path, size: tuple[int, int] = (80, 24), **more: Any) -> AsyncIterator[Driver]:
    app = monitor(path, **more)
    async with app.run_test(size=size) as pilot:
        driver = Driver(app, pilot)
        await settled(pilot)
        yield driver


class Driver:
    """Presses keys and says what the screen shows."""

    def __init__(self, app: Monitor, pilot: Pilot[Any]) -> None:
        self.app, self.pilot = app, pilot

    async def press(self, *keys: str) -> Driver:
        for key in keys:
            if isinstance(self.app.screen, CommandPalette):  # it searches by timers of its own
                await self.pilot.press(key)
            else:
                self.send(key)
            await settled(self.pilot)
        return self

    def send(self, key: str) -> None:
        """Only sends the key: `press` and a pilot wait as well."""
        name = _character_to_key(key) if len(key) == 1 and not key.isalnum() else key
        self.app.post_message(Key(name, key if len(key) == 1 else " " if key == "space" else None))

    async def read(self) -> Driver:
        """As a tick does."""
        self.app.read_now()
        await settled(self.pilot)
        return self

    @property
    def text(self) -> str:
        """The screen, line by line."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)

    @property
    def notices(self) -> list[str]:
        return [notice.message for notice in self.app._notifications]
