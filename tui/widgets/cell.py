"""A text in exactly so many cells of one line: what a list's rows are made of. Pure.

A list draws some two hundred of them a frame, most of which it drew before (a task's name, a verdict): so they are
remembered, and the plain ones that are new (ids, answers) are cut without Rich's machinery.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Literal

from rich.style import Style
from rich.text import Span, Text

from tui.text import guarded

Align = Literal["left", "right"]
Piece = tuple[str, Style]
"""A stretch of text in one style."""

KEPT = 4_096

_PLAIN = Style()
_known: dict[Hashable, tuple[Piece, ...]] = {}


def fitted(text: Text, room: int, align: Align) -> tuple[Piece, ...]:
    """`text` in `room` cells, cut with an ellipsis or filled with blanks; harmless, whatever it holds."""
    if not text.spans and not text.style:
        plain = text.plain
        if plain.isascii() and plain.isprintable():
            if len(plain) > room:
                plain = plain[: room - 1] + "…"
            return ((plain.ljust(room) if align == "left" else plain.rjust(room), _PLAIN),)
    key = (text.plain, tuple(text.spans), text.style, room, align)
    found = _known.get(key)
    if found is None:
        if len(_known) >= KEPT:
            _known.clear()
        found = _known[key] = _cut(text, room, align)
    return found


def _cut(text: Text, room: int, align: Align) -> tuple[Piece, ...]:
    text = guarded(text.copy())
    text.plain = text.plain.replace("\n", " ").replace("\t", " ")
    text.truncate(room, overflow="ellipsis")
    text.align(align, room)
    return tuple(_pieces(text.plain, text.spans, _style(text.style)))


def _pieces(plain: str, spans: Sequence[Span], base: Style) -> list[Piece]:
    """The text cut wherever a style begins or ends; later spans lie on top of earlier ones."""
    ends = sorted({0, len(plain), *(at for span in spans for at in span[:2] if 0 < at < len(plain))})
    found = []
    for start, end in pairwise(ends):
        style = base
        for span in spans:
            if span.start <= start and end <= span.end:
                style += _style(span.style)
        found.append((plain[start:end], style))
    return found


def _style(style: str | Style) -> Style:
    return Style.parse(style) if isinstance(style, str) else style
