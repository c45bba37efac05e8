"""Whose refusal it is: the request's, or the key's. Pure; one object for each key.

Words of errors only suggest it. What decides is what becomes of other requests of the same key:

- A refusal belongs to the *request* if a request about another question, sent after that question was first asked, was answered,
  and no new question was refused after it. Limits and other refusals are apart: a question that met a limit, which may have been
  chance, is new when a key is refused.
- Otherwise the key is in *doubt*. What is in flight may still clear it: until then nothing more leaves. Once nothing is
  in flight, one request at a time probes. An answer clears the key; refusals of several questions show that it is
  the *key*.
- A key that was answered before is *suspended*: probed after 1, 5 and 15 minutes, before the user is needed.

A rate limit (429) puts no key in doubt, but counts in the same way against a request that is refused again and again.
A request is hopeless after `max_attempts` refusals of its own, if chance alone would hardly refuse it so often. What chance does is
seen in the samples that were answered since it was first asked: the more often those were refused before, the more refusals
it takes. Refusals for a limit between which no other request was answered count only after twenty minutes.

At the end of the work there are no other requests left to compare with: the last few questions are given up without
such proof; for a limit, or what may be the key's, that takes hours. And a user who resumes vouches for the settings: a
question that was rejected before is at fault itself if it is rejected again.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from state.views.format import duration

Owner = Literal["request", "open", "key"]
"""Whose refusal it is; `open` while that is not known."""

PROBES_S = (60.0, 300.0, 900.0)
"""Waits before the probes of a suspended key that was answered before."""
ALONE_S = 1260.0
"""A request that is refused for a limit while no other one is answered is hopeless only after this time, as long as the probes of
a key take: what is left may have met a limit of its own before, and now meets one of all."""
LEFT_S = 7200.0
"""What refuses the last few questions for this time is given up."""
LEFT_GAP_S = 900.0
"""What counts at most of the time between two refusals of a question: a key that is parked overnight refuses nothing meanwhile."""
LAST_FEW = 3
"""The most questions that count as the last few."""
SURE, SURE_OF_FEW = 1e5, 30.0
"""Odds against chance from which on refusals are the request's own: the first, or the second times the square of the number of other
requests that tell. Where there are few others, there is little to lose by chance."""
MEMORY = 0.98
"""Weight of the past in what became of other requests, per request."""
MOST_ROWS = 10_000
SAME_MORE = 2
"""Refusals of the same question, beyond those of several, that show that it is the key where no other question is left to ask."""
ONLY_REFUSALS_S = 120.0
"""After this time with nothing but refusals, their words are shown."""


@dataclass(slots=True)
class Asked:
    """A request that left."""

    sample: Hashable
    question: Hashable
    sent_at: float
    others: tuple[float, float]
    """What had become of others by then: weighted counts of refused and answered requests."""
    counted: int
    """Of how many."""


@dataclass(slots=True)
class _Row:
    """The refusals of one sample since it was last answered."""

    last_at: float
    others: tuple[float, float]  # what had become of others when the first refused request was sent
    counted: int
    refusals: int = 0
    own: int = 0  # those that others did not share
    # Of these, the first, and each before which another request was answered that left after the one before.
    let_in: int = 0
    refused_s: float = 0.0  # over how long, each time between two refusals cut to LEFT_GAP_S


@dataclass(slots=True)
class _Question:
    """The refusals of one question since it was last answered."""

    # When the first request was sent that was refused otherwise, and for a limit; inf if none was.
    since: list[float]
    last_at: float
    refused_s: float = 0.0  # over how long it was refused, each time between two refusals cut to LEFT_GAP_S


class KeyEvidence:
    """What is known of one key; times are monotonic seconds."""

    def __init__(self, *, answered_before: bool = False) -> None:
        """`answered_before`: an earlier session, or an earlier request, was answered."""
        self.answered_before = answered_before
        self.words = ""
        """The reason of the last refusal, while nothing was answered since."""
        self._in_flight = 0
        self._answered_sent_at = -math.inf
        self._questions: dict[Hashable, _Question] = {}  # those that were refused
        self._rows: dict[Hashable, _Row] = {}
        self._new: set[Hashable] = set()  # questions refused since the last answer
        self._doubted: set[Hashable] = set()  # those of them that may be the key's
        self._doubts = 0  # refusals of these
        self._vouched: set[Hashable] = set()  # questions that were refused before the user resumed
        self._refused_since = math.inf
        self._others = (0.0, 0.0)  # weighted counts of the requests of answered samples: refused, answered
        self._counted = 0
        self._probe_at: float | None = None
        self._step = 0
        self._suspended_at = 0.0

    @property
    def suspended(self) -> bool:
        """Whether it waits for its next probe."""
        return self._probe_at is not None

    def ready_at(self, now: float) -> float:
        """When a request may leave; inf while one that is in flight has to end first."""
        if self._probe_at is None and not self._doubted:
            return now
        if self._in_flight:
            return math.inf
        return now if self._probe_at is None else max(now, self._probe_at)

    def told(self, now: float) -> str:
        """What a reader should know: that it is suspended, or that for minutes there was nothing but refusals."""
        if self._probe_at is not None:
            left = self._probe_at - now
            when = f"tried again in {duration(left)}" if left > 0 else "being tried again"
            return f"{self.words.rstrip('.')}; {when}"
        seconds = now - self._refused_since
        return f"only refusals for {duration(seconds)}: {self.words}" if seconds >= ONLY_REFUSALS_S else ""

    # What requests tell

    def sent(self, sample: Hashable, question: Hashable, now: float) -> Asked:
        """A request leaves; exactly one of the following ends it."""
        self._in_flight += 1
        return Asked(sample, question, now, self._others, self._counted)

    def answered(self, asked: Asked, now: float) -> float | None:
        """It was answered: the key works. Returns how long it had been suspended, None if it was not."""
        self._in_flight -= 1
        self._answered_sent_at = max(self._answered_sent_at, asked.sent_at)
        row = self._rows.pop(asked.sample, None)
        self._count(row.refusals if row is not None else 0)
        self._questions.pop(asked.question, None)
        self.answered_before = True
        return now - self._suspended_at if self._clear() else None

    def ended(self, asked: Asked) -> None:
        """It ended otherwise, which tells nothing of the key, or was never sent."""
        self._in_flight -= 1

    def limited(self, asked: Asked, now: float, words: str) -> Owner:
        """It was refused for a limit, or rejected in a way that is never the key's."""
        self._in_flight -= 1
        return "request" if self._refusal(asked, now, words, limit=True) else "open"

    def refused(self, asked: Asked, now: float, words: str, *, enough: int = 2) -> Owner:
        """It was refused in a way that may be the key's; `enough` questions refused show it if nothing is in flight."""
        self._in_flight -= 1
        own = self._refusal(asked, now, words, limit=False)
        if self._probe_at is None and not self._doubted and (own or asked.question not in self._new):
            return "request"
        self._doubted.add(asked.question)
        self._doubts += 1
        if self._in_flight:
            return "open"
        if self._probe_at is not None or len(self._doubted) >= enough or self._doubts >= enough + SAME_MORE:
            return "key"
        return "open"

    def refusals(self, sample: Hashable) -> int:
        """How often a sample was refused since it was last answered."""
        row = self._rows.get(sample)
        return row.refusals if row is not None else 0

    def refused_for(self, sample: Hashable) -> float:
        """Over how many seconds it was; of the time between two refusals at most `LEFT_GAP_S` counts."""
        row = self._rows.get(sample)
        return row.refused_s if row is not None else 0.0

    def hopeless(self, sample: Hashable, most: int, *, limit: bool) -> int:
        """The refusals of its own, if they are `most` or more and not by chance; else 0.

        Of those for a `limit`, the ones between which no other request was answered count only after `ALONE_S`.
        """
        row = self._rows.get(sample)
        if row is None:
            return 0
        count = row.let_in if limit and row.refused_s < ALONE_S else row.own
        return count if count >= most and not self._by_chance(row, count) else 0

    def _by_chance(self, row: _Row, count: int) -> bool:
        """Whether chance may have refused a sample `count` times, given what became of others since it was first asked.

        The Bayes factor of two guesses, with Jeffreys' prior: only this sample is refused, and always; or all have one
        chance of refusal.
        """
        faded = MEMORY ** (self._counted - row.counted)
        refused, answered = (
            max(0.0, now - then * faded) for now, then in zip(self._others, row.others, strict=True)
        )
        odds = _log_beta(refused + 0.5, answered + 0.5) - _log_beta(refused + count + 0.5, answered + 0.5)
        return odds < math.log(min(SURE, SURE_OF_FEW * (1.0 + refused + answered) ** 2))

    def left_alone(self, asked: Asked, most: int, *, seconds: float = LEFT_S) -> int:
        """The refusals of one of the last samples, if for this time their questions were refused, and nothing was answered; else 0.

        The more than the last few there are, the longer. With `seconds=0` only the last few count.
        """
        row = self._rows.get(asked.sample)
        if row is None or row.refusals < most or not (seconds or self.few_left):
            return 0
        seconds *= max(1.0, len(self._new) / LAST_FEW)
        question = self._questions.get(asked.question)
        return row.refusals if question is not None and question.refused_s >= seconds else 0

    @property
    def few_left(self) -> bool:
        """Whether only the last few questions were refused since the last answer."""
        return len(self._new) <= LAST_FEW

    def is_vouched(self, asked: Asked) -> bool:
        """Whether the user resumed after a refusal of this question, which says that key and settings are right."""
        return asked.question in self._vouched

    def forget(self, sample: Hashable) -> None:
        """The sample has ended."""
        self._rows.pop(sample, None)

    # What follows

    def suspend(self, now: float) -> float | None:
        """Suspends the key; returns the seconds until its next probe, None if it was probed often enough."""
        if not self.answered_before or self._step >= len(PROBES_S):
            return None
        wait = PROBES_S[self._step]
        if self._probe_at is None:
            self._suspended_at = now
        self._step += 1
        self._probe_at = now + wait
        return wait

    def look_again(self) -> bool:
        """The user acted: nothing is held against the key. Returns whether it was suspended."""
        self._vouched = set(self._questions)
        return self._clear()

    def forget_key(self) -> None:
        """It is another key; `look_again` follows."""
        self.answered_before = False
        self._questions.clear()

    def _clear(self) -> bool:
        was = self.suspended
        if math.isinf(self._refused_since) and not was:
            return False  # nothing was refused since
        self._new.clear()
        self._doubted.clear()
        self._doubts = self._step = 0
        self._probe_at, self._refused_since, self.words = None, math.inf, ""
        return was

    def _refusal(self, asked: Asked, now: float, words: str, *, limit: bool) -> bool:
        """Counts a refusal; returns whether it is the request's own."""
        self.words = words
        self._refused_since = min(self._refused_since, now)
        question = self._questions.get(asked.question)
        if question is None:
            question = self._questions[asked.question] = _Question([math.inf, math.inf], now)
        question.refused_s += min(now - question.last_at, LEFT_GAP_S)
        question.last_at = now
        if math.isinf(question.since[limit]):
            question.since[limit] = asked.sent_at
        if self._answered_sent_at <= question.since[limit]:
            self._new.add(asked.question)
        row = self._rows.get(asked.sample)
        if row is None:
            row = self._rows[asked.sample] = _Row(now, asked.others, asked.counted)
        row.refusals += 1
        row.refused_s += min(now - row.last_at, LEFT_GAP_S)
        own = not self._new
        if own:
            row.own += 1
            row.let_in += self._answered_sent_at > row.last_at or row.refusals == 1
        row.last_at = now
        if len(self._rows) > MOST_ROWS:
            self._rows.pop(next(iter(self._rows)))
        if len(self._questions) > MOST_ROWS:
            self._questions.pop(next(iter(self._questions)))
        return own

    def _count(self, refusals: int) -> None:
        """A sample was answered after some refusals."""
        faded = MEMORY ** (refusals + 1)
        refused, answered = self._others
        self._others = refused * faded + refusals, answered * faded + 1.0
        self._counted += refusals + 1


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
