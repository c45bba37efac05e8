"""Low-rank adapters (LoRA, Hu et al. 2021): small matrices beside frozen ones, merged into them at export.

The adapters stand inside the model, which stays what it was to everyone else: it generates, is counted and
is saved as before. Where they are trained, checkpoints hold them alone; the frozen weights are the base's.
"""

from __future__ import annotations

import warnings
from typing import Any

from engine.config.students import TrainingConfig
from engine.errors import JobFailed


def adapt(model: Any, training: TrainingConfig) -> Any | None:
    """Puts adapters beside all linear layers but the head, and freezes the rest.

    They begin as nothing (one of each pair is zero, the other a function of the seed).

    Returns:
        What `merge` needs; None where `lora_rank` is 0 and nothing was done.

    Raises:
        JobFailed: the model has no layer that can be adapted.
    """
    if not training.lora_rank:
        return None
    import torch
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=training.lora_rank, lora_alpha=training.lora_alpha, target_modules="all-linear")
    torch.manual_seed(training.seed % 2**63)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it finds out by itself that GPT-2's layers are transposed
            return get_peft_model(model, config)
    except ValueError as error:
        raise JobFailed(
            f"{type(model).__name__} cannot be trained with LoRA (training.lora_rank = {training.lora_rank}): "
            f"{error}"
        ) from error


def merge(adapted: Any | None) -> None:
    """Adds what the adapters learned to the weights beside them, and removes them from the model."""
    if adapted is not None:
        adapted.merge_and_unload()
