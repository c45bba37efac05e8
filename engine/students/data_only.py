"""Reads checkpoints as data: a changed file cannot run code. Imports torch when used.

The files are pickles. torch builds tensors, plain values and listed classes alone with `weights_only = True`, but DeepSpeed
asks for everything, and no setting changes that. Inside `data_only`, no caller can.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any

from engine.errors import JobFailed


@contextmanager
def data_only() -> Iterator[None]:
    """Within it, `torch.load` reads tensors, plain values, and the classes that DeepSpeed stores. For one thread.

    Raises:
        JobFailed: a file has something else.
    """
    import torch
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    load = torch.load

    def read(*arguments: Any, **named: Any) -> Any:
        return load(*arguments, **{**named, "weights_only": True})

    torch.load = read
    try:
        with torch.serialization.safe_globals([LossScaler, ZeroStageEnum, fragment_address]):
            yield
    except UnpicklingError as error:
        raise JobFailed(
            "a checkpoint has content that is not data, and nothing of it was run: the file was changed, or another version"
            " of DeepSpeed wrote it. Remove this checkpoint's folder, and the run resumes from the one before"
        ) from error
    finally:
        torch.load = load


def read_file(path: Any, *, mmap: bool = False) -> Any:
    """The content of a file that `torch.save` wrote, in host memory."""
    import torch

    with data_only():
        return torch.load(path, map_location="cpu", mmap=mmap)
