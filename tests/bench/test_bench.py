from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import BENCHES, TARGET, main
from bench.tables import GPU_TITLE, Row, Table, results

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
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {6}
    return re.findall(r"^## (.+)$", text, re.MULTILINE)


def measured(text: str) -> list[str]:
    """The titles of tables, each of which says when and where it was measured."""
    titles = well_formed(text)
    lines = re.findall(
        r"^Measured: \d{4}-\d\d-\d\d \d\d:\d\d UTC.*; .+ cores, load \d.*; Python 3\.", text, re.MULTILINE
    )
    assert len(lines) == len(titles) - (GPU_TITLE in titles)
    return titles


def test_results_are_well_formed() -> None:
    tables = [Table("One", "About it.", [Row("a", "1 s", "2 s", "0.50", "< 1 s"), Row("b", "3")])]
    first = results(tables, quick=True)
    assert measured(first) == ["One", GPU_TITLE]
    again = Table("One", "About it.", [Row("a", "9 s")])
    second = results([again, Table("Two", "And it.", tables[0].rows)], quick=False, before=first)
    assert measured(second) == ["One", "Two", GPU_TITLE]
    assert "9 s" in second.partition("## Two")[0]
    assert "1 s" not in second.partition("## Two")[0]


def test_the_results_in_the_repository_are_whole() -> None:
    assert len(measured(TARGET.read_text(encoding="utf-8"))) >= len(BENCHES)
