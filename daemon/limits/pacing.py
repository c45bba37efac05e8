"""How long requests of one kind take at the limits of a key: the limits themselves, run in virtual time. Pure."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

from daemon.limits.key_limits import KeyLimits
from daemon.limits.rates import Reservation

MOST = 3_000
"""Requests that are run; of more, the rest takes as long as the last half of these."""


@dataclass(frozen=True, slots=True)
class RequestKind:
    """Requests alike.

    `held` and `held_output` are the tokens that are taken from the limits when a request leaves, `used` and `used_output`
    those that count once it is answered, after `latency_s` seconds.
    """

    held: int
    held_output: int
    used: int
    used_output: int
    latency_s: float


def paced_seconds(limits: KeyLimits, kind: RequestKind, count: int) -> float:
    """Seconds from the first request to the last answer.

    Args:
        limits: of a key at which nothing was asked yet, made at time 0.
        kind: the requests.
        count: how many.
    """
    now, run = 0.0, min(count, MOST)
    ends: list[tuple[float, int, Reservation]] = []
    half = 0.0

    def answer() -> None:
        nonlocal now
        now, _, reservation = heapq.heappop(ends)
        limits.succeeded(reservation, now, kind.used, used_output=kind.used_output)

    for number in range(run):
        while (at := limits.ready_at(now, kind.held, kind.held_output)) > now:
            if ends and ends[0][0] <= at:
                answer()
            elif math.isinf(at):
                return math.inf
            else:
                now = at
        if number == run // 2:
            half = now
        heapq.heappush(ends, (now + kind.latency_s, number, limits.take(now, kind.held, kind.held_output)))
    left = now
    while ends:
        answer()
    return now + (count - run) * (left - half) / max(1, run - run // 2)
