"""Low-rank adapters (LoRA, Hu et al. 2021): small trained matrices next to frozen ones, merged into them at export.

They are also written as they are, if that is asked for.

Adapters are inside the model, which otherwise behaves as before: it generates, is counted and is saved. Checkpoints hold
the adapters alone; the frozen weights are those of the base.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from engine.config.students import TrainingConfig
from engine.errors import JobFailed


def adapt(model: Any, training: TrainingConfig) -> Any | None:
    """Adds adapters to all linear layers except the head, and freezes the rest.

    An adapter starts without effect: one matrix of each pair is zero, the other a function of the seed.

    Returns:
        The argument of `merge`; None if `lora_rank` is 0.

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


def save_adapter(adapted: Any, directory: Path, base: str) -> None:
    """Writes adapters as peft reads them: `adapter_config.json` with the base's name, and `adapter_model.safetensors`."""
    for config in adapted.peft_config.values():
        config.base_model_name_or_path = base
        config.task_type = "SEQ_2_SEQ_LM" if adapted.config.is_encoder_decoder else "CAUSAL_LM"
        config.target_modules = sorted(config.target_modules)
    adapted.save_pretrained(directory, save_embedding_layers=False)
    (directory / "README.md").unlink(missing_ok=True)  # a form to fill in; the student has its own card


def merge(adapted: Any | None) -> None:
    """Adds what the adapters learned to the frozen weights, and removes the adapters from the model."""
    if adapted is not None:
        adapted.merge_and_unload()
