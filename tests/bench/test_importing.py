from __future__ import annotations

from pathlib import Path

import pytest

from bench import importing
from bench.daemon_fixture import DaemonFixture


@pytest.mark.parametrize("source", ["", *importing.SOURCES])
def test_every_kind_of_file_brings_the_same_questions(tmp_path: Path, source: str) -> None:
    DaemonFixture(tmp_path).populate("http://127.0.0.1:9/v1", questions=7)
    importing._make(tmp_path, source)
    assert importing.read(tmp_path, source) == (7 if source else 0)
