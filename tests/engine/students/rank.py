"""What a rank does that `rank_server.py` forked: it trains one run directory after another, and dies on request.

TEST_STRIKE="where:rank:signal" has rank `rank` send itself a signal: after step `where`, or, where it is
"export", just before the finished student gets its name. In place of a signal, "MEMORY" lets it have no more memory
than it has, until the run ends. The last lines of its output are what it imported of `SPARED`, and the list of exit codes.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.students import finish, loop, train

SPARED = ("torch._inductor.compile_fx", "aiohttp", "engine.teachers.client")
"""Modules that take long to import and that most runs do not need."""


def strike(where: str, what: str) -> None:
    run_step, finish_student = loop.Loop.run_step, finish.finish_student

    def deadly_step(self, step, *, sync):
        result = run_step(self, step, sync=sync)
        if str(step) == where:
            deed(what)
        return result

    def deadly_finish(run_dir, card):
        if where == "export":
            deed(what)
        return finish_student(run_dir, card)

    loop.Loop.run_step, finish.finish_student = deadly_step, deadly_finish


def deed(what: str) -> None:
    if what == "MEMORY":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit_memory(pages * resource.getpagesize())
    else:
        os.kill(os.getpid(), signal.Signals[what])


def limit_memory(size: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size, most))


def run(directory: str) -> int:
    try:
        return train.main([directory])
    finally:
        limit_memory(resource.RLIM_INFINITY)


def main(directories: Sequence[str]) -> int:
    if order := os.environ.get("TEST_STRIKE"):
        where, rank, name = order.split(":")
        if os.environ["RANK"] == rank:
            strike(where, name)
    codes = [run(directory) for directory in directories]
    imported = [name for name in SPARED if name in sys.modules]
    sys.stdout.write(f"imported: {imported}\n{json.dumps(codes)}\n")
    return max(codes)
