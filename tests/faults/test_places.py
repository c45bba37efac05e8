"""Files, folders, ports and devices where the configuration should name others: one message and exit code 2, before anything starts."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from daemon.__main__ import main
from daemon.host.hangup import HANGUPS
from tests.daemon.site import count, daemon, query, wait_until
from tests.faults.fault_server import fault_server
from tests.faults.test_disk import small_disk

BASE = """
[teachers.a]
base_url = "http://127.0.0.1:9/v1"
model = "m"
{teacher}
[tasks.sums]
source = "{source}"
answer = "number"
dev = 0
[[plans]]
name = "one"
strategy = "few-shot-cot"
exemplars = "{exemplars}"
"""
ROW = '{{"question": "What is {n}?", "rationale": "So.", "answer": "4", "split": "train"}}\n'
NOT_REGULAR = "not a regular file"

Case = tuple[str, str, str, str, Callable[[Path], object], str]


def nothing(folder: Path) -> None:
    """The configuration alone is wrong."""


def in_the_way(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text("no folder")


def pipe(name: str) -> Callable[[Path], object]:
    return lambda folder: os.mkfifo(folder / name, 0o600)


def a_folder(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).mkdir(mode=0o700)


CASES: dict[str, tuple[dict[str, str], Callable[[Path], object], str]] = {
    "state in a file": (
        {"more": '[state]\nurl = "sqlite:///x/state.db"'},
        in_the_way("x"),
        "state.url: the folder",
    ),
    "state below /proc": (
        {"more": '[state]\nurl = "sqlite:////proc/no/state.db"'},
        nothing,
        "state.url: the folder /proc/no cannot be made",
    ),
    "state is a folder": ({"more": '[state]\nurl = "sqlite:///x"'}, a_folder("x"), "x cannot be opened"),
    "log in a file": ({"daemon": 'log_file = "x/y.jsonl"'}, in_the_way("x"), "daemon.log_file: the folder"),
    "log is a folder": ({"daemon": 'log_file = "x"'}, a_folder("x"), "x cannot be written: Is a directory"),
    "log is a pipe": ({"daemon": 'log_file = "x"'}, pipe("x"), "daemon.log_file"),
    "log is a device": ({"daemon": 'log_file = "/dev/null"'}, nothing, "/dev/null is not a regular file"),
    "report is a file": ({}, in_the_way("report"), "the report: the folder"),
    "runs is a file": (
        {"more": '[state]\nruns = "x"\n[[students]]\nname = "s"'},
        in_the_way("x"),
        "state.runs: the folder",
    ),
    "task is a pipe": ({"source": "x.jsonl"}, pipe("x.jsonl"), NOT_REGULAR),
    "task is a folder": ({"source": "x.jsonl"}, a_folder("x.jsonl"), NOT_REGULAR),
    "task is a device": (
        {"source": "x.jsonl"},
        lambda folder: (folder / "x.jsonl").symlink_to("/dev/zero"),
        NOT_REGULAR,
    ),
    "examples are a pipe": ({"exemplars": "x.jsonl"}, pipe("x.jsonl"), NOT_REGULAR),
    "key is a pipe": ({"teacher": 'api_key_file = "x"'}, pipe("x"), NOT_REGULAR),
    "key is a folder": ({"teacher": 'api_key_file = "x"'}, a_folder("x"), "api_key_file"),
    "keys are a pipe": ({"daemon": 'env_file = "x"'}, pipe("x"), NOT_REGULAR),
    "port 99999": (
        {"daemon": 'http = "127.0.0.1:99999"'},
        nothing,
        "daemon.http: expected HOST:PORT with a port from 1 to 65535",
    ),
    "no port": ({"daemon": 'http = "127.0.0.1"'}, nothing, "daemon.http: expected HOST:PORT"),
    "no such host": (
        {"daemon": 'http = "nowhere.invalid:9187"'},
        nothing,
        "daemon.http: nowhere.invalid:9187: ",
    ),
    "no name of a host": ({"daemon": f'http = "{"a" * 70}..:9187"'}, nothing, "daemon.http: aaa"),
}


def write(
    folder: Path,
    *,
    teacher: str = "",
    source: str = "sums.jsonl",
    exemplars: str = "shots.jsonl",
    daemon: str = "",
    more: str = "",
) -> None:
    (folder / "sums.jsonl").write_text("".join(ROW.format(n=n) for n in range(20)))
    (folder / "shots.jsonl").write_text(ROW.format(n="one and three"))
    text = BASE.format(teacher=teacher, source=source, exemplars=exemplars)
    (folder / "config.toml").write_text(f"[daemon]\n{daemon}\n{text}{more}\n")


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """`run` handles signals of the whole process."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)
    HANGUPS.heard = False


def refused(folder: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    assert main(["run", "--no-tui", "-c", str(folder / "config.toml")]) == 2
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said, said
    assert count(folder, "boot") == 0, "a session began"


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_place_is_told_before_anything_starts(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings, prepare, words = CASES[name]
    prepare(tmp_path)
    write(tmp_path, **settings)
    refused(tmp_path, capsys, words)


def test_a_taken_port_is_told_before_anything_is_claimed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        write(tmp_path, daemon=f'http = "127.0.0.1:{taken.getsockname()[1]}"')
        refused(tmp_path, capsys, "address already in use")


def test_a_disk_that_can_only_be_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with small_disk(tmp_path / "disk") as disk:
        write(disk, more='[state]\nurl = "sqlite:///state/state.db"')
        if os.system(f"mount -o remount,ro {disk}"):
            pytest.skip("the file system cannot be mounted for reading only")
        refused(disk, capsys, "state.url: the folder")


def test_a_hangup_while_the_program_is_imported_or_ends_is_no_end(tmp_path: Path) -> None:
    with fault_server() as served:
        write(tmp_path)
        text = (tmp_path / "config.toml").read_text().replace("http://127.0.0.1:9/v1", f"{served.url}/a/v1")
        (tmp_path / "config.toml").write_text(text)
        with daemon(tmp_path, "--until-idle", anew=True) as running:
            status = Path(f"/proc/{running.process.pid}/status")

            def heeds_sighup() -> bool:
                (caught,) = (line for line in status.read_text().splitlines() if line.startswith("SigCgt"))
                return bool(int(caught.split()[1], 16) & 1 << (signal.SIGHUP - 1))

            wait_until("it heeds SIGHUP", heeds_sighup)
            assert count(tmp_path, "boot") == 0, "it had started already: nothing was tried"

            running.process.send_signal(signal.SIGHUP)
            wait_until("it stops", lambda: "stopping: all work is done" in running.output())

            def ended() -> bool:
                with suppress(ProcessLookupError):
                    running.process.send_signal(signal.SIGHUP)
                return running.process.poll() is not None

            wait_until("it ends", ended)
            assert running.wait() == 0, running.output()
            assert "Traceback" not in running.output() and "report: " in running.output()
        assert query(tmp_path, "SELECT exit_reason FROM boot") == [("all work is done",)]
        assert query(tmp_path, "SELECT count(*) > 0 FROM event WHERE kind = 'ConfigReloaded'") == [(1,)]
