"""The list of samples. There may be millions; only the visible pages are read.

Invariants: without a filter a row's position follows from its id (newest first: the highest id is row 0), so a jump
anywhere reads one page by primary key; with a filter it is the position among the ids found so far. The last few
thousand rows stay in memory. The list does not read: `wanted_ids` names the ids, `receive` takes their rows.
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
from tui.widgets.columns import Column
from tui.widgets.row_list import RowList

PAGE = 100
CACHED = 4_000

COLUMNS: tuple[Column[SampleRow], ...] = (
    Column("id", 8, lambda row: str(row.id), "right"),
    Column("verdict", 10, lambda row: verdict(verdict_of(row))),
    Column("task", 14, lambda row: row.task, from_width=44),
    Column("task", 0, lambda row: row.task, from_width=30, to_width=43),
    Column("answer", 0, lambda row: _answer(row), from_width=44),
    Column("teacher", 12, lambda row: row.teacher, from_width=60),
    Column("tokens", 6, lambda row: short(row.tokens) if row.tokens else say(("–", "muted")), "right", 52),
)


def position_of(descending: Sequence[int], sample: int) -> int:
    """The position of `sample` in descending ids, or where it would be: the number of higher ids."""
    return bisect_left(descending, -sample, key=neg)


class SampleList(RowList):
    """Samples, newest or oldest first: all of them, or those that match a filter."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(COLUMNS, id=id)
        self.low, self.high = 1, 0
        self.found: array[int] | None = None  # ids that match the filter, newest first; None: no filter
        self.newest_first = True
        self._known: OrderedDict[int, SampleRow | None] = OrderedDict()
        self._cells: dict[int, Sequence[Text]] = {}

    def total(self) -> int:
        """The number of rows: all ids, or the matches found so far."""
        return max(0, self.high - self.low + 1) if self.found is None else len(self.found)

    def id_at(self, index: int) -> int:
        """The sample id of a row."""
        if not self.newest_first:
            index = self.total() - 1 - index
        return self.high - index if self.found is None else self.found[index]

    def index_of(self, sample: int) -> int:
        """The row of a sample, or of the next older sample."""
        if self.found is None:
            index = self.high - sample
        else:
            index = position_of(self.found, sample)
        index = max(0, min(index, self.total() - 1))
        return index if self.newest_first else self.total() - 1 - index

    @property
    def selected(self) -> int | None:
        """The id of the sample under the cursor."""
        return self.id_at(self.cursor) if self.total() else None

    def set_range(self, low: int, high: int) -> None:
        """Sets the lowest and the highest id of all samples."""
        if (low, high) != (self.low, self.high):
            selected = self.selected if self.cursor else None  # at the top the list follows the newest
            old_high, self.low, self.high = self.high, low, high
            if self.found is None:
                self._moved_by(high - old_high if self.newest_first else 0, selected)

    def restrict(self, found: array[int] | None) -> None:
        """Shows only these ids (newest first), or all samples; the cursor stays on its sample if possible."""
        selected = self.selected if self.cursor else None
        self.found = found
        if selected is not None and self.total():
            self.cursor = self.index_of(selected)
        elif self.total() <= self.cursor:
            self.cursor = 0
        self.resized()
        self.reveal()

    def reverse(self) -> None:
        """Reverses the order: oldest first, or newest first again."""
        selected = self.selected
        self.newest_first = not self.newest_first
        if selected is not None:
            self.cursor = self.index_of(selected)
        self.resized()
        self.reveal()

    def visible_ids(self) -> tuple[int, ...]:
        """Ids of the visible rows."""
        return tuple(self.id_at(index) for index in self._on_screen())

    def wanted_ids(self) -> tuple[int, ...]:
        """Ids of the visible rows, with half a page around them if one has not been read yet."""
        shown, total = self._on_screen(), self.total()
        if any(self.id_at(index) not in self._known for index in shown):
            shown = range(max(0, shown.start - PAGE // 2), min(shown.stop + PAGE // 2, total))
        return tuple(self.id_at(index) for index in shown)

    def receive(self, rows: Mapping[int, SampleRow], ids: Sequence[int]) -> None:
        """Takes the rows read for these ids; an id without a row is a gap."""
        changed = False
        for sample in ids:
            row = rows.get(sample)
            if sample not in self._known or self._known[sample] != row:
                changed = True
                self._cells.pop(sample, None)
            self._known[sample] = row
            self._known.move_to_end(sample)
        while len(self._known) > CACHED:
            self._cells.pop(self._known.popitem(last=False)[0], None)
        if changed:
            self.refresh()

    def clear_rows(self) -> None:
        """Forgets all rows: the database was replaced."""
        self._known.clear()
        self._cells.clear()
        self.low, self.high, self.cursor = 1, 0, 0

    def cells(self, index: int) -> Sequence[Text] | None:
        """The texts of a row; None while its page is being read."""
        sample = self.id_at(index)
        if sample not in self._known:
            return None
        if sample not in self._cells:
            self._cells[sample] = self._texts(sample, self._known[sample])
        return self._cells[sample]

    def _on_screen(self) -> range:
        top, total = min(self.top, self.total()), self.total()
        return range(top, min(top + self.page_rows, total))

    def _texts(self, sample: int, row: SampleRow | None) -> Sequence[Text]:
        if row is not None:
            return [column.text(row) for column in COLUMNS]
        return [say(str(sample)), say(("– none", "muted")), *(say() for _ in COLUMNS[2:])]

    def _moved_by(self, rows: int, selected: int | None) -> None:
        """Rows were added above: the visible rows stay in place, unless the top is visible."""
        follow = self.top == 0 and selected is None
        top = self.top
        if selected is not None:
            self.cursor = self.index_of(selected)
        self.resized()
        if not follow and rows:
            self.show_from(top + rows)


def _answer(row: SampleRow) -> Text:
    flags = (" " + " ".join(row.flags), "attention") if row.flags else ""
    return say(one_line(row.extracted or "", 200), flags)
