"""The DeepSpeed engine: ZeRO 0 to 3, offload, AdamW, clipping. A compiler is never required.

DeepSpeed would build an operator for shared-memory collectives with ninja and g++ on any CPU run, and a fused Adam on any
run. Both are disabled; gloo and torch's own fused AdamW are used instead. If the optimizer states are offloaded from a GPU,
DeepSpeed's CPU Adam is built if there is a compiler (a minute, once). Otherwise torch's AdamW updates them: the same
numbers, slower, and a note says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch

from engine.config.students import TrainingConfig
from engine.errors import JobFailed
from engine.students.adapters import NOTHING
from engine.students.kernels import compiler


def parameter_groups(
    model: torch.nn.Module, weight_decay: float, *, vectors_too: bool = False
) -> list[dict[str, Any]]:
    """Matrices decay; vectors (norms, biases) only with `vectors_too`."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if vectors_too:
        return [{"params": trained, "weight_decay": weight_decay}]
    matrices = [parameter for parameter in trained if parameter.ndim >= 2]
    vectors = [parameter for parameter in trained if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def zero_config(
    training: TrainingConfig,
    *,
    bf16: bool,
    parameters: int,
    accumulation_steps: int,
    pinned: bool = False,
    universal: bool = False,
) -> dict[str, Any]:
    """The configuration of the engine.

    Buckets are no larger than the model: DeepSpeed allocates them completely, 2 GB by default.

    Args:
        training: the configured settings.
        bf16: whether to compute in bf16.
        parameters: the number of trained parameters.
        accumulation_steps: forward and backward passes of this rank per optimizer step.
        pinned: whether offloaded tensors are in pinned memory.
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
            # Smaller weights are not partitioned. By DeepSpeed's own threshold, no weight of a toy model would be.
            "stage3_param_persistence_threshold": min(100_000, parameters // 200),
        }
    place = {"device": "cpu", "pin_memory": pinned}
    if training.offload != "none" and training.zero_stage:
        zero["offload_optimizer"] = place
    if training.offload == "all" and training.zero_stage:
        zero["offload_param"] = place
    return {
        "train_micro_batch_size_per_gpu": 1,  # `batches` decides what a micro-batch is
        "gradient_accumulation_steps": accumulation_steps,
        "gradient_clipping": 0.0 if clips_itself(training, bf16) else training.clip,
        "bf16": {"enabled": bf16},
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,  # `_adam` decides whether there is one
        "checkpoint": {"load_universal": universal},
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
    }


def clips_itself(training: TrainingConfig, bf16: bool) -> bool:
    """Whether this program clips: at stage 0 in float32, DeepSpeed clips too but does not report the norm."""
    return training.zero_stage == 0 and not bf16


def join_ranks(device: str, *, world: int) -> None:
    """Makes this process a member of the run's group: gloo on CPUs, NCCL on GPUs."""
    import deepspeed

    deepspeed.utils.logger.setLevel(logging.ERROR)
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    _import_muon()
    backend = "nccl" if device == "cuda" else "gloo"
    if world == 1 and not torch.distributed.is_initialized():
        # A run of one rank needs no port.
        torch.distributed.init_process_group(
            backend, store=torch.distributed.HashStore(), rank=0, world_size=1
        )
    deepspeed.init_distributed(dist_backend=backend, verbose=False, auto_mpi_discovery=False)
    if world == 1:
        _reduce_nothing(deepspeed.comm.comm.cdb)


def _import_muon() -> None:
    """Imports DeepSpeed's Muon, which no run uses, without the compiler of torch.

    The engine imports it to see whether it is the optimizer, and its functions ask to be compiled: that alone imports all of
    torch's inductor, a quarter of a run's start.
    """
    from deepspeed.runtime import compiler

    before, compiler.compile = compiler.compile, lambda: lambda function: function
    try:
        with suppress(ImportError):  # where there is none, DeepSpeed goes on without it too
            import deepspeed.runtime.zero.muon.muon_optimizer  # noqa: F401
    finally:
        compiler.compile = before


def _reduce_nothing(backend: Any) -> None:
    """With a single rank, a sum over ranks is the value itself. Skips the collective, which costs three thread switches per step."""
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
    accumulation_steps: int,
    universal: bool = False,
    say: Callable[[str], None] = lambda _message: None,
) -> tuple[Any, Any]:
    """A DeepSpeed engine around the student, and its optimizer, whose learning rate the loop sets.

    `say` receives notes on the choices made here.

    Raises:
        JobFailed: there is nothing to train.
    """
    import deepspeed

    groups = parameter_groups(student, training.weight_decay, vectors_too=training.decay == "all")
    on_gpu = device.type == "cuda"
    if training.offload != "none" and not on_gpu:
        say("offload has no effect: this run computes on the CPU, whose memory is the host's")
    parameters = sum(parameter.numel() for group in groups for parameter in group["params"])
    if not parameters:
        raise JobFailed(NOTHING.format(training.adapter))
    engine, *_ = deepspeed.initialize(
        model=student,
        optimizer=(optimizer := _adam(groups, training, on_gpu=on_gpu, say=say)),
        config=zero_config(
            training,
            bf16=bf16,
            parameters=parameters,
            accumulation_steps=accumulation_steps,
            pinned=on_gpu,
            universal=universal,
        ),
        dist_init_required=False,
    )
    _undo_first_step(engine, optimizer)
    if training.zero_stage == 0 and torch.distributed.get_world_size() == 1:
        engine.enable_backward_allreduce = False  # it would copy all gradients into one buffer and back
    return engine, optimizer


def _undo_first_step(engine: Any, optimizer: Any) -> None:
    """At stage 0 in bf16, DeepSpeed 0.19 creates the optimizer states with a step without gradients. This undoes its effects.

    Matrices have decayed at the peak rate, and the step counters are one ahead, which makes the first real step a quarter
    shorter than at the other stages.
    """
    from deepspeed.runtime.fp16.unfused_optimizer import FP16_UnfusedOptimizer

    if not isinstance(engine.optimizer, FP16_UnfusedOptimizer):
        return
    for full, rounded in zip(engine.optimizer.fp32_groups, engine.optimizer.fp16_groups, strict=True):
        for one, other in zip(full, rounded, strict=True):
            one.data.copy_(other.data)
    for state in optimizer.state.values():
        state["step"].zero_()


def _adam(
    groups: list[dict[str, Any]], training: TrainingConfig, *, on_gpu: bool, say: Callable[[str], None]
) -> Any:
    rates = {"lr": training.learning_rate, "betas": (training.beta1, training.beta2)}
    if training.offload != "none" and on_gpu:
        missing = "no C++ compiler (g++) was found" if compiler() is None else ""
        if not missing:
            try:
                return cpu_adam(groups, rates)
            except Exception as error:  # any failure of a build
                missing = (
                    f"it cannot be built ({str(error).strip().splitlines()[0] if str(error) else error!r})"
                )
        say(
            f"offload works without DeepSpeed's CPU Adam: {missing}; torch's AdamW updates the weights, more slowly"
        )
    return torch.optim.AdamW(groups, **rates, fused=True)


def cpu_adam(groups: list[dict[str, Any]], rates: dict[str, Any]) -> Any:
    """DeepSpeed's Adam for states in host memory. It is compiled on first use."""
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    return DeepSpeedCPUAdam(groups, **rates, adamw_mode=True)


def load_universal(engine: Any, optimizer: Any, load: Callable[[], None]) -> None:
    """Has the engine load a universal checkpoint, and repairs the effects on the optimizer.

    At stage 3, DeepSpeed 0.19 gives every group of weights the settings of the first one (vectors would decay), and one step
    counter for all, which then counts once per group.
    """
    decays = [group["weight_decay"] for group in optimizer.param_groups]
    load()
    engine._config.load_universal_checkpoint = False  # later checkpoints are ordinary ones
    for group, decay in zip(optimizer.param_groups, decays, strict=True):
        group["weight_decay"] = decay
    for state in optimizer.state.values():
        if torch.is_tensor(state.get("step")):
            state["step"] = state["step"].clone()
