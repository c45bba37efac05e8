"""The learning rate as a function of the step; nothing to save, nothing to resume."""

from __future__ import annotations

import math

from engine.config.students import TrainingConfig


def learning_rate(training: TrainingConfig, step: int, steps: int) -> float:
    """The rate of optimizer step `step` (from 1) of `steps`: a linear rise, then the chosen course."""
    rise = math.ceil(training.warmup * steps)
    if step <= rise:
        return training.learning_rate * step / rise
    if training.schedule == "constant":
        return training.learning_rate
    share = (step - rise) / max(1, steps - rise)
    left = 1 - share if training.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * share))
    floor = training.final_learning_rate
    return training.learning_rate * (floor + (1 - floor) * left)
