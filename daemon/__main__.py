"""The command line: `coterie COMMAND`. Parses first, then imports what the command needs."""

from __future__ import annotations

import argparse
import sys

from daemon.cli.parser import parse
from daemon.host.hangup import HANGUPS
from state.errors import CoterieError
from state.safe import safe


def main(argv: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    given = sys.argv[1:] if argv is None else argv
    if given[:1] == ["run"]:
        HANGUPS.install()  # importing the daemon takes a second
    arguments = parse(given)
    try:
        return int(arguments.command(arguments))
    except CoterieError as error:
        sys.stderr.write(f"coterie: {safe(error.message)}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `coterie export … | head`
        sys.stderr.close()
        return 0
    except Exception as error:
        if (known := _told(error, arguments)) is None:
            raise
        sys.stderr.write(f"coterie: {safe(known.message)}\n")
        return known.exit_code
    finally:
        HANGUPS.end()


def _told(error: Exception, arguments: argparse.Namespace) -> CoterieError | None:
    """An error of a database that is damaged where no command expected it, or of an earlier version; None for all others."""
    from daemon.cli.database_path import database_path
    from state import sqlite
    from state.database import told
    from state.errors import StateError

    if arguments.config is None or not isinstance(error, sqlite.Error | UnicodeDecodeError):
        return None
    path = database_path(arguments.config)
    if "no such column" in str(error) or "no such table" in str(error):
        return StateError(
            f"{path}: {error}. It was written by an earlier version: `coterie run` brings it up to date, after a backup."
        )
    return told(error, path)


if __name__ == "__main__":
    sys.exit(main())
