"""The command line of each bench."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from bench.tables import Table


def alone(bench: Callable[[bool], Table]) -> None:
    """Runs one bench and prints its table."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer requests")
    print(bench(parser.parse_args().quick).markdown())
