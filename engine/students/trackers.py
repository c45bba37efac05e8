"""Sends the numbers of a run to TensorBoard, Weights & Biases or trackio, with their own libraries.

A tracker gets what `progress.jsonl` gets (the daemon reads that file alone): steps, dev and test accuracies. Only the
first rank has one. It never fails a run: after its first error it is not used again, and a note says so. Keys are not
passed to training processes: log in once (`wandb login`), or use a folder (`WANDB_MODE=offline`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from engine.students.requirements import check_tracker
from engine.students.spec import Spec

STEP = ("loss", "learning_rate", "grad_norm", "tokens_per_second", "mfu", "memory_mb", "epoch")
PROJECT = "coterie"


class _Sink(Protocol):
    def log(self, numbers: Mapping[str, float], step: int) -> None: ...
    def close(self) -> None: ...


class Tracker:
    """Forwards the events of a run; calls `note` once if that fails."""

    def __init__(self, sink: _Sink, note: Callable[[str], None]) -> None:
        self._sink: _Sink | None = sink
        self._note = note

    def tell(self, event: Mapping[str, Any]) -> None:
        """Forwards the numbers of a `step` or `eval` event; other events have none."""
        if event["event"] == "step":
            numbers = {f"train/{name}": event.get(name) for name in STEP}
        elif event["event"] == "eval":
            place = f"{event['split']}/{event['task']}"
            numbers = {f"{place}/accuracy": event["accuracy"], f"{place}/majority": event.get("majority")}
        else:
            return
        known = {name: float(value) for name, value in numbers.items() if value is not None}
        self._guarded(lambda sink: sink.log(known, int(event["step"])))

    def close(self) -> None:
        """Sends what is left."""
        self._guarded(lambda sink: sink.close())
        self._sink = None

    def _guarded(self, what: Callable[[_Sink], None]) -> None:
        if self._sink is None:
            return
        try:
            what(self._sink)
        except Exception as error:  # such as a full disk or a lost network
            self._sink = None
            reason = next(iter(str(error).splitlines()), "")
            self._note(f"the tracker failed and is not used any more ({type(error).__name__}: {reason})")


def make_tracker(directory: Path, spec: Spec, note: Callable[[str], None]) -> Tracker | None:
    """The tracker in the settings of the run. A resumed run continues the same one.

    Raises:
        JobFailed: its library is not installed.
    """
    name = spec.training.tracker
    if name == "none":
        return None
    check_tracker(name)
    try:
        return Tracker(_SINKS[name](directory, spec), note)
    except Exception as error:  # not logged in, no network, no disk
        reason = next(iter(str(error).splitlines()), "")
        note(
            f"the tracker {name} cannot be used ({type(error).__name__}: {reason}): the run continues without it"
        )
        return None


class _TensorBoard:
    def __init__(self, directory: Path, _spec: Spec) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer: Any = SummaryWriter(str(directory / "tensorboard"))

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Hosted:
    """wandb, and trackio, which has the same functions."""

    def __init__(self, module: Any, spec: Spec, **more: Any) -> None:
        config = {"base": spec.base, "method": spec.method, "scope": spec.scope, **spec.training.model_dump()}
        name = f"{spec.student}-{spec.scope}-{spec.run_id}"
        self._module = module
        self._last = -1
        module.init(project=PROJECT, name=name, config=config, **more)

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._last = max(self._last, step)  # they reject steps that go back, as after a resume
        self._module.log(dict(numbers), step=self._last)

    def close(self) -> None:
        self._module.finish()


def _wandb(directory: Path, spec: Spec) -> _Hosted:
    return _Hosted(
        import_module("wandb"),
        spec,
        dir=str(directory),
        id=f"{spec.manifest_digest[:12]}-{spec.run_id}",
        resume="allow",
    )


def _trackio(_directory: Path, spec: Spec) -> _Hosted:
    return _Hosted(import_module("trackio"), spec, resume="allow")


_SINKS: dict[str, Callable[[Path, Spec], _Sink]] = {
    "tensorboard": _TensorBoard,
    "wandb": _wandb,
    "trackio": _trackio,
}
