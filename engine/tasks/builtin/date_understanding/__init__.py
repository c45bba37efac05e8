"""Date understanding (BIG-bench): work out today from a sentence, then another day from today.

The answer is a date, MM/DD/YYYY, or the letter of one of several dates (`answer = "choice"`, or the option `choices`).
The benchmark's questions are solved if they state a date plainly; questions that need world knowledge (holidays,
anniversaries, leap days by hint) are not part of this task.
"""

from __future__ import annotations

import datetime as dt
import random
import re
from typing import Annotated, ClassVar, Self

from pydantic import Field

from engine.config.tasks import AnswerFormat
from engine.grading.formats import FORMATS
from engine.question import Draft, Exemplar
from engine.tasks.builtin.date_understanding.calendar_words import (
    CONTEXTS,
    RELATIONS,
    Context,
    Shift,
    numeric,
    parsed,
)
from engine.tasks.builtin.date_understanding.problem import Dates
from engine.tasks.builtin.date_understanding.rendering import RENDERER
from engine.tasks.procedural import FoundQuestion, ProceduralTask, TaskOptions, trace

LETTERS = "ABCDEFGHIJ"

Year = Annotated[int, Field(ge=1600, le=2400)]

_QUESTION = re.compile(
    r" What is the date (?P<relation>[\w ]{1,40}?) in MM/DD/YYYY\?"
    r"(?:\s+(?:Which choice is true ?\? )?Answer [Cc]hoices: (?P<choices>\(A\)[^\n]{1,400}))?"
)
_CHOICE = re.compile(r"\(([A-J])\) (\d\d/\d\d/\d{4})")


class Options(TaskOptions):
    """`[tasks.NAME.options]` of date understanding."""

    span: ClassVar[str | None] = "year"

    choices: bool = False
    """Whether the question lists six dates, one of them correct. Unset: as `answer` needs it."""

    year_min: Year = 1950
    """Earliest year."""

    year_max: Year = 2030
    """Latest year."""

    def adjusted(self, where: str, answer: AnswerFormat) -> Self:
        """Questions list choices if the answer names one."""
        fitted = super().adjusted(where, answer)
        if "choices" in self.model_fields_set:
            return fitted
        return fitted.model_copy(update={"choices": FORMATS[answer].names_options})


def draw(rng: random.Random, options: Options) -> Draft:
    """Any day of the years, in one of several contexts."""
    first = dt.date(options.year_min, 1, 1)
    last = dt.date(options.year_max, 12, 31)
    day = first + dt.timedelta(days=rng.randint(0, (last - first).days))
    context = rng.choice(CONTEXTS)
    shift, sentence = context.write(rng, day)
    relation = rng.choice([relation for relation in RELATIONS if shift or relation != "today"])
    text = f"{sentence} What is the date {relation} in MM/DD/YYYY?"
    moves = tuple(move for move in (shift, RELATIONS[relation]) if move)
    end = trace(Dates(day, "", moves)).end
    if not options.choices:
        return Draft(text=text, answer=numeric(end))
    dates = [end, *_decoys(rng, end)]
    rng.shuffle(dates)
    listed = ", ".join(f"({letter}) {numeric(date)}" for letter, date in zip(LETTERS, dates, strict=False))
    return Draft(
        text=f"{text}\nWhich choice is true? Answer choices: {listed}.", answer=LETTERS[dates.index(end)]
    )


def find(text: str) -> FoundQuestion | None:
    """The last question about a date."""
    for match in reversed(list(_QUESTION.finditer(text))):
        moves = _moves(match["relation"])
        context = _context_before(text, match.start())
        if moves is None or context is None:
            continue
        sentence, kind = context
        read = kind.read(sentence)
        if read is None:
            continue
        day, shift = read
        choices = tuple(
            (letter, date)
            for letter, words in _CHOICE.findall(match["choices"] or "")
            if (date := parsed(words)) is not None
        )
        all_moves = tuple(move for move in (shift, *moves) if move)
        problem = Dates(day, sentence[0], all_moves, choices)
        return FoundQuestion(problem, sentence.start(), match.end())
    return None


def _context_before(text: str, end: int) -> tuple[re.Match[str], Context] | None:
    """The sentence that ends at `end` and fixes today; the shortest of several."""
    latest: tuple[re.Match[str], Context] | None = None
    for context in CONTEXTS:
        for sentence in context.sentence.finditer(text, 0, end + 1):
            if sentence.end() == end and (latest is None or sentence.start() > latest[0].start()):
                latest = sentence, context
    return latest


def _decoys(rng: random.Random, date: dt.date) -> list[dt.date]:
    """Five other dates, most of them near."""
    found: list[dt.date] = []
    while len(found) < 5:
        days = rng.choice((-1, 1, -2, 2, -7, 7, -10, 10, -30, 31, 365, -365, rng.randint(-60, 60)))
        other = date + dt.timedelta(days=days)
        if other != date and other not in found:
            found.append(other)
    return found


def _moves(relation: str) -> tuple[Shift, ...] | None:
    """The shifts from today to the day in question; empty for today, None for an unknown relation."""
    if relation in RELATIONS:
        shift = RELATIONS[relation]
        return (shift,) if shift else ()
    match = re.fullmatch(r"(\d{1,4}) days (ago|later|from today|ago from today)", relation)
    if match is None:
        return None
    sign = -1 if "ago" in match[2] else 1
    return (Shift(days=sign * int(match[1]), words=relation),)


def _exemplar(text: str, rationale: str, answer: str, choices: str = "") -> Exemplar:
    question = f"{text} in MM/DD/YYYY?"
    if choices:
        question += f"\nWhich choice is true? Answer choices: {choices}."
    return Exemplar(question=question, rationale=rationale, answer=answer)


EXEMPLARS = (
    _exemplar(
        "Yesterday was June 30, 2011. What is the date today",
        "Yesterday was 06/30/2011. Today is one day later, and June has 30 days, so today is 07/01/2011.",
        "07/01/2011",
    ),
    _exemplar(
        "Yesterday was December 31, 2018. What is the date tomorrow",
        "Yesterday was 12/31/2018. Today is one day later, 01/01/2019. Tomorrow is one day after that, 01/02/2019.",
        "01/02/2019",
    ),
    _exemplar(
        "Yesterday was May 13, 2007. What is the date one week from today",
        "Yesterday was 05/13/2007. Today is one day later, 05/14/2007. One week from today is 05/21/2007.",
        "05/21/2007",
    ),
    _exemplar(
        "Yesterday was March 1, 2016. What is the date yesterday",
        "Yesterday was 03/01/2016. Today is one day later, 03/02/2016. The day before is 03/01/2016.",
        "03/01/2016",
    ),
)
CHOICE_EXEMPLARS = (
    _exemplar(
        "Yesterday was June 30, 2011. What is the date today",
        "Yesterday was 06/30/2011. Today is one day later, and June has 30 days, so today is 07/01/2011. That is (B).",
        "B",
        "(A) 06/29/2011, (B) 07/01/2011, (C) 07/01/2012, (D) 07/02/2011, (E) 06/30/2011, (F) 07/08/2011",
    ),
    _exemplar(
        "Yesterday was December 31, 2018. What is the date tomorrow",
        "Yesterday was 12/31/2018. Today is one day later, 01/01/2019. Tomorrow is 01/02/2019. That is (E).",
        "E",
        "(A) 01/01/2019, (B) 01/02/2018, (C) 12/30/2018, (D) 01/03/2019, (E) 01/02/2019, (F) 12/31/2018",
    ),
    _exemplar(
        "Yesterday was May 13, 2007. What is the date one week from today",
        "Yesterday was 05/13/2007. Today is one day later, 05/14/2007. One week from today is 05/21/2007. That is (A).",
        "A",
        "(A) 05/21/2007, (B) 05/20/2007, (C) 05/14/2007, (D) 05/28/2007, (E) 05/07/2007, (F) 05/21/2008",
    ),
)


TASK = ProceduralTask(
    name="date_understanding",
    options=Options,
    formats=lambda options: ("choice",) if options.choices else ("date",),
    draw=draw,
    find=find,
    renderer=RENDERER,
    exemplars=EXEMPLARS,
    exemplars_by_format={"choice": CHOICE_EXEMPLARS},
)
