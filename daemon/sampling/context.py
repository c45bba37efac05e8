"""What all parts of one daemon session share, handed to each of them as one object."""

from __future__ import annotations

import random
from dataclasses import dataclass

from daemon.events import Bus
from daemon.host.clock import Clock
from daemon.sampling.budget import Budget
from state.writer import Writer


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """One daemon session: its id, where it stores, what it may spend, whom it tells, its time and its chance."""

    session_id: int
    writer: Writer
    budget: Budget
    bus: Bus
    clock: Clock
    rng: random.Random
