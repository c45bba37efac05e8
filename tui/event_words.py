"""Events as a user reads them: a glyph and a verb, then what it is about; repeats of one event are one line. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from state.views.events import EventRow
from tui.text import one_line

VERBS = {
    "DaemonStarted": ("●", "started", "good"),
    "DaemonStopping": ("○", "stopping", "attention"),
    "Noted": ("·", "noted", "muted"),
    "StoodStill": ("▲", "stalled", "attention"),
    "BudgetReached": ("■", "reached", "bad"),
    "BudgetSet": ("·", "set", "muted"),
    "SamplesRetried": ("●", "retried", "accent"),
    "ConfigReloaded": ("·", "reloaded", "muted"),
    "RestartNeeded": ("▲", "restart", "attention"),
    "ConfigRefused": ("✗", "refused", "bad"),
    "TeacherParked": ("■", "parked", "bad"),
    "TeacherCooling": ("▲", "failing", "attention"),
    "TeacherRecovered": ("✓", "recovered", "good"),
    "TeacherResumed": ("●", "resumed", "accent"),
    "StudentServed": ("●", "served", "accent"),
    "StudentServerEnded": ("▲", "restarted", "attention"),
    "KeySuspended": ("▲", "suspended", "attention"),
    "GatewayGaveUp": ("✂", "cut off", "attention"),
    "LogprobsMissing": ("▲", "missing", "attention"),
    "AskedOneByOne": ("▲", "singly", "attention"),
    "BatchEvent": ("·", "batch", "muted"),
    "PlanFellBack": ("▲", "fell back", "attention"),
    "PlanCompleted": ("✓", "completed", "good"),
    "PlanContinued": ("●", "continued", "accent"),
    "PlanHeld": ("■", "held", "attention"),
    "PlanResumed": ("●", "resumed", "accent"),
    "PlanReturned": ("●", "returned", "accent"),
    "SampleFailed": ("✗", "gave up", "attention"),
    "TargetMissed": ("▲", "missed", "attention"),
    "TaskRead": ("·", "read", "muted"),
    "TaskRegraded": ("·", "regraded", "muted"),
    "WordingsCompared": ("✓", "compared", "good"),
    "ThresholdReached": ("○", "queued", "accent"),
    "EvaluatedAgain": ("·", "evaluated", "muted"),
    "RunStarted": ("●", "started", "accent"),
    "RunFinished": ("✓", "finished", "good"),
    "RunStopped": ("○", "stopped", "attention"),
    "RunNoted": ("▲", "noted", "attention"),
    "RunFailed": ("✗", "failed", "bad"),
}
"""Glyph, verb and role by the kind of event. A kind that is not here is shown by its own name."""
LEVEL_ROLES = {"warning": ("▲", "attention"), "error": ("✗", "bad")}
VERB_CELLS = 10
_HEAD = 60
"""The longest beginning of a message that may only repeat what verb and subject say."""


@dataclass(frozen=True, slots=True)
class EventGroup:
    """The newest of events that say the same, and how often and since when it was said."""

    event: EventRow
    times: int
    oldest: EventRow


def verb(event: EventRow) -> tuple[str, str, str]:
    """Glyph, verb and role of an event; a warning or an error is coloured as one."""
    words = re.sub("([a-z])([A-Z])", r"\1 \2", one_line(event.kind, 40)).lower()
    glyph, word, role = VERBS.get(event.kind, ("·", words, "muted"))
    if event.level in LEVEL_ROLES and role not in ("attention", "bad"):
        glyph, role = LEVEL_ROLES[event.level]
    return glyph, word, role


def about(event: EventRow) -> str:
    """The subject without its kind: `run 7`, `claude`."""
    kind, _, name = event.subject.partition(":")
    return one_line(f"run {name}" if kind == "run" and name else name or kind, 80)


def what(event: EventRow, *, brief: bool = False) -> str:
    """What happened, without the verb: `claude · key refused (401)`; a brief one leaves a run's student out."""
    message, subject, (_, word, _) = one_line(event.message or event.kind), about(event), verb(event)
    if message.lower().startswith(f"{word}:") or message.lower().startswith(f"{word} "):
        message = message[len(word) + 1 :].strip().removeprefix("(").removesuffix(")")
    head, mark, rest = message.partition(": ")
    if not (mark and subject and subject in head and len(head) <= _HEAD):
        return message
    if brief and event.subject.startswith("run:"):
        rest = re.sub(r"^\S+ on (\S+?)([,:]|\b)", r"\1\2", rest, count=1)
    return f"{subject} · {rest}"


def grouped(events: Sequence[EventRow]) -> list[EventGroup]:
    """Events, newest first, with neighbours that say the same joined; numbers in them may differ."""
    found: list[EventGroup] = []
    before = None
    for event in events:
        key = (event.kind, event.subject, event.level, re.sub(r"[\d,.]+", "0", event.message[:200]))
        if key == before:
            last = found[-1]
            found[-1] = EventGroup(last.event, last.times + 1, event)
        else:
            found.append(EventGroup(event, 1, event))
        before = key
    return found
