"""The DeepSpeed engine: ZeRO 0 to 2, AdamW, clipping. No compiler is ever needed.

DeepSpeed would build an operator for shared-memory collectives with ninja and g++ on any CPU run and a
fused Adam on any run; both are switched off (gloo and torch's own fused AdamW are used instead).
"""

from __future__ import annotations

import logging
from typing import Any

import torch

from engine.config.students import TrainingConfig


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; vectors (norms, biases) do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim >= 2]
    vectors = [parameter for parameter in trained if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def zero_config(training: TrainingConfig, *, bf16: bool, parameters: int) -> dict[str, Any]:
    """The engine's configuration.

    Buckets are no larger than the model: DeepSpeed allocates them whole, 2 GB by default.
    """
    bucket = max(1, min(parameters, 200_000_000))
    return {
        "train_micro_batch_size_per_gpu": 1,  # what a micro-batch is, is decided in `batches`
        "gradient_accumulation_steps": training.accumulation,
        "gradient_clipping": 0.0 if clips_itself(training, bf16) else training.clip,
        "bf16": {"enabled": bf16},
        "zero_optimization": {
            "stage": training.zero_stage,
            "reduce_bucket_size": bucket,
            "allgather_bucket_size": bucket,
            "overlap_comm": False,
        },
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
    }


def clips_itself(training: TrainingConfig, bf16: bool) -> bool:
    """Whether we clip: DeepSpeed's stage 0 in float32 clips too, but does not tell the norm."""
    return training.zero_stage == 0 and not bf16


def join_ranks(device: str, *, world: int) -> None:
    """Makes this process a member of the run's group: gloo on CPUs, NCCL on GPUs."""
    import deepspeed

    deepspeed.utils.logger.setLevel(logging.ERROR)
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    backend = "nccl" if device == "cuda" else "gloo"
    if world == 1 and not torch.distributed.is_initialized():
        # A run of one rank needs no port.
        torch.distributed.init_process_group(
            backend, store=torch.distributed.HashStore(), rank=0, world_size=1
        )
    deepspeed.init_distributed(dist_backend=backend, verbose=False, auto_mpi_discovery=False)


def make_engine(student: torch.nn.Module, training: TrainingConfig, *, bf16: bool) -> tuple[Any, Any]:
    """A DeepSpeed engine around the student, and its optimizer, whose learning rate the loop sets."""
    import deepspeed

    groups = parameter_groups(student, training.weight_decay)
    optimizer = torch.optim.AdamW(
        groups, lr=training.learning_rate, betas=(training.beta1, training.beta2), fused=True
    )
    parameters = sum(parameter.numel() for group in groups for parameter in group["params"])
    engine, *_ = deepspeed.initialize(
        model=student,
        optimizer=optimizer,
        config=zero_config(training, bf16=bf16, parameters=parameters),
        dist_init_required=False,
    )
    return engine, optimizer
