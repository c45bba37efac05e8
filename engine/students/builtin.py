"""The built-in students: three sizes of a decoder (Llama) and of an encoder-decoder (T5), untrained.

    name                        weights   width   layers   vocabulary (at most)
    builtin:nano                   56 k      32   3            500
    builtin:micro                 0.5 M      96   4          1,000
    builtin:mini                  5.8 M     256   6          4,000
    builtin:nano-t5                78 k      32   2 + 2        500
    builtin:micro-t5              0.9 M      96   3 + 3      1,000
    builtin:mini-t5                10 M     256   5 + 5      4,000

Weights are counted with a full vocabulary. The initial standard deviation of decoders is about 1/sqrt(width), since the
usual 0.02 learned far worse. The last thing nano learns is to copy the next name from a question. Three layers and faster
rotary positions (heads of eight numbers learn nothing from a base of 10,000) took coin flips with eight rationales from
63 % and 69 % on 200 dev questions (learning rate 3e-3, two seeds) to 92 %, 94 % and 83 % (4e-3, three seeds) in the
same number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.errors import JobFailed

BUILTIN = "builtin:"


@dataclass(frozen=True, slots=True)
class Size:
    """The measures of a built-in student. `layers` is the number per side of an encoder-decoder."""

    width: int
    inner: int
    layers: int
    heads: int
    vocabulary: int
    rope_theta: float = 0.0
    """RoPE's theta of a decoder."""
    encoder_decoder: bool = False


SIZES = {
    "nano": Size(32, 96, 3, 4, 500, 100.0),
    "micro": Size(96, 256, 4, 6, 1000, 1000.0),
    "mini": Size(256, 704, 6, 8, 4000, 10_000.0),
    "nano-t5": Size(32, 96, 2, 4, 500, encoder_decoder=True),
    "micro-t5": Size(96, 256, 3, 6, 1000, encoder_decoder=True),
    "mini-t5": Size(256, 704, 5, 8, 4000, encoder_decoder=True),
}


def size_of(base: str) -> Size | None:
    """The built-in student of that name; None for a base that is loaded.

    Raises:
        JobFailed: no built-in student has that name.
    """
    if not base.startswith(BUILTIN):
        return None
    size = SIZES.get(base.removeprefix(BUILTIN))
    if size is None:
        known = ", ".join(BUILTIN + name for name in SIZES)
        raise JobFailed(f"unknown built-in model {base!r}; known: {known}")
    return size


def make(
    size: Size,
    vocabulary: int,
    *,
    end: int,
    pad: int,
    positions: int,
    seed: int,
    attention: str | None = None,
) -> Any:
    """An untrained student for a vocabulary of that size; a function of the seed."""
    import torch

    from engine.students.architecture import auto_class

    config = (_t5 if size.encoder_decoder else _llama)(size, vocabulary, end, pad, positions)
    torch.manual_seed(seed % 2**63)
    return auto_class(config).from_config(config, attn_implementation=attention)


def _llama(size: Size, vocabulary: int, end: int, pad: int, positions: int) -> Any:
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=size.width,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=positions,
        rope_parameters={"rope_type": "default", "rope_theta": size.rope_theta},
        tie_word_embeddings=True,
        initializer_range=0.1 if size.width == 32 else round(size.width**-0.5, 3),
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=pad,
    )


def _t5(size: Size, vocabulary: int, end: int, pad: int, _positions: int) -> Any:
    """T5 uses relative distances only, so its rows have no maximum length."""
    from transformers import T5Config

    return T5Config(
        vocab_size=vocabulary,
        d_model=size.width,
        d_kv=size.width // size.heads,
        d_ff=size.inner,
        num_layers=size.layers,
        num_decoder_layers=size.layers,
        num_heads=size.heads,
        relative_attention_num_buckets=32,
        relative_attention_max_distance=128,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=True,
        eos_token_id=end,
        pad_token_id=pad,
        decoder_start_token_id=pad,
    )
