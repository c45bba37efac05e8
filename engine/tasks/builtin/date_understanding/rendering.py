"""Rationales about dates."""

from __future__ import annotations

import datetime as dt
import re

from engine.decomposition import Step as SubQuestion
from engine.tasks.builtin.date_understanding.calendar_words import DATE, MONTHS, Shift, numeric, parsed
from engine.tasks.builtin.date_understanding.problem import Dates
from engine.tasks.procedural import Renderer, Trace

DateTrace = Trace[Shift, dt.date]


def _long(date: dt.date) -> str:
    return f"{MONTHS[date.month - 1]} {date.day}, {date.year}"


def _distance(shift: Shift) -> str:
    """The shift in words: `one day later`."""
    size, unit = (abs(shift.months), "month") if shift.months else (abs(shift.days), "day")
    if unit == "month" and size % 12 == 0:
        size, unit = size // 12, "year"
    if unit == "day" and size == 7:
        size, unit = 1, "week"
    later = (shift.months or shift.days) > 0
    count = f"one {unit}" if size == 1 else f"{size} {unit}s"
    return f"{count} {'later' if later else 'earlier'}"


def _context(trace: DateTrace) -> str:
    problem = trace.problem
    assert isinstance(problem, Dates)
    return problem.context


def _plain(trace: DateTrace) -> str:
    sentences = [f"We are told: {_context(trace)} That names the date {numeric(trace.problem.start)}."]
    sentences += [
        f"Then {step.move.words} is {_distance(step.move)}, which is {numeric(step.after)}."
        for step in trace.steps
    ]
    return " ".join(sentences)


def _from_to(trace: DateTrace) -> str:
    sentences = [f"The date that is given is {numeric(trace.problem.start)}."]
    sentences += [
        f"From {numeric(step.before)} we go to {step.move.words}, {_distance(step.move)}, and get {numeric(step.after)}."
        for step in trace.steps
    ]
    return " ".join(sentences)


def _months(trace: DateTrace) -> str:
    sentences = [f"The question gives {_long(trace.problem.start)}."]
    sentences += [
        f"For {step.move.words} we need {_distance(step.move)}. That is {_long(step.after)}."
        for step in trace.steps
    ]
    return " ".join(sentences)


def _since(trace: DateTrace) -> str:
    start = trace.problem.start
    sentences = [f"We begin with {_long(start)}, or {numeric(start)}."]
    sentences += [
        f"Since {step.move.words} lies {_distance(step.move)}, it is {_long(step.after)}, or {numeric(step.after)}."
        for step in trace.steps
    ]
    return " ".join(sentences)


def _sub_question(trace: DateTrace, index: int) -> SubQuestion:
    step = trace.steps[index]
    said = f"It is {_distance(step.move)} than {numeric(step.before)}, which is {numeric(step.after)}."
    return SubQuestion(f"Which date is {step.move.words}?", said)


def read_answer(problem: Dates, rationale: str) -> str | None:
    """The date that is named last."""
    for words in reversed(re.findall(DATE, rationale)):
        date = parsed(words)
        if date is not None:
            return problem.answer(date)
    return None


RENDERER = Renderer(
    openings=(
        "",
        "We work out the date step by step.",
        "Let us find today first and then the day in question.",
    ),
    styles=(_plain, _from_to, _months, _since),
    closings=(
        lambda trace: f"So the date is {numeric(trace.end)}.",
        lambda trace: f"The day in question is therefore {numeric(trace.end)}.",
        lambda trace: f"In the form MM/DD/YYYY this is {numeric(trace.end)}.",
    ),
    read_answer=read_answer,
    sub_question=_sub_question,
)
