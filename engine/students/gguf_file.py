"""Writes an exported student as one GGUF file, which llama.cpp and programs built on it read. Needs numpy and gguf, not torch.

Llama decoders alone: the built-in ones, and bases with a byte-level tokenizer whose rule for splitting text has a name in llama.cpp.
Tensors keep their precision. llama.cpp pairs neighbouring dimensions for rotary positions where transformers pairs halves
of a head, so the rows of queries and keys are put in its order.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import JobFailed
from engine.students.gguf_tokenizer import Vocabulary, vocabulary_of

ARCHITECTURE = "LlamaForCausalLM"
_CONVERTER = "llama.cpp's own convert_hf_to_gguf.py reads the directory of the student and may know more"
_NAMES = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OUTER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def write_gguf(student: Path, output: Path, name: str) -> None:
    """Writes a student's directory as a GGUF file: under another name, then renamed.

    Args:
        student: directory with config.json, tokenizer.json and safetensors.
        output: the file.
        name: `general.name`, which programs show.

    Raises:
        JobFailed: the architecture, its rotary positions or its tokenizer cannot be written; the message says which.
        OSError: the file cannot be written.
    """
    import gguf

    config = json.loads((student / "config.json").read_text(encoding="utf-8"))
    heads, keys, size = _measures(config)
    vocabulary = vocabulary_of(student)
    partial = output.with_name(f"{output.name}.partial")
    writer = gguf.GGUFWriter(None, "llama")
    writer.add_name(name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(keys)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(float(config.get("rope_theta", 10_000.0)))
    _add_tokenizer(writer, vocabulary, student)
    precision = None
    for tensor, array in _tensors(student, heads, keys):
        if tensor in ("token_embd.weight", "output.weight"):
            array = vocabulary.extended(array)
        if array.ndim == 1:
            writer.add_tensor(tensor, _as_float(array))
            continue
        precision = precision or array.dtype.name
        if array.dtype.name == "uint16":  # bfloat16, which numpy does not know
            kind = gguf.GGMLQuantizationType.BF16
            writer.add_tensor(tensor, array.view("uint8"), raw_dtype=kind)
        else:
            writer.add_tensor(tensor, array)
    writer.add_file_type(_file_type(gguf, precision))
    writer.add_vocab_size(len(vocabulary.tokens))
    try:
        writer.write_header_to_file(partial)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        os.replace(partial, output)
    finally:
        partial.unlink(missing_ok=True)


def _file_type(gguf: Any, precision: str | None) -> Any:
    kinds = gguf.LlamaFileType
    return {"uint16": kinds.MOSTLY_BF16, "float16": kinds.MOSTLY_F16}.get(precision or "", kinds.ALL_F32)


def _measures(config: dict[str, Any]) -> tuple[int, int, int]:
    """Heads, heads of keys, and the size of a head.

    Raises:
        JobFailed: another architecture, or positions that this file does not write.
    """
    found = (config.get("architectures") or ["unknown"])[0]
    if found != ARCHITECTURE:
        raise JobFailed(
            f"a GGUF file is written for {ARCHITECTURE}, and this student is {found}: {_CONVERTER}"
        )
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = rope.get("rope_type", "default")
    if kind != "default":
        raise JobFailed(f"a GGUF file is not written for rotary positions of the type {kind}: {_CONVERTER}")
    heads = int(config["num_attention_heads"])
    keys = int(config.get("num_key_value_heads") or heads)
    return heads, keys, int(config.get("head_dim") or config["hidden_size"] // heads)


def _add_tokenizer(writer: Any, vocabulary: Vocabulary, student: Path) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    config = json.loads((student / "tokenizer_config.json").read_text(encoding="utf-8"))
    ids = {token: key for key, token in enumerate(vocabulary.tokens)}
    known = {}
    for kind in ("bos", "eos", "unk", "pad"):
        token = config.get(f"{kind}_token")
        text = token.get("content") if isinstance(token, dict) else token
        if text in ids:
            known[kind] = ids[text]
    if "eos" in known:  # llama.cpp takes token 11 for one that is not named
        known.setdefault("bos", known["eos"])
    for kind, key in known.items():
        getattr(writer, f"add_{kind}_token_id")(key)
    writer.add_add_bos_token(vocabulary.begins)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    template = student / "chat_template.jinja"
    text = template.read_text(encoding="utf-8") if template.is_file() else config.get("chat_template")
    if isinstance(text, str):
        writer.add_chat_template(text)


def _tensors(student: Path, heads: int, keys: int) -> Iterator[tuple[str, Any]]:
    """The tensors by the names of llama.cpp. An array of uint16 is in bfloat16.

    Raises:
        JobFailed: there is a tensor that a Llama of llama.cpp does not have.
    """
    from gguf.utility import SafetensorsLocal

    kinds = {"F32": "float32", "F16": "float16", "BF16": "uint16"}
    for file in sorted(student.glob("*.safetensors")):
        for name, tensor in SafetensorsLocal(file).tensors.items():
            stem, _, part = name.rpartition(".")
            layer, _, inner = stem.removeprefix("model.layers.").partition(".")
            if stem in _OUTER:
                target = _OUTER[stem]
            elif stem.startswith("model.layers.") and inner in _NAMES:
                target = f"blk.{layer}.{_NAMES[inner]}"
            else:
                raise JobFailed(
                    f"{file.name} has the tensor {name}, which a GGUF file of a Llama has no place for"
                )
            if tensor.dtype not in kinds:
                raise JobFailed(
                    f"{file.name} has {name} in {tensor.dtype}; a GGUF file is written from F32, F16 and BF16"
                )
            array = tensor.mmap_bytes().view(kinds[tensor.dtype]).reshape(tensor.shape)
            if inner in ("self_attn.q_proj", "self_attn.k_proj"):
                array = _neighbours(array, heads if inner.endswith("q_proj") else keys)
            yield f"{target}.{part}", array


def _neighbours(array: Any, heads: int) -> Any:
    """The rows of each head in the order of llama.cpp: those that are rotated together next to each other."""
    halves = array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
    return halves.swapaxes(1, 2).reshape(array.shape)


def _as_float(array: Any) -> Any:
    if array.dtype.name == "uint16":
        return (array.astype("uint32") << 16).view("float32")
    return array.astype("float32")
