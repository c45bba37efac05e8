"""What service managers see: units that systemd reads, sd_notify over a real socket, levels for the journal, kept backups."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.observe.log import open_log
from state.database import open_writer
from state.events import EventRow
from tests.daemon.site import ROOT, configure, coterie, count, daemon, query, teacher, wait_until

DEPLOY = ROOT / "deploy"
ANALYZE = shutil.which("systemd-analyze")


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    program = tmp_path / "coterie"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = []
    for unit in sorted(DEPLOY.glob("coterie*.*")):
        text = re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={program}", unit.read_text())
        (tmp_path / unit.name).write_text(text.replace("User=coterie", "User=root"))
        units.append(str(tmp_path / unit.name))
    assert ANALYZE is not None and len(units) == 3
    done = subprocess.run([ANALYZE, "verify", *units], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "coterie" in line]
    assert (done.returncode, said) == (0, []), done.stderr


def test_the_unit_leaves_trainers_and_restarts_what_can_be_restarted() -> None:
    unit = (DEPLOY / "coterie.service").read_text()
    for line in (
        *("Type=notify", "KillMode=process", "OOMPolicy=continue", "SuccessExitStatus=130"),
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",  # ranks look for their network interface
        *("Restart=on-failure", "RestartPreventExitStatus=3", "ProtectSystem=strict", "NoNewPrivileges=yes"),
    ):
        assert re.search(rf"^{line}$", unit, re.MULTILINE)
    image = (DEPLOY / "Dockerfile").read_text()
    for folder in re.findall(r"^COPY (\w+) \w+$", image, re.MULTILINE):
        assert (ROOT / folder).is_dir()


def test_a_daemon_says_ready_alive_and_stopping_and_the_next_one_that_it_died(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    address = str(tmp_path / "s" / "notify")
    said: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard, teacher(tmp_path) as school:
        heard.bind(address)
        heard.setblocking(False)

        def hear() -> list[str]:
            try:
                while True:
                    said.append(heard.recv(4096).decode())
            except BlockingIOError:
                return said

        env = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1500000"}
        configure(tmp_path, school.url, train=4, test=2, rationales=1)
        told = tmp_path / "told"
        with (tmp_path / "config.toml").open("a") as file:
            file.write(f'\n[notify]\ncommand = ["/bin/sh", "-c", "cat >> {told}; echo >> {told}"]\n')
        with daemon(tmp_path, env=env) as first:
            wait_until("it is alive", lambda: sum("WATCHDOG=1" in each for each in hear()) >= 3)
            assert said[0] == "READY=1" and "STATUS=running" in said[1]
            wait_until("all is sampled", lambda: count(tmp_path, "sample", "state = 'stored'") == 6)
            first.kill()
        said.clear()
        with daemon(tmp_path, env=env) as second:
            wait_until("the next one is ready", lambda: "READY=1" in hear())
            second.process.send_signal(signal.SIGTERM)
            assert second.wait() == 130
        assert any(each.startswith("STOPPING=1\nSTATUS=stopping: signal SIGTERM") for each in hear())
        assert "starting: importing" in second.output() and "ended after" in second.output()
    assert query(tmp_path, "SELECT count(*) FROM event WHERE kind = 'DaemonDied'") == [(1,)]
    alarms = told.read_text()
    assert '"kind": "daemon-died"' in alarms and '"kind": "ended"' in alarms


def test_events_for_the_journal_have_its_levels(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        EventRow(level=level, kind="Noted", subject="daemon", message=level)
        for level in ("info", "warning", "error")
    ]
    found = os.fstat(sys.stderr.fileno())
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    log = open_log(None, loud=True)
    for row in rows:
        log(row)
    assert capfd.readouterr().err == "<6>info\n<4>warning\n<3>error\n"
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    open_log(None, loud=True)(rows[1])
    assert re.fullmatch(r"\d\d:\d\d:\d\d warning warning\n", capfd.readouterr().err)


def test_a_backup_keeps_the_newest_copies_that_it_named(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    open_writer(tmp_path / "state.db").close()
    folder = tmp_path / "backups"
    folder.mkdir()
    old = [f"state-2020010{day}T000000.db" for day in range(1, 6)]
    others = ["state-v3-20200101T000000.db", "other-20200101T000000.db", "state-mine.db"]
    for name in (*old, *others):
        (folder / name).write_text("")
    done = coterie(tmp_path, "backup", "--keep", "3")
    assert done.returncode == 0, done.stderr
    left = {path.name for path in folder.iterdir()}
    assert left >= {*others, *old[-2:]} and not left & set(old[:-2]) and len(left) == 6
    assert coterie(tmp_path, "backup", "--keep", "3", "-o", "x.db").returncode == 2
