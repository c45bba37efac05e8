"""When a key that was refused may be asked again, and whether its pauses are long enough. Pure.

A pause lasts as long as the server told, or doubles from one that was refused after to the next (a *strike*). The
first request after a pause shows whether it was long enough: refused again, it was not; answered, the strikes are
over. Until its fate is known another one's refusal begins a pause as long as the last strikes say, and is no strike;
where the first fails otherwise, it shows nothing, and those after it do. It knows neither rates nor concurrency.
"""

from __future__ import annotations

import math
from typing import Literal

PAUSE_S = 0.1
PAUSE_MAX_S = 30.0
"""A pause that nobody told the length of doubles up to this."""
RESET_S = 1.0
"""A reset in headers is of the whole limit, part of which is free much earlier: waits begin here and double."""
FIRST_S = 0.02
"""Requests sent so soon after the first that follows a pause share its fate."""
PROBE_S = 0.5
PROBE_SHARE = 10
"""While a kept pause proved too short, one request looks after so much of the time told."""

Refusal = Literal["fresh", "again", "unsure"]
"""Of a key that was not paused for long, again right after a pause, or before that is known."""


class Pauses:
    """The pauses of one key; times are monotonic seconds."""

    def __init__(self, now: float) -> None:
        self.until = -math.inf
        """When the last pause ends, to be told to others; in the past where there is none."""
        self.others_until = -math.inf
        """When a pause ends that others with this key were told."""
        self._day_until = -math.inf  # the pause is for a limit a day
        self._begun_at = -math.inf
        self._first_at = now  # when the first request after the last pause was sent
        self._first_lost = False  # it shows nothing: those after it do
        self._first_told = True  # its fate is known
        self._strikes = 0
        self._struck_at = -math.inf

    def left(self, now: float) -> float:
        """Seconds until the key may be asked, 0 where nothing is in the way."""
        return max(0.0, self.until - now, self.others_until - now)

    def for_a_day(self, now: float) -> bool:
        """Whether it waits for a limit a day."""
        return self._day_until >= self.until > now

    def sent(self, now: float) -> None:
        """A request goes out."""
        if self._first_at < self.until:
            self._first_at, self._first_lost, self._first_told = now, False, False

    def answered(self, sent_at: float) -> None:
        """One that was sent then was answered."""
        self._first_told |= self._is_first(sent_at)
        if sent_at > self._begun_at:
            self._strikes = 0
        elif sent_at > self._struck_at:
            self._strikes = min(self._strikes, 1)

    def lost(self, sent_at: float) -> None:
        """One failed otherwise, or was never sent."""
        self._first_lost |= self._is_first(sent_at) and not self._first_told

    def covers(self, sent_at: float, now: float, wait: float | None) -> bool:
        """Whether a refusal of one that was sent then is of a burst that is paused for already; `wait` is what it told."""
        if sent_at > self._begun_at:
            return False
        if wait is not None and self._strikes <= 1:
            self.until = max(self.until, now + wait)
        if self._is_first(sent_at) and not self._first_told:
            self._first_told = True
            self._strikes, self._struck_at = self._strikes + 1, now
        return True

    def refused(self, sent_at: float) -> Refusal:
        """What a refusal that no pause covers shows; `begin` follows."""
        first, told = self._is_first(sent_at), self._first_told
        self._first_told |= first
        if not first and not told:
            return "unsure"
        if first and self._strikes > 0:
            return "again"
        self._strikes = 0
        return "fresh"

    def begin(self, now: float, wait: float | None, refusal: Refusal) -> None:
        """A pause, for the time told or as long as the strikes say."""
        untold = min(PAUSE_MAX_S, PAUSE_S * 2.0 ** min(self._strikes, 10))
        told = untold if wait is None else wait
        if wait is not None and refusal == "again":  # the time told was kept, and it was not enough
            told = max(min(told, max(PROBE_S, told / PROBE_SHARE)), min(PROBE_S, untold))
        if refusal != "unsure" or not self._strikes:
            self._strikes, self._struck_at = self._strikes + 1, now
        self._begun_at = now
        self.until = now + told

    def believed(self, reset_s: float) -> float:
        """How long a reset in headers is waited for."""
        return min(reset_s, RESET_S * 2.0 ** min(self._strikes, 10))

    def prolong(self, at: float, *, day: bool = False) -> None:
        """No end before `at`; with `day` it is for a limit a day."""
        self.until = max(self.until, at)
        if day:
            self._day_until = self.until

    def end(self, now: float) -> None:
        """A person says that it may go on."""
        self.until, self._strikes = now, 0

    def _is_first(self, sent_at: float) -> bool:
        since = sent_at - self._first_at
        return since >= 0 and (self._first_lost or since <= FIRST_S)
