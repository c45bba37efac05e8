"""The texts of one sample: question and rationale, requests, verdict, cost and attempts. Pure."""

from __future__ import annotations

from rich.text import Text

from state.views.format import count, dollars, duration
from state.views.samples import SampleDetail
from tui.text import fields, one_line, say, sections, shortened, title, truncated, verdict, verdict_of

TABS = ("sample", "sent")


def paint_text(detail: SampleDetail | None) -> Text:
    """Question, rationale and answer."""
    if detail is None:
        return say()
    row = detail.row
    heading = title(one_line(f"{row.task} · {row.question} · replicate {row.replicate} · {detail.split}"))
    if detail.rationale is not None:
        body = say(detail.rationale)
    elif row.state == "failed":
        body = say(("given up: ", "bad"), detail.reason or "no reason stored")
    else:
        body = say(("no answer yet", "muted"))
    return sections(
        (heading, [say(detail.question)]),
        (title("rationale"), [body]),
        (title("answer"), [say(detail.answer)] if detail.answer else []),
    )


def paint_verdict(detail: SampleDetail | None) -> Text:
    """The extracted answer against the gold answer, where the sample came from, and its attempts."""
    if detail is None:
        return say()
    row = detail.row
    nothing = "–" if row.state == "open" else "no answer"
    verdict_lines = [
        verdict(verdict_of(row)),
        *fields(
            ("extracted", one_line(row.extracted) if row.extracted is not None else nothing),
            ("gold", one_line(detail.gold)),
            ("reason", one_line(detail.grade_reason)) if detail.grade_reason else None,
            ("grader", detail.grader) if detail.grader else None,
            ("flags", (", ".join(row.flags), "attention")) if row.flags else None,
        ),
    ]
    source = fields(
        ("teacher", row.teacher),
        ("plan", detail.plan),
        ("strategy", detail.strategy),
        ("tokens", f"{count(detail.prompt_tokens)} in, {count(detail.completion_tokens)} out"),
        ("cost", dollars(detail.cost_usd)),
        ("finished by", detail.finish_reason or "–"),
        width=13,
    )
    attempts = [
        say(
            (f"{number}. ", "muted"),
            ("✓ ok", "good") if item.outcome == "ok" else (item.outcome or "◌ in flight", "attention"),
            f" {item.status}" if item.status else "",
            f" {duration(item.latency_ms / 1000) if item.latency_ms >= 1000 else f'{item.latency_ms}ms'}"
            if item.latency_ms is not None
            else "",
            f"  may have cost {dollars(item.unknown_usd)}" if item.unknown_usd else "",
            f"  {one_line(item.reason)}" if item.reason else "",
        )
        for number, item in enumerate(detail.attempts, start=1)
    ]
    return sections(
        (say(), []),
        (title("verdict"), verdict_lines),
        (title("source"), source),
        (title("attempts"), attempts),
    )


def paint_tabs(tab: str, detail: SampleDetail | None, width: int) -> Text:
    """The tabs, with the verdict and both answers beside them if there is room: the verdict below may be far away."""
    names: list[tuple[str, str]] = []
    for name in TABS:
        names += [(f" {name} ", "tab" if name == tab else "muted"), (" ", "")]
    if detail is None or detail.row.state == "open":
        return say(*names)
    row, gold = detail.row, one_line(detail.gold)
    short = verdict(verdict_of(row))
    if verdict_of(row) == "wrong":
        short = say(
            short,
            f" {shortened(row.extracted or 'no answer', max(6, width - 36))}",
            (f", gold {gold}", "muted"),
        )
    return truncated(say(*names, short), width)


def paint_requests(detail: SampleDetail | None) -> Text:
    """The requests that were sent for a sample."""
    if detail is None:
        return say()
    if not detail.prompts:
        hint = "unknown: no daemon of this version has worked on its plan yet"
        return sections((title("requests"), [say((hint, "muted"))]))
    return sections(
        *(
            (
                title(f"turn {number}"),
                [say((f"{role}: ", "accent"), text) for role, text in messages],
            )
            for number, messages in enumerate(detail.prompts, start=1)
        )
    )
