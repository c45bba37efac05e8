"""Optimizer steps, and the news of them. Knows batches, engine and ranks; not evaluation or checkpoints.

Nothing leaves the device on an ordinary step: losses wait in a window that is read about twice a second
(a *meeting*), when ranks also agree whether to stop. When the next meeting is, the first rank decides from
its clock; what a step's event says depends on the step alone, so a resumed run reports the same numbers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from engine.config.students import TrainingConfig
from engine.errors import JobFailed
from engine.students.architecture import Kind
from engine.students.batches import BatchPlan
from engine.students.device import memory_mb
from engine.students.packing import on_device
from engine.students.progress import ProgressWriter
from engine.students.ranks import Ranks, StopFlag
from engine.students.rows import TokenRow
from engine.students.schedule import learning_rate
from engine.students.zero import clips_itself

MEETING_SECONDS = 0.5
EVENTS = 400  # about so many step events a run


@dataclass(kw_only=True)
class Loop:
    """The training of one engine on one plan of batches."""

    engine: Any
    optimizer: Any
    training: TrainingConfig
    bf16: bool
    accumulation: int
    """Micro-batches of this rank in a step."""
    pieces: int
    """Each micro-batch is computed in so many parts."""
    packed: bool
    chunk: int | None
    """So many supervised tokens have logits at a time; None: all."""
    kind: Kind
    rows: Sequence[TokenRow]
    flops: np.ndarray
    """What each row costs."""
    plan: BatchPlan
    steps: int
    pad: int
    device: torch.device
    ranks: Ranks
    stop: StopFlag
    progress: ProgressWriter | None
    peak: float | None
    _window: list[tuple[int, torch.Tensor, Any, int, float]] = field(default_factory=list)
    _since: float = 0.0
    _next: int = 0
    _rate: float | None = None
    _clipped: list[torch.nn.Parameter] = field(default_factory=list)

    def begin(self, step: int) -> bool:
        """Starts the clock before the first step after `step`; true where a rank was asked to stop."""
        self.engine.train()  # what transformers loads is in evaluation mode, without dropout
        if clips_itself(self.training, self.bf16):
            self._clipped = [each for each in self.engine.module.parameters() if each.requires_grad]
        self.rest()
        return self._meet(step)

    def release(self) -> None:
        """Lets go of model and optimizer."""
        self.engine = self.optimizer = None
        self._clipped = []

    def rest(self) -> None:
        """Leaves out of the speed what was no training."""
        self._since = time.monotonic()

    def run_step(self, step: int, *, meet: bool) -> bool:
        """Optimizer step `step` (from 1); true where the ranks agreed to stop after it.

        Raises:
            JobFailed: the loss is no longer a finite number.
        """
        share = self.plan.step(step - 1, world=self.ranks.world, accumulation=self.accumulation)
        taken = [index for turns in share for batch in turns for index in batch]
        passes = self.accumulation * self.pieces
        weight = self.ranks.world * passes / self._supervised(taken)
        rate = learning_rate(self.training, step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        total = norm = None
        for turn in range(passes):
            number, piece = divmod(turn, self.pieces)
            parts = self._parts([turns[number] for turns in share], piece)
            self._seed(step, number, piece)
            loss = self._forward(share[self.ranks.rank][number], piece, weight, parts)
            self.engine.backward(loss)
            if turn + 1 == passes:
                norm = self._clip()
            self.engine.step()
            total = loss.detach() if total is None else total + loss.detach()
        if norm is None:
            norm = self.engine.get_global_grad_norm()
        tokens = sum(len(self.rows[index].ids) for index in taken)
        self._window.append((step, total, norm, tokens, float(self.flops[taken].sum())))
        return self._meet(step) if meet or step >= self._next else False

    def _forward(self, indices: np.ndarray, piece: int, weight: float, parts: int) -> torch.Tensor:
        chosen = np.array_split(indices, self.pieces)[piece]
        if not len(chosen):  # every rank has as many passes: this one counts nothing
            chosen, weight = indices[:1], 0.0
        rows = [self.rows[index] for index in chosen]
        batch = self.kind.pack(rows) if self.packed else self.kind.collate(rows, self.pad)
        loss: torch.Tensor = self.engine(*on_device(batch, self.device), weight, parts)
        return loss

    def _supervised(self, indices: Iterable[int]) -> int:
        return sum(self.rows[index].supervised for index in indices)

    def _parts(self, batches: Sequence[np.ndarray], piece: int) -> int:
        """In how many parts the head is applied: enough for the rank that has most, the same on all."""
        if self.chunk is None:
            return 1
        pieces = (np.array_split(batch, self.pieces)[piece] for batch in batches)
        return max(1, math.ceil(max(map(self._supervised, pieces)) / self.chunk))

    def _seed(self, step: int, turn: int, piece: int) -> None:
        """Dropout is a function of seed and micro-batch: there is no random state to save or to share."""
        number = ((step - 1) * self.accumulation + turn) * self.ranks.world + self.ranks.rank
        seed = (self.training.seed * 1_000_003 + number + piece * 2**40) % 2**63
        # Not torch.manual_seed: for every kind of accelerator that is not there it formats a traceback, 0.6 ms in all.
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.default_generators[self.device.index or 0].manual_seed(seed)

    def _clip(self) -> Any:
        if not self._clipped:
            return None
        for each in self._clipped:
            if (
                each.grad is None
            ):  # a weight that the batch did not use decays like any other, on any number of ranks
                each.grad = torch.zeros_like(each)
        return torch.nn.utils.clip_grad_norm_(self._clipped, self.training.clip)

    def _meet(self, step: int) -> bool:
        """Reads the window, tells of it, and has all ranks agree on stopping and on the next meeting."""
        losses = [total for _, total, _, _, _ in self._window]
        found = torch.stack(losses).double() if losses else torch.zeros(0, device=self.device).double()
        seconds = time.monotonic() - self._since
        pace = 1 if not losses else max(1, min(100, int(MEETING_SECONDS * len(losses) / max(seconds, 1e-6))))
        # One collective for all: who wants to stop, the first rank's pace, the sums of the losses.
        head = torch.tensor(
            [float(self.stop.set), float(pace if self.ranks.first else 0)], device=self.device
        )
        packet = self.ranks.add(torch.cat([head.double(), found])).tolist()
        self._next = step + int(packet[1])
        scale = self.ranks.world * self.accumulation * self.pieces
        self._report([loss / scale for loss in packet[2:]], seconds)
        self._window.clear()
        self._since = time.monotonic()
        return packet[0] > 0

    def _report(self, losses: list[float], seconds: float) -> None:
        for (step, *_), loss in zip(self._window, losses, strict=True):
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
        every = max(1, self.steps // EVENTS)
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
                for (step, _, norm, _, _), loss in zip(self._window, losses, strict=True)
                if step % every == 0 or step in (1, self.steps)
            ]
        )
