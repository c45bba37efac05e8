"""`python -m bench.systems NAME … [--break]`: prints figure, threshold, seeds and verdict of each gate.

`--break` plants the system's failure, which must be noticed: it then ends with 1.
"""

from __future__ import annotations

import argparse
import sys

from bench.systems import socratic

SYSTEMS = {"socratic": socratic}


def main(argv: list[str] | None = None) -> int:
    """Runs the checks; 1 if a gate fails."""
    parser = argparse.ArgumentParser(prog="python -m bench.systems", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(SYSTEMS)}")
    parser.add_argument("--break", dest="broken", action="store_true", help="plant the failure")
    arguments = parser.parse_args(argv)
    if unknown := [name for name in arguments.names if name not in SYSTEMS]:
        parser.error(f"unknown system {', '.join(unknown)}; expected one of: {', '.join(SYSTEMS)}")
    held = True
    for name in arguments.names or SYSTEMS:
        for gate in SYSTEMS[name].check(broken=arguments.broken):
            print(f"{name}: {gate}", flush=True)
            held &= gate.holds
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
