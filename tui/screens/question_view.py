"""All rationales of a question side by side, numbered, below the question with its votes."""

from __future__ import annotations

from functools import partial

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from state.views.questions import QuestionDetail, Rationale
from tui.screens.question_text import (
    card_lines,
    card_title,
    paint_card,
    paint_question,
    question_height,
    question_summary,
    question_title,
)
from tui.screens.sample_text import note_text
from tui.text import one_line, say
from tui.widgets.panel import Panel

COLUMNS, ROWS = 4, 2
NARROWEST = 29
"""Cells of a card, with its frame, before there is one fewer in a row."""


class QuestionView(Vertical, can_focus=False):
    """A question and its rationales. One of them is chosen; the page that shows it is shown."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.question: QuestionDetail | None = None
        self.chosen = 0  # index of a rationale
        self._top = 0  # the first line that is shown of the chosen one
        self._asked_for: int | None = None
        self.differences = False
        """Whether the words are tinted that the other rationales do not share with the chosen one."""

    def compose(self) -> ComposeResult:
        """The question, and two rows of cards."""
        yield Panel(id="asked")
        for row in range(ROWS):
            with Horizontal(id=f"cards-{row}"):
                for column in range(COLUMNS):
                    yield Panel(id=f"card-{row}-{column}", classes="card")

    @property
    def rationale(self) -> Rationale | None:
        """The chosen one."""
        found = self.question.rationales if self.question is not None else ()
        return found[self.chosen] if self.chosen < len(found) else None

    def grid(self) -> tuple[int, int]:
        """Columns and rows of cards for the room there is."""
        width, height = self.size
        total = len(self.question.rationales) if self.question is not None else 1
        columns = max(1, min(COLUMNS, width // NARROWEST, total))
        rows = ROWS if height >= 30 and total > columns else 1
        return columns, rows

    def show(self, question: QuestionDetail | None, sample: int | None) -> None:
        """Shows a question; `sample` is chosen unless it was the last one asked for."""
        ids = [item.id for item in question.rationales] if question is not None else []
        self.question = question
        if sample in ids and sample != self._asked_for:
            self.chosen, self._top, self._asked_for = ids.index(sample), 0, sample
        self.chosen = max(0, min(self.chosen, len(ids) - 1))
        self._draw()

    def move(self, step: int) -> int | None:
        """Chooses the next or previous rationale; returns its sample."""
        total = len(self.question.rationales) if self.question is not None else 0
        if total:
            self.chosen, self._top = max(0, min(self.chosen + step, total - 1)), 0
        return self.rationale.id if self.rationale is not None else None

    def scroll_text(self, rows: int) -> None:
        """Scrolls the chosen rationale."""
        item, card = self.rationale, self._card_of(self.chosen)
        if item is None or card is None:
            return
        longest = max(0, card_lines(item, card.size.width) - max(1, card.size.height - 1))
        self._top = max(0, min(self._top + rows, longest))
        self._draw()

    def on_resize(self) -> None:
        """Another number of cards fits."""
        self._draw()

    def on_panel_clicked(self, message: Panel.Clicked) -> None:
        """A click chooses a rationale."""
        message.stop()
        columns, _ = self.grid()
        _, _, place = (message.panel.id or "").partition("card-")
        if place and self.question is not None:
            row, _, column = place.partition("-")
            at = self._first() + int(row) * columns + int(column)
            if at < len(self.question.rationales):
                self.chosen, self._top = at, 0
                self._draw()

    def restyle(self) -> None:
        """Other colours."""
        self._draw()

    def _first(self) -> int:
        """The first rationale of the page; the last page is full too."""
        columns, rows = self.grid()
        page, total = columns * rows, len(self.question.rationales) if self.question is not None else 0
        return max(0, min(self.chosen // page * page, total - page))

    def _card_of(self, at: int) -> Panel | None:
        columns, rows = self.grid()
        row, column = divmod(at - self._first(), columns)
        return self.query_one(f"#card-{row}-{column}", Panel) if row < rows else None

    def _draw(self) -> None:
        question = self.question
        if question is None or not self.is_mounted or not self.size:
            return
        columns, rows = self.grid()
        asked = self.query_one("#asked", Panel)
        frame = 2 if asked.framed else 0
        asked.styles.height = question_height(question, self.size.width - 4, self.size.height) + frame
        against = self._against(question) if self.differences else None
        words = f"tinted: what {question.rationales.index(against) + 1} does not say" if against else ""
        asked.head(question_title(question), question_summary(question), (words, "attention"))
        asked.paint(partial(paint_question, question))
        first, total = self._first(), len(question.rationales)
        for row in range(ROWS):
            self.query_one(f"#cards-{row}").display = row < rows
            for column in range(COLUMNS):
                card = self.query_one(f"#card-{row}-{column}", Panel)
                at = first + row * columns + column
                card.display = column < columns
                card.visible = at < total  # its place stays empty, without a frame
                if row < rows and column < columns:
                    last = row == rows - 1 and column == columns - 1
                    self._card(card, question, at, total - at - 1 if last else 0, against)

    def _against(self, question: QuestionDetail) -> Rationale | None:
        """The rationale that the others are compared with: the chosen one; if it stands alone, the first correct other one."""
        columns, rows = self.grid()
        if columns * rows > 1:
            return self.rationale
        others = [item for item in question.rationales if item is not self.rationale and item.rationale]
        return next((item for item in others if item.verdict == 1), others[0] if others else None)

    def _card(
        self, card: Panel, question: QuestionDetail, at: int, more: int, against: Rationale | None
    ) -> None:
        if at >= len(question.rationales):
            card.activate(False)
            card.head(say())
            card.paint(lambda width, height: [])
            return
        item, chosen = question.rationales[at], at == self.chosen
        notes: list[Text] = [note_text(note) for note in question.notes if note.sample == item.id]
        left = self._first()
        pointer = " · ".join(
            words
            for words in (
                f"{left} before ←" if left and more >= 0 and at == left else "",
                f"{more} more with →" if more > 0 else "",
            )
            if words
        )
        card.activate(chosen)
        card.head(card_title(at + 1, item), (one_line(item.teacher, 16), "muted"), (pointer, "muted"))
        top = self._top if chosen else 0
        other = against.rationale if against is not None and against is not item else None
        card.paint(lambda width, height: paint_card(item, width, height, top, notes, other))
