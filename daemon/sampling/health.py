"""Whether a teacher takes work: paused by the user, parked, disabled (no longer configured), or failing. Pure."""

from __future__ import annotations

import math

from daemon.limits.retries import Breaker

PERMANENT_PARKS = 20
"""Questions refused in a row after which the teacher, not the samples, is taken to be at fault."""
GROUPS_IN_VAIN = 3
"""Requests in a row for several rationales that brought one, or a refusal, after which each is asked for by itself."""


class Health:
    """The state of one teacher; the attempt runner and the user report what happened."""

    __slots__ = ("_breaker", "absent", "disabled", "failing", "parked", "paused", "refused_in_a_row")

    def __init__(self) -> None:
        self._breaker = Breaker()
        self.paused = False
        self.disabled = False
        self.parked = ""
        """Why no key works; empty while at least one does."""
        self.absent = ""
        """Why its server, which the daemon starts, is not there; empty while it is. Its work waits."""
        self.failing = ""
        """What the last failed answer was, or why there was none."""
        self.refused_in_a_row: set[str] = set()
        """Questions whose requests were refused for themselves since the last answer."""

    @property
    def available(self) -> bool:
        """Whether it takes work."""
        return not self.paused and not self.parked and not self.disabled

    @property
    def cooling(self) -> bool:
        """Whether it failed so often that it is asked one request at a time."""
        return self._breaker.open

    # What the user and the configuration say

    def pause(self, paused: bool = True) -> None:
        """The user pauses or resumes the teacher."""
        self.paused = paused

    def disable(self, disabled: bool = True) -> None:
        """The configuration has the teacher no longer, or again."""
        self.disabled = disabled

    def park(self, reason: str) -> None:
        """No key works until the user acts."""
        self.parked = reason

    def unpark(self) -> None:
        """The user acted: it is tried again."""
        self.parked = ""
        self.refused_in_a_row.clear()

    def forget(self) -> None:
        """Another server or another form of requests: earlier failures say nothing of it."""
        self._breaker, self.failing = Breaker(), ""
        self.refused_in_a_row.clear()

    # What requests tell

    def ready_at(self, now: float) -> float:
        """When a request may go as far as failures are concerned; inf while a probe is out, or its server is not there."""
        return math.inf if self.absent else self._breaker.ready_at(now)

    def sent(self) -> None:
        """A request goes."""
        self._breaker.sent()

    def withdrawn(self) -> None:
        """It was never sent, or its end tells nothing."""
        self._breaker.withdrawn()

    def works(self, now: float) -> float | None:
        """The teacher answered, if only with a refusal; returns how long it had been cooling, None where it was not."""
        seconds = now - self._breaker.since if self._breaker.open else None
        self._breaker.succeeded()
        return seconds

    def answered(self) -> None:
        """A request was answered with a completion."""
        self.refused_in_a_row.clear()

    def refused(self, question: str) -> bool:
        """A request was refused for good; returns whether enough questions in a row were, so that the teacher is at fault."""
        self.refused_in_a_row.add(question)
        return len(self.refused_in_a_row) >= PERMANENT_PARKS

    def failed(self, reason: str, now: float) -> bool:
        """A server error, no connection or a malformed answer; returns whether the teacher begins to cool."""
        self.failing = reason
        return self._breaker.failed(now)

    def failing_since(self, now: float, seconds: float) -> bool:
        """Whether it has been cooling for less than `seconds`."""
        return self._breaker.open and now - self._breaker.since < seconds


class GroupSupport:
    """Whether a teacher takes requests for several rationales (`per_request`)."""

    __slots__ = ("_in_vain", "one_by_one")

    def __init__(self) -> None:
        self.one_by_one = False
        self._in_vain = 0  # in a row: requests that were refused, or brought one rationale

    def ended(self, *, in_vain: bool) -> bool:
        """A request for several ended; returns whether by now it is clear that the teacher takes none."""
        self._in_vain = self._in_vain + 1 if in_vain else 0
        if self.one_by_one or self._in_vain < GROUPS_IN_VAIN:
            return False
        self.one_by_one = True
        return True

    def forget(self) -> None:
        """Another server, model or form of requests: it is tried again."""
        self.one_by_one, self._in_vain = False, 0
