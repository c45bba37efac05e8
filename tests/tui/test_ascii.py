"""Terminals without Unicode: every glyph has a twin, and nothing else is drawn."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.cells import cell_len

from state.database import open_writer
from tests.tui.conftest import running
from tui import glyphs

pytestmark = pytest.mark.anyio


async def test_every_screen_is_ascii(own: Path) -> None:
    connection = open_writer(own)
    connection.execute("UPDATE question SET text = 'Wie groß ist 数 – ungefähr?'")
    connection.close()
    seen = []
    async with running(own, (140, 40), ascii_only=True) as driver:
        for key in (
            "1",
            "2",
            "3",
            "4",
            "enter",
            "d",
            "5",
            "d",
            "6",
            "question_mark",
            "escape",
            "B",
            "escape",
            "colon",
        ):
            await driver.press(key)
            shown = driver.text
            assert shown.isascii(), f"after {key}: {sorted({each for each in shown if not each.isascii()})}"
            seen.append(shown)
    assert "+- sampling" in seen[0] and "> open" not in seen[0] and "enter its samples" in seen[1]
    assert "Wie gro" in seen[3] and "ungefahr?" in seen[3]
    async with running(own, (140, 40)) as driver:
        assert "╭─ sampling" in driver.text and "↵" in (await driver.press("2")).text


@pytest.mark.parametrize(
    "text", ["●◐○✓✗■▲·✂⚑◆┃▌", "╭─╮│╰╯┤┬└", "━╸▁▄█▇", "⣿⡀⠁⠀", "…–×→é", "数👍🏽", "a\u0301"]
)
def test_a_twin_is_as_wide(text: str) -> None:
    shown = glyphs.as_ascii(text)
    assert shown.isascii() and cell_len(shown) == sum(map(cell_len, text))


def test_a_terminal_is_asked_by_its_encoding_and_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding, term, wanted in (
        ("UTF-8", "xterm", False),
        ("utf8", "tmux-256color", False),
        ("ISO-8859-1", "xterm", True),
        ("UTF-8", "linux", True),
    ):
        monkeypatch.setattr(glyphs.locale, "getpreferredencoding", lambda _, said=encoding: said)
        monkeypatch.setenv("TERM", term)
        assert glyphs.needed() is wanted
