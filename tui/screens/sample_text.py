"""The texts of one sample: question, rationale, requests, and the verdict with all that led to it. Pure."""

from __future__ import annotations

from itertools import groupby

from rich.text import Text

from state.notes import note_words
from state.views.format import count, dollars, latency
from state.views.questions import Noted, QuestionDetail
from state.views.samples import AttemptRow, SampleDetail
from tui.reading import block, chip, tinted
from tui.text import Part, fields, lines, one_line, say, sections, title, verdict

TABS = ("sample", "sent")
LABEL = 10
"""Cells of the labels beside a verdict."""
GOOD = ("correct", "answered")
"""Verdicts of samples that have what was asked for."""
MOST_VOTES = 6
"""Answers whose votes are shown; the others are counted."""


def question_head(detail: SampleDetail, question: QuestionDetail | None) -> Text:
    """Where a question is from, and how many of its rationales are correct."""
    name = say((f"{one_line(detail.row.task, 24)} · {one_line(detail.row.question, 24)}", "muted"))
    return name if question is None else say(name, (" · ", "faint"), solved(question))


def solved(question: QuestionDetail) -> Text:
    """`2 of 8 correct`; yellow where some are wrong, and red where nobody solved it."""
    correct, graded = question.correct, question.graded
    if not graded:
        return say(("no verdict yet", "muted"))
    role = "good" if correct == graded else "attention" if correct else "bad"
    return say((f"{correct} of {graded} {'correct' if question.gold else 'answered'}", role))


def rationale_head(detail: SampleDetail, question: QuestionDetail | None) -> tuple[str, Text]:
    """`rationale 1 of 8`, and who wrote it."""
    name = "rationale"
    if question is not None:
        ids = [item.id for item in question.rationales]
        if detail.row.id in ids:
            name += f" {ids.index(detail.row.id) + 1} of {question.total}"
    tokens = f" · {count(detail.completion_tokens)} tokens" if detail.completion_tokens else ""
    return name, say(one_line(detail.row.teacher, 24), (tokens, "muted"))


def paint_rationale(detail: SampleDetail) -> Text:
    """The rationale, its unlikely words tinted, and the turn that gives the answer."""
    if detail.rationale is None:
        if detail.row.state == "failed":
            return say(("given up: ", "bad"), detail.reason or "no reason stored")
        return say(("no answer yet", "muted"))
    body = tinted(detail.rationale, detail.spans)
    if detail.answer and detail.answer.strip() not in detail.rationale:
        body = lines([body, "", say(("answer  ", "muted"), detail.answer)])
    return lines([body, "", *_rounds(detail)]) if detail.rounds else body


def _rounds(detail: SampleDetail) -> list[Text]:
    """`round 1  small-b: 12 · small-c: 14`, a line for each round of a panel."""
    found = []
    for turn, answers in groupby(detail.rounds, key=lambda each: each.turn):
        parts: list[Part] = [(f"round {turn + 1}  ", "muted")]
        for place, each in enumerate(answers):
            role = "strong" if each.teacher == detail.row.teacher else "text"
            parts += [(" · " if place else "", "faint"), (f"{one_line(each.teacher, 24)}: ", "muted")]
            parts.append((one_line(each.answer or "no answer", 24), role))
        found.append(say(*parts))
    return found


def paint_requests(detail: SampleDetail) -> Text:
    """The requests that were sent for a sample."""
    if not detail.prompts:
        hint = "unknown: no daemon of this version has worked on its plan yet"
        return say((hint, "muted"))
    return sections(
        *(
            (
                title(f"turn {number}"),
                [say((f"{role}: ", "accent"), text) for role, text in messages],
            )
            for number, messages in enumerate(detail.prompts, start=1)
        )
    )


def paint_verdict(detail: SampleDetail, question: QuestionDetail | None) -> Text:
    """Extracted against gold, why, and votes, diversity, attempts, cost and notes."""
    row = detail.row
    marks = [say((flag, "attention")) for flag in row.flags if flag]
    rows: list[tuple[Part, ...] | None] = [
        ("extracted", *_answers(detail)),
        ("because", one_line(detail.grade_reason)) if detail.grade_reason else None,
        ("grader", (detail.grader, "muted")) if detail.grader else None,
        ("flags", say((", ".join(mark.plain for mark in marks), "attention"))) if marks else None,
    ]
    if question is not None:
        rows += [
            ("votes", *votes_line(question, 8)) if question.votes else None,
            ("diversity", *diversity_words(question)) if question.diversity else None,
        ]
    rows += [
        ("attempts", *attempts_line(detail.attempts)) if detail.attempts else None,
        (
            "sent",
            one_line(detail.strategy),
            (f" · plan {one_line(detail.row.plan, 40)} · {detail.split}", "muted"),
        ),
        (
            "paid",
            f"{count(detail.prompt_tokens)} in, {count(detail.completion_tokens)} out · {dollars(detail.row.cost_usd)}",
        ),
        ("ended by", detail.finish_reason) if detail.finish_reason not in (None, "stop") else None,
        *(("note", note_text(note)) for note in (question.notes_of(row.id) if question else ())),
    ]
    return lines(fields(*rows, width=LABEL))


def paint_short_verdict(detail: SampleDetail, question: QuestionDetail | None) -> Text:
    """The same in few lines, for a narrow panel."""
    row = detail.row
    last: list[Part] = [solved(question), (" · ", "faint")] if question is not None else []
    last += [one_line(row.teacher, 16), (f" · {count(detail.completion_tokens)} tokens", "muted")]
    notes = question.notes_of(row.id) if question is not None else ()
    found = [say(("answer ", "muted"), *_answers(detail, narrow=True)), say(*last)]
    return lines([*found, *(note_text(note) for note in notes[:2])])


def note_text(note: Noted) -> Text:
    """A note, with its flag."""
    return say((f"⚑ {one_line(note_words(note.flag, note.text))}", "attention"))


def diversity_words(question: QuestionDetail) -> list[Part]:
    """`0.64 · 7 of 8 wordings differ`."""
    found = question.diversity
    if found is None:
        return []
    return [f"{found.distance:.2f}", (f" · {found.distinct} of {found.of} wordings differ", "muted")]


def votes_line(question: QuestionDetail, cells: int) -> list[Part]:
    """Each answer with a bar of its votes; all bars together have at most about `cells`."""
    found: list[Part] = []
    unit = min(3.0, cells / max(1, sum(item.votes for item in question.votes)))
    for item in question.votes[:MOST_VOTES]:
        role = "good" if item.correct else "muted" if item.answer is None else "bad"
        name = one_line(item.answer, 24) if item.answer is not None else "none"
        found += [name, " ", block(max(1, round(unit * item.votes)), role), f" {item.votes}  "]
    if len(question.votes) > MOST_VOTES:
        found.append((f"{len(question.votes) - MOST_VOTES} more", "muted"))
    return found


def _answers(detail: SampleDetail, *, narrow: bool = False) -> list[Part]:
    row = detail.row
    word = row.word
    gold = one_line(detail.gold, 200)
    if row.extracted is None:
        own: Part = (
            "–" if row.state == "open" else "no answer",
            "muted" if row.state == "open" else "attention",
        )
    elif narrow:
        own = (one_line(row.extracted, 200), "bold good" if word in GOOD else "bold bad")
    else:
        own = chip(one_line(row.extracted, 200), "good" if word in GOOD else "bad")
    if not gold:
        return [own]
    shown: Part = (gold, "bold good") if narrow else chip(gold, "good")
    return [own, "   ", ("gold ", "muted"), shown]


def attempts_line(attempts: tuple[AttemptRow, ...]) -> list[Part]:
    """`1 429 limited  2 ✓ 200 in 1.1s`, the last ones where there are many."""
    found: list[Part] = [(f"{len(attempts) - 6} more  ", "muted")] if len(attempts) > 6 else []
    for number, item in list(enumerate(attempts, start=1))[-6:]:
        took = f" in {latency(item.latency_ms)}" if item.latency_ms is not None else ""
        status = f" {item.status}" if item.status else ""
        word = ("✓", "good") if item.outcome == "ok" else (item.outcome or "○ in flight", "attention")
        found += [(f"{number} ", "muted"), word, f"{status}{took}"]
        found += [(f" may have cost {dollars(item.unknown_usd)}", "muted")] if item.unknown_usd else []
        found += [(f" {one_line(item.reason, 120)}", "muted")] if item.reason else []
        found.append("  ")
    return found


def paint_whole(detail: SampleDetail, question: QuestionDetail | None) -> Text:
    """Everything about a sample, one below the other, for a pager."""
    row = detail.row
    heading = f"sample {row.id} · {row.task} · {row.question} · replicate {row.replicate}"
    return sections(
        (title(one_line(heading)), [say(detail.question)]),
        (title("rationale"), [paint_rationale(detail)]),
        (say("verdict: ", verdict(row.word)), [paint_verdict(detail, question)]),
        (title("sent"), [paint_requests(detail)]),
    )
