"""A framed panel: its title in the border at the left, one summary at the right, a pointer at the lower right.

Invariants: the frame takes one row above and below and two cells at each side; under the class `-bare` of the screen
there is no frame; titles and lines are texts made by `say`, never markup.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.events import Click
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.colours import Colours, colours, style
from tui.text import Part, say
from tui.widgets.columns import as_the_terminal_wants, fit_cell

Painter = Callable[[int, int], Sequence[Text]]
"""Makes the lines of a panel, from its cells and rows inside the frame."""


class Panel(Widget, can_focus=False):
    """A frame around widgets (`with Panel(id=…):`), or around lines that a painter makes."""

    DEFAULT_CSS = "Panel { padding: 1 2; height: 1fr; width: 1fr; layout: vertical; }"

    class Clicked(Message):
        """A line of a painted panel was clicked; `row` counts from its first line, `column` from its first cell."""

        def __init__(self, panel: Panel, row: int, column: int) -> None:
            super().__init__()
            self.panel, self.row, self.column = panel, row, column

    class PointerClicked(Message):
        """The words at the lower right were clicked."""

        def __init__(self, panel: Panel) -> None:
            super().__init__()
            self.panel = panel

    def __init__(self, *children: Widget, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(*children, id=id, classes=classes)
        self.active = False
        """Whether keys go here: the border takes the accent colour."""
        self._head: tuple[Text, Text, Text] = (say(), say(), say())
        self._painter: Painter | None = None
        self._lines: list[Text] = []
        self._themed: Colours | None = None
        self._painted: tuple[int, int] | None = None
        self._drawn: tuple[object, dict[int, Strip]] = ((), {})  # what the frame depends on, and its rows

    # What it shows

    def head(self, title: Part, summary: Part = "", pointer: Part = "") -> None:
        """Sets the text in the frame: strings, (string, style) pairs or texts."""
        words = (
            title
            if isinstance(title, Text)
            else say((title, "bold"))
            if isinstance(title, str)
            else say(title)
        )
        head = (words, say(summary), say(pointer))
        if head != self._head or any(a.spans != b.spans for a, b in zip(head, self._head, strict=True)):
            self._head = head
            self._edges_changed()

    def activate(self, active: bool) -> None:
        """Says whether keys go here."""
        if active != self.active:
            self.active = active
            self._changed()

    def paint(self, painter: Painter) -> None:
        """Shows the lines that `painter` returns; draws only if they have changed.

        A `partial` is asked again only if its arguments have changed: they must be values that stay as they are.
        """
        before, self._painter = self._painter, painter
        size = self.size
        if self._painted == tuple(size) and self._themed is colours() and _equal(before, painter):
            return
        if not size:  # not laid out yet
            return
        shown, self._lines = self._lines, list(painter(*size))
        self._themed = colours()
        if self._painted != tuple(size) or not _same(shown, self._lines):
            self._painted = (size.width, size.height)
            self._changed()

    def _changed(self) -> None:
        self._drawn = ((), {})
        self.refresh()

    def _edges_changed(self) -> None:
        """The rows with words in the frame are drawn again; those between them stay."""
        width, height = self.outer_size
        edges = (0, height - 1)
        for y in edges:
            self._drawn[1].pop(y, None)
        if self.framed and height:
            inside = self.content_offset  # what `refresh` counts from
            self.refresh(*(Region(-inside.x, y - inside.y, width, 1) for y in edges))

    @property
    def plain(self) -> str:
        """The painted text without styles, for copying."""
        return "\n".join(line.plain.rstrip() for line in self._lines)

    # Drawing

    @property
    def framed(self) -> bool:
        """Whether there is room for a frame."""
        return bool(self.styles.padding.top)

    def on_resize(self) -> None:
        """Other lines fit."""
        if self._painter is not None:
            self.paint(self._painter)

    def render_lines(self, crop: Region) -> list[Strip]:
        """The frame, and the painted lines inside it; children are drawn above it by the compositor."""
        width, height = self.outer_size
        if self._painter is not None and self._painted != tuple(self.size):
            self.paint(self._painter)
        base = self.rich_style
        key = (width, height, base, self.framed, colours())
        if self._drawn[0] != key:
            self._drawn = (key, {})
        rows, found = self._drawn[1], []
        for y in range(crop.y, crop.bottom):
            if y not in rows:
                rows[y] = self._strip(y, width, height, base)
            found.append(rows[y] if crop.width == width else rows[y].crop(crop.x, crop.right))
        return as_the_terminal_wants(self, found)

    def _strip(self, y: int, width: int, height: int, base: Style) -> Strip:
        edge = base + Style.parse(style("accent" if self.active else "line"))
        inside = max(1, width - 4)
        if not self.framed:
            return self._join(
                [(" ", base), *self._line(y, max(1, width - 2), base), (" ", base)], width, base
            )
        if y == 0:
            return self._join(self._top(width, base, edge), width, base)
        if y == height - 1:
            return self._join(self._bottom(width, base, edge), width, base)
        row = self._line(y - 1, inside, base)
        return self._join([("│", edge), (" ", base), *row, (" ", base), ("│", edge)], width, base)

    def _line(self, row: int, room: int, base: Style) -> list[tuple[str, Style]]:
        if not 0 <= row < len(self._lines):
            return [(" " * room, base)]
        return [(piece, base + own) for piece, own in fit_cell(self._lines[row], room, "left")]

    def _top(self, width: int, base: Style, edge: Style) -> list[tuple[str, Style]]:
        title, summary, _ = self._head
        if self.active:
            title = (
                say((title.plain, "strong"))
                if not title.spans or str(title.spans[0].style) == "bold"
                else title
            )
        room = width - 6
        if len(title.spans) < 2 and " · " in title.plain and title.cell_len + 3 + summary.cell_len > room:
            # What it is about stands in the list beside; the summary would be cut.
            title = title[title.plain.rindex(" · ") + 3 :]
        shown = min(title.cell_len, room)
        rest = room - shown - 3
        pieces = [("╭─", edge), *_words(title, shown, base)] if shown else [("╭─", edge)]
        if summary.cell_len > rest:
            summary = _without_muted(summary)
        if summary.cell_len and (fits := min(summary.cell_len, rest)) >= min(summary.cell_len, 8):
            fill = width - 2 - (shown + 2 if shown else 0) - fits - 2 - 2
            return [*pieces, ("─" * fill, edge), *_words(summary, fits, base), ("─╮", edge)]
        return [*pieces, ("─" * (width - 3 - (shown + 2 if shown else 0)), edge), ("╮", edge)]

    def _bottom(self, width: int, base: Style, edge: Style) -> list[tuple[str, Style]]:
        pointer = self._head[2]
        if not pointer.cell_len or pointer.cell_len > width - 8:
            return [("╰" + "─" * (width - 2) + "╯", edge)]
        fill = width - pointer.cell_len - 5
        return [("╰" + "─" * fill, edge), *_words(pointer, pointer.cell_len, base), ("─╯", edge)]

    def _join(self, pieces: Sequence[tuple[str, Style]], width: int, base: Style) -> Strip:
        return Strip([Segment(text, own) for text, own in pieces if text]).adjust_cell_length(width, base)

    def on_click(self, event: Click) -> None:
        """Says which line was clicked."""
        framed = self.framed
        if framed and event.y == self.outer_size.height - 1:
            pointer = self._head[2].cell_len
            if pointer and event.x >= self.outer_size.width - pointer - 4:
                self.post_message(self.PointerClicked(self))
        elif not framed or event.y > 0:
            self.post_message(self.Clicked(self, event.y - int(framed), event.x - 2))


def _without_muted(text: Text) -> Text:
    """The values alone, where their labels do not fit."""
    muted = style("muted")
    labels = [span for span in text.spans if span.style == muted]
    cut = sorted({0, len(text.plain), *(at for span in text.spans for at in span[:2])})
    pieces = [
        text[start:end]
        for start, end in pairwise(cut)
        if text.plain[start:end].strip() == "·"
        or not any(span.start <= start and end <= span.end for span in labels)
    ]
    return say(*pieces)


def _words(text: Text, room: int, base: Style) -> list[tuple[str, Style]]:
    return [(" ", base), *((piece, base + own) for piece, own in fit_cell(text, room, "left")), (" ", base)]


def _equal(before: Painter | None, painter: Painter) -> bool:
    """Whether two painters are the same function with the same values."""
    return (
        isinstance(before, partial)
        and isinstance(painter, partial)
        and before.func is painter.func
        and before.args == painter.args
        and before.keywords == painter.keywords
    )


def _same(before: Sequence[Text], after: Sequence[Text]) -> bool:
    return len(before) == len(after) and all(
        a.plain == b.plain and a.spans == b.spans for a, b in zip(before, after, strict=True)
    )


def fitted(found: Sequence[Text], height: int, what: str = "more") -> list[Text]:
    """The lines, or as many as fit and how many are left out."""
    if len(found) <= height or height < 1:
        return list(found[: max(0, height)])
    return [*found[: height - 1], say((f"{len(found) - height + 1:,} {what}", "muted"))]


def centred(words: str, width: int, height: int, more: str = "") -> list[Text]:
    """A sentence in the middle of an empty panel, with a second one below it."""
    room = max(8, min(width - 2, 76))
    strong, muted = textwrap.wrap(words, room), textwrap.wrap(more, room)
    found = [say((line.center(width), "strong")) for line in strong]
    if muted:
        found += [say()] * (height > len(strong) + len(muted) + 2)
        found += [say((line.center(width), "muted")) for line in muted]
    return [say()] * max(0, (height - len(found)) // 2) + found[:height]
