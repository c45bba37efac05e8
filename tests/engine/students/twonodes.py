"""Two machines on one: `make twonodes` (two to three minutes; needs the right to make network namespaces).

Each machine is a network namespace with an address and a process tree of its own; a veth pair joins them. Ranks meet over it
on gloo, started by DeepSpeed's launcher (no-ssh). At ZeRO stages 2 and 3 a run is trained to its end; the same run has one machine
killed (all its processes, SIGKILL) and goes on. Its numbers must be those of the first. Then a daemon does a whole job in one
namespace with the other as its second machine, of which the ranks are killed once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.config.students import TrainingConfig
from engine.students.cluster import prepare_cluster
from engine.students.hosts import Host
from engine.students.progress_file import FILE, read_events
from engine.students.run_commands import send_command
from tests.engine.students.runs import events, make_run, numbers

ROOT = Path(__file__).resolve().parents[3]
STEPS, EVERY, DEADLY = 160, 40, 50
PATIENCE_S = 240.0


@dataclass(frozen=True)
class Machine:
    """A network namespace; processes in it are its processes."""

    name: str
    address: str
    link: str

    def start(self, *argv: str, log: Path, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts a process on the machine."""
        whole = {**os.environ, **(env or {}), "GLOO_SOCKET_IFNAME": self.link, "HF_HUB_OFFLINE": "1"}
        with log.open("ab") as output:
            return subprocess.Popen(
                ["ip", "netns", "exec", self.name, *argv],
                env=whole,
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    def kill(self, only: str = "") -> int:
        """SIGKILL to all its processes (whose command line has `only`); how many there were."""
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True)
        hit = 0
        for pid in map(int, found.stdout.split()):
            try:
                if only.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
                    hit += 1
            except OSError:
                pass
        return hit


@contextmanager
def machines() -> Iterator[tuple[Machine, Machine]]:
    """Two machines with a cable between them."""
    one = Machine(f"coterie-{os.getpid()}-a", "10.77.0.1", "near0")
    two = Machine(f"coterie-{os.getpid()}-b", "10.77.0.2", "far0")
    try:
        for each in (one, two):
            ip("netns", "add", each.name)
        ip(
            "link",
            "add",
            one.link,
            "netns",
            one.name,
            "type",
            "veth",
            "peer",
            "name",
            two.link,
            "netns",
            two.name,
        )
        for each in (one, two):
            ip("-n", each.name, "address", "add", f"{each.address}/24", "dev", each.link)
            ip("-n", each.name, "link", "set", "lo", "up")
            ip("-n", each.name, "link", "set", each.link, "up")
        yield one, two
    finally:
        for each in (one, two):
            each.kill()
            subprocess.run(["ip", "netns", "del", each.name], capture_output=True)


def ip(*words: str) -> None:
    """The command ip(8)."""
    subprocess.run(["ip", *words], check=True, capture_output=True)


def until(what: Callable[[], object], why: str) -> None:
    """Waits for something, with a limit."""
    begun = time.monotonic()
    while not what():
        if time.monotonic() - begun > PATIENCE_S:
            raise SystemExit(f"waited in vain for: {why}")
        time.sleep(0.05)


def say(text: str) -> None:
    """One line of the log."""
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stdout.flush()


def begin(run: Path, stage: int, one: Machine, two: Machine) -> subprocess.Popen[bytes]:
    """Starts node 0 of a run as the daemon would."""
    hosts = (Host(one.address, 1), Host(two.address, 1))
    training = TrainingConfig(devices=2, zero_stage=stage, hostfile="hosts", launcher="no-ssh")
    environ = {**os.environ, "GLOO_SOCKET_IFNAME": one.link, "HF_HUB_OFFLINE": "1"}
    launch = prepare_cluster(run, training, hosts, device="cpu", threads=1, environ=environ)
    return one.start(*launch.argv, env=dict(launch.env), log=run / "log.txt")


def step(run: Path) -> int:
    """The last step that a run told of."""
    return max((event["step"] for event in events(run, "step")), default=0)


def compare(folder: Path, one: Machine, two: Machine) -> int:
    """Stages 2 and 3, whole and killed; how many went wrong."""
    runs = folder / "runs"
    runs.mkdir()
    settings = {"steps": STEPS, "checkpoint_steps": EVERY, "devices": 2, "batch_tokens": 160}
    wrong = 0
    node = [sys.executable, "-m", "engine.students.node", str(runs), "--node-rank", "1"]
    for stage in (2, 3):
        training = settings | {"zero_stage": stage}
        worker = two.start(*node, log=folder / "node.txt")
        whole = make_run(runs / f"whole{stage}", training=training, evaluation={"dev_evaluations": 0})
        begun = time.monotonic()
        code = begin(whole, stage, one, two).wait(PATIENCE_S)
        send_command(whole, "end")
        [loaded] = events(whole, "loaded")
        say(
            f"stage {stage}: whole run on {loaded['world_size']} machines: exit {code}, {len(numbers(whole))} steps told, "
            f"{time.monotonic() - begun:.0f} s, last loss {numbers(whole)[STEPS][0]:.6f}"
        )
        run = make_run(runs / f"killed{stage}", training=training, evaluation={"dev_evaluations": 0})
        first = begin(run, stage, one, two)
        until(lambda run=run: step(run) >= DEADLY, f"step {DEADLY}")
        say(f"stage {stage}: machine 2 is killed at step {step(run)}: {two.kill()} processes")
        worker.wait(PATIENCE_S)
        code = first.wait(PATIENCE_S)
        send_command(run, "end")
        failed = events(run, "failed")
        say(
            f"stage {stage}: machine 1 ended with {code}: {failed[-1]['message'][:90] if failed else 'no word'}"
        )
        worker = two.start(*node, log=folder / "node.txt")  # the machine is back
        last = begin(run, stage, one, two).wait(PATIENCE_S)
        send_command(run, "end")
        loaded = events(run, "loaded")[-1]
        same = numbers(run) == numbers(whole)
        say(
            f"stage {stage}: gone on from step {loaded['resumed_from']} ({loaded['resumed']}): exit {last}, numbers "
            f"{'equal' if same else 'DIFFER FROM'} those of the whole run"
        )
        wrong += not (same and code and last == 0 and loaded["resumed"] == "exact")
        os.killpg(worker.pid, signal.SIGTERM)
        worker.wait(PATIENCE_S)
    return wrong


CONFIG = """
[teachers.practice]
builtin = true
model = "practice-large"
[tasks.coin_flip]
source = "builtin:coin_flip"
answer = "yes_no"
train = 60
dev = 0
test = 10
[[plans]]
name = "cot"
tasks = ["*"]
teachers = ["practice"]
rationales = 2
[[students]]
name = "pair"
[students.training]
steps = 200
checkpoint_steps = 40
devices = 2
zero_stage = 2
hostfile = "hosts"
launcher = "no-ssh"
"""


def whole_job(folder: Path, one: Machine, two: Machine) -> int:
    """A daemon's whole job on two machines, of which the second loses its ranks once."""
    home = folder / "home"
    home.mkdir()
    (home / "config.toml").write_text(CONFIG)
    (home / "hosts").write_text(f"{one.address} slots=1\n{two.address} slots=1\n")
    (home / "runs").mkdir()
    node = [sys.executable, "-m", "engine.students.node", str(home / "runs"), "--node-rank", "1"]
    worker = two.start(*node, log=folder / "node2.txt")
    config = ["-c", str(home / "config.toml")]
    daemon = one.start(
        *(sys.executable, "-m", "daemon", "run", "--until-idle", "--no-tui", *config),
        log=folder / "daemon.txt",
    )
    run = home / "runs" / "1"
    until(
        lambda: daemon.poll() is not None or ((run / FILE).exists() and step(run) >= DEADLY),
        "the daemon's run",
    )
    say(
        f"daemon: its run is at step {step(run)}; ranks of machine 2 are killed: {two.kill('engine.students.train')}"
    )
    code = daemon.wait(PATIENCE_S)
    os.killpg(worker.pid, signal.SIGTERM)
    worker.wait(PATIENCE_S)
    loaded = [event["resumed"] for event in read_events(run / FILE)[0] if event["event"] == "loaded"]
    done = bool(events(run, "done"))
    say(f"daemon: exit {code}; the run was loaded {loaded} and is {'done' if done else 'NOT DONE'}")
    return not (code == 0 and done and loaded == ["new", "exact"])


def main() -> int:
    """Prints what happens; 1 where something is not as it must be."""
    try:
        with machines() as pair, tempfile.TemporaryDirectory() as folder:
            begun = time.monotonic()
            wrong = compare(Path(folder), *pair) + whole_job(Path(folder), *pair)
            say(f"{'all is well' if not wrong else f'{wrong} WRONG'}, {time.monotonic() - begun:.0f} s")
            if wrong:
                for log in (*Path(folder).glob("*.txt"), *Path(folder).glob("home/runs/1/*.txt")):
                    say(f"--- {log.relative_to(folder)}: {log.read_text(errors='replace')[-1500:]}")
            return 1 if wrong else 0
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        words = getattr(error, "stderr", b"") or str(error).encode()
        say(f"skipped: network namespaces cannot be made here ({words.decode().strip()})")
        return 0


if __name__ == "__main__":
    sys.exit(main())
