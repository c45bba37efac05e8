"""The keys that only look: another screen, the cursor, the filter, tabs, copies, help."""

from __future__ import annotations

from state.safe import safe
from tui.base import Base
from tui.keys import offered
from tui.screens.modals import Help
from tui.widgets.row_list import RowList, Table


class Moving(Base):
    """Actions that change nothing but the display."""

    def action_go(self, mode: str) -> None:
        """Another screen, as it was left."""
        if self.current_mode != mode:
            self.switch_mode(mode)

    async def go_to(self, mode: str, key: object) -> None:
        """A screen with the cursor on one of its rows."""
        await self.switch_mode(mode)
        view = self.view
        if view is None:
            return
        view.status = self.status or view.status
        view.faults, view.words = False, ""
        view.draw()
        rows = view.rows
        if isinstance(rows, Table) and not rows.find(key):
            self.tell("that is not there any more", "warning")

    async def open_task(self, task: str) -> None:
        """The samples of a task; the runs are filtered to it as well."""
        for mode in ("runs", "samples"):
            await self.switch_mode(mode)
            if self.view is not None:
                self.view.status = self.status or self.view.status
                self.view.set_filter(f"task:{task}")

    def action_filter(self) -> None:
        """The filter line."""
        if self.view:
            self.view.ask_filter()

    def action_faults(self) -> None:
        """Only what went wrong."""
        if self.view:
            self.view.toggle_faults()
            self.view.draw()
            self.ask()

    def action_sort(self) -> None:
        """Another order."""
        if self.view:
            self.view.sorted_next()
            self.ask()

    def action_open(self) -> None:
        """In."""
        if self.view:
            self.view.opened()

    def action_out(self) -> None:
        """Out."""
        if self.view:
            self.view.escape()

    def action_hop(self, step: int) -> None:
        """To the next wrong one, or the one before."""
        if self.view:
            self.view.hop(step)

    def action_mark(self) -> None:
        """Marks the run under the cursor, for comparing."""
        if self.view:
            self.view.mark()

    def _move(self, rows: int, *, to: int | None = None) -> None:
        view = self.view
        if view is None:
            return
        listed = None if view.inside else view.rows
        if listed is not None:
            listed.move(listed.cursor + rows if to is None else to)
        elif view.detail is not None:
            if to is None:
                view.detail.scroll_relative(y=rows, animate=False)
            else:
                view.detail.scroll_to(y=to, animate=False)

    def action_down(self) -> None:
        """A row down."""
        self._move(1)

    def action_up(self) -> None:
        """A row up."""
        self._move(-1)

    def _page(self) -> int:
        view = self.view
        rows = view.rows if view is not None and not view.inside else None
        return (rows.page_rows if rows is not None else self.size.height) - 1 or 1

    def action_page_down(self) -> None:
        """A page down."""
        self._move(self._page())

    def action_page_up(self) -> None:
        """A page up."""
        self._move(-self._page())

    def action_top(self) -> None:
        """The first row."""
        self._move(0, to=0)

    def action_bottom(self) -> None:
        """The last row."""
        view = self.view
        if view is None:
            return
        rows: RowList | None = None if view.inside else view.rows
        self._move(0, to=rows.total() - 1 if rows is not None else 1_000_000)
        if view.inside:
            view.at_bottom()

    def action_detail_down(self) -> None:
        """Scrolls the detail."""
        if self.view:
            self.view.scroll_detail(3)

    def action_detail_up(self) -> None:
        """Scrolls the detail."""
        if self.view:
            self.view.scroll_detail(-3)

    def action_tab(self, step: int) -> None:
        """Another tab."""
        if self.view:
            self.view.next_tab(step)
            self.ask()

    def action_freeze(self) -> None:
        """Holds the display still."""
        self.frozen = not self.frozen
        if self.view:
            self.view.draw()
        self.tick()

    def action_copy(self) -> None:
        """To the terminal's clipboard."""
        if self.view and (text := self.view.copied()):
            self.copy_to_clipboard(safe(text))
            self.tell(f"copied {len(text.splitlines())} lines")

    def action_help(self) -> None:
        """Every key."""
        self.push_screen(Help(offered(self.readonly), self.remapped))
