"""The lines of a run without a terminal: totals, time left and phases; a line when something changed. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from state.given_up import count_once
from state.safe import safe
from state.views.format import count, duration, money, percent
from state.views.status_records import PlanStatus, RunStatus, Status

FIRST_S, MOST_S = 1.0, 60.0
"""Seconds between two lines while only counts change: at first, and after a while."""
WINDOW_S = 120.0
"""The time over which the pace is measured."""


class Progress:
    """Decides which status is worth a line."""

    def __init__(self, started_s: float) -> None:
        self._started = started_s
        self._facts: tuple[object, ...] = ()
        self._counts: tuple[object, ...] = ()
        self._next = 0.0
        self._gap = FIRST_S
        self._pace: deque[tuple[float, int]] = deque()

    def line(self, status: Status, now_s: float) -> str | None:
        """The line to print now, or None.

        A phase, an alert or a finished plan or run is said at once. Where only counts changed, the time between two lines doubles
        from a second to a minute. Where nothing changed, there is none.

        Args:
            status: as it is now.
            now_s: monotonic seconds.
        """
        ended, wanted = totals(status.plans)
        self._pace.append((now_s, ended))
        while now_s - self._pace[0][0] > WINDOW_S:
            self._pace.popleft()
        facts = _facts(status)
        counts = (ended, wanted, *((run.id, run.step) for run in status.active_runs))
        if facts != self._facts:
            self._gap = FIRST_S
        elif counts == self._counts or now_s < self._next:
            return None
        else:
            self._gap = min(MOST_S, 2 * self._gap)
        self._facts, self._counts, self._next = facts, counts, now_s + self._gap
        return self._text(status, now_s, ended, wanted)

    def end(self, status: Status, now_s: float) -> str:
        """The last line."""
        ended, wanted = totals(status.plans)
        samples = (
            f"{count(ended)} of {count(wanted)} samples" if ended < wanted else f"{count(ended)} samples"
        )
        done = sum(run.state == "done" for run in status.runs)
        parts = [f"ended after {duration(now_s - self._started)}", samples, *_correct(status.plans)]
        parts += [f"{count(done)} {'run' if done == 1 else 'runs'} done"] if done else []
        return _joined([*parts, _spent(status)])

    def _text(self, status: Status, now_s: float, ended: int, wanted: int) -> str:
        parts = [f"{duration(now_s - self._started)} {status.daemon.state}"]
        if wanted:
            share = f"{count(ended)} of {count(wanted)} samples ({percent(ended / wanted)})"
            left = self._left_s(ended, wanted) if status.daemon.state == "running" else None
            parts.append(share + (f", {duration(left)} left" if left is not None else ""))
            parts += _correct(status.plans)
        parts.append(_spent(status))
        parts += [_run(run) for run in status.active_runs]
        queued = sum(run.state == "queued" for run in status.runs)
        parts += [f"{count(queued)} {'run' if queued == 1 else 'runs'} queued"] if queued else []
        parts += [f"! {notice}" for notice in status.notices]
        return _joined(parts)

    def _left_s(self, ended: int, wanted: int) -> float | None:
        """Seconds until all samples are there at the pace of the last minutes; None where there is no pace yet."""
        (since, before), (now, _) = self._pace[0], self._pace[-1]
        if ended >= wanted or ended <= before or now - since < FIRST_S:
            return None
        return (wanted - ended) * (now - since) / (ended - before)


def totals(plans: Iterable[PlanStatus]) -> tuple[int, int]:
    """Samples that have ended and samples that are wanted; plans that share samples count once."""
    return count_once(
        (
            plan.samples or str(plan.id),
            min(plan.wanted, plan.stored + plan.failed + plan.skipped),
            plan.wanted,
        )
        for plan in plans
    )


def _correct(plans: Iterable[PlanStatus]) -> list[str]:
    correct, graded = count_once((plan.samples or str(plan.id), plan.correct, plan.graded) for plan in plans)
    return [f"{percent(correct / graded)} correct"] if graded else []


def _spent(status: Status) -> str:
    return money(status.spend.usd, status.spend.cap_usd)


def _run(run: RunStatus) -> str:
    text = f"run {run.id} {run.student} on {run.task}: {run.state_text}"
    text += f" {count(run.step)} of {count(run.steps)} steps" if run.steps else ""
    text += f", loss {run.loss:.3f}" if run.loss is not None else ""
    return text + (f", {duration(run.eta_s)} left" if run.eta_s is not None else "")


def _facts(status: Status) -> tuple[object, ...]:
    """What is said at once when it changes. An alert counts by its subject: the times in its text change."""
    plans = tuple(plan.stored + plan.failed + plan.skipped >= plan.wanted for plan in status.plans)
    runs = tuple((run.id, run.state) for run in status.runs)
    alerts = tuple((alert.subject, alert.what.partition(";")[0]) for alert in status.alerts)
    return (status.daemon.state, status.daemon.boot_id, plans, runs, alerts)


def _joined(parts: list[str]) -> str:
    return safe(" | ".join(parts)).replace("\n", " ").replace("\t", " ")
