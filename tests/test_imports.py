"""What each room may import, and what a command must not: seen from outside, in processes of their own."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from state.database import open_writer
from tests.daemon.site import configure

ROOT = Path(__file__).resolve().parents[1]
PURE = (  # what the configuration needs of the dialects: neither HTTP nor keys
    *("engine.teachers.dialects", "engine.teachers.messages", "engine.teachers.decode"),
    *("engine.teachers.failures", "engine.teachers.tokens", "engine.teachers.apportion"),
)
HEAVY = ("torch", "transformers", "deepspeed", "peft", "sympy", "math_verify")

LOADED = """
import importlib, json, os, pkgutil, runpy, sys
found = []
for folder, target, *arguments in json.loads(sys.argv[1]):
    os.chdir(folder)
    code = 0
    try:
        if arguments:
            sys.argv = [target, *arguments]
            runpy.run_module(target, run_name="__main__")
        else:
            package = importlib.import_module(target)
            for module in pkgutil.walk_packages(package.__path__, target + "."):
                if not module.name.endswith("__main__") and not module.name.startswith("engine.students"):
                    importlib.import_module(module.name)
    except SystemExit as end:
        code = end.code or 0
    found.append([code, sorted(sys.modules)])
print("\\n" + json.dumps(found))
"""


def loaded(*steps: tuple[Path, *tuple[str, ...]]) -> list[tuple[int, set[str]]]:
    """The exit code of each step and the modules after it, in one process.

    A step is a folder and a room, all of which is imported, or a command, which is run there. Modules stay: what an
    earlier step did not import and is there now was imported by this one, so those that may import least go first.
    """
    done = subprocess.run(
        [sys.executable, "-c", LOADED, json.dumps([(str(folder), *argv) for folder, *argv in steps])],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [(code, set(modules)) for code, modules in json.loads(done.stdout.splitlines()[-1])]


def of(modules: set[str], *names: str) -> set[str]:
    return {
        module for module in modules if any(module == name or module.startswith(name + ".") for name in names)
    }


@pytest.fixture(scope="module")
def rooms() -> dict[str, set[str]]:
    """The modules that each room imports; each room may import those before it, and the terminal UI not the daemon."""
    names = ("state", "engine", "daemon")
    steps = [*loaded(*((ROOT, room) for room in names)), *loaded((ROOT, "tui"))]
    assert [code for code, _ in steps] == [0] * 4
    return dict(zip((*names, "tui"), (modules for _, modules in steps), strict=True))


@pytest.mark.parametrize("room", ["state", "engine", "daemon", "tui"])
def test_a_room_imports_only_what_it_may(rooms: dict[str, set[str]], room: str) -> None:
    modules = rooms[room]
    assert len(of(modules, room)) > 5
    assert of(modules, *HEAVY) == set()
    if room == "state":
        assert of(modules, "engine", "daemon", "tui") == set()
    elif room == "engine":
        assert of(modules, "daemon", "tui") == set()
    elif room == "daemon":
        assert of(modules, "tui") <= {"tui", "tui.__main__"}  # `coterie tui` hands over to the monitor
    else:
        assert of(modules, "daemon") == set()
        # the configuration asks the registries of variants, such as engine.grading.formats, for their names
        others = ("engine.tasks", "engine.practice", "engine.curation", "engine.students", "engine.report")
        assert of(modules, *others) == set()
        assert of(modules, "engine.teachers") - of(modules, *PURE) <= {"engine.teachers"}
        assert of(modules, "aiohttp", "multidict", "yarl") == set()


SLOW = ("sqlmodel", "sqlalchemy", "matplotlib", "markdown_it", "pyarrow", "scipy")
"""What takes long to import, and none of the commands that only read needs."""

READING = [
    ("--help",),
    ("status",),
    ("status", "--json"),
    ("backup",),
    ("pause",),
    ("resume", "--task", "coin_flip"),
    ("train", "coin_flip"),
    ("stop", "--run", "1"),
    ("budget", "8"),
    ("note",),
    ("export", "samples"),
    ("export", "dataset"),
    ("export", "predictions"),
    ("export", "runs"),
]
"""Commands of a folder with a database; those that may import more come later."""

WITHOUT = {
    ("daemon", "--help"): 0,
    ("daemon", "status"): 2,
    ("daemon", "tui", "--help"): 0,
    ("tui", "--help"): 0,
}
"""Commands of a folder without one, and their exit codes."""

Commands = dict[tuple[str, ...], tuple[int, set[str]]]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """Exit code and modules after each of `READING`, all in one process."""
    steps: list[tuple[Path, *tuple[str, ...]]] = []
    for argv in READING:
        folder = tmp_path_factory.mktemp("folder")
        configure(folder, "http://127.0.0.1:9/v1")
        open_writer(folder / "state.db").close()
        steps.append((folder, "daemon", *argv))
    return dict(zip(READING, loaded(*steps), strict=True))


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    """Exit code and modules after each of `WITHOUT`, all in another one."""
    folder = tmp_path_factory.mktemp("empty")
    (folder / "config.toml").write_text("")
    return dict(zip(WITHOUT, loaded(*((folder, *argv) for argv in WITHOUT)), strict=True))


@pytest.mark.parametrize("argv", WITHOUT, ids=str)
def test_a_command_does_without_the_heavy_libraries(without: Commands, argv: tuple[str, ...]) -> None:
    ended, modules = without[argv]
    assert ended == WITHOUT[argv]
    assert of(modules, *HEAVY) == set()
    assert of(modules, "textual") == set() or argv[0] == "tui"
    assert of(modules, "aiohttp") == set(), "parsing comes first, then what the command needs"


@pytest.mark.parametrize("argv", READING, ids=" ".join)
def test_a_command_that_only_reads_starts_light(commands: Commands, argv: tuple[str, ...]) -> None:
    ended, modules = commands[argv]
    assert ended == 0
    assert of(modules, *HEAVY, *SLOW) == set()
    if argv[0] != "export":
        assert of(modules, "aiohttp") == set()
    if argv[0] in ("status", "backup", "--help"):
        assert of(modules, "pydantic") == set()


PLAIN = """
import os, signal, sys, threading
from pathlib import Path
from state.commands import Pause, send
from tui.__main__ import plain
path = Path(sys.argv[1])
send(path, Pause())
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGTERM)).start()
code = plain(path, 0.1)
print("modules", code, *sys.modules)
"""


def test_the_monitor_without_a_terminal_starts_light(tmp_path: Path) -> None:
    open_writer(tmp_path / "state.db").close()
    done = subprocess.run(
        [sys.executable, "-c", PLAIN, tmp_path / "state.db"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    status, *_, last = done.stdout.splitlines()
    assert status.startswith("stopped | $0.00")
    code, *modules = last.removeprefix("modules ").split()
    assert code == "130"
    assert of(set(modules), *HEAVY, *SLOW, "aiohttp", "textual") == set()


def test_status_reads_on_though_another_section_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[daemon]\nbudgetusd = 3\n[state]\nurl = "sqlite:///other.db"\n')
    open_writer(tmp_path / "other.db").close()
    [(code, _)] = loaded((tmp_path, "daemon", "status"))
    assert code == 0


def test_the_import_contracts_hold() -> None:
    tool = Path(sys.executable).with_name("lint-imports")
    if not tool.exists():
        pytest.skip("import-linter is not installed beside this Python")
    done = subprocess.run(
        [tool, "--no-cache"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def imports_of(room: str) -> dict[str, set[str]]:
    """Which modules of a room each of its modules imports, also for type checking only or inside a function."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (ROOT / room).rglob("*.py")
    }
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                names |= inner & files.keys()
                if inner - files.keys():
                    names.add(node.module)
        found[module] = (names & files.keys()) - {module}
    return found


@pytest.mark.parametrize("room", ["state", "engine", "daemon"])
def test_no_module_imports_itself_by_way_of_others(room: str) -> None:
    graph = imports_of(room)
    assert sum(map(len, graph.values())) > 5, "the imports are not seen"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_a_cycle_of_imports_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "one.py").write_text("from room import two\n")
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from room.one import x\n"
    (tmp_path / "room" / "two.py").write_text(text)
    monkeypatch.setattr("tests.test_imports.ROOT", tmp_path)
    with pytest.raises(CycleError):
        TopologicalSorter(imports_of("room")).prepare()
