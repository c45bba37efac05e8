"""Reads the progress of a run's process into rows for `state.db`. It reads files, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.students.progress_file import FILE, read_events
from state.enums import FINISHED_EARLY, RunState
from state.run_reports import Predictions, RunColumns, RunReport

STATES = {
    "training": RunState.TRAINING,
    "making": RunState.TRAINING,
    "evaluating": RunState.EVALUATING,
    "exporting": RunState.EVALUATING,
}

LAST_BYTES = 64 * 1024
"""The end of its progress in which the last event of a run is looked for."""


@dataclass(slots=True)
class Ending:
    """How the process said it ended: "done", "failed" (with the message), "stopped", or "" (not at all)."""

    kind: str = ""
    message: str = ""
    memory: bool = False
    """Whether a training step ran out of memory that would fit in more parts."""
    peer: bool = False
    """Whether it only knows that another rank is gone: its machine was lost, or it was killed."""
    early: bool = False
    """Whether the user had it finish before its last step."""


@dataclass(slots=True)
class Followed:
    """One reading of a run's progress."""

    report: RunReport
    offset: int
    """Where the next reading begins."""
    ending: Ending = field(default_factory=Ending)
    notes: tuple[str, ...] = ()
    """Warnings of the process for the user."""


def follow(run_id: int, directory: Path, offset: int, task_ids: Mapping[str, int]) -> Followed | None:
    """Everything reported after byte `offset`; None where nothing was."""
    events, end = read_events(directory / FILE, offset)
    if end == offset:
        return None
    values: RunColumns = {"progress_offset": end}
    metrics: list[tuple[Any, ...]] = []
    evaluations: list[tuple[Any, ...]] = []
    notes: list[str] = []
    too_long: int | None = None
    trained: int | None = None
    ending = Ending()
    for event in events:
        kind = event["event"]
        if kind == "note":
            notes.append(str(event["message"]))
            continue
        ending = Ending()  # whatever follows an ending was written by a later process
        if kind == "step":
            metrics.append(_metric(event))
            values |= {
                "step": event["step"],
                "steps": event["steps"],
                "loss": event["loss"],
                "tokens_per_second": event["tokens_per_second"],
                "eta_s": event["eta_s"],
            }
        elif kind == "eval":
            evaluations.append(_evaluation(event, task_ids))
        elif kind == "starting":
            values |= {"state": RunState.STARTING.value, "phase": event["phase"]}
        elif kind == "loaded":
            values |= {"state": RunState.TRAINING.value, "phase": "training", "steps": event["steps"]}
            if "parameters" in event:
                values["parameters"] = event["parameters"]
            too_long = event.get("dropped_long", too_long)
        elif kind == "ledger":
            values |= {
                "parameters": event["parameters"],
                "bytes": event["bytes"],
                "train_flops": event["train_flops"],
            }
        elif kind == "made":
            values["parameters"] = event["parameters"]
            values["figures"] = json.dumps({"parameters": event["parameters"], **event["figures"]})
        elif kind == "selected":
            values["figures"] = json.dumps(event["figures"])
        elif kind == "phase":
            values |= {"state": STATES[event["phase"]].value, "phase": event["phase"], "eta_s": None}
        else:
            ending = _ending(event)
            if "trained" in event:
                trained = event["trained"]
                values |= {"step": trained, "steps": event["steps"]}
    return Followed(
        RunReport(
            run_id=run_id,
            values=values,
            metrics=tuple(metrics),
            evaluations=tuple(evaluations),
            too_long=too_long,
            trained=trained,
        ),
        end,
        ending,
        tuple(notes),
    )


def last_ending(directory: Path) -> Ending:
    """How a process that is gone said it ended, even if an earlier daemon read that and died before it acted."""
    path = directory / FILE
    try:
        size = path.stat().st_size
    except OSError:
        return Ending()
    events, _ = read_events(path, max(0, size - LAST_BYTES))
    return _ending(events[-1]) if events else Ending()


def read_predictions(run_id: int, directory: Path) -> Predictions:
    """The answers of a finished run."""
    rows, costs = [], []
    for line in (directory / "predictions.jsonl").read_text(encoding="utf-8").split("\n"):
        if not line:
            continue  # only "\n" ends a line: a text may hold other characters that str.splitlines splits at
        row = json.loads(line)
        rows.append(
            (
                row["question_id"],
                row["split"],
                row["text"],
                row["extracted"],
                int(row["correct"]),
                row["reason"],
            )
        )
        costs.append(tuple(row.get(name) for name in ("prompt_tokens", "tokens", "flops")))
    return Predictions(run_id=run_id, rows=tuple(rows), costs=tuple(costs))


def tail(path: Path, lines: int = 5) -> str:
    """The last lines of a log, for the reason of a process that said nothing."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 4096))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return " | ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip())


def _ending(event: Mapping[str, Any]) -> Ending:
    kind = event["event"]
    if kind in ("done", "stopped"):
        return Ending(kind, early=event.get("reason") == FINISHED_EARLY)
    if kind == "failed":
        return Ending(kind, str(event["message"]), bool(event.get("memory")), bool(event.get("peer")))
    return Ending()


def _metric(event: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        event["step"],
        event["at"],
        event["epoch"],
        event["loss"],
        event["learning_rate"],
        event.get("grad_norm"),
        event.get("tokens_per_second"),
        event.get("mfu"),
        event.get("memory_mb"),
        json.dumps(event["extra"]) if "extra" in event else None,
    )


def _evaluation(event: Mapping[str, Any], task_ids: Mapping[str, int]) -> tuple[Any, ...]:
    return (
        task_ids[event["task"]],
        event["split"],
        event["step"],
        event["epoch"],
        event["n"],
        event["correct"],
        event["accuracy"],
        event["low"],
        event["high"],
        event["seed"],
        event["at"],
        event.get("majority_of"),
        event.get("majority"),
        event.get("correct_format"),
        event.get("complete"),
        json.dumps(event["repetitions"]) if "repetitions" in event else None,
        *(event.get(name) for name in ("prompt_tokens", "completion_tokens", "flops", "seconds")),
        json.dumps(event["formats"]) if "formats" in event else None,
    )
