"""The panels of a run: its result and phases, its curves, and what it won and lost against another run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.text import Text

from state.enums import ACTIVE_RUN_STATES
from state.views.format import age, count, duration, short
from state.views.paired import Paired, PairedRow
from state.views.runs import Baseline, RunDetail
from state.views.status_records import Accuracy, TaskStatus
from tui.charts import forest, progress
from tui.plots import Line, hundredths, legend, number, plot
from tui.reading import block
from tui.screens.run_phases import Phase
from tui.text import Part, fit_parts, one_line, say, shortened, state_word, truncated
from tui.widgets.panel import centred, fitted

Lines = Sequence[Line]


def head_summary(run: RunDetail) -> Text:
    """`✓ done in 21m08s`."""
    word = state_word(run.state)
    word.stylize("bold")
    if run.started_at is None or run.ended_at is None:
        return word
    return say(
        word,
        (f"{' early' if run.early else ''} in {duration((run.ended_at - run.started_at) / 1000)}", "muted"),
    )


def paint_head(
    run: RunDetail, paired: Paired | None, phases: Sequence[Phase], now: int, width: int, height: int
) -> list[Text]:
    """What it reached or how far it is, what it trains on, and its phases."""
    found = [_result(run, paired, width)]
    if run.error:
        found.append(say((f"✗ {one_line(run.error)}", "bad")))
    found += [_about(run, width), _phases(phases, now, width)]
    return found[:height]


def _result(run: RunDetail, paired: Paired | None, width: int) -> Text:
    test = run.test
    if test is not None:
        parts = [
            (0, say((f"{100 * test.accuracy:.1f} %", "bold good"), " on test ")),
            (2, say((f"({100 * test.low:.1f}–{100 * test.high:.1f})", "muted"))),
            (4, say((f", n = {count(test.n)}", "muted"))),
            (5, say((f", seed {test.seed}" if test.seed is not None else "", "muted"))),
        ]
        if paired is not None and paired.n:
            parts += [
                (1, say("  ", _difference(paired), (f" on run {paired.other}", "muted"))),
                (3, say((", p = ", "muted"), _p(paired.p))),
            ]
        return fit_parts(parts, width)
    if run.state == "queued":
        return say((f"○ {run.waits_for}", "attention"))
    if run.state == "stopped":
        return say(("stopped by you; t starts it again", "muted"))
    if run.state == "failed":
        return say(("The log tab says more ([ and ]); t tries again.", "attention"))
    if not run.steps:
        return say((run.phase or run.state, "accent"))
    share = run.step / run.steps
    eta = f"  ETA {duration(run.eta_s)}" if run.eta_s is not None and run.state in ACTIVE_RUN_STATES else ""
    parts = [
        (0, say(("step ", "muted"), (count(run.step), "strong"), (f" of {count(run.steps)} ", "muted"))),
        (3, progress(share, max(8, min(30, width - 50)))),
        (1, say((f" {100 * share:.0f} %", "strong"))),
        (2, say((eta, "muted"))),
        (4, say(("  loss ", "muted"), f"{run.loss:.3f}") if run.loss is not None else say()),
    ]
    return fit_parts(parts, width)


def _difference(paired: Paired) -> Text:
    points = 100 * paired.points
    return say((f"{points:+.1f}", "bold good" if points > 0 else "bold bad" if points < 0 else "bold"))


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _about(run: RunDetail, width: int) -> Text:
    speed = f" · {short(run.tokens_per_second)} tokens/s" if run.tokens_per_second else ""
    rows = f"{count(run.samples)} rows of {count(run.questions)} questions" if run.samples else "no training"
    return fit_parts(
        [
            (0, say((one_line(run.student), "strong"), (f" on {one_line(run.task)}", "text"))),
            (1, say((f" · {rows}", "muted"))),
            (3, say((f" · {one_line(run.base, 30)}", "muted"))),
            (
                4,
                say(
                    (f" · ZeRO {run.zero_stage} on {one_line(run.device, 20)}" if run.device else "", "muted")
                ),
            ),
            (2, say((speed, "muted"))),
        ],
        width,
    )


def _phases(phases: Sequence[Phase], now: int, width: int) -> Text:
    """`queued 4s › importing 2.1s › training 19m12s`; the one that goes on with its age. The oldest go first."""
    said: list[Text] = []
    for phase in phases:
        if phase.seconds is None:
            said.append(
                say((f"{one_line(phase.name, 20)} ", "bold accent"), f"for {age((now - phase.at) / 1000)}")
            )
        else:
            took = f"{phase.seconds:.1f}s" if phase.seconds < 10 else duration(phase.seconds)
            said.append(say((f"{one_line(phase.name, 20)} {took}", "muted")))
    while len(said) > 1 and sum(each.cell_len for each in said) + 3 * (len(said) - 1) > width:
        del said[0]
    arrow: Part = (" › ", "faint")
    return say(*(part for at, each in enumerate(said) for part in ((arrow,) if at else ()) + (each,)))


# Curves


def paint_accuracy(curves: Lines, end: float, width: int, height: int) -> list[Text]:
    """Accuracy on dev by epoch, from 0 to above everything that is measured."""
    if not any(len(line.x) for line in curves):
        return centred("No dev evaluation yet.", width, height, "The first one comes during training.")
    top = max(value for line in curves for values in (line.y, line.high) for value in values)
    top = next((share for share in (0.2, 0.4, 0.6, 0.8) if top <= share), 1.0)
    drawn = plot(
        curves, width, height, x=(0.0, _end(curves, end)), y=(0.0, top), y_text=hundredths, x_unit="epoch"
    )
    return drawn or _told(curves)[:height]


def paint_loss(curves: Lines, end: float, width: int, height: int) -> list[Text]:
    """The loss by step, over its own range; what is left of the training is seen."""
    values = sum(len(line.x) for line in curves)
    if values < 3:
        return centred("No loss yet.", width, height, "It comes with the first steps.")
    drawn = plot(curves, width, height, x=(0.0, _end(curves, end)), y_text=number, x_unit="step")
    return drawn or _told(curves)[:height]


def _end(curves: Lines, planned: float) -> float:
    """Where the axis ends: at the planned end, or later where another run went on longer."""
    return max([planned, 0.01, *(line.x[-1] for line in curves if len(line.x))])


def _told(curves: Lines) -> list[Text]:
    """The last values, where a plot would be too small."""
    return [
        say((f"{line.label} ", line.role), f"{line.y[-1]:.3g}") for line in curves if line.y and line.label
    ]


def curve_names(curves: Lines, width: int) -> Text:
    """The legend, the run under the cursor first; a narrow panel has the others by their numbers alone."""
    shown = [line for line in curves[::-1] if line.label and not line.dashed]
    if width < 44:
        shown = [*shown[:1], *(replace(line, label=line.label.removeprefix("run ")) for line in shown[1:])]
    return legend(shown)


def levels_note(curves: Lines) -> Text:
    """What the levels are measured on."""
    named = [line.label.partition(" ")[0] for line in curves if line.dashed]
    return say((" and ".join(named) + " on test" if named else "", "muted"))


# Against another run


def against_title(paired: Paired | None) -> str:
    """`against run 6, question by question`."""
    return (
        f"against run {paired.other}, question by question" if paired is not None else "question by question"
    )


def against_summary(paired: Paired | None, width: int) -> Text:
    """`43 won · 23 lost · 234 the same`."""
    if paired is None or not paired.n or width < 46:
        return say()
    same = paired.both + paired.neither
    return say(
        (f"{count(paired.won)} won", "bold good"),
        (" · ", "faint"),
        (f"{count(paired.lost)} lost", "bold bad"),
        (f" · {count(same)} the same" if width >= 72 else "", "muted"),
    )


def paint_against(paired: Paired | None, width: int, height: int) -> list[Text]:
    """One bar of all questions, then the questions themselves: won, lost, the others."""
    if paired is None:
        return centred("Nothing to compare with yet.", width, height, "Mark another run with m.")
    if not paired.n:
        return centred(
            f"Runs {paired.run} and {paired.other} answered no common test question.",
            width,
            height,
            "Predictions come with the test evaluation.",
        )
    bar, counts = _stacked(paired, width)
    found = [bar, counts]
    table = paired_lines(paired, width, height)
    if height >= 8:
        found.append(say())
    elif height < 7:
        table = table[1:]  # no headings
    room, headings = height - len(found), int(height >= 7)
    if len(table) > room > 0:
        left = len(paired.page) + headings - (room - 1)
        table = [*table[: room - 1], say((f"{left:,} more", "muted"))]
    return [*found, *table][:height]


def paired_lines(paired: Paired, width: int, most: int | None = None) -> list[Text]:
    """The questions in lines of columns, below their headings; all of them, or the first `most`."""
    mark, room = (7, 6) if width < 60 else (10, 10)  # a date is not cut
    text = max(8, width - mark - 3 * (room + 1))
    names = (f"run {paired.run}", f"run {paired.other}", "gold")
    heads = "".join(f" {name:>{room}}" for name in names)
    lines = [say((f"{'':<{mark}}{'question':<{text}}{heads}", "muted"))]
    return [*lines, *(_pair(row, mark, text, room) for row in paired.page[:most])]


def _pair(row: PairedRow, mark: int, text: int, room: int) -> Text:
    marks = {"won": ("✓ won", "good"), "lost": ("✗ lost", "bad"), "both wrong": ("· both ✗", "muted")}
    word, role = marks.get(row.word, ("· both ✓", "muted"))

    def cell(words: str | None, role: str) -> Text:
        shown = say((shortened(words or "–", room), role))
        return say(" " * max(1, 1 + room - shown.cell_len), shown)

    asked = truncated(say(one_line(row.question)), text)
    return say(
        (f"{word[: mark - 1]:<{mark}}", role),
        asked,
        " " * max(0, text - asked.cell_len),
        cell(row.own, "strong" if row.own_correct else "bad"),
        cell(row.other, "" if row.other_correct else "muted"),
        cell(row.gold, "muted"),
    )


def _stacked(paired: Paired, width: int) -> tuple[Text, Text]:
    """A bar of all questions, and the counts under its parts."""
    parts = (
        (paired.both, "good", "both right"),
        (paired.won, "accent", "won"),
        (paired.lost, "bad", "lost"),
        (paired.neither, "track", "both wrong"),
    )
    shares = [size for size, _, _ in parts]
    ends = [round(width * sum(shares[: at + 1]) / paired.n) for at in range(len(parts))]
    bar: list[Part] = []
    below, start = "", 0
    labels: list[Part] = []
    for (size, role, words), end in zip(parts, ends, strict=True):
        if end > start:
            bar.append(block(end - start, role))
        if size:
            room = end - start
            label = next((each for each in (f"{count(size)} {words}", count(size)) if len(each) < room), "")
            if not label and room >= len(count(size)):
                label = count(size)
            gap = " " * max(0, start - len(below))
            labels += [gap, (label, "muted" if role == "track" else role)]
            below += gap + label
        start = end
    return say(*bar), say(*labels)


# All runs of its task


def paint_on_test(run: RunDetail, width: int, height: int) -> list[Text]:
    """Every run of the task on test: intervals on one axis, beside base and teacher."""
    found: list[tuple[int, str, Accuracy]] = [
        (item.run, _student(item), item.test)
        for item in run.baselines
        if item.run is not None and not item.untrained
    ]
    if run.test is not None:
        found.append((run.id, run.student, run.test))
    if not found:
        return centred(
            "No test result on this task yet.", width, height, "It comes when the first run is done."
        )
    base, teacher = base_of(run), teacher_of(run)
    name = max(8, min(26, width // 3))
    room = max(10, width - name - 7)
    lines = []
    for run_id, student, test in sorted(found, key=lambda each: -each[2].accuracy):
        own = run_id == run.id
        plot = forest(
            room,
            point=test.accuracy,
            low=test.low,
            high=test.high,
            base=base.test.accuracy if base is not None else None,
            teacher=teacher.test.accuracy if teacher is not None else None,
            role="good" if own else "accent",
        )
        label = shortened(f"{run_id} {student}", name - 1)
        lines.append(
            say(
                (f"{label:<{name}}", "strong" if own else "text"),
                plot,
                (f"{100 * test.accuracy:>6.1f}", "bold good" if own else "text"),
            )
        )
    axis = say((f"{'':<{name}}0{'100':>{room - 1}}{'%':>6}", "muted"))
    return [*fitted(lines, height - 1), axis] if height > 1 else lines[:height]


def paint_best(tasks: Sequence[TaskStatus], width: int, height: int) -> list[Text]:
    """The best student of each task on test, beside the teacher."""
    found = [task for task in tasks if task.best is not None]
    name = max(8, min(26, width // 3))
    room = max(10, width - name - 7)
    lines = [
        say(
            f"{shortened(task.name, name - 1):<{name}}",
            forest(
                room,
                point=task.best.accuracy,
                low=task.best.low,
                high=task.best.high,
                teacher=task.teacher.accuracy if task.teacher is not None else None,
                role="good",
            ),
            (f"{100 * task.best.accuracy:>6.1f}", "good"),
        )
        for task in found
        if task.best is not None
    ]
    return [*fitted(lines, height - 1), say((f"{'':<{name}}0{'100':>{room - 1}}{'%':>6}", "muted"))]


def on_test_legend(run: RunDetail) -> Text:
    """What the marks of that plot are."""
    parts: list[Part] = []
    if (teacher := teacher_of(run)) is not None:
        parts += [("◆ ", "teacher"), (f"teacher {100 * teacher.test.accuracy:.1f}", "muted")]
    if (base := base_of(run)) is not None:
        parts += ["  " if parts else "", ("┃ ", "muted"), (f"base {100 * base.test.accuracy:.1f}", "muted")]
    return say(*parts)


def teacher_of(run: RunDetail) -> Baseline | None:
    """The teacher on the same test questions."""
    return next((item for item in run.baselines if item.run is None), None)


def base_of(run: RunDetail) -> Baseline | None:
    """The run's base without training, where it was measured."""
    return next((item for item in run.baselines if item.untrained), None)


def other_of(run: RunDetail) -> int | None:
    """The run that it is compared with by itself: the best on dev of the same task; the base where there is no other."""
    trained = [item.run for item in run.baselines if item.run is not None and not item.untrained]
    if trained:
        return trained[0]
    base = base_of(run)
    return base.run if base is not None else None


def _student(item: Baseline) -> str:
    """`run 6 fine-tune-cot @complete` without its number and trigger."""
    return item.name.partition(" ")[2].partition(" ")[2].rpartition(" @")[0]
