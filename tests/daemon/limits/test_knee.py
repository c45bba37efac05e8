"""The limit that latencies show, on simulated servers that queue, batch, scale and change."""

from __future__ import annotations

import heapq
import itertools
import math
import random
import statistics
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from daemon.limits.knee import START, Knee

Work = Callable[[random.Random], tuple[float, int | None]]
"""Draws how long an answer takes by itself, and its completion tokens if they are told."""


@dataclass(order=True)
class Call:
    """A request."""

    at: float
    number: int
    level: int = field(compare=False)
    wave: int = field(compare=False)
    work: float = field(compare=False)
    tokens: int | None = field(compare=False)


class Slots:
    """Works on this many at once; the others wait in order."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._busy: list[tuple[float, Call]] = []
        self._queue: deque[Call] = deque()

    def arrives(self, now: float, call: Call) -> None:
        self._queue.append(call)
        self.fill(now)

    def fill(self, now: float) -> None:
        while self._queue and len(self._busy) < self.slots:
            call = self._queue.popleft()
            heapq.heappush(self._busy, (now + call.work, call))

    def next_end(self) -> float:
        return self._busy[0][0] if self._busy else math.inf

    def ends(self, now: float) -> Call:
        call = heapq.heappop(self._busy)[1]
        self.fill(now)
        return call


class Batching:
    """Works on up to `batch` together; `half` of them double each one's time, as on a GPU that is shared."""

    def __init__(self, half: float, batch: int) -> None:
        self.half, self.batch = half, batch
        self._progress = self._at = 0.0
        self._running: list[tuple[float, Call]] = []
        self._queue: deque[Call] = deque()

    @property
    def best(self) -> float:
        """The best throughput, in work a second."""
        return self.batch / (1 + self.batch / self.half)

    @property
    def _speed(self) -> float:
        return 1 / (1 + len(self._running) / self.half)

    def _advance(self, now: float) -> None:
        self._progress += (now - self._at) * self._speed
        self._at = now

    def arrives(self, now: float, call: Call) -> None:
        self._advance(now)
        self._queue.append(call)
        self._fill()

    def _fill(self) -> None:
        while self._queue and len(self._running) < self.batch:
            call = self._queue.popleft()
            heapq.heappush(self._running, (self._progress + call.work, call))

    def next_end(self) -> float:
        if not self._running:
            return math.inf
        return self._at + (self._running[0][0] - self._progress) / self._speed

    def ends(self, now: float) -> Call:
        self._advance(now)
        call = heapq.heappop(self._running)[1]
        self._fill()
        return call


@dataclass
class Told:
    """What a run was: times of answers with the work in them, and (time, in flight, limit) at each answer."""

    answers: list[tuple[float, float]]
    levels: list[tuple[float, int, int]]

    def most(self, start: float, end: float) -> int:
        """The most in flight."""
        return max(level for at, level, _ in self.levels if start <= at < end)

    def limit(self, at: float) -> int:
        """The limit between probes, at a time."""
        return [limit for when, _, limit in self.levels if when <= at][-1]

    def rate(self, start: float, end: float) -> float:
        """Work answered a second."""
        return sum(work for at, work in self.answers if start <= at < end) / (end - start)

    def reached(self, level: int) -> float:
        """When this many were in flight first."""
        return next((at for at, found, _ in self.levels if found >= level), math.inf)


def run(
    server: Slots | Batching,
    work: Work,
    seconds: float,
    *,
    seed: int = 0,
    later: tuple[float, int] | None = None,
    slower: float = 0.0,
    demand: int = 1024,
) -> Told:
    """As many requests in flight as the limit and the demand allow.

    `later`: at a time the server has other slots. `slower`: the share by which work grows each second.
    """
    rng, knee, now, flying, numbers = random.Random(seed), Knee(0.0, 1024), 0.0, 0, itertools.count()
    told = Told([], [])
    way: list[tuple[float, Call]] = []
    while now < seconds:
        while flying < min(knee.value, demand):
            flying += 1
            duration, tokens = work(rng)
            call = Call(now, next(numbers), flying, knee.sent(), duration * (1 + slower * now), tokens)
            heapq.heappush(way, (now + 0.002, call))
        if flying >= knee.value:
            knee.bound_at = now
        if later is not None and now >= later[0] and isinstance(server, Slots):
            server.slots, later = later[1], None
            server.fill(now)
        if way and way[0][0] <= server.next_end():
            now, call = heapq.heappop(way)
            server.arrives(now, call)
            continue
        now = server.next_end()
        call = server.ends(now)
        told.answers.append((now, call.work))
        told.levels.append((now, flying, knee.center))
        flying -= 1
        knee.answered(now, call.at, call.level, call.wave, now - call.at, call.tokens)
    return told


def same(seconds: float) -> Work:
    return lambda rng: (seconds, None)


def scattered(mean: float, sigma: float) -> Work:
    """Log-normal, and nothing says why."""
    mu = math.log(mean) - sigma * sigma / 2
    return lambda rng: (math.exp(rng.gauss(mu, sigma)), None)


def by_length(mean: float, sigma: float) -> Work:
    """Answers of very different length, which explains most of how long they take."""

    def draw(rng: random.Random) -> tuple[float, int]:
        length = math.exp(rng.gauss(-sigma * sigma / 2, sigma))
        return mean * (0.1 + 0.9 * length * math.exp(rng.gauss(0, 0.15))), max(1, round(300 * length))

    return draw


@pytest.mark.parametrize("slots", [1, 2, 4, 8, 16, 64])
@pytest.mark.parametrize("seconds", [0.5, 2.0])
def test_a_server_that_queues_gets_at_most_twice_its_slots_and_is_never_idle(
    slots: int, seconds: float
) -> None:
    told = run(Slots(slots), same(seconds), 120)
    assert told.limit(60) <= 2 * slots
    assert told.most(60, 120) <= max(3, 2.7 * slots), "a probe is a little more"
    assert told.rate(60, 120) >= 0.95 * slots


@pytest.mark.parametrize("work", [scattered(1.0, 0.5), by_length(1.0, 0.7)], ids=["scattered", "by length"])
@pytest.mark.parametrize("slots", [4, 8, 16])
def test_slots_are_found_among_answers_of_very_different_length(slots: int, work: Work) -> None:
    told = [run(Slots(slots), work, 120, seed=seed) for seed in range(5)]
    assert statistics.median(each.limit(60) for each in told) <= 2 * slots
    assert statistics.median(each.limit(119) for each in told) <= 2 * slots
    assert statistics.mean(each.rate(20, 120) for each in told) >= 0.92 * slots


def test_with_long_answers_nothing_grows_without_evidence() -> None:
    told = run(Slots(4), same(30.0), 400)
    assert told.most(0, 60) <= START == 8
    assert told.limit(399) <= 6
    assert told.rate(60, 400) >= 0.95 * 4


@pytest.mark.parametrize(
    "work",
    [same(0.5), scattered(0.5, 0.3), scattered(0.5, 0.5), by_length(0.5, 0.7)],
    ids=["same", "scattered a little", "scattered", "by length"],
)
def test_a_server_that_scales_has_a_thousand_in_flight_within_ten_seconds(work: Work) -> None:
    assert all(run(Slots(10**9), work, 10, seed=seed).reached(1000) < 10 for seed in range(3))


@pytest.mark.parametrize(("half", "batch"), [(32, 64), (32, 256), (200, 256)])
def test_a_server_that_batches_is_not_throttled_though_each_answer_takes_longer(
    half: float, batch: int
) -> None:
    told = [run(Batching(half, batch), by_length(1.0, 0.7), 150, seed=seed) for seed in range(2)]
    best = Batching(half, batch).best
    assert statistics.mean(each.rate(75, 150) for each in told) >= 0.9 * best


def test_slots_that_are_added_later_are_used() -> None:
    told = run(Slots(4), same(0.5), 150, later=(40.0, 16))
    assert told.rate(110, 150) >= 0.95 * 16
    assert told.limit(149) <= 2 * 16


def test_slots_that_are_taken_away_later_are_noticed() -> None:
    told = run(Slots(16), same(0.5), 150, later=(40.0, 4))
    assert told.limit(149) <= 2 * 4
    assert told.rate(110, 150) >= 0.95 * 4


def test_answers_that_become_slower_for_another_reason_throttle_nothing() -> None:
    scales = run(Slots(10**9), same(0.5), 12, slower=1 / 50)
    assert scales.most(10, 12) >= 1000
    told = run(Slots(16), scattered(0.5, 0.3), 120, slower=1 / 100)
    assert told.rate(30, 120) >= 0.95 * 16
    assert told.limit(119) <= 2 * 16


def test_less_demand_than_the_limit_teaches_nothing() -> None:
    told = run(Slots(10**9), same(0.2), 30, demand=5)
    assert told.limit(29) == START
