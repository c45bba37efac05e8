"""A Slurm cluster of one node on this machine: munged, slurmctld and slurmd in a temporary directory.

The daemons run in the foreground as children of this process, and are ended by their ids. Nothing of the system is changed:
key, sockets, state and configuration are in the directory, and clients find it by `SLURM_CONF`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")
READY_S = 60.0

CONF = """\
ClusterName=coterie
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
CryptoType=crypto/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobRequeue=1
ReturnToService=2
KillWait=30
MinJobAge=300
MpiDefault=none
SwitchType=switch/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=closed Nodes={host} MaxTime=INFINITE State=INACTIVE
"""


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    folder: Path
    env: Mapping[str, str]
    """The environment of its clients."""

    def ask(self, *command: str) -> str:
        """What one of its commands says."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout.strip()


def missing() -> list[str]:
    """The programs that are not installed."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return [name for name in NEEDED if shutil.which(name, path=path) is None]


@contextmanager
def cluster(folder: Path, cpus: int = 4) -> Iterator[Cluster]:
    """A cluster that ends with the block."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    folder.chmod(0o755)
    host = socket.gethostname().split(".")[0]
    conf = folder / "slurm.conf"
    fill = {"host": host, "folder": folder, "cpus": cpus, "user": _user()}
    conf.write_text(CONF.format(**fill, controller=_port(), node=_port()), encoding="utf-8")
    env = {**os.environ, "SLURM_CONF": str(conf)}
    env["PATH"] = env.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    running: list[subprocess.Popen[bytes]] = []
    try:
        for command in (
            ["munged", "--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"]
            + [f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log"]
            + [f"--seed-file={folder}/munge.seed"],
            ["slurmctld", "-D", "-i", "-f", str(conf)],
            ["slurmd", "-D", "-f", str(conf), "-N", host],
        ):
            with (folder / f"{command[0]}.out").open("wb") as output:
                running.append(subprocess.Popen(command, env=env, stdout=output, stderr=output))
            if command[0] == "munged":
                _until(lambda: (folder / "munge.socket").exists(), "munged has no socket")
        found = Cluster(folder, env)
        _until(lambda: _idle(found), f"the node is not idle; see the logs in {folder}")
        try:
            yield found
        finally:
            _cancel_all(found)
    finally:
        for process in reversed(running):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _cancel_all(found: Cluster) -> None:
    """Ends what still runs, which would outlive slurmd."""
    with suppress(RuntimeError, subprocess.TimeoutExpired):
        found.ask("scancel", "--user", _user())
        _until(lambda: not found.ask("squeue", "-h"), "jobs are still running")


def _idle(found: Cluster) -> bool:
    try:
        return "idle" in found.ask("sinfo", "-h", "-p", "main", "-o", "%t")
    except (RuntimeError, subprocess.TimeoutExpired):
        return False


def _until(condition, otherwise: str) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + READY_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(otherwise)
        time.sleep(0.1)


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name
