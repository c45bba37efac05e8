"""The events of a run: one JSON object per line in `progress.jsonl`. Imports nothing heavy.

Each line has `at` (UTC milliseconds) and `event`:

    starting    phase                    importing | tokenizing | building
    loaded      parameters, device, world_size, tokens, rows, dropped_long, steps, resumed_from,
                resumed (new | exact | universal | weights | finished), packed, pieces (micro-batch splits), attention
    step        step, steps, epoch, loss, learning_rate, grad_norm, tokens_per_second, mfu, memory_mb, eta_s
    checkpoint  step, seconds
    eval        split, task, step, epoch, n, correct, accuracy, low, high, seed   (one line per task)
                and, with sampled answers, majority_of (answers per question), majority (accuracy)
                and repetitions (accuracy of each); correct_format and complete (shares of the answers)
    phase       phase                    training | making (of an operation) | evaluating | exporting
    made        parameters, device, figures   (of an operation)
    exported    step, directory
    stopped     step                     stopped on request; a later start resumes there
    done        step, steps, reason      complete | patience
    failed      message, rank, memory (out of memory in a training step that can be computed in more splits),
                peer (another rank is gone and did not say why: the run can resume from its checkpoint)
    note        message                  a deviation from the request or from an earlier start

A line is one `write` on a descriptor opened with O_APPEND, so lines of several processes never mix, and a reader sees
complete lines or a torn last one. After a resume, steps since the last checkpoint are reported again with the same step,
loss, learning rate and gradient norm; readers keep one row per step. The file is the only channel: a pipe would block
training and die with its reader.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

FILE = "progress.jsonl"
_CHUNK = 8 << 20


class ProgressWriter:
    """Appends events. Opening it completes a line that a killed process left torn."""

    also: Callable[[Mapping[str, Any]], None] | None = None
    """Receives every event after it is written."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")

    def write(self, event: str, **fields: Any) -> None:
        """Appends one event. Numbers that JSON cannot express (NaN, infinity) become null."""
        self.write_all([{"event": event, **fields}])

    def write_all(self, events: list[dict[str, Any]]) -> None:
        """Appends several events with one system call, so a line is never split."""
        at = time.time_ns() // 1_000_000
        lines = [json.dumps(_plain({"at": at, **event}), ensure_ascii=True) + "\n" for event in events]
        data = "".join(lines).encode()
        while data:  # a full disk may accept a part; the rest then raises OSError
            data = data[os.write(self._file, data) :]
        if self.also is not None:
            for event in events:
                self.also(event)

    def close(self) -> None:
        """Closes the file. A second call does nothing."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_events(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """The events after byte `offset`, and the offset to continue from.

    An incomplete last line is left for the next call. Lines that are not events (torn by a crash, or written by something
    else) are skipped. A missing file has no events. At most 8 MB are read per call, so call again until nothing comes.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(_CHUNK)
    except FileNotFoundError:
        return [], offset
    end = data.rfind(b"\n") + 1
    if not end and len(data) == _CHUNK:
        return [], offset + _CHUNK  # no event is that long: garbage without a line end
    events = [event for line in data[:end].split(b"\n") if (event := _event(line)) is not None]
    return events, offset + end


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    complete = isinstance(value.get("event"), str) and isinstance(value.get("at"), int)
    return value if complete else None


def has_progress(directory: Path, began: int = 0) -> bool:
    """Whether the last start of a run made a later checkpoint than all starts before. Reads the whole file.

    `began`: where the reports of that start would begin, if it made any; 0 if that is not known.
    """
    path = directory / FILE
    if not any(map(_begins, _all_events(path, began))):
        return False
    before = newest = 0
    for event in _all_events(path):
        if _begins(event):
            before = newest
        elif event["event"] == "checkpoint":
            newest = max(newest, event["step"])
    return newest > before


def _begins(event: Mapping[str, Any]) -> bool:
    return event["event"] == "starting" and event.get("phase") == "importing"


def _all_events(path: Path, offset: int = 0) -> Iterator[dict[str, Any]]:
    while True:
        events, end = read_events(path, offset)
        yield from events
        if end == offset:
            return
        offset = end


def _plain(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in event.items()
    }
