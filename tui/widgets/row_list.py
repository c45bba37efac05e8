"""A list of rows with a cursor, drawn line by line: only what is visible is ever made.

Invariants: it holds no rows itself (`RowList`) or tens to hundreds of them (`Table`); the cursor
stays on its row when others come or go; texts are shown as they stand, one line each.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.text import guarded, say
from tui.widgets.cell import Align, fitted


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `width` cells, or what is left where 0; hidden in lists narrower than `least` or wider than `most`."""

    title: str
    width: int
    align: Align = "left"
    least: int = 0
    most: int = 10_000


class RowList(ScrollView, can_focus=False):
    """Rows by index, from wherever `cells` takes them."""

    DEFAULT_CSS = """
    RowList { height: 1fr; width: 1fr; scrollbar-size-horizontal: 0; scrollbar-size-vertical: 1;
              overflow-x: hidden; }
    RowList > .rows--cursor { background: $primary-muted; text-style: bold; }
    RowList > .rows--title { text-style: bold underline; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--cursor", "rows--title"}

    class Moved(Message):
        """The cursor is on another row."""

    class Chosen(Message):
        """A row was clicked that the cursor was on."""

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = columns
        self.cursor = 0
        self._empty = "nothing here yet"
        self.leaving: Callable[[], None] = lambda: None
        """Called before the cursor goes to another row: what belongs to that row is about to be read."""
        self._base = Style()  # of this drawing, as are the columns
        self._laid: list[tuple[int, Column, int]] = []

    # What it shows: for subclasses

    def total(self) -> int:
        """How many rows there are."""
        return 0

    def cells(self, index: int) -> Sequence[Text] | None:
        """One text for each column; None while the row is not known yet."""
        return None

    def explain(self, words: str) -> None:
        """What stands there while there is no row."""
        if words != self._empty:
            self._empty = words
            self.refresh()

    # The cursor

    @property
    def page_rows(self) -> int:
        """Rows that fit on the screen."""
        return max(1, self.size.height - 1)

    @property
    def top(self) -> int:
        """Index of the first visible row."""
        return round(self.scroll_offset.y)

    def move(self, index: int) -> None:
        """Puts the cursor on a row (the nearest there is) and shows it."""
        index = max(0, min(index, self.total() - 1))
        moved = index != self.cursor
        if moved:
            self.leaving()
        self.cursor = index
        self.reveal()
        if moved:
            self.refresh()
            self.post_message(self.Moved())

    def reveal(self) -> None:
        """Scrolls until the cursor can be seen."""
        top, rows = self.top, self.page_rows
        if self.cursor < top:
            self.show_from(self.cursor)
        elif self.cursor >= top + rows:
            self.show_from(self.cursor - rows + 1)

    def show_from(self, index: int) -> None:
        """Makes `index` the first visible row, as far as that goes."""
        self.scroll_to(y=index, animate=False, force=True, immediate=True)

    def resized(self) -> None:
        """To be called when `total` changed."""
        self.virtual_size = Size(self.size.width, self.total() + 1)
        self.cursor = max(0, min(self.cursor, self.total() - 1))
        self.refresh()

    def on_resize(self) -> None:
        """Keeps the cursor in sight when the terminal changes."""
        self.resized()
        self.call_after_refresh(self.reveal)

    def on_click(self, event: object) -> None:
        """A click moves the cursor; a click on the cursor's row opens it."""
        y = getattr(event, "y", 0)
        index = self.top + y - 1
        if y < 1 or index >= self.total():
            return
        if index == self.cursor:
            self.post_message(self.Chosen())
        else:
            self.move(index)

    # Drawing

    def layout_columns(self) -> list[tuple[int, Column, int]]:
        """Position, column and width of the columns that fit."""
        room = self.size.width - 2
        shown = [
            (at, column)
            for at, column in enumerate(self.columns)
            if column.least <= self.size.width <= column.most
        ]
        fixed = sum(column.width + 1 for _, column in shown)
        rest = max(4, room - fixed)
        return [(at, column, column.width or rest) for at, column in shown]

    def render_lines(self, crop: Region) -> list[Strip]:
        """Lines of the list; what holds for all of them is worked out once."""
        self._base, self._laid = self.rich_style, self.layout_columns()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """The titles, then a row a line."""
        width = self.size.width
        if y == 0:
            style = self.get_component_rich_style("rows--title", partial=True)
            titles = [say(column.title) for column in self.columns]
            return self._strip("  ", titles, width, style)
        index = self.top + y - 1
        if index >= self.total():
            hint = textwrap.wrap(self._empty, max(8, width - 4)) if not self.total() else []
            if y <= len(hint):
                return self._line(say("  ", hint[y - 1]), width)
            return Strip.blank(width, self.rich_style)
        cells = self.cells(index)
        here = index == self.cursor
        style = self.get_component_rich_style("rows--cursor", partial=True) if here else Style()
        if cells is None:
            return self._line(say("▸ …" if here else "  …"), width, style)
        return self._strip("▸ " if here else "  ", cells, width, style)

    def _strip(self, mark: str, cells: Sequence[Text], width: int, style: Style) -> Strip:
        base = self._base + style
        segments, taken = [Segment(mark, base)], len(mark)
        for at, column, room in self._laid:
            segments += [Segment(piece, base + own) for piece, own in fitted(cells[at], room, column.align)]
            segments.append(Segment(" ", base))
            taken += room + 1
        return Strip(segments, taken).adjust_cell_length(width, base)

    def _line(self, text: Text, width: int, style: Style | None = None) -> Strip:
        text = guarded(text)
        text.end = ""
        base = self._base + style if style else self._base
        segments: list[Segment] = [
            Segment(segment.text.replace("\n", " ").replace("\t", " "), segment.style)
            for segment in text.render(self.app.console)
            if not segment.control
        ]
        return Strip(segments).adjust_cell_length(width).apply_style(base)


class Table(RowList):
    """Some tens or hundreds of rows, each with a key; the cursor stays with its key."""

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:
        super().__init__(columns, id=id)
        self._rows: list[tuple[Hashable, Sequence[Text]]] = []

    def total(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def cells(self, index: int) -> Sequence[Text]:
        """The row's texts."""
        return self._rows[index][1]

    @property
    def key(self) -> Hashable | None:
        """Key of the row under the cursor; None without rows."""
        return self._rows[self.cursor][0] if self._rows else None

    def show(self, rows: list[tuple[Hashable, Sequence[Text]]], *, follow: bool = False) -> None:
        """Replaces the rows. The cursor stays on its key; with `follow`, it stays at the top if it is there."""
        if rows == self._rows:
            return
        before, key = [row[0] for row in self._rows], self.key
        stay = follow and self.cursor == 0
        shift = 0
        self._rows = rows
        if key is not None and not stay and before != [row[0] for row in rows]:
            position = next((at for at, row in enumerate(rows) if row[0] == key), None)
            if position is not None:
                shift, self.cursor = position - self.cursor, position
        self.resized()
        if shift and self.is_mounted:
            self.show_from(self.top + shift)
            self.reveal()
        if self.key != key:
            self.post_message(self.Moved())

    def find(self, key: Hashable) -> bool:
        """Puts the cursor on a key; False where it is not there."""
        for at, row in enumerate(self._rows):
            if row[0] == key:
                self.move(at)
                return True
        return False
