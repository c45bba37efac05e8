"""Date understanding (BIG-bench): work out today from a sentence, then another day from today.

The answer is a date, MM/DD/YYYY, or the letter of one of several dates (`answer = "choice"`, or the option
`choices`). Sentences and questions in the benchmark's wording are read where they say the date plainly;
those that need knowledge of the world (feasts, anniversaries, leap days by hint) are not this task's.
"""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from engine.config.tasks import AnswerFormat
from engine.tasks.builtin.calendar_words import CONTEXTS, RELATIONS, Context, Shift, numeric, written
from engine.tasks.builtin.interface import BuiltinTask, Draft, Found, Problem, walk
from engine.tasks.builtin.options import Option, Value

LETTERS = "ABCDEFGHIJ"

_QUESTION = re.compile(
    r" What is the date (?P<relation>[\w ]{1,40}?) in MM/DD/YYYY\?"
    r"(?:\s+(?:Which choice is true ?\? )?Answer [Cc]hoices: (?P<choices>\(A\)[^\n]{1,400}))?"
)
_CHOICE = re.compile(r"\(([A-J])\) (\d\d/\d\d/\d{4})")


@dataclass(frozen=True)
class Dates(Problem[Shift, dt.date]):
    """A move is a shift of the date that is in mind, the state is that date."""

    start: dt.date
    said: str
    moves: tuple[Shift, ...]
    choices: tuple[tuple[str, dt.date], ...] = ()

    def apply(self, state: dt.date, move: Shift) -> dt.date:
        """The date after the shift."""
        return move.of(state)

    def slip(self, state: dt.date, move: Shift, rng: random.Random) -> dt.date:
        """A day off, or the wrong direction."""
        right = move.of(state)
        wrong = [right + dt.timedelta(days=1), right - dt.timedelta(days=1), move.reversed().of(state)]
        return rng.choice([date for date in wrong if date != right])

    def answer(self, state: dt.date) -> str:
        """The date, or the letter of the choice that is it (or is nearest to it)."""
        if not self.choices:
            return numeric(state)
        return min(self.choices, key=lambda choice: (abs((choice[1] - state).days), choice[0]))[0]


class DatesTask(BuiltinTask):
    """Dates, asked for openly or with choices."""

    name: ClassVar[str] = "date_understanding"
    options: ClassVar[Mapping[str, Option]] = {
        "choices": Option(False, "whether the question lists six dates, of which one is right"),
        "year_min": Option(1950, "earliest year", 1600, 2400),
        "year_max": Option(2030, "latest year", 1600, 2400),
    }
    span: ClassVar[str | None] = "year"

    def formats(self, options: Mapping[str, Value]) -> tuple[AnswerFormat, ...]:
        """A date, or a letter."""
        return ("choice",) if options["choices"] else ("date",)

    def settle(
        self, options: dict[str, Value], given: Mapping[str, Value], answer: AnswerFormat
    ) -> str | None:
        """Choices are listed where a choice is asked for."""
        if "choices" not in given:
            options["choices"] = answer == "choice"
        return super().settle(options, given, answer)

    def draw(self, rng: random.Random, options: Mapping[str, Value]) -> Draft:
        """Any day of the years, said in one of a few ways."""
        first = dt.date(int(options["year_min"]), 1, 1)
        last = dt.date(int(options["year_max"]), 12, 31)
        day = first + dt.timedelta(days=rng.randint(0, (last - first).days))
        context = rng.choice(CONTEXTS)
        shift, sentence = context.write(rng, day)
        relations = [relation for relation in RELATIONS if shift or relation != "today"]
        relation = rng.choice(relations)
        text = f"{sentence} What is the date {relation} in MM/DD/YYYY?"
        moves = tuple(move for move in (shift, RELATIONS[relation]) if move)
        end = walk(Dates(day, "", moves)).end
        if not options["choices"]:
            return Draft(text, numeric(end))
        dates = [end, *_decoys(rng, end)]
        rng.shuffle(dates)
        listed = ", ".join(
            f"({letter}) {numeric(date)}" for letter, date in zip(LETTERS, dates, strict=False)
        )
        return Draft(f"{text}\nWhich choice is true? Answer choices: {listed}.", LETTERS[dates.index(end)])

    def find(self, text: str) -> Found | None:
        """The last such question."""
        for match in reversed(list(_QUESTION.finditer(text))):
            relation = _relation(match["relation"])
            latest: tuple[re.Match[str], Context] | None = None
            for context in CONTEXTS:
                for said in context.sentence.finditer(text, 0, match.start() + 1):
                    if said.end() == match.start() and (latest is None or said.start() > latest[0].start()):
                        latest = said, context
            if relation is None or latest is None:
                continue
            said, context = latest
            read = context.read(said)
            if read is None:
                continue
            day, shift = read
            choices = tuple(
                (letter, date)
                for letter, words in _CHOICE.findall(match["choices"] or "")
                if (date := written(words)) is not None
            )
            moves = tuple(move for move in (shift, *relation) if move)
            problem = Dates(day, said[0], moves, choices)
            return Found(problem, said.start(), match.end())
        return None


def _decoys(rng: random.Random, date: dt.date) -> list[dt.date]:
    """Five other dates, most of them near."""
    found: list[dt.date] = []
    while len(found) < 5:
        days = rng.choice((-1, 1, -2, 2, -7, 7, -10, 10, -30, 31, 365, -365, rng.randint(-60, 60)))
        other = date + dt.timedelta(days=days)
        if other != date and other not in found:
            found.append(other)
    return found


def _relation(words: str) -> tuple[Shift, ...] | None:
    """The shift that a question asks for; empty for today."""
    if words in RELATIONS:
        shift = RELATIONS[words]
        return (shift,) if shift else ()
    match = re.fullmatch(r"(\d{1,4}) days (ago|later|from today|ago from today)", words)
    if match is None:
        return None
    sign = -1 if "ago" in match[2] else 1
    return (Shift(days=sign * int(match[1]), words=words),)
