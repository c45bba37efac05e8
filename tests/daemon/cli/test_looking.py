"""`coterie logs`, `samples`, `diff`, `completion`, `status --watch` on a database with a bit of everything, hostile text included."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
from contextlib import closing
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest

from daemon.__main__ import main
from state.database import open_writer
from state.events import EventRow, add_events
from tests.daemon.site import ENV, wait_until
from tests.tui.seeded import seed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("looking")
    (found / "config.toml").write_text("")
    seed(found / "state.db")
    return found


def printed(folder: Path, capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    name, *rest = argv
    code = main([name, "-c", str(folder / "config.toml"), *rest])
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err and "\x07" not in out + err
    return code, out, err


def test_events_are_printed_oldest_first_and_filtered(folder, capsys) -> None:
    code, out, _ = printed(folder, capsys, "logs", "-n", "5")
    lines = out.splitlines()
    assert code == 0 and len(lines) == 5 and lines == sorted(lines, key=lambda line: line[:19])
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (info|warning|error) ", line) for line in lines)
    _, out, _ = printed(folder, capsys, "logs", "--warnings")
    assert out and " info " not in out


def heeds_ctrl_c() -> None:
    """What is started in the background of a shell inherits that it is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_following_prints_what_comes(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    with closing(open_writer(tmp_path / "state.db")) as connection:
        process = subprocess.Popen(
            [sys.executable, "-m", "daemon", "logs", "-f"],
            cwd=tmp_path,
            env=ENV,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=heeds_ctrl_c,
        )
        try:
            assert process.stdout is not None
            add_events(
                connection, [EventRow(level="warning", kind="Noted", subject="daemon", message="it came")]
            )
            wait_until("the event", lambda: select.select([process.stdout], [], [], 0.1)[0])
            assert "warning it came" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 130
        finally:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def test_samples_are_found_by_words_and_kind(folder, capsys) -> None:
    code, out, _ = printed(
        folder, capsys, "samples", "find", "--verdict", "wrong", "--task", "coin_flip", "-n", "4"
    )
    head, *rows = out.splitlines()
    assert code == 0 and head.startswith("sample") and len(rows) == 4
    assert all("wrong" in row and "coin_flip" in row for row in rows)
    code, out, err = printed(folder, capsys, "samples", "find", "nosuchwordanywhere")
    assert (code, out, err) == (1, "", "no sample matches\n")
    code, _, err = printed(folder, capsys, "samples", "find", "--task", "coins")
    assert code == 2 and "there is no task 'coins'; there are: " in err and "coin_flip" in err


def test_a_sample_is_shown_in_full(folder, capsys) -> None:
    code, out, _ = printed(folder, capsys, "samples", "show", "7")
    assert code == 0 and out.startswith("sample 7: ")
    for part in ("question:", "gold answer:", "request  turn"):
        assert part in out
    code, _, err = printed(folder, capsys, "samples", "show", "99999")
    assert code == 2 and "there are samples 1 to 510" in err


def test_two_runs_are_compared(folder, capsys) -> None:
    code, out, _ = printed(folder, capsys, "diff", "1", "2")
    assert code == 0
    assert re.search(r"^student +fine-tune", out, re.MULTILINE) and re.search(
        r"^on test, %", out, re.MULTILINE
    )
    assert "minus run 2:" in out or "not compared:" in out
    code, _, err = printed(folder, capsys, "diff", "1", "77")
    assert code == 2 and "there is no run 77" in err


def test_help_needs_no_arguments_and_commands_are_corrected(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0 and "usage: coterie" in capsys.readouterr().out
    for typed, meant in (("statsu", "status"), ("chekc", "check"), ("smaples", "samples")):
        with pytest.raises(SystemExit) as ended:
            main([typed])
        assert ended.value.code == 2 and f"did you mean {meant}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["logs", "--waring"], "coterie logs: error: unknown argument --waring: did you mean --warnings?"),
        (["samples", "find", "--verdct=wrong"], "unknown argument --verdct=wrong: did you mean --verdict?"),
        (["status", "now"], "coterie status: error: unknown argument now"),
    ],
)
def test_an_unknown_argument_is_refused_with_the_usage_of_its_command(capsys, argv, said) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv)
    err = capsys.readouterr().err
    assert ended.value.code == 2 and said in err and err.startswith(f"usage: coterie {argv[0]}")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_has_every_command(capsys, shell: str) -> None:
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    for name in ("run", "estimate", "samples", "export", "teacher"):
        assert re.search(rf"\b{name}\b", out)
    assert "--until-idle" in out or "-l until-idle" in out


def test_bash_completes_commands_and_options(capsys, tmp_path: Path) -> None:
    main(["completion", "bash"])
    script = tmp_path / "c.sh"
    script.write_text(capsys.readouterr().out)
    ask = 'source "$1"; COMP_WORDS=({}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); _coterie; echo "${{COMPREPLY[@]}}"'
    for words, expected in (
        ("coterie est", "estimate"),
        ("coterie status --ex", "--exit-code"),
        ("coterie export sam", "samples"),
    ):
        done = subprocess.run(
            ["bash", "-c", ask.format(words), "_", str(script)], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == [expected]


def test_tables_of_status_fit_the_terminal_and_watch_looks_again(folder: Path) -> None:
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 40, 72, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "daemon", "status", "--watch", "0.1"],
        cwd=folder, env={**ENV, "TERM": "xterm"}, stdin=theirs, stdout=theirs, stderr=theirs,
        preexec_fn=heeds_ctrl_c,
    )  # fmt: skip
    os.close(theirs)
    seen = bytearray()
    try:
        wait_until("two screens", lambda: seen.extend(os.read(ours, 65536)) or seen.count(b"\x1b[2J") >= 3)
        process.send_signal(signal.SIGINT)
        wait_until("the end", lambda: process.poll() is not None)
        assert process.returncode == 130
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    screen = seen.decode(errors="replace").split("\x1b[2J")[1]
    tables = [
        line.rstrip("\r") for line in screen.split("\n") if "  " in line.strip() and not line.startswith("!")
    ]
    assert tables and max(map(len, tables)) <= 72
