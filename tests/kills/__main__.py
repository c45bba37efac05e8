"""SIGKILL, again and again: `make kills KILLS=200 SEED=0`; and whatever else happens: `make chaos KILLS=200 SEED=0`.

Ends with 1 when something did not hold; the folder is kept then, and named.
"""

from __future__ import annotations

import argparse
import math
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.kills.campaign import HITS, IN_FLIGHT, Campaign, Told
from tests.kills.chaos import Chaos, small_disk


def main(argv: list[str] | None = None) -> int:
    """Kills, checks, and says what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=math.inf, help="kill no longer than this")
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument(
        "--chaos", action="store_true", help="edits, signals, locks, backups and a full disk too"
    )
    options = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="coterie-kills-"))
    started, much = time.monotonic(), (options.kills, options.minutes)
    try:
        if options.chaos:
            disk = folder / "disk"
            disk.mkdir()
            with small_disk(disk) as mounted:
                if not mounted:
                    print("no small disk can be mounted here: it is never full", file=sys.stderr)
                told = Chaos(disk, options.seed, train=True, questions=options.questions, ledger=folder).run(
                    *much
                )
        else:
            told = Campaign(folder, options.seed, train=True, questions=options.questions).run(*much)
    except BaseException:
        print(f"kept: {folder}", file=sys.stderr)
        raise
    shutil.rmtree(folder)
    print(report(told, time.monotonic() - started))
    return 0


def report(told: Told, seconds: float) -> str:
    """The figures."""
    moments = ", ".join(
        f"{name} {count}" + (f" ({told.missed[name]} did not come)" if told.missed[name] else "")
        for name, count in sorted(told.moments.items())
    )
    hits = ", ".join(f"{name} {told.hits[name]}" for name in HITS)
    first = told.first_request_s or [0.0]
    return (
        f"{told.kills} kills in {seconds:.0f} s ({moments})\n"
        f"hit: {hits}\n"
        f"requests billed {told.billed}, stored {told.stored}, unknown {told.unknown}, lost {told.lost}\n"
        f"surplus a kill: at most {max(told.surplus, default=0)}, in the mean"
        f" {statistics.mean(told.surplus or [0]):.2f}, with {IN_FLIGHT} in flight\n"
        f"{told.bodies} bodies are what the teacher sent, byte for byte\n"
        f"{told.talks} panels came to their end, all members after the same turn\n"
        f"{told.runs} students trained to the end, {told.adopted} times the next daemon found one still running\n"
        f"from a start to its first request: {statistics.median(first):.2f} s in the median,"
        f" {max(first):.2f} s at most"
    )


if __name__ == "__main__":
    sys.exit(main())
