"""The keys that change only the display: another screen, the cursor, the filter, tabs, copies, help."""

from __future__ import annotations

from textual import on
from textual.app import SuspendNotSupported

from state.safe import safe
from tui.base import MonitorBase
from tui.key_bindings import available_keys
from tui.messages import ActionRequested, RowRequested, SamplesRequested, TaskSamplesRequested
from tui.pager import show_in_pager
from tui.screens.dialogs import HelpDialog
from tui.screens.header_footer import MODES
from tui.widgets.row_list import RowList, Table


class NavigationActions(MonitorBase):
    """Actions that change nothing but the display."""

    def action_go(self, mode: str) -> None:
        """Shows another screen as you left it."""
        if self.current_mode != mode:
            self.switch_mode(mode)

    @on(ActionRequested)
    async def do_action(self, message: ActionRequested) -> None:
        """A click on a key or a tab."""
        await self.run_action(message.action)

    @on(RowRequested)
    async def go_to_row(self, message: RowRequested) -> None:
        """Shows a screen with the cursor on one of its rows."""
        await self.switch_mode(message.mode)
        screen = self.active_screen
        if screen is None:
            return
        screen.status = self.context.status or screen.status
        screen.problems_only, screen.filter_text = False, ""
        screen.draw()
        rows = screen.row_list
        if isinstance(rows, Table) and not rows.find(message.key):
            self.notice("It no longer exists.", "warning")

    @on(SamplesRequested)
    async def show_samples(self, message: SamplesRequested) -> None:
        """Shows the samples that match."""
        await self.switch_mode("samples")
        if self.active_screen is not None:
            self.active_screen.status = self.context.status or self.active_screen.status
            self.active_screen.set_filter(message.words)

    @on(TaskSamplesRequested)
    async def show_samples_of_task(self, message: TaskSamplesRequested) -> None:
        """Shows the samples of a task, and filters the runs by it."""
        for mode in ("runs", "samples"):
            await self.switch_mode(mode)
            if self.active_screen is not None:
                self.active_screen.status = self.context.status or self.active_screen.status
                self.active_screen.set_filter(f"task:{message.task}")

    def action_filter(self) -> None:
        """Opens the filter line."""
        if self.active_screen:
            self.active_screen.open_filter()

    def action_faults(self) -> None:
        """Shows only problems, or everything again."""
        if self.active_screen:
            self.active_screen.toggle_problems()
            self.active_screen.draw()
            self.read_now()

    def action_sort(self) -> None:
        """Sorts by the next column."""
        if self.active_screen:
            self.active_screen.sort_next()
            self.read_now()

    def action_open(self) -> None:
        """Opens the row under the cursor."""
        if self.active_screen:
            self.active_screen.open_selected()

    def action_out(self) -> None:
        """Goes back."""
        if self.active_screen:
            self.active_screen.go_back()

    def action_go_to_wrong(self, step: int) -> None:
        """Goes to the next or the previous wrong sample."""
        if self.active_screen:
            self.active_screen.go_to_wrong(step)

    def action_mark(self) -> None:
        """Marks the run under the cursor, to compare others with it."""
        if self.active_screen:
            self.active_screen.toggle_mark()

    def action_unsolved(self) -> None:
        """Shows only questions that nobody solved, or everything again."""
        if self.active_screen:
            self.active_screen.toggle_unsolved()

    def action_differences(self) -> None:
        """Shows how runs, or the rationales of a question, differ; or not any more."""
        if self.active_screen:
            self.active_screen.toggle_differences()

    def action_shuffle(self) -> None:
        """Shows samples in random order."""
        if self.active_screen:
            self.active_screen.shuffle()

    def action_sideways(self, step: int) -> None:
        """Goes to the rationale at the left or the right."""
        if self.active_screen:
            self.active_screen.go_sideways(step)

    def action_page(self) -> None:
        """Shows the text in a pager; the monitor waits."""
        if self.active_screen is None or not (text := self.active_screen.text_to_page()):
            return
        try:
            with self.suspend():
                problem = show_in_pager(safe(text))
        except SuspendNotSupported:
            problem = "This terminal cannot show a pager."
        if problem:
            self.notice(problem, "error")

    def _move(self, rows: int, *, to: int | None = None) -> None:
        screen = self.active_screen
        if screen is None:
            return
        listed = None if screen.in_detail else screen.row_list
        if listed is not None:
            listed.move(listed.cursor + rows if to is None else to)
        elif screen.detail is not None:
            if to is None:
                screen.detail.scroll_relative(y=rows, animate=False)
            else:
                screen.detail.scroll_to(y=to, animate=False)

    def action_down(self) -> None:
        """Moves one row down."""
        self._move(1)

    def action_up(self) -> None:
        """Moves one row up."""
        self._move(-1)

    def _page(self) -> int:
        screen = self.active_screen
        rows = screen.row_list if screen is not None and not screen.in_detail else None
        return (rows.page_rows if rows is not None else self.size.height) - 1 or 1

    def action_page_down(self) -> None:
        """Moves one page down."""
        self._move(self._page())

    def action_page_up(self) -> None:
        """Moves one page up."""
        self._move(-self._page())

    def action_top(self) -> None:
        """Goes to the first row."""
        self._move(0, to=0)

    def action_bottom(self) -> None:
        """Goes to the last row."""
        screen = self.active_screen
        if screen is None:
            return
        rows: RowList | None = None if screen.in_detail else screen.row_list
        self._move(0, to=rows.total() - 1 if rows is not None else 1_000_000)
        if screen.in_detail:
            screen.reached_bottom()

    def action_detail_down(self) -> None:
        """Scrolls the detail."""
        if self.active_screen:
            self.active_screen.scroll_detail(3)

    def action_detail_up(self) -> None:
        """Scrolls the detail."""
        if self.active_screen:
            self.active_screen.scroll_detail(-3)

    def action_tab(self, step: int) -> None:
        """Shows the next or the previous tab."""
        if self.active_screen:
            self.active_screen.next_tab(step)
            self.read_now()

    def action_freeze(self) -> None:
        """Freezes the display, or unfreezes it."""
        self.context.frozen = not self.context.frozen
        if self.active_screen:
            self.active_screen.draw()
        self.tick()

    def action_copy(self) -> None:
        """Copies the text to the terminal's clipboard."""
        if self.active_screen and (text := self.active_screen.text_to_copy()):
            self.copy_to_clipboard(safe(text))
            self.notice(f"Copied {len(text.splitlines())} lines")

    def action_help(self) -> None:
        """Shows the keys of this screen, and all others."""
        screen = self.active_screen
        here = screen.key_hints() if screen is not None else []
        name = next((word for number, word in MODES if screen is not None and number == screen.number), "")
        keys = available_keys(self.context.readonly)
        self.push_screen(HelpDialog(keys, self.context.remapped, name, here))
