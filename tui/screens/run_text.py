"""The texts of the tabs on the runs screen. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.text import Text

from state.confidence_interval import wilson
from state.enums import ACTIVE_RUN_STATES
from state.views.format import accuracy_words, count, duration, interval, percent, short
from state.views.paired import Paired
from state.views.run_differences import settings_that_differ
from state.views.runs import EvaluationRow, MetricRow, PredictionRow, RunDetail
from state.views.status_records import Accuracy
from tui.charts import progress, sparkline
from tui.screens.run_panels import paired_lines
from tui.text import Part, fields, lines, one_line, say, sections, shortened, title, verdict

TABS = ("curves", "questions", "results", "predictions", "config", "log", "compare", "frontier")


def tab_names(tab: str, room: int) -> Text:
    """The tabs, with the one that is shown; where not all fit, those around it, and at least the next one."""
    at = TABS.index(tab)
    first, end = 0, len(TABS)
    while end - first > 2 and sum(len(name) + 1 for name in TABS[first:end]) + 7 > room:
        if at - first > end - 1 - at:
            first += 1
        else:
            end -= 1
    if (wide := sum(len(name) + 2 for name in TABS) <= room) or end - first > 2:
        edge = " " if wide else ""
        names: list[Part] = [("… ", "muted")] if first else []
        for name in TABS[first:end]:
            names += [
                "" if wide or name == TABS[first] else " ",
                (f"{edge}{name}{edge}", "tab" if name == tab else "muted"),
            ]
        return say(*names, (" …", "muted") if end < len(TABS) else "", ("  ]", "key") if not wide else "")
    return say((tab, "accent"), (" ] ", "key"), (TABS[(at + 1) % len(TABS)], "muted"))


def paint_questions(paired: Paired | None, width: int, differing: bool, more: bool) -> Text:
    """The questions of two runs, one line each."""
    if paired is None or not paired.n:
        hint = (
            "nothing to compare with: mark another run with m"
            if paired is None
            else "no common test question"
        )
        return say((hint, "muted"))
    found = paired_lines(paired, width)
    if not paired.page:
        return say(("both runs gave the same verdicts", "muted"))
    what = "questions that one of them alone answers correctly" if differing else "all questions"
    last = [say(("more below: press enter, then G", "muted"))] if more else []
    return lines(
        [say((f"{what}; f shows {'all' if differing else 'only those that differ'}", "muted")), *found, *last]
    )


def paint_results(run: RunDetail, metrics: Sequence[MetricRow], width: int) -> Text:
    """Progress, speed and memory; then accuracy by epoch and its baselines."""
    room = max(6, min(24, width - 52))
    by_epoch = [_evaluation(item, run.task, room) for item in run.evaluations]
    told = [(one_line(item.name), accuracy_words(item.test)) for item in run.baselines]
    cells = max(12, min(30, width - 1 - max((len(words) for _, words in told), default=0)))
    baselines = [say(f"{shortened(name, cells):<{cells}} ", words) for name, words in told]
    return sections(
        (say(), [*_progress(run, metrics, width), *_outcome(run)]),
        (title("accuracy by epoch in %, 95 % interval"), by_epoch or [say(("not evaluated yet", "muted"))]),
        (
            title("on the same test questions in %, runs in the order of dev"),
            baselines or [say(("nothing to compare with yet", "muted"))],
        ),
    )


def _memory(megabytes: float | None) -> str:
    if megabytes is None:
        return "–"
    return f"{megabytes:,.0f} MB" if megabytes < 1024 else f"{megabytes / 1024:,.1f} GB"


def _progress(run: RunDetail, metrics: Sequence[MetricRow], width: int) -> list[Text]:
    room = max(8, min(40, width - 24))
    last = metrics[-1] if metrics else None
    steps = (
        f"{count(run.step)}/{count(run.steps)} {'finished early ' if run.early else ''}"
        if run.steps
        else "queued "
        if run.state == "queued"
        else "nothing to train "
        if run.state in ("evaluating", "done")
        else "not started "
    )
    where = f"ZeRO {run.zero_stage} on {run.device or 'no device yet'}"
    running = run.eta_s is not None and run.state in ACTIVE_RUN_STATES
    rates = [item.learning_rate for item in metrics]
    speeds = [item.tokens_per_second or 0.0 for item in metrics]
    measured = (
        (
            ("lr", f"{last.learning_rate:.2e} ", (sparkline(rates, room), "accent")),
            ("tokens/s", f"{short(last.tokens_per_second):>8} ", (sparkline(speeds, room), "accent")),
            (
                "memory",
                _memory(last.memory_mb),
                f"   MFU {percent(last.mfu)}" if last.mfu is not None else "",
            ),
        )
        if last is not None
        else ()
    )
    return fields(
        ("step", steps, progress(run.step / max(1, run.steps), room // 2)),
        ("loss", f"{run.loss:.4f}" if run.loss is not None else "–"),
        *measured,
        ("train", f"{where}; {count(run.samples)} samples, {count(run.questions)} questions"),
        ("ETA", duration(run.eta_s)) if running else None,
        width=10,
    )


def _outcome(run: RunDetail) -> list[Text]:
    """Why it does not run, and what you can do about it."""
    if run.error:
        return [
            say(("✗ " + run.error[:2_000], "bad")),
            say(("The log tab says more ([ and ]); t tries again.", "attention")),
        ]
    if run.state == "queued":
        return [say((run.waits_for, "muted"))]
    if run.state == "stopped":
        return [say(("stopped by you; t starts it again", "muted"))]
    return []


def _evaluation(item: EvaluationRow, task: str, room: int) -> Text:
    return say(
        f"{item.split:<5} epoch {item.epoch:<5.1f}",
        progress(item.accuracy, room),
        f" {interval(item.accuracy, item.low, item.high):>18} ",
        (f"n={count(item.n)} seed {item.seed}", "muted"),
        f"  majority of {item.majority_of} {_majority(item)}" if item.majority_of else "",
        f"  {one_line(item.task)}" if item.task != task else "",
    )


def paint_config(run: RunDetail) -> Text:
    """The settings of the run."""
    dropped = [
        say((f"{one_line(str(reason))[:20]:<20} ", "muted"), one_line(str(number)))
        for reason, number in run.drops.items()
    ]
    settings = fields(
        ("method", run.method),
        *((("base", one_line(run.base)),) if run.base else ()),
        *((("made from", one_line(", ".join(each.words for each in run.sources))),) if run.sources else ()),
        *((name, f"{value:,g}") for name, value in run.figures.items() if isinstance(value, int | float)),
        ("seed", str(run.seed)),
        ("directory", one_line(run.directory)),
        ("manifest", one_line(run.digest)),
        ("tries", f"{run.tries} since it last made a checkpoint"),
    )
    return sections(
        (say(), settings),
        (title("dropped by curation"), dropped or [say(("nothing", "muted"))]),
        (title("spec"), [say(json.dumps(run.spec, indent=2, ensure_ascii=False)[:20_000])]),
    )


def paint_log(log: str, directory: str) -> Text:
    """The end of the training process's output."""
    if log.strip():
        return say(log)
    return sections((say(), [say((f"no output yet ({one_line(directory)}/log.txt)", "muted"))]))


def paint_predictions(found: Sequence[PredictionRow], wrong_only: bool, more: bool) -> Text:
    """The student's answers, one below the other."""
    if not found:
        hint = (
            "no wrong answers" if wrong_only else "No predictions yet: they appear with the test evaluation."
        )
        return sections((say(), [say((hint, "muted"))]))
    parts = [
        (
            say(
                verdict("correct" if item.correct else "wrong"),
                (f"  {one_line(item.key)} ({item.split})  ", "muted"),
                f"{one_line(item.extracted or 'no answer')[:60]} ",
                (f"gold {one_line(item.gold)[:60]}", "muted"),
            ),
            [say(one_line(item.question)[:500]), say((item.text[:2_000], "muted"))],
        )
        for item in found
    ]
    if more:
        parts.append((say(), [say(("more below: press enter, then G", "muted"))]))
    return sections(*parts)


def paint_compare(
    run: RunDetail, other: RunDetail | None, key: str, width: int, *, marked: bool = True
) -> Text:
    """Two runs side by side: their results, and the settings that differ. The other one is `marked`, or the best of its task."""
    if other is None or other.id == run.id:
        hint = f"Mark a run with {key}, then move the cursor to another one."
        return sections((say(), [say((hint, "muted"))]))
    room = max(0, min(30, (width - 22) // 2)) if width >= 54 else 0
    head = _pair("", f"run {run.id}", f"run {other.id}{' (marked)' if marked else ''}", room)
    head.stylize("bold")
    results = [
        _pair(name, one, two, room)
        for name, one, two in (
            ("student", run.student, other.student),
            ("task", run.task, other.task),
            ("trigger", run.trigger, other.trigger),
            ("method", run.method, other.method),
            ("base", run.base, other.base),
            ("seed", str(run.seed), str(other.seed)),
            *_compared("test", run.test, other.test),
            *majorities(run, other),
            *_compared("best dev", run.best_dev, other.best_dev),
            ("loss", _number(run.loss), _number(other.loss)),
            ("steps", f"{count(run.step)}/{count(run.steps)}", f"{count(other.step)}/{count(other.steps)}"),
            ("samples", count(run.samples), count(other.samples)),
            ("questions", count(run.questions), count(other.questions)),
            ("time", duration(_seconds(run)), duration(_seconds(other))),
            ("tokens/s", short(run.tokens_per_second), short(other.tokens_per_second)),
        )
    ]
    differing = [_pair(name, one, two, room) for name, one, two in settings_that_differ(run, other)]
    return sections(
        (head, results),
        (title("settings that differ"), differing or [say(("none", "muted"))]),
    )


def _seconds(run: RunDetail) -> float | None:
    return (run.ended_at - run.started_at) / 1000 if run.ended_at and run.started_at else None


def _pair(name: str, one: str, two: str, room: int) -> Text:
    same = one == two
    if not room:  # too narrow for three columns
        return say(
            (f"{one_line(name)}: " if name else "", "muted"),
            one_line(one)[:60],
            ("  |  ", "muted"),
            (one_line(two)[:60], "muted" if same else ""),
        )
    return say(
        (f"{one_line(name)[:20]:<20} ", "muted"),
        f"{shortened(one, room):<{room}} ",
        (shortened(two, room), "muted" if same else ""),
    )


def majorities(*runs: RunDetail) -> list[tuple[str, str, str]]:
    """The line that compares majority votes on test, if either run has sampled answers."""
    found = [next((each for each in run.evaluations if each.majority_of), None) for run in runs]
    if not any(found):
        return []
    one, two = (f"{_majority(each)} of {each.majority_of}" if each is not None else "–" for each in found)
    return [("test majority %", one, two)]


def _majority(item: EvaluationRow) -> str:
    low, high = wilson((item.majority or 0.0) * item.n, item.n)
    return interval(item.majority or 0.0, low, high)


def _compared(split: str, one: Accuracy | None, two: Accuracy | None) -> list[tuple[str, str, str]]:
    """The lines that compare accuracies: each has its interval, and below it what it was measured with."""
    shown = [
        ("–", "–")
        if each is None
        else (interval(each.accuracy, each.low, each.high), f"{count(each.n)}, {each.seed}")
        for each in (one, two)
    ]
    return [(f"{split} accuracy %", shown[0][0], shown[1][0]), (f"{split} n, seed", shown[0][1], shown[1][1])]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
