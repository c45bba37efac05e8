"""A rank that trains one run directory after another, and that dies on request.

TEST_STRIKE="where:rank:signal" has rank `rank` send itself a signal: after step `where`, or, where it is
"export", just before the finished student gets its name. The last line of its output is the list of exit codes.
"""

from __future__ import annotations

import json
import os
import signal
import sys

from engine.students import loop, train


def strike(where: str, number: int) -> None:
    run_step, finish = loop.Loop.run_step, train.finish_student

    def deadly_step(self, step, *, meet):
        result = run_step(self, step, meet=meet)
        if str(step) == where:
            os.kill(os.getpid(), number)
        return result

    def deadly_finish(run_dir, card):
        if where == "export":
            os.kill(os.getpid(), number)
        return finish(run_dir, card)

    loop.Loop.run_step, train.finish_student = deadly_step, deadly_finish


if __name__ == "__main__":
    if order := os.environ.get("TEST_STRIKE"):
        where, rank, name = order.split(":")
        if os.environ["RANK"] == rank:
            strike(where, signal.Signals[name])
    codes = [train.main([directory]) for directory in sys.argv[1:]]
    sys.stdout.write(json.dumps(codes) + "\n")
    sys.exit(max(codes))
