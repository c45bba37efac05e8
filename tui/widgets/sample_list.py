"""The list of samples. There may be millions; only the visible pages are read.

Invariants: without a filter a row's id follows from its rank (`row_order.py`), so a jump anywhere reads one page by primary key;
with a filter the rank is that among the ids found so far. The last few thousand rows stay in memory. The list does not
read: `wanted_ids` names the ids, `receive` takes their rows.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import neg

from rich.text import Text

from state.views.format import age, dollars, short
from state.views.samples import SampleRow
from tui.text import one_line, say, verdict
from tui.widgets.columns import Column
from tui.widgets.row_list import RowList
from tui.widgets.row_order import RowOrder

PAGE = 100
CACHED = 4_000


@dataclass(frozen=True, slots=True)
class ListedSample:
    """A sample, and how long ago it was stored."""

    row: SampleRow
    age: str


COLUMNS: tuple[Column[ListedSample], ...] = (
    Column("", 2, lambda item: say(verdict(item.row.word)[:1], _flag(item.row)), to_width=69),
    Column("verdict", 11, lambda item: _verdict(item.row), from_width=70),
    Column("id", 9, lambda item: say((str(item.row.id), "muted")), "right", from_width=130),
    Column("task", 14, lambda item: say((one_line(item.row.task), "muted")), from_width=150),
    Column("question", 0, lambda item: one_line(item.row.text)),
    Column("answer", 8, lambda item: _answer(item.row), "right", from_width=30, to_width=49),
    Column("answer", 10, lambda item: _answer(item.row), "right", from_width=50),  # a date is not cut
    Column("gold", 10, lambda item: say((one_line(item.row.gold), "muted")), "right", from_width=50),
    Column("tokens", 6, lambda item: _tokens(item.row), "right", from_width=50),
    Column("cost", 9, lambda item: dollars(item.row.cost_usd), "right", from_width=130),
    Column("log p", 6, lambda item: _logprob(item.row), "right", from_width=130),
    Column("teacher", 10, lambda item: say((item.row.teacher, "muted")), from_width=80),
    Column("plan", 10, lambda item: say((one_line(item.row.plan), "muted")), from_width=130),
    Column("age", 6, lambda item: say((item.age, "muted")), "right", from_width=86),
)


class Cells(Sequence[Text]):
    """The texts of a row, each made when it is first drawn: most lists show less than half of the columns."""

    __slots__ = ("_item", "_made")

    def __init__(self, item: ListedSample) -> None:
        self._item = item
        self._made: list[Text | None] = [None] * len(COLUMNS)

    def __len__(self) -> int:
        return len(COLUMNS)

    def __getitem__(self, at: int) -> Text:  # type: ignore[override]  # never a part of them
        found = self._made[at]
        if found is None:
            found = self._made[at] = COLUMNS[at].text(self._item)
        return found


def position_of(descending: Sequence[int], sample: int) -> int:
    """The position of `sample` in descending ids, or where it would be: the number of higher ids."""
    return bisect_left(descending, -sample, key=neg)


class SampleList(RowList):
    """Samples in an order: all of them, or those that match a filter."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(COLUMNS, id=id)
        self.low, self.high = 1, 0
        self.found: array[int] | None = None  # ids that match the filter, newest first; None: no filter
        self.order = RowOrder()
        self.now = 0  # UTC milliseconds, for ages
        self._known: OrderedDict[int, SampleRow | None] = OrderedDict()
        self._cells: dict[int, Sequence[Text]] = {}

    def total(self) -> int:
        """The number of rows: all ids, or the matches found so far."""
        return max(0, self.high - self.low + 1) if self.found is None else len(self.found)

    def id_at(self, index: int) -> int:
        """The sample id of a row."""
        total = self.total()
        rank = self.order.rank(index, total)
        return self.low + rank if self.found is None else self.found[total - 1 - rank]

    def index_of(self, sample: int) -> int:
        """The row of a sample, or of the next older sample."""
        total = self.total()
        rank = sample - self.low if self.found is None else total - 1 - position_of(self.found, sample)
        return self.order.index(max(0, min(rank, total - 1)), total)

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
                self._moved_by(high - old_high if self.order.grows_above else 0, selected)

    def restrict(self, found: array[int] | None) -> None:
        """Shows only these ids (newest first), or all samples; the cursor stays on its sample if possible."""
        selected = self.selected if self.cursor else None
        self.found = found
        self.order = self.order.within(self.total())
        if selected is not None and self.total():
            self.cursor = self.index_of(selected)
        elif self.total() <= self.cursor:
            self.cursor = 0
        self.resized()
        self.reveal()

    def order_by(self, order: RowOrder) -> None:
        """Shows the rows in another order. The cursor stays on its sample; at random it starts at the top."""
        selected = self.selected
        self.order = order
        self.cursor = 0 if order.seed is not None or selected is None else self.index_of(selected)
        self.resized()
        self.reveal()

    def set_now(self, now: int) -> None:
        """Tells the time: the ages of the visible rows are written anew where they have changed."""
        self.now = now
        aged = []
        for index in self._on_screen():
            sample = self.id_at(index)
            row, cells = self._known.get(sample), self._cells.get(sample)
            if row is not None and cells is not None and cells[-1].plain != self._age(row):
                del self._cells[sample]
                aged.append(index)
        self.refresh_rows(aged)

    def restyle(self) -> None:
        """Other colours."""
        self._cells.clear()
        super().restyle()

    def visible_ids(self) -> tuple[int, ...]:
        """Ids of the visible rows."""
        return tuple(self.id_at(index) for index in self._on_screen())

    def wanted_ids(self) -> tuple[int, ...]:
        """Ids of the visible rows; with half a page around them where some are read and others not: someone scrolls."""
        shown, total = self._on_screen(), self.total()
        known = [self.id_at(index) in self._known for index in shown]
        if any(known) and not all(known):
            shown = range(max(0, shown.start - PAGE // 2), min(shown.stop + PAGE // 2, total))
        return tuple(self.id_at(index) for index in shown)

    def receive(self, rows: Mapping[int, SampleRow], ids: Sequence[int]) -> None:
        """Takes the rows read for these ids; an id without a row is a gap."""
        changed = set()
        for sample in ids:
            row = rows.get(sample)
            if sample not in self._known or self._known[sample] != row:
                changed.add(sample)
                self._cells.pop(sample, None)
            self._known[sample] = row
            self._known.move_to_end(sample)
        while len(self._known) > CACHED:
            self._cells.pop(self._known.popitem(last=False)[0], None)
        if changed:
            self.refresh_rows([index for index in self._on_screen() if self.id_at(index) in changed])

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
            return Cells(ListedSample(row, self._age(row)))
        gone = {"question": say((f"no sample {sample}", "muted")), "age": say()}
        return [gone.get(column.title, say(("–", "muted"))) for column in COLUMNS]

    def _age(self, row: SampleRow) -> str:
        return "" if row.stored_at is None else age((self.now - row.stored_at) / 1000)

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
    """What was extracted; red where it is wrong. Without an answer: why."""
    word = row.word
    if word in ("failed", "open"):
        return say((word, "bad" if word == "failed" else "muted"))
    if row.extracted is None:
        return say(("✂ cut", "attention") if "truncated" in row.flags else ("–", "muted"))
    return say((one_line(row.extracted, 200), "bold bad" if word == "wrong" else "strong"))


def _verdict(row: SampleRow) -> Text:
    word = verdict(row.word)
    return say(word, " " * (10 - word.cell_len), _flag(row))


def _flag(row: SampleRow) -> Text:
    return say(("⚑", "attention") if row.noted else " ")


def _logprob(row: SampleRow) -> Text:
    """The mean log-probability of its rationale's tokens."""
    return say(("–", "muted") if row.logprob is None else f"{row.logprob:.2f}")


def _tokens(row: SampleRow) -> Text:
    return say((short(row.tokens), "") if row.tokens else ("–", "muted"))
