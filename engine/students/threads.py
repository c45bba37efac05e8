"""The CPU threads of a run: its share of the machine, which the daemon changes while runs start and end.

`threads` in the run's directory holds the number that the ranks of the run share on this machine. Ranks read it between steps, all
at once, and between the batches of an evaluation. A small model uses fewer: dividing a small product among threads costs more than it
saves, and on a busy machine far more, since each product waits for the slowest thread (`builtin:nano` with two threads on
two busy cores: a twentieth of the speed of one thread).
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from engine.students.run_commands import read_share

WEIGHTS_PER_THREAD = 1_000_000
"""A model uses at most one thread for each million of weights."""


class Threads:
    """The threads of this rank.

    Args:
        directory: the directory of the run.
        weights: the number of weights of its model.
    """

    def __init__(self, directory: Path, *, weights: int) -> None:
        self._directory = directory
        self._ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self._most = max(1, weights // WEIGHTS_PER_THREAD)
        self._started = torch.get_num_threads()
        self.agreed = self.wanted
        """What the ranks agreed on."""
        self.use(self.agreed)

    @property
    def wanted(self) -> int:
        """How many threads this rank should use now."""
        share = read_share(self._directory)
        own = self._started if share is None else max(1, share // self._ranks)
        return min(own, self._most)

    def agree(self, threads: int) -> None:
        """Computes with as many threads as the first rank wants: other numbers would round replicated results differently."""
        self.agreed = threads
        self.use(threads)

    def follow(self) -> None:
        """Takes this rank's share now, where ranks compute nothing together."""
        self.use(self.wanted)

    def use(self, threads: int) -> None:
        """Computes with this number of threads from now on."""
        if threads != torch.get_num_threads():
            torch.set_num_threads(threads)
