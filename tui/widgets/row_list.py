"""A list of rows with a cursor, drawn line by line: only the visible rows are rendered.

Invariants: a `RowList` holds no rows itself, a `Table` holds tens to hundreds; the cursor stays on its row when other
rows come or go; each row is one line of text, shown as it is.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar, Generic

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.colours import colours
from tui.colours import style as colour
from tui.text import guarded, say
from tui.widgets.columns import PLAIN, Column, Layout, RowT, as_the_terminal_wants, fit_cell, visible

CACHED_ROWS = 200
"""Rows that are kept as they were drawn: another row under the cursor changes two of them."""


class RowList(ScrollView, can_focus=False):
    """Rows by index; a subclass supplies their cells."""

    DEFAULT_CSS = """
    RowList { height: 1fr; width: 1fr; scrollbar-size-horizontal: 0; scrollbar-size-vertical: 1;
              overflow-x: hidden; }
    RowList > .rows--cursor { background: $primary-muted; text-style: bold; }
    RowList > .rows--title { color: $text-muted; }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--cursor", "rows--title"}

    class Moved(Message):
        """The cursor moved to another row."""

    class Chosen(Message):
        """The row under the cursor was clicked."""

    def __init__(self, columns: Sequence[Column[Any]], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = columns
        self.cursor = 0
        self._empty = "nothing here yet"
        self.before_move: Callable[[], None] = lambda: None
        """Called before the cursor moves to another row, whose details will then be read."""
        self._base = Style()  # for the current drawing, like the visible columns
        self._visible = Layout([], 1)
        self._drawn: tuple[object, dict[int, tuple[Sequence[Text], bool, Strip]]] = ((), {})

    # For subclasses

    def total(self) -> int:
        """The number of rows."""
        return 0

    def cells(self, index: int) -> Sequence[Text] | None:
        """One text per column; None while the row has not been read yet."""
        return None

    def longest_name(self) -> int:
        """Cells of the longest name in a column that is shown whole."""
        return 0

    def show_when_empty(self, words: str) -> None:
        """The text shown while there are no rows."""
        if words != self._empty:
            self._empty = words
            self.refresh()

    # The cursor

    @property
    def page_rows(self) -> int:
        """The number of rows that fit on the screen."""
        return max(1, self.size.height - 1)

    @property
    def top(self) -> int:
        """Index of the first visible row."""
        return round(self.scroll_offset.y)

    def move(self, index: int) -> None:
        """Moves the cursor to a row (or the nearest one) and scrolls it into view."""
        index, before = max(0, min(index, self.total() - 1)), self.cursor
        if index != before:
            self.before_move()
        self.cursor = index
        self.reveal()
        if index != before:
            self.refresh_rows([before, index])
            self.post_message(self.Moved())

    def reveal(self) -> None:
        """Scrolls until the cursor is visible."""
        top, rows = self.top, self.page_rows
        if self.cursor < top:
            self.show_from(self.cursor)
        elif self.cursor >= top + rows:
            self.show_from(self.cursor - rows + 1)

    def show_from(self, index: int) -> None:
        """Makes `index` the first visible row, if the list is long enough."""
        self.scroll_to(y=index, animate=False, force=True, immediate=True)

    def resized(self) -> None:
        """Call this when `total` has changed."""
        self.virtual_size = Size(self.size.width, self.total() + 1)
        self.cursor = max(0, min(self.cursor, self.total() - 1))
        self.refresh()

    def restyle(self) -> None:
        """Other colours."""
        self.refresh()

    def refresh_rows(self, indexes: Sequence[int]) -> None:
        """Draws these rows again, where they are visible."""
        top, width, height = self.top, self.size.width, self.size.height
        places = [Region(0, at - top + 1, width, 1) for at in indexes if 0 <= at - top < height - 1]
        if places:
            self.refresh(*places)

    def on_resize(self) -> None:
        """Keeps the cursor visible when the terminal is resized."""
        self.resized()
        self.call_after_refresh(self.reveal)

    def on_click(self, event: object) -> None:
        """A click moves the cursor; a click on the row under the cursor opens it."""
        y = getattr(event, "y", 0)
        index = self.top + y - 1
        if y < 1 or index >= self.total():
            return
        if index == self.cursor:
            self.post_message(self.Chosen())
        else:
            self.move(index)

    # Drawing

    def render_lines(self, crop: Region) -> list[Strip]:
        """The visible lines, without Textual's frame and padding, which a list has not."""
        base, width = self.rich_style, self.size.width
        names = self.longest_name()
        key = (base, width, names, colours())
        if self._drawn[0] != key:
            self._drawn = (key, {})
            self._base, self._visible = base, visible(self.columns, width, names)
        found = [self.render_line(y) for y in range(crop.y, crop.bottom)]
        if crop.x or crop.width != width:
            found = [strip.crop(crop.x, crop.right) for strip in found]
        return as_the_terminal_wants(self, found)

    def render_line(self, y: int) -> Strip:
        """The column titles, then one row per line."""
        width = self.size.width
        if y == 0:
            style = self.get_component_rich_style("rows--title", partial=True)
            titles = [say(column.title) for column in self.columns]
            return self._strip(" ", titles, width, style)
        index = self.top + y - 1
        if index >= self.total():
            hint = textwrap.wrap(self._empty, max(8, width - 4)) if not self.total() else []
            if y <= len(hint):
                return self._line(say(" ", hint[y - 1]), width)
            return Strip.blank(width, self.rich_style)
        cells, here = self.cells(index), index == self.cursor
        known = self._drawn[1].get(index)
        if known is not None and known[0] is cells and known[1] == here:
            return known[2]
        style = self.get_component_rich_style("rows--cursor", partial=True) if here else Style()
        if cells is None:
            return self._line(say(("▌" if here else " "), "…"), width, style)
        strip = self._strip("▌" if here else " ", cells, width, style)
        if len(self._drawn[1]) >= CACHED_ROWS:
            self._drawn[1].clear()
        self._drawn[1][index] = (cells, here, strip)
        return strip

    def _strip(self, mark: str, cells: Sequence[Text], width: int, style: Style) -> Strip:
        base, space = self._base + style, " " * self._visible.gap
        segments, taken = [Segment(mark, base + Style.parse(colour("accent")))], len(mark)
        plain = ""  # text in no style of its own: one segment, over the columns
        for at, column, room in self._visible.columns:
            for piece, own in fit_cell(cells[at], room, column.align):
                if own is PLAIN:
                    plain += piece
                    continue
                if plain:
                    segments.append(Segment(plain, base))
                    plain = ""
                segments.append(Segment(piece, base + own))
            plain += space
            taken += room + len(space)
        if taken <= width:
            return Strip([*segments, Segment(plain + " " * (width - taken), base)], width)
        return Strip([*segments, Segment(plain, base)], taken).adjust_cell_length(width, base)

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


class Table(RowList, Generic[RowT]):
    """Tens or hundreds of rows, each with a key; the cursor stays on its key."""

    def __init__(
        self,
        columns: Sequence[Column[RowT]],
        *,
        key: Callable[[RowT], Hashable],
        order: str = "",
        id: str | None = None,
    ) -> None:
        """A table of these columns.

        Args:
            columns: what is shown of a row; their `sort_by` are the sort orders.
            key: identifies a row.
            order: name of the order in which the rows are given.
            id: of the widget.
        """
        super().__init__(columns, id=id)
        self.order = order
        self.rows: list[RowT] = []
        self._orders = {name: by for column in columns for name, by in column.sort_by.items()}
        self._names = [order, *self._orders]
        self._key_of = key
        self._keys: list[Hashable] = []
        self._cells: dict[int, list[Text]] = {}
        self._longest = 0

    def total(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def cells(self, index: int) -> Sequence[Text]:
        """The texts of a row, made when it is first drawn."""
        if index not in self._cells:
            self._cells[index] = [column.text(self.rows[index]) for column in self.columns]
        return self._cells[index]

    def longest_name(self) -> int:
        """Cells of the longest name among all rows."""
        return self._longest

    @property
    def key(self) -> Hashable | None:
        """The key of the row under the cursor; None without rows."""
        return self._keys[self.cursor] if self._keys else None

    @property
    def selected(self) -> RowT | None:
        """The row under the cursor; None without rows."""
        return self.rows[self.cursor] if self.rows else None

    def sort_next(self) -> str:
        """Chooses the next sort order and returns its name; the next `show` applies it."""
        self.order = self._names[(self._names.index(self.order) + 1) % len(self._names)]
        return self.order

    def show(self, rows: Sequence[RowT], *, follow: bool = False) -> None:
        """Replaces the rows. The cursor stays on its key; with `follow`, a cursor at the top stays there."""
        key, before, keep_top = self.key, self._keys, follow and self.cursor == 0
        by = self._orders.get(self.order)
        old, known = self.rows, self._cells
        self.rows = sorted(rows, key=by) if by is not None else list(rows)
        self._keys = [self._key_of(row) for row in self.rows]
        drawn = range(self.top, min(self.top + self.page_rows, len(self.rows)))
        if self._keys == before:
            # A row that says the same keeps its texts; of the others only those that are seen are drawn.
            self._cells = {at: cells for at, cells in known.items() if old[at] == self.rows[at]}
            self.refresh_rows([at for at in drawn if known.get(at) != self.cells(at)])
            return
        self._cells = {}
        named = [column for column in self.columns if column.whole]
        self._longest = max((column.text(row).cell_len for row in rows for column in named), default=0)
        shift = 0
        if key is not None and not keep_top and before != self._keys and key in self._keys:
            position = self._keys.index(key)
            shift, self.cursor = position - self.cursor, position
        self.resized()
        if shift and self.is_mounted:
            self.show_from(self.top + shift)
            self.reveal()
        if self.key != key:
            self.post_message(self.Moved())

    def restyle(self) -> None:
        """Other colours."""
        self._cells.clear()
        super().restyle()

    def find(self, key: Hashable) -> bool:
        """Moves the cursor to a key; returns False if there is no such row."""
        if key not in self._keys:
            return False
        self.move(self._keys.index(key))
        return True
