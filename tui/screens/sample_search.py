"""How the samples screen reads: the visible rows, the sample under the cursor, and the next part of a search.

A filter is searched in windows of ids, newest first, for some hundredths of a second at a time, so matches appear at
once. A window grows while it is fast (an index covers a million ids in a millisecond) and shrinks if every row must be
read. This module knows no widgets.
"""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field, replace

from state.sqlite import Connection
from state.views.questions import QuestionDetail, question_of_sample
from state.views.samples import (
    SampleDetail,
    SampleFilter,
    SampleRow,
    fault_between,
    faults_among,
    id_range,
    matching_ids,
    sample_detail,
    sample_rows,
)
from state.views.search import indexed_upto
from tui.widgets.row_order import RowOrder

WINDOW = 5_000  # ids searched by the first statement
MAX_WINDOW = 5_000_000
QUICK_S, SLOW_S = 0.008, 0.03
SEARCH_S = 0.05  # seconds of searching in one reading
YOUNG = 2_000  # the newest ids may still change, so they are searched again
FAR = 40_000  # the search starts over if more new ids than this were added
STRIDE = 100_000  # ids searched by one statement for the next wrong sample
CHUNK = 5_000  # the same, within a filter
SHUFFLED_CHUNK = 500  # the same, in random order


@dataclass(frozen=True, slots=True)
class Search:
    """The progress of a search: every id from `low` to `high` has been searched."""

    wanted: SampleFilter
    low: int | None = None  # None: not started
    high: int = 0
    window: int = field(default_factory=lambda: WINDOW)
    before: tuple[int, float] | None = None  # the last statement: ids searched, seconds


@dataclass(frozen=True, slots=True)
class WrongSearch:
    """A search for the next wrong sample, from the row `start` down (`step` 1) or up (-1)."""

    start: int
    step: int
    order: RowOrder
    low: int
    total: int
    found: array[int] | None

    def id_at(self, index: int) -> int:
        """The sample id of a row when the search started."""
        rank = self.order.rank(index, self.total)
        return self.low + rank if self.found is None else self.found[self.total - 1 - rank]

    @property
    def chunk(self) -> int:
        """Rows searched by one statement."""
        if self.order.seed is not None:
            return SHUFFLED_CHUNK
        return STRIDE if self.found is None else CHUNK


@dataclass(frozen=True, slots=True)
class NextWrong:
    """Its progress: `sample` was found, or it continues at row `next`, or neither: there is none."""

    wrong_search: WrongSearch
    sample: int | None = None
    next: int | None = None


@dataclass(frozen=True, slots=True)
class SamplesPayload:
    """The result of one reading."""

    span: tuple[int, int] | None
    read_for: tuple[tuple[int, ...], int | None]  # the visible ids, and the one under the cursor
    ids: tuple[int, ...]  # the rows that were read
    rows: dict[int, SampleRow]
    detail: SampleDetail | None
    question: QuestionDetail | None  # of that sample
    search: Search | None  # None: it was not continued
    kept_from: int  # earlier matches are kept from this id …
    kept_to: int  # … up to this one
    newer: list[int]  # matches above
    older: list[int]  # matches below
    next_wrong: NextWrong | None
    indexed_upto: int  # the last id in the word index


def next_window(window: int, spent: float, before: tuple[int, float] | None) -> int:
    """How many ids the next statement searches, after one of `window` ids that took `spent` seconds.

    A statement may have a fixed cost (a prefix that a million samples contain); smaller windows would only pay it more
    often. Two statements separate the fixed cost from the cost per id.
    """
    if spent < QUICK_S:
        return min(2 * window, MAX_WINDOW)
    if spent <= SLOW_S:
        return window
    if before is not None and before[0] != window:
        per_id = (spent - before[1]) / (window - before[0])
        fixed = spent - per_id * window
        if fixed > spent / 2:
            return min(max(4 * window, round(fixed / per_id) if per_id > 0 else 0), MAX_WINDOW)
    return max(window // 2, 1)


def read(
    connection: Connection,
    visible: tuple[int, ...],
    ids: tuple[int, ...],
    selected: int | None,
    search: Search | None,
    wrong_search: WrongSearch | None,
    *,
    whole: bool = False,
) -> SamplesPayload:
    """One reading; without a `search` only the visible rows, so that a key waits for nothing else.

    With `whole`, the log-probabilities of all rationales of the question are read too.
    """
    span = id_range(connection)
    upto = indexed_upto(connection) if search is not None and search.wanted.text else 0
    newer: list[int] = []
    older: list[int] = []
    kept_from, kept_to = 0, -1
    if span is not None and search is not None and not search.wanted.everything:
        low, high = span
        wanted = search.wanted
        if search.low is None or high - search.high > FAR:
            kept_from = max(low, high - YOUNG + 1)
            newer = matching_ids(connection, wanted, kept_from, high, upto)
        else:
            kept_from, kept_to = search.low, search.high - YOUNG
            newer = matching_ids(connection, wanted, max(kept_from, kept_to + 1), high, upto)
        reached, window, last = kept_from, search.window, search.before
        began = time.monotonic()
        while reached > low:  # at least one window, however slow the disk is
            before = time.monotonic()
            start = max(low, reached - window)
            older += matching_ids(connection, wanted, start, reached - 1, upto)
            now = time.monotonic()
            if reached - start == window:  # a shorter last window says nothing
                window, last = next_window(window, now - before, last), (window, now - before)
            reached = start
            if now - began >= SEARCH_S:
                break
        search = replace(search, low=reached, high=high, window=window, before=last)
    return SamplesPayload(
        span=span,
        read_for=(visible, selected),
        ids=ids,
        rows=sample_rows(connection, ids) if ids else {},
        detail=sample_detail(connection, selected) if selected is not None else None,
        question=question_of_sample(connection, selected, logprobs=whole) if selected is not None else None,
        search=search,
        kept_from=kept_from,
        kept_to=kept_to,
        newer=newer,
        older=older,
        next_wrong=_search_wrong(connection, wrong_search) if wrong_search is not None else None,
        indexed_upto=upto,
    )


def _search_wrong(connection: Connection, wrong_search: WrongSearch) -> NextWrong:
    deadline, at = time.monotonic() + SEARCH_S, wrong_search.start
    while 0 <= at < wrong_search.total:
        # The row after the last one of this chunk.
        end = max(-1, min(wrong_search.total, at + wrong_search.step * wrong_search.chunk))
        sample = _first_wrong(connection, wrong_search, at, end)
        if sample is not None:
            return NextWrong(wrong_search, sample=sample)
        at = end
        if time.monotonic() > deadline and 0 <= at < wrong_search.total:
            return NextWrong(wrong_search, next=at)
    return NextWrong(wrong_search)


def _first_wrong(connection: Connection, wrong_search: WrongSearch, at: int, end: int) -> int | None:
    """The first wrong sample among the rows from `at` to before `end`."""
    if wrong_search.found is None and wrong_search.order.seed is None:
        ends = wrong_search.id_at(at), wrong_search.id_at(end - wrong_search.step)
        return fault_between(connection, min(ends), max(ends), newest=ends[0] >= ends[1])
    ids = [wrong_search.id_at(index) for index in range(at, end, wrong_search.step)]
    wrong = faults_among(connection, ids)
    return next((sample for sample in ids if sample in wrong), None)
