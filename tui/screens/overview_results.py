"""The panels of the overview before, after and without training: start, trouble, cost, what there is. Pure."""

from __future__ import annotations

import textwrap

from rich.text import Text

from state.views.accuracies import BASE
from state.views.format import age, clock, count, duration, latency, money, per_thousand, percent, rate, short
from state.views.status_records import Status
from tui.charts import progress
from tui.screens.overview_panels import Overview, Shown, dotted, fit, graph
from tui.text import Part, across, fields, one_line, say, shortened, truncated, verdict
from tui.widgets.panel import centred, fitted


def starting(view: Overview) -> Shown:
    """What a daemon that has just begun has done, does and will do."""
    status = view.status
    answered = sum(teacher.answered > 0 for teacher in status.teachers)
    questions = sum(task.train for task in status.tasks)
    wanted = sum(plan.wanted for plan in view.plans)
    active, queued = len(status.active_runs), sum(run.state == "queued" for run in status.runs)
    steps: list[tuple[str, str, str]] = [
        (
            "✓",
            "configuration",
            f"{_some(len(status.tasks), 'task')}, {_some(len(status.teachers), 'teacher')}",
        ),
        ("✓" if questions else "◐", "tasks", f"{count(questions)} questions"),
        ("✓" if answered else "◐", "teachers", f"{answered} of {len(status.teachers)} answered"),
        ("◐" if answered else "○", "sampling", f"{count(wanted)} wanted"),
    ]
    if active or queued:
        words = dotted(f"{active} starting" if active else "", f"{queued} queued" if queued else "").plain
        steps.append(("◐" if active else "○", "first runs", words))
    roles = {"✓": "good", "◐": "accent", "○": "muted"}

    def paint(width: int, height: int) -> list[Text]:
        found = [
            fit(
                width,
                (f"{glyph} ", roles[glyph]),
                (f"{name:<14}", "strong" if glyph == "◐" else "text"),
                (words, "muted"),
            )
            for glyph, name, words in steps
        ]
        if height > len(found) + 2:
            found = [
                say(),
                *found,
                say(),
                *[say(("Nothing is paid for yet.", "muted"))] * (status.spend.usd == 0),
            ]
        return found[:height]

    done = sum(glyph == "✓" for glyph, _, _ in steps)
    return Shown("starting", say((f"{done} of {len(steps)}", "text"), (" steps", "muted")), paint)


def _some(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def trouble(view: Overview) -> Shown:
    """No daemon: what is known, that nothing is lost, and the one command."""
    daemon = view.status.daemon
    last = daemon.heartbeat_at or daemon.ended_at
    died = daemon.state == "down"
    stored = sum(plan.stored for plan in view.plans)
    told = [alert for alert in view.status.alerts if not alert.subject]
    rows: list[tuple[Part, ...] | None] = [
        ("last seen", f"{clock(last)}, {age((view.status.at - last) / 1000)} ago") if last else None,
        ("it ran", duration(daemon.uptime_s)) if daemon.uptime_s else None,
        ("reason", one_line(daemon.exit_reason)) if daemon.exit_reason else None,
        ("stored", f"{count(stored)} samples, {money(view.status.spend.usd, None)} spent"),
        ("open", f"{count(view.to_go)} samples to go") if view.to_go else None,
    ]

    def paint(width: int, height: int) -> list[Text]:
        known = fields(*rows, width=11)
        last_words = [
            say((line, "attention")) for alert in told[:1] for line in textwrap.wrap(alert.what, width)
        ]
        last_words = (
            last_words
            if view.status.daemon.silent or view.status.daemon.copied
            else [
                say(("Nothing that was answered is lost.", "text")),
                say(("coterie run", "bold accent"), (" goes on from there.", "muted")),
            ]
        )
        if height < len(known) + 3:
            return [*known[: max(1, height - 2)], *last_words][:height]
        return [*known, say(), *last_words]

    title = say(
        ("the daemon died" if died else "no daemon is running", "bold bad" if died else "bold attention")
    )
    return Shown(title, "", paint)


def possessions(view: Overview) -> Shown:
    """What there is now, and how to go on."""
    status = view.status
    stored = sum(plan.stored for plan in view.plans)
    done = sum(run.state == "done" and run.steps > 0 for run in status.runs)

    def paint(width: int, height: int) -> list[Text]:
        report = (
            say((view.report, "bold accent"))
            if view.report
            else say(("coterie report", "bold accent"), (" writes it", "muted"))
        )
        found = fields(
            ("report", report),
            ("students", "runs/*/model", (f"  {done} trained", "muted")) if done else None,
            ("samples", "coterie export samples", (f"  {count(stored)}", "muted")),
            ("data", f"state.db, {short(view.size)}B"),
            ("now", "nothing to do; t on 2 trains") if view.alive else None,
            ("", ("coterie stop", "accent"), " ends it") if view.alive else None,
            width=10,
        )
        more = [
            say(),
            say(("To go on: raise a plan or add a task in config.toml;", "muted")),
            say(("coterie run", "text"), (" then pays only for what is new.", "muted")),
        ]
        return [truncated(line, width) for line in (*found, *(more if height >= len(found) + 3 else ()))][
            :height
        ]

    return Shown("what you have now", "", paint)


def cost(view: Overview) -> Shown:
    """What each teacher answered, and what was paid for it."""
    status = view.status
    total = sum(teacher.answered for teacher in status.teachers)
    good = sum(plan.correct for plan in view.plans)
    graded = sum(plan.graded for plan in view.plans)

    def paint(width: int, height: int) -> list[Text]:
        name = min(14, max((len(teacher.name) for teacher in status.teachers), default=7))
        priced = 11 if width >= 44 else 0
        room = max(0, min(40, width - name - 21 - priced))
        heads = f"{'answered':>9}{'cost':>9}{'/1k correct' if priced else '':>{priced + bool(priced)}}"
        found = [across(say(("teacher", "muted")), say((heads, "muted")), width)]
        for teacher in status.teachers:
            line = progress(teacher.answered / total if total else 0.0, room) if room >= 4 else say()
            price = view.counts.usd_per_correct(teacher.id)
            spent = money(teacher.usd, None) if teacher.usd else "free"
            figures = f"{count(teacher.answered):>9}{spent:>9}" + (
                f"{per_thousand(price):>{priced + 1}}" if priced else ""
            )
            found.append(
                across(
                    say((f"{shortened(teacher.name, name):<{name}} ", "strong"), line), say(figures), width
                )
            )
        tail = say(
            (count(total), "strong"),
            (" answered, ", "muted"),
            (count(good), "strong"),
            (f" correct ({percent(good / graded, 1)})" if graded else " correct", "muted"),
        )
        return [*found, say(), truncated(tail, width)][:height]

    spend = status.spend
    return Shown(
        "cost",
        say(
            (money(spend.usd, None), "strong"),
            (f" of {money(spend.cap_usd, None)}" if spend.cap_usd else "", "muted"),
        ),
        paint,
        "",
        [None, *(("teachers", each.name) for each in status.teachers)],
    )


def whole_sampling(view: Overview, since: int) -> Shown:
    """The sampling of all this time as one graph."""
    stored, _ = view.history.series(since, view.seen)
    known = [at for at, value in enumerate(stored) if value]
    if len(known) < 3:
        words = "Too little was sampled for a graph." if known else "All was sampled before this start."
        words = words if view.history.whole else "Reading …"
        return Shown(
            "sampling",
            "",
            lambda width, height: centred(words, width, height),
            say(("✓ complete", "good")),
        )
    first, last = known[0], known[-1]
    size = view.history.bucket_ms
    start, end = since // size * size + first * size, since // size * size + (last + 1) * size
    shown = stored[first : last + 1]
    number = sum(shown) * size / 1000
    mean = number / max(1.0, (end - start) / 1000)
    summary = dotted((f"{count(round(number))} in {duration((end - start) / 1000)}", "text"), say(rate(mean)))
    return Shown(
        "sampling",
        summary,
        lambda width, height: graph(shown, width, height - 1, start, end),
        say(("✓ complete", "good")),
    )


def answers(view: Overview) -> Shown:
    """The newest answers, where nothing is trained."""

    def paint(width: int, height: int) -> list[Text]:
        found = []
        for row in view.answers[:height]:
            answer = say(
                (shortened(row.extracted or "–", 12), "strong"),
                (f"  {shortened(row.teacher, 10):<10}" if width >= 60 else "", "muted"),
            )
            head = say(verdict(row.word)[:2], (f"{shortened(row.task, 15):<16}", "strong"))
            asked = shortened(row.text, max(4, width - head.cell_len - answer.cell_len - 2))
            found.append(across(say(head, asked), answer, width))
        return found

    return Shown("newest answers", "", paint, say(("4 ", "key"), ("all samples", "muted")), ["samples"] * 50)


def bare(view: Overview, width: int, height: int) -> list[Text]:
    """One column without frames, for the smallest terminals: money, tasks, runs, teachers, as many as fit."""
    status = view.status
    spend = status.spend
    found = [fit(width, (money(spend.usd, spend.cap_usd), "strong"), (" spent", "muted"))]
    name = max(4, min(16, width // 2 - 4))
    found += [
        across(
            say((shortened(task.name, name), "strong")),
            say(count(task.stored), (f" {percent(task.correct_share)}", "muted")),
            width,
        )
        for task in status.tasks
    ] or [fit(width, "No tasks yet")]
    found += [
        across(say((f"run {run.id}", "strong")), say(f"{count(run.step)}/{count(run.steps)}"), width)
        for run in status.active_runs
    ]
    found += [
        across(
            say((shortened(teacher.name, name), "strong")),
            say((latency(teacher.p95_ms) if teacher.p95_ms else teacher.state, "muted")),
            width,
        )
        for teacher in status.teachers
    ]
    return fitted(found, height)


def stage_of(view: Overview) -> str:
    """`starting`, `trouble`, `end`, `sampling` (nothing is to be trained) or `middle`."""
    status: Status = view.status
    stored = sum(plan.stored for plan in status.plans)
    if status.finished and stored and not (view.to_go and not view.alive):
        return (
            "end"
            if any(each.method != BASE for each in view.results)
            else "sampling"
            if view.alive
            else "trouble"
        )
    if not view.alive:
        return "trouble"
    if not stored and not any(run.state == "done" for run in status.runs):
        return "starting"
    if not status.runs and not any(task.students for task in status.tasks):
        return "sampling"
    return "middle"
