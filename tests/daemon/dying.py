"""The real daemon, killed by itself (SIGKILL) at a given moment of a batch's life: `python -m tests.daemon.dying MOMENT run …`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from daemon import __main__ as command
from daemon.batches import fetch_batch
from daemon.batches.batch_rows import Settler
from daemon.batches.outbox import Outbox
from engine.teachers.batch_client import BatchClient

MOMENTS = (
    "before the upload",
    "after the upload",
    "before the creation",
    "after the creation",
    "between two looks",
    "before the download",
    "after the download",
    "while rows are stored",
    "before the batch is over",
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def around(owner: Any, name: str, *, before: bool, call: int = 1) -> None:
    """Dies before or after the call of a coroutine."""
    real = getattr(owner, name)
    calls = 0

    async def wrapped(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if before and calls == call:
            die()
        result = await real(*args, **named)
        if not before and calls == call:
            die()
        return result

    setattr(owner, name, wrapped)


def arm(moment: str) -> None:
    if moment == "before the upload":
        around(BatchClient, "upload", before=True)
    elif moment == "after the upload":
        around(BatchClient, "upload", before=False)
    elif moment == "before the creation":
        around(BatchClient, "create", before=True)
    elif moment == "after the creation":
        around(BatchClient, "create", before=False)
    elif moment == "between two looks":
        around(BatchClient, "look", before=False)
    elif moment == "before the download":
        around(BatchClient, "download", before=True)
    elif moment == "after the download":
        around(BatchClient, "download", before=False)
    elif moment == "while rows are stored":
        fetch_batch.CHUNK = 8  # type: ignore[misc]
        around(Settler, "settle", before=True, call=20)
    elif moment == "before the batch is over":
        around(Outbox, "end", before=True)
    else:
        raise SystemExit(f"no such moment: {moment}")


if __name__ == "__main__":
    arm(sys.argv.pop(1))
    sys.exit(command.main())
