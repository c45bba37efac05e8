from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.state.world import World, make


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db")
    yield found
    found.connection.close()
