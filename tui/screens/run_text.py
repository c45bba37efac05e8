"""What the tabs of the runs screen say of a run. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.text import Text

from state.enums import ACTIVE_RUN_STATES
from state.views.format import count, duration, percent, short
from state.views.runs import MetricRow, PredictionRow, RunDetail
from tui.meter import bar, spark
from tui.screens.view import sections
from tui.text import one_line, say, shortened, state_word, title, verdict

TABS = ("course", "config", "log", "predictions", "compare")


def paint_head(run: RunDetail, tab: str, width: int) -> Text:
    """The run's name and the tabs, a line each."""
    names: list[tuple[str, str]] = []
    edge = " " if width >= 52 else ""
    for name in TABS:
        names += [(f"{edge}{name}{edge}", "reverse bold" if name == tab else "dim"), (" ", "")]
    number, state = f"run {run.id} ", state_word(run.state)
    room = max(8, width - len(number) - state.cell_len - 2)
    about = shortened(f"{run.student} on {run.task} @{run.trigger}", room)
    return sections((say((number, "bold"), f"{about}  ", state), [say(*names)]))


def paint_course(run: RunDetail, metrics: Sequence[MetricRow], width: int) -> Text:
    """Progress, speed and memory; then accuracy by epoch, and what it is compared with."""
    room = max(8, min(40, width - 24))
    last = metrics[-1] if metrics else None
    progress = [
        say(
            ("step      ", "dim"),
            f"{run.step}/{run.steps} " if run.steps else "not begun ",
            (bar(run.step / max(1, run.steps), room // 2), "green"),
        ),
        say(("loss      ", "dim"), f"{run.loss:.4f}" if run.loss is not None else "–"),
    ]
    if last is not None:
        progress += [
            say(
                ("lr        ", "dim"),
                f"{last.learning_rate:.2e} ",
                (spark([item.learning_rate for item in metrics], room), "cyan"),
            ),
            say(
                ("tokens/s  ", "dim"),
                f"{short(last.tokens_per_second):>8} ",
                (spark([item.tokens_per_second or 0.0 for item in metrics], room), "cyan"),
            ),
            say(
                ("memory    ", "dim"),
                f"{short(last.memory_mb)} MB" if last.memory_mb is not None else "–",
                f"   MFU {percent(last.mfu)}" if last.mfu is not None else "",
            ),
        ]
    about = f"ZeRO {run.zero_stage} on {run.device or 'no device yet'}"
    progress.append(
        say(("train     ", "dim"), f"{about}; {count(run.samples)} samples, {count(run.questions)} questions")
    )
    if run.eta_s is not None and run.state in ACTIVE_RUN_STATES:
        progress.append(say(("ETA       ", "dim"), duration(run.eta_s)))
    if run.error:
        progress.append(say(("✗ " + run.error[:2_000], "red")))
        progress.append(say(("its log says more ([ and ]); t tries again", "yellow")))
    elif run.state == "queued":
        progress.append(say(("it waits for a free device", "dim")))
    elif run.state == "stopped":
        progress.append(say(("stopped by a person; t starts it again", "dim")))
    room = max(6, min(24, width - 46))
    by_epoch = [
        say(
            f"{item.split:<5} epoch {item.epoch:<5.1f}",
            (bar(item.accuracy, room), "green"),
            f" {percent(item.accuracy):>4} ",
            (f"[{percent(item.low)}, {percent(item.high)}] n={item.n}", "dim"),
            f"  majority of {item.majority_of} {percent(item.majority)}" if item.majority_of else "",
            f"  {one_line(item.task)}" if item.task != run.task else "",
        )
        for item in run.evaluations
    ]
    beside = [
        say(f"{one_line(item.name)[:30]:<30} {percent(item.accuracy):>4}  ", (f"n={item.n}", "dim"))
        for item in run.baselines
    ]
    return sections(
        (say(), progress),
        (title("accuracy by epoch, 95 % interval"), by_epoch or [say(("not evaluated yet", "dim"))]),
        (title("on the same test questions"), beside or [say(("nothing to compare with yet", "dim"))]),
    )


def paint_config(run: RunDetail) -> Text:
    """What decided the run."""
    drops = [
        say((f"{one_line(str(why))[:20]:<20} ", "dim"), one_line(str(n))) for why, n in run.drops.items()
    ]
    return sections(
        (
            say(),
            [
                say(("method     ", "dim"), run.method),
                say(("base       ", "dim"), one_line(run.base)),
                say(("seed       ", "dim"), str(run.seed)),
                say(("directory  ", "dim"), one_line(run.directory)),
                say(("manifest   ", "dim"), one_line(run.digest)),
                say(("tries      ", "dim"), str(run.tries)),
            ],
        ),
        (title("left out by curation"), drops or [say(("nothing", "dim"))]),
        (title("spec"), [say(json.dumps(run.spec, indent=2, ensure_ascii=False)[:20_000])]),
    )


def paint_log(log: str, directory: str) -> Text:
    """The end of what the training process printed."""
    if log.strip():
        return say(log)
    return sections((say(), [say((f"nothing was printed yet ({one_line(directory)}/log.txt)", "dim"))]))


def paint_predictions(found: Sequence[PredictionRow], wrong_only: bool, more: bool) -> Text:
    """The student's answers, one below the other."""
    if not found:
        hint = (
            "no wrong answer" if wrong_only else "No prediction yet: they come with the evaluation on test."
        )
        return sections((say(), [say((hint, "dim"))]))
    parts = [
        (
            say(
                verdict("correct" if item.correct else "wrong"),
                (f"  {one_line(item.key)} ({item.split})  ", "dim"),
                f"{one_line(item.extracted or 'nothing')[:60]} ",
                (f"against {one_line(item.gold)[:60]}", "dim"),
            ),
            [say(one_line(item.question)[:500], style) for style in ("",)]
            + [say((item.text[:2_000], "dim"))],
        )
        for item in found
    ]
    if more:
        parts.append((say(), [say(("more below: go in (enter) and to the bottom (G)", "dim"))]))
    return sections(*parts)


def paint_compare(run: RunDetail, other: RunDetail | None, key: str, width: int) -> Text:
    """Two runs side by side: what they reach, and the settings in which they differ."""
    if other is None or other.id == run.id:
        hint = f"mark a run with {key}, then put the cursor on another one"
        return sections((say(), [say((hint, "dim"))]))
    room = max(0, min(30, (width - 24) // 2)) if width >= 60 else 0
    head = _pair("", f"run {run.id}", f"run {other.id} (marked)", room)
    head.stylize("bold")
    reached = [
        _pair(name, one, two, room)
        for name, one, two in (
            ("student", run.student, other.student),
            ("task", run.task, other.task),
            ("test accuracy", percent(run.accuracy, 1), percent(other.accuracy, 1)),
            *majorities(run, other),
            ("best dev accuracy", percent(_best(run), 1), percent(_best(other), 1)),
            ("loss", _number(run.loss), _number(other.loss)),
            ("steps", f"{run.step}/{run.steps}", f"{other.step}/{other.steps}"),
            ("samples", count(run.samples), count(other.samples)),
            ("questions", count(run.questions), count(other.questions)),
            ("tokens/s", short(run.tokens_per_second), short(other.tokens_per_second)),
        )
    ]
    one, two = _flat(run), _flat(other)
    differing = [
        _pair(name, one.get(name, "–"), two.get(name, "–"), room)
        for name in sorted({*one, *two})
        if one.get(name) != two.get(name)
    ]
    return sections(
        (head, reached),
        (title("settings that differ"), differing or [say(("none", "dim"))]),
    )


def _pair(name: str, one: str, two: str, room: int) -> Text:
    same = one == two
    if not room:  # too narrow for three columns
        return say(
            (f"{one_line(name)}: " if name else "", "dim"),
            one_line(one)[:60],
            ("  |  ", "dim"),
            (one_line(two)[:60], "dim" if same else ""),
        )
    return say(
        (f"{one_line(name)[:22]:<22} ", "dim"),
        f"{shortened(one, room):<{room}} ",
        (shortened(two, room), "dim" if same else ""),
    )


def majorities(*runs: RunDetail) -> list[tuple[str, str, str]]:
    """The line of two runs' majorities on test, where either has sampled answers."""
    found = [next((each for each in run.evaluations if each.majority_of), None) for run in runs]
    if not any(found):
        return []
    one, two = (
        f"{percent(each.majority, 1)} of {each.majority_of}" if each is not None else "–" for each in found
    )
    return [("test majority", one, two)]


def _best(run: RunDetail) -> float | None:
    return max((item.accuracy for item in run.evaluations if item.split == "dev"), default=None)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _flat(run: RunDetail) -> dict[str, str]:
    """The settings of a run by their names, as a person writes them."""
    found = {"method": run.method, "base": run.base, "seed": str(run.seed), "ZeRO stage": str(run.zero_stage)}

    def walk(value: object, place: str) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(inner, f"{place}.{name}" if place else str(name))
        else:
            found[place] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    walk(run.spec, "")
    return {name: value[:200] for name, value in found.items()}
