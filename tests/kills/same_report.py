"""SIGKILL at random moments of a campaign: its report is the same but for times. `python -m tests.kills.same_report --kills 20`.

The campaign is run to its end twice, once without a kill; both are started a second time, which ends soon. Moments are drawn over the work: stored
samples, steps and ended runs, so all phases are hit however fast the machine is. With half of the kills the training processes die too; else the next
daemon finds them at work. Prints what each kill hit and how long each run took; ends with 1 if a line of the reports differs.
"""

from __future__ import annotations

import argparse
import difflib
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.daemon.site import ENV, ROOT, query

CAMPAIGN = ROOT / "docs" / "campaign.toml"
RUN_WORTH = 0.05
"""An ended run counts as this share of all samples: it also began, exported and was tested."""
LONGEST_WAIT_S = 3.0
"""A kill comes at most so long after its moment."""
SECOND_START_S = 10.0

ACTIVE = "('starting', 'training', 'evaluating')"


SHORT = {
    "train": 60,
    "dev": 10,
    "test": 20,
    "calibration": 24,
    "steps": 200,
    "rationales": 2,
    "candidates": 4,
}
"""`--short`: no setting is above this."""


def shortened(text: str) -> str:
    """A campaign of the same parts with less of everything: what its students answer is of no use."""
    named = re.compile(rf"\b({'|'.join(SHORT)}) = (\d+)")
    return named.sub(lambda found: f"{found[1]} = {min(int(found[2]), SHORT[found[1]])}", text)


def start(folder: Path) -> subprocess.Popen[bytes]:
    """A daemon that works until nothing is left."""
    log = (folder / "daemon.log").open("ab")
    argv = [sys.executable, "-m", "daemon", "run", "--until-idle", "--no-tui"]
    return subprocess.Popen(argv, cwd=folder, env=ENV, stdout=log, stderr=log, start_new_session=True)


def to_the_end(folder: Path) -> float:
    """Runs the campaign until nothing is left; the seconds that it took."""
    began = time.monotonic()
    code = start(folder).wait()
    if code:
        raise SystemExit(f"exit {code}: {(folder / 'daemon.log').read_text()[-2000:]}")
    return time.monotonic() - began


def asked(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of the folder's database; none while it is being created."""
    try:
        return query(folder, sql)
    except Exception:
        return []


def work(folder: Path, worth: float) -> float:
    """How much was done: samples, steps and ended runs."""
    samples = asked(folder, "SELECT count(*) FROM sample WHERE state = 'stored'")
    runs = asked(folder, "SELECT coalesce(sum(step), 0), count(*) FILTER (WHERE state = 'done') FROM run")
    return sum(count for (count,) in samples) + sum(steps + worth * ended for steps, ended in runs)


def doing(folder: Path) -> str:
    """What a kill hit."""
    flying = sum(count for (count,) in asked(folder, "SELECT count(*) FROM attempt WHERE outcome IS NULL"))
    runs = asked(folder, f"SELECT student, scope, state, step FROM run WHERE state IN {ACTIVE}")
    said = [f"{student}/{scope} {state} at {step}" for student, scope, state, step in runs]
    return ", ".join([f"{flying} requests in flight"] * bool(flying) + said) or "nothing at work"


def kill(folder: Path, daemon: subprocess.Popen[bytes], *, trainers: bool) -> None:
    """SIGKILL to the daemon, and to the training processes of this folder."""
    daemon.kill()
    daemon.wait()
    if trainers:
        for (pid,) in asked(folder, f"SELECT pid FROM run WHERE state IN {ACTIVE} AND pid > 0"):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def report(folder: Path) -> list[str]:
    """The lines of the report without what may differ: times, run numbers, starts, and what was in flight at a kill."""
    text = (folder / "report" / "report.md").read_text()
    names = {
        run: f"{student}/{scope}"
        for run, student, scope in query(folder, "SELECT id, student, scope FROM run")
    }
    named = lambda found: found[1] + re.sub(r"\d+", lambda run: names[int(run[0])], found[2])  # noqa: E731
    text = text.split("\n## Configuration")[0]
    text = re.sub(r"Written on .*? UTC\. Newest run of [\d-]+\.", "", text)
    text = re.sub(r"Starts of the daemon: \d+\. .* which no cost in this report includes\.", "", text)
    text = re.sub(r", and \$[\d.]+ that may have been billed", "", text)  # of the requests in flight
    text = re.sub(r"(runs?[ /]|(?:prompt|prune|merge|ensemble) of )(\d+(?:, \d+)*)", named, text)
    lines, column = [], None
    for line in text.split("\n"):
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 3:
            column = None
        elif "seconds" in cells:
            column = cells.index("seconds")
        if column is not None and len(cells) > column:
            cells[column] = ""
        if len(cells) > 2 and cells[1].isdigit() and int(cells[1]) in names:
            cells[1] = names[int(cells[1])]
        lines.append("|".join(cells))
    return sorted(line for line in lines if line.strip("|- "))


def say(line: str) -> None:
    """Prints a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(argv: list[str] | None = None) -> int:
    """Runs, kills, compares."""
    parser = argparse.ArgumentParser(prog="python -m tests.kills.same_report")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--config", type=Path, default=CAMPAIGN)
    parser.add_argument("--short", action="store_true", help="the same parts, with less of everything")
    parser.add_argument("--folder", type=Path, help="kept; a finished `whole` in it is not made again")
    options = parser.parse_args(argv)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="coterie-same-"))
    whole, killed = folder / "whole", folder / "killed"
    for each in (whole, killed):
        each.mkdir(parents=True, exist_ok=True)
        text = options.config.read_text()
        (each / "config.toml").write_text(shortened(text) if options.short else text)
    began = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = to_the_end(whole)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = spent.ru_utime + spent.ru_stime - began.ru_utime - began.ru_stime
    say(f"without a kill: {seconds:.0f} s, {cpu:.0f} s of CPU")
    [(samples,)] = query(whole, "SELECT count(*) FROM sample")
    worth, rng = RUN_WORTH * samples, random.Random(options.seed)
    total = work(whole, worth)
    for number, moment in enumerate(sorted(rng.uniform(0, total) for _ in range(options.kills)), 1):
        daemon = start(killed)
        trainers, wait = rng.random() < 0.5, rng.uniform(0, LONGEST_WAIT_S)
        while work(killed, worth) < moment and daemon.poll() is None:
            time.sleep(0.1)
        time.sleep(wait)
        hit = doing(killed)
        kill(killed, daemon, trainers=trainers)
        say(
            f"kill {number} at {100 * moment / total:.0f} %: {hit}{'; training processes killed too' * trainers}"
        )
    say(f"the rest: {to_the_end(killed):.0f} s")
    again = [to_the_end(each) for each in (whole, killed)]
    say(
        f"started again: {again[0]:.1f} s and {again[1]:.1f} s (at most {SECOND_START_S:.0f} on a quiet machine)"
    )
    differences = [
        line
        for line in difflib.unified_diff(report(whole), report(killed), "whole", "killed", lineterm="", n=0)
        if not line.startswith("@@")
    ]
    for line in differences:
        say(line[:300])
    say(
        f"{options.kills} kills: {'the reports differ' if differences else 'the same report, but for times'} ({folder})"
    )
    if not differences and options.folder is None:
        shutil.rmtree(folder)
    return int(bool(differences))


if __name__ == "__main__":
    sys.exit(main())
