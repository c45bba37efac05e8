"""Runs the server as a program: prints its address when it is ready, and ends on a signal or with its parent."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import threading

from engine.practice.server import serve
from engine.practice.server_options import PracticeOptions, options_from


def run(args: argparse.Namespace) -> int:
    """Serves with the flags of `add_arguments` until a signal or the parent's end; returns the exit code 0.

    Raises:
        UsageError: wrong options, files or addresses.
    """
    options = options_from(args)
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve_until_stopped(options, exit_with_parent=args.exit_with_parent))
    else:
        uvloop.run(_serve_until_stopped(options, exit_with_parent=args.exit_with_parent))
    return 0


async def _serve_until_stopped(options: PracticeOptions, *, exit_with_parent: bool) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if exit_with_parent:
        threading.Thread(target=_wait_for_parent, args=(loop, stop), daemon=True).start()
    serving = asyncio.create_task(serve(options, ready=_announce))
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if stop.is_set():
        serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


def _wait_for_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Reads standard input to its end, which comes when the parent ends for any reason."""
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    with contextlib.suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(stop.set)


def _announce(url: str) -> None:
    sys.stdout.write(json.dumps({"url": url}) + "\n")
    sys.stdout.flush()
