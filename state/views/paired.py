"""Predictions of two runs on the same test questions: what one won and lost against the other."""

from __future__ import annotations

from dataclasses import dataclass

from state.confidence_interval import mcnemar
from state.sqlite import Connection
from state.views.rows import rows, snapshot

HEAD = 240
"""Characters of a question in a list."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedRow:
    """A question that both runs answered."""

    question_id: int
    key: str
    question: str  # its beginning
    gold: str
    own: str | None  # extracted from the run's answer
    other: str | None
    own_correct: bool
    other_correct: bool

    @property
    def word(self) -> str:
        """What became of it, for the run: won, lost, both correct or both wrong."""
        if self.own_correct == self.other_correct:
            return "both correct" if self.own_correct else "both wrong"
        return "won" if self.own_correct else "lost"


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """The test questions that two runs both answered, by who answered correctly, and a page of them."""

    run: int
    other: int
    both: int
    won: int
    lost: int
    neither: int
    page: tuple[PairedRow, ...]  # won and lost in turns, then the others

    @property
    def n(self) -> int:
        """The number of questions."""
        return self.both + self.won + self.lost + self.neither

    @property
    def points(self) -> float:
        """The accuracy of the run minus that of the other, as a share; 0 without questions."""
        return (self.won - self.lost) / self.n if self.n else 0.0

    @property
    def p(self) -> float:
        """Of no difference, by McNemar's exact test."""
        return mcnemar(self.won, self.lost)


_PAIRS = (
    " FROM prediction a JOIN prediction b ON b.run_id = ? AND b.question_id = a.question_id"
    " JOIN question q ON q.id = a.question_id WHERE a.run_id = ? AND a.split = 'test'"
)
_CLASS = "CASE WHEN a.correct > b.correct THEN 0 WHEN a.correct < b.correct THEN 1 WHEN a.correct = 0 THEN 2 ELSE 3 END"


def paired(
    connection: Connection, run: int, other: int, *, differing: bool = False, limit: int = 100
) -> Paired:
    """Two runs compared question by question.

    Args:
        connection: an open reading connection.
        run: the run.
        other: the run that it is compared with.
        differing: only questions that one of them alone answers correctly.
        limit: rows of the page.
    """
    with snapshot(connection):
        counts: dict[int, int] = dict(
            rows(connection, f"SELECT {_CLASS}, count(*){_PAIRS} GROUP BY 1", (other, run))
        )
        found = rows(
            connection,
            f"SELECT a.question_id, q.key, substr(q.text, 1, {HEAD}), q.gold, a.extracted, b.extracted, a.correct, b.correct{_PAIRS}"
            f"{' AND a.correct <> b.correct' if differing else ''}"
            f" ORDER BY {_CLASS} > 1, row_number() OVER (PARTITION BY {_CLASS} ORDER BY a.question_id), {_CLASS} LIMIT ?",
            (other, run, limit),
        )
    names = ("question_id", "key", "question", "gold", "own", "other", "own_correct", "other_correct")
    return Paired(
        run=run,
        other=other,
        won=counts.get(0, 0),
        lost=counts.get(1, 0),
        neither=counts.get(2, 0),
        both=counts.get(3, 0),
        page=tuple(
            PairedRow(**dict(zip(names, (*row[:6], row[6] == 1, row[7] == 1), strict=True))) for row in found
        ),
    )
