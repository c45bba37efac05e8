"""Reads the headers of a base's weights: names and shapes of tensors, and whether the files are whole. Loads no weight.

A safetensors file starts with the length of its header (8 bytes, little endian) and the header (JSON: data type, shape and
place of each tensor). Large bases have several, listed in `model.safetensors.index.json`. Imports nothing heavy.
"""

from __future__ import annotations

import json
from pathlib import Path

from engine.errors import JobFailed

Shapes = dict[str, tuple[int, ...]]

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
LARGEST_HEADER = 100_000_000
"""The library safetensors refuses larger ones."""


class NotHere(JobFailed):
    """Files that the hub has are not in its local cache."""


def read_shapes(folder: Path, *, cached: bool = False) -> Shapes:
    """The shape of each tensor in the safetensors of a directory.

    Args:
        folder: the directory.
        cached: whether it is a snapshot in the local cache of the hub, whose missing files can be downloaded.

    Raises:
        NotHere: it is such a snapshot, and files are missing.
        JobFailed: there are no weights, or a file is missing, cut short, or not a safetensors file.
    """
    files = [SINGLE] if (folder / SINGLE).is_file() else _listed(folder)
    missing = [name for name in files if not (folder / name).is_file()]
    if cached and (missing or not files):
        raise NotHere("its weights are not in the hub's local cache")
    if not files:
        pickled = sorted(path.name for path in (*folder.glob("*.bin"), *folder.glob("*.pt")))
        found = f" ({pickled[0]} is pickled, and pickled weights are never read)" if pickled else ""
        raise JobFailed(
            f"{folder}: no weights{found}: expected {SINGLE}, or {INDEX} with its shards. Put them there, or name another base"
        )
    if missing:
        raise JobFailed(
            f"{folder}: {len(missing):,} of {len(files):,} weight files are missing: {missing[0]} is named in {INDEX}."
            " Copy the directory again"
        )
    return {name: shape for file in files for name, shape in _header(folder / file).items()}


def _listed(folder: Path) -> list[str]:
    path = folder / INDEX
    if not path.is_file():
        return []
    try:
        return sorted(set(json.loads(path.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise JobFailed(f"{path}: not an index of weight files. Copy the directory again") from None


def _header(path: Path) -> Shapes:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > LARGEST_HEADER:
            raise JobFailed(f"{path}: not a safetensors file. Copy it again")
        text = file.read(length)
    if len(text) < length:
        raise _cut(path, size, 8 + length)
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        end = 8 + length + max((each["data_offsets"][1] for each in header.values()), default=0)
        shapes = {name: tuple(map(int, each["shape"])) for name, each in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise JobFailed(f"{path}: not a safetensors file. Copy it again") from None
    if size < end:
        raise _cut(path, size, end)
    return shapes


def _cut(path: Path, size: int, expected: int) -> JobFailed:
    return JobFailed(
        f"{path}: cut short: {size:,} bytes, and its header needs {expected:,}. Copy or download it again"
    )
