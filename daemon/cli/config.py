"""`coterie config schema`: the JSON Schema of `config.toml`. `coterie config preset`: what a preset sets."""

from __future__ import annotations

import argparse
import sys

from engine.config.presets import PRESETS, told
from engine.config.schema import schema_text
from engine.errors import UsageError


def command(arguments: argparse.Namespace) -> int:
    """Prints the text, or writes it to a file.

    Raises:
        UsageError: the preset is unknown, or the file cannot be written.
    """
    if arguments.what == "preset" and arguments.name not in PRESETS:
        raise UsageError(f"there is no preset {arguments.name!r}; known: {', '.join(PRESETS)}")
    text = told(arguments.name) if arguments.what == "preset" else schema_text()
    if arguments.output is None:
        sys.stdout.write(text)
        return 0
    try:
        arguments.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{arguments.output}: cannot be written: {error.strerror}") from None
    return 0
