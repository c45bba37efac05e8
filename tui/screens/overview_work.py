"""The panels of the overview about work: tasks, training, events. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text

from state.views.format import clock, count, duration, money, percent, short
from state.views.status_records import RunStatus, TaskStatus
from tui.charts import area, progress, resampled
from tui.event_words import VERB_CELLS, grouped, verb, what
from tui.screens.overview_panels import Overview, Shown, dotted
from tui.text import Part, across, clause, fields, one_line, say, shortened, state_word, truncated
from tui.widgets.panel import centred, fitted

# Tasks


def tasks(view: Overview) -> Shown:
    """Each task: how far it is, how much of it is correct, and what comes next."""
    status = view.status
    if not status.tasks:
        return Shown(
            "tasks",
            "",
            lambda width, height: centred(
                "No tasks yet.", width, height, "Add [tasks.NAME] to config.toml, then start `coterie run`."
            ),
        )
    stored, wanted = sum(plan.stored for plan in view.plans), sum(plan.wanted for plan in view.plans)
    summary = say((count(stored), "strong"), (f" of {count(wanted)} samples", "text"))
    order = sorted(status.tasks, key=lambda task: task.stored >= task.wanted and task.run_id is None)
    shown = list(status.tasks)

    def paint(width: int, height: int) -> list[Text]:
        nonlocal shown
        heading = height >= len(status.tasks) + 1
        foot = [_sums(view, width)] if height >= len(status.tasks) + 2 else []
        room = height - heading - len(foot)
        chosen = (
            list(status.tasks)
            if len(status.tasks) <= room
            else [each for each in status.tasks if each in order[: room - 1]]
        )
        lines = _table(view, chosen, width, heading)
        if len(chosen) < len(status.tasks):
            lines.append(say((f"{len(status.tasks) - len(chosen)} more", "muted")))
        return [*lines, *[say()] * (room + heading - len(lines) if foot else 0), *foot]

    return Shown("tasks", summary, paint, "", [None, *(("tasks", task.name) for task in shown)])


def _table(view: Overview, chosen: Sequence[TaskStatus], width: int, heading: bool) -> list[Text]:
    """The columns that fit, by priority: names, bar, sampled, correct, next; then wanted, teacher, cost."""
    name = min(24 if width >= 60 else 16, max(len(task.name) for task in view.status.tasks))
    follows = [next_of(view, task) for task in chosen]
    last = min(26, max((text.cell_len for text in follows), default=10))
    columns: list[tuple[str, int, Callable[[TaskStatus], Part]]] = [
        ("sampled", 8, lambda task: count(task.stored)),
        ("wanted", 8, lambda task: (count(task.wanted), "muted")),
        ("correct", 8, _correct),
        ("teacher", 8, lambda task: (percent(task.teacher.accuracy if task.teacher else None, 1), "teacher")),
        ("cost", 7, lambda task: money(view.usd_of.get(task.name, 0.0), None)),
    ]
    for drop in ("cost", "teacher", "wanted", "correct"):
        if width - name - last - 6 - sum(cells + 1 for _, cells, _ in columns) >= 12:
            break
        columns = [column for column in columns if column[0] != drop]
    room = max(4, min(24, width - name - last - 4 - sum(cells + 1 for _, cells, _ in columns)))
    last = width - name - room - 4 - sum(cells + 1 for _, cells, _ in columns)
    found = []
    if heading:
        titles = "".join(f" {title:>{cells}}" for title, cells, _ in columns)
        found.append(say((f"{'task':<{name}}  {'':<{room}}{titles}  next", "muted")))
    for task, follow in zip(chosen, follows, strict=True):
        line = say(
            (f"{shortened(task.name, name):<{name}}  ", "strong"),
            progress(task.stored / task.wanted if task.wanted else 0.0, room),
        )
        for _, cells, cell in columns:
            value = say(cell(task))
            line = say(line, " " * (cells + 1 - value.cell_len), value)
        found.append(say(line, "  ", truncated(follow, max(4, last))))
    return found


def _correct(task: TaskStatus) -> Part:
    share = task.correct_share
    return (percent(share, 1), "attention" if share is not None and share < 0.3 else "text")


def next_of(view: Overview, task: TaskStatus) -> Text:
    """What comes next for a task, or what holds it back."""
    status = view.status
    if task.paused:
        return say(("■ paused", "attention"))
    runs = view.runs_of.get(task.name, ())
    current = next((run for run in runs if run.active), None) or next(
        (run for run in runs if run.state == "queued"), None
    )
    if current is not None and current.active and not view.alive:
        return say((f"○ run {current.id} interrupted", "muted"))
    if current is not None:
        word = state_word(current.state)
        return say(word[:1], f" run {current.id} {word.plain[2:]}")
    failed = next(
        (alert.subject[4:] for alert in status.alerts if alert.subject in {f"run:{run.id}" for run in runs}),
        None,
    )
    if failed is not None:
        return say((f"✗ run {failed} failed", "bad"))
    if task.trigger is not None:
        if not view.alive:
            return say((task.trigger.text(short), "muted"))
        if task.eta_s is not None:
            return say((f"trains in {duration(task.eta_s)}", "accent"))
        if task.stored < task.wanted or not task.wanted:
            return say(("waits for samples", "muted"))
        return say((task.trigger.text(short), "muted"))
    done = sum(run.state == "done" and run.steps > 0 for run in runs)
    if done:
        return say(("✓ ", "good"), (f"all {done} runs done" if done > 1 else "run done", "muted"))
    if task.stored >= task.wanted:
        return say(("✓ ", "good"), ("sampled", "muted"))
    stored, _ = view.history.series(view.seen - 180_000, view.seen)
    left = sum(max(0, each.wanted - each.stored) for each in status.tasks)
    speed = sum(stored) / len(stored) if stored else 0.0
    if view.alive and speed and left:
        return say((f"complete in {duration(left / speed)}", "accent"))
    return say((f"{count(task.wanted - task.stored)} to go", "muted"))


def _sums(view: Overview, width: int) -> Text:
    """The money at the end, and what is correct so far."""
    spend, end = view.status.spend, view.usd_at_end
    good = sum(plan.correct for plan in view.plans)
    graded = sum(plan.graded for plan in view.plans)
    parts: list[Part] = []
    if end is not None and view.to_go and view.alive:
        over = spend.cap_usd is not None and end > spend.cap_usd
        parts.append(
            say(
                ("at the end ", "muted"),
                (f"about {money(end, None)}", "bold attention" if over else "strong"),
                (f" of {money(spend.cap_usd, None)}" if spend.cap_usd else "", "muted"),
            )
        )
    if graded:
        parts.append(say((count(good), "text"), (" correct so far, ", "muted"), percent(good / graded, 1)))
    return truncated(dotted(*parts), width)


# Training


def training(view: Overview) -> Shown:
    """The runs that train, with their curves; else those that wait or ended last."""
    status = view.status
    active, queued = list(status.active_runs), [run for run in status.runs if run.state == "queued"]
    summary = dotted(
        (_active_words(view, active), "text"),
        (f"{len(queued)} queued" if queued else "", "attention"),
    )
    shown = (
        active
        or queued
        or [run for run in status.runs if run.state in ("done", "failed", "stopped")][-6:][::-1]
    )
    if not shown:
        students = any(task.students for task in status.tasks)
        words = (
            ("No runs yet.", "One starts when a task has enough samples; t on screen 2 starts one now.")
            if students
            else ("No students yet.", "Add [[students]] to config.toml to train on the samples.")
        )
        return Shown("training", "", lambda width, height: centred(words[0], width, height, words[1]))

    def paint(width: int, height: int) -> list[Text]:
        each = height // len(active) if active else 1
        found: list[Text] = []
        for run in shown:
            found += (
                (_run(view, run, width, min(7, each)))
                if run in active and each >= 2
                else [_brief_run(run, width)]
            )
        if active and len(found) < height:
            found += [_brief_run(run, width) for run in queued]
        for waiting in status.waiting if len(found) < height else ():
            if waiting.run is None:
                who = say(("◐ ", "attention"), shortened(f"{waiting.task} · {waiting.student}", 30))
                found.append(across(who, say((f"waits for {one_line(waiting.source)}", "muted")), width))
        return fitted(found, height)

    return Shown("training", summary, paint, say(("5 ", "key"), ("all runs", "muted")), ["runs"] * 50)


def _active_words(view: Overview, active: Sequence[RunStatus]) -> str:
    if not view.alive:
        return f"{len(active)} interrupted" if active else ""
    states = [run.state for run in active]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))


def _brief_run(run: RunStatus, width: int) -> Text:
    head = say((f"run {run.id} ", "strong"), shortened(run.task, 14))
    if run.active and run.steps:
        tail = say(
            " ",
            progress(run.step / run.steps, max(4, min(12, width - head.cell_len - 9))),
            f" {duration(run.eta_s):>6}",
        )
    else:
        tail = say(state_word(run.state), f" {percent(run.accuracy, 1)}" if run.accuracy is not None else "")
    return across(head, tail, width)


def _run(view: Overview, run: RunStatus, width: int, height: int) -> list[Text]:
    now = view.runs.get(run.id)
    eta = (
        say(("ETA ", "muted"), duration(run.eta_s))
        if run.eta_s is not None and view.alive
        else state_word(run.state)
    )
    head = across(
        say((f"run {run.id}  ", "strong"), shortened(f"{run.task} · {run.student}", max(6, width - 20))),
        eta,
        width,
    )
    if not run.steps or not run.step:
        phase = (now.phase if now is not None else "") or "starting"
        age = duration((view.status.at - now.started_at) / 1000) if now is not None and now.started_at else ""
        return [head, across(say(("◐ ", "accent"), one_line(phase)), say((age, "accent")), width)][:height]
    steps = f" {count(run.step)}/{count(run.steps)}"
    found = [head, say(progress(run.step / run.steps, max(4, width - len(steps))), (steps, "muted"))]
    rows = height - 2
    losses = view.losses.get(run.id, ())
    teacher = next((task.teacher for task in view.status.tasks if task.name == run.task), None)
    side = fields(
        ("loss", (f"{run.loss:.2f}  ", "strong") if run.loss is not None else "–"),
        ("dev", (percent(now.dev, 1), "bold good")) if now is not None and now.dev is not None else None,
        ("teacher", (percent(teacher.accuracy, 1), "teacher")) if teacher is not None else None,
        width=8,
    )
    if rows < 1:
        return found
    if len(losses) < 3 or width < 30:
        return [*found, *side[:rows]]
    room = width - 19
    done = max(2, round(room * run.step / run.steps))
    top = max(losses)
    curve = area(resampled(losses, 2 * done), done, rows, top)
    for at, line in enumerate(curve):
        rest = "┈" * (room - done) if at == rows - 1 else " " * (room - done)
        right = side[at] if at < len(side) else say()
        found.append(across(say(line, (rest, "faint")), say(right, " " * max(0, 15 - right.cell_len)), width))
    return found


# Events


def events(view: Overview) -> Shown:
    """What happened last, verb first; neighbours that say the same are one line."""
    groups = grouped(view.events)
    if not groups:
        return Shown(
            "events",
            "",
            lambda width, height: centred(
                "No events yet.", width, height, "They appear when the daemon runs (`coterie run`)."
            ),
        )

    def paint(width: int, height: int) -> list[Text]:
        found = []
        for group in groups[:height]:
            glyph, word, role = verb(group.event)
            time = clock(group.event.at, seconds=width >= 56)
            said = what(group.event, brief=True)
            times = say((f" ×{group.times}", "attention")) if group.times > 1 else say()
            loud = role if role in ("bad", "attention") else "strong"
            head = say(
                (f"{time} ", "muted"),
                (f"{glyph} ", role),
                (f"{word:<{VERB_CELLS - 1}} ", f"bold {loud}" if loud != "strong" else loud),
            )
            told = say(head, clause(said, max(4, width - head.cell_len - times.cell_len)))
            found.append(across(told, times, width) if group.times > 1 else truncated(told, width))
        return found

    return Shown("events", "", paint, say(("6 ", "key"), ("all events", "muted")), ["events"] * 50)
