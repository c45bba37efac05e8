"""Checks whether a model keeps packed rows apart, by asking the model itself before it is trained.

Packing puts the rows of a batch in one line. A model that attends beyond its own row, or counts positions across rows,
would learn from text that does not belong to the row. There is no list of architectures, attentions and versions that
work. Instead, two or three rows of the run are computed alone and packed:

    the logits must agree, to the precision of the computation, and
    the logits of the other rows must not move when the first row is replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch

from engine.config.adapters import ADAPTERS
from engine.config.students import TrainingConfig
from engine.errors import JobFailed
from engine.students.checkpoints import RunState
from engine.students.objective import Student
from engine.students.run import Run
from engine.students.token_rows import MicroBatch, TokenRow

ROWS = 3
_ROUNDING = {torch.float32: 2e-3, torch.bfloat16: 6e-2, torch.float16: 1e-2}


def wanted(training: TrainingConfig, device: torch.device, attention: str) -> bool:
    """Whether to pack if the model supports it.

    "auto" packs only with flash attention, where a line of rows costs as much as its rows. Any other attention needs a mask
    and costs the square of the line, while batches of rows of similar length need none; on a CPU those are faster, too.

    Args:
        training: the configured settings.
        device: the device of the computation.
        attention: the implementation of the model, by its name in transformers.
    """
    if training.packing != "auto":
        return training.packing
    if not ADAPTERS[training.adapter].model_of_its_own:
        return False
    return device.type == "cuda" and attention.startswith("flash")


def sample(rows: Sequence[TokenRow]) -> list[TokenRow]:
    """A few short rows, of different lengths if possible, the longest of them first."""
    by_length = {len(row.ids): row for row in sorted(rows, key=lambda row: -len(row.ids))}
    chosen = [by_length[length] for length in sorted(by_length)[:ROWS]]
    while len(chosen) < 2:
        chosen.append(rows[-1])
    return chosen[::-1]


def mixes(student: Student, rows: Sequence[TokenRow], *, pad: int, device: torch.device) -> str:
    """What the model does wrong with packed rows; empty if it keeps them apart.

    With ZeRO stage 3, all ranks call it together.
    """
    first, *others = rows
    was_training = student.training
    student.eval()
    try:
        with torch.no_grad():
            alone = torch.cat(
                [_logits(student, student.architecture.collate([row], pad), device) for row in rows]
            )
            packed = _logits(student, student.architecture.pack(rows), device)
            another = replace(first, ids=np.roll(first.ids[::-1], 1))
            moved = _logits(student, student.architecture.pack([another, *others]), device)[
                first.supervised :
            ]
    except (TypeError, ValueError, RuntimeError) as error:
        if "memory" in str(error):
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        return f"it cannot be called with packed rows ({reason})"
    finally:
        student.train(was_training)
    scale = max(float(alone.abs().max()), 1e-6)
    rounding = _ROUNDING.get(student.model.get_input_embeddings().weight.dtype, 2e-3)
    if float((moved - packed[first.supervised :]).abs().max()) > rounding * scale / 20:
        return "rows see the ones before them"
    off = float((packed - alone).abs().max())
    if not off <= rounding * scale:
        return f"logits differ from those of rows alone by {off:.3g}, of {scale:.3g}"
    return ""


def chunks_agree(student: Student, rows: Sequence[TokenRow], *, pad: int, device: torch.device) -> bool:
    """Whether the loss in chunks equals the loss. It does not if the model changes logits after its head."""
    if not student.chunkable:
        return False
    inputs, keep, *_ = on_device(student.architecture.collate(rows, pad), device)
    was_training = student.training
    student.eval()
    try:
        with torch.no_grad():
            said, made = student.logits(inputs, keep), student.head_logits(inputs, keep)
    finally:
        student.train(was_training)
    return float((said - made).abs().max()) <= 1e-5 * float(made.abs().max())


def attention_of(model: Any) -> str:
    """The attention of a model, by its name in transformers."""
    return str(getattr(model.config, "_attn_implementation", "") or "")


def packs(
    run: Run,
    student: Student,
    rows: Sequence[TokenRow],
    state: RunState | None,
    *,
    pad: int,
    device: torch.device,
) -> bool:
    """Whether rows are packed: as before the resume, otherwise as configured, if the model supports it."""
    training = run.spec.training
    if not (state.packed if state else wanted(training, device, attention_of(student.model))):
        return False
    wrong = mixes(student, sample(rows), pad=pad, device=device)
    if not wrong:
        return True
    name = type(student.model).__name__
    if training.packing is True or state:
        raise JobFailed(
            f"{name} cannot be trained with packed rows: {wrong} (training.packing = false uses padded batches)"
        )
    run.note(f"rows are padded instead of packed: {name} does not keep packed rows apart ({wrong})")
    return False


def chunk(
    run: Run, student: Student, rows: Sequence[TokenRow], *, pad: int, device: torch.device
) -> int | None:
    """The largest number of supervised tokens whose logits are in memory at a time; None: no limit."""
    training = run.spec.training
    longest = max(row.supervised for row in rows)
    most = longest * training.batch_rows if training.batch_rows else max(training.batch_tokens, longest)
    if most <= training.loss_chunk:
        return None
    if chunks_agree(student, sample(rows), pad=pad, device=device):
        return training.loss_chunk
    run.note(
        f"training.loss_chunk has no effect: {type(student.model).__name__} changes its logits after the output embedding"
    )
    return None


class OnDevice(NamedTuple):
    """A micro-batch as tensors, in the order of the arguments of a student."""

    inputs: dict[str, torch.Tensor]
    keep: torch.Tensor
    targets: torch.Tensor
    columns: tuple[torch.Tensor, ...]
    weights: torch.Tensor | None


def on_device(batch: MicroBatch, device: torch.device) -> OnDevice:
    """A micro-batch as tensors."""
    return OnDevice(
        inputs={name: _move(array, device) for name, array in batch.inputs.items()},
        keep=_move(batch.keep, device),
        targets=_move(batch.targets, device),
        columns=tuple(_move(array, device) for array in batch.columns),
        weights=None if batch.weights is None else _move(batch.weights, device),
    )


def _logits(student: Student, batch: MicroBatch, device: torch.device) -> torch.Tensor:
    inputs, keep, *_ = on_device(batch, device)
    return student.logits(inputs, keep).float()


def _move(array: np.ndarray, device: torch.device) -> Any:
    return torch.from_numpy(array).to(device, non_blocking=True)
