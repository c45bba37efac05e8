"""The student's model: built in, or loaded from safetensors.

`builtin:nano` is a Llama of some 45 thousand parameters, made from a configuration with random weights. Its
initial standard deviation is 0.1, about 1/sqrt(width): the usual 0.02 learned far worse. Copying the next
name out of a question is what it learns last: three layers, and positions that turn faster (heads of eight
numbers see nothing of a base of 10,000), took coin flips with eight rationales from .63 and .69 on 200 dev
questions (learning rate 3e-3, two seeds) to .92, .94 and .83 (4e-3, three seeds) in as many steps.

Everything else is loaded by `AutoModelForCausalLM`, or `AutoModelForSeq2SeqLM` where the model's configuration
says that it is an encoder-decoder (T5, Flan-T5); code that comes with a model is never run and pickled
weights are never read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import JobFailed
from engine.students.kind import auto_class

BUILTIN = "builtin:"
BUILTINS = ("nano",)


def is_builtin(base: str) -> bool:
    """Whether the base is made here rather than loaded.

    Raises:
        JobFailed: there is no built-in model of that name, or no such directory.
    """
    if base.startswith(BUILTIN):
        name = base.removeprefix(BUILTIN)
        if name not in BUILTINS:
            known = ", ".join(BUILTIN + each for each in BUILTINS)
            raise JobFailed(f"there is no built-in model {base!r}; there is {known}")
        return True
    if Path(base).is_absolute() and not Path(base).is_dir():
        raise JobFailed(f"the base model directory {base} does not exist (students.base)")
    return False


def nano(vocabulary: int, *, end: int, pad: int, positions: int, seed: int) -> Any:
    """A fresh nano student for a vocabulary of that size."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=positions,
        rope_parameters={"rope_type": "default", "rope_theta": 100.0},
        tie_word_embeddings=True,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )
    torch.manual_seed(seed % 2**63)
    return LlamaForCausalLM(config)


def load_model(base: str) -> Any:
    """A decoder or encoder-decoder from a directory or a hub id, in float32.

    Raises:
        JobFailed: it is not there, is neither, or has no safetensors.
    """
    import torch
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(base, trust_remote_code=False)
        return auto_class(config).from_pretrained(
            base, config=config, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise JobFailed(_why(base, error)) from error


def _why(base: str, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    if Path(base).is_dir():
        return f"the base model in {base} cannot be loaded (config.json and safetensors are needed): {reason}"
    return (
        f"the base model {base!r} cannot be loaded from the model hub: {reason} "
        "(without a network, download it and name its directory in students.base)"
    )
