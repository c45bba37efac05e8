"""The panels of the overview about results: accuracy on test while runs go on, and the comparison at the end. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.text import Text

from state.views.accuracies import BASE, TestResult
from state.views.format import count, duration, percent
from state.views.status_records import Accuracy
from tui.charts import forest
from tui.screens.overview_panels import Overview, Shown, dotted, fit
from tui.text import Part, one_line, say, shortened, truncated
from tui.widgets.panel import centred


def _best(results: Sequence[TestResult]) -> dict[str, int]:
    """The run of the best student of each task, by dev where there is dev, for the eye only."""
    best: dict[str, TestResult] = {}
    for each in results:
        if each.method != BASE and (
            each.task not in best or each.test.accuracy > best[each.task].test.accuracy
        ):
            best[each.task] = each
    return {task: each.run for task, each in best.items()}


def _bases(results: Sequence[TestResult]) -> dict[tuple[str, str], float]:
    return {(each.task, each.base): each.test.accuracy for each in results if each.method == BASE}


def accuracy(view: Overview) -> Shown:
    """What each student reaches on test: interval, base and teacher on one axis."""
    students = [each for each in view.results if each.method != BASE]
    teachers = {task.name: task.teacher for task in view.status.tasks}
    bases, best = _bases(view.results), _best(view.results)
    if not students:
        told = [
            f"{percent(found.accuracy, 1)} on {name}" for name, found in teachers.items() if found is not None
        ]
        more = (
            f"The teachers reach {', '.join(told[:3])}."
            if told
            else "The teachers' own accuracy comes first, then that of the first run."
        )
        return Shown(
            "accuracy on test",
            "",
            lambda width, height: centred("No student has finished yet.", width, height, more),
        )
    summary = say(
        ("● ", "good"),
        ("student, 95 %  ", "muted"),
        *((("┃ ", "muted"), ("base  ", "muted")) if bases else ()),
        ("◆ ", "teacher"),
        ("teacher", "muted"),
    )

    def paint(width: int, height: int) -> list[Text]:
        task = min(16, max(len(each.task) for each in students))
        name = min(24, max(len(each.student) for each in students), max(8, width - task - 36))
        intervals = width - task - name > 50
        side = 8 + (15 if intervals else 0)
        room = max(12, width - task - name - side - 3)
        chosen = students if len(students) <= height - 1 else students[-(height - 2) :]
        found: list[Text] = []
        before = ""
        spaced = len(students) + len({each.task for each in students}) + 2 <= height
        for each in chosen:
            own = each.run == best.get(each.task)
            teacher = teachers.get(each.task)
            line = forest(
                room,
                point=each.test.accuracy,
                low=each.test.low,
                high=each.test.high,
                base=bases.get((each.task, each.base)),
                teacher=teacher.accuracy if teacher is not None else None,
                role="good" if own else "accent",
            )
            shown = "" if each.task == before else shortened(each.task, task)
            if spaced and before not in ("", each.task):
                found.append(say())
            before = each.task
            found.append(
                say(
                    (f"{shown:<{task}} ", "strong"),
                    f"{shortened(each.student, name):<{name}} ",
                    line,
                    (f"{100 * each.test.accuracy:7.1f} ", "bold good" if own else "text"),
                    (f"{_interval(each.test):>15}" if intervals else "", "muted"),
                )
            )
        if len(chosen) < len(students):
            found.append(say((f"{len(students) - len(chosen)} earlier ones", "muted")))
        if len(found) < height:
            axis = [" "] * (room + 3)
            for quarter in range(5):
                at, label = round(quarter / 4 * (room - 1)), str(25 * quarter)
                start = max(0, at - len(label) // 2)
                axis[start : start + len(label)] = label
            found.append(say((" " * (task + name + 2) + "".join(axis).rstrip() + " %", "muted")))
        run = min(
            (each for each in view.status.active_runs if each.eta_s is not None),
            key=lambda each: each.eta_s or 0.0,
            default=None,
        )
        if run is not None and view.alive and len(found) < height:
            found += [say()] * (height - len(found) - 1)
            found.append(
                fit(
                    width,
                    ("next ", "muted"),
                    f"run {run.id} · {one_line(run.task)}, in {duration(run.eta_s)}",
                )
            )
        return found

    return Shown("accuracy on test", summary, paint, "", ["runs"] * 50)


def _interval(found: Accuracy) -> str:
    return f"({100 * found.low:.1f}–{100 * found.high:.1f})"


def comparison(view: Overview) -> Shown:
    """All is done: the students of each task beside base and teacher."""
    results = [each for each in view.results if each.method != BASE]
    teachers = {task.name: task.teacher for task in view.status.tasks}
    bases, best = _bases(view.results), _best(view.results)
    base_of = {task: share for (task, _), share in bases.items()}
    tasks = list(dict.fromkeys(each.task for each in results))
    names = list(dict.fromkeys(each.student for each in sorted(results, key=lambda each: each.run)))
    cells = {(each.task, each.student): each for each in results}

    def paint(width: int, height: int) -> list[Text]:
        task_cells = min(16, max(len(task) for task in tasks))
        fixed = task_cells + 7 + 7 * bool(base_of) + 9
        shown, share = names, (width - fixed) // len(names)
        longest = max(len(name) for name in names) + 1
        prefix = min(names, key=len)
        short = len(prefix) > 4 and all(name.startswith(prefix) for name in names) and longest > share
        labels = {name: f"…{name[len(prefix) :]}" if short and name != prefix else name for name in names}
        intervals = share >= 17
        each = max(17 if intervals else 9, min(share, max(len(label) for label in labels.values()) + 1))
        if each > share:
            shown = names[-max(1, (width - fixed) // each) :]
        room = min(30, width - fixed - each * len(shown) - 2)
        heads = "".join(f"{shortened(labels[name], each - 1):>{each}}" for name in shown)
        found = [
            say(
                (
                    f"{'task':<{task_cells}}{'n':>7}{'base' if base_of else '':>{7 * bool(base_of)}}{heads}{'teacher':>9}",
                    "muted",
                )
            )
        ]
        for task in tasks[: max(1, height - 2)]:
            row = [cells.get((task, name)) for name in shown]
            n = next(each.test.n for (of, _), each in cells.items() if of == task)
            parts: list[Part] = [
                (f"{task[:task_cells]:<{task_cells}}", "strong"),
                (f"{count(n):>7}", "muted"),
            ]
            if base_of:
                parts.append((f"{_points(base_of.get(task)):>7}", "muted"))
            for one in row:
                value = _points(one.test.accuracy) if one is not None else "–"
                own = one is not None and one.run == best.get(task)
                extent = f" {_interval(one.test):<13}"[: each - 6] if one is not None and intervals else ""
                parts += [
                    f"{'':>{each - len(value) - len(extent)}}",
                    (value, "bold good" if own else "text"),
                    (extent, "muted"),
                ]
            teacher = teachers.get(task)
            parts.append((f"{_points(teacher.accuracy if teacher else None):>9}", "teacher"))
            top = next(
                (one for (of, _), one in cells.items() if of == task and one.run == best.get(task)), None
            )
            if room >= 10 and top is not None:
                line = forest(
                    room,
                    point=top.test.accuracy,
                    low=top.test.low,
                    high=top.test.high,
                    base=base_of.get(task),
                    teacher=teacher.accuracy if teacher else None,
                    role="good",
                )
                parts += ["  ", line]
            found.append(say(*parts))
        if len(found) + 2 <= height:
            found += [say(), truncated(_verdict(tasks, cells.values(), best, base_of, teachers), width)]
        return found[:height]

    summary = say(("percent, 95 % interval · best student in ", "muted"), ("green", "good"))
    return Shown("accuracy on test", summary, paint, "", ["runs"] * 50)


def _points(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _verdict(
    tasks: Sequence[str],
    results: Iterable[TestResult],
    best: dict[str, int],
    bases: dict[str, float],
    teachers: dict[str, Accuracy | None],
) -> Text:
    """On how many tasks the best student is clearly better than its base, and than its teacher."""
    tops = {each.task: each.test for each in results if each.run == best.get(each.task)}
    over_base = sum(tops[task].low > bases[task] for task in tasks if task in bases)
    reached = sum(
        tops[task].low > found.accuracy for task in tasks if (found := teachers.get(task)) is not None
    )
    return dotted(
        say(
            (f"{over_base} of {len(tasks)}", "strong"),
            " tasks: the best student is clearly better than its base",
        )
        if bases
        else "",
        say((f"{reached} of {len(tasks)}", "strong"), ": clearly better than its teacher"),
    )
