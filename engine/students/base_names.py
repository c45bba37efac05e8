"""What the text of `students.base` names: a built-in student, a directory, a GGUF file, or a model of the hub. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

GGUF = ".gguf"
_MAGIC = b"GGUF"


def is_gguf(base: str) -> bool:
    """Whether it names a GGUF file."""
    return base.lower().endswith(GGUF)


def is_path(base: str) -> bool:
    """Whether it can only be a file or directory: hub ids look otherwise."""
    return base.startswith((".", "/", "~")) or is_gguf(base)


def place_of(base: str) -> Path | None:
    """The directory or file of a base on this machine: a local one, or the snapshot in the hub's cache; None: it is not here."""
    if is_path(base):
        return Path(base)
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(base, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def files_of(base: str) -> tuple[str, dict[str, str]]:
    """Where transformers finds a base: the directory or hub id, and the keyword arguments for a GGUF file."""
    if is_gguf(base):
        return str(Path(base).parent), {"gguf_file": Path(base).name}
    return base, {}


def unusable(path: Path) -> str:
    """Why a path cannot be a base, as far as the first bytes tell; empty if it may be one."""
    if is_gguf(path.name):
        if not path.is_file():
            return "the file does not exist"
        with path.open("rb") as file:
            return "" if file.read(len(_MAGIC)) == _MAGIC else "not a GGUF file (it does not begin with GGUF)"
    return "" if (path / "config.json").is_file() else "not a model directory (it has no config.json)"
