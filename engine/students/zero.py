"""The DeepSpeed engine: ZeRO 0 to 3, offload, AdamW, clipping. No compiler is ever needed.

DeepSpeed would build an operator for shared-memory collectives with ninja and g++ on any CPU run and a
fused Adam on any run; both are switched off (gloo and torch's own fused AdamW are used instead). Where the
optimizer's states are offloaded from a GPU, its CPU Adam is built if there is a compiler (a minute, once);
without one torch's AdamW updates them: the same numbers, slower, and the run says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch

from engine.config.students import TrainingConfig
from engine.students.kernels import compiler


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; vectors (norms, biases) do not."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim >= 2]
    vectors = [parameter for parameter in trained if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def zero_config(
    training: TrainingConfig,
    *,
    bf16: bool,
    parameters: int,
    passes: int,
    pinned: bool = False,
    universal: bool = False,
) -> dict[str, Any]:
    """The engine's configuration.

    Buckets are no larger than the model: DeepSpeed allocates them whole, 2 GB by default.

    Args:
        training: what a person configured.
        bf16: whether to compute in bf16.
        parameters: how many are trained.
        passes: forward and backward passes of this rank in an optimizer step.
        pinned: whether what is offloaded lies in pinned memory.
        universal: whether the next checkpoint to load is a universal one.
    """
    bucket = max(1, min(parameters, 200_000_000))
    zero: dict[str, Any] = {
        "stage": training.zero_stage,
        "reduce_bucket_size": bucket,
        "allgather_bucket_size": bucket,
        "overlap_comm": False,
    }
    if training.zero_stage == 3:
        zero |= {
            "stage3_prefetch_bucket_size": min(bucket, 50_000_000),
            # Smaller weights stay whole; of a toy's all would, by DeepSpeed's own threshold.
            "stage3_param_persistence_threshold": min(100_000, parameters // 200),
        }
    place = {"device": "cpu", "pin_memory": pinned}
    if training.offload != "none":
        zero["offload_optimizer"] = place
    if training.offload == "all":
        zero["offload_param"] = place
    return {
        "train_micro_batch_size_per_gpu": 1,  # what a micro-batch is, is decided in `batches`
        "gradient_accumulation_steps": passes,
        "gradient_clipping": 0.0 if clips_itself(training, bf16) else training.clip,
        "bf16": {"enabled": bf16},
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,  # whether there is one, is decided in `_adam`
        "checkpoint": {"load_universal": universal},
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
    if world == 1:
        _reduce_nothing(deepspeed.comm.comm.cdb)


def _reduce_nothing(backend: Any) -> None:
    """What one rank adds up is what it has: no collective, which costs a hand-over between threads, three times a step."""
    collective = backend.all_reduce

    def all_reduce(tensor: Any, *others: Any, async_op: bool = False, **named: Any) -> Any:
        return collective(tensor, *others, async_op=True, **named) if async_op else None

    backend.all_reduce = all_reduce


def make_engine(
    student: torch.nn.Module,
    training: TrainingConfig,
    *,
    device: torch.device,
    bf16: bool,
    passes: int,
    universal: bool = False,
    say: Callable[[str], None] = lambda _message: None,
) -> tuple[Any, Any]:
    """A DeepSpeed engine around the student, and its optimizer, whose learning rate the loop sets.

    `say` hears what a person should know about the choices made here.
    """
    import deepspeed

    groups = parameter_groups(student, training.weight_decay)
    on_gpu = device.type == "cuda"
    if training.offload != "none" and not on_gpu:
        say("offload has nothing to offload from: this run's device is the CPU, whose memory is the host's")
    parameters = sum(parameter.numel() for group in groups for parameter in group["params"])
    engine, *_ = deepspeed.initialize(
        model=student,
        optimizer=(optimizer := _adam(groups, training, on_gpu=on_gpu, say=say)),
        config=zero_config(
            training, bf16=bf16, parameters=parameters, passes=passes, pinned=on_gpu, universal=universal
        ),
        dist_init_required=False,
    )
    _undo_first_step(engine, optimizer)
    if training.zero_stage == 0 and torch.distributed.get_world_size() == 1:
        engine.enable_backward_allreduce = False  # it would copy all gradients to one place and back
    return engine, optimizer


def _undo_first_step(engine: Any, optimizer: Any) -> None:
    """At stage 0 in bf16 DeepSpeed 0.19 makes the optimizer's states by a step without gradients, and leaves its marks.

    Matrices have decayed at the peak rate, and the step counters are one ahead, which makes the first real step a
    quarter shorter than at the other stages.
    """
    from deepspeed.runtime.fp16.unfused_optimizer import FP16_UnfusedOptimizer

    if not isinstance(engine.optimizer, FP16_UnfusedOptimizer):
        return
    for whole, rounded in zip(engine.optimizer.fp32_groups, engine.optimizer.fp16_groups, strict=True):
        for one, other in zip(whole, rounded, strict=True):
            one.data.copy_(other.data)
    for state in optimizer.state.values():
        state["step"].zero_()


def _adam(
    groups: list[dict[str, Any]], training: TrainingConfig, *, on_gpu: bool, say: Callable[[str], None]
) -> Any:
    rates = {"lr": training.learning_rate, "betas": (training.beta1, training.beta2)}
    if training.offload != "none" and on_gpu:
        missing = "no C++ compiler (g++) is found" if compiler() is None else ""
        if not missing:
            try:
                return cpu_adam(groups, rates)
            except Exception as error:  # whatever a build says
                missing = (
                    f"it cannot be built ({str(error).strip().splitlines()[0] if str(error) else error!r})"
                )
        say(
            f"offload goes without DeepSpeed's CPU Adam: {missing}; torch's AdamW updates the weights, slower"
        )
    return torch.optim.AdamW(groups, **rates, fused=True)


def cpu_adam(groups: list[dict[str, Any]], rates: dict[str, Any]) -> Any:
    """DeepSpeed's Adam for states in the host's memory; it is compiled where it is used first."""
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    return DeepSpeedCPUAdam(groups, **rates, adamw_mode=True)


def load_universal(engine: Any, optimizer: Any, load: Callable[[], None]) -> None:
    """Has the engine load a universal checkpoint, and repairs what it does to the optimizer.

    At stage 3 DeepSpeed 0.19 gives every group of weights the first one's settings (vectors would decay), and
    one step counter for all, which then counts each of them.
    """
    decays = [group["weight_decay"] for group in optimizer.param_groups]
    load()
    engine._config.load_universal_checkpoint = False  # what is read later is of the usual kind
    for group, decay in zip(optimizer.param_groups, decays, strict=True):
        group["weight_decay"] = decay
    for state in optimizer.state.values():
        if torch.is_tensor(state.get("step")):
            state["step"] = state["step"].clone()
