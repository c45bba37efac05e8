from __future__ import annotations

from pathlib import Path

import pytest

from daemon.cli.database_path import database_path
from engine.config import load_config
from engine.errors import ConfigError


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[state]\nruns = "elsewhere"\n',
        '[state]\nurl = "sqlite:///a/b.db"\n',
        "\ufeff[state]\nurl = 'sqlite:////tmp/x.db'\n",
    ],
)
def test_it_is_what_the_whole_configuration_says(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    assert database_path(file) == load_config(file).database


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[state\n", "not valid TOML"),
        ("state = 3\n", "config.toml:1: state"),
        ("[state]\nurl = 3\n", "config.toml:2: state.url"),
        ('[state]\nurl = "sqlite:///"\n', "config.toml:2: state.url"),
        ('[state]\nurl = "postgres://x"\n', "config.toml:2: state.url"),
    ],
)
def test_what_is_wrong_with_it_is_said_as_by_every_command(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        database_path(tmp_path / "config.toml")


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nope\.toml: no such file"):
        database_path(tmp_path / "nope.toml")
