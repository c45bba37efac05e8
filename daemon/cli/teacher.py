"""`coterie teacher`: runs the built-in teacher as a separate server."""

from __future__ import annotations

import argparse

from engine.practice.run import run


def command(arguments: argparse.Namespace) -> int:
    """Serves until interrupted."""
    return run(arguments)
