from __future__ import annotations

import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult

from tui.colours import colours
from tui.text import say, verdict
from tui.widgets.columns import Column, fit_cell, visible
from tui.widgets.row_list import Table


def words(*parts: object, room: int, align: str = "left") -> str:
    return "".join(piece for piece, _ in fit_cell(say(*parts), room, align))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("yes", "yes     "),
        ("12345678", "12345678"),
        ("123456789", "1234567…"),
        ("two\nlines", "two lin…"),
        ("naïve–é", "naïve–é "),
        ("問題の答え", "問題の …"),  # two cells each
        ("a\x1b[2Jb", "a␛[2Jb  "),
    ],
)
def test_a_text_takes_exactly_its_room(given: str, expected: str) -> None:
    assert words(given, room=8) == expected
    assert cell_len(words(given, room=8)) == 8


def test_numbers_stand_to_the_right() -> None:
    assert words("812", room=6, align="right") == "   812"
    assert words(("812", "dim"), room=6, align="right") == "   812"


def test_what_came_in_past_say_is_made_harmless() -> None:
    text = say("ab")
    text.plain = "a\x9b"
    assert "".join(piece for piece, _ in fit_cell(text, 4, "left")) == "a�  "


def test_styles_stay_where_they_are() -> None:
    found = fit_cell(say("no ", ("truncated", "yellow"), " x"), 8, "left")
    assert [piece for piece, _ in found] == ["no ", "trun…"]
    assert [style.color.name if style.color else "" for _, style in found] == ["", "yellow"]
    piece, style = fit_cell(verdict("correct"), 10, "left")[0]
    assert piece == "✓ correct"
    assert style.color is not None and style.color.name == colours().good


def test_without_colour_words_keep_their_weight_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert say(("parked", "bold red")).spans[0].style == "bold red"
    monkeypatch.setenv("NO_COLOR", "1")
    assert say(("parked", "bold red")).spans[0].style == "bold"
    assert say(("wrong", "red")).plain == "wrong"
    assert all(not span.style for span in say(("wrong", "red")).spans)
    assert say(("note", "dim")).spans[0].style == "dim"


COLUMNS: tuple[Column[int], ...] = (
    Column("number", 0, str, sort_by={"largest": lambda row: -row}),
    Column("square", 6, lambda row: str(row * row), "right", from_width=30),
    Column("odd", 3, lambda row: say(("yes", "green")) if row % 2 else "no", to_width=40),
)


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (20, [("number", 14), ("odd", 3)]),
        (30, [("number", 17), ("square", 6), ("odd", 3)]),
        (41, [("number", 32), ("square", 6)]),
        (5, [("number", 4), ("odd", 3)]),
    ],
)
def test_a_column_says_at_which_widths_it_is_shown(width: int, expected: list[tuple[str, int]]) -> None:
    assert [(column.title, room) for _, column, room in visible(COLUMNS, width).columns] == expected


def test_a_cell_is_a_string_or_a_styled_text() -> None:
    assert [column.text(3).plain for column in COLUMNS] == ["3", "9", "yes"]
    assert COLUMNS[2].text(3).spans[0].style == "green"


@pytest.mark.anyio
async def test_a_table_sorts_by_the_orders_of_its_columns_and_keeps_the_cursor() -> None:
    table = Table(COLUMNS, key=lambda row: row, order="as given", id="list")

    class Listed(App[None]):
        def compose(self) -> ComposeResult:
            yield table

    async with Listed().run_test():
        table.show([2, 3, 1])
        table.move(2)
        assert (table.rows, table.selected, table.key) == ([2, 3, 1], 1, 1)
        assert table.sort_next() == "largest"
        table.show([2, 3, 1, 4])
        assert (table.rows, table.cursor, table.selected) == ([4, 3, 2, 1], 3, 1)
        assert [text.plain for text in table.cells(0)] == ["4", "16", "no"]
        assert table.find(4) and table.cursor == 0
        assert not table.find(9)
        assert table.sort_next() == "as given"
        table.show([])
        assert (table.selected, table.key, table.total()) == (None, None, 0)


NAMED: tuple[Column[str], ...] = (
    Column("state", 5, lambda row: "done"),
    Column("name", 0, str, whole=True),
    Column("size", 6, lambda row: "1", "right", from_width=30),
    Column("rows", 6, lambda row: "1", "right", from_width=50),
)


@pytest.mark.parametrize(
    ("width", "names", "expected"),
    [
        (50, 20, (["state", "name", "size", "rows"], 1)),
        (50, 31, (["state", "name", "size"], 1)),
        (50, 38, (["state", "name"], 1)),
        (50, 80, (["state", "name"], 1)),  # cut all the same
        (80, 20, (["state", "name", "size", "rows"], 2)),
        (80, 55, (["state", "name", "size", "rows"], 1)),  # gaps give way first
    ],
)
def test_a_name_is_not_cut_while_a_later_column_is_shown(
    width: int, names: int, expected: tuple[list[str], int]
) -> None:
    found = visible(NAMED, width, names)
    assert ([column.title for _, column, _ in found.columns], found.gap) == expected
    used = sum(room + found.gap for _, _, room in found.columns)
    assert used == width - 1
