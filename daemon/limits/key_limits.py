"""When a request may go to one key of one teacher: rates, concurrency and pauses, as a pure state machine.

The owner asks `ready_at`, calls `take` before it sends, and reports how each request ended by exactly one
of `succeeded`, `limited`, `failed` and `released`. Time is passed in (monotonic seconds); nothing here
sleeps, sends or knows what is asked.

A refusal (429) is interpreted by its content: a `Retry-After`, or headers that show nothing
remaining, indicate a rate; a refusal at the known number in flight, or one that says so in words, indicates
concurrency; otherwise only the cap reacts. A rate refusal pauses the key for the requested time, once per burst, and
lowers the learned rate; it never lowers the cap below what the server admitted. If the requested time was kept and the
next request is refused again, that time is not trusted: single requests then probe at shorter
intervals, so that no capacity stays unused. A limit per day is waited out. A refusal that nothing explains may be chance
(`chance.py`): then its request waits alone.

There are four rates: requests, and tokens in the three ways that providers count them: both kinds together, prompt
tokens, completion tokens. A refusal that names one lowers that one alone. Shares of limits that several processes use
are granted from outside (`needs`, `grant`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from daemon.limits.chance import Chance, Room
from daemon.limits.concurrency import Cap
from daemon.limits.lease_table import Need
from daemon.limits.pauses import Pauses
from daemon.limits.rates import RATES, RateBinds, Rates, Reservation, exhausted_by, requests_remain
from engine.teachers.failures import LimitScope
from engine.teachers.headers import RateHeaders

Binds = RateBinds | Literal["parked", "pause", "limit a day", "concurrency", "latency", "storing"]

DAY_LOOK_S = 900.0
"""Interval of probes of a limit per day that does not say when it ends."""
DAY_WAIT_S = 60.0
"""With a shorter requested wait, a limit per day is paced like one per minute: a little of it becomes free all the time."""
BOUND_S = 2.0
"""A limit that delayed a request within this time still binds."""
OWN_WAIT_S = 1.0
"""How long a request that was refused by chance waits where the server does not say."""
STORING_SHARE = 4
"""Answers being stored beside a full cap: at most this fraction of the cap."""


class KeyLimits:
    """The limits of one key of one teacher."""

    def __init__(
        self,
        now: float,
        *,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        input_tokens_per_minute: int | None = None,
        output_tokens_per_minute: int | None = None,
        concurrency: int | None = None,
    ) -> None:
        self.rates = Rates(
            now,
            requests=requests_per_minute,
            tokens=tokens_per_minute,
            input=input_tokens_per_minute,
            output=output_tokens_per_minute,
        )
        self.concurrency = Cap(concurrency, now)
        self.parked = ""
        self._accepted = False  # a request was answered
        self._pauses = Pauses(now)
        self._chance = Chance()
        self.others = 0  # keys of other processes that share the limits
        self._room = Room()
        self._storing = 0  # answers received and not on disk yet

    @property
    def cap(self) -> int:
        """Requests that may be in flight at once."""
        return self.concurrency.value

    @property
    def out(self) -> int:
        """Requests sent and not answered."""
        return self.concurrency.in_flight

    @property
    def in_flight(self) -> int:
        """Slots in use: requests sent and not answered, and answers not on disk yet."""
        return self.concurrency.in_flight + self._storing

    @property
    def counts_apart(self) -> bool:
        """Whether a limit on completion tokens alone is known."""
        return self.rates.output.rate is not None

    @property
    def pause_until(self) -> float:
        """When this key's own pause ends, for other processes; in the past if there is none."""
        return self._pauses.until

    def configure(
        self,
        now: float,
        *,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        concurrency: int | None,
        was: tuple[int | None, ...],
        input_tokens_per_minute: int | None = None,
        output_tokens_per_minute: int | None = None,
    ) -> None:
        """Changes the limits; one that is as it `was` keeps its learned value.

        `was` holds the old ones: requests, tokens, concurrency, input tokens, output tokens (the last two may be absent).
        """
        rates = requests_per_minute, tokens_per_minute, input_tokens_per_minute, output_tokens_per_minute
        before = [*was, None, None]
        for name, rate, old in zip(RATES, rates, (*before[:2], *before[3:5]), strict=True):
            if rate != old:
                self.rates.bucket(name).configure(now, rate)
        if concurrency != was[2]:
            self.concurrency.configure(now, concurrency)

    def free(self, now: float) -> int:
        """Requests that the cap allows now; 0 while paused or parked."""
        return 0 if self.parked or self.pause_left(now) else max(0, self.cap - self.in_flight)

    def pause_left(self, now: float) -> float:
        """Seconds until the pause ends, 0 if there is none."""
        return self._pauses.left(now)

    def binds(self, now: float, tokens: int = 0, output: int = 0) -> Binds:
        """What delays the next request, or "" if nothing does."""
        if self.parked:
            return "parked"
        if self.pause_left(now):
            return "limit a day" if self._pauses.for_a_day(now) else "pause"
        if self._full():
            return "storing"
        if self.concurrency.ready_at(now) > now:
            return "latency" if self.concurrency.slowed else "concurrency"
        return self.rates.binds(now, tokens, output)

    def ready_at(self, now: float, tokens: int, output: int = 0) -> float:
        """When a request may go: at or before `now`, later, or inf until something ends.

        Args:
            now: the time.
            tokens: the expected tokens, prompt and completion together.
            output: how many of them are completion tokens.
        """
        if self.parked:
            return math.inf
        if self._full():
            self.concurrency.waits(now)
            return math.inf
        at = self.concurrency.ready_at(now)
        if at == math.inf:
            return at
        until = now if self._chance.trying(now) else self._pauses.until
        return max(at, self.rates.ready_at(now, tokens, output), until, self._pauses.others_until)

    def take(self, now: float, tokens: int, output: int = 0) -> Reservation:
        """Reserves a request of `tokens` tokens, `output` of them completion tokens; to be called when `ready_at` allows it."""
        if not self._chance.trying(now):
            self._pauses.sent(now)
        number = self._chance.sent(now)
        level, wave = self.concurrency.sent()
        return Reservation(self.rates.take(now, tokens, output), now, now, number, level, wave)

    def departed(self, reservation: Reservation, now: float) -> None:
        """The request leaves only now, after it was stored: it counts against the rates from now on."""
        if now > reservation.sent_at:
            taken = reservation.amounts
            self.rates.give_back(taken)
            reservation.amounts = self.rates.take(now, taken.tokens, taken.output)
            reservation.left_at = now

    def received(self, reservation: Reservation, now: float, output: int | None = None) -> None:
        """The answer was received and is not on disk yet: the server has room for another request. `succeeded` follows.

        `output` are its completion tokens, if it says how many.
        """
        self._answered(reservation, now, output)
        reservation.received = True
        self._storing += 1

    def succeeded(
        self,
        reservation: Reservation,
        now: float,
        used_tokens: int | None,
        headers: RateHeaders | None = None,
        used_output: int | None = None,
    ) -> None:
        """The request was answered.

        Args:
            reservation: the result of `take`.
            now: the time.
            used_tokens: the tokens that count against the limits, in place of the reserved ones (None: as reserved).
            headers: the server's statements about its limits.
            used_output: how many of them are completion tokens (None: as reserved).
        """
        self._accepted = True
        if reservation.received:
            self._storing -= 1
        else:
            self._answered(reservation, now, used_output)
        if used_tokens is not None:
            output = reservation.amounts.output if used_output is None else used_output
            self.rates.settle(reservation.amounts, used_tokens, min(used_tokens, output))
        if headers is not None:
            self.observe(now, headers)

    def _answered(self, reservation: Reservation, now: float, output: int | None) -> None:
        sent_at = reservation.sent_at
        seconds = now - reservation.left_at
        self._room.answered(sent_at, seconds)
        self.concurrency.answered(now, sent_at, reservation.level, reservation.wave, seconds, output)
        self._pauses.answered(sent_at)
        if self._chance.answered(sent_at):
            self._pauses.end(now)
            if self._chance.proved:
                self.concurrency.forget(now)
                for name in RATES:
                    self.rates.bucket(name).forget(now)

    def limited(
        self,
        reservation: Reservation,
        now: float,
        retry_after: float | None,
        headers: RateHeaders | None = None,
        scope: LimitScope | None = None,
        *,
        daily: bool = False,
    ) -> float | None:
        """The request was refused for a limit (429); its amounts are given back.

        Returns how long this request alone waits, if it was refused by chance; None where the key waits.

        Args:
            reservation: the result of `take`.
            now: the time.
            retry_after: seconds the server asked for, if it did.
            headers: the server's statements about its limits.
            scope: which limit, if the error says so in words.
            daily: it is a limit per day, if the error says so in words.
        """
        self.rates.give_back(reservation.amounts)
        if daily and (retry_after is None or retry_after >= DAY_WAIT_S):
            self.concurrency.left(reservation.wave)
            self._prolong(now + (DAY_LOOK_S if retry_after is None else retry_after), day=True)
            return None
        exhausted, chance = exhausted_by(headers, reservation.amounts), self._chance
        if chance.refused(reservation.sent_at, reservation.number) and exhausted is None:
            self.concurrency.left(reservation.wave)
            if not self.rates.requests.learned:  # a learned rate is found by what is let in
                self.rates.requests.asked()
            return OWN_WAIT_S if retry_after is None else retry_after
        if headers is not None:
            self.observe(now, headers, pause=False)
        wait = retry_after
        if wait is None and exhausted and headers is not None:
            reset = getattr(headers, f"{exhausted}_reset_s")
            wait = None if reset is None else self._pauses.believed(reset)
        told = retry_after is not None and not requests_remain(headers)
        rate = scope != "concurrency" and (told or exhausted is not None or scope is not None)
        cap = self.concurrency
        if exhausted is None and cap.refused_at_ceiling(
            now, reservation.sent_at, reservation.level, wait or 0.0, reservation.wave
        ):
            self.rates.requests.asked()
            return None
        admitted = cap.admits(reservation.level, reservation.sent_at)
        at_once = scope == "concurrency" or (
            exhausted is None and scope is None and cap.first_find(reservation.level, reservation.sent_at)
        )
        rate = rate or (scope is None and cap.far_below(reservation.level))
        by_number = at_once or not rate
        bucket = self.rates.blamed(exhausted, scope)
        if by_number or bucket is not self.rates.requests:
            self.rates.requests.asked()
        pauses, until = self._pauses, self._pauses.until
        if pauses.covers(reservation.sent_at, now, wait):
            self._leave(reservation, now, by_number)
            if pauses.until > until:
                cap.restart_ramp(pauses.until)
            return None
        refusal = pauses.refused(reservation.sent_at)
        doubted = exhausted is None and (admitted if by_number else bucket.kept) and chance.doubts()
        chance.answers = 0
        self._leave(reservation, now, by_number and not doubted)
        known = self._accepted or bucket.rate is not None  # before the first answer of a key no rate is
        if known and not by_number and not doubted and refusal != "again":
            bucket.cut(now, wait or 0.0)
        pauses.begin(now, wait, refusal)
        if doubted:
            chance.begin(reservation.sent_at, pauses.until)
        else:
            cap.restart_ramp(pauses.until)
        return None

    def busy(self, reservation: Reservation, now: float) -> bool:
        """Whether a server error (503) without words means that no room is free; `limited` or `failed` follows."""
        cap = self.concurrency
        more = cap.first_find(reservation.level, reservation.sent_at)
        if not self._room.refused(now, now - reservation.left_at, more, cap.taught):
            return False
        return not (self._chance.on and self._chance.refused(reservation.sent_at, reservation.number))

    def fails(self, now: float) -> None:
        """The server is out of order: what its latest refusals taught about the number in flight is forgotten."""
        taught = self._room.before(now)
        if taught is not None:
            self.concurrency.teach(taught)

    def _leave(self, reservation: Reservation, now: float, by_number: bool) -> None:
        """A refused request leaves; `by_number`: for the number in flight."""
        if by_number:
            self.concurrency.refused(now, reservation.sent_at, reservation.wave)
        else:
            self.concurrency.left(reservation.wave)

    def failed(
        self,
        reservation: Reservation,
        now: float,
        retry_after: float | None = None,
        used_tokens: int | None = 0,
    ) -> None:
        """The request ended otherwise; growth waits, and a requested wait is kept.

        `used_tokens`: 0 gives the tokens back; None keeps what was reserved (it may have been billed).
        """
        self.concurrency.left(reservation.wave)
        self.concurrency.hold(now)
        self._pauses.lost(reservation.sent_at)
        if used_tokens is not None:
            output = min(used_tokens, reservation.amounts.output)
            self.rates.settle(reservation.amounts, used_tokens, output)
        if retry_after:
            self._pauses.prolong(now + retry_after)

    def released(self, reservation: Reservation) -> None:
        """The request was never sent."""
        self.concurrency.left(reservation.wave)
        self.rates.give_back(reservation.amounts)
        self._pauses.lost(reservation.sent_at)

    def refused_alone(self, reservation: Reservation) -> None:
        """The request was refused, and nobody else waits for it."""
        self.released(reservation)
        self.rates.requests.asked()

    def park(self, reason: str) -> None:
        """Allows no request until `unpark`."""
        self.parked = reason or "parked"

    def unpark(self, now: float) -> None:
        """Allows requests again, starting with one."""
        self.parked = ""
        self._pauses.end(now)
        self.concurrency.restart_ramp(now)

    def observe(self, now: float, headers: RateHeaders, *, pause: bool = True) -> None:
        """Applies the server's statements about its limits."""
        self.rates.observe(now, headers)
        unknown = headers.requests_limit is None  # a stated one paces by itself, its reset is of the whole
        if pause and unknown and headers.requests_remaining == 0 and headers.requests_reset_s:
            self._prolong(now + headers.requests_reset_s)

    def needs(self, now: float) -> dict[str, Need]:
        """The key's need of each of its limits, to share them with other processes."""
        found: dict[str, Need] = {
            name: Need(bucket.ceiling, bucket.recent(now), now - bucket.bound_at < BOUND_S)
            for name in RATES
            for bucket in (self.rates.bucket(name),)
        }
        cap = self.concurrency
        found["concurrency"] = Need(cap.configured, cap.in_flight, now - cap.bound_at < BOUND_S)
        return found

    def grant(
        self, now: float, granted: Mapping[str, float], others_until: float = 0.0, others: int = 0
    ) -> None:
        """Sets this process's share of the limits, and until when others with this key were asked to wait.

        Args:
            now: the time.
            granted: amounts per second by the name of a rate, and `concurrency`; absent: all of it.
            others_until: when the last pause of the others ends.
            others: how many they are.
        """
        self.others = others
        self.rates.grant(now, granted)
        part = granted.get("concurrency")
        self.concurrency.grant(now, None if part is None else int(part))
        pauses = self._pauses
        if max(now, others_until) != max(now, pauses.others_until):
            self.concurrency.restart_ramp(max(now, others_until, pauses.until))
        pauses.others_until = others_until

    def _full(self) -> bool:
        """Whether too many answers wait to be stored for a further request to leave."""
        if not self._storing:
            return False
        cap = self.concurrency
        return self.in_flight >= min(cap.maximum, cap.value + max(1, cap.value // STORING_SHARE))

    def _prolong(self, at: float, *, day: bool = False) -> None:
        self._pauses.prolong(at, day=day)
        self.concurrency.restart_ramp(self._pauses.until)
