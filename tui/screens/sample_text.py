"""What is shown of one sample: its text, what was sent for it, its verdict and what it took. Pure."""

from __future__ import annotations

from rich.text import Text

from state.views.format import dollars, duration
from state.views.samples import SampleDetail
from tui.screens.frame import cut
from tui.screens.view import sections
from tui.text import one_line, say, shortened, title, verdict, verdict_of

TABS = ("sample", "sent")


def paint_text(detail: SampleDetail | None) -> Text:
    """Question and rationale, as they were written."""
    if detail is None:
        return say()
    row = detail.row
    heading = title(one_line(f"{row.task} · {row.question} · replicate {row.replicate} · {detail.split}"))
    if detail.rationale is not None:
        body = say(detail.rationale)
    elif row.state == "failed":
        body = say(("given up: ", "red"), detail.reason or "no reason was stored")
    else:
        body = say(("no answer yet", "dim"))
    return sections(
        (heading, [say(detail.question)]),
        (title("rationale"), [body]),
        (title("answer"), [say(detail.answer)] if detail.answer else []),
    )


def paint_verdict(detail: SampleDetail | None) -> Text:
    """What the grader read against the gold answer, and what it took to get it."""
    if detail is None:
        return say()
    row = detail.row
    nothing = "–" if row.state == "open" else "nothing"
    against = [
        verdict(verdict_of(row)),
        say(("extracted  ", "dim"), one_line(row.extracted) if row.extracted is not None else nothing),
        say(("gold       ", "dim"), one_line(detail.gold)),
    ]
    if detail.grade_reason:
        against.append(say(("because    ", "dim"), one_line(detail.grade_reason)))
    if detail.grader:
        against.append(say(("grader     ", "dim"), detail.grader))
    if row.flags:
        against.append(say(("flags      ", "dim"), (", ".join(row.flags), "yellow")))
    source = [
        say(("teacher    ", "dim"), row.teacher),
        say(("plan       ", "dim"), detail.plan),
        say(("strategy   ", "dim"), detail.strategy),
        say(("tokens     ", "dim"), f"{detail.prompt_tokens} in, {detail.completion_tokens} out"),
        say(("cost       ", "dim"), dollars(detail.cost_usd)),
        say(("ended by   ", "dim"), detail.finish_reason or "–"),
    ]
    attempts = [
        say(
            (f"{number}. ", "dim"),
            ("✓ ok", "green") if item.outcome == "ok" else (item.outcome or "◌ in flight", "yellow"),
            f" {item.status}" if item.status else "",
            f" {duration(item.latency_ms / 1000) if item.latency_ms >= 1000 else f'{item.latency_ms}ms'}"
            if item.latency_ms is not None
            else "",
            f"  {one_line(item.reason)}" if item.reason else "",
        )
        for number, item in enumerate(detail.attempts, start=1)
    ]
    return sections(
        (say(), []), (title("verdict"), against), (title("from"), source), (title("attempts"), attempts)
    )


def paint_tabs(tab: str, detail: SampleDetail | None, width: int) -> Text:
    """The tabs; beside them the verdict and its two answers, as there is room: the whole of it may be far below."""
    names: list[tuple[str, str]] = []
    for name in TABS:
        names += [(f" {name} ", "reverse bold" if name == tab else "dim"), (" ", "")]
    if detail is None or detail.row.state == "open":
        return say(*names)
    row, gold = detail.row, one_line(detail.gold)
    short = verdict(verdict_of(row))
    if verdict_of(row) == "wrong":
        short = say(
            short, f" {shortened(row.extracted or 'nothing', max(6, width - 36))}", (f", gold {gold}", "dim")
        )
    return cut(say(*names, short), width)


def paint_sent(detail: SampleDetail | None) -> Text:
    """The requests of a sample, as they were sent."""
    if detail is None:
        return say()
    if not detail.prompts:
        hint = "not known: no daemon of this version has worked on its plan yet"
        return sections((title("sent"), [say((hint, "dim"))]))
    return sections(
        *(
            (
                title(f"turn {number}"),
                [say((f"{role}: ", "cyan"), text) for role, text in messages],
            )
            for number, messages in enumerate(detail.prompts, start=1)
        )
    )
