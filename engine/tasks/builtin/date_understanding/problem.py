"""The problem behind a question about dates."""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass

from engine.tasks.builtin.date_understanding.calendar_words import Shift, numeric
from engine.tasks.procedural import Problem


@dataclass(frozen=True)
class Dates(Problem[Shift, dt.date]):
    """A move shifts the date; the state is the date reached. `context` is the sentence that names the first date."""

    start: dt.date
    context: str
    moves: tuple[Shift, ...]
    choices: tuple[tuple[str, dt.date], ...] = ()

    def apply(self, state: dt.date, move: Shift) -> dt.date:
        """The date after the shift."""
        return move.of(state)

    def slip(self, state: dt.date, move: Shift, rng: random.Random) -> dt.date:
        """A day off, or the wrong direction."""
        correct = move.of(state)
        day = dt.timedelta(days=1)
        wrong = [correct + day, correct - day, move.reversed().of(state)]
        return rng.choice([date for date in wrong if date != correct])

    def answer(self, state: dt.date) -> str:
        """The date, or the letter of the nearest choice."""
        if not self.choices:
            return numeric(state)
        return min(self.choices, key=lambda choice: (abs((choice[1] - state).days), choice[0]))[0]
