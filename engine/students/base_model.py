"""Loads a base model from a directory, a hub id or a GGUF file, with the classes of transformers.

Weights are read from safetensors, or from a GGUF file (`model.gguf`): its tensors become float32, and its configuration, tokenizer
and chat template come from it as well.

The class is `AutoModelForCausalLM`, or `AutoModelForSeq2SeqLM` if the configuration is that of an encoder-decoder (T5,
Flan-T5). Code that comes with a model is never run, and pickled weights are never read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import JobFailed
from engine.students.architecture import auto_class
from engine.students.base_names import files_of, is_gguf

ERRORS = (OSError, ValueError, ImportError, KeyError, NotImplementedError)
"""What transformers raises for files that it cannot read."""


def load_model(base: str, attentions: tuple[str | None, ...] = (None,)) -> Any:
    """A decoder or encoder-decoder in float32.

    Args:
        base: the directory, hub id or GGUF file.
        attentions: implementations of attention to try, in order; None is the default of the library.

    Raises:
        JobFailed: it does not exist, is neither architecture, has no weights that can be read, or supports none of the attentions.
    """
    if Path(base).is_absolute() and not (Path(base).is_file() if is_gguf(base) else Path(base).is_dir()):
        kind = "file" if is_gguf(base) else "directory"
        raise JobFailed(f"the base model {kind} {base} does not exist (students.base)")
    *others, last = attentions
    for attention in others:
        try:
            return _load(base, attention)
        except ERRORS:
            continue  # try the next one; a broken model fails there as well
    try:
        return _load(base, last)
    except ERRORS as error:
        raise JobFailed(why(base, error)) from error


def _load(base: str, attention: str | None) -> Any:
    import torch
    import transformers
    from transformers import AutoConfig

    folder, file = files_of(base)
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, **file)
    dense: dict[str, Any] = {}
    # Without this, newer versions may leave the weights in blocks, which cannot be trained.
    if file and hasattr(transformers, "GgufConfig"):
        dense = {"quantization_config": transformers.GgufConfig(dequantize=True)}
    model = auto_class(config).from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        attn_implementation=attention,
        trust_remote_code=False,
        use_safetensors=True,
        **file,
        **dense,
    )
    if file:  # dense now: it can be saved like any other model
        model.hf_quantizer, model.is_quantized = None, False
        if hasattr(model.config, "quantization_config"):
            del model.config.quantization_config
    return model


def why(base: str, error: Exception) -> str:
    """Why a base cannot be loaded, in a sentence."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    if is_gguf(base):
        return f"the base model {base} cannot be loaded (a GGUF file of an architecture that transformers reads is needed): {reason}"
    if Path(base).is_dir():
        return f"the base model in {base} cannot be loaded (config.json and safetensors are needed): {reason}"
    return (
        f"the base model {base!r} cannot be loaded from the model hub: {reason} "
        "(without a network, download it and name its directory in students.base)"
    )
