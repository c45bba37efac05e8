"""The status as one screen of plain text, as `coterie status` prints it."""

from __future__ import annotations

from state.safe import safe
from state.views.format import accuracy_words, count, duration, per_thousand, short, spending
from state.views.given_up import given_up_words
from state.views.status_records import Spend, Status
from state.views.tables import table


def format_status(status: Status, width: int | None = None) -> str:
    """Sections for the daemon, plans, teachers and runs; safe for a terminal.

    Args:
        status: what to show.
        width: the most columns of a table; None: any.
    """

    def listed(head: tuple[str, ...], body: list[tuple[str, ...]], left: int, *spare: str) -> list[str]:
        lines = table(head, body, left=left, width=width, spare=spare)
        return ["", *lines] if lines else []

    lines = [_daemon(status), _spending(status.spend), *(f"! {notice}" for notice in status.notices)]
    if words := given_up_words(*status.given_up):
        lines.append(words)
    lines += [
        f"! task {task.name}: {count(task.unreadable)} of {count(task.questions + task.unreadable)} questions are not used: their"
        " gold answers cannot be read; `coterie check` shows some"
        for task in status.tasks
        if task.unreadable
    ]
    lines += [
        f"plan {plan.name} on {plan.task} waits for {plan.awaits}" for plan in status.plans if plan.awaits
    ]
    lines += [each.text for each in status.wordings]
    if status.daemon.alive:
        lines += [f"plan {plan} waits for {what}" for plan, what in status.heartbeat.waits.items()]
    lines += [each.words for each in status.waiting]
    lines += listed(
        (
            "plan",
            "task",
            "teacher",
            "split",
            "wanted",
            "in flight",
            "stored",
            "correct",
            "wrong",
            "failed",
            "$ per 1,000 correct",
        ),
        [
            (plan.name, plan.task, plan.teacher, plan.split)
            + tuple(count(value) for value in (plan.wanted, plan.in_flight, plan.stored))
            + (
                (count(plan.accepted), count(plan.rejected))
                if plan.labelled
                else (f"{count(plan.accepted)} answered", f"{count(plan.rejected)} unread")
            )
            + (count(plan.failed),)
            + (per_thousand(plan.usd_per_correct),)
            for plan in status.plans
        ],
        4,
        *("in flight", "$ per 1,000 correct", "split", "failed"),
    )
    lines += listed(
        (
            "teacher",
            "state",
            "in flight",
            "cap",
            "req/min",
            "tok/min",
            "429",
            "retries",
            "p50 ms",
            "p95 ms",
            "reason",
        ),
        [
            (each.name, each.state, str(each.in_flight), str(each.cap), short(each.requests_per_minute))
            + (short(each.tokens_per_minute), count(each.status_429), count(each.retries))
            + (short(each.p50_ms), short(each.p95_ms), each.reason)
            for each in status.teachers
        ],
        2,
        *("p95 ms", "cap", "retries", "p50 ms", "429", "tok/min"),
    )
    waiting = {
        (each.student, each.scope, each.name): each.progress.text(count)
        for task in status.tasks
        for each in task.triggers
        if not each.progress.reached
    }
    lines += listed(
        ("student", "task", "trigger", "progress"), [(*who, text) for who, text in waiting.items()], 3
    )
    lines += listed(
        ("task", "best run by dev", "its accuracy on test, %", "teacher, at most"),
        [
            (
                task.name,
                f"run {task.best.run}",
                accuracy_words(task.best),
                accuracy_words(task.teacher),
            )
            for task in status.tasks
            if task.best is not None
        ],
        4,
    )
    lines += listed(
        (
            "run",
            "student",
            "task",
            "state",
            "rows",
            "step",
            "loss",
            "tok/s",
            "ETA",
            "accuracy on test, %",
            "directory",
        ),
        [
            (
                str(run.id),
                run.student,
                run.task,
                run.state_text,
                count(run.samples),
                f"{run.step}/{run.steps}" if run.steps else "–",
            )
            + (
                "–" if run.loss is None else f"{run.loss:.3f}",
                short(run.tokens_per_second),
                duration(run.eta_s),
            )
            + (accuracy_words(run.test), run.directory)
            for run in status.runs
        ],
        4,
        *("directory", "tok/s", "loss", "rows", "ETA", "step"),
    )
    return "\n".join(safe(line) for line in lines)


def _daemon(status: Status) -> str:
    daemon = status.daemon
    if daemon.alive:
        details = f"pid {daemon.pid}, loop lag {daemon.loop_lag_ms or 0:.0f} ms"
        return f"daemon {daemon.state} for {duration(daemon.uptime_s)} ({details})"
    if daemon.ended_at is None:
        return f"daemon {daemon.state}"
    ago = duration(max(0, status.at - daemon.ended_at) / 1000)
    return f"daemon {daemon.state} {ago} ago" + (f": {daemon.exit_reason}" if daemon.exit_reason else "")


def _spending(spend: Spend) -> str:
    tokens = f"{count(spend.prompt_tokens)} prompt and {count(spend.completion_tokens)} completion tokens"
    requests = "1 request" if spend.unknown_attempts == 1 else f"{count(spend.unknown_attempts)} requests"
    return f"{spending(spend)}; {tokens}; {requests} possibly billed without an answer"
