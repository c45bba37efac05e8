"""Students as jobs of a real Slurm: `make slurm` (about eight minutes; Debian: apt-get install slurm-wlm munge).

A cluster of one node is started on this machine (`cluster.py`). Two students train at once, one of them on two ranks; the daemon is
killed and the next one adopts both jobs; a trainer is killed, and a job is requeued by Slurm. Their numbers must be those of
the same runs without Slurm. Then one job meets its time limit, one is cancelled by `scancel`, one is stopped by `coterie stop`, and one
is refused. Prints what happens; the exit code is 1 where something is not as it must be.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from engine.students.slurm import read_job
from tests.daemon.site import Daemon, coterie, daemon, query, run_to_end, wait_until
from tests.engine.students.runs import events, numbers, results
from tests.slurm.cluster import Cluster, cluster, missing

CANARY = "sk-canary-of-the-daemon"
PATIENCE_S = 900.0
STEPS, EVERY, DEADLY = 200, 40, 45

HEAD = """
[teachers.practice]
builtin = true
model = "practice-large"
[tasks.coin_flip]
source = "builtin:coin_flip"
answer = "yes_no"
train = 60
dev = 10
test = 10
[[plans]]
name = "cot"
tasks = ["*"]
teachers = ["practice"]
rationales = 2
"""
STUDENT = """
[[students]]
name = "{name}"
[students.training]
steps = {steps}
checkpoint_steps = {every}
devices = {ranks}
executor = "{executor}"
[students.training.slurm]
partition = "{partition}"
gpu = false
cpus_per_rank = 1
minutes = {minutes}
stop_before_s = 40
"""


def student(name: str, steps: int, *, ranks: int = 1, executor: str = "slurm", **more: object) -> str:
    """A student's tables."""
    slurm = {"partition": "main", "minutes": 30} | more
    return STUDENT.format(name=name, steps=steps, every=EVERY, ranks=ranks, executor=executor, **slurm)


class Site:
    """A folder with a configuration, whose runs are jobs of the cluster."""

    def __init__(self, folder: Path, slurm: Cluster, *students: str) -> None:
        folder.mkdir()
        (folder / "config.toml").write_text(HEAD + "".join(students), encoding="utf-8")
        self.folder, self.slurm = folder, slurm
        self.env = {name: slurm.env[name] for name in ("SLURM_CONF", "PATH")} | {"OPENAI_API_KEY": CANARY}

    def run(self, name: str) -> int:
        """The id of a student's run; 0 before it has one."""
        return next((row[0] for row in query(self.folder, "SELECT id FROM run WHERE student = ?", name)), 0)

    def directory(self, name: str) -> Path:
        """Its directory."""
        return self.folder / "runs" / str(self.run(name))

    def step(self, name: str) -> int:
        """The newest step that it reported."""
        return max((event["step"] for event in events(self.directory(name), "step")), default=0)

    def job(self, name: str) -> int:
        """The number of its newest job."""
        job = read_job(self.directory(name)) if self.run(name) else None
        return job.job or 0 if job else 0

    def said(self, what: str) -> list[str]:
        """Events of the log that have these words."""
        return [
            row[0]
            for row in query(
                self.folder, "SELECT message FROM event WHERE message LIKE ? ORDER BY id", f"%{what}%"
            )
        ]

    def trainer(self, name: str) -> int:
        """The process of its first rank."""
        found = (self.directory(name) / "process.json").read_text()
        return int(found.split('"pid":')[1].split(",")[0])


def same(one: Site, other: Site, name: str) -> bool:
    """Whether two runs had the same numbers and results."""
    mine, theirs = one.directory(name), other.directory(name)
    return numbers(mine) == numbers(theirs) and results(mine) == results(theirs)


def trains(site: Site, name: str, by: Daemon) -> None:
    """Waits until a student trains; fails as soon as the daemon has ended."""

    def look() -> bool:
        if by.process.poll() is not None:
            raise RuntimeError(f"the daemon has ended: {by.output()[-3000:]}")
        return bool(site.run(name)) and site.step(name) >= DEADLY

    wait_until(f"{name} trains", look, PATIENCE_S)


def killed_and_adopted(folder: Path, slurm: Cluster) -> list[str]:
    """Two jobs at once, through kills of everything; what is wrong."""
    wrong: list[str] = []
    ranks = {"pair": 2, "single": 1}
    whole = Site(
        folder / "local",
        slurm,
        *(student(name, STEPS, ranks=ranks[name], executor="local") for name in ranks),
    )
    code, _ = run_to_end(whole.folder, seconds=PATIENCE_S)
    say(f"without Slurm: exit {code}")
    site = Site(
        folder / "cluster",
        slurm,
        *(student(name, STEPS, ranks=ranks[name]) for name in ranks),
    )
    with daemon(site.folder, "--until-idle", env=site.env) as first:
        for name in ranks:
            trains(site, name, first)
        running = slurm.ask("squeue", "-h", "-t", "R", "-o", "%i %j %C %D")
        say(f"jobs that run at once: {running.splitlines()}")
        wrong += [] if len(running.splitlines()) == 2 else ["two jobs did not run at once"]
        wrong += leaks(site)
        first.kill()
        say("the daemon is killed (SIGKILL)")
    jobs = {name: site.job(name) for name in ranks}
    before = {name: site.step(name) for name in ranks}
    for name in ranks:
        wait_until(f"{name} goes on", lambda name=name: site.step(name) > before[name], PATIENCE_S)
    with daemon(site.folder, "--until-idle", env=site.env) as second:
        for name in ranks:
            wait_until(
                f"{name} is adopted",
                lambda name=name: [said for said in site.said("is still running") if name in said],
                PATIENCE_S,
            )
        say(f"the next daemon: {site.said('is still running')}")
        wrong += [] if jobs == {name: site.job(name) for name in ranks} else ["a second job was submitted"]
        os.kill(site.trainer("single"), signal.SIGKILL)
        say(f"the trainer of single is killed at step {site.step('single')}, in job {jobs['single']}")
        slurm.ask("scontrol", "requeue", str(jobs["pair"]))
        say(f"job {jobs['pair']} of pair is requeued by Slurm at step {site.step('pair')}")
        code = second.wait(PATIENCE_S)
    for name in ranks:
        loaded = [
            (event["resumed"], event["resumed_from"]) for event in events(site.directory(name), "loaded")
        ]
        equal = same(site, whole, name)
        say(
            f"{name}: jobs {jobs[name]} and {site.job(name)}, loaded {loaded}, numbers {'equal' if equal else 'DIFFER'}"
        )
        wrong += (
            []
            if equal and loaded[-1][0] in ("exact", "finished")
            else [f"{name} is not what it is without Slurm"]
        )
    wrong += [] if code == 0 else [f"the daemon ended with {code}: {second.output()[-2000:]}"]
    wrong += [] if site.job("pair") == jobs["pair"] else ["the requeued job was submitted again"]
    wrong += [] if site.job("single") != jobs["single"] else ["the failed job was not submitted again"]
    for words in ("Slurm job", "submitted"):
        say(f"log: {site.said(words)}")
    return wrong


def limits_and_cancels(folder: Path, slurm: Cluster) -> list[str]:
    """A time limit, scancel, `coterie stop --run`, and a partition that takes no jobs; what is wrong."""
    wrong: list[str] = []
    site = Site(
        folder / "ends",
        slurm,
        student("limited", 100_000, minutes=3),
        student("cancelled", 100_000),
        student("stopped", 100_000),
        student("refused", 10, partition="nowhere"),
    )
    with daemon(site.folder, "--until-idle", env=site.env) as started:
        for name in ("cancelled", "stopped"):
            trains(site, name, started)
        slurm.ask("scancel", str(site.job("cancelled")))
        say(f"job {site.job('cancelled')} is cancelled by hand (scancel)")
        stop = coterie(site.folder, "stop", "--run", str(site.run("stopped")), env=site.env)
        say(f"coterie stop --run: {stop.stdout.strip()}")
        for name in ("cancelled", "stopped"):
            wait_until(
                f"{name} has stopped",
                lambda name=name: query(
                    site.folder, "SELECT 1 FROM run WHERE student = ? AND state = 'stopped'", name
                ),
                PATIENCE_S,
            )
        wait_until(
            "limited met its limit, and went on",
            lambda: len(events(site.directory("limited"), "loaded")) > 1,
            PATIENCE_S,
        )
        coterie(site.folder, "stop", "--run", str(site.run("limited")), env=site.env)
        code = started.wait(PATIENCE_S)
    rows = dict(query(site.folder, "SELECT student, state FROM run"))
    say(f"states: {rows}, exit {code}")
    wanted = {"limited": "stopped", "cancelled": "stopped", "stopped": "stopped", "refused": "failed"}
    wrong += [] if rows == wanted else [f"states are {rows}, not {wanted}: {started.output()[-2000:]}"]
    for name in ("cancelled", "stopped", "limited"):
        loaded = [
            (event["resumed"], event["resumed_from"]) for event in events(site.directory(name), "loaded")
        ]
        last = [event["step"] for event in events(site.directory(name), "checkpoint")]
        say(
            f"{name}: loaded {loaded}, last checkpoint at step {last[-1] if last else None}, job {site.job(name)}"
        )
    loaded = [event["resumed"] for event in events(site.directory("limited"), "loaded")]
    wrong += [] if loaded[0] == "new" and set(loaded[1:]) == {"exact"} else [f"the limit: loaded {loaded}"]
    for words in ("Slurm", "invalid"):
        say(f"log: {site.said(words)}")
    return wrong


def leaks(site: Site) -> list[str]:
    """Processes of jobs that know a secret of the daemon."""
    found = []
    for name in ("pair", "single"):
        environment = Path(f"/proc/{site.trainer(name)}/environ").read_bytes()
        found += [f"{name} knows the daemon's key"] if CANARY.encode() in environment else []
    for script in Path(site.slurm.folder).rglob("environment"):
        found += [f"{script} has the daemon's key"] if CANARY.encode() in script.read_bytes() else []
    say(f"the daemon's key is in {len(found)} environments of jobs")
    return found


def say(words: str) -> None:
    """One line, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def main() -> int:
    """Runs both parts."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended
    if absent := [*missing(), *([] if importlib.util.find_spec("submitit") else ["submitit"])]:
        say(
            f"skipped: {', '.join(absent)} not installed (apt-get install slurm-wlm munge; pip install '.[slurm]')"
        )
        return 0
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="coterie-slurm-") as name:
        folder = Path(name)
        (folder / "slurm").mkdir()
        with cluster(folder / "slurm") as slurm:
            say(slurm.ask("scontrol", "--version"))
            parts = [
                part
                for part in (killed_and_adopted, limits_and_cancels)
                if not ARGUMENTS or part.__name__ in ARGUMENTS
            ]
            wrong = [said for part in parts for said in part(folder, slurm)]
    for said in wrong:
        say(f"WRONG: {said}")
    say(f"{'all is well' if not wrong else f'{len(wrong)} WRONG'}, {time.monotonic() - begun:.0f} s")
    return 1 if wrong else 0


ARGUMENTS: Mapping[str, None] = dict.fromkeys(sys.argv[1:])

if __name__ == "__main__":
    sys.exit(main())
