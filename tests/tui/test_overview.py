"""What the overview says at each stage of a run, and where a click leads."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from state.database import open_writer
from tests.tui.conftest import Driver, monitor, running
from tests.tui.real_sized import Stage, build
from tests.tui.seeded import MINUTE, NOW, SECOND
from tui.widgets.panel import Panel

pytestmark = pytest.mark.anyio

SAID: dict[Stage, tuple[str, ...]] = {
    "start": (
        "starting",
        "1 of 3 answered",
        "177,992 wanted",
        "loading the model",
        "No student has finished yet.",
    ),
    "middle": (
        "25,450 to go",
        "■ claude parked",
        "✗ run 7 failed",
        "at the end about $30.87",
        "run 10",
        "38.0",
        "peak ",
    ),
    "training": ("✓ complete", "8,000 in 1", "run 10", "ETA 6m12s"),
    "end": ("✓ all done", "what you have now", "coterie report", "8 of 8 tasks", "(33.8–49.3)", "$26.33"),
    "dead": ("the daemon died", "coterie run", "2 interrupted", "152,542 samples"),
    "sampling": ("complete in", "newest answers", "✓ sampled"),
}


@pytest.mark.parametrize("stage", SAID)
async def test_each_stage_says_what_matters_and_never_breaks_a_frame(stage: Stage, tmp_path: Path) -> None:
    build(tmp_path / "state.db", stage)
    async with running(tmp_path / "state.db", (120, 40)) as driver:
        for words in SAID[stage]:
            assert words in driver.text, words
        assert ("training" in driver.text) == (stage not in ("end", "sampling"))
        assert "Nothing was sampled" not in driver.text
        for size in ((160, 45), (80, 24), (60, 16), (40, 12), (20, 5)):
            await driver.pilot.resize_terminal(*size)
            await driver.read()
            lines = driver.text.splitlines()
            assert len(lines) == size[1]
            for left, right in zip("╭╰", "╮╯", strict=True):
                assert all(line.count(left) == line.count(right) for line in lines)


async def test_a_click_goes_to_what_was_clicked(tmp_path: Path) -> None:
    build(tmp_path / "state.db")
    async with running(tmp_path / "state.db", (120, 40)) as driver:
        lines = driver.text.splitlines()

        async def click(row: int, words: str) -> Any:
            await driver.press("1")
            await driver.pilot.click(offset=(lines[row].index(words) + 1, row))
            await driver.read()
            return driver.app.active_screen

        task = next(row for row, line in enumerate(lines) if "strategy_qa" in line)
        assert (await click(task, "strategy_qa")).target_task() == "strategy_qa"
        assert (await click(1, "claude parked")).target_teacher() == "claude"
        assert (await click(1, "run 7")).selected.id == 7
        assert (await click(1, "Events")).number == "6"
        pointer = next(row for row, line in enumerate(lines) if "6 all events" in line)
        assert (await click(pointer, "6 all events")).number == "6"
        await click(0, "coterie")
        await driver.pilot.click(offset=(lines[-1].index("P pause") + 1, len(lines) - 1))
        await driver.pilot.pause()
        assert "Pause all sampling?" in driver.text


async def test_a_panel_cuts_what_is_too_wide_and_counts_what_is_too_long() -> None:
    from tui.text import say
    from tui.widgets.panel import centred, fitted

    assert [line.plain for line in fitted([say(str(n)) for n in range(5)], 3)] == ["0", "1", "3 more"]
    assert max(line.cell_len for line in centred("some words " * 9, 30, 8)) <= 30
    assert not Panel().can_focus


async def test_a_notice_leaves_the_footer_free_and_help_is_of_the_screen(tmp_path: Path) -> None:
    build(tmp_path / "state.db", "start")
    app = monitor(tmp_path / "state.db")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        driver = Driver(app, pilot)
        await driver.read()
        app.notify("a notice to be seen", timeout=600, markup=False)
        for _ in range(20):
            await pilot.pause()
        assert "a notice to be seen" in driver.text
        assert driver.text.splitlines()[-1].endswith("q leave")
        await driver.press("question_mark")
        assert "on Overview" in driver.text


async def test_a_sampling_that_has_ended_is_not_read_again_each_second(tmp_path: Path) -> None:
    build(tmp_path / "state.db", "training")
    now = [NOW]
    async with running(tmp_path / "state.db", (120, 40), clock=lambda: now[0]) as driver:
        screen: Any = driver.app.active_screen
        assert screen.history.whole
        read = screen.history.bucket_ms, screen.history.low
        for _ in range(3):
            now[0] += SECOND
            await driver.read()
            assert (screen.history.bucket_ms, screen.history.low) == read and screen.history.whole


async def test_a_session_that_only_trains_says_so(tmp_path: Path) -> None:
    build(tmp_path / "state.db", "training")
    with closing(open_writer(tmp_path / "state.db")) as connection:
        connection.execute("UPDATE boot SET started_at = ?", (NOW - 10 * MINUTE,))
    async with running(tmp_path / "state.db", (120, 40)) as driver:
        assert "All was sampled before this start." in driver.text


async def test_nothing_that_fits_is_cut_or_left_out(tmp_path: Path) -> None:
    """Screens at work show dates whole, tasks beside their students, and a full last page of rationales."""
    build(tmp_path / "state.db")
    async with running(tmp_path / "state.db", (120, 40)) as driver:
        await driver.press("5")
        assert "fine-tune-cot-diverse svamp" in " ".join(driver.text.split())
        await driver.press("4", "j", "j", "j")
        assert "03/18/1998 03/18/1998" in driver.text
        await driver.pilot.resize_terminal(80, 24)
        await driver.press("enter")
        assert "╭─ 6 " in driver.text and "╭─ 7 " in driver.text
