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
    whole: bool = False
    """Names, which are not cut while a column of lower priority is shown. Takes the space that the others leave."""
    sort_by: Mapping[str, Callable[[RowT], Any]] = field(default_factory=dict)
    """Sort orders by name; the smallest key comes first."""

    def text(self, row: RowT) -> Text:
        """The cell's text."""
        cell = self.cell(row)
        return cell if isinstance(cell, Text) else say(cell)


def gap(width: int) -> int:
    """Cells between two columns of a list of `width` cells."""
    return 2 if width >= 70 else 1


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns that a list shows: index, column and cells of each, and the cells between two."""

    columns: Sequence[tuple[int, Column[Any], int]]
    gap: int


def visible(columns: Sequence[Column[Any]], width: int, names: int = 0) -> Layout:
    """The columns shown in a list of `width` cells.

    Where the longest name has `names` cells and is given fewer, gaps shrink first; then the columns that come with the
    widest lists are left out, one by one.
    """
    shown = [
        (at, column) for at, column in enumerate(columns) if column.from_width <= width <= column.to_width
    ]
    space = gap(width)

    def rest() -> int:
        return width - 1 - sum(column.width + space for _, column in shown)

    if any(column.whole for _, column in shown):
        if rest() < names:
            space = 1
        while rest() < names and (
            extra := [each for each in shown if each[1].from_width and not each[1].whole]
        ):
            shown.remove(max(extra, key=lambda each: (each[1].from_width, each[0])))
    room = max(4, rest())
    return Layout([(at, column, column.width or room) for at, column in shown], space)


# A list draws about two hundred cells a frame, most of them unchanged (a task's name, a verdict). They are cached; new
# plain ones (ids, answers) are cut without Rich's machinery.

Piece = tuple[str, Style]
"""A stretch of text in one style."""

CACHED = 4_096

PLAIN = Style()
"""The style of a piece that has none of its own."""
_cache: dict[tuple[Any, ...], tuple[Piece, ...]] = {}


def fit_cell(text: Text, room: int, align: Align) -> tuple[Piece, ...]:
    """`text` in exactly `room` cells, cut with an ellipsis or padded with spaces; safe for any content."""
    if not text.spans and not text.style:
        plain = text.plain
        if plain.isascii() and plain.isprintable():
            if len(plain) > room:
                plain = plain[: room - 1] + "…"
            return ((plain.ljust(room) if align == "left" else plain.rjust(room), PLAIN),)
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
