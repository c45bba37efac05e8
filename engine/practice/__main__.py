"""`python -m engine.practice`: runs the built-in teacher."""

from __future__ import annotations

import argparse
import sys

from engine.practice.run import run
from engine.practice.server_options import add_arguments
from state.errors import CoterieError
from state.safe import safe


def main() -> int:
    """Parses the flags and serves."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.practice",
        description="The built-in teacher: a server of OpenAI's and Anthropic's APIs that answers the builtin tasks' questions.",
        epilog="example: python -m engine.practice --port 8000 --fault 500=0.02,reset=0.01",
    )
    add_arguments(parser)
    try:
        return run(parser.parse_args())
    except CoterieError as error:
        sys.stderr.write(f"{safe(error.message)}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
