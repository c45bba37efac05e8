from __future__ import annotations

import pytest
from rich.cells import cell_len

from tui.text import say, verdict
from tui.widgets.cell import fitted


def words(*parts: object, room: int, align: str = "left") -> str:
    return "".join(piece for piece, _ in fitted(say(*parts), room, align))  # type: ignore[arg-type]


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
    assert "".join(piece for piece, _ in fitted(text, 4, "left")) == "a�  "


def test_styles_stay_where_they_are() -> None:
    found = fitted(say("no ", ("truncated", "yellow"), " x"), 8, "left")
    assert [piece for piece, _ in found] == ["no ", "trun…"]
    assert [style.color.name if style.color else "" for _, style in found] == ["", "yellow"]
    piece, style = fitted(verdict("correct"), 10, "left")[0]
    assert piece == "✓ correct"
    assert style.color is not None and style.color.name == "green"


def test_without_colour_words_keep_their_weight_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert say(("parked", "bold red")).spans[0].style == "bold red"
    monkeypatch.setenv("NO_COLOR", "1")
    assert say(("parked", "bold red")).spans[0].style == "bold"
    assert say(("wrong", "red")).plain == "wrong"
    assert all(not span.style for span in say(("wrong", "red")).spans)
    assert say(("note", "dim")).spans[0].style == "dim"
