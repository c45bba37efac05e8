from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from state.database import open_writer
from tests.tui.conftest import Driver, running, settled
from tests.tui.seeded import NOW
from tui.screens import sample_search
from tui.widgets.sample_list import SampleList

pytestmark = pytest.mark.anyio


def add(path: Path, first: int, number: int, *, verdict: int = 1) -> None:
    """More samples, as the daemon would store them."""
    connection = open_writer(path)
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO sample SELECT ?, plan_id, task_id, question_id, split, teacher_id, 'more', ?, 'stored', attempts,"
        " unknowns, 'words', answer, ?, extracted, '[]', finish_reason, 1, 1, 1, NULL, created_at, stored_at, NULL"
        " FROM sample WHERE id = 1",
        [(first + n, first + n, verdict) for n in range(number)],
    )
    connection.execute("UPDATE pulse SET at = ?", (NOW - 1_000,))
    connection.execute("COMMIT")
    connection.close()


def listed(driver: Driver) -> tuple[int, ...]:
    """The ids of the rows on the screen."""
    screen: Any = driver.app.active_screen
    return tuple(screen.samples.visible_ids())


async def test_at_the_top_it_follows_the_newest(own: Path) -> None:
    async with running(own) as driver:
        await driver.press("4")
        assert "▌○  Take the last" in driver.text
        add(own, 511, 40)
        await driver.read()
        assert "▌✓  A coin is heads" in driver.text and "sample 550" in driver.text


async def test_elsewhere_the_screen_stands_still_when_samples_come_in(own: Path) -> None:
    async with running(own) as driver:
        await driver.press("4", *("pagedown",) * 3)
        before = listed(driver)
        assert len(before) == 18
        add(own, 511, 1_000)
        await driver.read()
        assert listed(driver) == before
        await driver.press("g")
        assert "sample 1,510" in driver.text


async def test_an_open_sample_is_seen_to_be_stored(own: Path) -> None:
    async with running(own) as driver:
        await driver.press("4")
        assert "▌○ " in driver.text and "510 " in driver.text
        connection = open_writer(own)
        connection.execute("UPDATE sample SET state = 'stored', verdict = 0 WHERE id = 510")
        connection.close()
        await driver.read()
        assert "▌✗ " in driver.text and "✗ wrong" in driver.text


async def test_a_filter_goes_on_where_it_stopped_and_takes_in_what_comes(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_search, "SEARCH_S", 0.0)
    monkeypatch.setattr(sample_search, "WINDOW", 100)
    monkeypatch.setattr(sample_search, "YOUNG", 50)
    async with running(own) as driver:
        await driver.press("4", "slash", *"v:wrong", "enter")
        screen: Any = driver.app.active_screen
        expected = list(screen.samples.found)
        connection = open_writer(own)
        found = connection.execute("SELECT id FROM sample WHERE verdict = 0 ORDER BY id DESC").fetchall()
        assert expected == [row[0] for row in found]
        connection.execute("UPDATE sample SET verdict = 0 WHERE id = 506")  # graded anew, among the young
        connection.close()
        add(own, 511, 70, verdict=0)
        await driver.read()
        assert list(screen.samples.found) == [*range(580, 510, -1), *sorted({*expected, 506}, reverse=True)]


async def test_a_filter_begins_anew_when_very_much_came_in(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_search, "FAR", 100)
    async with running(own) as driver:
        await driver.press("4", "slash", *"v:wrong", "enter")
        screen: Any = driver.app.active_screen
        before = list(screen.samples.found)
        add(own, 511, 300, verdict=0)
        await driver.read()
        assert list(screen.samples.found) == [*range(810, 510, -1), *before]


async def test_a_wide_list_shows_plan_cost_log_probability_and_notes(own: Path) -> None:
    connection = open_writer(own)
    (attempt, mean), *_ = connection.execute(
        "SELECT id, -0.37 FROM attempt WHERE sample_id = 500 AND turn = 0 AND outcome = 'ok'"
    ).fetchall()
    connection.execute("INSERT OR REPLACE INTO logprob VALUES (?, 3, ?, x'00')", (attempt, mean))
    connection.execute(
        "INSERT INTO note SELECT NULL, question_id, id, 'gold is wrong', '', 1 FROM sample WHERE id = 500"
    )
    connection.execute("UPDATE sample SET cost_micros = 12345 WHERE id = 500")
    connection.close()
    async with running(own, (280, 40)) as driver:
        await driver.press("4")
        heading = next(line for line in driver.text.splitlines() if "verdict" in line and "question" in line)
        assert heading.split("│")[1].split() == [
            *("verdict", "id", "task", "question", "answer", "gold", "tokens", "cost", "log", "p"),
            *("teacher", "plan", "age"),
        ]
        row = next(line for line in driver.text.splitlines() if " 500 " in line)
        assert "⚑" in row and "-0.37" in row and "diverse" in row and "$0.0123" in row
        other = next(line for line in driver.text.splitlines() if " 501 " in line)
        assert "⚑" not in other and "–" in other


async def test_a_jump_reads_what_is_seen_and_scrolling_reads_ahead(own: Path) -> None:
    async with running(own) as driver:
        await driver.press("4")
        screen: Any = driver.app.active_screen
        samples: SampleList = screen.samples
        assert set(samples._known) == set(listed(driver))
        samples.move(300)
        await settled(driver.pilot)
        assert len(samples._known) == 2 * len(listed(driver))
        samples.move(samples.top + samples.page_rows)  # one row further
        await settled(driver.pilot)
        assert len(samples._known) > 2 * len(listed(driver)) + 50


async def test_gaps_in_the_ids_are_shown_as_such(own: Path) -> None:
    connection = open_writer(own)
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("DELETE FROM sample WHERE id = 509")
    connection.close()
    async with running(own) as driver:
        await driver.press("4", "j")
        assert "▌–  no sample 509" in driver.text


async def test_random_order_is_the_same_for_a_seed_and_stays_when_samples_come_in(own: Path) -> None:
    async with running(own) as driver:
        await driver.press("4", "r")
        screen: Any = driver.app.active_screen
        first = listed(driver)
        assert sorted(first) != list(range(min(first), min(first) + len(first)))
        await driver.press("r")
        assert listed(driver) != first and driver.notices[-1] == "random order 1"
        add(own, 511, 40)
        second = listed(driver)
        await driver.read()
        assert listed(driver) == second
        await driver.press("s", "r", "n")
        assert screen.chosen.row.verdict == 0 or screen.chosen.row.state == "failed"
        everything = {screen.samples.id_at(index) for index in range(550)}
        assert everything == set(range(1, 551))


async def test_what_a_filter_finds_is_shuffled_once_it_is_complete(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_search, "SEARCH_S", 0.0)
    monkeypatch.setattr(sample_search, "WINDOW", 100)
    async with running(own) as driver:
        await driver.press("4", "r", "slash", *"v:wrong", "enter")
        screen: Any = driver.app.active_screen
        samples = screen.samples
        assert samples.order.shuffled == samples.total() > 20
        shown = [samples.id_at(index) for index in range(samples.total())]
        assert sorted(shown, reverse=True) == list(samples.found) != shown
