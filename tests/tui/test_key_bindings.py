from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from state.database import open_reader, open_writer
from tests.tui.conftest import monitor, running
from tests.tui.seeded import NOW
from tui.key_bindings import KEYS
from tui.screens.base_screen import MonitorScreen

pytestmark = pytest.mark.anyio


def commands(path: Path) -> list[tuple[str, dict[str, Any]]]:
    connection = open_reader(path)
    found = connection.execute("SELECT kind, args FROM command ORDER BY id").fetchall()
    connection.close()
    return [
        (kind, {name: value for name, value in json.loads(args).items() if name != "by"})
        for kind, args in found
    ]


def write(path: Path, sql: str, *values: Any) -> None:
    connection = open_writer(path)
    connection.execute(sql, values)
    connection.close()


async def test_numbers_go_to_the_screens_which_keep_their_place(seeded: Path) -> None:
    async with running(seeded) as driver:
        await driver.press("2", "j")
        assert "gsm8k" in driver.text.splitlines()[5]
        for key in "345612":
            await driver.press(key)
        screen = driver.app.active_screen
        assert screen is not None
        assert screen.row_list is not None
        assert screen.row_list.cursor == 1


async def test_every_binding_does_what_help_says_on_every_screen(own: Path) -> None:
    """No key may end the monitor with a traceback, wherever it is pressed."""
    modal = {"t", "x", "P", "B", "question_mark"}
    keys = [key.keys.split(",")[0] for key in KEYS if key.id not in ("quit", "palette", "theme", "filter")]
    async with running(own, (60, 20)) as driver:
        for screen in "123456":
            await driver.press(screen)
            for key in keys:
                if not key.isdecimal():
                    for each in (key, "escape") if key in modal else (key,):
                        driver.send(each)
                        await driver.pilot.pause(0)
            await driver.press("escape")
            assert driver.app.is_running


async def test_the_list_moves_by_j_k_g_and_capital_g(seeded: Path) -> None:
    async with running(seeded) as driver:
        await driver.press("4", "j", "j", "k")
        assert "╭─ sample 509 ─" in driver.text
        await driver.press("G")
        assert "╭─ sample 1 ─" in driver.text and "▌✓  A coin is heads" in driver.text
        await driver.press("g")
        assert "╭─ sample 510 ─" in driver.text
        await driver.press("pagedown")
        assert "╭─ sample 493 ─" in driver.text


async def test_samples_are_filtered_and_escape_shows_all(seeded: Path) -> None:
    async with running(seeded, (140, 40)) as driver:
        await driver.press("4", "slash", *"task:coin", "space", *"v:wrong", "enter")
        screen: Any = driver.app.active_screen
        found = list(screen.samples.found)
        assert len(found) == 15
        assert found == sorted(found, reverse=True)
        assert all(sample <= 170 for sample in found)
        assert "✗ wrong" in driver.text
        assert "✓ correct" not in driver.text
        await driver.press("escape")
        assert screen.samples.total() == 510
        await driver.press("f")
        assert "problems only  " in driver.text
        assert 60 < screen.samples.total() < 120
        await driver.press("escape", "s")
        assert screen.samples.id_at(0) == 1


async def test_an_unknown_name_in_a_filter_is_told(seeded: Path) -> None:
    async with running(seeded) as driver:
        await driver.press("4", "slash", *"task:nope", "enter")
        assert driver.notices == ["unknown task 'nope'; known: coin_flip, gsm8k, letters"]


async def test_enter_on_a_task_shows_its_samples_and_filters_its_runs(seeded: Path) -> None:
    async with running(seeded) as driver:
        await driver.press("2", "j", "enter")
        screen: Any = driver.app.active_screen
        assert driver.app.current_mode == "samples"
        assert screen.samples.total() == 170
        await driver.press("5")
        screen = driver.app.active_screen
        assert [row.run.id for row in screen.table.rows] == [6, 3]


async def test_tabs_show_all_there_is_about_a_run(seeded: Path) -> None:
    async with running(seeded, (140, 40)) as driver:
        await driver.press("5", "j", "j", "j")
        assert "tokens/s" in driver.text
        assert "└" in driver.text  # the plot
        await driver.press("left_square_bracket")
        assert "No student of this task is tested yet." in driver.text
        await driver.press(*("left_square_bracket",) * 2)
        assert "step 1 ␛]0;owned␇ [/foo]" in driver.text
        assert "loaded" in driver.text
        assert "loading" not in driver.text
        await driver.press("left_square_bracket")
        assert '"learning_rate": 0.003' in driver.text
        await driver.press("G", "left_square_bracket")
        assert "gold" in driver.text
        await driver.press("f")
        assert "✗ wrong" in driver.text
        assert driver.text.count("✓ correct") == 0
        await driver.press("left_square_bracket")
        assert "teacher (held-out)" in driver.text
        await driver.press("left_square_bracket")
        assert "both runs gave the same verdicts" in driver.text
        await driver.press("f")
        assert "against run 2, question by question" in driver.text
        assert "both ✗" in driver.text and "both ✓" in driver.text


async def test_freeze_holds_the_display(own: Path) -> None:
    async with running(own) as driver:
        await driver.press("p")
        write(own, "UPDATE plan SET accepted = 399 WHERE id = 10")
        driver.app.tick()
        await driver.pilot.pause()
        assert "■ frozen" in driver.text
        assert "96.4 %" not in driver.text
        await driver.press("p")
        assert "96.4 %" in driver.text


async def test_pause_is_a_command_and_its_answer_is_shown(own: Path) -> None:
    async with running(own) as driver:
        await driver.press("P")
        assert "Pause all sampling?" in driver.text
        await driver.press("escape")
        assert commands(own) == []
        await driver.press("P", "y")
        assert commands(own) == [("pause", {})]
        assert driver.notices == ["pause all sampling: sent, waiting for the daemon"]
        assert "1 queued" in driver.text
        write(own, "UPDATE command SET state = 'refused', answer = 'nothing to pause', answered_at = ?", NOW)
        await driver.read()
        assert driver.notices[-1] == "pause all sampling: refused. nothing to pause"
        write(own, "UPDATE pulse SET state = 'paused'")
        await driver.read()
        await driver.press("P", "enter")
        assert commands(own)[-1] == ("resume", {})


async def test_training_is_confirmed_first(own: Path) -> None:
    async with running(own) as driver:
        await driver.press("2", "j", "t")
        assert "Train every student on gsm8k now?" in driver.text
        await driver.press("n")
        assert commands(own) == []
        await driver.press("t", "y")
        assert commands(own) == [("train", {"task": "gsm8k", "student": None})]
        await driver.press("5", "G", "t", "enter")
        assert commands(own)[-1] == ("train", {"task": "coin_flip", "student": "fine-tune-cot"})


async def test_a_run_is_stopped_once_confirmed_and_only_while_it_can_be(own: Path) -> None:
    async with running(own) as driver:
        await driver.press("x")
        assert "Stop run 3 (fine-tune-cot on gsm8k, step 412 of 900)?" in driver.text
        await driver.press("escape", "5", "x")  # run 6 was stopped long ago
        assert driver.notices == ["No active run is selected."]
        await driver.press("j", "x", "y")
        assert commands(own) == [("stop_run", {"run": 5})]
        await driver.press("x", "f")
        assert commands(own)[1:] == [("stop_run", {"run": 5, "finish": True})]


async def test_a_command_while_no_daemon_runs_says_that_it_waits(own: Path) -> None:
    write(own, "UPDATE boot SET ended_at = ?", NOW)
    async with running(own) as driver:
        await driver.press("P", "y")
        assert driver.notices == ["pause all sampling: queued, applied when a daemon starts"]


async def test_readonly_has_no_key_that_asks_for_anything(own: Path) -> None:
    async with running(own, readonly=True) as driver:
        await driver.press("P", "y", "B", "2", "t", "P", "5", "j", "x", "y")
        assert commands(own) == []
        await driver.press("question_mark")
        assert "pause" not in driver.text.lower()
        await driver.press("escape", "colon", *"pause")
        assert "pause all sampling" not in driver.text


async def test_keys_can_be_remapped(own: Path) -> None:
    async with running(own, keys={"freeze": "ctrl+f", "samples": "z"}) as driver:
        await driver.press("ctrl+f")
        assert driver.app.context.frozen
        await driver.press("p")
        assert driver.app.context.frozen
        await driver.press("z")
        assert driver.app.current_mode == "samples"


def test_an_unknown_binding_is_an_error_with_the_nearest_one(own: Path) -> None:
    with pytest.raises(ConfigError, match=r"tui.keys.freze: .* did you mean 'freeze'\?"):
        monitor(own, keys={"freze": "ctrl+f"})


def test_bindings_have_ids_and_no_key_twice() -> None:
    keys = [name for key in KEYS for name in key.keys.split(",")]
    assert len(keys) == len(set(keys))
    assert len({key.id for key in KEYS}) == len(KEYS)


async def test_the_palette_finds_keys_tasks_runs_and_teachers(seeded: Path) -> None:
    async with running(seeded, (100, 40)) as driver:
        await driver.press("colon", *"gotorun4")
        assert "go to run 4: fine-tune-cot on letters" in driver.text
        await driver.press("down", "enter")
        screen: Any = driver.app.active_screen
        assert driver.app.current_mode == "runs"
        assert screen.table.key == 4
        await driver.press("ctrl+p", *"gototeachergpt", "down", "enter")
        assert driver.app.current_mode == "teachers"
        screen = driver.app.active_screen
        assert screen.query_one("#list").key == "gpt"


async def test_an_event_opens_its_subject(seeded: Path) -> None:
    async with running(seeded) as driver:
        await driver.press("6", "j", "enter")
        screen: Any = driver.app.active_screen
        assert driver.app.current_mode == "runs"
        assert screen.table.key == 4


async def test_copy_takes_the_sample_without_control_characters(seeded: Path) -> None:
    async with running(seeded) as driver:
        await driver.press("4", *("j",) * 9, "y")
        assert "Set the title ␛]0;owned␇" in driver.app.clipboard
        assert "✗ failed" in driver.app.clipboard


async def test_q_leaves(seeded: Path) -> None:
    async with running(seeded) as driver:
        await driver.pilot.press("q")
        await driver.pilot.pause()
        assert not driver.app.is_running
        assert driver.app.return_code == 0


async def test_typing_in_the_filter_line_presses_no_keys(seeded: Path) -> None:
    async with running(seeded) as driver:
        await driver.press("2", "slash", *"q1P", "escape")
        assert driver.app.is_running
        assert driver.app.current_mode == "tasks"
        screen: MonitorScreen | None = driver.app.active_screen
        assert screen is not None
        assert screen.filter_text == ""
