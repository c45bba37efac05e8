"""Forks ranks from a process that has the training libraries already imported: `python -m tests.engine.students.rank_server`.

A start of a rank costs four seconds of CPU, nearly all of it imports. What runs is the same: a process of its own for each rank,
with its own environment, session and output. The server itself computes nothing, so that it has no threads. A start in full
is that of a daemon begun `anew` (`tests/faults/test_secrets.py`). Each line of its input is a list of launches: environment, directories, file of the log;
it answers with a line of process ids and then, when all have ended, a line of exit codes.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
import traceback
from typing import Any

from engine.students import train
from tests.engine.students import rank


def start(launch: dict[str, Any]) -> int:
    """Forks a rank; returns its process id."""
    if pid := os.fork():
        return pid
    code = 1
    try:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(launch["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for number in (1, 2):
            os.dup2(log, number)
        os.environ.clear()
        os.environ.update(launch["env"])
        code = rank.main(launch["directories"])
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    train.import_libraries()
    for line in sys.stdin:
        pids = [start(launch) for launch in json.loads(line)]
        print(json.dumps(pids), file=answers, flush=True)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print(json.dumps(codes), file=answers, flush=True)


if __name__ == "__main__":
    main()
