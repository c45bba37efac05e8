"""What is drawn and read when the cursor moves: one frame, and the row before anything else."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.tui.conftest import Driver, running
from tui import app as application
from tui.app import GC_THRESHOLDS, tune_garbage_collector
from tui.screens import sample_search
from tui.screens.sample_search import MAX_WINDOW, QUICK_S, SLOW_S, next_window

pytestmark = pytest.mark.anyio


def drawn(driver: Driver) -> list[str]:
    """What the terminal shows after each frame from now on."""
    frames: list[str] = []
    app: Any = driver.app
    display = app._display

    def seen(screen: Any, renderable: Any) -> None:
        display(screen, renderable)
        if renderable is not None:
            frames.append(driver.text)

    app._display = seen
    return frames


async def test_a_jump_is_one_frame_with_its_rows_and_its_sample(
    seeded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "HOLD_S", 60.0)  # however slow the machine is
    async with running(seeded, (140, 40)) as driver:
        await driver.press("4")
        frames = drawn(driver)
        screen: Any = driver.app.active_screen
        screen.samples.move(300)
        await driver.read()
        assert screen.chosen.row.id == 210
        row = "▌✓  There are 39 apples"
        assert row in frames[-1]
        for frame in frames:  # the row, the way to it and its text come together, or none of them
            there = row in frame
            assert there == ("› sample 210" in frame) == ("gsm8k · q39" in frame)
            assert "│ …" not in frame and "▌…" not in frame


async def test_a_reading_that_takes_long_does_not_hold_the_cursor(
    seeded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()
    read_rows = sample_search.sample_rows
    async with running(seeded, (140, 40)) as driver:
        await driver.press("4")
        monkeypatch.setattr(
            sample_search, "sample_rows", lambda *given: let_go.wait(60) and read_rows(*given)
        )
        try:
            screen: Any = driver.app.active_screen
            screen.samples.move(300)
            for _ in range(600):
                await driver.pilot.pause(0.02)
                if "▌…" in driver.text:
                    break
            assert "▌…" in driver.text  # the row is on its way, and it says so
        finally:
            let_go.set()
        await driver.read()
        assert "▌✓  There are 39 apples" in driver.text


async def test_a_key_is_answered_before_the_search_goes_on(
    seeded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[object] = []
    look, detail = sample_search.matching_ids, sample_search.sample_detail
    async with running(seeded, (140, 40)) as driver:
        await driver.press("4", "slash", *"v:wrong", "enter")
        monkeypatch.setattr(
            sample_search, "matching_ids", lambda *given: order.append("search") or look(*given)
        )
        monkeypatch.setattr(
            sample_search, "sample_detail", lambda *given: order.append(given[1]) or detail(*given)
        )
        screen: Any = driver.app.active_screen
        screen.samples.move(3)
        await driver.press("?", "escape")
        sample = screen.samples.selected
        assert order[0] == sample
        assert "search" in order  # and then on


def test_windows_grow_and_shrink_with_the_time_they_take() -> None:
    assert next_window(5_000, QUICK_S / 2, None) == 10_000
    assert next_window(MAX_WINDOW, QUICK_S / 2, None) == MAX_WINDOW
    assert next_window(5_000, (QUICK_S + SLOW_S) / 2, None) == 5_000
    assert next_window(5_000, 2 * SLOW_S, None) == 2_500
    assert next_window(1, 2 * SLOW_S, None) == 1
    assert next_window(5_000, 0.05, (10_000, 0.1)) == 2_500  # every row is looked at


def test_a_statement_with_a_price_of_its_own_looks_at_more() -> None:
    assert next_window(2_500, 0.17, (5_000, 0.17)) == 10_000
    # Measured for `he*` that a million samples have: 170 ms, and 0.6 µs an id.
    window, before, statements, looked = 5_000, None, 0, 0
    while looked < 1_000_000:
        spent = 0.17 + 0.6e-6 * window
        window, before, looked = next_window(window, spent, before), (window, spent), looked + window
        statements += 1
    assert statements < 12


def test_garbage_is_looked_for_seldom() -> None:
    before = gc.get_threshold()
    try:
        tune_garbage_collector()
        assert gc.get_freeze_count() > 1_000
        assert gc.get_threshold() == GC_THRESHOLDS
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
