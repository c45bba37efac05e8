"""4 Samples: every rationale that was paid for, and why it is correct or wrong.

The list holds only the visible rows (`widgets/sample_list.py`); a filter is searched step by step
(`sample_search.py`).
"""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll

from state.sqlite import Connection
from state.views.format import count, percent
from state.views.samples import SampleDetail, SampleFilter
from state.views.status_records import Status
from tui.context import Context
from tui.database_reader import Query
from tui.screens.base_screen import MonitorScreen
from tui.screens.sample_filter import EXAMPLE, FilterError, parse
from tui.screens.sample_search import NextWrong, SamplesPayload, Search, WrongSearch, read
from tui.screens.sample_text import TABS, paint_requests, paint_tabs, paint_text, paint_verdict
from tui.widgets.row_list import RowList
from tui.widgets.sample_list import SampleList, position_of
from tui.widgets.text_block import TextBlock


class SamplesScreen(MonitorScreen):
    """All samples, and the details of one."""

    number = "4"
    filter_hint = EXAMPLE

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.chosen: SampleDetail | None = None
        self.invalid_filter = ""
        self.search = Search(SampleFilter())
        self.range_known = False
        self.read_for: tuple[tuple[int, ...], int | None] = ((), None)  # of the last reading
        self.tab = TABS[0]
        self.indexed_upto = 0
        self.wrong_search: WrongSearch | None = None
        self.wrong_searches = 0

    def compose_body(self) -> ComposeResult:
        """List, text and verdict."""
        with Horizontal(classes="split"):
            rows = SampleList(id="list")
            rows.before_move = self.context.hold_frame
            yield rows
            with VerticalScroll(classes="detail", can_focus=False):
                yield TextBlock(id="tabs")
                yield TextBlock(id="text")
                yield TextBlock(id="verdict")
            with VerticalScroll(id="side", can_focus=False):
                yield TextBlock(id="side-verdict")

    @property
    def samples(self) -> SampleList:
        """The list."""
        return self.query_one(SampleList)

    def data_query(self) -> Query:
        """The visible rows, the sample under the cursor, and the next part of the search."""
        samples, search, wrong_search = self.samples, self.search, self.wrong_search
        visible, ids, selected = samples.visible_ids(), samples.wanted_ids(), samples.selected
        # The rows at the cursor are read first and alone; the search continues after that.
        idle = (visible, selected) == self.read_for or not visible or search.wanted.everything
        continued = search if idle else None

        def read_samples(connection: Connection) -> SamplesPayload:
            return read(connection, visible, ids, selected, continued, wrong_search)

        wrong_from = (wrong_search.start, wrong_search.step) if wrong_search is not None else None
        searched = (search.wanted, search.low, continued is None)
        # Not `ids`: once a page is read fewer rows are wanted, and that is no reason to read again.
        key = ("samples", visible, selected, searched, self.range_known, wrong_from, self.wrong_searches)
        return Query(key, read_samples)

    def receive(self, payload: Any) -> None:
        """Takes the rows, and what the search has found."""
        found: SamplesPayload = payload
        samples, search = self.samples, found.search
        self.range_known, self.read_for = True, found.read_for
        if found.span is None:
            samples.clear_rows()
            samples.resized()
            return
        samples.set_range(*found.span)
        if search is not None and not search.wanted.everything and search.wanted == self.search.wanted:
            before = samples.found if samples.found is not None else array("q")
            kept = before[position_of(before, found.kept_to) : position_of(before, found.kept_from - 1)]
            samples.restrict(array("q", found.newer) + kept + array("q", found.older))
            self.search, self.indexed_upto = search, found.indexed_upto
        samples.receive(found.rows, found.ids)
        if found.detail is not None and found.detail.row.id == samples.selected:
            self.chosen = found.detail
        if found.next_wrong is not None and found.next_wrong.wrong_search is self.wrong_search:
            self._continue_wrong_search(found.next_wrong)

    def reset(self) -> None:
        """Forgets the samples."""
        self.chosen, self.range_known, self.wrong_search = None, False, None
        self._restart(self.search.wanted)
        self.samples.clear_rows()

    def show(self, status: Status) -> None:
        """Applies the filter, then draws the text."""
        samples = self.samples
        self._apply(status)
        samples.show_when_empty(self._hint())
        detail = self.chosen if samples.selected is not None else None
        if detail is not None and detail.row.id != samples.selected:
            return  # not read yet; the previous one stays until then
        tab = self.tab
        self.query_one("#tabs", TextBlock).paint(
            lambda width: paint_tabs(tab, None if self.has_class("-three") else detail, width)
        )
        paint = paint_text if tab == TABS[0] else paint_requests
        self.query_one("#text", TextBlock).paint(lambda width: paint(detail))
        below = detail if tab == TABS[0] else None
        self.query_one("#verdict", TextBlock).paint(lambda width: paint_verdict(below))
        self.query_one("#side-verdict", TextBlock).paint(lambda width: paint_verdict(detail))

    def on_row_list_moved(self) -> None:
        """Another sample; its text starts at the top."""
        for part in self.query(VerticalScroll):
            part.scroll_to(y=0, animate=False)
        self.request_read()

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """A click on the sample."""
        self.open_selected()

    def sort_next(self) -> None:
        """Reverses the order."""
        self.samples.reverse()
        self.notice("newest first" if self.samples.newest_first else "oldest first")

    def next_tab(self, step: int) -> None:
        """Shows the sample, or the requests for it."""
        self.tab = TABS[(TABS.index(self.tab) + step) % len(TABS)]
        self.draw()
        if self.detail is not None:
            self.detail.scroll_to(y=0, animate=False)

    def go_to_wrong(self, step: int) -> None:
        """Searches for the next or the previous wrong sample."""
        samples = self.samples
        self.wrong_searches += 1
        self.wrong_search = WrongSearch(
            samples.cursor + step,
            step,
            samples.newest_first,
            samples.high,
            samples.total(),
            samples.found,
        )
        self.request_read()

    def _continue_wrong_search(self, result: NextWrong) -> None:
        assert self.wrong_search is not None
        if result.next is not None:
            self.wrong_search = replace(self.wrong_search, start=result.next)
            return
        words = "No wrong sample below." if self.wrong_search.step > 0 else "No wrong sample above."
        self.wrong_search = None
        if result.sample is None:
            self.notice(words)
        else:
            self.samples.move(self.samples.index_of(result.sample))

    def key_hints(self) -> list[tuple[str, str]]:
        """What you can do with samples."""
        return [
            ("help", "help"),
            ("filter", "filter"),
            ("next_wrong", "next wrong"),
            ("open", "details") if not self.in_detail else ("back", "list"),
            ("next_tab", TABS[1] if self.tab == TABS[0] else TABS[0]),
            ("copy", "copy"),
            ("faults", "problems"),
            ("sort", "oldest first" if self.samples.newest_first else "newest first"),
            ("detail_down", "scroll"),
            ("quit", "quit"),
        ]

    def breadcrumbs(self) -> list[str]:
        """The filter and how much of it is searched; the sample."""
        samples, search = self.samples, self.search
        found: list[str] = []
        if not search.wanted.everything and self.range_known:
            total = max(1, samples.high - samples.low + 1)
            done = 1.0 if search.low is None else (search.high - search.low + 1) / total
            found.append(
                f"{count(samples.total())} found" + (f", {percent(done)} searched" if done < 1 else "")
            )
            if search.wanted.text and self.indexed_upto < samples.high - 2_000:
                found.append(f"index {percent(self.indexed_upto / max(1, samples.high))}")
        if samples.selected is not None:
            found.append(f"sample {samples.selected}")
        return self.breadcrumb_path(found)

    def target_task(self) -> str | None:
        """The sample's task."""
        return self.chosen.row.task if self.chosen else None

    def text_to_copy(self) -> str:
        """Question, rationale and verdict; or the requests."""
        if self.chosen is None:
            return ""
        if self.tab != TABS[0]:
            return paint_requests(self.chosen).plain
        return f"{paint_text(self.chosen).plain}\n\n{paint_verdict(self.chosen).plain}"

    def _apply(self, status: Status) -> None:
        """Starts a new search if the filter has changed."""
        try:
            wanted = parse(self.filter_text, status, problems_only=self.problems_only)
        except FilterError as error:
            if self.invalid_filter != self.filter_text:
                self.invalid_filter = self.filter_text
                self.notice(str(error), "warning")
            return
        if wanted != self.search.wanted:
            self._restart(wanted)

    def _restart(self, wanted: SampleFilter) -> None:
        self.search = Search(wanted)
        self.samples.restrict(None if wanted.everything else array("q"))

    def _hint(self) -> str:
        samples, search = self.samples, self.search
        if search.wanted.everything:
            known = self.range_known
            return (
                "No samples yet: they appear when the daemon runs (`coterie run`)." if known else "reading …"
            )
        if search.low is None or search.low > samples.low:
            searched = 0 if search.low is None else search.high - search.low + 1
            return f"searching … {count(searched)} of {count(samples.high - samples.low + 1)}"
        return "No sample matches; esc shows all."
