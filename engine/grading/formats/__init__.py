"""The answer formats, one module each. A new file here is a new format."""

from __future__ import annotations

from engine.grading.format import Format
from engine.variants import discover

FORMATS: dict[str, Format] = discover(__name__, Format)
"""Every answer format by name."""

__all__ = ["FORMATS", "Format"]
