"""Serves the student of a finished run: `python -m engine.students.serve RUN_DIR NAME PORT`.

`coterie serve` becomes it, and a daemon starts it for a teacher that is a student: with `--with-parent` it ends when its standard input
is closed, so with the daemon, even by SIGKILL; with `--usd-per-hour` answers state what their time on the device costs.
Listens on 127.0.0.1 alone. The port is taken before the student is loaded, so a port that is in use is told at once. SIGTERM and
SIGINT end it after the answers that are being written. Exit code 0: it was asked to end. 1: the student cannot be opened.
2: the port is in use, or the arguments are wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from engine.errors import CoterieError, UsageError
from engine.students.ranks import Ranks, StopFlag
from engine.students.run import Run, read_spec

HOST = "127.0.0.1"
DRAIN_S = 30.0
"""How long answers that are being written may take once it is to end."""


def main(argv: Sequence[str]) -> int:
    """Serves until a signal; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m engine.students.serve")
    parser.add_argument("directory", type=Path, metavar="RUN_DIR")
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("port", type=int, metavar="PORT")
    parser.add_argument("--with-parent", action="store_true")
    parser.add_argument("--usd-per-hour", type=float, default=0.0)
    given = parser.parse_args(argv)
    directory, name = given.directory.resolve(), given.name
    if given.with_parent:
        threading.Thread(target=_end_with_parent, name="parent watch", daemon=True).start()
    try:
        with taken(given.port) as listening:
            asyncio.run(_serve(directory, name, listening, given.usd_per_hour))
    except CoterieError as error:
        print(f"coterie: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except Exception as error:  # whatever the libraries raise on files that somebody changed
        traceback.print_exc()
        print(f"coterie: {name} cannot be served: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def taken(port: int) -> socket.socket:
    """A socket that listens at a port of this machine; 0: at a free one.

    Raises:
        UsageError: it is in use, or may not be used.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"port {port} of {HOST} cannot be used: {why}. Choose another one with --port, or leave it out for a free one"
        ) from None
    return listening


def _end_with_parent() -> None:
    """Ends this process at once when nobody holds the other end of its standard input any more."""
    with suppress(OSError):
        while os.read(0, 4096):
            pass
    os._exit(0)


async def _serve(directory: Path, name: str, listening: socket.socket, usd_per_hour: float) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    opening = asyncio.create_task(asyncio.to_thread(_open, directory, name, usd_per_hour))
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait({opening, waiting}, return_when=asyncio.FIRST_COMPLETED)
    if stop.is_set():  # a thread that loads a model cannot be ended
        os._exit(0)
    app, student, words = await opening
    from aiohttp import web

    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=DRAIN_S)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    print(f"{words} at http://{HOST}:{listening.getsockname()[1]}/v1", flush=True)  # noqa: T201
    await waiting
    await runner.cleanup()
    await student.close()


def _open(directory: Path, name: str, usd_per_hour: float):  # type: ignore[no-untyped-def] # its types bring torch
    """The application, its student, and a description of it."""
    from aiohttp import web

    from engine.students.evaluate import judge_with
    from engine.students.exported_student import load_student
    from engine.students.opened_student import open_student
    from engine.students.served_student import ServedStudent
    from engine.students.serving_api import Api

    spec = read_spec(directory)
    ranks = Ranks(rank=0, local_rank=0, world=1)
    run = Run(
        directory=directory, spec=spec, ranks=ranks, stop=StopFlag(), progress=None, make_judge=judge_with
    )
    opened = open_student(run)
    model = load_student(directory, opened.device)
    evaluation = spec.evaluation
    student = ServedStudent(
        opened,
        model,
        run.method,
        spec.guidance,
        most=evaluation.max_new_tokens,
        batch_size=evaluation.batch_size,
    )
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.add_routes(Api(student, name, usd_per_hour).routes())
    words = f"serving {name} (run {spec.run_id}, {spec.scope}, {student.parameters:,} parameters, {opened.device})"
    return app, student, words


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
