"""The builtin tasks: one module, or folder, for each."""

from __future__ import annotations

from typing import Any

from engine.tasks.procedural import ProceduralTask
from engine.variants import discover

BUILTIN_TASKS: dict[str, ProceduralTask[Any]] = discover(__name__, ProceduralTask)
"""By name: what `source = "builtin:NAME"` can name."""
