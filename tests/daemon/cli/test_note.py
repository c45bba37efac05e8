"""`coterie note` on a real database: what it stores, what it refuses, and its words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.__main__ import main
from tests.daemon.cli.test_export import CONFIG
from tests.state.world import World, make


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "config.toml").write_text(CONFIG)
    found = make(tmp_path / "state.db", questions=1)
    found.store(found.claim(found.plan(), 2))
    yield found
    found.connection.close()


def test_notes_are_stored_listed_and_removed(world, tmp_path, capsys) -> None:
    def note(*words: str) -> str:
        assert main(["note", "-c", str(tmp_path / "config.toml"), *words]) == 0
        return capsys.readouterr().out

    assert note() == ""
    assert note("1", "Gold-is-wrong: it is 12") == "noted about the question: gold is wrong: it is 12\n"
    assert note("t/q0", "look\x1b[2J again") == "noted about the question: look␛[2J again\n"
    assert note("2", "bad rationale") == "noted about sample 2: bad rationale\n"
    assert note() == "t/q0: look␛[2J again\nt/q0, sample 2: bad rationale\n"
    assert [json.loads(line)["sample"] for line in note("--json").splitlines()] == [None, 2]
    assert note("2", "--remove") == "note removed\n"
    assert note("2", "--remove") == "nothing was noted there\n"
    assert note() == ""


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("1",), "or use --remove"),
        (("1", "x", "--remove"), "not both"),
        (("99", "x"), "no sample 99"),
        (("t/q7", "x"), "no question 't/q7'; expected TASK/KEY"),
        (("t/q0", "bad rationale"), "name the sample"),
    ],
)
def test_what_cannot_be_noted_is_refused(world, tmp_path, capsys, words, fault) -> None:
    assert main(["note", "-c", str(tmp_path / "config.toml"), *words]) == 2
    assert fault in capsys.readouterr().err


def test_a_database_of_an_older_version_is_named(world, tmp_path, capsys) -> None:
    world.connection.execute("DROP TABLE note")
    world.connection.execute("PRAGMA user_version = 5")
    assert main(["note", "-c", str(tmp_path / "config.toml"), "1", "x"]) == 2
    assert "`coterie run` migrates it" in capsys.readouterr().err
