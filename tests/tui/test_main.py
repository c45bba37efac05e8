from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from state.database import open_writer
from tui.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert "coterie tui --db" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--db", "postgres://x"], "expected sqlite:///PATH"),
        (["-c", "nowhere.toml"], "nowhere.toml: no such file"),
    ],
)
def test_a_users_mistake_is_one_message_and_exit_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("interval", ["0", "x", "nan", "1e9"])
def test_an_interval_is_a_number_of_seconds(interval: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--plain", "--interval", interval])
    assert ended.value.code == 2


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tui", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_plain_prints_a_line_when_the_status_changed_until_it_is_interrupted(seeded: Path) -> None:
    process = start("--db", f"sqlite:///{seeded}", "--plain", "--interval", "0.1")
    assert process.stdout is not None
    first = process.stdout.readline()
    with closing(open_writer(seeded)) as connection, connection:
        connection.execute("UPDATE teacher SET spent_micros = spent_micros + 700000 WHERE id = 1")
    second = process.stdout.readline()
    process.send_signal(2)
    rest, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and not rest
    assert first.startswith("down 2h13m | $3.10 of $5.00 | coin_flip 145/400")
    assert second == first.replace("$3.10", "$3.80")
    assert first[:-1].isprintable()
    assert errors == ""


def test_without_a_terminal_it_is_plain_and_waits_for_the_database(tmp_path: Path) -> None:
    process = start("--db", str(tmp_path / "state.db"))
    assert process.stdout is not None
    line = process.stdout.readline()
    process.stdout.close()  # as `| head -1` does
    assert process.wait(timeout=30) == 0
    assert line.startswith("waiting: no state database yet")
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


def test_the_configuration_gives_database_keys_and_theme(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[tui]\nkeys = {freze = "x"}\n')
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(["-c", str(config)]) == 2
    assert "did you mean 'freeze'?" in capsys.readouterr().err


def test_the_monitor_imports_neither_the_daemon_nor_heavy_libraries() -> None:
    code = (
        "import sys, tui.__main__, tui.app\n"
        "bad = [name for name in ('torch', 'transformers', 'deepspeed', 'peft', 'daemon', 'aiohttp', 'sqlmodel', 'sqlalchemy', 'matplotlib') if name in sys.modules]\n"
        "assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
