"""Imports a large task file into a new `state.db`: `python -m bench.importing [--quick]`.

One million questions (a tenth with --quick) as JSON lines, gzipped JSON lines and Parquet. A separate process reads each; the
time runs from the start of Python to the last commit, and the peak memory of the process is shown. No teacher is needed.
"""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.cli import alone
from bench.daemon_fixture import DaemonFixture, FinishedProcess, daemon_fixture, measured
from bench.tables import Row, Table

SOURCES = ("sums.jsonl", "sums.jsonl.gz", "sums.parquet")


def bench(quick: bool) -> Table:
    """Time and memory for each file format; a tenth of the questions with --quick."""
    questions = 100_000 if quick else 1_000_000
    rows = []
    with daemon_fixture() as fixture:
        fixture.populate("http://127.0.0.1:9/v1", questions=questions)
        empty = _of(fixture, "", 0)
        for source in SOURCES:
            _make(fixture.folder, source)
            ran = _of(fixture, source, questions)
            size = (fixture.folder / source).stat().st_size / 1e6
            rows += [
                Row(f"{source} ({size:,.0f} MB)", f"{ran.wall_s:.1f} s, CPU {ran.cpu_s:.1f} s"),
                Row("  peak resident memory", f"{ran.memory_mb:,.0f} MB"),
                Row("  size of `state.db`", f"{fixture.database.stat().st_size / 1e6:,.0f} MB"),
            ]
    rows.append(Row("the same process without a task", f"{empty.wall_s:.1f} s, {empty.memory_mb:,.0f} MB"))
    return Table("Import", f"{questions:,} questions in one file, into a new state.db.", rows)


def _of(fixture: DaemonFixture, source: str, questions: int) -> FinishedProcess:
    """Imports one file into a new database."""
    for path in fixture.folder.glob("state.db*"):
        path.unlink()
    ran = measured("bench.importing", "--read", str(fixture.folder), source)
    if int(ran.output) != questions:
        raise RuntimeError(f"{source}: {ran.output} of {questions} questions were stored")
    return ran


def _make(folder: Path, source: str) -> None:
    """Writes the same questions in another file format."""
    lines = folder / "sums.jsonl"
    if source.endswith(".gz"):
        with lines.open("rb") as file, gzip.open(folder / source, "wb", compresslevel=1) as packed:
            shutil.copyfileobj(file, packed)
    elif source.endswith(".parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([(name, pa.string()) for name in ("id", "question", "answer", "split")])
        with pq.ParquetWriter(folder / source, schema) as writer:
            for rows in _chunks(lines, 50_000):
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _chunks(lines: Path, size: int) -> Iterator[list[dict[str, str]]]:
    with lines.open(encoding="utf-8") as file:
        chunk: list[dict[str, str]] = []
        for line in file:
            chunk.append(json.loads(line))
            if len(chunk) == size:
                yield chunk
                chunk = []
        if chunk:
            yield chunk


def read(folder: Path, source: str) -> int:
    """Reads the tasks as a daemon does at its first start; returns the number of questions in `state.db`."""
    from contextlib import closing

    from daemon.catalog.sync import read_input, synchronise
    from engine.config import load_config
    from state.database import open_reader, open_writer

    path = folder / "config.toml"
    text = path.read_text(encoding="utf-8")
    if source:
        config = load_config(path)
        config.tasks["sums"] = config.tasks["sums"].model_copy(update={"source": source})
    else:
        (folder / "empty.toml").write_text(text.split("[tasks.")[0], encoding="utf-8")
        config = load_config(folder / "empty.toml")
    open_writer(config.database).close()
    synchronise(config, read_input(config))
    with closing(open_reader(config.database)) as connection:
        return int(connection.execute("SELECT count(*) FROM question").fetchone()[0])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        print(read(Path(sys.argv[2]), sys.argv[3]))
    else:
        alone(bench)
