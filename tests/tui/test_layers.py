"""Imports within the monitor: no cycle, not even one for type checking. The layers are a contract of import-linter."""

from __future__ import annotations

import ast
from pathlib import Path

import tui

ROOT = Path(tui.__file__).parent


def imports() -> dict[str, set[str]]:
    """The modules of `tui` that each of its modules imports, anywhere in the file."""
    names = {_name(path): path for path in ROOT.rglob("*.py")}
    found: dict[str, set[str]] = {}
    for name, path in names.items():
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                targets = [each if each in names else str(node.module) for each in inner]
            else:
                continue
            found[name] |= {target for target in targets if target in names}
    return found


def _name(path: Path) -> str:
    parts = ("tui", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def cycles(graph: dict[str, set[str]]) -> set[str]:
    """The modules that remain once everything that imports only finished modules is removed."""
    left = {name: set(targets) - {name} for name, targets in graph.items()}
    while done := {name for name, targets in left.items() if not targets}:
        left = {name: targets - done for name, targets in left.items() if name not in done}
    return set(left)


def test_no_import_cycle() -> None:
    graph = imports()
    assert "tui.screens.runs" in graph["tui.app"]  # it does see imports
    assert cycles(graph) == set()


def test_a_cycle_would_be_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) == {"a", "b", "c", "d"}


def test_screens_and_widgets_do_not_know_the_application() -> None:
    above = {"tui.app", "tui.base", "tui.palette", "tui.command_actions", "tui.navigation_actions"}
    for name, targets in imports().items():
        if name.startswith(("tui.screens", "tui.widgets")):
            assert targets & above == set(), name
