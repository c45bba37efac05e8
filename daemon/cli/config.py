"""`coterie config schema`: the JSON Schema of `config.toml`."""

from __future__ import annotations

import argparse
import sys

from engine.config.schema import schema_text
from engine.errors import UsageError


def command(arguments: argparse.Namespace) -> int:
    """Prints the schema, or writes it to a file.

    Raises:
        UsageError: the file cannot be written.
    """
    text = schema_text()
    if arguments.output is None:
        sys.stdout.write(text)
        return 0
    try:
        arguments.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{arguments.output}: cannot be written: {error.strerror}") from None
    return 0
