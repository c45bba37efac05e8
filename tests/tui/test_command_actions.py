"""What is asked of the daemon: confirmed, in the words that are written, and never with --readonly."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.conftest import Driver, monitor, running, settled
from tests.tui.seeded import NOW
from tests.tui.test_key_bindings import commands, write
from tui.screens.dialogs import Choice

pytestmark = pytest.mark.anyio


async def test_p_means_the_task_under_the_cursor_or_all(own: Path) -> None:
    async with running(own) as driver:
        await driver.press("2", "j", "P")
        assert "Pause task gsm8k?" in driver.text
        assert "a  pause all sampling" in driver.text
        await driver.press("y")
        assert commands(own) == [("pause", {"task": "gsm8k"})]
        await driver.press("P", "a")
        assert commands(own)[-1] == ("pause", {})
        await driver.press("j", "P", "y")  # letters is paused
        assert commands(own)[-1] == ("resume", {"task": "letters"})


async def test_p_means_the_teacher_under_the_cursor(own: Path) -> None:
    async with running(own) as driver:
        await driver.press("3", "P", "y")
        assert commands(own) == [("pause", {"teacher": "practice"})]
        await driver.press("j", "P")
        assert "Resume teacher gpt?" in driver.text  # it is parked
        await driver.press("enter")
        assert commands(own)[-1] == ("resume", {"teacher": "gpt"})


def boxed(driver: Driver) -> str:
    """The words of the dialog, in one line."""
    box = driver.app.screen.query_one("#box").content_region
    rows = driver.text.splitlines()[box.y : box.bottom]
    return " ".join(" ".join(row[box.x : box.right] for row in rows).split())


async def test_a_budget_is_a_number_and_is_confirmed(own: Path) -> None:
    async with running(own) as driver:
        await driver.press("B")
        spent = "(spent $3.10 of $5.00, reserved $0.02, unknown $0.01)"
        assert f"Total budget in dollars {spent}:" in boxed(driver)
        await driver.press(*"all", "enter")
        assert "Enter a number of dollars" in driver.text
        await driver.press("backspace", "backspace", "backspace", *"8.5", "enter")
        assert f"Set the budget to $8.50 {spent}?" in boxed(driver)
        assert commands(own) == []
        await driver.press("y")
        assert commands(own) == [("budget", {"usd": 8.5})]
        await driver.press("B", *"1", "enter")
        assert "That is less than counts against it: no new request will be sent" in boxed(driver)
        await driver.press("escape", "B", "escape")
        assert len(commands(own)) == 1


async def test_the_budget_that_was_set_is_the_one_that_is_shown(own: Path) -> None:
    write(
        own,
        "INSERT INTO command (kind, args, state, answer, created_at) VALUES ('budget', ?, 'done', '', ?)",
        '{"usd": 8.0, "instead_of": 5.0}',
        NOW,
    )
    async with running(own) as driver:
        assert "of $8.00" in driver.text.splitlines()[0]
        assert "of $5.00" not in driver.text


async def test_the_palette_pauses_and_trains_by_name_once_confirmed(own: Path) -> None:
    async with running(own, (100, 40)) as driver:
        await driver.press("colon", *"pausetaskgsm", "down", "enter")
        assert "Pause task gsm8k?" in driver.text
        await driver.press("y")
        assert commands(own) == [("pause", {"task": "gsm8k"})]
    async with running(own, (100, 40), readonly=True) as driver:
        await driver.press("colon", *"pausetaskgsm")
        assert "pause task" not in driver.text.lower()


async def test_leaving_a_monitor_that_started_a_daemon_asks_what_should_happen_to_it(own: Path) -> None:
    choices = [Choice("b", "keep it running", "background"), Choice("s", "stop it", "stop")]
    for keys, value in ((("q", "n", "q", "escape", "ctrl+q", "b"), "background"), (("q", "s"), "stop")):
        app = monitor(own, leaving=("What should happen to it?", choices, "stay"))
        async with app.run_test(size=(80, 24)) as pilot:
            await settled(pilot)
            for key in keys:
                assert app.is_running
                await pilot.press(key)
                await pilot.pause()
        assert app.return_value == value
