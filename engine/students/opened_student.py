"""An exported student, opened to be asked: by another evaluation, or by whoever is served."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoConfig, GenerationConfig

from engine.forms import TokenForm
from engine.students.architecture import Architecture, architecture_of, is_encoder_decoder
from engine.students.device import choose_device
from engine.students.exported_student import DIRECTORY
from engine.students.run import Run
from engine.students.run_form import open_form
from engine.students.tokenizer import leave_prompts_open, load_tokenizer


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
    student = run.directory / DIRECTORY
    config = AutoConfig.from_pretrained(student, trust_remote_code=False, local_files_only=True)
    generation = GenerationConfig.from_pretrained(student, local_files_only=True)
    architecture = architecture_of(SimpleNamespace(config=config, generation_config=generation))
    tokenizer = load_tokenizer(str(student))
    encoder_decoder = is_encoder_decoder(config)
    if not encoder_decoder:
        leave_prompts_open(tokenizer)
    return OpenedStudent(
        architecture=architecture,
        tokenizer=tokenizer,
        form=open_form(run, tokenizer, encoder_decoder=encoder_decoder),
        device=choose_device(hardware(), run.ranks.local_rank),
    )


def hardware() -> str:
    """What this process computes on: cpu or cuda."""
    return os.environ.get("DS_ACCELERATOR") or ("cuda" if torch.cuda.is_available() else "cpu")
