"""Optimizer steps and their reports. Knows batches, engine and ranks, but not evaluation or checkpoints.

On an ordinary step nothing is copied from the device. Losses wait in a window that is read about twice a second (a
*sync*), when ranks also agree whether to stop or to finish. The first rank decides from its clock when the next sync is. The event of
a step depends on the step alone, so a resumed run reports the same numbers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from engine.config.students import TrainingConfig
from engine.errors import JobFailed
from engine.students.adapters import NOTHING
from engine.students.architecture import Architecture
from engine.students.batches import BatchPlan
from engine.students.device import memory_mb, return_free_memory
from engine.students.packing import on_device
from engine.students.progress_file import ProgressWriter
from engine.students.ranks import Ranks, StopFlag
from engine.students.selection import Selection
from engine.students.threads import Threads
from engine.students.token_rows import TokenRow, weighted
from engine.students.zero import clips_itself

SYNC_SECONDS = 0.5
LARGE = 20_000_000
"""Trained weights on a CPU from which freed gradients go back to the system after each step."""
EVENTS = 400  # step events per run, about


@dataclass(kw_only=True)
class Loop:
    """The training of one engine on one plan of batches."""

    engine: Any
    optimizer: Any
    training: TrainingConfig
    bf16: bool
    accumulation: int
    """Micro-batches of this rank per step."""
    splits: int
    """The number of splits that each micro-batch is computed in."""
    packed: bool
    chunk: int | None
    """The largest number of supervised tokens whose logits are in memory at a time; None: no limit."""
    architecture: Architecture
    rows: Sequence[TokenRow]
    flops: np.ndarray
    """The cost of each row."""
    plan: BatchPlan
    steps: int
    pad: int
    device: torch.device
    ranks: Ranks
    stop: StopFlag
    threads: Threads
    progress: ProgressWriter | None
    asked_to_finish: Callable[[], bool]
    """Whether the user wants the training to end here. The first rank asks at each sync."""
    peak: float | None
    selection: Selection | None = None
    """How much rows count in a step; None: all count 1."""
    finishing: bool = False
    """Whether the ranks agreed to end here."""
    _window: list[tuple[int, torch.Tensor, Any, int, float, dict[str, float]]] = field(default_factory=list)
    _since: float = 0.0
    _next: int = 0
    _rate: float | None = None
    _large: bool = False
    _begun: int = 0
    _clipped: list[torch.nn.Parameter] = field(default_factory=list)

    def begin(self, step: int) -> bool:
        """Starts the clock before the first step after `step`; true if a rank was asked to stop."""
        self._begun = step
        self.engine.train()  # transformers loads models in evaluation mode, without dropout
        if clips_itself(self.training, self.bf16):
            self._clipped = [each for each in self.engine.module.parameters() if each.requires_grad]
            weights = sum(each.numel() for each in self._clipped)
            self._large = self.device.type == "cpu" and weights >= LARGE
        self.rest()
        return self._sync(step)

    def release(self) -> None:
        """Drops the references to model and optimizer."""
        self.engine = self.optimizer = None
        self._clipped = []

    def rest(self) -> None:
        """After other work: the threads that ranks agreed on, and a new start of the clock, so that the speed counts training only."""
        self.threads.use(self.threads.agreed)
        self._since = time.monotonic()

    def run_step(self, step: int, *, sync: bool) -> bool:
        """Runs optimizer step `step` (from 1); true if the ranks agreed to stop after it.

        Raises:
            JobFailed: the loss is not finite.
        """
        share = self.plan.step(step - 1, world=self.ranks.world, accumulation=self.accumulation)
        taken = [index for batches in share for batch in batches for index in batch]
        micro_steps = self.accumulation * self.splits
        weights = self._weights(step, taken)
        counted = self._counted(taken, weights)
        weight = self.ranks.world * micro_steps / counted if counted else 0.0
        rate = learning_rate(self.training, step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        total = norm = None
        for micro_step in range(micro_steps):
            number, split = divmod(micro_step, self.splits)
            chunks = self._chunks([batches[number] for batches in share], split)
            self._seed(step, number, split)
            loss = self._forward(share[self.ranks.rank][number], split, weight, weights, chunks)
            if not loss.requires_grad:
                raise JobFailed(NOTHING.format(self.training.adapter))
            self.engine.backward(loss)
            if micro_step + 1 == micro_steps:
                norm = self._clip()
            self.engine.step()
            total = loss.detach() if total is None else total + loss.detach()
        if norm is None:
            norm = self.engine.get_global_grad_norm()
        extra: dict[str, float] = {}
        if self.selection is not None:
            self.selection.learn(step, np.array(taken))
            extra = self.selection.by_teacher() if self._told(step) else {}
        if self._large:
            return_free_memory()  # else the gradients of the next step find their places cut up by activations
        tokens = sum(len(self.rows[index].ids) for index in taken)
        self._window.append((step, total, norm, tokens, float(self.flops[taken].sum()), extra))
        return self._sync(step) if sync or step >= self._next else False

    def _forward(
        self,
        indices: np.ndarray,
        split: int,
        weight: float,
        weights: Mapping[int, float] | None,
        chunks: int,
    ) -> torch.Tensor:
        chosen = np.array_split(indices, self.splits)[split]
        if not len(chosen):  # every rank runs the same number of micro-steps; this one has weight 0
            chosen, weight = indices[:1], 0.0
        rows = [self.rows[index] for index in chosen]
        batch = self.architecture.pack(rows) if self.packed else self.architecture.collate(rows, self.pad)
        if weights is not None:
            batch = weighted(batch, rows, np.array([weights[index] for index in chosen]))
        loss: torch.Tensor = self.engine(*on_device(batch, self.device), weight, chunks)
        return loss

    def _weights(self, step: int, taken: Sequence[int]) -> dict[int, float] | None:
        """The weight of each row of a step, of all ranks."""
        if self.selection is None:
            return None
        return dict(zip(taken, self.selection.weigh(step, np.array(taken)).tolist(), strict=True))

    def _counted(self, taken: Sequence[int], weights: Mapping[int, float] | None) -> float:
        """What the loss of a step is divided by: its supervised tokens, each with the weight of its row."""
        if weights is None:
            return self._supervised(taken)
        return math.fsum(self.rows[index].supervised * weights[index] for index in taken)

    def _supervised(self, indices: Iterable[int]) -> int:
        return sum(self.rows[index].supervised for index in indices)

    def _chunks(self, batches: Sequence[np.ndarray], split: int) -> int:
        """The number of chunks the loss is computed in: enough for the rank with most tokens, the same on all ranks."""
        if self.chunk is None:
            return 1
        rows = (np.array_split(batch, self.splits)[split] for batch in batches)
        return max(1, math.ceil(max(map(self._supervised, rows)) / self.chunk))

    def _seed(self, step: int, number: int, split: int) -> None:
        """Dropout is a function of seed and micro-batch, so there is no random state to save or share."""
        micro_batch = ((step - 1) * self.accumulation + number) * self.ranks.world + self.ranks.rank
        micro_batch += self.plan.begin * self.plan.micro_batches
        seed = (self.training.seed * 1_000_003 + micro_batch + split * 2**40) % 2**63
        # Not torch.manual_seed: it formats a traceback for every missing kind of accelerator, 0.6 ms in total.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.default_generators[self.device.index or 0].manual_seed(seed)

    def flops_of(self, steps: int) -> float:
        """The FLOPs of the first steps of this run, on all ranks."""
        together = {"world": self.ranks.world, "accumulation": self.accumulation}
        batches = (
            batch
            for step in range(steps)
            for of_rank in self.plan.step(step, **together)
            for batch in of_rank
        )
        return float(sum(self.flops[batch].sum() for batch in batches))

    def _clip(self) -> Any:
        if not self._clipped:
            return None
        for each in self._clipped:
            if (
                each.grad is None
            ):  # a weight that the batch did not use decays like any other, on any number of ranks
                each.grad = torch.zeros_like(each)
        return torch.nn.utils.clip_grad_norm_(self._clipped, self.training.clip or math.inf)

    def _sync(self, step: int) -> bool:
        """Reads and reports the window, and has all ranks agree on stopping and on the next sync."""
        losses = [total for _, total, *_ in self._window]
        found = torch.stack(losses).double() if losses else torch.zeros(0, device=self.device).double()
        seconds = time.monotonic() - self._since
        pace = 1 if not losses else max(1, min(100, int(SYNC_SECONDS * len(losses) / max(seconds, 1e-6))))
        # One collective for everything: requests to stop or finish, pace and threads of the first rank, the sums of the losses.
        first = self.ranks.first
        head = torch.tensor(
            [
                float(self.stop.set),
                float(pace * first),
                float(first and self.asked_to_finish()),
                float(first and self.threads.wanted),
            ],
            device=self.device,
        )
        packet = self.ranks.add(torch.cat([head.double(), found])).tolist()
        self._next = step + int(packet[1])
        self.finishing = packet[2] > 0
        self.threads.agree(int(packet[3]))
        scale = self.ranks.world * self.accumulation * self.splits
        self._report([loss / scale for loss in packet[4:]], seconds)
        self._window.clear()
        self._since = time.monotonic()
        return packet[0] > 0

    def _told(self, step: int) -> bool:
        """Whether a step has an event."""
        return step % max(1, self.steps // EVENTS) == 0 or step in (1, self.steps)

    def _report(self, losses: list[float], seconds: float) -> None:
        for (step, _, norm, *_), loss in zip(self._window, losses, strict=True):
            if step == self._begun + 1 and norm is not None and loss and not float(norm):
                raise JobFailed(NOTHING.format(self.training.adapter))
            if not math.isfinite(loss):
                raise JobFailed(
                    f"the loss is {loss} at step {step}: training has diverged (a lower learning_rate or a "
                    "longer warmup helps)"
                )
        if self.progress is None or not losses:
            return
        tokens = sum(entry[3] for entry in self._window)
        flops = sum(entry[4] for entry in self._window)
        pace = len(losses) / max(seconds, 1e-6)
        self._rate = pace if self._rate is None else 0.7 * self._rate + 0.3 * pace
        mfu = None if self.peak is None else flops / seconds / (self.peak * self.ranks.world)
        memory = round(memory_mb(self.device), 1)
        world, accumulation = self.ranks.world, self.accumulation
        self.progress.write_all(
            [
                {
                    "event": "step",
                    "step": step,
                    "steps": self.steps,
                    "epoch": round(self.plan.epochs(step, world=world, accumulation=accumulation), 4),
                    "loss": loss,
                    "learning_rate": learning_rate(self.training, step, self.steps),
                    "grad_norm": None if norm is None else float(norm),
                    "tokens_per_second": round(tokens / max(seconds, 1e-6), 1),
                    "mfu": mfu,
                    "memory_mb": memory,
                    "eta_s": round((self.steps - step) / self._rate, 1),
                }
                | ({"extra": extra} if extra else {})
                for (step, _, norm, _, _, extra), loss in zip(self._window, losses, strict=True)
                if self._told(step)
            ]
        )


def learning_rate(training: TrainingConfig, step: int, steps: int) -> float:
    """The learning rate of optimizer step `step` (from 1) of `steps`: a linear rise, then the configured schedule."""
    rise = math.ceil(training.warmup * steps)
    if step <= rise:
        return training.learning_rate * step / rise
    if training.schedule == "constant":
        return training.learning_rate
    share = (step - rise) / max(1, steps - rise)
    left = 1 - share if training.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * share))
    floor = training.final_learning_rate
    return training.learning_rate * (floor + (1 - floor) * left)
