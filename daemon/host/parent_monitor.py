"""The monitor that started a daemon: it holds the other end of the daemon's standard input."""

from __future__ import annotations

import os

import anyio

GO_ON = b"+"
"""What it writes to keep the daemon in the background."""


async def monitor_died() -> bool:
    """Returns when the monitor ended; whether it did so without a word."""
    await anyio.wait_readable(0)
    return os.read(0, len(GO_ON)) != GO_ON
