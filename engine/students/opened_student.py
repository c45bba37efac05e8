"""An exported student, opened to be asked: by another evaluation, or by whoever is served."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from engine.forms import TokenForm
from engine.students.architecture import Architecture
from engine.students.device import choose_device
from engine.students.exported_student import DIRECTORY
from engine.students.opened_copy import open_copy
from engine.students.run import Run


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedStudent:
    """Everything of a finished run that answering needs, but for the weights."""

    architecture: Architecture
    tokenizer: Any
    form: TokenForm
    device: torch.device


def open_student(run: Run) -> OpenedStudent:
    """Opens the exported student of a finished run.

    Raises:
        JobFailed: its files cannot be read.
    """
    architecture, tokenizer, form = open_copy(run, run.directory / DIRECTORY)
    return OpenedStudent(
        architecture=architecture,
        tokenizer=tokenizer,
        form=form,
        device=choose_device(hardware(), run.ranks.local_rank),
    )


def hardware() -> str:
    """What this process computes on: cpu or cuda."""
    return os.environ.get("DS_ACCELERATOR") or ("cuda" if torch.cuda.is_available() else "cpu")
