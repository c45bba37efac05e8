"""Modules that tests name at their head and that are imported when a test first uses them.

Every worker imports all test files and runs a few of them, so what takes seconds to import is imported by those that use it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

HEAVY = ("torch", "transformers", "deepspeed", "tokenizers", "pyarrow", "openai", "anthropic", "jsonschema")
collected: list[str] = []
"""Those of them that were imported when all test files were."""


def note_collected() -> None:
    """Fills `collected`."""
    collected[:] = (name for name in HEAVY if name in sys.modules)


class Lazy:
    """Stands for a module: its attributes are the module's."""

    def __init__(self, name: str) -> None:
        object.__setattr__(self, "_name", name)

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith(("__", "_pytest")):  # asked by pytest, which looks for fixtures
            raise AttributeError(attribute)
        return getattr(import_module(self._name), attribute)

    def __setattr__(self, attribute: str, value: Any) -> None:
        setattr(import_module(self._name), attribute, value)
