"""The list of samples: any number of them, of which only the visible pages are known.

Invariants: without a filter a row's place is its id (newest first: the highest id is row 0), so a
jump anywhere is one page read by primary key; with a filter it is its place in the ids found so
far. What was read is kept for the last few thousand rows. It does not read: `wanted` says which
ids, `learn` takes their rows.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from operator import neg

from rich.text import Text

from state.views.format import short
from state.views.samples import SampleRow
from tui.text import one_line, say, verdict, verdict_of
from tui.widgets.row_list import Column, RowList

PAGE = 100
KEPT = 4_000

COLUMNS = (
    Column("id", 8, "right"),
    Column("verdict", 10),
    Column("task", 14, least=44),
    Column("task", 0, least=30, most=43),
    Column("answer", 0, least=44),
    Column("teacher", 12, least=60),
    Column("tokens", 6, "right", least=52),
)


def place(falling: Sequence[int], sample: int) -> int:
    """Where `sample` stands in falling ids, or would stand: how many are higher."""
    return bisect_left(falling, -sample, key=neg)


class SampleList(RowList):
    """Samples, newest or oldest first, all of them or those of a filter."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(COLUMNS, id=id)
        self.low, self.high = 1, 0
        self.found: array[int] | None = None  # ids of the filter, newest first; None: all samples
        self.newest_first = True
        self._known: OrderedDict[int, SampleRow | None] = OrderedDict()
        self._cells: dict[int, Sequence[Text]] = {}

    def total(self) -> int:
        """Rows there are: all ids, or those the filter has found so far."""
        return max(0, self.high - self.low + 1) if self.found is None else len(self.found)

    def id_at(self, index: int) -> int:
        """The sample of a row."""
        if not self.newest_first:
            index = self.total() - 1 - index
        return self.high - index if self.found is None else self.found[index]

    def index_of(self, sample: int) -> int:
        """The row of a sample, or of the next older one."""
        if self.found is None:
            index = self.high - sample
        else:
            index = place(self.found, sample)
        index = max(0, min(index, self.total() - 1))
        return index if self.newest_first else self.total() - 1 - index

    @property
    def selected(self) -> int | None:
        """The sample under the cursor."""
        return self.id_at(self.cursor) if self.total() else None

    def span(self, low: int, high: int) -> None:
        """All samples have ids from `low` to `high`."""
        if (low, high) != (self.low, self.high):
            with_cursor = self.selected if self.cursor else None  # at the top it follows the newest
            old_high, self.low, self.high = self.high, low, high
            if self.found is None:
                self._moved_by(high - old_high if self.newest_first else 0, with_cursor)

    def restrict(self, found: array[int] | None) -> None:
        """Shows these ids (newest first) only, or all samples; the cursor stays on its sample where it can."""
        selected = self.selected if self.cursor else None
        self.found = found
        if selected is not None and self.total():
            self.cursor = self.index_of(selected)
        elif self.total() <= self.cursor:
            self.cursor = 0
        self.resized()
        self.reveal()

    def reverse(self) -> None:
        """Oldest first, or newest first again."""
        selected = self.selected
        self.newest_first = not self.newest_first
        if selected is not None:
            self.cursor = self.index_of(selected)
        self.resized()
        self.reveal()

    def shown(self) -> tuple[int, ...]:
        """Ids of the rows on the screen."""
        return tuple(self.id_at(index) for index in self._on_screen())

    def wanted(self) -> tuple[int, ...]:
        """Ids of the rows on the screen; with half a page around them where one is not known yet."""
        shown, total = self._on_screen(), self.total()
        if any(self.id_at(index) not in self._known for index in shown):
            shown = range(max(0, shown.start - PAGE // 2), min(shown.stop + PAGE // 2, total))
        return tuple(self.id_at(index) for index in shown)

    def learn(self, rows: Mapping[int, SampleRow], asked: Sequence[int]) -> None:
        """Takes what was read for the ids `asked`; an id without a row is a gap."""
        changed = False
        for sample in asked:
            row = rows.get(sample)
            if sample not in self._known or self._known[sample] != row:
                changed = True
                self._cells.pop(sample, None)
            self._known[sample] = row
            self._known.move_to_end(sample)
        while len(self._known) > KEPT:
            self._cells.pop(self._known.popitem(last=False)[0], None)
        if changed:
            self.refresh()

    def forget(self) -> None:
        """The database is another one: nothing that was read holds."""
        self._known.clear()
        self._cells.clear()
        self.low, self.high, self.cursor = 1, 0, 0

    def cells(self, index: int) -> Sequence[Text] | None:
        """The row's texts; None while its page is on the way."""
        sample = self.id_at(index)
        if sample not in self._known:
            return None
        if sample not in self._cells:
            self._cells[sample] = self._row(sample, self._known[sample])
        return self._cells[sample]

    def _on_screen(self) -> range:
        top, total = min(self.top, self.total()), self.total()
        return range(top, min(top + self.page_rows, total))

    def _row(self, sample: int, row: SampleRow | None) -> Sequence[Text]:
        if row is None:
            return [say(str(sample)), say(("– none", "dim")), say(), say(), say(), say(), say()]
        return [
            say(str(sample)),
            verdict(verdict_of(row)),
            say(row.task),
            say(row.task),
            say(
                one_line(row.extracted or "", 200), (" " + " ".join(row.flags) if row.flags else "", "yellow")
            ),
            say(row.teacher),
            say(short(row.tokens) if row.tokens else ("–", "dim")),
        ]

    def _moved_by(self, rows: int, selected: int | None) -> None:
        """New rows came in above: what is on the screen stays there, unless the top is shown."""
        follow = self.top == 0 and selected is None
        top = self.top
        if selected is not None:
            self.cursor = self.index_of(selected)
        self.resized()
        if not follow and rows:
            self.show_from(top + rows)
