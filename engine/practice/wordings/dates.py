"""Dates in words."""

from __future__ import annotations

import datetime as dt
import re

from engine.practice.wordings.teller import Teller
from engine.tasks.builtin import Walk
from engine.tasks.builtin.calendar_words import DATE, MONTHS, Shift, numeric, written
from engine.tasks.builtin.dates import Dates

DateWalk = Walk[Shift, dt.date]


def _long(date: dt.date) -> str:
    return f"{MONTHS[date.month - 1]} {date.day}, {date.year}"


def _way(shift: Shift) -> str:
    """The shift in words, as in `one day later`."""
    size, unit = (abs(shift.months), "month") if shift.months else (abs(shift.days), "day")
    if unit == "month" and size % 12 == 0:
        size, unit = size // 12, "year"
    if unit == "day" and size == 7:
        size, unit = 1, "week"
    later = (shift.months or shift.days) > 0
    many = f"one {unit}" if size == 1 else f"{size} {unit}s"
    return f"{many} {'later' if later else 'earlier'}"


def _begin(walk: DateWalk) -> str:
    problem = walk.problem
    assert isinstance(problem, Dates)
    return problem.said


def _plain(walk: DateWalk) -> str:
    told = [f"We are told: {_begin(walk)} That names the date {numeric(walk.problem.start)}."]
    told += [
        f"Then {step.move.words} is {_way(step.move)}, which is {numeric(step.after)}." for step in walk.steps
    ]
    return " ".join(told)


def _from_to(walk: DateWalk) -> str:
    told = [f"The date that is given is {numeric(walk.problem.start)}."]
    told += [
        f"From {numeric(step.before)} we go to {step.move.words}, {_way(step.move)}, and get {numeric(step.after)}."
        for step in walk.steps
    ]
    return " ".join(told)


def _months(walk: DateWalk) -> str:
    told = [f"The question gives {_long(walk.problem.start)}."]
    told += [
        f"For {step.move.words} we need {_way(step.move)}. That is {_long(step.after)}."
        for step in walk.steps
    ]
    return " ".join(told)


def _since(walk: DateWalk) -> str:
    told = [f"We begin with {_long(walk.problem.start)}, or {numeric(walk.problem.start)}."]
    told += [
        f"Since {step.move.words} lies {_way(step.move)}, it is {_long(step.after)}, or {numeric(step.after)}."
        for step in walk.steps
    ]
    return " ".join(told)


def read(problem: Dates, text: str) -> str | None:
    """The date that is named last."""
    for words in reversed(re.findall(DATE, text)):
        date = written(words)
        if date is not None:
            return problem.answer(date)
    return None


TELLER = Teller(
    openings=(
        "",
        "We work out the date step by step.",
        "Let us find today first and then the day in question.",
    ),
    wordings=(_plain, _from_to, _months, _since),
    closings=(
        lambda walk: f"So the date is {numeric(walk.end)}.",
        lambda walk: f"The day in question is therefore {numeric(walk.end)}.",
        lambda walk: f"In the form MM/DD/YYYY this is {numeric(walk.end)}.",
    ),
    read=read,
)
