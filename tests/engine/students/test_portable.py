"""The files of an exported student, as older programs read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.students.portable import make_portable, portable_config, portable_tokenizer

LAYERS = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}


@pytest.mark.parametrize(
    ("rope", "named"),
    [
        ({"rope_type": "default", "rope_theta": 100.0}, {"rope_theta": 100.0}),
        (
            {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5},
            {"rope_theta": 1e4, "partial_rotary_factor": 0.5},
        ),
        (
            {"rope_type": "llama3", "factor": 8.0, "rope_theta": 5e5},
            {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
        ),
        (
            LAYERS,
            {
                "rope_theta": 1e6,
                "rope_scaling": {"rope_type": "linear", "factor": 8.0},
                "rope_local_base_freq": 1e4,
            },
        ),
        ({}, {}),
    ],
)
def test_rotary_positions_have_the_names_of_both_versions(rope: dict, named: dict) -> None:
    before = {"model_type": "x", "rope_parameters": rope, "dtype": "bfloat16"}
    found = portable_config(before)
    assert found == before | named | {"torch_dtype": "bfloat16"}
    assert portable_config(found) == found
    outer = portable_config({"text_config": before, "dtype": "float32"})
    assert outer == {"text_config": found, "dtype": "float32", "torch_dtype": "float32"}


def test_what_a_base_says_itself_is_kept() -> None:
    own = {
        "rope_parameters": {"rope_theta": 5.0},
        "rope_theta": 6.0,
        "dtype": "float32",
        "torch_dtype": "float16",
    }
    assert portable_config(own) == own


def test_a_tokenizer_has_a_class_that_both_versions_know(tmp_path: Path) -> None:
    new = {
        "tokenizer_class": "TokenizersBackend",
        "backend": "tokenizers",
        "is_local": True,
        "eos_token": "<end>",
    }
    assert portable_tokenizer(new) == {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<end>"}
    assert portable_tokenizer({"tokenizer_class": "Qwen2Tokenizer"}) == {"tokenizer_class": "Qwen2Tokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps(new | {"eos_token": "＜終＞"}), encoding="utf-8"
    )
    make_portable(tmp_path)
    assert "＜終＞" in (tmp_path / "tokenizer_config.json").read_text(encoding="utf-8")
