"""A teacher that is asked by batches: its queue holds the requests of the next ones.

In flight are the rows of batches that are out. They stay out over an end of the daemon, so a drain
waits only for what is on the wire.
"""

from __future__ import annotations

from typing import cast

from daemon.batches.key_batches import KeyBatches
from daemon.batches.outstanding import BatchLink, Shared
from daemon.limits.key_limits import KeyLimits
from daemon.sampling.teacher import Teacher
from daemon.sampling.transport import KeyTransport, Transport
from engine.config import TeacherConfig
from engine.teachers.batch_client import BatchClient
from engine.teachers.client import Client
from engine.teachers.keys import TeacherKey


class BatchTransport(Transport[Teacher, KeyBatches]):
    """The keys of a teacher, each of which sends batches."""

    def __init__(self, client: BatchClient, config: TeacherConfig, shared: Shared) -> None:
        super().__init__()
        self.link = BatchLink(client, config)
        self._shared = shared

    def drop_key(self, key: KeyTransport) -> None:
        """A key that is no longer configured: its batches are fetched with another one."""
        super().drop_key(key)
        if self._keys:
            self._leaving[-1].hand_over(self._keys[0])

    def connect(self, client: Client, url: str | None) -> None:
        """Sends with another client from now on; how a teacher is asked does not change while the daemon runs."""
        self.link.client, self.url = cast(BatchClient, client), url

    def configure(self, config: TeacherConfig) -> None:
        """Other sizes and waits from now on."""
        self.link.configure(config)

    def target_depth(self, owner: Teacher) -> int:
        """Requests of a whole batch."""
        return self.link.size

    def demand(self, owner: Teacher) -> int:
        """Samples to claim: what is missing of a batch that could be sent."""
        room = any(key.has_room for key in self.keys)
        return max(0, self.link.size - owner.queued) if owner.available and room else 0

    def note(self, owner: Teacher, now: float) -> str:
        """Its batches, in words: "2 batches out, 1,200 of 3,000 rows done, next poll in 40 s"."""
        batches = [batch for key in self.all_keys() for batch in key.outbox.batches]
        if not batches:
            return f"{owner.queued:,} waiting for a batch" if owner.queued else ""
        what = "1 batch" if len(batches) == 1 else f"{len(batches)} batches"
        total = sum(batch.requests for batch in batches)
        done = sum(min(batch.requests, max(batch.done, batch.stored)) for batch in batches)
        waits = max(0.0, min(batch.look_at for batch in batches) - now)
        when = "polling now" if self.on_the_wire else f"next poll in {waits:.0f} s"
        return f"{what} out, {done:,} of {total:,} rows done, {when}"

    def _open(self, owner: Teacher, key: TeacherKey, limits: KeyLimits) -> KeyBatches:
        return KeyBatches(owner, self.link, key, limits, self._shared)
