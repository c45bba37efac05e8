"""What all parts of one daemon session share, handed to each of them as one object."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from daemon.events import Bus
from daemon.host.clock import Clock
from daemon.sampling.budget import Budget
from state.outcomes import AttemptResult
from state.writer import Writer

Attribute = str | int | float | bool
Attributes = Mapping[str, Attribute]


class Tracer(Protocol):
    """Who follows samples on their way. Times are Unix nanoseconds."""

    def claimed(self, samples: Iterable[int], began: int, ended: int, attributes: Attributes) -> None:
        """Samples were claimed."""
        ...

    def attempted(
        self, times: tuple[int, int, int], results: Sequence[AttemptResult], attributes: Attributes
    ) -> None:
        """A request has ended: sent, received and stored at these times, with these results of its samples."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """One daemon session: its id, where it stores, what it may spend, whom it tells, its time and its chance."""

    session_id: int
    writer: Writer
    budget: Budget
    bus: Bus
    clock: Clock
    rng: random.Random
    tracer: Tracer | None = None
