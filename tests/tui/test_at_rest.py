"""At rest: what is neither drawn nor read again while nothing has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.geometry import Region

from state.database import open_writer
from state.views.format import age, duration
from tests.tui.conftest import Driver, monitor, settled
from tests.tui.seeded import NOW
from tui import database_reader
from tui.screens.base_screen import MonitorScreen
from tui.widgets.panel import Panel
from tui.widgets.row_list import RowList
from tui.widgets.text_block import TextBlock

pytestmark = pytest.mark.anyio

SCREENS = ("1", "2", "3", "4", "5", "6")


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Counts rows and texts that are drawn, bodies that are composed, and statuses that are read."""
    counted: Counter[str] = Counter()

    def count(holder: Any, name: str, word: str) -> None:
        real = getattr(holder, name)

        def counting(*arguments: Any, **more: Any) -> Any:
            counted[word] += 1
            return real(*arguments, **more)

        monkeypatch.setattr(holder, name, counting)

    count(Panel, "_strip", "rows")
    count(RowList, "render_line", "rows")
    count(TextBlock, "render", "texts")
    count(MonitorScreen, "draw", "bodies")
    count(database_reader, "read_status", "statuses")
    yield counted


def beat(path: Path) -> None:
    """A heartbeat that says nothing new."""
    connection = open_writer(path)
    connection.execute("UPDATE pulse SET at = at + 1")
    connection.close()


async def tick(driver: Driver) -> None:
    driver.app.tick()
    await settled(driver.pilot)


async def test_nothing_is_drawn_but_the_clock_while_nothing_changes(own: Path, work: Counter[str]) -> None:
    now = [NOW]
    app = monitor(own, interval=3600.0)
    app.context.clock = lambda: now[0]
    async with app.run_test(size=(140, 40)) as pilot:
        driver = Driver(app, pilot)
        await settled(pilot)
        for screen in SCREENS:
            await driver.press(screen)
            for _ in range(3):  # what is read in parts is read to its end
                beat(own)
                await tick(driver)
            for _ in range(3):
                work.clear()
                beat(own)
                now[0] += 1
                await tick(driver)
                assert (work["rows"], work["bodies"]) == (0, 0), f"screen {screen}: {work}"
                assert work["texts"] <= 1, f"screen {screen}: {work}"
        # What has changed is drawn, and only then.
        work.clear()
        connection = open_writer(own)
        connection.execute("UPDATE event SET message = 'another one' WHERE id = (SELECT max(id) FROM event)")
        connection.close()
        await tick(driver)
        assert "another one" in driver.text and work["bodies"] == 1 and work["rows"] > 0


async def test_another_row_under_the_cursor_draws_two_rows_of_the_list(own: Path, work: Counter[str]) -> None:
    app = monitor(own, interval=3600.0)
    async with app.run_test(size=(140, 40)) as pilot:
        driver = Driver(app, pilot)
        await driver.press("4", "j")
        rows: Any = app.active_screen
        kept = dict(rows.samples._drawn[1])
        await driver.press("j")
        again = rows.samples._drawn[1]
        changed = [at for at, drawn in again.items() if kept.get(at) is not drawn]
        assert changed == [1, 2]


async def test_a_stopped_daemon_is_not_read_again_and_a_started_one_is(own: Path, work: Counter[str]) -> None:
    app = monitor(own, interval=3600.0)
    app._reader._is_alive = lambda pid: False
    async with app.run_test(size=(100, 30)) as pilot:
        driver = Driver(app, pilot)
        await tick(driver)
        work.clear()
        for _ in range(3):
            await tick(driver)
        assert work["statuses"] == 0
        beat(own)
        await tick(driver)
        assert work["statuses"] == 1


def test_ages_tick_each_second_for_a_minute_only() -> None:
    assert [age(seconds) for seconds in (None, 0, 59, 60, 119, 120, 3_599, 8_040, 400_000)] == [
        *("–", "0s", "59s", "1m", "1m", "2m", "59m", "2h14m", duration(400_000))
    ]


async def test_other_words_in_a_frame_draw_its_first_and_last_row(own: Path) -> None:
    app = monitor(own, interval=3600.0)
    async with app.run_test(size=(140, 40)) as pilot:
        driver = Driver(app, pilot)
        await settled(pilot)
        await driver.press("4")
        panel: Panel = app.screen.query_one("#samples-list", Panel)
        assert "─ words ─╮" not in driver.text  # and all its rows are drawn
        between = panel._drawn[1][5]
        panel._repaint_regions.clear()
        panel.head("other", "words", "here")
        width, height = panel.outer_size
        assert panel._repaint_regions == {Region(0, 0, width, 1), Region(0, height - 1, width, 1)}
        assert "─ words ─╮" in driver.text and "─ here ─╯" in driver.text
        assert panel._drawn[1][5] is between
