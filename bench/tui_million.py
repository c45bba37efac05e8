"""The monitor over a million samples: first paint, jumps, search, memory, rest; writes RESULTS-tui.md.

    python -m bench.tui_million [--samples N] [--db PATH] [--out PATH]

Everything is measured without a terminal (Textual's headless driver, 140 by 40) in a separate process; a time runs from the
key press to the first frame that shows the data. The reference is the least that Textual needs for it, in a process of its own:
a DataTable of rows in memory with a text beside it, and a clock.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from textual.app import App, ComposeResult
from textual.containers import Horizontal
from textual.widgets import DataTable, Static

from bench.tables import Row, Table
from bench.tui_fill import EVENTS, METRICS, RUNS, TASKS, beat, fill, index
from state import sqlite
from state.database import now_ms, open_reader
from state.views.status import read_status

RESULTS = Path(__file__).with_name("RESULTS-tui.md")
JUMPS = 60
REST_S = 8.0
SEARCHES = (
    "coin",
    "name17",
    "number777777",
    "name17 task:task18",
    '"up. Ben"',
    "v:wrong",
    "flag:truncated",
    "task:task1 v:correct",
)


class Frames:
    """The times at which the monitor drew."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.times: list[float] = []
        display = app._display

        def drawn(screen: Any, renderable: Any) -> None:
            display(screen, renderable)
            if renderable is not None:
                self.times.append(time.perf_counter())

        app._display = drawn

    def drawn_since(self, moment: float) -> bool:
        """Whether there was a frame since `moment`, and nothing is left to draw."""
        screen = self.app.screen
        left = screen._dirty_widgets or screen._layout_required or screen._repaint_required
        return bool(self.times) and self.times[-1] >= moment and not left

    async def settled(self, moment: float) -> None:
        """Waits until all is drawn that has changed since `moment`; not for ever, since it may look the same."""
        limit = time.perf_counter() + 0.2
        await until(lambda: self.drawn_since(moment) or time.perf_counter() > limit)

    async def after(self, moment: float) -> float:
        """Waits for the first frame after `moment`; returns its time."""
        await until(lambda: bool(self.times) and self.times[-1] >= moment)
        return next(drawn for drawn in self.times if drawn >= moment)


async def until(true: Callable[[], bool]) -> None:
    """Runs the monitor until `true` returns True."""
    for pause in itertools.repeat(0.0005):
        if true():
            return
        await asyncio.sleep(pause)


async def quiet(app: Any, pilot: Any) -> None:
    """Runs the monitor until all requested data is read and drawn."""
    await until(lambda: not app.busy)
    await pilot.pause()


async def settled(app: Any, pilot: Any) -> None:
    """Runs the monitor until its screen has read all that there is, also what it reads in parts."""
    await quiet(app, pilot)
    await until(lambda: not app.busy and app.read_up)
    await pilot.pause()


def searched(screen: Any) -> bool:
    """Whether the filter has scanned every sample."""
    return screen.search.low is not None and screen.search.low <= screen.samples.low


def taken(times: list[float]) -> str:
    """Median and 95th percentile of times in seconds."""
    times = sorted(times)
    late = times[math.ceil(0.95 * len(times)) - 1]
    return f"{1000 * statistics.median(times):.1f} ms median, {1000 * late:.1f} ms p95 of {len(times)}"


def resident(name: str = "VmRSS") -> str:
    """A memory figure of this process."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith(f"{name}:"):
            return f"{int(line.split()[1]) / 1e3:.0f} MB"
    return "unknown"


async def jumps(
    app: Any, pilot: Any, frames: Frames, rows: Any, there: Callable[[], bool]
) -> tuple[float, str]:
    """Times of jumps in a list until the row and its details are drawn: the median in milliseconds, and words."""
    found = []
    cpu = time.process_time()
    for step in range(1, JUMPS + 1):
        await quiet(app, pilot)
        began = time.perf_counter()
        rows.move((step * 7_368_787) % rows.total())
        await until(lambda: there() and not app.busy and not app.holding)
        await frames.settled(began)
        if frames.times[-1] >= began:  # else nothing had to be drawn
            found.append(frames.times[-1] - began)
    words = f"{taken(found)}; {1000 * (time.process_time() - cpu) / JUMPS:.0f} ms of CPU"
    return 1000 * statistics.median(found), words


class Least(App[None]):
    """A table of rows in memory, a text beside it, and a clock: what the monitor is compared with."""

    CSS = "DataTable { width: 68; } Static { width: 1fr; } #clock { height: 1; width: 100%; }"
    ROWS = 1_000

    def compose(self) -> ComposeResult:
        """As the samples are laid out."""
        yield Static(id="clock")
        with Horizontal():
            yield DataTable(cursor_type="row")
            yield Static(id="text", markup=False)

    def on_mount(self) -> None:
        """Fills the table, and starts the clock."""
        table = self.query_one(DataTable)
        for title, width in (("", 2), ("question", 32), ("answer", 10), ("gold", 10), ("tokens", 6)):
            table.add_column(title, width=width)
        for row in range(self.ROWS):
            table.add_row("✓", f"A coin is heads up. Name{row} flips", "yes", "no", str(row % 400))
        self.set_interval(1.0, self._tick)

    def _tick(self) -> None:
        self.query_one("#clock", Static).update(f"{datetime.now(UTC):%H:%M:%S}", layout=False)


async def least() -> tuple[float, float]:
    """A jump's median in milliseconds, and the share of a core at rest in percent, of an app that does the least."""
    from tui.app import tune_garbage_collector

    app = Least()
    frames = Frames(app)
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.pause()
        tune_garbage_collector()
        table, text, found = app.query_one(DataTable), app.query_one("#text", Static), []
        for step in range(1, JUMPS + 1):
            await pilot.pause()
            began = time.perf_counter()
            row = (step * 7_368_787) % app.ROWS
            table.move_cursor(row=row, animate=False, scroll=True)
            text.update(
                f"Is the coin still heads up?\n\nName{row} does not flip it, so it is as it was.\n" * 4
            )
            await frames.settled(began)
            found.append(frames.times[-1] - began)
        cpu, began = time.process_time(), time.perf_counter()
        await asyncio.sleep(REST_S)
        share = (time.process_time() - cpu) / (time.perf_counter() - began)
    return 1000 * statistics.median(found), 100 * share


def reference() -> tuple[float, float]:
    """`least`, in a fresh process."""
    return asyncio.run(least())


async def monitored(path: Path, least_jump: float, least_rest: float) -> list[Row]:
    """All measurements of the monitor; the others are those of `least`."""
    began = time.perf_counter()
    from tui.app import make_app, tune_garbage_collector

    imported = time.perf_counter()
    app: Any = make_app(path, alive=lambda pid: True)
    frames = Frames(app)
    async with app.run_test(size=(140, 40)) as pilot:
        await until(lambda: app.context.status is not None and app.active_screen.payload is not None)
        painted = await frames.after(time.perf_counter() - 0.002)
        await settled(app, pilot)
        whole = time.perf_counter()
        tune_garbage_collector()  # as on a terminal
        found = [
            Row("imports", f"{1000 * (imported - began):.0f} ms"),
            Row("first paint with data", f"{1000 * (painted - imported):.0f} ms", wanted="< 300 ms"),
            Row("graph and counts of all samples complete", f"{1000 * (whole - imported):.0f} ms"),
            Row("resident memory then", resident()),
        ]
        found += await _samples(app, pilot, frames, least_jump)
        found += await _runs(app, pilot, frames)
        found.append(Row("resident memory afterwards", f"{resident()}, peak {resident('VmHWM')}"))
        for mode in ("overview", "tasks", "teachers", "samples", "runs", "events"):
            app.action_go(mode)
            await settled(app, pilot)
            cpu, began = time.process_time(), time.perf_counter()
            beats = 0.0
            while time.perf_counter() - began < REST_S:
                await asyncio.sleep(0.5)
                beaten = time.process_time()
                beat(path)
                beats += time.process_time() - beaten  # the daemon's, not the monitor's
            share = (time.process_time() - cpu - beats) / (time.perf_counter() - began)
            found.append(
                Row(
                    f"at rest on {mode}",
                    f"{100 * share:.1f} % of a core",
                    f"a clock alone {least_rest:.1f} %",
                    f"{100 * share / least_rest:.1f}",
                    wanted="< 3 %",
                )
            )
    return found


async def _samples(app: Any, pilot: Any, frames: Frames, least_jump: float) -> list[Row]:
    began = time.perf_counter()
    app.action_go("samples")
    await until(
        lambda: app.active_screen.number == "4" and app.active_screen.chosen is not None and not app.busy
    )
    opened = await frames.after(time.perf_counter() - 0.002) - began
    screen = app.active_screen
    rows = screen.samples

    def there() -> bool:
        return screen.chosen.row.id == rows.selected and rows.cells(rows.cursor) is not None

    median, words = await jumps(app, pilot, frames, rows, there)
    found = [
        Row("samples, first time", f"{1000 * opened:.0f} ms"),
        Row(
            "a jump among them",
            words,
            f"in a DataTable {least_jump:.1f} ms median",
            f"{median / least_jump:.2f}",
            wanted="< 20 ms",
        ),
    ]
    for words in SEARCHES:
        began = time.perf_counter()
        screen.set_filter(words)
        await until(lambda: searched(screen) or (rows.total() > 0 and rows.cells(0) is not None))
        shown = await frames.after(time.perf_counter() - 0.002) - began
        await until(lambda: searched(screen) and not app.busy)
        ended = time.perf_counter() - began
        found.append(
            Row(
                f"search `{words}`: rows drawn",
                f"{1000 * shown:.0f} ms; all {rows.total():,} found after {1000 * ended:,.0f} ms",
            )
        )
        await quiet(app, pilot)
    screen.set_filter("")
    await quiet(app, pilot)
    return found


async def _runs(app: Any, pilot: Any, frames: Frames) -> list[Row]:
    began = time.perf_counter()
    app.action_go("runs")
    await until(
        lambda: app.active_screen.number == "5" and app.active_screen.history.run is not None and not app.busy
    )
    opened = await frames.after(time.perf_counter() - 0.002) - began
    screen = app.active_screen
    _, times = await jumps(
        app, pilot, frames, screen.table, lambda: screen.history.run.id == screen.table.key
    )
    return [
        Row("runs, first time", f"{1000 * opened:.0f} ms"),
        Row("a jump among them, plots redrawn", times),
    ]


def measured(path: Path, least_jump: float, least_rest: float) -> list[Row]:
    """The rows, measured in a fresh process."""
    return asyncio.run(monitored(path, least_jump, least_rest))


def bench(path: Path, samples: int) -> Table:
    """Fills the database if it is missing, indexes its words, then measures."""
    if not path.exists():
        began = time.perf_counter()
        fill(path, samples)
        sys.stdout.write(f"{samples:,} samples filled in {time.perf_counter() - began:.0f} s\n")
    cost = index(path)
    rows = [Row("word index", f"{cost:.0f} µs of CPU per sample")] if cost else []
    reader = open_reader(path)
    times = []
    for _ in range(50):
        began = time.perf_counter()
        read_status(reader, now_ms(), lambda pid: True)
        times.append(time.perf_counter() - began)
    reader.close()
    rows.append(Row("the status of everything, read", taken(times)))
    with ProcessPoolExecutor(
        1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        rows += pool.submit(measured, path, *pool.submit(reference).result()).result()
    return Table(
        "The monitor",
        f"{samples:,} samples with their word index, {TASKS} tasks, {RUNS} runs of {METRICS} metrics each,"
        f" {EVENTS:,} events: {path.stat().st_size / 1e9:.1f} GB. The heartbeat is written twice per second while at rest.",
        rows,
    )


def results(table: Table, command: str) -> str:
    """The content of RESULTS-tui.md."""
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end"
    python, library = sys.version.split()[0], sqlite.describe().split(",")[0]
    versions = f"Python {python}, textual {version('textual')}, {library}"
    return "\n".join(
        [
            "# Results of the monitor's bench",
            "",
            f"<!-- Written by `{command}`; do not edit. -->",
            "",
            f"- Date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            f"- Machine: {machine}",
            f"- Versions: {versions}",
            f"- Command: `{command}`",
            "",
            table.markdown(),
        ]
    )


def main() -> None:
    """Measures, and writes the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--db", type=Path, help="database to use; created if it is missing")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file to write")
    arguments = parser.parse_args()
    command = "python -m bench.tui_million"
    if arguments.samples != 1_000_000:
        command += f" --samples {arguments.samples}"
    with tempfile.TemporaryDirectory() as folder:
        text = results(bench(arguments.db or Path(folder) / "state.db", arguments.samples), command)
    arguments.out.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
