"""How a teacher's jobs reach it and their answers come back: as single requests, or as batches of them.

A teacher has one transport. The transport owns the teacher's keys, and each key serves itself. What differs between
requests and batches is decided in here and in the two implementations (`key_workers.py`, `daemon/batches`);
no other module asks which one it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Generic, Protocol, TypeVar

import anyio
from anyio.abc import TaskStatus

from daemon.limits.key_limits import KeyLimits
from daemon.sampling.plans import ActivePlan
from engine.config import TeacherConfig
from engine.teachers.client import Client
from engine.teachers.keys import TeacherKey


class KeyTransport(Protocol):
    """One key of a teacher at work."""

    limits: KeyLimits

    @property
    def key(self) -> TeacherKey:
        """The key."""
        ...

    @property
    def cap(self) -> int:
        """Requests that may be in flight at once."""
        ...

    @property
    def in_flight(self) -> int:
        """Requests that were sent, or are being written down to be, and answers that are not on disk yet."""
        ...

    @property
    def out(self) -> int:
        """Requests that are with the teacher."""
        ...

    @property
    def on_the_wire(self) -> bool:
        """Whether a drain has something to wait for."""
        ...

    @property
    def active(self) -> bool:
        """Whether something in flight will end without the user."""
        ...

    def stuck(self, plan: ActivePlan) -> int:
        """Samples of a plan in flight whose answers cannot be fetched until the user acts."""
        ...

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Works until `close` was called and what it waits for has ended."""
        ...

    def close(self) -> None:
        """No further job is taken."""
        ...

    def rekey(self, key: TeacherKey) -> None:
        """Another secret under the same label."""
        ...

    def look_again(self) -> None:
        """The user resumed the teacher: nothing waits out an earlier refusal."""
        ...


Owner = TypeVar("Owner", contravariant=True)
Key = TypeVar("Key", bound=KeyTransport, covariant=True)


class Transport(ABC, Generic[Owner, Key]):
    """The keys of one teacher (`Owner`), and how its jobs are sent with them."""

    def __init__(self) -> None:
        self.url: str | None = None
        """The address in place of the configured one: a built-in teacher's."""
        self._keys: list[Key] = []
        self._leaving: list[Key] = []

    @property
    def keys(self) -> Sequence[Key]:
        """The keys that are configured."""
        return self._keys

    def all_keys(self) -> Iterator[Key]:
        """The same, and those that left the configuration while something of theirs was in flight."""
        yield from self._keys
        yield from self._leaving

    @property
    def cap(self) -> int:
        """Requests that may be in flight at once, over the keys that work."""
        return sum(key.cap for key in self._keys if not key.limits.parked)

    @property
    def in_flight(self) -> int:
        """Requests of all keys that are in flight."""
        return sum(key.in_flight for key in self.all_keys())

    @property
    def out(self) -> int:
        """Requests of all keys that are with the teacher."""
        return sum(key.out for key in self.all_keys())

    @property
    def on_the_wire(self) -> bool:
        """Whether a drain has something to wait for."""
        return any(key.on_the_wire for key in self.all_keys())

    @property
    def active(self) -> bool:
        """Whether something in flight will end without the user."""
        return any(key.active for key in self.all_keys())

    @property
    def suspended(self) -> bool:
        """Whether no key takes requests now, and one that was answered before is tried again later."""
        return False

    def refusals(self, now: float) -> str:
        """The words of refusals, where for a while nothing else came."""
        return ""

    def stuck(self, plan: ActivePlan) -> int:
        """Samples of a plan in flight whose answers cannot be fetched until the user acts."""
        return sum(key.stuck(plan) for key in self.all_keys())

    def add_key(self, owner: Owner, key: TeacherKey, limits: KeyLimits) -> Key:
        """One more key; the caller serves it."""
        made = self._open(owner, key, limits)
        self._keys.append(made)
        return made

    def drop_key(self, key: KeyTransport) -> None:
        """A key that is no longer configured: it takes no further job, and what is in flight ends."""
        key.close()
        (dropped,) = (each for each in self._keys if each is key)
        self._keys.remove(dropped)
        self._leaving = [each for each in self._leaving if each.in_flight] + [dropped]

    def close(self) -> None:
        """No key takes a further job."""
        for key in self._keys:
            key.close()

    @abstractmethod
    def connect(self, client: Client, url: str | None) -> None:
        """Sends with another client from now on."""

    @abstractmethod
    def configure(self, config: TeacherConfig) -> None:
        """Takes over other settings of the teacher."""

    @abstractmethod
    def target_depth(self, owner: Owner) -> int:
        """Jobs that should be ready to be sent."""

    @abstractmethod
    def demand(self, owner: Owner) -> int:
        """Jobs to claim now; 0 while enough are ready."""

    @abstractmethod
    def note(self, owner: Owner, now: float) -> str:
        """What the heartbeat says of the requests that are out, where there is something to say."""

    @abstractmethod
    def _open(self, owner: Owner, key: TeacherKey, limits: KeyLimits) -> Key:
        """A key at work."""
