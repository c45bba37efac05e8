"""Whether a key's refusals come by chance: some of its requests are refused, whatever was sent before. Pure.

A gateway in front of many servers refuses the requests that reach a busy one; a pause for each of them would stop the key
most of the time. A true limit looks alike until it is tried: it refuses what is sent after a refusal too. So a refusal that comes
although the key had been slowed down and that nothing explains starts a *trial*: up to three requests may leave during its pause. If all
that were sent after the refused one are answered, refusals are by chance: the pause ends, and from then on a refusal
is its request's alone. If one is refused, the limit is believed, and doubted less often. As long as refusals count as chance their share is
watched; four in a row, or many more than before, end it.
"""

from __future__ import annotations

import math

TRIALS = 3
"""Requests that may be sent during a doubted pause, and as many again after the first of them was refused."""
PASS, FAIL, SURE = 1.1, -2.3, 3.0
"""What an answer and a refusal of a request sent after the refused one say: the logarithm of how much likelier they are by chance
than under a limit; and the sum that decides."""
ENOUGH = 1
"""Answers since the last refusal from which on another one is doubted: a limit refuses right after its pause, or later than that."""
IN_A_ROW = 5
"""Refusals in a row that are no chance."""
RECENT, LONG = 1 / 64, 1 / 256
"""Weights of the latest request in the share of refusals lately, and in the long run."""
BUSY_S = 30.0
"""Refusals without words further apart than this have nothing to do with each other."""
QUICK = 0.5
"""Share of the time of an answer within which a refusal comes at once."""
LATELY = 1 / 16
"""Weight of the latest answer in what an answer takes."""
LEAST_SHARE, MOST_SHARE, TIMES = 0.2, 0.45, 2.5
"""Chance ends where the recent share is this multiple of the usual one, within these bounds."""
LASTING = 500
"""Requests after which chance has proved itself: what ends it then is new."""


class Chance:
    """What the refusals of one key are; the time is passed in."""

    __slots__ = (
        "_from",
        "_last",
        "_left",
        "_recent",
        "_row",
        "_score",
        "_sent",
        "_since",
        "_skip",
        "_skips",
        "_until",
        "_usual",
        "answers",
        "on",
        "proved",
    )

    def __init__(self) -> None:
        self.on = False
        """Whether refusals count as chance."""
        self.proved = True
        """Whether no limit has ended it: what refusals taught before can be forgotten."""
        self.answers = 0
        """Answers since the last refusal that counted."""
        self._from, self._until = math.inf, -math.inf  # requests of the trial are sent between these times
        self._left, self._score = 0, 0.0
        self._skip, self._skips = 0, 1  # doubts that are left out after a trial in vain
        self._recent = self._usual = 0.0  # shares of refusals
        self._sent = self._since = 0  # requests; at the beginning of chance
        self._row = self._last = 0  # refused one after another; the last that was refused

    def trying(self, now: float) -> bool:
        """Whether a request may leave during the pause."""
        return self._left > 0 and now < self._until

    def sent(self, now: float) -> int:
        """A request is sent; returns how many were. Until it is refused it counts as admitted: refusals come before answers."""
        if self._left > 0 and now < self._until:
            self._left -= 1
        self._sent += 1
        self._recent -= RECENT * self._recent
        self._usual -= max(LONG, 1 / self._sent) * self._usual
        return self._sent

    def doubts(self) -> bool:
        """Whether a refusal that nothing explains is put to a trial."""
        if self._from < math.inf:  # the trial before decided nothing
            self._skip += self._score < 0
            self._end()
        if self.answers < ENOUGH:
            return False
        if self._skip:
            self._skip -= 1
            return False
        return True

    def begin(self, sent_at: float, until: float) -> None:
        """Starts a trial: the refused request was sent at `sent_at`, its pause lasts until `until`."""
        self._from, self._until = sent_at, until
        self._left, self._score = TRIALS, 0.0

    def answered(self, sent_at: float) -> bool:
        """A request was answered; returns whether refusals are known to be chance by it."""
        self.answers += 1
        if not self.on and self._from < sent_at < self._until:
            self._score += PASS
            if self._score > SURE:
                self._end()
                self.on = True
                self._since = self._sent
                self._skips = 1
                self._recent = min(self._usual, LEAST_SHARE)
                return True
        return False

    def refused(self, sent_at: float, number: int) -> bool:
        """The request that was the `number`-th to be sent was refused; returns whether by chance."""
        self._recent += RECENT
        self._usual += max(LONG, 1 / self._sent)
        self._row = self._row + 1 if number == self._last + 1 else 1
        self._last = number
        if self.on:
            most = min(MOST_SHARE, max(LEAST_SHARE, TIMES * self._usual))
            self.on = self._row < IN_A_ROW and self._recent < most
            if not self.on:
                self.proved = self._sent - self._since > LASTING
            return self.on
        if self._from < sent_at < self._until:
            self._score += FAIL
            if self._score < -SURE:
                self._vain()
            else:
                self._left += TRIALS
        return False

    def _vain(self) -> None:
        """The limit is believed."""
        self._skip = self._skips
        self._skips = min(64, 2 * self._skips)
        self._end()

    def _end(self) -> None:
        self._from, self._until, self._left = math.inf, -math.inf, 0


class Room:
    """Whether server errors without words (503) mean that a server has no room: others are answered meanwhile.

    An error that comes at once does, if as many are in flight as never before, or if others are answered that were sent
    since such errors began. If nothing is answered, the server is out of order.
    """

    __slots__ = ("_admits", "_at", "_before", "_from", "_seconds")

    def __init__(self) -> None:
        self._seconds = 0.0  # what an answer takes, lately
        self._from = self._at = -math.inf  # the first and the last of the latest errors
        self._admits = False  # something sent since the first of them was answered
        self._before: tuple[int, int | None] | None = None

    def answered(self, sent_at: float, seconds: float) -> None:
        """A request was answered after `seconds`."""
        self._seconds += (seconds - self._seconds) * (LATELY if self._seconds else 1.0)
        self._admits |= sent_at > self._from

    def refused(self, now: float, seconds: float, more: bool, taught: tuple[int, int | None]) -> bool:
        """Whether an error means that there is no room.

        Args:
            now: the time.
            seconds: how long it took.
            more: whether as many as never before were in flight.
            taught: what refusals taught about the number in flight until now.
        """
        if now - self._at > BUSY_S:
            self._from, self._admits, self._before = now, False, taught
        self._at = now
        if not self._seconds or seconds > QUICK * self._seconds:
            return False
        return more or self._admits

    def before(self, now: float) -> tuple[int, int | None] | None:
        """What was taught before the latest errors began; None if there were none lately."""
        return self._before if now - self._at <= BUSY_S else None
