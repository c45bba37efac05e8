"""The columns of a list. A column is one object: title, width, cell, sort orders and the widths at which it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic, Literal, TypeVar

from rich.style import Style
from rich.text import Span, Text
from textual.strip import Strip
from textual.widget import Widget

from tui.glyphs import AsciiFilter
from tui.text import guarded, say


def as_the_terminal_wants(widget: Widget, strips: list[Strip]) -> list[Strip]:
    """Strips that a widget makes by itself, through the filters of its application: ASCII, no colours under NO_COLOR."""
    wanted = [
        each for each in widget.get_line_filters() if isinstance(each, AsciiFilter) or widget.app.no_color
    ]
    if not wanted:
        return strips
    background = widget.background_colors[1]
    for each in wanted:
        strips = [strip.apply_filter(each, background) for strip in strips]
    return strips


Align = Literal["left", "right"]
RowT = TypeVar("RowT")


@dataclass(frozen=True, slots=True)
class Column(Generic[RowT]):
    """A column of rows of one type."""

    title: str
    width: int
    """Cells; 0 takes the space that the other columns leave."""
    cell: Callable[[RowT], Text | str]
    align: Align = "left"
    from_width: int = 0
    """Hidden in narrower lists."""
    to_width: int = 10_000
    """Hidden in wider lists."""
    sort_by: Mapping[str, Callable[[RowT], Any]] = field(default_factory=dict)
    """Sort orders by name; the smallest key comes first."""

    def text(self, row: RowT) -> Text:
        """The cell's text."""
        cell = self.cell(row)
        return cell if isinstance(cell, Text) else say(cell)


def gap(width: int) -> int:
    """Cells between two columns of a list of `width` cells."""
    return 2 if width >= 70 else 1


def visible(columns: Sequence[Column[Any]], width: int) -> list[tuple[int, Column[Any], int]]:
    """Index, column and cells of the columns shown in a list of `width` cells."""
    shown = [
        (at, column) for at, column in enumerate(columns) if column.from_width <= width <= column.to_width
    ]
    fixed = sum(column.width + gap(width) for _, column in shown)
    rest = max(4, width - 1 - fixed)
    return [(at, column, column.width or rest) for at, column in shown]


# A list draws about two hundred cells a frame, most of them unchanged (a task's name, a verdict). They are cached; new
# plain ones (ids, answers) are cut without Rich's machinery.

Piece = tuple[str, Style]
"""A stretch of text in one style."""

CACHED = 4_096

_PLAIN = Style()
_cache: dict[tuple[Any, ...], tuple[Piece, ...]] = {}


def fit_cell(text: Text, room: int, align: Align) -> tuple[Piece, ...]:
    """`text` in exactly `room` cells, cut with an ellipsis or padded with spaces; safe for any content."""
    if not text.spans and not text.style:
        plain = text.plain
        if plain.isascii() and plain.isprintable():
            if len(plain) > room:
                plain = plain[: room - 1] + "…"
            return ((plain.ljust(room) if align == "left" else plain.rjust(room), _PLAIN),)
    key = (text.plain, tuple(text.spans), text.style, room, align)
    found = _cache.get(key)
    if found is None:
        if len(_cache) >= CACHED:
            _cache.clear()
        found = _cache[key] = _cut(text, room, align)
    return found


def _cut(text: Text, room: int, align: Align) -> tuple[Piece, ...]:
    text = guarded(text.copy())
    text.plain = text.plain.replace("\n", " ").replace("\t", " ")
    text.truncate(room, overflow="ellipsis")
    text.align(align, room)
    return tuple(_pieces(text.plain, text.spans, _style(text.style)))


def _pieces(plain: str, spans: Sequence[Span], base: Style) -> list[Piece]:
    """The text split wherever a style begins or ends; later spans override earlier ones."""
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
