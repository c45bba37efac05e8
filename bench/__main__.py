"""Runs the benches and writes `bench/RESULTS.md`: `python -m bench [--quick] [NAME …]`."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench import grading, latency, limits, million, objectives, peers, sampling, startup, streaming, training
from bench.tables import Table, results

BENCHES = {
    "sampling": sampling,
    "grading": grading,
    "streaming": streaming,
    "latency": latency,
    "limits": limits,
    "startup": startup,
    "million": million,
    "peers": peers,
    "training": training,
    "objectives": objectives,
}
TARGET = Path(__file__).with_name("RESULTS.md")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures Coterie beside a bare loop and other programs in the same run (about 20 minutes).",
        epilog="example: python -m bench --quick sampling",
    )
    found.add_argument("names", nargs="*", metavar="NAME", help=f"run only these: {', '.join(BENCHES)}")
    found.add_argument("--quick", action="store_true", help="fewer requests")
    found.add_argument("-o", "--output", type=Path, default=TARGET, help="file to write (bench/RESULTS.md)")
    return found


def in_process(name: str, quick: bool) -> Table:
    """Runs one bench in a process of its own, because a child's peak memory starts at its parent's."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(BENCHES[name].bench, quick).result()


def main(argv: list[str] | None = None) -> int:
    """Runs the benches and writes their sections; a run of all of them begins a new file."""
    arguments = parser().parse_args(argv)
    if unknown := [name for name in arguments.names if name not in BENCHES]:
        parser().error(f"unknown bench {', '.join(unknown)}; expected one of: {', '.join(BENCHES)}")
    tables = []
    for name in arguments.names or BENCHES:
        started = time.monotonic()
        tables.append(in_process(name, arguments.quick))
        print(tables[-1].markdown(), flush=True)
        print(f"({name}: {time.monotonic() - started:.0f} s)\n", flush=True)
    if arguments.quick and arguments.output == TARGET:
        return 0  # too rough to be kept
    before = (
        arguments.output.read_text(encoding="utf-8") if arguments.names and arguments.output.exists() else ""
    )
    arguments.output.write_text(results(tables, quick=arguments.quick, before=before), encoding="utf-8")
    print(f"written: {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
