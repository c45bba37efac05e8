"""The runs whose students a student starts from, and what becomes of a run whose sources have not ended well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.config.lineage import source_name
from engine.errors import JobFailed
from state.enums import ACTIVE_RUN_STATES, RunState
from state.lineage import BASE
from state.runs import RunRow, StoredRun

JOINT = "joint"
ITS_SOURCE = "its source,"


@dataclass(frozen=True, slots=True)
class Source:
    """A student that others start from, on the scope that they take."""

    student: str
    scope: str
    role: str = BASE

    @property
    def words(self) -> str:
        """What messages call it."""
        return f"{self.student} on {self.scope}"


@dataclass(frozen=True, slots=True)
class Sources:
    """The runs that stand for some sources now, in order."""

    runs: tuple[tuple[StoredRun, str], ...] = ()
    """Each with its role."""
    waits: str = ""
    """What has to come first; empty: nothing."""
    awaited: str = ""
    """The source that is waited for, as `student on scope`."""

    @property
    def identities(self) -> tuple[str, ...]:
        """What a fingerprint has of them. Another run is another source, even one of the same rows."""
        return tuple(f"{role} {run.id} {run.digest}" for run, role in self.runs)

    @property
    def rows(self) -> tuple[tuple[int, str], ...]:
        """Their ids and roles, for the database."""
        return tuple((run.id, role) for run, role in self.runs)


def sources_now(wanted: Sequence[Source], runs: Sequence[StoredRun]) -> Sources:
    """The newest finished run of each source. Where none is finished, the newest of those that ended without a student.

    While a run of a source has not ended, there is something to wait for: a newer student is on its way.

    Args:
        wanted: the sources.
        runs: all runs, oldest first.
    """
    found = []
    for source in wanted:
        own = [run for run in runs if (run.name, run.scope) == (source.student, source.scope)]
        if not own:
            return Sources(waits=f"{source.words} has no run yet", awaited=source.words)
        if active := [run for run in own if run.state == RunState.QUEUED or run.state in ACTIVE_RUN_STATES]:
            return Sources(waits=f"run {active[-1].id} ({source.words}) has not ended", awaited=source.words)
        done = [run for run in own if run.state == RunState.DONE]
        found.append(((done or own)[-1], source.role))
    return Sources(tuple(found))


def base_source(base: str, scope: str, scopes: Iterable[tuple[str, str]]) -> tuple[Source, ...]:
    """The source that `base = "student:NAME"` means on a scope: the same one of NAME, else its joint one.

    Args:
        base: the base of the student.
        scope: of the student.
        scopes: name and scope of all students, also of derived ones.
    """
    name = source_name(base)
    if name is None:
        return ()
    return (Source(name, scope if (name, scope) in set(scopes) else JOINT),)


def waits_for(row: RunRow, unfinished: Iterable[RunRow]) -> bool:
    """Whether a queued run has to wait: a run whose student it starts from has not ended.

    Args:
        row: the run.
        unfinished: all runs that are queued or have a process.
    """
    if any(not source.ended for source in row.sources):
        return True
    if row.settings.student.get("start_from") != "previous":
        return False
    who = row.student, row.scope
    return any((each.student, each.scope) == who and each.id < row.id for each in unfinished)


def check_sources(row: RunRow) -> None:
    """Checks that there is a student of each source of a queued run that does not wait.

    Raises:
        JobFailed: a source ended without one; the message says how, and what to do.
    """
    for source in row.sources:
        if source.state == RunState.DONE:
            continue
        if source.error.startswith(ITS_SOURCE):
            raise JobFailed(f"{ITS_SOURCE} {source.words}, has no student: {source.error}")
        how = f"failed ({source.error})" if source.state == RunState.FAILED else "was stopped"
        raise JobFailed(
            f"{ITS_SOURCE} {source.words}, {how}. `coterie train {source.scope} --student {source.student}` starts that again, and"
            " this run follows"
        )
