"""Every glyph has an ASCII twin of the same width, for terminals that cannot show Unicode.

The last step before the terminal replaces them, in our lines and in Textual's own widgets alike; a character without a twin, as in a text
that somebody wrote, becomes `?`.
"""

from __future__ import annotations

import locale
import os
import unicodedata
from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

PLAIN_TERMINALS = frozenset({"ansi", "dumb", "linux", "vt100", "vt102", "vt220"})
"""Kinds of terminals (`TERM`) whose fonts lack braille and most marks; `linux` is the console of a machine."""

_KEYS = {"↵": "enter", "←": "left", "→": "right"}
_TWINS = {
    # Marks of states and verdicts.
    "●": "*", "◐": "%", "○": "o", "✓": "+", "✗": "x", "■": "#", "▲": "!", "·": "-", "✂": "~", "⚑": "P", "◆": "T",
    "┃": "|", "▌": ">", "×": "x",
    # Frames, plots, bars.
    **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼╋", "+"), **dict.fromkeys("│┆┊▏▕▎▐", "|"), **dict.fromkeys("─╌┄", "-"), "┈": ".", "━": "=", "╸": "-",
    "╺": "-", **dict.fromkeys("▁▂", "_"), "▃": ".", "▄": ":", "▅": "+", "▆": "*", **dict.fromkeys("▇█▉▊▋▍", "#"), "▔": "-", "▀": "'",
    # Keys and words.
    "→": ">", "←": "<", "↑": "^", "↓": "v", "↵": "~", "›": ">", "…": "~", "–": "-", "—": "-", "−": "-", "“": '"', "”": '"', "„": '"',
    "‘": "'", "’": "'", "µ": "u", "≥": ">", "≤": "<", "≈": "~", "⭘": "o", "❯": ">",
}  # fmt: skip


_in_use = False


def use(ascii_only: bool) -> None:
    """Chooses whether keys are named by words: arrows and ↵ have no twin that says the same."""
    global _in_use
    _in_use = ascii_only


def key_name(name: str) -> str:
    """The name of a key, as it is drawn."""
    return _KEYS.get(name, name) if _in_use else name


def needed() -> bool:
    """Whether this terminal cannot show Unicode: its encoding has none, or its kind is known for a small font."""
    encoding = locale.getpreferredencoding(False).lower().replace("-", "")
    return encoding not in ("utf8", "utf16") or os.environ.get("TERM", "") in PLAIN_TERMINALS


def as_ascii(text: str) -> str:
    """The text in ASCII, as many cells wide."""
    return text if text.isascii() else "".join(map(_twin, text))


@lru_cache(maxsize=4_096)
def _twin(character: str) -> str:
    if character.isascii():
        return character
    if character in _TWINS:
        return _TWINS[character]
    if "\u2800" <= character <= "\u28ff":
        return _dots(ord(character) - 0x2800)
    cells = cell_len(character)
    base = unicodedata.normalize("NFKD", character)[0]  # é as e
    return base if cells == 1 and base.isascii() and base.isprintable() else "?" * cells


def _dots(dots: int) -> str:
    """Braille: by how many dots there are, and where."""
    upper, lower = dots & 0b0001_1011, dots & 0b1110_0100
    if not dots:
        return " "
    if dots.bit_count() >= 6:
        return "#"
    return ":" if upper and lower else "'" if upper else "."


class AsciiFilter(LineFilter):
    """Replaces what is not ASCII in every line that is drawn."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments in ASCII."""
        return [
            segment
            if segment.text.isascii()
            else Segment(as_ascii(segment.text), segment.style, segment.control)
            for segment in segments
        ]
