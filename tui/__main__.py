"""`coterie tui`: the monitor of a `state.db`, on a terminal or as one line per interval."""

from __future__ import annotations

import argparse
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from engine.config import Config, TuiConfig, load_config
from engine.errors import UsageError
from state.errors import CoterieError
from state.safe import safe

EXAMPLE = """example:
  coterie tui                          the database of ./config.toml
  coterie tui --db /srv/run/state.db --readonly
  ssh gpu-server 'cd coterie && .venv/bin/python -m tui --plain --interval 10'
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the monitor; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        path, settings = _source(arguments)
        if arguments.plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return plain(path, arguments.interval)
        from tui.app import make_app  # heavy, and --plain does not need it
        from tui.glyphs import needed

        app = make_app(
            path,
            readonly=arguments.readonly,
            keys=settings.keys,
            theme=settings.theme,
            interval=arguments.interval,
            ascii_only=settings.ascii or needed(),
        )
    except CoterieError as error:
        sys.stderr.write(f"{safe(error.message)}\n")
        return error.exit_code
    app.run()
    return app.return_code or 0


def check(config: Config) -> None:
    """Checks everything about `[tui]`; imports the UI only if something is set.

    Raises:
        ConfigError: it has a mistake.
    """
    if config.tui != TuiConfig():
        watcher(config)


BACKGROUND, STOP = "background", "stop"


def watcher(config: Config) -> Callable[[Callable[[], bool]], str]:
    """The UI on a configuration's database, with everything about it checked; it runs when it is called.

    It runs until you leave it or what it is given returns true (checked twice a second), and returns what should happen to
    the daemon: `BACKGROUND` or `STOP`; also `STOP` if nobody could be asked because the terminal was closed or the daemon ended.

    Raises:
        ConfigError: `[tui]` has a mistake.
    """
    from tui.app import make_app
    from tui.glyphs import needed
    from tui.screens.dialogs import Choice

    choices = [
        Choice("b", "keep it running in the background", BACKGROUND),
        Choice("s", "stop it: requests in flight finish, runs keep a checkpoint", STOP),
    ]
    app = make_app(
        config.database,
        keys=config.tui.keys,
        theme=config.tui.theme,
        ascii_only=config.tui.ascii or needed(),
        leaving=("The daemon is still running. What should happen to it?", choices, "stay here"),
    )

    def watch(until: Callable[[], bool]) -> str:
        def check() -> None:
            if until():
                app.exit(STOP)

        app.call_later(app.set_interval, 0.5, check)
        return app.run() or STOP

    return watch


def plain(path: Path, interval: float) -> int:
    """Prints the status in one line, at each interval at which it is another, until it is interrupted or the pipe is closed."""
    from state.database import now_ms
    from state.views.format import status_line
    from tui.database_reader import DatabaseReader, ReadError

    reading, asked, last = False, False, ""

    def interrupt(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        if not reading:  # an exception in the middle of a query would look like one of the database
            raise KeyboardInterrupt

    reader = DatabaseReader(path)
    reader_gone = (
        select.poll()
    )  # nothing may be printed for hours, so a closed pipe has to be seen without a write
    reader_gone.register(sys.stdout.fileno(), 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        while not asked:
            reading = True
            try:
                line = status_line(reader.read(now_ms(), None).status)
            except ReadError as error:
                line = safe(f"waiting: {error}")
            finally:
                reading = False
            if asked:
                break
            if line != last:
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
            last = line
            if reader_gone.poll(interval * 1000):
                return 0
        return 130
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python complains at exit
        return 0
    finally:
        reader.close()


class _Parser(argparse.ArgumentParser):
    """Its messages repeat what was typed."""

    def error(self, message: str) -> NoReturn:
        """Exits with code 2."""
        super().error(safe(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="coterie tui",
        description="Watch a daemon through its state database; also works while it is stopped.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-c", "--config", type=Path, default=None, metavar="FILE", help="default: config.toml"
    )
    parser.add_argument("--db", metavar="URL|PATH", help="the database: sqlite:///PATH or PATH")
    parser.add_argument(
        "--readonly", action="store_true", help="disable the keys that send the daemon commands"
    )
    parser.add_argument(
        "--plain",
        action="store_true",
        help="print a line when the status changed, once an interval at most; the default without a terminal",
    )
    parser.add_argument("--interval", type=_seconds, default=1.0, metavar="S", help="seconds (default 1)")
    return parser


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.1 to 3600")
    return value


def _source(arguments: argparse.Namespace) -> tuple[Path, TuiConfig]:
    """The database and the monitor's settings; --db needs no configuration."""
    file = arguments.config or Path("config.toml")
    config = load_config(file) if arguments.config or not arguments.db or file.exists() else None
    settings = config.tui if config is not None else TuiConfig()
    if not arguments.db:
        assert config is not None
        return config.database, settings
    given = arguments.db
    if "://" in given:
        if not given.startswith("sqlite:///") or given == "sqlite:///":
            raise UsageError(f"--db {given}: expected sqlite:///PATH or a path")
        given = given.removeprefix("sqlite:///")
    return Path(given).resolve(), settings


if __name__ == "__main__":
    sys.exit(main())
