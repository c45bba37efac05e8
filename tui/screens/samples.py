"""4 Samples: what was asked, what came, and whether it is correct; and all rationales of a question side by side.

The list holds only the visible rows (`widgets/sample_list.py`); a filter is searched step by step
(`sample_search.py`).
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll

from state.sqlite import Connection
from state.views.format import count, percent
from state.views.questions import Noted, QuestionDetail
from state.views.samples import SampleDetail, SampleFilter
from state.views.status_records import Status
from tui.context import Context
from tui.database_reader import Query
from tui.messages import NoteRequested
from tui.screens.base_screen import MonitorScreen
from tui.screens.question_text import paint_all
from tui.screens.question_view import QuestionView
from tui.screens.sample_filter import EXAMPLE, FilterError, parse
from tui.screens.sample_reading import SampleReading
from tui.screens.sample_search import NextWrong, SamplesPayload, Search, WrongSearch, read
from tui.screens.sample_text import (
    TABS,
    paint_rationale,
    paint_requests,
    paint_verdict,
    paint_whole,
)
from tui.text import say, verdict
from tui.widgets.panel import Panel
from tui.widgets.row_list import RowList
from tui.widgets.row_order import RowOrder
from tui.widgets.sample_list import SampleList, position_of


class SamplesScreen(MonitorScreen):
    """All samples, the one under the cursor to read, and its question with all rationales."""

    number = "4"
    filter_hint = EXAMPLE

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.chosen: SampleDetail | None = None
        self.question: QuestionDetail | None = None
        self.in_question = False
        self.unsolved_only = False
        self.invalid_filter = ""
        self.search = Search(SampleFilter())
        self.range_known = False
        self.read_for: tuple[tuple[int, ...], int | None] = ((), None)  # of the last reading
        self.tab = TABS[0]
        self.indexed_upto = 0
        self.wrong_search: WrongSearch | None = None
        self.wrong_searches = 0

    def compose_body(self) -> ComposeResult:
        """The list, and the sample to read: its question, rationale and verdict."""
        with Horizontal(id="samples-body"):
            with Panel(id="samples-list", classes="list"):
                rows = SampleList(id="list")
                rows.before_move = self.context.hold_frame
                yield rows
            yield SampleReading(id="reading")
        yield QuestionView(id="question-view")

    @property
    def samples(self) -> SampleList:
        """The list."""
        return self.query_one(SampleList)

    def data_query(self) -> Query:
        """The visible rows, the sample under the cursor, and the next part of the search."""
        samples, search, wrong_search = self.samples, self.search, self.wrong_search
        visible, ids, selected = samples.visible_ids(), samples.wanted_ids(), samples.selected
        whole = self.in_question
        # The rows at the cursor are read first and alone; the search continues after that.
        idle = (visible, selected) == self.read_for or not visible or search.wanted.everything
        continued = search if idle else None

        def read_samples(connection: Connection) -> SamplesPayload:
            return read(connection, visible, ids, selected, continued, wrong_search, whole=whole)

        wrong_from = (wrong_search.start, wrong_search.step) if wrong_search is not None else None
        searched = (search.wanted, search.low, continued is None)
        # Not `ids`: once a page is read fewer rows are wanted, and that is no reason to read again.
        key = (
            "samples",
            visible,
            selected,
            searched,
            self.range_known,
            wrong_from,
            self.wrong_searches,
            whole,
        )
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
        self._settle_order()
        samples.receive(found.rows, found.ids)
        if found.detail is not None and found.detail.row.id == samples.selected:
            self.chosen, self.question = found.detail, found.question
        if found.next_wrong is not None and found.next_wrong.wrong_search is self.wrong_search:
            self._continue_wrong_search(found.next_wrong)

    def reset(self) -> None:
        """Forgets the samples."""
        self.chosen, self.question, self.range_known, self.wrong_search = None, None, False, None
        self._restart(self.search.wanted)
        self.samples.clear_rows()

    def moment(self) -> Hashable:
        """The ages of the rows, which the list draws by itself."""
        self.samples.set_now(self.context.clock())
        return None

    def show(self, status: Status) -> None:
        """Applies the filter, then draws the list, the sample and the question."""
        samples = self.samples
        self._apply(status)
        samples.set_now(self.context.clock())
        samples.show_when_empty(self._hint())
        self._draw_frame()
        detail = self.chosen if samples.selected is not None else None
        if detail is not None and detail.row.id != samples.selected:
            return  # not read yet; the previous one stays until then
        self.query_one(SampleReading).show(detail, self.question, self.tab, active=self.in_detail)
        if self.in_question:
            self.query_one(QuestionView).show(self.question, samples.selected)

    def _draw_frame(self) -> None:
        samples, panel = self.samples, self.query_one("#samples-list", Panel)
        total = samples.total()
        what = f"/ {self.filter_text}  " if self.filter_text else ""
        what += "problems only  " if self.problems_only else ""
        what += "unsolved  " if self.unsolved_only else ""
        order = f"{samples.order.words} · " if self.size.width >= 100 else ""
        panel.head(
            "samples", say((what, "accent"), (order, "muted"), (count(total), "strong")), self._place()
        )
        panel.activate(not self.in_detail)

    def _place(self) -> Text:
        """`2 of 51,240`, and how much is searched."""
        samples, search = self.samples, self.search
        found = f"{count(samples.cursor + 1)} of {count(samples.total())}" if samples.total() else ""
        if not search.wanted.everything and self.range_known:
            all_ids = max(1, samples.high - samples.low + 1)
            done = 1.0 if search.low is None else (search.high - search.low + 1) / all_ids
            found += f" found, {percent(done)} searched" if done < 1 else " found"
            if search.wanted.text and self.indexed_upto < samples.high - 2_000:
                found += f", index {percent(self.indexed_upto / max(1, samples.high))}"
        return say((found.strip(), "muted"))

    def on_row_list_moved(self) -> None:
        """Another sample; its text starts at the top."""
        for part in self.query(VerticalScroll):
            part.scroll_to(y=0, animate=False)
        self.request_read()

    def on_row_list_chosen(self, message: RowList.Chosen) -> None:
        """A click on the sample."""
        self.open_selected()

    def open_selected(self) -> None:
        """`enter`: the sample where there is room for the list alone, then all rationales of its question."""
        if self.has_class("-one") and not self.in_detail and not self.in_question:
            self.enter_detail()
        elif not self.in_question and self.samples.selected is not None:
            self._show_question(True)

    def go_back(self) -> None:
        """`esc`: leaves the question first, and the unsolved ones last."""
        if self.in_question and not self.query_one("#filter").display:
            self._show_question(False)
        elif self.unsolved_only and not (self.in_detail or self.filter_text or self.problems_only):
            self.toggle_unsolved()
        else:
            super().go_back()

    def _show_question(self, shown: bool) -> None:
        self.in_question = shown
        self.set_class(shown, "-question")
        if self.has_class("-one"):
            self.in_detail = not shown
            self.set_class(not shown, "-inside")
        self.draw()
        self.request_read()

    def go_sideways(self, step: int) -> None:
        """`←` and `→`: another rationale of the question."""
        if self.in_question:
            view = self.query_one(QuestionView)
            view.move(step)
            self.draw()

    def scroll_detail(self, rows: int) -> None:
        """Scrolls the chosen rationale, or the sample."""
        if self.in_question:
            self.query_one(QuestionView).scroll_text(rows)
        else:
            super().scroll_detail(rows)

    def sort_next(self) -> None:
        """Newest first, or oldest first."""
        order = self.samples.order
        self._arrange(RowOrder(newest_first=not order.newest_first if order.seed is None else True))

    def shuffle(self) -> None:
        """Random order; again: another one."""
        seed = self.samples.order.seed
        self._arrange(RowOrder(seed=0 if seed is None else seed + 1))

    def toggle_differences(self) -> None:
        """Tints what the other rationales of the question say differently from the chosen one, or not any more."""
        view = self.query_one(QuestionView)
        view.differences = not (view.differences and self.in_question)
        if not self.in_question and self.samples.selected is not None:
            self._show_question(True)
        else:
            self.draw()

    def _arrange(self, order: RowOrder) -> None:
        self.samples.order_by(order)
        self._settle_order()
        self.notice(order.words)
        self.draw()
        self.request_read()

    def _settle_order(self) -> None:
        """Shuffles the rows once all are known: before that, the rows of a search stand as they are found."""
        samples, search = self.samples, self.search
        complete = search.wanted.everything or (search.low is not None and search.low <= samples.low)
        if samples.order.seed is not None and not samples.order.shuffled and complete and samples.total():
            samples.order_by(replace(samples.order, shuffled=samples.total()))

    def toggle_unsolved(self) -> None:
        """Shows the newest sample of each question that nobody solved, or everything again."""
        self.unsolved_only = not self.unsolved_only
        self.draw()
        self.request_read()

    def toggle_mark(self) -> None:
        """`m`: notes something about the sample."""
        question, sample = self.question, self._subject()
        if question is None or sample is None:
            return
        notes = question.notes_of(sample)
        own: Noted | None = next(
            (note for note in notes if note.sample == sample), notes[0] if notes else None
        )
        self.post_message(
            NoteRequested(sample, question.text, own.flag if own else "", own.text if own else "")
        )

    def _subject(self) -> int | None:
        """The sample that keys are about."""
        if self.in_question:
            item = self.query_one(QuestionView).rationale
            return item.id if item is not None else None
        return self.chosen.row.id if self.chosen is not None else None

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
            samples.order,
            samples.low,
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
        if self.in_question:
            return [
                ("help", "help"),
                ("back", "back"),
                ("right", "rationales"),
                ("down", "samples"),
                (
                    "differences",
                    "no differences" if self.query_one(QuestionView).differences else "differences",
                ),
                ("mark", "note"),
                ("pager", "pager"),
                ("detail_down", "scroll"),
                ("copy", "copy"),
            ]
        total = self.question.total if self.question is not None else 0
        alone = self.has_class("-one") and not self.in_detail
        return [
            ("help", "help"),
            *([("back", "list")] if self.in_detail else []),
            ("open", "read" if alone else f"all {total} of the question" if total > 1 else "question"),
            ("filter", "filter"),
            ("next_wrong", "next wrong"),
            ("unsolved", "all" if self.unsolved_only else "unsolved"),
            ("mark", "note"),
            ("shuffle", "random order" if self.samples.order.seed is None else "another order"),
            ("pager", "pager"),
            ("next_tab", TABS[1] if self.tab == TABS[0] else TABS[0]),
            ("faults", "all" if self.problems_only else "problems"),
            ("sort", "oldest first" if self.samples.order.grows_above else "newest first"),
            ("detail_down", "scroll"),
            ("copy", "copy"),
        ]

    def breadcrumbs(self) -> list[str]:
        """The sample, and whether its question is shown."""
        selected = self.samples.selected
        found = [] if selected is None else [f"sample {selected}"]
        return self.breadcrumb_path([*found, *(["question"] if self.in_question else [])])

    def target_task(self) -> str | None:
        """The sample's task."""
        return self.chosen.row.task if self.chosen else None

    def text_to_copy(self) -> str:
        """The chosen rationale; or question, rationale and verdict; or the requests."""
        if self.in_question:
            item = self.query_one(QuestionView).rationale
            return (
                f"{item.rationale or item.reason or ''}\n{item.answer or ''}".strip()
                if item is not None
                else ""
            )
        if self.chosen is None:
            return ""
        if self.tab != TABS[0]:
            return paint_requests(self.chosen).plain
        word = verdict(self.chosen.row.word).plain
        parts = (paint_rationale(self.chosen).plain, word, paint_verdict(self.chosen, self.question).plain)
        return "\n\n".join((self.chosen.question, *parts))

    def text_to_page(self) -> str:
        """All rationales of the question; or everything about the sample."""
        if self.in_question:
            return paint_all(self.question).plain if self.question is not None else ""
        return paint_whole(self.chosen, self.question).plain if self.chosen is not None else ""

    def _apply(self, status: Status) -> None:
        """Starts a new search if the filter has changed."""
        try:
            wanted = parse(
                self.filter_text, status, problems_only=self.problems_only, unsolved=self.unsolved_only
            )
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
