"""`python -m bench.systems NAME … [--break]`: runs the checks of the named systems."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path

from bench.systems.gates import verdict

HELPERS = ("gates",)
ALL = "all"


def systems() -> list[str]:
    """The systems: one module each, with a function `gates(broken)`."""
    found = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return sorted(name for name in found if not name.startswith("_") and name not in HELPERS)


def main(argv: list[str] | None = None) -> int:
    """The exit code: 0 if all gates of all named systems pass, else 1; 2 for wrong arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.systems",
        description="Checks systems by their gates: prints figures, thresholds, seeds and a verdict.",
        epilog="example: python -m bench.systems ensemble --break",
    )
    parser.add_argument(
        "names",
        nargs="+",
        choices=[*systems(), ALL],
        metavar="NAME",
        help=f"{', '.join(systems())}; {ALL}: each of them",
    )
    parser.add_argument(
        "--break", dest="broken", action="store_true", help="plant the failure that the gates must notice"
    )
    arguments = parser.parse_args(argv)
    codes = []
    for name in systems() if ALL in arguments.names else arguments.names:
        print(f"{name}{' (broken on purpose)' if arguments.broken else ''}", flush=True)
        codes.append(verdict(importlib.import_module(f"bench.systems.{name}").gates(arguments.broken)))
    if len(codes) > 1:
        print(f"systems: {codes.count(0)} of {len(codes)} passed", flush=True)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
