"""Makes the built-in students, whose measures are in `sizes.py`."""

from __future__ import annotations

from typing import Any

from engine.students.sizes import Size


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
