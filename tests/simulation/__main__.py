"""Many seeds of the simulation: `make simulate SEEDS=1000 FROM=0`, and `make soak` for ten thousand.

Says which invariants were looked at, and how often. Some seeds are run again, in other processes with another
PYTHONHASHSEED: their traces must be the same. Ends with 1 when an invariant did not hold, and says how that seed is run again.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation.simulation import Simulation, SimulationResult
from tests.simulation.user import kinds

MEMORY = Path("/dev/shm")
TELL_EACH = 500
SAME = "the same seed is the same story"


def run_seed(seed: int) -> SimulationResult | str:
    """What one seed was, or the traceback of what did not hold."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        try:
            return Simulation(seed, Path(folder)).run()
        except BaseException as error:
            return "".join(traceback.format_exception(cause(error)))
        finally:
            gc.collect()


def cause(error: BaseException) -> BaseException:
    """What did not hold, out of the groups of tasks that fell with it."""
    leaves = [error]
    while groups := [each for each in leaves if isinstance(each, BaseExceptionGroup)]:
        leaves = [each for each in leaves if each not in groups] + [
            inner for group in groups for inner in group.exceptions
        ]
    return next((each for each in leaves if isinstance(each, AssertionError)), leaves[0])


def again(first: int, seeds: int, step: int, jobs: int) -> dict[int, str]:
    """Traces of some seeds, from processes with another hash seed."""
    argv = [sys.executable, "-m", "tests.simulation", "--trace", "--from", str(first), "--seeds", str(seeds)]
    argv += ["--step", str(step), "--jobs", str(jobs)]
    hashed = {**os.environ, "PYTHONHASHSEED": str(1 + int(os.environ.get("PYTHONHASHSEED", "0") == "1"))}
    made = subprocess.run(argv, env=hashed, stdout=subprocess.PIPE, text=True, check=False)
    lines = [line.split() for line in made.stdout.splitlines()]
    return {int(line[0]): line[1] for line in lines if len(line) == 2 and len(line[1]) == 64}


def main(argv: list[str] | None = None) -> int:
    """Runs the seeds."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--trace", action="store_true", help="print the digest of each run")
    parser.add_argument("--step", type=int, default=1, help="only every so-manieth seed")
    parser.add_argument("--again", type=int, default=0, help="run every so-manieth seed again; 0: none")
    options = parser.parse_args(argv)
    started = time.monotonic()
    failed: list[tuple[int, str]] = []
    told: list[SimulationResult] = []
    seeds = range(options.first, options.first + options.seeds, options.step)
    gc.collect()
    gc.freeze()  # each seed clears up after itself: not through all that was imported
    with ProcessPoolExecutor(max_workers=min(options.jobs, len(seeds))) as pool:
        for place, (seed, found) in enumerate(
            zip(seeds, pool.map(run_seed, seeds, chunksize=1), strict=True)
        ):
            if place and place % TELL_EACH == 0:
                print(
                    f"{place} seeds, {len(failed)} failed, {time.monotonic() - started:.0f} s",
                    file=sys.stderr,
                )
            if isinstance(found, str):
                failed.append((seed, found))
                print(f"seed {seed}:\n{found}", file=sys.stderr)
            else:
                told.append(found)
                if options.trace:
                    print(found.seed, found.trace)
    wall = time.monotonic() - started
    virtual = sum(each.virtual_s for each in told) / 3600
    faults: Counter[str] = Counter()
    for each in told:
        faults.update(each.faults)
    print(
        f"{len(seeds)} seeds in {wall:.0f} s ({len(seeds) / wall:.1f} a second), {virtual:.0f} virtual hours,"
        f" {sum(each.boots for each in told)} starts, {sum(each.kills for each in told)} kills\n"
        f"{sum(each.requests for each in told)} requests, {sum(each.billed for each in told)} billed,"
        f" {sum(each.stored for each in told)} of them stored,"
        f" {sum(each.unknown for each in told)} attempts unknown\n"
        + ", ".join(f"{name} {count}" for name, count in sorted(faults.items()))
    )
    seen: Counter[str] = Counter()
    for each in told:
        seen.update(each.seen)
    print(", ".join(f"{name} {count}" for name, count in sorted(seen.items())))
    missing = [name for name in kinds(len(seeds)) if not seen[name]]
    if missing:
        print(f"never happened, so nothing was shown of it: {', '.join(missing)}", file=sys.stderr)
    checked: Counter[str] = Counter()
    for each in told:
        checked.update(each.checked)
    if options.again:
        others = again(options.first, options.seeds, options.again, options.jobs)
        for each in told:
            if each.seed in others:
                checked[SAME] += 1
                if others[each.seed] != each.trace:
                    failed.append((each.seed, SAME))
                    print(f"seed {each.seed}: another story the second time", file=sys.stderr)
    print("held, and how often it was looked at:" if not failed else "looked at:")
    width = max(len(f"{count:,}") for count in checked.values()) if checked else 0
    for name, count in checked.items():
        print(f"  {count:>{width},}  {name}")
    for seed, _ in failed:
        print(f"failed; again with: make simulate FROM={seed} SEEDS=1")
    return 1 if failed or missing else 0


if __name__ == "__main__":
    sys.exit(main())
