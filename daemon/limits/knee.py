"""How many requests in flight are worth it, where a server queues instead of refusing: found by latency. Pure.

By Little's law the throughput of `n` requests in flight is `n` divided by their latency. More of them are worth it while
the latency grows by less than their number; behind the *knee* they only wait in the server's queue. Everything is
measured as an elasticity: of twice as many requests, 1 means twice the throughput, 0 means none more.

*Growth*: the limit rises by one with each answer, to at most twice the highest octave of numbers in flight whose latencies showed no
queue (a sequential test against the octaves below). Where a server scales, a round of answers doubles it. Where latencies
show a queue, it becomes the best throughput times the lowest latency (the bandwidth-delay product), and a little more.

*Probes* then compare neighbours: a wave of requests at the limit, one at 1.4 or 0.7 times of it, one at the limit again. The mean of the two
outer waves is what the middle one is compared with, so that a latency that drifts for another reason moves nothing. Results add up
over probes until they are sure enough; a probe in vain is repeated later and later, up to a minute.

Latencies are compared by their logarithm, after the part that their answer's length explains was taken off.
"""

from __future__ import annotations

import math

from daemon.limits.waves import ALIKE, DONE, SPREAD, WAVE, WORTH, Probe, Sums, Wave, differ, elasticity

START = 8
"""Requests in flight before anything is known: a server with a few slots is not flooded by its first minute."""
QUEUES, SCALES, TOLD = 3.5, 1.5, 0.1
"""Growth ends at this log-likelihood ratio of a server that queues against one that scales, goes on at that one of the
contrary, and ends where neither shows though the elasticity is known as exactly as this."""
CLEAR = 0.6
"""Elasticity of the throughput that ends the probing: the server scales here."""
UP = 1.4
HEADROOM = 1.4
"""Limit after growth, in units of the best throughput times the lowest latency."""
QUEUED = 0.3
"""Logarithm of the latency above the lowest one from which on fewer in flight are tried."""
MANY = 32
"""From this many in flight on, a probe that was worth it is followed by one that is twice as wide."""
GAP, GAP_DOWN = 2, 6
"""Waves between two probes upwards and downwards, at first."""
GAP_S, GAP_DOWN_S = 30.0, 60.0
"""Longest time between two probes upwards and downwards."""
FLAT_S = 0.01
"""Added to every latency: a queue of a few milliseconds is no queue, and this process takes that long itself."""
LENGTH_MEMORY = 1 / 64
"""Weight of the latest answer in what is known of how latency follows length."""


class Knee:
    """The limit on requests in flight that latencies show; the time is passed in."""

    __slots__ = (
        "_bands",
        "_before",
        "_down",
        "_least",
        "_length",
        "_moved",
        "_probe",
        "_seen",
        "_top",
        "_up",
        "_wave",
        "bound_at",
        "center",
        "most",
        "value",
    )

    def __init__(self, now: float, most: int) -> None:
        self.most = most
        self.value = min(START, most)
        """Requests that may be in flight now."""
        self.center = self.value
        """The same between two probes."""
        self.bound_at = -math.inf  # when it last delayed a request
        self._bands: dict[int, Sums] | None = {}  # answers by octaves of the number in flight, while it grows
        self._top = 0  # the highest octave whose latencies showed no queue
        self._wave = Wave(self.value, now, 0, 0)
        self._before: Wave | None = None
        self._probe: Wave | None = None  # of the last probe, until the wave that follows it is done
        self._up, self._down = Probe(GAP, GAP_S), Probe(GAP_DOWN, GAP_DOWN_S)
        # Of the logarithms of tokens and latency: both means, the variance of the first, their covariance.
        self._length = [0.0, 0.0, 0.0, 0.0]
        self._seen = 0  # answers with tokens
        self._least = math.inf  # logarithm of the latency with fewer in flight, as it was last seen
        self._moved = False  # the last probe was worth it

    @property
    def found(self) -> bool:
        """Whether a queue was met: the limit holds because of it."""
        return self._bands is None

    def bound(self, most: int) -> None:
        """Never more than this many."""
        if most != self.most:
            self.most = most
            self.center = min(self.center, most)
            self.value = min(self.value, most)

    def sent(self) -> int:
        """A request is sent; returns the number of its wave, 0 if it is in none."""
        wave = self._wave
        if self._bands is not None or wave.sent >= wave.size:
            return 0
        wave.sent += 1
        return wave.number if wave.sent > 0 else 0

    def left(self, number: int) -> None:
        """A request of wave `number` ended without an answer."""
        if number and number == self._wave.number:
            self._wave.gone += 1

    def answered(
        self, now: float, sent_at: float, level: int, number: int, seconds: float, tokens: int | None
    ) -> None:
        """A request was answered.

        Args:
            now: the time.
            sent_at: when it was sent.
            level: the number in flight then, with it.
            number: what `sent` returned for it.
            seconds: how long the answer took.
            tokens: the completion tokens of the answer, if it says how many.
        """
        latency = self._without_length(math.log(max(seconds, 0.0) + FLAT_S), tokens)
        if self._bands is not None:
            self._grow(now, sent_at, level, latency)
        elif number and number == self._wave.number:
            wave = self._wave
            if self.bound_at >= sent_at:
                wave.add(math.log(wave.limit), latency)
            else:
                wave.gone += 1  # it was not this limit that held requests back
            if wave.done:
                self._next(now)

    def _without_length(self, latency: float, tokens: int | None) -> float:
        """The logarithm of a latency without the part that the length of the answer explains."""
        if not tokens:
            return latency
        size = math.log(tokens)
        mean, base, variance, shared = self._length
        self._seen += 1
        part = max(LENGTH_MEMORY, 1 / self._seen)
        off, late = size - mean, latency - base
        slope = min(1.0, max(0.0, shared / variance)) if variance > 1e-4 and self._seen > WAVE else 0.0
        self._length = [
            mean + part * off,
            base + part * late,
            (1 - part) * (variance + part * off * off),
            (1 - part) * (shared + part * off * late),
        ]
        return latency - slope * off

    # Growth

    def _grow(self, now: float, sent_at: float, level: int, latency: float) -> None:
        bands = self._bands
        assert bands is not None
        band = (level - 1).bit_length()  # 1, 2, 3 to 4, 5 to 8, 9 to 16 …
        sums = bands.get(band)
        if sums is None:
            sums = bands[band] = Sums()
        sums.add(math.log(level), latency)
        if sums.n >= 4 and (band > self._top or sums.n & (sums.n - 1) == 0):
            growth, error = self._growth(band, sums)
            sign = (growth - 0.5) / (
                error * error
            )  # log-likelihood ratio of a queue against a server that scales
            if sign > QUEUES or (sign > -SCALES and error < TOLD):
                self._settle(now, self._product(sums))
                return
            if sign < -SCALES or not any(number < band for number in bands):
                self._top = max(self._top, band)
            elif band > self._top and sums.n > 4 * WAVE and self.value >= 2 << self._top:
                self._settle(
                    now, self.value
                )  # what is known of fewer in flight is too little: probes find out
                return
        if self.bound_at >= sent_at and self.value < 2 << self._top:
            self.value = self.center = min(self.most, self.value + 1)
        if self.value == self.most and sums.n >= 4 * WAVE and sums.n >= self.most:
            self._settle(now, self.most)

    def _growth(self, band: int, top: Sums) -> tuple[float, float]:
        """Elasticity of the latency between a band of numbers in flight and those below, and its standard error."""
        assert self._bands is not None
        near = Sums()
        for number in range(band - 1, -1, -1):
            if number in self._bands:
                near.join(self._bands[number])
                if near.n >= WAVE:
                    break
        apart = top.level - near.level if near.n else 0.0
        if apart < 0.05:
            return 0.0, math.inf
        spread = self._spread()
        return (top.latency - near.latency) / apart, math.sqrt(spread * (1 / near.n + 1 / top.n)) / apart

    def _spread(self) -> float:
        """Variance of the logarithm of latencies at about the same number in flight."""
        assert self._bands is not None
        total = sum(max(0.0, sums.yy - sums.y * sums.y / sums.n) for sums in self._bands.values())
        free = sum(sums.n - 1 for sums in self._bands.values())
        return ALIKE * max(SPREAD * SPREAD, total / free if free else 1.0)

    def _product(self, top: Sums) -> int:
        """The best throughput times the lowest latency, and a little more."""
        assert self._bands is not None
        spread = self._spread()
        least = min(sums.latency + math.sqrt(spread / sums.n) for sums in self._bands.values())
        return math.ceil(HEADROOM * math.exp(top.level + least - top.latency) - 0.3)

    def _settle(self, now: float, limit: int) -> None:
        """Growth ends."""
        assert self._bands is not None
        spread = self._spread()
        self._least = min(sums.latency + math.sqrt(spread / sums.n) for sums in self._bands.values())
        self._move(now, max(1, min(limit, self.value)))
        self._moved = False
        self._bands = None

    # Probes

    def _move(self, now: float, limit: int, wave: Wave | None = None) -> None:
        """Another limit, with its wave if there was one: what its neighbours bring is not known."""
        self._moved = self.found
        self.center = limit
        self._up.reset(now)
        self._down.reset(now)
        self._before, self._probe = wave, None
        self._begin(now, limit)

    def _begin(self, now: float, limit: int) -> None:
        self._wave = Wave(limit, now, self._wave.number + 1, max(0, limit - self.value))
        self.value = limit

    def _next(self, now: float) -> None:
        """A wave is done: what comes next."""
        wave = self._wave
        if wave.n < DONE / 2 * wave.size:  # too few of it tell anything
            self._begin(now, wave.limit)
            return
        if wave.limit != self.center:
            self._probe = wave
            if wave.limit > self.center and self._before is not None:
                found, error = elasticity(self._before, wave)
                if found - 1.5 * error > CLEAR:
                    self._scales(wave)
                    return
                if found - 1.5 * error > WORTH:
                    self._move(now, wave.limit, wave)
                    self._next_probe(now, wave)
                    return
            self._begin(now, self.center)
            return
        before, probe, self._before = self._before, self._probe, wave
        self._probe = None
        length_s = now - wave.began
        if before is not None and differ(before, wave):
            self._up.reset(now)
            self._down.reset(now)
        elif before is not None and probe is not None and self._judge(now, before, probe, wave, length_s):
            return
        self._next_probe(now, wave)

    def _next_probe(self, now: float, wave: Wave) -> None:
        """Begins the next wave after one at the limit."""
        wide = min(math.log(2), max(math.log(UP), 2 * math.sqrt(1.5 * wave.error)))
        if self._moved and self.center >= MANY:
            wide = math.log(2)
        up = min(self.most, max(self.center + 1, round(self.center * math.exp(wide))))
        down = min(self.center - 1, round(self.center * math.exp(-wide)))
        if not self._down.weight:  # a long queue: to where it should end, at once
            needed = round(1.2 * self.center * math.exp(self._least - wave.latency))
            down = min(down, max(needed, self.center // 4))
        if up > self.center and self._up.due <= now and (self._up.due <= self._down.due or down < 1):
            self._begin(now, up)
        elif down >= 1 and self._down.due <= now and wave.latency - self._least > QUEUED:
            self._begin(now, down)
        elif up > self.center and self._up.due <= now:
            self._begin(now, up)
        else:
            self._begin(now, self.center)

    def _scales(self, wave: Wave) -> None:
        """The server has room: growth goes on from here."""
        self.center = self.value = wave.limit
        self._bands = {}
        for each in (self._before, wave):
            if each is not None:
                self._top = (round(math.exp(each.level)) - 1).bit_length()
                self._bands.setdefault(self._top, Sums()).join(each)
        self._before = self._probe = None

    def _judge(self, now: float, before: Wave, probe: Wave, after: Wave, length_s: float) -> bool:
        """Counts a probe; returns whether the limit moved."""
        outer = (before.latency + after.latency) / 2
        error = math.sqrt(probe.error + (before.error + after.error) / 4)
        apart = probe.level - (before.level + after.level) / 2
        if abs(apart) < 0.05:
            return False
        side = self._up if probe.limit > self.center else self._down
        side.add(1 - (probe.latency - outer) / apart, error / abs(apart))
        if side is self._down:
            self._least = probe.latency
        if side is self._up:
            if side.worth:
                self._move(now, probe.limit)
                return True
            self._moved = False
            side.wait(now, length_s, 2 if side.vain else 1)
            return False
        if side.needless:
            needed = round(1.2 * self.center * math.exp(probe.latency - outer))
            limit = max(probe.limit, min(needed, self.center - 1))
            if limit < self.center:
                self._move(now, limit)
                return True
        side.wait(now, length_s, 4 if side.worth else 1)
        return False
