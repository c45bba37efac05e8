"""The model with its complete weights, for generation, merging adapters and export.

ZeRO stages 0 to 2 train a model that is complete on every rank. Stage 3 trains one whose weights are spread over the
ranks; a twin in host memory, in the precision of the computation, gathers them when they are needed: one by one from the
ranks, or from the shards of a checkpoint. Generating with weights that are fetched for each token took 6 to 20 times as
long.
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from engine.errors import JobFailed
from engine.students.adapters import Adapted
from engine.students.data_only import data_only, read_file


@dataclass(slots=True)
class GatheredModel:
    """The model with complete weights and the trained one. They are the same except with stage 3."""

    model: Any
    adapted: Adapted
    """The same, with what is trained of it."""
    trained: Any
    device: torch.device

    @property
    def twin(self) -> bool:
        """Whether there are two models."""
        return self.model is not self.trained

    @contextmanager
    def weights(self) -> Iterator[Any]:
        """The model with the current weights, on the device of the run. With stage 3, all ranks call it together."""
        if not self.twin:
            yield self.model
            return
        import deepspeed

        own = dict(self.model.named_parameters())
        for name, parameter in self.trained.named_parameters():
            with deepspeed.zero.GatheredParameters([parameter]), torch.no_grad():
                own[name].copy_(parameter)
        try:
            yield self.model.to(self.device)
        finally:
            self.model.to("cpu")

    def read(self, checkpoints: Path, step: int) -> Any:
        """The complete model with the weights of a checkpoint, from the shards of all ranks.

        Raises:
            JobFailed: they cannot be read.
        """
        put_weights(self.model, read_weights(checkpoints, step))
        return self.model


def prepare_gathered(
    model: Any, adapt: Callable[[Any], Adapted], *, stage: int, bf16: bool, device: torch.device
) -> GatheredModel:
    """Adds adapters (`adapt(model)`) and copies the model for stage 3. Called before DeepSpeed takes the model."""
    if stage < 3:
        adapted = adapt(model)
        return GatheredModel(adapted.model, adapted, adapted.model, device)
    twin = copy.deepcopy(model)
    adapted = adapt(twin)
    adapt(model)
    if bf16:
        twin.bfloat16()
    twin.eval()
    return GatheredModel(twin, adapted, model, device)


def read_weights(checkpoints: Path, step: int) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint of any stage and number of ranks, by their names in the model.

    In float32, or at stage 0 in the precision of the computation. Frozen weights may be missing.

    Raises:
        JobFailed: they cannot be read.
    """
    directory = checkpoints / str(step)
    try:
        if any(directory.glob("*zero_pp_rank_*_optim_states.pt")):
            from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), data_only():
                found = get_fp32_state_dict_from_zero_checkpoint(
                    str(checkpoints), tag=str(step), exclude_frozen_parameters=True
                )
        else:
            [file] = directory.glob("mp_rank_*_model_states.pt")
            found = read_file(file, mmap=True)["module"]
    except Exception as error:  # a damaged file raises many kinds of error
        raise JobFailed(
            f"the weights of the checkpoint of step {step} in {checkpoints} cannot be read: {error}"
        ) from error
    return {name.removeprefix("model."): tensor for name, tensor in found.items()}


def put_weights(model: Any, weights: dict[str, torch.Tensor]) -> None:
    """Copies weights into a model, in its own precision.

    Raises:
        JobFailed: they belong to another model.
    """
    try:
        _, unknown = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        raise JobFailed(f"a checkpoint's weights do not fit the model: {error}") from error
    if unknown:
        raise JobFailed(f"a checkpoint has weights that the model lacks: {unknown[0]}")
