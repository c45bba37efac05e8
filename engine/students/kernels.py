"""Implementations of attention, compilation and kernels. Nothing here changes a result.

One exception: with compilation, dropout draws other numbers from the same seeds. A named implementation is used or
refused; only "auto" chooses.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from typing import Any

import torch

from engine.config.students import TrainingConfig
from engine.errors import JobFailed

_HOPPER = 9  # the oldest compute capability for which flash attention 3 is made


def attentions(training: TrainingConfig, device: torch.device, *, bf16: bool) -> tuple[str | None, ...]:
    """The implementations to try, by their names in transformers; None is the default of the library (sdpa if available).

    Raises:
        JobFailed: flash attention was requested and cannot be used.
    """
    if training.attention in ("sdpa", "eager"):
        return (training.attention,)
    lacks = _lacks_flash(device, bf16=bf16)
    flash = () if lacks else flash_names(device)
    if training.attention == "auto":
        return (*flash, None)
    if not flash:
        lacks = (
            lacks or "the package flash-attn is not installed (nor flash-attn 3, on a Hopper or newer GPU)"
        )
        raise JobFailed(
            f'training.attention = "flash" cannot be used: {lacks} (attention = "auto" always works)'
        )
    return flash


def flash_names(device: torch.device) -> tuple[str, ...]:
    """The installed flash attentions that support this GPU, newest first, by their names in transformers."""
    found = []
    if importlib.util.find_spec("flash_attn_interface") is not None:  # what flash-attn 3 installs
        if torch.cuda.get_device_capability(device)[0] >= _HOPPER:
            found.append("flash_attention_3")
    if importlib.util.find_spec("flash_attn") is not None:
        found.append("flash_attention_2")
    return tuple(found)


def _lacks_flash(device: torch.device, *, bf16: bool) -> str:
    if device.type != "cuda":
        return "it needs a GPU"
    if not bf16:
        return "it needs bf16 (training.precision)"
    return ""


def check_compiler(device: torch.device) -> None:
    """Checks that `training.compile` is possible.

    Raises:
        JobFailed: this machine has no compiler.
    """
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise JobFailed(
                "training.compile = true needs triton on a GPU, which this installation of torch does not have"
            )
    if compiler() is None:
        raise JobFailed(
            "training.compile = true needs a C++ compiler (g++, or the one named by CXX), and none was found: "
            "install one, or use compile = false"
        )


def compiler() -> str | None:
    """The C++ compiler of the machine."""
    names = (os.environ.get("CXX"), "g++", "clang++")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def apply_liger(model: Any, device: torch.device) -> None:
    """Puts the kernels of liger into the model, without its losses, since the student has its own.

    Raises:
        JobFailed: there is no GPU or no liger, or liger does not support the model.
    """
    refused = "training.liger = true cannot be used: "
    if device.type != "cuda":
        raise JobFailed(f"{refused}liger's kernels run on GPUs only (liger = false)")
    if importlib.util.find_spec("liger_kernel") is None:
        raise JobFailed(f"{refused}the package liger-kernel is not installed (pip install liger-kernel)")
    from liger_kernel.transformers import monkey_patch

    kind = model.config.model_type
    if kind not in monkey_patch.MODEL_TYPE_TO_APPLY_LIGER_FN:
        raise JobFailed(f"{refused}it has no kernels for models of type {kind!r} (liger = false)")
    logging.getLogger("liger_kernel").setLevel(logging.ERROR)
    monkey_patch._apply_liger_kernel_to_instance(
        model=model, cross_entropy=False, fused_linear_cross_entropy=False
    )


def checkpoint_activations(model: Any, *, reentrant: bool) -> None:
    """Keeps only the inputs of the layers and recomputes the rest in the backward pass.

    Raises:
        JobFailed: the architecture does not support it.
    """
    if not getattr(model, "supports_gradient_checkpointing", False):
        raise JobFailed(
            f"{type(model).__name__} does not support activation checkpointing: use training.activation_checkpointing = false"
        )
    if reentrant:
        model.enable_input_require_grads()  # otherwise a first layer whose input needs no gradient gets none itself
    how = {"use_reentrant": reentrant}
    if hasattr(model, "activation_checkpointing_enable"):  # its name since transformers 5.23
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=how)
    else:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=how)
