"""The ranks of a run: which one this process is, and how all of them come to the same decision."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class Stopped(Exception):
    """All ranks agreed to stop, because one of them was asked to."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among the ranks of its run."""

    rank: int
    local_rank: int
    world: int

    @classmethod
    def from_environment(cls) -> Ranks:
        """Reads RANK, LOCAL_RANK and WORLD_SIZE. Without them, sets them to a single rank, for DeepSpeed."""
        return cls(*(int(os.environ.setdefault(name, default)) for name, default in _VARIABLES.items()))

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes."""
        return self.rank == 0

    def barrier(self) -> None:
        """Waits for all ranks."""
        if self.world > 1:
            import torch

            torch.distributed.barrier()

    def gather(self, value: Any) -> list[Any]:
        """The value of every rank, in order of rank."""
        if self.world == 1:
            return [value]
        import torch

        values: list[Any] = [None] * self.world
        torch.distributed.all_gather_object(values, value)
        return values

    def add(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over all ranks, in place."""
        if self.world > 1:
            import torch

            torch.distributed.all_reduce(values)
        return values


_VARIABLES = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}


class StopFlag:
    """Set by SIGTERM or SIGINT, and read by the loop. SIGHUP (a closed terminal) is ignored."""

    def __init__(self) -> None:
        self.set = False

    def install(self) -> None:
        """Installs the signal handlers of this process."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def ask(self) -> None:
        """Asks this rank to stop, like a signal."""
        self.set = True

    def _handle(self, _number: int, _frame: Any) -> None:
        self.set = True
