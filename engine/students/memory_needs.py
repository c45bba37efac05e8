"""Estimates the memory that a training needs, from the number of weights and the settings. Imports nothing heavy.

Per trained weight on one rank, in bytes (fp32 / bf16): the weight (4 / 2), its gradient (4 / 2), AdamW's two moments (8), and
the copy that the optimizer updates (none at stage 0 in fp32, else 4). ZeRO 1 to 3 also hold gradients in a partition and in a
bucket. One rank in fp32 trains at stage 0. ZeRO divides the optimizer's part by the number of ranks from stage 1, gradients from stage 2, weights at stage 3.
A frozen weight (LoRA) is the weight alone. Activations are those of "Reducing Activation Recomputation in Large
Transformer Models" (Korthikanti et al. 2022) without the attention matrix, plus the logits of one chunk. `coterie check --measure` measures instead.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from engine.config.students import TrainingConfig

LIBRARIES = 450_000_000
"""What a training process has before any model: torch, transformers and DeepSpeed."""
TYPICAL = 0.25
"""Length of a row, in `max_length`, where a batch is counted in rows."""
LARGEST_BUCKET = 200_000_000
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class Shape(BaseModel):
    """What the memory of a model depends on. `trained`: weights that are trained, fewer than all with LoRA."""

    model_config = ConfigDict(frozen=True)

    weights: int
    trained: int
    layers: int
    width: int
    vocabulary: int


@dataclass(frozen=True, slots=True)
class MemoryNeed:
    """Bytes on one device: a GPU, or the memory that all ranks on a CPU share."""

    states: int
    """Weights, gradients and optimizer."""
    activations: int
    ranks: int
    """Ranks that share the device."""

    @property
    def total(self) -> int:
        """Everything, with the libraries of each process."""
        return self.states + self.activations + LIBRARIES * self.ranks


def as_trained(training: TrainingConfig, *, world: int, bf16: bool, on_gpu: bool) -> TrainingConfig:
    """The settings of one start: stage 0 if there is nothing to partition, offload or round."""
    if world > 1 or bf16 or (on_gpu and training.offload != "none"):
        return training
    return training.model_copy(update={"zero_stage": 0})


def estimate(shape: Shape, training: TrainingConfig, *, bf16: bool, on_gpu: bool) -> MemoryNeed:
    """The memory that a device needs."""
    training = as_trained(training, world=training.devices, bf16=bf16, on_gpu=on_gpu)
    world, stage = training.devices, training.zero_stage
    ranks = 1 if on_gpu else world
    number = 2 if bf16 else 4
    weights = number * shape.weights / (world if stage == 3 else 1)
    copy = 0 if stage == 0 and not bf16 else 4
    optimizer = (8 + copy) * shape.trained / (world if stage else 1)
    gradients = number * shape.trained / (world if stage >= 2 else 1)
    if stage:
        gradients += number * (shape.trained / world + min(shape.trained, LARGEST_BUCKET))
    if on_gpu and training.offload != "none":
        optimizer = 0
        weights = 0 if training.offload == "all" else weights
    tokens = training.batch_tokens
    if training.batch_rows:
        tokens = round(training.batch_rows * training.max_length * TYPICAL)
    kept = 2 if training.activation_checkpointing else 34
    layers = tokens * shape.width * number / 2 * (kept * shape.layers + 34)
    logits = min(tokens, training.loss_chunk) * shape.vocabulary * (8 + number)
    states = ranks * (weights + gradients + optimizer)
    return MemoryNeed(round(states), round(ranks * (layers + logits)), ranks)


def machine_memory() -> int:
    """Bytes of memory of this machine, or of its container."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in LIMITS:
        try:
            found.append(int(Path(limit).read_text()))
        except (OSError, ValueError):  # "max": no limit
            continue
    return min(found)
