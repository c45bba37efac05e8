"""4 Samples: every rationale that was paid for, and why it was accepted or not.

The list knows only what is on the screen (`widgets/sample_list.py`), and a filter is looked for bit by bit
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
from tui.feed import Wish
from tui.query import EXAMPLE, QueryError, parse
from tui.screens.sample_search import Found, Hop, Search, read
from tui.screens.sample_text import TABS, paint_sent, paint_tabs, paint_text, paint_verdict
from tui.screens.view import View
from tui.widgets.block import Block
from tui.widgets.row_list import RowList
from tui.widgets.sample_list import SampleList, place


class Samples(View):
    """All samples, and one of them whole."""

    number = "4"
    filter_hint = EXAMPLE

    def __init__(self) -> None:
        super().__init__()
        self.chosen: SampleDetail | None = None
        self.wrong_words = ""
        self.search = Search(SampleFilter())
        self.known_span = False
        self.here: tuple[tuple[int, ...], int | None] = ((), None)  # what was read last
        self.tab = TABS[0]
        self.upto = 0
        self.hopping: Hop | None = None
        self.hops = 0

    def body(self) -> ComposeResult:
        """List, text, verdict."""
        with Horizontal(classes="split"):
            rows = SampleList(id="list")
            rows.leaving = self.monitor.hold
            yield rows
            with VerticalScroll(classes="detail", can_focus=False):
                yield Block(id="tabs")
                yield Block(id="text")
                yield Block(id="verdict")
            with VerticalScroll(id="side", can_focus=False):
                yield Block(id="side-verdict")

    @property
    def samples(self) -> SampleList:
        """The list."""
        return self.query_one(SampleList)

    def wish(self) -> Wish:
        """The rows on the screen, the sample under the cursor, and a stretch of the search."""
        samples, search = self.samples, self.search
        shown, asked, selected, hop = samples.shown(), samples.wanted(), samples.selected, self.hopping
        # What the cursor came to is read first and alone; the search goes on after that.
        on = search if (shown, selected) == self.here or not shown or search.wanted.everything else None

        def reading(connection: Connection) -> Found:
            return read(connection, shown, asked, selected, on, hop)

        way = (hop.start, hop.step) if hop is not None else None
        looked = (search.wanted, search.low, on is None)
        # Not `asked`: once a page is read fewer rows are, and that is no reason to read it again.
        return Wish(("samples", shown, selected, looked, self.known_span, way, self.hops), reading)

    def learn(self, payload: Any) -> None:
        """Takes the rows, and what the search has found."""
        found: Found = payload
        samples = self.samples
        self.known_span, self.here = True, found.here
        if found.span is None:
            samples.forget()
            samples.resized()
            return
        samples.span(*found.span)
        went_on = found.search
        if went_on is not None and not went_on.wanted.everything and went_on.wanted == self.search.wanted:
            before = samples.found if samples.found is not None else array("q")
            kept = before[place(before, found.kept_to) : place(before, found.kept_from - 1)]
            samples.restrict(array("q", found.newer) + kept + array("q", found.older))
            self.search, self.upto = went_on, found.upto
        samples.learn(found.rows, found.asked)
        if found.detail is not None and found.detail.row.id == samples.selected:
            self.chosen = found.detail
        if found.hopped is not None and found.hopped.hop is self.hopping:
            self._hopped(found.hopped.sample, found.hopped.next)

    def new_database(self) -> None:
        """Forgets everything."""
        self.chosen, self.known_span, self.hopping = None, False, None
        self._restart(self.search.wanted)
        self.samples.forget()

    def show(self, status: Status) -> None:
        """The filter, then the text."""
        samples = self.samples
        self._apply(status)
        samples.explain(self._hint())
        detail = self.chosen if samples.selected is not None else None
        if detail is not None and detail.row.id != samples.selected:
            return  # it is on its way; until then the last one stays
        tab = self.tab
        self.query_one("#tabs", Block).paint(
            lambda width: paint_tabs(tab, None if self.has_class("-three") else detail, width)
        )
        paint = paint_text if tab == TABS[0] else paint_sent
        self.query_one("#text", Block).paint(lambda width: paint(detail))
        below = detail if tab == TABS[0] else None
        self.query_one("#verdict", Block).paint(lambda width: paint_verdict(below))
        self.query_one("#side-verdict", Block).paint(lambda width: paint_verdict(detail))

    def on_row_list_moved(self) -> None:
        """Another sample: its text starts at the top."""
        for part in self.query(VerticalScroll):
            part.scroll_to(y=0, animate=False)
        self.monitor.ask()

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """A click on the sample."""
        self.opened()

    def sorted_next(self) -> None:
        """Oldest first, or newest first."""
        self.samples.reverse()
        self.monitor.tell("newest first" if self.samples.newest_first else "oldest first")

    def next_tab(self, step: int) -> None:
        """The sample, or what was sent for it."""
        self.tab = TABS[(TABS.index(self.tab) + step) % len(TABS)]
        self.draw()
        if self.detail is not None:
            self.detail.scroll_to(y=0, animate=False)

    def hop(self, step: int) -> None:
        """The next wrong sample, or the one before."""
        samples = self.samples
        self.hops += 1
        self.hopping = Hop(
            samples.cursor + step,
            step,
            samples.newest_first,
            samples.high,
            samples.total(),
            samples.found,
        )
        self.monitor.ask()

    def _hopped(self, sample: int | None, going_on: int | None) -> None:
        assert self.hopping is not None
        if going_on is not None:
            self.hopping = replace(self.hopping, start=going_on)
            return
        words = "no wrong one below" if self.hopping.step > 0 else "no wrong one above"
        self.hopping = None
        if sample is None:
            self.monitor.tell(words)
        else:
            self.samples.move(self.samples.index_of(sample))

    def hints(self) -> list[tuple[str, str]]:
        """What can be done with samples."""
        return [
            ("help", "help"),
            ("filter", "filter"),
            ("next_wrong", "next wrong"),
            ("open", "read") if not self.inside else ("back", "list"),
            ("next_tab", "as sent" if self.tab == TABS[0] else "sample"),
            ("copy", "copy"),
            ("faults", "faults"),
            ("sort", "oldest first" if self.samples.newest_first else "newest first"),
            ("detail_down", "scroll"),
            ("quit", "leave"),
        ]

    def crumbs(self) -> list[str]:
        """The filter and how far it was looked for; the sample."""
        samples, search = self.samples, self.search
        found: list[str] = []
        if not search.wanted.everything and self.known_span:
            all_of_them = max(1, samples.high - samples.low + 1)
            done = 1.0 if search.low is None else (search.high - search.low + 1) / all_of_them
            found.append(
                f"{count(samples.total())} found" + (f", {percent(done)} searched" if done < 1 else "")
            )
            if search.wanted.text and self.upto < samples.high - 2_000:
                found.append(f"index {percent(self.upto / max(1, samples.high))}")
        if samples.selected is not None:
            found.append(f"sample {samples.selected}")
        return self.way(found)

    def subject_task(self) -> str | None:
        """The sample's task."""
        return self.chosen.row.task if self.chosen else None

    def copied(self) -> str:
        """Question, rationale and verdict; or what was sent."""
        if self.chosen is None:
            return ""
        if self.tab != TABS[0]:
            return paint_sent(self.chosen).plain
        return f"{paint_text(self.chosen).plain}\n\n{paint_verdict(self.chosen).plain}"

    def _apply(self, status: Status) -> None:
        """Starts the search anew where the filter has changed."""
        try:
            wanted = parse(self.words, status, faults=self.faults)
        except QueryError as error:
            if self.wrong_words != self.words:
                self.wrong_words = self.words
                self.monitor.tell(str(error), "warning")
            return
        if wanted != self.search.wanted:
            self._restart(wanted)

    def _restart(self, wanted: SampleFilter) -> None:
        self.search = Search(wanted)
        self.samples.restrict(None if wanted.everything else array("q"))

    def _hint(self) -> str:
        samples, search = self.samples, self.search
        if search.wanted.everything:
            known = self.known_span
            return "No sample yet: they come when the daemon runs (`coterie run`)." if known else "reading …"
        if search.low is None or search.low > samples.low:
            looked_at = 0 if search.low is None else search.high - search.low + 1
            return f"searching … {count(looked_at)} of {count(samples.high - samples.low + 1)}"
        return "no sample fits; esc shows all"
