"""A sampling client and servers with limits in virtual time: what `daemon.limits` is tried on."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from daemon.limits.key_limits import KeyLimits
from engine.teachers.failures import LimitScope
from engine.teachers.headers import RateHeaders


@dataclass
class Reply:
    ok: bool
    latency: float
    retry_after: float | None = None
    headers: RateHeaders | None = None
    scope: LimitScope | None = None


@dataclass
class Server:
    """Answers after `latency` (a function of a random generator); refuses after `refusal_s`."""

    latency: float = 0.1
    jitter: float = 0.0
    delay: float = 0.002  # one way
    delay_jitter: float = 0.0
    in_flight: int = 0
    random: random.Random = field(default_factory=lambda: random.Random(7))

    def arrives(self, now: float) -> Reply:
        reply = self.judge(now)
        if reply.ok:
            self.in_flight += 1
            reply.latency = self.latency * (1 + self.random.uniform(-self.jitter, self.jitter))
        return reply

    def judge(self, now: float) -> Reply:
        return Reply(True, 0.0)


@dataclass
class SlidingWindow(Server):
    """Counts strictly over any trailing window."""

    limit: int = 3000
    window: float = 60.0
    tells: bool = True
    log: deque[float] = field(default_factory=deque)

    def judge(self, now: float) -> Reply:
        while self.log and self.log[0] <= now - self.window:
            self.log.popleft()
        if len(self.log) >= self.limit:
            wait = self.log[0] + self.window - now
            return Reply(False, 0.0, float(math.ceil(wait)) if self.tells else None)
        self.log.append(now)
        return Reply(True, 0.0)


@dataclass
class FixedWindow(Server):
    """Counts in minutes of the clock."""

    limit: int = 3000
    window: float = 60.0
    minute: int = -1
    count: int = 0

    def judge(self, now: float) -> Reply:
        if int(now // self.window) != self.minute:
            self.minute, self.count = int(now // self.window), 0
        if self.count >= self.limit:
            return Reply(False, 0.0, float(math.ceil((self.minute + 1) * self.window - now)))
        self.count += 1
        return Reply(True, 0.0)


@dataclass
class TokenBucket(Server):
    """Refills continuously."""

    limit: int = 3000
    burst: float = 50.0
    level: float = -1.0
    stamp: float = 0.0
    tells: bool = True
    scope: LimitScope | None = None

    def judge(self, now: float) -> Reply:
        if self.level < 0:
            self.level = self.burst
        self.level = min(self.burst, self.level + (now - self.stamp) * self.limit / 60)
        self.stamp = now
        if self.level < 1:
            wait = (1 - self.level) * 60 / self.limit
            return Reply(False, 0.0, float(math.ceil(wait)) if self.tells else None, scope=self.scope)
        self.level -= 1
        return Reply(True, 0.0)


@dataclass
class AtOnce(Server):
    """Takes this many at once."""

    limit: int = 20
    retry_after: float | None = None

    def judge(self, now: float) -> Reply:
        return Reply(self.in_flight < self.limit, 0.0, self.retry_after)


@dataclass
class ClosedUntil(Server):
    """Refuses everything until a time."""

    until: float = 1008.0
    retry_after: float | None = 5.0

    def judge(self, now: float) -> Reply:
        return Reply(now >= self.until, 0.0, self.retry_after)


@dataclass
class ByChance(Server):
    """Refuses a share of all requests, and what another server refuses."""

    share: float = 0.05
    refusal_s: float = 0.0
    retry_after: float | None = 1.0
    scope: LimitScope | None = None
    within: Server | None = None

    def judge(self, now: float) -> Reply:
        if self.random.random() < self.share:
            return Reply(False, self.refusal_s, self.retry_after, scope=self.scope)
        if self.within is not None:
            self.within.in_flight = self.in_flight
            return self.within.judge(now)
        return Reply(True, 0.0)


@dataclass
class Result:
    seconds: float
    calls: int
    refused: int
    sends: list[float]
    most: int
    accepted: list[float]

    def used(self, per_minute: float, start: float = 0.0, end: float | None = None) -> float:
        """Share of a limit that was used between two times."""
        end = self.seconds if end is None else end
        return sum(start <= at < end for at in self.accepted) / (per_minute / 60 * (end - start))


def simulate(
    limits: Callable[[float], KeyLimits],
    server: Server,
    *,
    requests: int = 10**9,
    seconds: float = math.inf,
    tokens: int = 100,
    output: int = 0,
    start: float = 1000.0,
    stalls: tuple[tuple[float, float], ...] = (),
) -> Result:
    """Sends `requests` (or for `seconds`) as fast as the limits allow. Times in the result start at 0."""
    now = start
    key = limits(now)
    queue, done, calls, refused, most = requests, 0, 0, 0, 0
    sends: list[float] = []
    accepted: list[float] = []
    events: list[tuple[float, int, str, object]] = []
    number = itertools.count()
    while done < requests:
        while queue:
            wake = key.ready_at(now, tokens, output)
            if wake > now:
                break
            reservation = key.take(now, tokens, output)
            queue -= 1
            calls += 1
            most = max(most, key.in_flight)
            sends.append(now - start)
            delay = server.delay + server.random.uniform(0, server.delay_jitter)
            heapq.heappush(events, (now + delay, next(number), "arrive", reservation))
        else:
            wake = math.inf
        upcoming = events[0][0] if events else math.inf
        later = min(wake, upcoming)
        for at, length in stalls:
            if start + at <= later < start + at + length:
                later = start + at + length
        assert later < math.inf, "nothing can ever happen"
        now = max(now, later)
        if now - start > seconds:
            break
        while events and events[0][0] <= now:
            at, _, kind, payload = heapq.heappop(events)
            if kind == "arrive":
                reply = server.arrives(at)
                if reply.ok:
                    accepted.append(at - start)
                    heapq.heappush(events, (at + reply.latency, next(number), "end", None))
                heapq.heappush(
                    events, (at + reply.latency + server.delay, next(number), "reply", (payload, reply))
                )
            elif kind == "end":
                server.in_flight -= 1
            elif kind == "again":
                queue += 1
            else:
                reservation, reply = payload
                if reply.ok:
                    key.succeeded(reservation, now, tokens, reply.headers, output)
                    done += 1
                else:
                    alone = key.limited(reservation, now, reply.retry_after, reply.headers, reply.scope)
                    refused += 1
                    if alone is None:
                        queue += 1
                    else:  # it waits by itself, and holds no slot
                        heapq.heappush(events, (now + alone, next(number), "again", None))
    return Result(now - start, calls, refused, sends, most, accepted)
