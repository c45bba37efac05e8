"""The command line: `coterie COMMAND`. Parses first, then imports what the command needs."""

from __future__ import annotations

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
    finally:
        HANGUPS.end()


if __name__ == "__main__":
    sys.exit(main())
