"""What an exported student is asked with: its architecture, tokenizer and form, without its weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from transformers import AutoConfig, GenerationConfig

from engine.forms import TokenForm
from engine.students.architecture import Architecture, architecture_of, is_encoder_decoder
from engine.students.operations.base import described_by
from engine.students.prompt_file import with_prompt
from engine.students.room import config_positions
from engine.students.run import Run
from engine.students.run_form import open_form
from engine.students.tokenizer import leave_prompts_open, load_tokenizer


def open_copy(run: Run, student: Path) -> tuple[Architecture, Any, TokenForm]:
    """Reads the small files of an exported student; of one with several models, those of the member that describes it."""
    place = described_by(student)
    config = AutoConfig.from_pretrained(place, trust_remote_code=False, local_files_only=True)
    generation = GenerationConfig.from_pretrained(place, local_files_only=True)
    architecture = architecture_of(SimpleNamespace(config=config, generation_config=generation))
    tokenizer = load_tokenizer(str(place))
    encoder_decoder = is_encoder_decoder(config)
    if not encoder_decoder:
        leave_prompts_open(tokenizer)
    form = open_form(run, tokenizer, encoder_decoder=encoder_decoder)
    return architecture, tokenizer, with_prompt(form, student)


def positions_of(student: Path) -> int | None:
    """The context length of an exported student; None if it has no limit."""
    config = AutoConfig.from_pretrained(described_by(student), trust_remote_code=False, local_files_only=True)
    return config_positions(config)


def weights_of(student: Path) -> int:
    """About how many weights a student has."""
    return sum(path.stat().st_size for path in student.rglob("*.safetensors")) // 4
