"""Makes the files of an exported student read the same by older programs: transformers 4, and servers that follow its names.

transformers 5 writes the settings of rotary positions, the data type and the class of the tokenizer under new names. Version 4 does not know
them, and takes its defaults in silence: other positions, so other answers. Both names are written; version 5 prefers its own.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

NEW_CLASS, OLD_CLASS = "TokenizersBackend", "PreTrainedTokenizerFast"
"""The tokenizer without a class of its own; version 5 knows both names."""
LOCAL = ("is_local", "local_files_only", "backend")
"""How the tokenizer was loaded here, which is nobody else's business."""
BESIDE = ("rope_theta", "partial_rotary_factor")
"""Settings of rotary positions that version 4 has beside those of their scaling."""


def make_portable(directory: Path) -> None:
    """Rewrites `config.json` and `tokenizer_config.json` of a saved model in place."""
    _rewrite(directory / "config.json", portable_config)
    _rewrite(directory / "tokenizer_config.json", portable_tokenizer)


def portable_config(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a model with the names of version 4 beside those of version 5; so are the configurations in it."""
    found = {
        name: portable_config(value) if name.endswith("_config") and isinstance(value, dict) else value
        for name, value in config.items()
    }
    if isinstance(dtype := config.get("dtype"), str):
        found.setdefault("torch_dtype", dtype)
    rope = config.get("rope_parameters")
    if isinstance(rope, dict) and rope:
        by_layer = "rope_type" not in rope and "rope_theta" not in rope
        whole = rope.get("full_attention") if by_layer else rope
        found = _rotary(whole or {}) | found
        local = rope.get("sliding_attention") if by_layer else None
        if local and "rope_theta" in local:
            found.setdefault("rope_local_base_freq", local["rope_theta"])
    return dict(sorted(found.items()))


def portable_tokenizer(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a tokenizer with a class that both versions know."""
    found = {name: value for name, value in config.items() if name not in LOCAL}
    if found.get("tokenizer_class") == NEW_CLASS:
        found["tokenizer_class"] = OLD_CLASS
    return found


def _rotary(rope: dict[str, Any]) -> dict[str, Any]:
    found = {name: rope[name] for name in BESIDE if name in rope}
    if rope.get("rope_type", "default") != "default":
        found["rope_scaling"] = {name: value for name, value in rope.items() if name not in BESIDE}
    return found


def _rewrite(path: Path, change: Any) -> None:
    if path.is_file():
        before = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(change(before), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
