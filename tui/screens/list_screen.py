"""A screen with a list above two rows of two panels about the row under the cursor.

Where there is no room for both, the list stands alone and `enter` shows the panels below each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll

from state.views.status_records import Status
from tui.screens.base_screen import MonitorScreen
from tui.screens.overview_panels import Shown
from tui.text import Part
from tui.widgets.columns import Column
from tui.widgets.panel import Panel
from tui.widgets.row_list import RowList, Table

LEAST = 6
"""Rows of a panel that is worth being shown."""
STACKED = 11
"""Rows of a panel in the details of a small terminal."""


class ListScreen(MonitorScreen):
    """A list over 2×2 panels."""

    noun: ClassVar[str] = "row"
    columns: ClassVar[tuple[Column[Any], ...]] = ()

    def key_of(self, row: Any) -> Any:
        """What identifies a row."""
        raise NotImplementedError

    def summary(self, status: Status) -> Part:
        """The text at the right of the list's frame."""
        return ""

    def rows_of(self, status: Status) -> Sequence[Any]:
        """The rows of the list."""
        raise NotImplementedError

    def panels(self, row: Any) -> Sequence[Shown]:
        """Four panels about a row, the most important first: upper left, upper right, lower left, lower right."""
        raise NotImplementedError

    def when_empty(self, status: Status) -> str:
        """What the empty list says."""
        return "nothing here yet"

    def compose_body(self) -> ComposeResult:
        """The list and the panels."""
        with Vertical(id="listed"):
            with Panel(id="rows", classes="list"):
                yield Table(self.columns, key=self.key_of, order="as configured", id="list")
            with VerticalScroll(classes="detail", can_focus=False):
                for row in range(2):
                    with Horizontal(id=f"below{row}"):
                        yield Panel(id=f"panel{row}0")
                        yield Panel(id=f"panel{row}1")

    @property
    def table(self) -> Table[Any]:
        """The list."""
        return self.query_one("#list", Table)

    @property
    def roomy(self) -> bool:
        """Whether list and panels are shown together."""
        return not self.has_class("-bare") and self.size.width >= 80 and self.size.height >= 18

    def on_row_list_moved(self) -> None:
        """Another row."""
        self.draw()
        self.request_read()

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """A click on the row under the cursor."""
        self.open_selected()

    def sort_next(self) -> None:
        """Sorts by the next column."""
        self.table.sort_next()
        self.draw()

    def show(self, status: Status) -> None:
        """Draws the list, and the panels about the row under the cursor."""
        self.table.show_when_empty(self.when_empty(status))
        self.table.show(self.rows_of(status))
        rows = self.query_one("#rows", Panel)
        rows.head(f"{self.noun}s", self.summary(status), self._order())
        rows.activate(not self.in_detail)
        selected = self.table.selected
        shown = self.panels(selected) if selected is not None else ()
        self._lay_out(len(shown))
        for at, each in enumerate(shown):
            panel = self.query_one(f"#panel{at // 2}{at % 2}", Panel)
            if panel.display:
                panel.head(each.title, each.summary, each.pointer)
                panel.paint(each.paint)
                panel.activate(self.in_detail)

    def _order(self) -> Part:
        found = self.filters + [f"by {self.table.order}"] * (self.table.order != "as configured")
        return (" · ".join(found), "attention")

    def _lay_out(self, panels: int) -> None:
        """The list is as high as its rows; the panels share what is left."""
        detail = self.query_one(".detail")
        list_panel = self.query_one("#rows", Panel)
        inside = self.in_detail and not self.roomy
        list_panel.display, detail.display = not inside, bool(panels) and (inside or self.roomy)
        height = (
            self.size.height - 3 - self.query_one("#banner").size.height * self.query_one("#banner").display
        )
        own = min(self.table.total() + 3, max(LEAST, height // 2 + 1)) if self.roomy and panels else 0
        list_panel.styles.height = own or "1fr"
        rest = height - own
        rows = 2 if rest >= 2 * LEAST else 1
        for row in range(2):
            line = self.query_one(f"#below{row}")
            line.styles.layout = "vertical" if inside else "horizontal"
            line.display = inside or row < rows
            lower = max(LEAST, min(rest // 2, self.lower)) if rows == 2 else 0
            upper = rest - lower
            line.styles.height = 2 * STACKED if inside else upper if row == 0 else rest - upper
            for column in range(2):
                self.query_one(f"#panel{row}{column}").styles.height = STACKED if inside else "1fr"

    lower: ClassVar[int] = 15
    """Rows that the lower panels need at most; what is left goes to the graphs."""

    def target_name(self) -> str | None:
        """The key of the row under the cursor."""
        return str(self.table.key) if self.table.key is not None else None

    def text_to_copy(self) -> str:
        """The panels' text."""
        return "\n\n".join(panel.plain for panel in self.query(Panel) if panel.display and panel.plain)

    def breadcrumbs(self) -> list[str]:
        """Where you are, if it is not to be seen."""
        name = self.target_name()
        return [f"{self.noun} {name}"] if self.in_detail and not self.roomy and name else []
