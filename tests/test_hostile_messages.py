"""Names and paths that a terminal would obey, in the messages of every command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.__main__ import main
from engine.practice.__main__ import main as serve
from tui.__main__ import main as watch

EVIL = "x\x1b]0;owned\x07\x9b2J\u202eevil"
ORDERS = set("\x1b\x07\x9b\u202e")


@pytest.mark.parametrize(
    "argv",
    [
        ["check", "-c", EVIL],
        ["status", "-c", EVIL],
        ["export", EVIL],
        ["export", "samples", "--task", "t", EVIL],
        ["export", "samples", "-c", "config.toml", "-o", f"{EVIL}/none/x"],
        ["backup", "-c", "config.toml", "-o", f"{EVIL}/none/x"],
        ["pause", "-c", "config.toml", "--task", EVIL],
        ["train", "-c", "config.toml", EVIL],
        ["config", "preset", EVIL],
        ["import", "reasoning-teacher", EVIL],
        ["report", "-c", "config.toml", "-o", EVIL],
    ],
    ids=lambda argv: argv[0],
)
def test_a_message_repeats_what_was_typed_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text(
        f'[tasks."t{EVIL}"]\n'.replace("\x1b", "\\u001b").replace("\x07", "")
    )
    try:
        code = main(argv)
    except SystemExit as left:
        code = int(str(left.code))
    said = capsys.readouterr()
    assert code and not ORDERS & set(said.out + said.err)
    assert said.err


def test_the_monitor_and_the_teacher_do_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert watch(["-c", EVIL]) == 2
    with pytest.raises(SystemExit):
        watch([EVIL])
    monkeypatch.setattr("sys.argv", ["teacher", "--replay", EVIL])
    assert serve() == 2
    said = capsys.readouterr()
    assert said.err.count("evil") == 3 and not ORDERS & set(said.out + said.err)
