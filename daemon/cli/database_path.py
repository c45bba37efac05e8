"""Finds the database without building the whole configuration, for commands that only need to know where it is.

Building the models of `config.toml` takes four times as long as everything `coterie status` does.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

PREFIX = "sqlite:///"
DEFAULT = "state.db"


def database_path(config: Path) -> Path:
    """The database that a configuration file names; other sections are not looked at.

    Raises:
        ConfigError: the file is missing or not valid TOML, or its [state] section is wrong.
    """
    try:
        state = tomllib.loads(config.read_text(encoding="utf-8-sig")).get("state", {})
        url: str = state.get("url", PREFIX + DEFAULT)
        if not url.startswith(PREFIX) or url == PREFIX:
            raise ValueError(url)
    except (OSError, ValueError, RecursionError, AttributeError):
        from engine.config import load_config  # it says what is wrong, and in which line

        return load_config(config).database
    return (config.resolve().parent / url.removeprefix(PREFIX)).resolve()
