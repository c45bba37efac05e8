"""A base in a GGUF file: the model, tokenizer and chat template that are read from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import JobFailed
from engine.students.base_names import is_path, unusable
from tests.engine.students.runs import make_run, run_ranks
from tests.lazily import Lazy

base_model = Lazy("engine.students.base_model")
tokenizers_of = Lazy("engine.students.tokenizer")

WIDTH, INNER, LAYERS, HEADS, KEYS = 32, 64, 2, 4, 2
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def make_gguf(path: Path) -> object:
    """A tiny Llama with a byte-level tokenizer, written as llama.cpp's converter writes one; returns the model it was made from."""
    import gguf
    import torch
    import transformers
    from tokenizers.pre_tokenizers import ByteLevel

    symbols = sorted(ByteLevel.alphabet())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *symbols, "he", "ll"]
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KEYS,
        max_position_embeddings=256,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
    )
    model = transformers.LlamaForCausalLM(config).eval()
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("Tiny")
    writer.add_context_length(256)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEYS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(["h e", "l l"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)

    def twisted(weight: object, heads: int) -> object:
        """llama.cpp's order of rotary dimensions."""
        pairs = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])  # type: ignore[attr-defined]
        return pairs.swapaxes(1, 2).reshape(weight.shape)  # type: ignore[attr-defined]

    names = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
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
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue  # tied
        array = tensor.numpy()
        if "q_proj" in name:
            array = twisted(array, HEADS)
        elif "k_proj" in name:
            array = twisted(array, KEYS)
        if name in names:
            writer.add_tensor(names[name], array)
        else:
            _, _, layer, part = name.removesuffix(".weight").split(".", 3)
            writer.add_tensor(f"blk.{layer}.{names[part]}.weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def test_a_gguf_file_is_a_base(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "tiny.gguf"
    expected = make_gguf(path)
    model = base_model.load_model(str(path))
    ids = torch.tensor([[5, 9, 70, 12, 33]])
    with torch.no_grad():
        assert torch.allclose(model(ids).logits, expected(ids).logits, atol=1e-5)  # type: ignore[operator]
    tokenizer = tokenizers_of.load_tokenizer(str(path))
    ids = tokenizer("hello <|im_end|>", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == "hello <|im_end|>" and ids[-1] == 2
    assert tokenizer.chat_template == TEMPLATE and tokenizer.eos_token_id == 2


def test_a_gguf_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    with pytest.raises(JobFailed, match=r"the base model file .*broken\.gguf does not exist"):
        base_model.load_model(str(path))
    path.write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(JobFailed, match=r"broken\.gguf cannot be loaded \(a GGUF file"):
        base_model.load_model(str(path))
    with pytest.raises(JobFailed, match=r"tokenizer of .*broken\.gguf cannot be loaded"):
        tokenizers_of.load_tokenizer(str(path))


def test_a_student_is_trained_from_a_gguf_file(tmp_path: Path) -> None:
    """Its export is a directory like any other."""
    base = tmp_path / "tiny.gguf"
    make_gguf(base)
    directory = make_run(tmp_path / "run", base=str(base), training={"steps": 3, "checkpoint_steps": 2})
    [(code, _, log)] = run_ranks(directory)
    assert code == 0, log
    student = base_model.load_model(str(directory / "student"))
    assert student.num_parameters() == base_model.load_model(str(base)).num_parameters()
    assert tokenizers_of.load_tokenizer(str(directory / "student")).chat_template
    config = json.loads((directory / "student" / "config.json").read_text())
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"], "for transformers 4 too"


def test_what_cannot_be_a_base_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    assert is_path("models/x.gguf") and is_path("./x") and not is_path("org/x")
    file = tmp_path / "x.GGUF"
    assert unusable(file) == "the file does not exist"
    file.write_bytes(b"PK\x03\x04")
    assert unusable(file) == "not a GGUF file (it does not begin with GGUF)"
    file.write_bytes(b"GGUF\x03")
    assert not unusable(file)
    assert unusable(tmp_path) == "not a model directory (it has no config.json)"
    (tmp_path / "config.json").write_text("{}")
    assert not unusable(tmp_path)
