"""Whether the disk has room for a run: to start, and to write its next checkpoint.

A trainer that meets a full disk dies of it in many ways (a log it cannot write, half a checkpoint), often without a
word. So the room is looked at before it starts and after it died: without room it waits, and uses up no try.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from engine.students.checkpoints import complete_steps

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
LEAST_BYTES = 16 << 20
"""What a start needs at least."""
PROBE = ".room"


def check_room(directory: Path) -> None:
    """Checks that a run can be started there, by reserving the bytes for a moment: that sees quotas, too.

    Raises:
        OSError: there is no room, or the place cannot be written.
    """
    place = next(each for each in (directory, *directory.parents) if each.is_dir())
    need = max(LEAST_BYTES, _checkpoint_bytes(directory / "checkpoints"))
    probe = place / PROBE
    try:
        with probe.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, need)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise OSError(
                error.errno, f"{place} has no room for {need / 1e6:,.0f} MB ({error.strerror})"
            ) from None
        raise
    finally:
        with suppress(OSError):
            probe.unlink()


def lacks_room(directory: Path) -> bool:
    """Whether a process that died there may have died for want of room."""
    try:
        check_room(directory)
    except OSError as error:
        return error.errno in NO_ROOM
    return False


def _checkpoint_bytes(checkpoints: Path) -> int:
    """The size of the newest checkpoint, in bytes; 0 before the first."""
    steps = complete_steps(checkpoints)
    if not steps:
        return 0
    return sum(file.stat().st_size for file in (checkpoints / str(steps[-1])).rglob("*") if file.is_file())
