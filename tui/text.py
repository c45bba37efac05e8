"""Text as the monitor shows it: every string that comes from outside goes through `say`.

Invariants: nothing is ever parsed as markup; control characters are made visible. Verdicts and
states are a glyph and a word, so they can be told apart without colour.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.text import Text

from state.safe import safe
from state.views.samples import SampleRow

Part = str | tuple[str, str] | Text


def say(*parts: Part) -> Text:
    """One text of strings, (string, style) pairs and texts, as they stand."""
    whole = Text(no_wrap=False, overflow="ellipsis", tab_size=4)
    for part in parts:
        if isinstance(part, Text):
            whole.append_text(part)
        elif isinstance(part, str):
            whole.append(safe(part))
        else:
            whole.append(safe(part[0]), style=_style(part[1]))
    return whole


WEIGHTS = {"bold", "dim", "italic", "underline", "reverse"}


def _style(style: str) -> str:
    """The style; without its colours under NO_COLOR: as a grey, red on a dark ground cannot be read."""
    if "NO_COLOR" not in os.environ:
        return style
    return " ".join(word for word in style.split() if word in WEIGHTS)


def lines(parts: Sequence[Text | str]) -> Text:
    """Texts one below the other."""
    whole = Text(overflow="ellipsis", tab_size=4)
    for number, part in enumerate(parts):
        if number:
            whole.append("\n")
        whole.append_text(part if isinstance(part, Text) else say(part))
    return whole


def one_line(text: str, limit: int = 2_000) -> str:
    """The start of a text, its line breaks and tabs as spaces."""
    return text[:limit].replace("\n", " ").replace("\t", " ")


def shortened(text: str, room: int) -> str:
    """The start of a text in one line of at most `room` characters, and a mark where it goes on."""
    text = one_line(text)
    return text if len(text) <= room else text[: max(0, room - 1)] + "…"


def guarded(text: Text) -> Text:
    """The last look before the screen: whatever was put in past `say` is made harmless here."""
    plain = text.plain
    shown = safe(plain)
    if shown is not plain and shown != plain:
        text = text.copy()
        text.plain = shown  # of the same length, so the styles stay where they are
    return text


def title(words: str) -> Text:
    """The heading of a part of the screen."""
    return say((words, "bold cyan"))


VERDICTS = {
    "correct": ("✓ correct", "green"),
    "wrong": ("✗ wrong", "red"),
    "ungraded": ("? ungraded", "yellow"),
    "open": ("◌ open", "dim"),
    "failed": ("! failed", "bold red"),
}


def verdict_of(row: SampleRow) -> str:
    """The verdict's word: correct, wrong, ungraded, open or failed."""
    if row.state != "stored":
        return row.state
    return "ungraded" if row.verdict is None else "correct" if row.verdict else "wrong"


def verdict(word: str) -> Text:
    """A verdict as glyph and word."""
    return say(VERDICTS.get(word, (word, "")))


STATES = {
    "ready": ("● ready", "green"),
    "running": ("● running", "green"),
    "training": ("● training", "green"),
    "evaluating": ("● evaluating", "green"),
    "done": ("✓ done", "green"),
    "starting": ("◌ starting", "yellow"),
    "queued": ("◌ queued", "yellow"),
    "draining": ("◌ draining", "yellow"),
    "limited": ("◐ limited", "yellow"),
    "cooling": ("◐ cooling", "yellow"),
    "paused": ("‖ paused", "yellow"),
    "stopped": ("■ stopped", "dim"),
    "parked": ("✗ parked", "bold red"),
    "failed": ("✗ failed", "bold red"),
    "down": ("✗ down", "bold red"),
}


def state_word(state: str) -> Text:
    """The state of a daemon, teacher or run as glyph and word."""
    return say(STATES.get(state, (state, "")))


LEVELS = {"info": ("· info", "dim"), "warning": ("! warning", "yellow"), "error": ("✗ error", "bold red")}


def level_word(level: str) -> Text:
    """The level of an event as glyph and word."""
    return say(LEVELS.get(level, (level, "")))
