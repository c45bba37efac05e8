"""Dates in words: how a day is written, the sentences that fix today, the days a question can ask for."""

from __future__ import annotations

import calendar
import datetime as dt
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
          "October", "November", "December")  # fmt: skip

_MONTH = r"(?:Jan|Feb|Mar|Apr|May|June?|July?|Aug|Sept?|Oct|Nov|Dec)[a-z]*\.?"
DATE = rf"(?:\d{{1,2}}/\d{{1,2}}/\d{{4}}|{_MONTH} \d{{1,2}}(?:st|nd|rd|th)?, \d{{4}})"
"""A date with its year, in digits (month first) or with the month's name."""

_PARTS = re.compile(
    rf"(?:(\d{{1,2}})/(\d{{1,2}})/(\d{{4}})|({_MONTH}) (\d{{1,2}})(?:st|nd|rd|th)?, (\d{{4}}))"
)


@dataclass(frozen=True, slots=True)
class Shift:
    """A distance from one date to another. `words` name the day it leads to."""

    days: int = 0
    months: int = 0
    words: str = ""

    def of(self, date: dt.date) -> dt.date:
        """The shifted date; the last day of the month if that month is shorter."""
        if self.months:
            index = date.year * 12 + date.month - 1 + self.months
            year, month = divmod(index, 12)
            date = dt.date(year, month + 1, min(date.day, calendar.monthrange(year, month + 1)[1]))
        return date + dt.timedelta(days=self.days)

    def reversed(self) -> Shift:
        """The same distance in the other direction."""
        return Shift(-self.days, -self.months, self.words)


def numeric(date: dt.date) -> str:
    """MM/DD/YYYY."""
    return f"{date.month:02}/{date.day:02}/{date.year:04}"


def parsed(text: str) -> dt.date | None:
    """A date from any of its written forms; None if there is no such day, or its year is out of range."""
    match = _PARTS.fullmatch(text)
    if match is None:
        return None
    if match[1]:
        month, day, year = int(match[1]), int(match[2]), int(match[3])
    else:
        names = [name[:3] for name in MONTHS]
        month, day, year = names.index(match[4][:3]) + 1, int(match[5]), int(match[6])
    try:
        return dt.date(year, month, day) if 1000 <= year <= 9000 else None
    except ValueError:
        return None


RELATIONS: dict[str, Shift | None] = {
    "today": None,
    "tomorrow": Shift(days=1, words="tomorrow"),
    "yesterday": Shift(days=-1, words="yesterday"),
    "10 days ago": Shift(days=-10, words="10 days ago"),
    "a month ago": Shift(months=-1, words="a month ago"),
    "one year ago from today": Shift(months=-12, words="one year ago"),
    "one week ago from today": Shift(days=-7, words="one week ago"),
    "one week from today": Shift(days=7, words="one week from today"),
    "24 hours later": Shift(days=1, words="24 hours later"),
}
"""The days a question can ask for, each as a shift from today."""


@dataclass(frozen=True)
class Context:
    """A sentence that fixes today: a pattern with the group `date` and perhaps `n`, and a template.

    `days` gives the days from the date it names to today, from `n`.
    """

    pattern: str
    template: str
    days: Callable[[int], int]
    range: tuple[int, int] | None = None

    @property
    def sentence(self) -> re.Pattern[str]:
        """The compiled pattern (cached by `re`)."""
        return re.compile(self.pattern)

    def read(self, match: re.Match[str]) -> tuple[dt.date, Shift | None] | None:
        """The date that a sentence names, and the shift from there to today."""
        groups = match.groupdict()
        date = parsed(groups["date"])
        if date is None:
            return None
        days = self.days(int(groups.get("n") or 0))
        return date, Shift(days=days, words="today") if days else None

    def write(self, rng: random.Random, date: dt.date) -> tuple[Shift | None, str]:
        """The shift from the date to today, and a sentence of this kind that names the date."""
        n = rng.randint(*self.range) if self.range else 0
        style = rng.randrange(3)
        month = MONTHS[date.month - 1]
        shown = (
            numeric(date) if style == 0 else f"{month if style == 1 else month[:3]} {date.day}, {date.year}"
        )
        days = self.days(n)
        return Shift(days=days, words="today") if days else None, self.template.format(date=shown, n=n)


_D = rf"(?P<date>{DATE})"

CONTEXTS: tuple[Context, ...] = (
    Context(rf"Yesterday was {_D}\.", "Yesterday was {date}.", lambda n: 1),
    Context(rf"Tomorrow is {_D}\.", "Tomorrow is {date}.", lambda n: -1),
    Context(rf"Today is {_D}\.", "Today is {date}.", lambda n: 0),
    Context(rf"The day before yesterday was {_D}\.", "The day before yesterday was {date}.", lambda n: 2),
    Context(rf"It is {_D} today\.", "It is {date} today.", lambda n: 0),
    Context(rf"It was {_D} a week ago\.", "It was {date} a week ago.", lambda n: 7),
    Context(
        rf"The deadline is {_D}, which is (?P<n>\d{{1,4}}) days away from now\.",
        "The deadline is {date}, which is {n} days away from now.",
        lambda n: -n,
        (2, 9),
    ),
    Context(
        rf"Jane booked a flight for tomorrow, {_D}\.",
        "Jane booked a flight for tomorrow, {date}.",
        lambda n: -1,
    ),
    Context(
        rf"The concert was scheduled to be on {_D}, but was delayed by one day to today\.",
        "The concert was scheduled to be on {date}, but was delayed by one day to today.",
        lambda n: 1,
    ),
    Context(
        rf"Today, {_D}, is a day that we will never forget\.",
        "Today, {date}, is a day that we will never forget.",
        lambda n: 0,
    ),
    Context(
        rf"Jane quited her job on {_D}\. (?P<n>\d{{1,4}}) days have passed since then\.",
        "Jane quited her job on {date}. {n} days have passed since then.",
        lambda n: n,
        (2, 9),
    ),
)
"""The sentences that generated questions use."""
