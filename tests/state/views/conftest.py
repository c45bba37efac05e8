from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from state.database import open_reader
from state.sqlite import Connection
from tests.tui.seeded import seed


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("views") / "state.db"
    seed(path)
    return path


@pytest.fixture
def reader(seeded: Path) -> Iterator[Connection]:
    connection = open_reader(seeded)
    yield connection
    connection.close()
