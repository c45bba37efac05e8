"""How the samples screen reads: the rows on the screen, the one under the cursor, and a stretch of a search.

A filter is looked for in windows of ids, newest first, some hundredths of a second at a time, so what is found shows
at once; a window grows while it is quick (an index answers for a million ids in a millisecond) and shrinks where
every row has to be looked at. It knows nothing of widgets.
"""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field, replace

from state.sqlite import Connection
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

WINDOW = 5_000  # ids looked at in one statement, at first
MOST = 5_000_000
QUICK_S, SLOW_S = 0.008, 0.03
SEARCH_S = 0.05  # of searching in one reading
YOUNG = 2_000  # the newest ids may still change: they are searched again
FAR = 40_000  # when so many came in meanwhile, the search begins anew
STRIDE = 100_000  # ids looked at in one statement for the next wrong one
CHUNK = 5_000


@dataclass(frozen=True, slots=True)
class Search:
    """How far a filter has been looked for: every id from `low` to `high`."""

    wanted: SampleFilter
    low: int | None = None  # None: not begun
    high: int = 0
    window: int = field(default_factory=lambda: WINDOW)
    before: tuple[int, float] | None = None  # the last statement: ids looked at, seconds


@dataclass(frozen=True, slots=True)
class Hop:
    """The way to the next wrong sample: from the row `start` on, down (`step` 1) or up (-1)."""

    start: int
    step: int
    newest_first: bool
    high: int
    total: int
    found: array[int] | None

    def id_at(self, index: int) -> int:
        """The sample of a row, when the hop began."""
        if not self.newest_first:
            index = self.total - 1 - index
        return self.high - index if self.found is None else self.found[index]


@dataclass(frozen=True, slots=True)
class Hopped:
    """How far it came: `sample` is there, or `next` is where to go on, or neither: there is none."""

    hop: Hop
    sample: int | None = None
    next: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What one reading brought."""

    span: tuple[int, int] | None
    here: tuple[tuple[int, ...], int | None]  # what was on the screen, and under the cursor
    asked: tuple[int, ...]
    rows: dict[int, SampleRow]
    detail: SampleDetail | None
    search: Search | None  # None: it was not gone on with
    kept_from: int  # what was found before stays where its id is from here …
    kept_to: int  # … up to here
    newer: list[int]  # matches above that
    older: list[int]  # matches below that
    hopped: Hopped | None
    upto: int  # the index of words has come so far


def next_window(window: int, spent: float, before: tuple[int, float] | None) -> int:
    """How many ids the next statement looks at, after one of `window` ids that took `spent` seconds.

    A statement may have a price of its own, whatever it looks at (the beginning of a word that a million samples have):
    then smaller ones only pay it more often. Two statements tell it from the price of an id.
    """
    if spent < QUICK_S:
        return min(2 * window, MOST)
    if spent <= SLOW_S:
        return window
    if before is not None and before[0] != window:
        an_id = (spent - before[1]) / (window - before[0])
        own = spent - an_id * window
        if own > spent / 2:
            return min(max(4 * window, round(own / an_id) if an_id > 0 else 0), MOST)
    return max(window // 2, 1)


def read(
    connection: Connection,
    shown: tuple[int, ...],
    asked: tuple[int, ...],
    selected: int | None,
    search: Search | None,
    hop: Hop | None,
) -> Found:
    """One reading; without a `search` only of what is on the screen, so that a key waits for nothing else."""
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
            if reached - start == window:  # the last ones of all say nothing
                window, last = next_window(window, now - before, last), (window, now - before)
            reached = start
            if now - began >= SEARCH_S:
                break
        search = replace(search, low=reached, high=high, window=window, before=last)
    return Found(
        span=span,
        here=(shown, selected),
        asked=asked,
        rows=sample_rows(connection, asked) if asked else {},
        detail=sample_detail(connection, selected) if selected is not None else None,
        search=search,
        kept_from=kept_from,
        kept_to=kept_to,
        newer=newer,
        older=older,
        hopped=_hop(connection, hop) if hop is not None else None,
        upto=upto,
    )


def _hop(connection: Connection, hop: Hop) -> Hopped:
    deadline, at = time.monotonic() + SEARCH_S, hop.start
    while 0 <= at < hop.total:
        size = STRIDE if hop.found is None else CHUNK
        end = max(-1, min(hop.total, at + hop.step * size))  # the row after the last one of this part
        sample = _fault(connection, hop, at, end)
        if sample is not None:
            return Hopped(hop, sample=sample)
        at = end
        if time.monotonic() > deadline and 0 <= at < hop.total:
            return Hopped(hop, next=at)
    return Hopped(hop)


def _fault(connection: Connection, hop: Hop, at: int, end: int) -> int | None:
    """The first wrong sample of the rows from `at` to before `end`."""
    if hop.found is None:
        ends = hop.id_at(at), hop.id_at(end - hop.step)
        return fault_between(connection, min(ends), max(ends), newest=ends[0] >= ends[1])
    ids = [hop.id_at(index) for index in range(at, end, hop.step)]
    wrong = faults_among(connection, ids)
    return next((sample for sample in ids if sample in wrong), None)
