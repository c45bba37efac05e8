"""Whether a gateway's error came later than a refusal would: then the model may have worked, and be billed. Pure.

A 502 or 504 in milliseconds is a refusal: nothing was done. The same after the gateway's own timeout says that it gave up
while the model went on. What a refusal takes is learned from the teacher's refusals and answers.
"""

from __future__ import annotations

import math

LATE = frozenset({408, 499, 502, 504, *range(520, 531)})
"""Statuses with which a gateway may give up on a request that it has passed on."""
BY_NATURE = frozenset({408, 504, 524})
"""Those that mean a timeout."""
AT_ONCE_S = {True: 0.1, False: 0.25}
"""Up to this latency one is a refusal in any case, by whether it means a timeout."""
TIMES = {True: 2.0, False: 3.0}
"""Up to this multiple of the fastest refusal too."""
REFUSAL_S = 5.0
ANSWER_S = 1.0
"""Bounds of what the fastest refusal and half of the fastest answer may stand for."""
RUN = 3
"""Late errors in a row that show the gateway's timeout."""


class Lateness:
    """What one teacher's responses take."""

    __slots__ = ("_answer_s", "_in_a_row", "_refusal_s", "timeout_s")

    def __init__(self) -> None:
        self._answer_s = self._refusal_s = math.inf
        self._in_a_row = 0
        self.timeout_s: float | None = None
        """After how long the gateway gives up, while a run of late errors shows it."""

    def answered(self, latency_s: float) -> None:
        """A request was answered."""
        self._answer_s = min(self._answer_s, latency_s)
        self._in_a_row, self.timeout_s = 0, None

    def refused(self, latency_s: float) -> None:
        """A request was refused by the API itself."""
        self._refusal_s = min(self._refusal_s, latency_s)

    def is_late(self, status: int | None, latency_s: float) -> bool:
        """Whether an error of this status came so late that the request may have been billed; counts it."""
        if status not in LATE:
            return False
        timeout = status in BY_NATURE
        refusal = min(TIMES[timeout] * self._refusal_s, REFUSAL_S) if self._refusal_s < math.inf else 0.0
        answer = min(self._answer_s / 2, ANSWER_S) if self._answer_s < math.inf else 0.0
        if latency_s <= max(AT_ONCE_S[timeout], refusal, answer):
            return False
        self._in_a_row += 1
        return True

    def gives_up(self, latency_s: float) -> bool:
        """After a late error: whether a run of them shows for the first time that the gateway gives up."""
        if self._in_a_row < RUN:
            return False
        new = self.timeout_s is None
        self.timeout_s = latency_s
        return new
