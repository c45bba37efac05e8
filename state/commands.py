"""Commands: typed, written as rows of `command` that survive a restart, and their answers.

The daemon applies them, except notes, which need no daemon: they are applied in the transaction that writes them.
"""

from __future__ import annotations

import json
import os
import pwd
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from state.budget import amount
from state.bulk import storable
from state.database import now_ms, open_reader, transaction
from state.notes import SetNote, set_notes
from state.sqlite import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """Sends no more requests: of a task, of a teacher, or none at all."""

    task: str | None = None
    teacher: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Resume:
    """Undoes a pause; a parked teacher is tried again."""

    task: str | None = None
    teacher: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """Asks given-up samples again: of a plan, of a task, with a reason that contains a text; all where it is None."""

    plan: str | None = None
    task: str | None = None
    reason: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Train:
    """Trains a student (all of them where it is None) on a task, or `joint`, with the samples there are."""

    task: str
    student: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StopDaemon:
    """Ends the daemon: after a drain, or `now`."""

    now: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class StopRun:
    """Stops a student run at its next step; with `finish`, its best weights are exported and tested."""

    run: int
    finish: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SetBudget:
    """Sets the cap over all teachers, in dollars."""

    usd: float


Command = Pause | Resume | Retry | Train | StopDaemon | StopRun | SetBudget | SetNote

KINDS: Mapping[str, type[Command]] = {
    "pause": Pause,
    "resume": Resume,
    "retry": Retry,
    "train": Train,
    "stop": StopDaemon,
    "stop_run": StopRun,
    "budget": SetBudget,
    "note": SetNote,
}
"""The column `kind` of each command."""
_NAMES = {kind: name for name, kind in KINDS.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """A command without an answer; `command` is None where its row cannot be read, and `fault` says why."""

    id: int
    command: Command | None
    fault: str = ""
    applied: str = ""
    """The answer, where a daemon has applied it and died before it gave the answer."""
    by: str = field(default="", compare=False)
    """Who asked; empty where its row does not say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """What a command does to the database: a batch function, its item, and the answer, of what came of it."""

    id: int
    batch: Callable[[Connection, Sequence[Any]], Sequence[Any]]
    item: Any
    words: Callable[[Any], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The daemon's answer."""

    id: int
    done: bool
    answer: str


def encode(command: Command) -> tuple[str, dict[str, Any]]:
    """The columns `kind` and `args` of a command."""
    args = asdict(command)
    if isinstance(command, Pause | Resume | Retry | SetNote):
        args = {name: value for name, value in args.items() if value is not None}
    if isinstance(command, StopRun) and not command.finish:
        del args["finish"]
    return _NAMES[type(command)], args


def decode(kind: str, args: object) -> Command:
    """The command that a row holds. Unknown arguments are passed over: another version may have written them.

    Raises:
        ValueError: there is no such command, or its arguments do not fit.
    """
    if not isinstance(args, Mapping):
        raise ValueError(f"the arguments of {kind} are not an object: {args!r}")
    match kind:
        case "pause" | "resume":
            given = {"task": _text(kind, args, "task"), "teacher": _text(kind, args, "teacher")}
            return Pause(**given) if kind == "pause" else Resume(**given)
        case "retry":
            return Retry(**{name: _text(kind, args, name) for name in ("plan", "task", "reason")})
        case "train":
            task = _text(kind, args, "task")
            if task is None:
                raise ValueError("train needs the name of a task")
            return Train(task=task, student=_text(kind, args, "student"))
        case "stop":
            now = args.get("now", False)
            if not isinstance(now, bool):
                raise ValueError(f"stop: now is true or false, not {now!r}")
            return StopDaemon(now=now)
        case "stop_run":
            run = args.get("run")
            if isinstance(run, bool) or not isinstance(run, int):
                raise ValueError(f"stop_run needs the number of a run, got {run!r}")
            finish = args.get("finish", False)
            if not isinstance(finish, bool):
                raise ValueError(f"stop_run: finish is true or false, not {finish!r}")
            return StopRun(run=run, finish=finish)
        case "budget":
            return SetBudget(usd=amount(args.get("usd")))
        case "note":
            return SetNote(
                sample=_number(kind, args, "sample"),
                question=_number(kind, args, "question"),
                flag=_text(kind, args, "flag") or "",
                text=_text(kind, args, "text") or "",
            )
        case _:
            raise ValueError(f"unknown command: {kind}")


BY = "by"
"""The argument of a row that says who asked. A daemon of an earlier version passes over it."""


def who_asks() -> str:
    """The user of this process, and from where if that is another machine."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without an entry
        name = f"user {os.getuid()}"
    client = os.environ.get("SSH_CLIENT", "").split()
    return f"{name} from {client[0]}" if client else name


def send(path: Path, command: Command) -> int:
    """Writes a command and who asks, and returns its id; it waits there while no daemon runs. A note is applied at once.

    Raises:
        ValueError: a note that cannot be stored; nothing is written.
    """
    kind, args = encode(command)
    with transaction(path) as connection:
        (number,) = connection.execute(
            "INSERT INTO command (kind, args, state, created_at) VALUES (?, ?, 'pending', ?) RETURNING id",
            storable((kind, json.dumps({**args, BY: who_asks()}), now_ms())),
        ).fetchone()
        if isinstance(command, SetNote):
            (said,) = set_notes(connection, [command])
            answer(connection, [Reply(id=number, done=True, answer=said)])
        return int(number)


def wait_for(path: Path, command: int, timeout_s: float) -> Reply | None:
    """The answer to a command, or None when there is none within `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    with closing(open_reader(path)) as connection:
        while True:
            row = connection.execute("SELECT state, answer FROM command WHERE id = ?", (command,)).fetchone()
            if row[0] != "pending":
                return Reply(id=command, done=row[0] == "done", answer=row[1] or "")
            if time.monotonic() > deadline:
                return None
            time.sleep(0.05)


def pending(connection: Connection) -> list[Pending]:
    """Commands without an answer, oldest first."""
    rows = connection.execute(
        "SELECT id, kind, args, answer FROM command WHERE state = 'pending' ORDER BY id"
    ).fetchall()
    return [_pending(*row) for row in rows]


def apply_once(connection: Connection, effects: Sequence[Effect]) -> list[Any]:
    """Applies effects, and stores with each that its command was applied; `pending` tells so until it is answered."""
    results = []
    for effect in effects:
        (result,) = effect.batch(connection, [effect.item])
        connection.execute(
            "UPDATE command SET answer = ? WHERE id = ?", storable((effect.words(result), effect.id))
        )
        results.append(result)
    return results


def answer(connection: Connection, replies: Sequence[Reply]) -> list[None]:
    """Answers commands."""
    for reply in replies:
        connection.execute(
            "UPDATE command SET state = ?, answer = ?, answered_at = ? WHERE id = ?",
            storable(("done" if reply.done else "refused", reply.answer, now_ms(), reply.id)),
        )
    return [None] * len(replies)


def _pending(number: int, kind: str, args: str, applied: str | None) -> Pending:
    by = ""
    try:
        given = json.loads(args)
        by = str(given.get(BY, "")) if isinstance(given, Mapping) else ""
        return Pending(id=number, command=decode(kind, given), applied=applied or "", by=by)
    except ValueError as error:  # also of JSON
        return Pending(id=number, command=None, fault=str(error), by=by)


def _text(kind: str, args: Mapping[str, Any], name: str) -> str | None:
    value = args.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{kind}: {name} is a name, not {value!r}")
    return value


def _number(kind: str, args: Mapping[str, Any], name: str) -> int | None:
    value = args.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise ValueError(f"{kind}: {name} is a number, not {value!r}")
    return value
