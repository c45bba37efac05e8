"""The training process: `python -m engine.students.train RUN_DIR`, once for each rank.

From a run directory to an evaluated, exported student. Started again on the same directory, it resumes from the newest
complete checkpoint; a finished run is left as it is. The process does not end with its daemon: the next one finds it by
`run_lock` and follows it, and `orphans` ends it if none will come.

Exit code 0: done, or stopped with a checkpoint, by SIGTERM or as an orphan. 1: failed; a `failed` event says why in one
line, and the traceback goes to stderr. 2: wrong arguments. 3: another process trains in this directory; nothing was changed.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.students import progress_file
from engine.students.checkpoints import DevResult, RunState, prune
from engine.students.exported_student import DIRECTORY
from engine.students.finish import DEV, asked_otherwise, finish, forget_checkpoints, lines, tell_results
from engine.students.orphans import watch_daemon
from engine.students.out_of_memory import OutOfMemory, is_out_of_memory
from engine.students.progress_file import ProgressWriter
from engine.students.ranks import Ranks, StopFlag, Stopped
from engine.students.run import MakeJudge, Run, check_owner, read_spec
from engine.students.run_commands import START, follow_commands
from engine.students.run_lock import LOCKED, WAIT_FOR_EARLIER_START_S, WAIT_S, RunLocked, lock_run, unlock_run
from engine.students.trackers import make_tracker
from state.enums import FINISHED_EARLY, TRAIN

if TYPE_CHECKING:  # these bring torch, which is imported once the run has reported that it starts
    from engine.students.evaluate import Judge
    from engine.students.session import Session

PEER_GONE = "another rank of this run is gone"


def main(
    argv: Sequence[str], make_judge: MakeJudge | None = None, job: Callable[[Run], None] | None = None
) -> int:
    """Trains the student of a run directory; returns the exit code.

    Args:
        argv: the run directory.
        make_judge: makes a judge from the name of a grader; by default the graders of the teachers.
        job: what is done with the run; by default `train`.
    """
    if len(argv) != 1:
        print("usage: python -m engine.students.train RUN_DIR", file=sys.stderr)  # noqa: T201
        return 2
    stop, ranks, directory = StopFlag(), Ranks.from_environment(), Path(argv[0]).resolve()
    stop.install()
    follow_commands(directory, stop.ask)
    writer, lock = None, -1
    try:
        wait_s = WAIT_FOR_EARLIER_START_S if START in os.environ else WAIT_S
        lock = lock_run(directory, first=ranks.first, wait_s=wait_s)
        writer = ProgressWriter(directory / progress_file.FILE)
        watch_daemon(directory, first=ranks.first, orphaned=partial(_end_orphan, stop, writer))
        spec = read_spec(directory)
        check_owner(directory, spec)
        (job or train)(
            Run(
                directory=directory,
                spec=spec,
                ranks=ranks,
                stop=stop,
                progress=writer if ranks.first else None,
                make_judge=make_judge or teachers_judge,
            )
        )
    except Stopped:
        return 0
    except RunLocked as error:
        print(error, file=sys.stderr)  # noqa: T201
        return LOCKED
    except Exception as error:
        traceback.print_exc()
        if writer is not None:
            failed = {
                "message": one_line(error),
                "memory": isinstance(error, OutOfMemory) and error.divisible,
            }
            if str(failed["message"]).startswith(PEER_GONE):
                failed |= told_by_peer(directory) or {"peer": True}
            writer.write("failed", **{**failed, "rank": ranks.rank})
        return 1
    finally:
        if writer is not None:
            writer.close()
        if lock >= 0:
            unlock_run(lock)
    return 0


def _end_orphan(stop: StopFlag, writer: ProgressWriter, why: str) -> None:
    message = f"{why}: the run ends with a checkpoint, and a daemon of its database resumes it"
    print(message, file=sys.stderr, flush=True)  # noqa: T201
    with suppress(OSError):  # the disk may be full
        writer.write("note", message=message)
    stop.ask()


def train(run: Run) -> None:
    """The whole run: build, train, choose the weights, export, test, finish.

    Raises:
        Stopped: it was asked to stop, and has a checkpoint.
        JobFailed: it cannot continue.
    """
    if not run.method.trains:
        measure_base(run)
        return
    if (run.directory / DIRECTORY).is_dir():
        forget_checkpoints(run)
        evaluation = json.loads((run.directory / "evaluation.json").read_bytes())
        if asked_otherwise(run, evaluation):
            ask_again(run, evaluation)
        told = {
            name: evaluation[name] for name in ("step", "steps", "reason", "trained") if name in evaluation
        }
        run.tell("done", **told)
        return
    if run.spec.kind != TRAIN:
        make_from_others(run)
        return
    run.tell("starting", phase="importing")
    import_libraries()
    from engine.students.session import build

    with tracked(run):
        session = build(run)
        state = learn(session, session.saved or session.stamp(RunState(world=run.ranks.world)))
        try:
            finish(session, state)
        except Stopped:
            run.tell("stopped", step=state.step)
            raise


def make_from_others(run: Run) -> None:
    """The whole run of a student that an operation makes.

    Raises:
        Stopped: it was asked to stop.
        JobFailed: it cannot be made.
    """
    run.tell("starting", phase="importing")
    from engine.students.operate import operate

    try:
        operate(run)
    except Stopped:
        run.tell("stopped", step=0)
        raise


def ask_again(run: Run, before: dict[str, Any]) -> None:
    """Evaluates the exported student of a finished run with other settings.

    Raises:
        Stopped: it was asked to stop.
    """
    run.tell("starting", phase="importing")
    import_libraries()
    from engine.students.evaluate_again import evaluate_again

    try:
        evaluate_again(run, before)
    except Stopped:
        run.tell("stopped", step=before["step"])
        raise


def measure_base(run: Run) -> None:
    """The whole run of a student that is not trained.

    Raises:
        Stopped: it was asked to stop.
        JobFailed: it cannot continue.
    """
    if (run.directory / "evaluation.json").is_file():
        run.tell("done", step=0, steps=0, reason="complete")
        return
    run.tell("starting", phase="importing")
    import_libraries()
    from engine.students.measure import measure

    try:
        measure(run)
    except Stopped:
        run.tell("stopped", step=0)
        raise


@cache
def import_libraries() -> None:
    """Imports what every run needs, without looking for garbage: a million objects come, and all of them stay."""
    gc.disable()
    try:
        import deepspeed  # noqa: F401
        import transformers.modeling_utils  # noqa: F401

        import engine.students.session  # noqa: F401
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def tracked(run: Run) -> Iterator[None]:
    """Forwards the events of the first rank to the run's tracker."""
    tracker = make_tracker(run.directory, run.spec, run.note) if run.progress else None
    if tracker is None or run.progress is None:
        yield
        return
    run.progress.also = tracker.tell
    try:
        yield
    finally:
        tracker.close()


def learn(session: Session, state: RunState) -> RunState:
    """Optimizer steps, with dev evaluations and checkpoints where they are due. Ends in a checkpoint."""
    from engine.students.evaluate import results

    if state.finished:
        return state
    run, spec = session.run, session.run.spec
    run.tell("phase", phase="training")
    stopping = session.loop.begin(state.step)
    while True:
        files: dict[str, bytes] = {}
        finishing = session.loop.finishing and state.step > 0
        due = state.step in session.dev_steps or (finishing and session.dev_steps)
        if due and not stopping and state.step not in {r.step for r in state.dev}:
            try:
                with session.gathered.weights() as model:
                    predictions = session.evaluate(model, session.dev)
            except Stopped:
                stopping = True
            else:
                tell_results(session, results(predictions), state.step)
                correct = sum(prediction.correct for prediction in predictions)
                result = DevResult(step=state.step, n=len(predictions), correct=correct)
                state = state.model_copy(update={"dev": (*state.dev, result)})
                files[DEV] = lines(predictions)
        if not stopping:
            state = state.model_copy(update={"finished": verdict(session, state)})
        periodic = state.step % spec.training.checkpoint_steps == 0
        if state.step and state != session.saved and (files or state.finished or stopping or periodic):
            checkpoint(session, state, files)
        if state.finished:
            return state
        if stopping:
            run.tell("stopped", step=state.step)
            raise Stopped
        step = state.step + 1
        due = step == session.steps or step in session.dev_steps or step % spec.training.checkpoint_steps == 0
        try:
            stopping = session.loop.run_step(step, sync=due)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            divisible = spec.splits < session.largest
            raise OutOfMemory(one_line(error), divisible=divisible) from error
        state = state.model_copy(update={"step": step})


def verdict(session: Session, state: RunState) -> str | None:
    """Why the training ends here, or None."""
    if state.step >= session.steps:
        return "complete"
    if session.loop.finishing and state.step:
        return FINISHED_EARLY
    return "patience" if state.at_plateau(session.run.spec.evaluation.patience) else None


def checkpoint(session: Session, state: RunState, files: dict[str, bytes]) -> None:
    """Saves the state, reports it, and removes checkpoints that are no longer needed."""
    from engine.students.session import save

    begun = time.monotonic()
    save(session, state, files)
    run = session.run
    if run.ranks.first:
        best = state.best
        prune(run.checkpoints, keep=run.spec.training.keep_checkpoints, also=best.step if best else None)
    run.tell("checkpoint", step=state.step, seconds=round(time.monotonic() - begun, 3))
    session.loop.rest()


def teachers_judge(grader: str) -> Judge:
    """The grader that also grades the completions of teachers."""
    from engine.students.evaluate import judge_with

    return judge_with(grader)


def one_line(error: BaseException) -> str:
    """A failure in one line of at most 500 characters."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    name = type(error).__name__
    if name == "JobFailed":
        message = " ".join(str(error).split())
    elif is_out_of_memory(error):
        message = (
            f"out of memory: lower training.batch_tokens (or batch_rows) or evaluation.batch_size ({text})"
        )
    elif name in ("DistBackendError", "DistNetworkError") or "by peer" in text:  # closed, or reset
        message = f"{PEER_GONE} ({text})"
    else:
        message = f"{name}: {text}" if text else name
    return message if len(message) <= 500 else message[:499] + "…"


def told_by_peer(directory: Path) -> dict[str, Any] | None:
    """How another rank of this start failed, if it reported that: the last event of a start counts."""
    failed: dict[str, Any] | None = None
    offset = 0
    while True:
        events, end = progress_file.read_events(directory / progress_file.FILE, offset)
        for event in events:
            if event["event"] == "starting":
                failed = None
            elif event["event"] == "failed":
                failed = {name: event[name] for name in ("message", "memory", "peer") if name in event}
        if end == offset:
            return failed
        offset = end


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
