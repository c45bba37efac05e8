"""`coterie tui`: the monitor alone."""

from __future__ import annotations

import argparse

from tui.__main__ import main


def command(arguments: argparse.Namespace) -> int:
    """Hands over to the monitor."""
    argv = ["--db", arguments.db] if arguments.db else ["-c", str(arguments.config)]
    argv += ["--interval", arguments.interval]
    argv += ["--readonly"] if arguments.readonly else []
    argv += ["--plain"] if arguments.plain else []
    return main(argv)
