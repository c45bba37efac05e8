"""Whether a model keeps packed rows apart: asked of the model itself, before it is trained.

Packing puts the rows of a batch in one line. A model that sees beyond its own row, or counts positions across
rows, would learn from text that is not there. Which architectures, attentions and versions do right is not
written in a list here: two or three of the run's own rows are computed alone and packed, and

    the logits have to agree, to the precision computed in, and
    those of the other rows must not move when the first row is another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from engine.config.students import TrainingConfig
from engine.students.objective import Student
from engine.students.rows import MicroBatch, TokenRow

ROWS = 3
_ROUNDING = {torch.float32: 2e-3, torch.bfloat16: 6e-2, torch.float16: 1e-2}


def wanted(training: TrainingConfig, device: torch.device, attention: str) -> bool:
    """Whether to pack where the model allows it.

    By itself only with flash attention, which costs a line of rows what it costs the rows. Any other needs a mask and costs
    the square of the line, where batches of like length need none; on a CPU those are faster, too.

    Args:
        training: what a person configured.
        device: what is computed on.
        attention: the model's implementation, in transformers' name.
    """
    if training.packing != "auto":
        return training.packing
    return device.type == "cuda" and attention.startswith("flash")


def sample(rows: Sequence[TokenRow]) -> list[TokenRow]:
    """Some short rows, of different lengths where there are, the longest of them first."""
    by_length = {len(row.ids): row for row in sorted(rows, key=lambda row: -len(row.ids))}
    chosen = [by_length[length] for length in sorted(by_length)[:ROWS]]
    while len(chosen) < 2:
        chosen.append(rows[-1])
    return chosen[::-1]


def mixes(student: Student, rows: Sequence[TokenRow], *, pad: int, device: torch.device) -> str:
    """What the model does wrong with packed rows; empty where it keeps them apart.

    With ZeRO stage 3, on all ranks together.
    """
    first, *others = rows
    was_training = student.training
    student.eval()
    try:
        with torch.no_grad():
            alone = torch.cat([_logits(student, student.kind.collate([row], pad), device) for row in rows])
            packed = _logits(student, student.kind.pack(rows), device)
            another = TokenRow(np.roll(first.ids[::-1], 1), first.prompt)
            moved = _logits(student, student.kind.pack([another, *others]), device)[first.supervised :]
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


def splits(student: Student, rows: Sequence[TokenRow], *, pad: int, device: torch.device) -> bool:
    """Whether the loss in parts is the loss: not where the model does something with logits after its head."""
    if not student.divisible:
        return False
    inputs, keep, _ = on_device(student.kind.collate(rows, pad), device)
    was_training = student.training
    student.eval()
    try:
        with torch.no_grad():
            said, made = student.logits(inputs, keep), student.head_logits(inputs, keep)
    finally:
        student.train(was_training)
    return float((said - made).abs().max()) <= 1e-5 * float(made.abs().max())


def on_device(
    batch: MicroBatch, device: torch.device
) -> tuple[dict[str, torch.Tensor], torch.Tensor, torch.Tensor]:
    """A micro-batch's inputs, kept positions and targets, as tensors."""
    inputs = {name: _move(array, device) for name, array in batch.inputs.items()}
    return inputs, _move(batch.keep, device), _move(batch.targets, device)


def _logits(student: Student, batch: MicroBatch, device: torch.device) -> torch.Tensor:
    inputs, keep, _ = on_device(batch, device)
    return student.logits(inputs, keep).float()


def _move(array: np.ndarray, device: torch.device) -> Any:
    return torch.from_numpy(array).to(device, non_blocking=True)
