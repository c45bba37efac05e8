from __future__ import annotations

from pathlib import Path

import pytest

import daemon
import engine
import state
import tui

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("room", [state, engine, daemon, tui], ids=lambda room: room.__name__)
def test_each_room_resolves_inside_the_repository(room) -> None:
    assert Path(room.__file__).resolve().parent.parent == ROOT
