"""Text as the monitor shows it. Every string from outside the program goes through `say`.

Invariants: nothing is parsed as markup; control characters are made visible. Verdicts and states are a glyph and a
word, so they can be told apart without colour.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from state.safe import safe
from tui.colours import style

Part = str | tuple[str, str] | Text


def say(*parts: Part) -> Text:
    """Joins strings, (string, style) pairs and texts into one text."""
    whole = Text(no_wrap=False, overflow="ellipsis", tab_size=4)
    for part in parts:
        if isinstance(part, Text):
            whole.append_text(part)
        elif isinstance(part, str):
            whole.append(safe(part))
        else:
            whole.append(safe(part[0]), style=style(part[1]))
    return whole


def lines(parts: Sequence[Text | str]) -> Text:
    """Joins texts, one line each."""
    whole = Text(overflow="ellipsis", tab_size=4)
    for number, part in enumerate(parts):
        if number:
            whole.append("\n")
        whole.append_text(part if isinstance(part, Text) else say(part))
    return whole


def one_line(text: str, limit: int = 2_000) -> str:
    """The start of a text with spaces for line breaks and tabs."""
    return text[:limit].replace("\n", " ").replace("\t", " ")


def shortened(text: str, room: int) -> str:
    """The start of a text in one line of at most `room` characters; an ellipsis marks a cut."""
    text = one_line(text)
    return text if len(text) <= room else text[: max(0, room - 1)] + "…"


def clause(text: str, room: int) -> str:
    """A text in one line of at most `room` characters, cut where a clause or a word ends."""
    text = one_line(text)
    if len(text) <= room:
        return text
    ends = [text.rfind(mark, 0, room + 1) for mark in (", ", ". ", "; ", ": ", " (")]
    if (end := max(ends)) > room * 0.55:
        return text[:end]
    end = text.rfind(" ", 0, room)
    return f"{text[:end]}…" if end > room * 0.55 else shortened(text, room)


def truncated(text: Text, width: int) -> Text:
    """Cuts a text in place to one line of at most `width` cells."""
    text.truncate(max(1, width), overflow="ellipsis")
    return text


def across(left: Text, right: Text, width: int) -> Text:
    """One line of exactly `width` cells with something at each end; the left one is cut if both do not fit."""
    room = width - right.cell_len
    if room < 1:
        return truncated(left, width)
    left = truncated(left.copy(), room - 1 if right.cell_len else room)
    return say(left, " " * (room - left.cell_len), right)


def fit_parts(parts: Sequence[tuple[int, Text]], width: int) -> Text:
    """Joins the parts that fit into `width` cells, in their order; the highest priority number is dropped first."""
    kept = list(parts)
    while len(kept) > 1 and sum(text.cell_len for _, text in kept) > width:
        kept.remove(max(kept, key=lambda part: part[0]))
    return truncated(say(*(text for _, text in kept)), width)


def guarded(text: Text) -> Text:
    """Makes a text harmless that was built without `say`: the last check before the screen."""
    plain = text.plain
    shown = safe(plain)
    if shown is not plain and shown != plain:
        text = text.copy()
        text.plain = shown  # same length, so the styles keep their positions
    return text


def title(words: str) -> Text:
    """The heading of a section."""
    return say((words, "strong"))


def sections(*parts: tuple[Text, Sequence[Text]]) -> Text:
    """Headings with the lines below each; a section without lines is left out."""
    whole: list[Text | str] = []
    for heading, below in parts:
        if below:
            whole += [*([""] if whole else []), heading, *below]
    return lines(whole)


def fields(*rows: tuple[Part, ...] | None, width: int = 11) -> list[Text]:
    """Lines of a label and its value; all values start in the same cell. None leaves a line out.

    Args:
        rows: the label, then the parts of the value.
        width: cells of the label column.
    """
    return [say((f"{row[0]:<{width}}", "muted"), *row[1:]) for row in rows if row is not None]


VERDICTS = {
    "correct": ("✓ correct", "good"),
    "wrong": ("✗ wrong", "bad"),
    "answered": ("✓ answered", "good"),
    "unread": ("✗ no answer", "bad"),
    "ungraded": ("? ungraded", "attention"),
    "open": ("○ open", "muted"),
    "failed": ("✗ failed", "bold bad"),
}


def verdict(word: str) -> Text:
    """A verdict as glyph and word."""
    return say(VERDICTS.get(word, (word, "")))


STATES = {
    "ready": ("● ready", "good"),
    "running": ("● running", "good"),
    "training": ("● training", "accent"),
    "evaluating": ("● evaluating", "accent"),
    "done": ("✓ done", "good"),
    "starting": ("◐ starting", "accent"),
    "queued": ("○ queued", "attention"),
    "draining": ("◐ draining", "attention"),
    "limited": ("▲ limited", "attention"),
    "cooling": ("▲ cooling", "attention"),
    "paused": ("■ paused", "attention"),
    "stopped": ("○ stopped", "muted"),
    "parked": ("■ parked", "bold bad"),
    "failed": ("✗ failed", "bold bad"),
    "down": ("✗ down", "bold bad"),
}


def state_word(state: str) -> Text:
    """The state of a daemon, teacher or run as glyph and word."""
    return say(STATES.get(state, (state, "")))


LEVELS = {
    "info": ("· info", "muted"),
    "warning": ("▲ warning", "attention"),
    "error": ("✗ error", "bold bad"),
}
