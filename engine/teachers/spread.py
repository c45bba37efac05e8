"""One teacher with several addresses: each request goes to the one with the fewest in flight; one that fails rests.

An address that fails rests for a second, and longer each time it fails again without an answer in between; the others go on.
A request that did not reach its address, or was refused there for its key, model or URL, is sent to the next at once: nothing
was billed. Every other failure is returned as it is. Limits, retries and money know one teacher.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from pydantic import SecretStr

from engine.teachers.client import Answer, TeacherClient
from engine.teachers.failures import Failure
from engine.teachers.messages import Request

FIRST_REST_S, LONGEST_REST_S = 1.0, 60.0
OF_THE_ADDRESS = frozenset(("transient", "ambiguous", "malformed"))
"""Kinds of failure after which an address rests."""


class _Address:
    """One address, and what is known of it."""

    def __init__(self, client: TeacherClient) -> None:
        self.client = client
        self.in_flight = 0
        self.rest_until = 0.0
        self.rest_s = 0.0
        self.rested_at = -1.0
        self.why = ""
        self.probes = 0

    def failed(self, sent: float, now: float, why: str) -> bool:
        """Lets it rest; returns whether it was well before. Requests that were out when the rest began count once."""
        if sent <= self.rested_at:
            return False
        new = not self.rest_s
        self.rest_s = min(LONGEST_REST_S, 2 * self.rest_s or FIRST_REST_S)
        self.rest_until, self.rested_at, self.why = now + self.rest_s, now, why
        return new

    def answered(self) -> bool:
        """It works; returns whether it did not before."""
        back = self.rest_s > 0
        self.rest_until = self.rest_s = 0.0
        return back


class SpreadClient:
    """The connections to a teacher with several addresses; an async context manager."""

    def __init__(
        self,
        clients: Sequence[TeacherClient],
        *,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes the clients over, one for each address. `say` is told when one begins to rest and when it answers again."""
        self._addresses = [_Address(client) for client in clients]
        self._say = say
        self._clock = clock
        self._next = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes all connections."""
        for each in self._addresses:
            await each.client.close()

    async def send(self, request: Request, *, request_id: str, key: SecretStr | None) -> Answer | Failure:
        """Sends one request to an address, and to the next ones as long as nothing was asked of any; see `TeacherClient`."""
        address, tried = self._choose(()), list[_Address]()
        while True:
            assert address is not None, "a first try is always somewhere"
            tried.append(address)
            begun, probe = self._clock(), address.rest_s > 0
            address.in_flight += 1
            address.probes += probe
            try:
                result = await address.client.send(request, request_id=request_id, key=key)
            finally:
                address.in_flight -= 1
                address.probes -= probe
            if isinstance(result, Answer):
                if address.answered():
                    self._say(f"{address.client.shown} answers again")
                return result
            if result.scope == "concurrency":  # of this machine, or of the teacher
                return result
            elsewhere = not result.reached or result.kind == "parked"
            if (elsewhere or result.kind in OF_THE_ADDRESS) and address.failed(
                begun, self._clock(), result.reason
            ):
                left = len(self._addresses) - len(self._resting())
                self._say(f"{address.client.shown} rests ({result.reason}); {left} of its addresses go on")
            address = self._choose(tried) if elsewhere else None
            if address is None:
                return result

    def note(self) -> str:
        """Which addresses rest, and why; empty if none does."""
        return "; ".join(f"{each.client.shown} rests: {each.why}" for each in self._resting())

    def _resting(self) -> list[_Address]:
        now = self._clock()
        return [each for each in self._addresses if each.rest_until > now]

    def _choose(self, tried: Sequence[_Address]) -> _Address | None:
        """The address with the fewest requests in flight, one at a time where it failed last.

        Where all rest, it is the one that has rested longest for a first try, and none for a further one.
        """
        now = self._clock()
        left = [each for each in self._addresses if each not in tried]
        awake = [each for each in left if each.rest_until <= now and not each.probes]
        self._next += 1
        if not awake:
            return None if tried else min(left, key=lambda each: each.rest_until)
        order = len(awake)
        return min(enumerate(awake), key=lambda pair: (pair[1].in_flight, (pair[0] - self._next) % order))[1]
