"""A sample to read: its question, its rationale and the verdict, in three panels or, where it is narrow, in one."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll

from state.views.format import count
from state.views.questions import QuestionDetail
from state.views.samples import SampleDetail
from tui.reading import unsure
from tui.screens.sample_text import (
    TABS,
    paint_rationale,
    paint_requests,
    paint_short_verdict,
    paint_verdict,
    question_head,
    rationale_head,
)
from tui.text import say, verdict
from tui.widgets.panel import Panel
from tui.widgets.text_block import TextBlock


class SampleReading(Panel):
    """One frame around three parts without frames, or three frames."""

    def compose(self) -> ComposeResult:
        """The question, the rationale or the requests, the verdict."""
        with Panel(id="asked-panel"), VerticalScroll(id="asked-scroll", can_focus=False):
            yield TextBlock(id="asked-text")
        with Panel(id="rationale-panel"), VerticalScroll(classes="detail", can_focus=False):
            yield TextBlock(id="text")
        with Panel(id="verdict-panel"):
            yield TextBlock(id="verdict")

    def show(
        self, detail: SampleDetail | None, question: QuestionDetail | None, tab: str, *, active: bool
    ) -> None:
        """Shows a sample; nothing without one.

        Args:
            detail: the sample.
            question: its question.
            tab: of `TABS`.
            active: whether keys scroll here.
        """
        asked, body, below = (
            self.query_one(f"#{name}", Panel) for name in ("asked-panel", "rationale-panel", "verdict-panel")
        )
        text = self.query_one("#text", TextBlock)
        asked.display = below.display = detail is not None
        self.activate(active)
        body.activate(active)
        if detail is None:
            self.head("sample")
            body.head("sample")
            text.write(say())
            return
        word = verdict(detail.row.word)
        word.stylize("bold")
        sent = tab != TABS[0]
        self.head(f"sample {count(detail.row.id)}", word, (f"] {TABS[0] if sent else TABS[1]}", "muted"))
        asked.head("question", question_head(detail, question))
        self.query_one("#asked-text", TextBlock).paint(lambda width: say((detail.question, "strong")))
        name, by = rationale_head(detail, question)
        hint = f"] {TABS[0]}" if sent else "unsure words are tinted" if unsure(detail.spans) else ""
        body.head("sent" if sent else name, by, (hint, "muted"))
        text.paint(lambda width: paint_requests(detail) if sent else paint_rationale(detail))
        below.head("verdict", word)
        short = self.framed
        self.query_one("#verdict", TextBlock).paint(
            lambda width: paint_short_verdict(detail, question) if short else paint_verdict(detail, question)
        )
