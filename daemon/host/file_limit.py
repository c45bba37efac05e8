"""Open files: how many connections there may be, so that the database and the control are never without one.

Each connection takes one of the process's open files; what readers of `state.db`, logs and training
processes need is set aside.
"""

from __future__ import annotations

import resource

SET_ASIDE = 64
WANTED = 65_536


def raise_limit() -> int:
    """Raises this process's limit of open files as far as it may, and returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return WANTED if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return most


def share(limit: int, key_workers: int) -> int:
    """Connections that each of so many keys may have at once, at least one."""
    return max(1, (limit - SET_ASIDE) // max(1, key_workers))
