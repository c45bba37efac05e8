from __future__ import annotations

import re
from pathlib import Path

from bench.tables import Row, Table
from bench.tui_fill import EVENTS, METRICS, RUNS, TASKS, fill, index
from bench.tui_million import results
from state.database import open_reader
from state.views.status import read_status
from tests.bench.test_bench import well_formed


def test_the_filled_database_has_what_it_says(tmp_path: Path) -> None:
    path, samples = tmp_path / "state.db", 1_000
    fill(path, samples)
    index(path)
    assert index(path) == 0.0  # nothing is left
    reader = open_reader(path)

    def number(sql: str) -> int:
        return int(reader.execute(f"SELECT count(*) FROM {sql}").fetchone()[0])

    status = read_status(reader, 0, lambda pid: True)
    assert (len(status.tasks), len(status.runs)) == (TASKS, RUNS)
    assert sum(plan.stored for plan in status.plans) == number("sample") == samples
    assert number("metric") == RUNS * METRICS
    assert number("event") == EVENTS
    assert number("sample_words WHERE sample_words MATCH 'coin'") == samples
    assert number("sample_words WHERE sample_words MATCH 'name17'") == 1
    assert reader.execute("PRAGMA foreign_key_check").fetchall() == []
    reader.close()


def test_its_table_is_well_formed() -> None:
    text = results(Table("The monitor", "Filled.", [Row("a jump", "1 ms", wanted="< 30 ms")]), "python -m x")
    assert well_formed(text) == ["The monitor"]
    assert re.search(r"^- Date: \d{4}-\d\d-\d\d \d\d:\d\d UTC", text, re.MULTILINE)
    assert "- Machine: " in text
    assert "- Versions: Python 3." in text
    assert "- Command: `python -m x`" in text
