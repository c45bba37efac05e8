"""All rationales of a question, notes, unsolved questions, and the pager."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from state.database import open_reader, open_writer
from state.logprobs import Logprobs, pack
from tests.tui.conftest import Driver, running
from tests.tui.seeded import insert
from tests.tui.terminal import Terminal, left_clean
from tests.tui.test_key_bindings import write
from tui import pager
from tui.reading import contrasted
from tui.screens.question_view import QuestionView

pytestmark = pytest.mark.anyio


def notes(path: Path) -> list[tuple[int | None, str, str]]:
    connection = open_reader(path)
    found = connection.execute("SELECT sample_id, flag, text FROM note ORDER BY id").fetchall()
    connection.close()
    return [tuple(row) for row in found]


async def typed(driver: Driver, words: str) -> None:
    await driver.press(*("space" if letter == " " else letter for letter in words), "enter")


async def test_all_rationales_of_a_question_stand_side_by_side(seeded: Path) -> None:
    async with running(seeded, (140, 40)) as driver:
        await driver.press("4", *("j",) * 10, "enter")
        assert "letters · question 40 of 60" in driver.text
        assert "╭─ 3 ✓ 39s ─" in driver.text and "╭─ 1 ✓ 39s ─" in driver.text
        assert "votes  39s" in driver.text and "diversity 0." in driver.text
        screen: Any = driver.app.active_screen
        assert screen._subject() == 500
        await driver.press("left")
        assert screen._subject() == 440
        await driver.press("y")
        assert "It was flipped 99 times." in driver.app.clipboard
        await driver.press("j")  # the next sample is of another question
        assert "question 39 of 60" in driver.text
        await driver.press("escape")
        assert not screen.in_question and "╭─ rationale 3 of 3 ─" in driver.text


async def test_a_narrow_screen_shows_the_list_the_sample_then_the_question(seeded: Path) -> None:
    async with running(seeded, (60, 20)) as driver:
        await driver.press("4", "j", "j", "j", "j", "enter")
        assert "╭─ sample 506" in driver.text and "╭─ samples" not in driver.text
        await driver.press("enter")
        assert "question 46 of 60" in driver.text
        await driver.press("escape")
        assert "╭─ sample 506" in driver.text
        await driver.press("escape")
        assert "╭─ samples" in driver.text


async def test_a_note_is_stored_shown_changed_and_removed(own: Path) -> None:
    async with running(own, (140, 40)) as driver:
        await driver.press("4", *("j",) * 10, "m")
        assert "Note on sample 500" in driver.text
        await typed(driver, "gold is wrong: 38s")
        assert notes(own) == [(None, "gold is wrong", "38s")]
        await driver.read()
        assert "note      ⚑ gold is wrong: 38s" in driver.text
        assert driver.notices[-1].endswith("noted about the question: gold is wrong: 38s")
        await driver.press("slash", *"is:noted", "enter")
        screen: Any = driver.app.active_screen
        assert screen.samples.total() == 3  # all samples of the question
        await driver.press("m", "ctrl+u")
        await typed(driver, "")
        assert notes(own) == []
    async with running(own, readonly=True) as driver:
        await driver.press("4", "m")
        assert driver.notices == ["Notes are disabled by --readonly."]


async def test_unsolved_questions_are_listed_once(own: Path) -> None:
    write(own, "UPDATE sample SET verdict = 0 WHERE question_id IN (1001, 3007)")
    async with running(own) as driver:
        await driver.press("4", "u")
        screen: Any = driver.app.active_screen
        assert "unsolved  5 ─╮" in driver.text
        assert list(screen.samples.found) == [467, 455, 285, 121, 115], "the newest of each question"
        await driver.press("escape")
        assert screen.samples.total() == 510


async def test_unlikely_words_are_tinted(own: Path) -> None:
    connection = open_writer(own)
    connection.execute("UPDATE sample SET rationale = 'So it is so.' WHERE id = 500")
    (attempt,) = connection.execute("SELECT id FROM attempt WHERE sample_id = 500").fetchone()
    values = Logprobs(("So", " it", " is", " so", "."), (-0.1, -1.5, -0.1, -4.0, -0.1), ((),) * 5)
    insert(connection, "logprob", attempt_id=attempt, tokens=5, mean=-1.0, data=pack(values))
    connection.close()
    async with running(own, (140, 40)) as driver:
        await driver.press("4", *("j",) * 10)
        assert "unsure words are tinted" in driver.text
        block: Any = driver.app.active_screen.query_one("#text")
        shown = block._text(60)
        assert [(shown.plain[span.start : span.end], "on #" in str(span.style)) for span in shown.spans][
            :2
        ] == [
            ("it", True),
            ("so", True),
        ]


def test_the_pager_gets_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = tmp_path / "seen"
    monkeypatch.setenv("PAGER", f"sh -c 'cat > {seen}'")
    assert pager.show_in_pager("a\nb") == "" and seen.read_text() == "a\nb"
    monkeypatch.setenv("PAGER", "sh -c 'exit 3'")  # it reads nothing
    assert pager.show_in_pager("x" * 1_000_000) == ""
    monkeypatch.setenv("PAGER", "no-such-pager")
    assert "'no-such-pager', which is not there" in pager.show_in_pager("x")
    monkeypatch.delenv("PAGER")
    monkeypatch.setattr(pager, "PAGERS", ("no-such-pager",))
    assert pager.show_in_pager("x") == "There is no pager: set $PAGER."


def test_o_gives_the_terminal_to_the_pager_and_takes_it_back(
    seeded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "pager"
    script.write_text("#!/bin/sh\necho PAGER-HERE\nhead -1\nread key < /dev/tty\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PAGER", os.fspath(script))
    terminal = Terminal("tui", "--db", str(seeded))
    try:
        terminal.until("coin_flip")
        terminal.press("4")
        terminal.until("sample 510")
        terminal.press("o")
        terminal.until("PAGER-HERE\\s+sample 510 · letters")
        terminal.press("\n")
        terminal.until("q leave")
        terminal.press("q")
        assert terminal.end() == 0
        left_clean(terminal)
    finally:
        terminal.close()


async def test_differences_are_tinted_against_the_chosen_rationale(own: Path) -> None:
    write(
        own,
        "UPDATE sample SET rationale = 'Three and four are seven.' WHERE question_id = (SELECT question_id FROM sample WHERE id = 500)",
    )
    write(own, "UPDATE sample SET rationale = 'Three and five, oddly, are seven.' WHERE id = 500")
    async with running(own, (140, 40)) as driver:
        await driver.press("4")
        screen: Any = driver.app.active_screen
        screen.samples.move(screen.samples.index_of(500))
        await driver.read()
        await driver.press("d", "left", "left")
        view = screen.query_one(QuestionView)
        own_place = next(at for at, item in enumerate(view.question.rationales) if item.id == 500)
        assert view.chosen != own_place and "tinted: what" in driver.text
        card = view._card_of(own_place)
        tinted = [
            line.plain[span.start : span.end]
            for line in card._lines
            for span in line.spans
            if " on #" in span.style
        ]
        assert " ".join(tinted) == "five, oddly,"
        await driver.press("d")
        assert "tinted: what" not in driver.text


def test_differences_count_neither_case_nor_punctuation() -> None:
    shown = contrasted("so it IS 7.", "So, it is: 8")
    assert [shown.plain[span.start : span.end] for span in shown.spans] == ["7."]
    assert contrasted("", "x").plain == "" and not contrasted("same", "same").spans
