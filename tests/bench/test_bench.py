from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import BENCHES, TARGET, main
from bench.tables import Row, Table, results

ROOT = Path(__file__).resolve().parents[2]


def test_help_says_what_there_is() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "bench", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert all(name in said.stdout for name in BENCHES)


def test_an_unknown_bench_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["smapling"])
    assert caught.value.code == 2
    assert "expected one of: sampling" in capsys.readouterr().err


def well_formed(text: str) -> list[str]:
    """The titles of the tables, each of whose rows has the columns of its head."""
    assert re.search(r"^- Date: \d{4}-\d\d-\d\d \d\d:\d\d UTC", text, re.MULTILINE)
    assert "- Machine: " in text
    assert "- Versions: Python 3." in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {6}
    return re.findall(r"^## (.+)$", text, re.MULTILINE)


def test_results_are_well_formed() -> None:
    tables = [Table("One", "About it.", [Row("a", "1 s", "2 s", "0.50", "< 1 s"), Row("b", "3")])]
    assert well_formed(results(tables, quick=True)) == ["One", "On a GPU"]


def test_the_results_in_the_repository_are_whole() -> None:
    assert len(well_formed(TARGET.read_text(encoding="utf-8"))) >= len(BENCHES)
