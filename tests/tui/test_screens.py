"""How each screen looks. After a wanted change: `pytest tests/tui/test_screens.py --snapshot-update`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from textual.pilot import Pilot

from state.database import open_writer
from tests.tui.conftest import monitor, settled
from tests.tui.real_sized import Stage, build

SIZES = [(80, 24), (120, 40), (160, 45)]
MOVES = {
    "overview": (),
    "tasks": ("2",),
    "teachers": ("3", "j"),
    "events": ("6", "j", "j", "j", "j"),
}
SEEDED_SIZES = [(80, 24), (140, 40)]
SEEDED_MOVES = {
    "samples": ("4", *("j",) * 10),
    "question": ("4", *("j",) * 10, "enter"),
    "runs": ("5", *("j",) * 5),
}


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of real size, at each of its stages."""
    folder = tmp_path_factory.mktemp("real")
    found = {stage: folder / stage / "state.db" for stage in get_args(Stage)}
    for stage, path in found.items():
        path.parent.mkdir()
        build(path, stage)
    return found


def pressing(*keys: str) -> Callable[[Pilot[Any]], Awaitable[None]]:
    async def run(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        for key in keys:
            await pilot.press(key)
            await settled(pilot)

    return run


def named(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


@pytest.mark.parametrize("size", SIZES, ids=named)
@pytest.mark.parametrize("screen", MOVES)
def test_real_sized(screen: str, size: tuple[int, int], real: dict[str, Path], snap_compare: Any) -> None:
    app = monitor(real["middle"], theme="light" if size[0] == 160 else "dark")
    assert snap_compare(app, terminal_size=size, run_before=pressing(*MOVES[screen]))


@pytest.mark.parametrize("stage", ["start", "end", "dead", "sampling"])
def test_stage(stage: str, real: dict[str, Path], snap_compare: Any) -> None:
    assert snap_compare(monitor(real[stage]), terminal_size=(120, 40), run_before=pressing())


@pytest.mark.parametrize("size", SEEDED_SIZES, ids=named)
@pytest.mark.parametrize("screen", SEEDED_MOVES)
def test_screen(screen: str, size: tuple[int, int], seeded: Path, snap_compare: Any) -> None:
    assert snap_compare(monitor(seeded), terminal_size=size, run_before=pressing(*SEEDED_MOVES[screen]))


def test_without_colour(seeded: Path, snap_compare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(monitor(seeded), run_before=pressing("4", "j", "j"))


def test_empty_database(tmp_path: Path, snap_compare: Any) -> None:
    open_writer(tmp_path / "state.db").close()
    assert snap_compare(monitor(tmp_path / "state.db"), run_before=pressing())


def test_narrow(seeded: Path, snap_compare: Any) -> None:
    assert snap_compare(monitor(seeded), terminal_size=(60, 20), run_before=pressing("4", "j", "enter"))


def test_light(seeded: Path, snap_compare: Any) -> None:
    app = monitor(seeded, theme="light")
    assert snap_compare(app, terminal_size=(140, 40), run_before=pressing("5", *("j",) * 5))


def test_two_runs(seeded: Path, snap_compare: Any) -> None:
    keys = ("5", "j", "j", "j", "m", "j", "left_square_bracket")
    assert snap_compare(monitor(seeded), terminal_size=(140, 40), run_before=pressing(*keys))


def test_a_question(seeded: Path, snap_compare: Any) -> None:
    assert snap_compare(monitor(seeded), run_before=pressing("2", "P"))
