from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import pytest

import daemon
import engine
import state
import tui
from tests import conftest, lazily

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("room", [state, engine, daemon, tui], ids=lambda room: room.__name__)
def test_each_room_resolves_inside_the_repository(room) -> None:
    assert Path(room.__file__).resolve().parent.parent == ROOT


SQL = re.compile(
    r"\bSELECT\b.+\bFROM\b|\bINSERT (OR \w+ )?INTO\b|\bUPDATE \w+ SET\b|\bDELETE FROM\b|\bPRAGMA \w+|\bBEGIN (IMMEDIATE|TRANSACTION)\b"
)


def sql_in(source: str) -> list[str]:
    """Statements, and calls that run them, of a module's source."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value):
            found.append(f"line {node.lineno}: {node.value.strip()[:60]}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("execute", "executemany", "executescript", "exec_driver_sql"):
                found.append(f"line {node.lineno}: .{node.func.attr}(…)")
    return found


@pytest.mark.parametrize("room", ["engine", "daemon", "tui"])
def test_sql_is_in_state_alone(room: str) -> None:
    found = {
        str(path.relative_to(ROOT)): statements
        for path in sorted((ROOT / room).rglob("*.py"))
        if (statements := sql_in(path.read_text(encoding="utf-8")))
    }
    assert not found


def test_sql_is_seen_where_it_is() -> None:
    assert sql_in('rows = c.execute("SELECT id FROM run")') == [
        "line 1: .execute(…)",
        "line 1: SELECT id FROM run",
    ]
    assert sql_in('"UPDATE run SET state = ?"') and sql_in('version("PRAGMA user_version")')
    assert sql_in('text = "Select a teacher, then update it."\nstrategy.run()') == []


MOST_LINES = 420


def lines_of(*rooms: str) -> dict[str, int]:
    """The lines of each module."""
    paths = [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]
    return {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    lines = lines_of("state", "engine", "daemon", "tui", "bench", "docs")
    assert len(lines) > 400
    assert not {path: count for path, count in lines.items() if count > MOST_LINES}


def test_half_of_the_modules_are_short() -> None:
    lines = [count for count in lines_of("state", "engine", "daemon", "tui").values() if count > 5]
    assert statistics.median(lines) <= 150


def test_no_test_file_imports_at_its_head_what_takes_seconds() -> None:
    assert lazily.collected == [], (
        "a test file imports this, itself or by a module of the product: name that as Lazy(…)"
    )


def test_files_that_share_training_processes_are_run_by_one_worker(request: pytest.FixtureRequest) -> None:
    """In another worker, the processes of a minute would run again."""
    shared = {"alone", "stopped", "together"}
    users = {
        item.nodeid.partition("::")[0] for item in request.session.items if shared & {*item.fixturenames}
    }
    assert users <= {*conftest.SHARING}
