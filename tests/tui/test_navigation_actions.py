"""The ways to look: the next wrong sample, what was sent, two runs side by side, where one is and what one can do."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path
from typing import Any

import pytest

from state.database import open_reader, open_writer
from state.search import index_words
from state.views.format import per_thousand
from state.views.status import read_status
from state.views.status_records import Alert
from state.views.teacher_counts import TeacherCounts
from tests.tui.conftest import Driver, running
from tests.tui.seeded import NOW
from tests.tui.test_key_bindings import write
from tui.screens import sample_search, teachers
from tui.screens.header_footer import banner_lines

pytestmark = pytest.mark.anyio


def wrong(path: Path, where: str = "1") -> list[int]:
    """Wrong and failed samples, newest first."""
    connection = open_reader(path)
    sql = f"SELECT id FROM sample WHERE (verdict = 0 OR state = 'failed') AND {where} ORDER BY id DESC"
    found = [row[0] for row in connection.execute(sql)]
    connection.close()
    return found


def selected(driver: Driver) -> int:
    screen: Any = driver.app.active_screen
    return int(screen.samples.selected)


async def test_n_goes_to_the_next_wrong_sample_and_back(
    seeded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_search, "STRIDE", 3)
    monkeypatch.setattr(sample_search, "SEARCH_S", 0.0)
    expected = wrong(seeded)
    async with running(seeded) as driver:
        await driver.press("4")
        for sample in expected[:6]:
            await driver.press("n")
            assert selected(driver) == sample
        await driver.press("N")
        assert selected(driver) == expected[4]
        await driver.press("G", "N")
        assert selected(driver) == expected[-1]
        await driver.press("n")
        assert driver.notices == ["No wrong sample below."]
        await driver.press("s", "g", "n")  # oldest first: downwards are the newer ones
        assert selected(driver) == expected[-1]
        await driver.press("n")
        assert selected(driver) == expected[-2]


async def test_n_stays_within_the_filter(seeded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_search, "CHUNK", 7)
    expected = wrong(seeded, "task_id = 2")
    async with running(seeded) as driver:
        await driver.press("4", "slash", *"task:gsm8k", "enter", "n", "n")
        assert selected(driver) == expected[1]


async def test_what_was_sent_is_a_tab_of_the_sample(seeded: Path) -> None:
    async with running(seeded, (140, 40)) as driver:
        await driver.press("4", *("j",) * 10, "right_square_bracket")
        assert "A: Let's think step by step. Let's think" in driver.text
        assert "Therefore, the answer is" in driver.text
        assert "✓ correct" in driver.text  # the verdict below it
        await driver.press("y")
        assert driver.app.clipboard.startswith("turn 1\nuser: Q: Take the last letters")
        await driver.press("left_square_bracket")
        assert "╭─ rationale 3 of 3 ─" in driver.text


async def test_words_are_found_in_questions_too_and_the_way_says_how_far_it_is(own: Path) -> None:
    async with running(own) as driver:
        await driver.press("4", "slash", *'"apples', "space", *'and"', "enter")
        screen: Any = driver.app.active_screen
        assert screen.samples.total() == 167  # every sample of the task that ended
        assert '/ "apples and"  167 ─╮' in driver.text and "1 of 167 found" in driver.text
        writer = open_writer(own)
        writer.execute("UPDATE sample SET state = 'open' WHERE id = 337")
        index_words(writer, [1_000])
        writer.execute("UPDATE sample SET state = 'stored' WHERE id = 337")
        writer.close()
        await driver.press("escape", "slash", *"apples", "enter")
        assert screen.samples.total() == 167


async def test_two_runs_side_by_side(seeded: Path) -> None:
    async with running(seeded, (140, 40)) as driver:
        await driver.press("5", "j", "j", "j", *("left_square_bracket",) * 2)
        assert "Mark a run with m" in driver.text  # there is no other run of its task
        await driver.press("m")
        assert "*3" in driver.text
        assert driver.notices[0].startswith("Run 3 is marked: it is drawn over the run under the cursor")
        await driver.press("j")
        assert re.search(r"method +fine-tune +fine-tune-cot", driver.text)
        assert "learning_rate" not in driver.text  # the same in both
        assert "run 3 (marked)" in driver.text
        await driver.press("k", "m")
        assert "*3" not in driver.text


async def test_a_marked_run_of_a_database_that_was_replaced_is_forgotten(own: Path, tmp_path: Path) -> None:
    async with running(own) as driver:
        await driver.press("5", "m")
        assert driver.app.active_screen.marked == [6]
        empty = tmp_path / "empty.db"
        open_writer(empty).close()
        empty.replace(own)
        await driver.read()
        assert driver.app.active_screen.marked == []


async def test_accuracy_by_epoch_is_drawn_with_what_it_must_beat(seeded: Path) -> None:
    async with running(seeded, (140, 40)) as driver:
        await driver.press("5", "G")
        assert "dev accuracy ─" in driver.text and "● run 1" in driver.text
        assert "teacher 85.0" in driver.text and "teacher on test ─╯" in driver.text
        assert driver.text.count("●") >= 5  # four epochs, and the running daemon


async def test_hints_say_what_is_possible_here(seeded: Path) -> None:
    async with running(seeded, (140, 40)) as driver:
        for screen, words in (
            ("1", "P pause all"),
            ("2", "t train now"),
            ("3", "P pause"),
            ("4", "n next wrong"),
            ("5", "m overlay"),
            ("6", "↵ go to subject"),
        ):
            await driver.press(screen)
            assert words in driver.text.splitlines()[-1], screen
        await driver.press("2", "G")
        assert "P resume" in driver.text
        assert "letters · facts" in driver.text
    async with running(seeded, (140, 40), readonly=True, keys={"filter": "ctrl+r"}) as driver:
        await driver.press("2")
        assert "train now" not in driver.text
        assert "ctrl+r filter" in driver.text


@pytest.mark.parametrize("size", [(20, 5), (1, 1)])
async def test_a_terminal_of_any_size_is_borne(seeded: Path, size: tuple[int, int]) -> None:
    async with running(seeded, (80, 24)) as driver:
        for screen in "123456":
            await driver.press(screen)
            await driver.pilot.resize_terminal(*size)
            for key in ("j", "enter", "right_square_bracket", "escape"):
                driver.send(key)
                await driver.pilot.pause(0)
            await driver.pilot.resize_terminal(80, 24)
            await driver.read()
            assert "● running" in driver.text
        assert driver.app.is_running


async def test_the_state_and_its_age_are_there_on_the_smallest_terminal(seeded: Path) -> None:
    async with running(seeded, (20, 5)) as driver:
        assert "● running 2h14m" in driver.text


async def test_a_failed_run_and_its_remedy_are_told_until_a_later_one(own: Path) -> None:
    async with running(own, (140, 40)) as driver:
        assert "■ gpt parked  ✗ run 4 failed" in driver.text
        await driver.press("6", "j")
        assert "`coterie train letters --student fine-tune-cot` tries again" in driver.text
        write(own, "UPDATE run SET student = 'fine-tune-cot', scope = 'letters', task_id = 3 WHERE id = 6")
        await driver.read()
        assert "run 4 failed" not in driver.text.splitlines()[1]


async def test_a_reading_that_hangs_does_not_hold_the_event_loop(
    seeded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go = threading.Event()

    async with running(seeded) as driver:
        await driver.press("4")
        monkeypatch.setattr(
            "tui.database_reader.read_status", lambda *given: let_go.wait(60) and read_status(*given)
        )
        driver.app.read_now()
        try:
            for key in ("j", "j", "5", "4", "question_mark", "escape"):
                await asyncio.wait_for(driver.pilot.press(key), 20)
            assert driver.app.busy
            screen: Any = driver.app.active_screen
            assert screen.samples.cursor == 2  # the keys were obeyed meanwhile
        finally:
            monkeypatch.undo()
            let_go.set()


async def test_a_correct_sample_of_each_teacher_has_a_price(own: Path) -> None:
    async with running(own, (160, 40)) as driver:
        await driver.press("3")
        connection = open_reader(own)
        [(spent, correct)] = connection.execute(
            "SELECT spent_micros, (SELECT count(*) FROM sample WHERE teacher_id = t.id AND verdict = 1)"
            " FROM teacher t WHERE id = 1"
        ).fetchall()
        connection.close()
        price = per_thousand(spent / 1e6 / correct)
        assert f"correct       {correct}  {price} per 1,000" in driver.text
        assert "/1k correct" in driver.text
        assert re.search(rf"▌practice .*{re.escape(price)} ", driver.text)  # in its row
        write(own, "UPDATE sample SET verdict = 0 WHERE teacher_id = 1")
        await driver.press("1", "3")
        assert "correct       0  – per 1,000" in driver.text


async def test_while_they_are_counted_it_says_how_far(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        teachers, "continue_counting", lambda *given: TeacherCounts(upto=255, high=510 + 10_000)
    )
    async with running(own, (120, 40)) as driver:
        await driver.press("3")
        assert "correct       counting … 2 %" in driver.text


async def test_extracted_and_gold_stand_side_by_side(own: Path) -> None:
    write(own, "UPDATE sample SET extracted = '7' WHERE verdict = 0")
    write(own, "UPDATE question SET gold = '8'")
    async with running(own) as driver:
        await driver.press("4", "n")
        assert "answer 7   gold 8" in driver.text
        assert "✗ wrong ─╮" in driver.text
        await driver.pilot.resize_terminal(140, 40)
        await driver.read()
        assert "extracted  7    gold  8 " in driver.text


async def test_the_way_ends_where_one_is(seeded: Path) -> None:
    async with running(seeded, (140, 40)) as driver:
        await driver.press("5", "slash", *"task:gsm8k", "enter", "enter")
        assert " › / task:gsm8k › run 6 › curves › details " in driver.text.splitlines()[1]
        await driver.pilot.resize_terminal(120, 40)
        await driver.read()
        assert re.search(r"6 Events +› (.* › )?details +■ gpt", driver.text.splitlines()[1])
        assert "─ / task:gsm8k ─╯" in driver.text


async def test_an_empty_log_says_so(own: Path) -> None:
    async with running(own, (140, 40)) as driver:
        (own.parent / "runs" / "3").mkdir(parents=True)
        (own.parent / "runs" / "3" / "log.txt").write_text(" \n")
        await driver.press("5", "j", "j", "j", *("left_square_bracket",) * 3)
        assert "no output yet (runs/" in driver.text


async def test_a_daemon_with_nothing_to_do_says_so(own: Path) -> None:
    async with running(own) as driver:
        assert "to go" in driver.text
        write(own, "UPDATE plan SET stored = wanted")
        write(own, "UPDATE run SET state = 'done'")
        write(own, "UPDATE pulse SET data = '{}'")
        await driver.read()
        assert "nothing to do" in driver.text
        assert "coterie stop ends it" in driver.text
        write(own, "UPDATE run SET state = 'queued' WHERE id = 6")
        await driver.read()
        assert "nothing to do" not in driver.text


def test_problems_get_as_many_lines_as_are_free() -> None:
    parked = Alert(what="teacher gpt is parked", why="key refused " * 20, remedy="`coterie resume`")
    failed = Alert(what="run 6 failed", why="out of memory", remedy="t trains again")
    [alone] = banner_lines("", [parked], 60, 1)
    assert alone.plain.startswith(" ▲ teacher gpt is parked: key refused")
    assert alone.plain.endswith("… → `coterie resume`")
    two = banner_lines("", [parked], 60, 2)
    assert len(two) == 2
    assert two[1].plain.endswith("… → `coterie resume`")
    assert sum(text.plain.count("key refused") for text in two) > alone.plain.count("key refused")
    both = banner_lines("", [parked, failed], 60, 2)
    assert [text.plain[:15] for text in both] == [" ▲ teacher gpt ", " ▲ run 6 failed"]
    assert banner_lines("", [parked, failed], 60, 1)[0].plain.endswith("(+1 more)")
    assert all(text.cell_len <= 60 for text in (alone, *two, *both))
    assert len(banner_lines("", [failed], 60, 3)) == 1
    gone = banner_lines("word " * 30, [parked, failed], 60, 3)
    assert len(gone) == 3


async def test_runs_of_a_daemon_that_is_gone_are_not_running_now(own: Path) -> None:
    async with running(own) as driver:
        assert "1 training" in driver.text
        write(own, f"UPDATE pulse SET at = {NOW - 60_000}")
        await driver.read()
        assert "1 interrupted" in driver.text
        assert "1 training" not in driver.text
        assert "the daemon died" in driver.text
        assert "coterie run goes on from there" in driver.text
        await driver.press("2")
        assert "→ `coterie run` resumes where it stopped" in driver.text


async def test_what_to_do_next_is_said_whole_where_nothing_is_yet(tmp_path: Path) -> None:
    open_writer(tmp_path / "state.db").close()
    async with running(tmp_path / "state.db") as driver:
        for screen, words in (
            ("2", "No tasks yet: add [tasks.NAME] to config.toml, then start `coterie run`."),
            ("3", "No teachers yet: add [teachers.NAME] to config.toml."),
            ("4", "No samples yet: they appear when the daemon runs (`coterie run`)."),
            ("5", "(see screen 2)."),
        ):
            await driver.press(screen)
            column = " ".join(line[:42].strip(" │") for line in driver.text.splitlines()[2:8]).strip()
            column = " ".join((column, *(line.strip(" │") for line in driver.text.splitlines()[2:8])))
            assert words in column, screen
