"""Loads a base model from a directory or a hub id, with the classes of transformers, from safetensors.

The class is `AutoModelForCausalLM`, or `AutoModelForSeq2SeqLM` if the configuration is that of an encoder-decoder (T5,
Flan-T5). Code that comes with a model is never run, and pickled weights are never read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import JobFailed
from engine.students.architecture import auto_class


def load_model(base: str, attentions: tuple[str | None, ...] = (None,)) -> Any:
    """A decoder or encoder-decoder from a directory or a hub id, in float32.

    Args:
        base: the directory or hub id.
        attentions: implementations of attention to try, in order; None is the default of the library.

    Raises:
        JobFailed: it does not exist, is neither architecture, has no safetensors, or supports none of the attentions.
    """
    if Path(base).is_absolute() and not Path(base).is_dir():
        raise JobFailed(f"the base model directory {base} does not exist (students.base)")
    *others, last = attentions
    for attention in others:
        try:
            return _load(base, attention)
        except (OSError, ValueError, ImportError):
            continue  # try the next one; a broken model fails there as well
    try:
        return _load(base, last)
    except (OSError, ValueError, ImportError) as error:
        raise JobFailed(_why(base, error)) from error


def _load(base: str, attention: str | None) -> Any:
    import torch
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    return auto_class(config).from_pretrained(
        base,
        config=config,
        dtype=torch.float32,
        attn_implementation=attention,
        trust_remote_code=False,
        use_safetensors=True,
    )


def _why(base: str, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    if Path(base).is_dir():
        return f"the base model in {base} cannot be loaded (config.json and safetensors are needed): {reason}"
    return (
        f"the base model {base!r} cannot be loaded from the model hub: {reason} "
        "(without a network, download it and name its directory in students.base)"
    )
