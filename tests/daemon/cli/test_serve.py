"""`coterie serve`: which student it is, and the process that it becomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.__main__ import main
from tests.daemon.cli.test_push import world  # noqa: F401 - a fixture
from tests.state.world import World

Serve = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def serve(
    world: World,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Serve:
    """Runs the command; returns its exit code, what it said, and the arguments of the server."""
    became: list[str] = []

    def execve(_program: str, argv: list[str], env: dict[str, str]) -> None:
        assert "TEST_API_KEY" not in env, "no secret reaches the server"
        became[:] = argv

    monkeypatch.setattr("os.execve", execve)
    monkeypatch.setenv("TEST_API_KEY", "sk-1")

    def run(*argv: str) -> tuple[int, str, list[str]]:
        became.clear()
        code = main(["serve", *argv, "-c", str(tmp_path / "config.toml")])
        return code, capsys.readouterr().err, list(became)

    return run


def test_a_name_is_its_newest_finished_run_and_a_number_that_run(serve: Serve, tmp_path: Path) -> None:
    code, _, argv = serve("s", "--port", "8123", "--device", "cpu")
    assert code == 0
    assert argv[1:] == [
        *("-P", "-m", "engine.students.serve", str((tmp_path / "runs" / "3").resolve()), "s", "8123"),
    ]
    assert serve("2", "--device", "cpu")[2][-3:] == [str((tmp_path / "runs" / "2").resolve()), "run-2", "0"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("nobody",), "no finished run of a student 'nobody'; finished: s"),
        (("s", "--task", "x"), "s has no finished run on it; it has: t"),
        (("s", "--port", "70000"), "--port: expected a number from 0 to 65,535 (got 70000)"),
        (("4",), "run 4 is queued: it has no student until it is done"),
        (("99",), "there is no run 99"),
        (("5",), "measured an untrained base"),
    ],
)
def test_what_cannot_be_served_says_why(serve: Serve, argv: tuple[str, ...], words: str) -> None:
    code, said, became = serve(*argv)
    assert code == 2 and words in said and not became, said
