from __future__ import annotations

import importlib
import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.variants import VariantError, discover


@dataclass(frozen=True)
class Kind:
    name: str
    rank: int = 0


COUNTER = itertools.count()
HEAD = f"from {__name__} import Kind\n"


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, **modules: str) -> str:
    """A package whose modules have these bodies."""
    name = f"variants_{next(COUNTER)}"
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text("")
    for module, body in modules.items():
        (folder / name / f"{module}.py").write_text(HEAD + body.replace("PACKAGE", name))
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    return name


def test_each_module_is_a_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = discover(
        package(tmp_path, monkeypatch, b="IT = Kind('first')", a="IT = Kind('second')", _shared="X = 1"), Kind
    )
    assert found == {"first": Kind("first"), "second": Kind("second")}
    assert list(found) == ["first", "second"], "by name, not by module"


def test_a_new_file_is_a_new_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = package(tmp_path, monkeypatch, a="IT = Kind('a')")
    assert list(discover(name, Kind)) == ["a"]
    (tmp_path / name / "b.py").write_text(HEAD + "IT = Kind('b')")
    importlib.invalidate_caches()
    assert list(discover(name, Kind)) == ["a", "b"]


def test_an_order_comes_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = package(tmp_path, monkeypatch, a="IT = Kind('a', 1)", b="IT = Kind('b', 0)", c="IT = Kind('c', 1)")
    assert list(discover(name, Kind, order=lambda variant: variant.rank)) == ["b", "a", "c"]


def test_a_variant_may_import_another_module_and_name_its_object_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = package(
        tmp_path,
        monkeypatch,
        a="IT = Kind('a')\nSAME = IT",
        b="from PACKAGE import a\nIT = Kind('b' + a.IT.name)",
    )
    assert list(discover(name, Kind)) == ["a", "ba"]


@pytest.mark.parametrize(
    ("modules", "said"),
    [
        ({"a": "IT = Kind('x')", "b": "IT = Kind('x')"}, "a and b both define 'x'"),
        ({"a": "IT = Kind('x')\nTOO = Kind('y')"}, "a defines 2 objects of Kind"),
        ({"a": "X = 1"}, "a defines no object of Kind"),
        ({"a": "IT = Kind('x')", "b": "from PACKAGE.a import IT\nTOO = Kind('y')"}, "b defines 2 objects"),
        ({"a": "IT = Kind('')"}, "name is a non-empty text"),
        ({"a": "IT = Kind(3)"}, "name is a non-empty text"),
    ],
    ids=["twice", "two", "none", "imported", "empty", "number"],
)
def test_an_inconsistent_folder_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modules: dict[str, str], said: str
) -> None:
    with pytest.raises(VariantError, match=said):
        discover(package(tmp_path, monkeypatch, **modules), Kind)


def test_helpers_are_named_and_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = package(tmp_path, monkeypatch, a="IT = Kind('a')", base="X = 1")
    assert list(discover(name, Kind, helpers=("base",))) == ["a"]
    with pytest.raises(VariantError, match="no such helper module: gone"):
        discover(name, Kind, helpers=("base", "gone"))
