"""When a key that hit a rate limit may be asked again, and whether its pauses are long enough. Pure.

A pause lasts as long as the server asked for; without a `Retry-After` it doubles with each consecutive rate-limit
hit. The first request after a pause shows whether the pause was long enough: if it is refused again, that is another
hit; if it is answered, the count starts over. Until its result is known, a refusal of another request starts a pause of
the present length and is not counted. If the first request fails otherwise, it shows nothing, and later ones decide.
"""

from __future__ import annotations

import math
from typing import Literal

PAUSE_S = 0.1
PAUSE_MAX_S = 30.0
"""Cap of the exponential backoff if the server sends no Retry-After."""
RESET_S = 1.0
"""A reset in headers is of the whole limit, part of which is free much earlier: waits start with this and double."""
FIRST_S = 0.02
"""Requests sent within this time after the first one that follows a pause count as the first."""
PROBE_S = 0.5
PROBE_SHARE = 10
"""If a kept pause proved too short, one request probes after this fraction of the requested time."""

Refusal = Literal["fresh", "again", "unsure"]
"""Of a key without a recent pause, again right after a pause, or before that is known."""


class Pauses:
    """The pauses of one key; times are monotonic seconds."""

    def __init__(self, now: float) -> None:
        self.until = -math.inf
        """When the last pause ends, for other processes; in the past if there is none."""
        self.others_until = -math.inf
        """When the pause of other processes with this key ends."""
        self._day_until = -math.inf  # the pause is for a limit per day
        self._begun_at = -math.inf
        self._first_at = now  # when the first request after the last pause was sent
        self._first_lost = False  # it showed nothing: later ones decide
        self._first_told = True  # its result is known
        self._hits = 0
        self._hit_at = -math.inf

    def left(self, now: float) -> float:
        """Seconds until the key may be asked, 0 if it is not paused."""
        return max(0.0, self.until - now, self.others_until - now)

    def for_a_day(self, now: float) -> bool:
        """Whether it waits for a limit per day."""
        return self._day_until >= self.until > now

    def sent(self, now: float) -> None:
        """A request was sent."""
        if self._first_at < self.until:
            self._first_at, self._first_lost, self._first_told = now, False, False

    def answered(self, sent_at: float) -> None:
        """A request sent at this time was answered."""
        self._first_told |= self._is_first(sent_at)
        if sent_at > self._begun_at:
            self._hits = 0
        elif sent_at > self._hit_at:
            self._hits = min(self._hits, 1)

    def lost(self, sent_at: float) -> None:
        """A request failed otherwise, or was never sent."""
        self._first_lost |= self._is_first(sent_at) and not self._first_told

    def covers(self, sent_at: float, now: float, wait: float | None) -> bool:
        """Whether a refusal belongs to a burst that already caused the pause; `wait` is the requested time."""
        if sent_at > self._begun_at:
            return False
        if wait is not None and self._hits <= 1:
            self.until = max(self.until, now + wait)
        if self._is_first(sent_at) and not self._first_told:
            self._first_told = True
            self._hits, self._hit_at = self._hits + 1, now
        return True

    def refused(self, sent_at: float) -> Refusal:
        """Classifies a refusal that no pause covers; `begin` follows."""
        first, told = self._is_first(sent_at), self._first_told
        self._first_told |= first
        if not first and not told:
            return "unsure"
        if first and self._hits > 0:
            return "again"
        self._hits = 0
        return "fresh"

    def begin(self, now: float, wait: float | None, refusal: Refusal) -> None:
        """Starts a pause, for the requested time or by the number of consecutive hits."""
        untold = min(PAUSE_MAX_S, PAUSE_S * 2.0 ** min(self._hits, 10))
        told = untold if wait is None else wait
        if wait is not None and refusal == "again":  # the requested time was kept and was too short
            told = max(min(told, max(PROBE_S, told / PROBE_SHARE)), min(PROBE_S, untold))
        if refusal != "unsure" or not self._hits:
            self._hits, self._hit_at = self._hits + 1, now
        self._begun_at = now
        self.until = now + told

    def believed(self, reset_s: float) -> float:
        """How much of a reset in headers is waited for."""
        return min(reset_s, RESET_S * 2.0 ** min(self._hits, 10))

    def prolong(self, at: float, *, day: bool = False) -> None:
        """Extends the pause to `at`; with `day` it is for a limit per day."""
        self.until = max(self.until, at)
        if day:
            self._day_until = self.until

    def end(self, now: float) -> None:
        """The user resumed the teacher: ends the pause."""
        self.until, self._hits = now, 0

    def _is_first(self, sent_at: float) -> bool:
        since = sent_at - self._first_at
        return since >= 0 and (self._first_lost or since <= FIRST_S)
