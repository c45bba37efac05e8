"""A stamp of a task's source files, so that a source that did not change is not read again.

A stamp covers the task's configuration, the size, inode and modification times of each file, and the version of the grader
that checks its gold answers. Equal stamps mean equal questions. Sources that are not files have no stamp, nor does a file that changed so recently that another change might leave
its times as they are. A missing stamp is an empty text and never counts as equal.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

from engine.config.tasks import TaskConfig
from engine.grading import GRADER_VERSIONS
from engine.question import SPLIT_NAMES
from engine.tasks.row_files import suffix_of
from engine.tasks.source import SPLIT_MARK

READER = 3
"""Raise it when the same file should be read as other questions, or `TaskSummary` has other figures of it."""

SETTLED_S = 2.0
"""File systems may store times in steps as large as this."""


def source_stamp(config: TaskConfig, folder: Path) -> str:
    """The stamp of a task's source as it is now; empty if it has none."""
    if suffix_of(config.source) is None or config.source.startswith(("builtin:", "hf:")):
        return ""
    names = [config.source.replace(SPLIT_MARK, split) for split in SPLIT_NAMES]
    seen: list[tuple[int, ...] | None] = []
    newest = time.time() - SETTLED_S
    for path in dict.fromkeys(folder / name for name in names):
        try:
            found = path.stat()
        except OSError:
            seen.append(None)
            continue
        if max(found.st_mtime, found.st_ctime) > newest:
            return ""
        seen.append((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
    if not any(seen):
        return ""
    shape = json.dumps(
        [READER, GRADER_VERSIONS["careful"], config.model_dump(mode="json"), str(folder), seen],
        sort_keys=True,
    )
    return hashlib.sha256(shape.encode()).hexdigest()
