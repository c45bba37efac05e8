"""`python -m engine.practice`: the built-in teacher server on its own."""

from __future__ import annotations

import argparse
import sys

from engine.practice.options import add_arguments
from engine.practice.run import run
from state.errors import CoterieError


def main() -> int:
    """Parse the flags and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m engine.practice",
        description="The built-in teacher: an OpenAI-compatible server that knows the builtin tasks.",
        epilog="example: python -m engine.practice --port 8000 --fault 500=0.02,reset=0.01",
    )
    add_arguments(parser)
    try:
        return run(parser.parse_args())
    except CoterieError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
