"""The kinds of triggers: which run is due, how far each is, and how they stand side by side."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.triggers import (
    KINDS,
    LastRun,
    Stock,
    Trigger,
    check_triggers,
    due,
    parse_trigger,
    wakes_at,
)
from tests.lazily import Lazy

jsonschema = Lazy("jsonschema")

NOW = 1_760_000_000_000
MINUTE, HOUR = 60_000, 3_600_000


def parsed(*train_at: int | str) -> list[Trigger]:
    return [parse_trigger(value) for value in train_at]


def stock(samples: int = 0, *runs: str, complete: bool = False, wanted: int = 800, ended: int = 0) -> Stock:
    return Stock(samples=samples, complete=complete, wanted=wanted, ended=ended, runs=frozenset(runs))


def fired(train_at: list[int | str], found: Stock, now: int = NOW) -> str | None:
    item = due(parsed(*train_at), found, now)
    return item.name if item else None


# Counts and completion


def test_a_run_is_due_when_its_count_is_reached() -> None:
    assert fired([40, 400], stock(39)) is None
    assert fired([40, 400], stock(40)) == "40"
    assert fired([40, 400], stock(40, "40")) is None
    assert fired([40, 400], stock(400, "40")) == "400"


def test_of_several_that_are_due_only_the_last_fires_and_the_others_never_will() -> None:
    assert fired([400, 40, 100], stock(150)) == "100"
    assert fired([400, 40, 100], stock(150, "100")) is None
    assert fired([400, 40, 100], stock(399, "100")) is None


def test_completion_comes_after_every_count() -> None:
    assert fired(["complete", 40], stock(50, complete=True)) == "complete"
    assert fired(["complete", 40], stock(50)) == "40"
    assert fired(["complete", 40], stock(3, complete=True)) == "complete"
    assert fired(["complete", 40], stock(50, "complete", complete=True)) is None


def test_zero_is_at_once() -> None:
    assert fired([0], stock(0)) == "0"


def test_a_run_asked_for_by_hand_fires_nothing_off() -> None:
    assert fired([40], stock(40, "manual-1")) == "40"


@given(
    counts=st.lists(st.integers(0, 20), min_size=1, max_size=5),
    growth=st.lists(st.integers(0, 6), max_size=12),
    complete=st.booleans(),
)
def test_each_trigger_fires_at_most_once_in_rising_order_and_the_end_always(
    counts: list[int], growth: list[int], complete: bool
) -> None:
    train_at: list[int | str] = [*counts, *(["complete"] if complete else [])]
    order: list[str] = []
    accepted = 0
    for index, more in enumerate([*growth, 0]):
        accepted += more
        name = fired(train_at, stock(accepted, *order, complete=index == len(growth)))
        order += [name] if name else []
    reached = [int(trigger) for trigger in order if trigger != "complete"]
    assert reached == sorted(set(reached))
    assert set(reached) <= set(counts)
    assert order.count("complete") == complete
    if complete:
        assert order[-1] == "complete"
    elif accepted >= max(counts):
        assert reached[-1] == max(counts)


def test_progress_of_a_count_and_of_completion() -> None:
    count, complete, at_once = parsed(1_000, "complete", 0)
    found = stock(145, ended=97, wanted=800)
    assert count.progress(found, NOW).text() == "145/1000"
    assert count.progress(found, NOW).text(lambda number: f"{number:,}") == "145/1,000"
    assert complete.progress(found, NOW).text() == "97/800 sampled"
    assert complete.progress(found, NOW).text(unit=False) == "97/800"
    assert (complete.progress(found, NOW).remaining, complete.progress(found, NOW).reached) == (703, False)
    assert at_once.progress(found, NOW).text() == "ready"
    assert complete.progress(stock(wanted=0, complete=True), NOW).text() == "ready"
    assert parse_trigger("every 6h").describe() == "every 6h if there is something new"
    assert [each.describe() for each in (count, complete, at_once)] == [
        "at 1,000 samples",
        "when its plans are complete",
        "at once",
    ]


# Intervals


def last(ago: int, *, samples: int | None = 10, ended: bool = True, fingerprint: str = "r") -> LastRun:
    return LastRun(created_at=NOW - ago, ended=ended, fingerprint=fingerprint, digest="d", counted=samples)


def at_work(samples: int = 10, *, since: int = 0, **more: object) -> Stock:
    return replace(
        Stock(samples=samples, wanted=800, since=NOW - since, fingerprint="r"),
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30m", 1_800),
        ("6h", 21_600),
        ("2d", 172_800),
        ("1h30m", 5_400),
        ("1d12h", 129_600),
        ("366d", 31_622_400),
    ],
)
def test_an_interval_is_days_hours_and_minutes(text: str, seconds: int) -> None:
    trigger = parse_trigger(f"every {text}")
    assert (trigger.name, trigger.order, trigger.repeats) == (f"every {text}", seconds, True)


@pytest.mark.parametrize(
    "text", ["every", "every ", "every 6", "every 6 h", "every 6 hours", "every 90s", "every -6h", "every 30m6h"]
    + ["every  6h", "every 6h ", "every ٦h"],
)  # fmt: skip
def test_a_malformed_interval_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r'^expected an interval such as "every 30m", "every 6h"'):
        parse_trigger(text)


@pytest.mark.parametrize("text", ["every 0m", "every 0d0h0m", "every 367d", "every 366d1m", "every 999999d"])
def test_an_interval_has_bounds(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected an interval from 1m to 366d$"):
        parse_trigger(text)


@pytest.mark.parametrize(
    "value", [0, 400, -1, "complete", "complet", "every 6h", "every 1d12h", "every", "every ", "every 6"]
)
def test_an_editor_accepts_what_is_parsed(value: int | str) -> None:
    schema = jsonschema.Draft202012Validator({"anyOf": [dict(kind.schema) for kind in KINDS]})
    try:
        parse_trigger(value)
    except ValueError:
        assert not schema.is_valid(value)
    else:
        assert schema.is_valid(value)


@pytest.mark.parametrize("value", ["x", "", "Every 6h", -1, 10**12 + 1, 1.5, True, None, [400]])
def test_what_is_no_trigger_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r'^expected a count, "complete" or "every 6h"$'):
        parse_trigger(value)


def test_the_first_run_comes_an_interval_after_the_first_plan() -> None:
    assert fired(["every 6h"], at_work(since=6 * HOUR - 1)) is None
    assert fired(["every 6h"], at_work(since=6 * HOUR)) == "every 6h #1"
    assert fired(["every 6h"], at_work(0, since=6 * HOUR)) is None  # there is nothing to train on
    assert fired(["every 6h"], at_work(0, since=6 * HOUR, wanted=0)) == "every 6h #1"  # reads no plan


def test_the_next_one_comes_an_interval_after_the_last_run_whatever_made_it() -> None:
    runs = frozenset({"every 6h #1", "every 6h #9", "every 16h #20", "400", "manual-1"})
    before = at_work(11, since=99 * HOUR, last=last(6 * HOUR - 1), runs=runs)
    assert fired(["every 6h"], before) is None
    assert fired(["every 6h"], before, NOW + 1) == "every 6h #10"


def test_nothing_new_makes_no_run() -> None:
    trigger = "every 6h"
    assert fired([trigger], at_work(10, last=last(7 * HOUR))) is None
    assert fired([trigger], at_work(11, last=last(7 * HOUR))) == "every 6h #1"
    assert fired([trigger], at_work(9, last=last(7 * HOUR))) == "every 6h #1"  # other verdicts
    assert fired([trigger], at_work(10, last=last(7 * HOUR, fingerprint="old"))) == "every 6h #1"
    assert fired([trigger], at_work(10, last=last(7 * HOUR, samples=None))) == "every 6h #1"


def test_it_waits_for_the_last_run_to_end() -> None:
    found = at_work(11, last=last(7 * HOUR, ended=False))
    assert fired(["every 6h"], found) is None
    assert wakes_at(parsed("every 6h"), found) is None
    assert parse_trigger("every 6h").progress(found, NOW).words == "waiting for the last run to end"


def test_one_time_triggers_come_first_and_an_interval_fires_beside_those_that_have_fired() -> None:
    over = at_work(50, since=9 * HOUR)
    assert fired(["every 6h", 40], over) == "40"
    assert fired([40, "every 6h"], replace(over, runs=frozenset({"40"}))) == "every 6h #1"
    assert fired(["every 6h", "complete"], replace(over, complete=True)) == "complete"
    assert fired(["every 6h"], replace(over, runs=frozenset({"every 6h #1"}))) == "every 6h #2"


def test_only_time_wakes_an_interval() -> None:
    assert wakes_at(parsed(40, "complete"), at_work()) is None
    assert wakes_at(parsed(40, "every 6h"), at_work(since=HOUR)) == NOW + 5 * HOUR
    assert wakes_at(parsed("every 6h"), at_work(11, last=last(HOUR))) == NOW + 5 * HOUR
    assert wakes_at(parsed("every 6h"), at_work(10, last=last(HOUR))) is None  # it waits for samples


@pytest.mark.parametrize(
    ("found", "words", "have", "reached"),
    [
        (at_work(since=0), "next in 6h", 0, False),
        (at_work(since=3 * HOUR + 50 * MINUTE), "next in 2h10m", 13_800, False),
        (at_work(since=5 * HOUR + 54 * MINUTE + 55_000), "next in 5m05s", 21_295, False),
        (at_work(since=6 * HOUR - 1), "next in 1s", 21_599, False),
        (at_work(since=6 * HOUR), "due", 21_600, True),
        (at_work(10, last=last(HOUR)), "next in 5h", 3_600, False),
        (at_work(10, last=last(9 * HOUR)), "waiting for new samples", 21_600, False),
        (at_work(0, since=9 * HOUR), "waiting for the first samples", 21_600, False),
        (at_work(11, last=last(-HOUR)), "next in 7h", 0, False),  # the clock was set back
    ],
)
def test_progress_of_an_interval(found: Stock, words: str, have: int, reached: bool) -> None:
    progress = parse_trigger("every 6h").progress(found, NOW)
    assert (progress.words, progress.have, progress.goal, progress.unit, progress.reached) == (
        *(words, have, 21_600, "seconds", reached),
    )
    assert progress.text(lambda number: "?") == words


def test_a_long_wait_has_days() -> None:
    assert parse_trigger("every 30d").progress(at_work(since=HOUR), NOW).words == "next in 29d23h"


def test_two_intervals_are_refused() -> None:
    check_triggers(parsed("every 6h", "every 6h", 40, "complete"))
    with pytest.raises(
        ValueError, match=r'^"every 1d" would never fire beside "every 6h": keep one of them$'
    ):
        check_triggers(parsed("every 1d", "every 6h"))


# Registration


def test_each_kind_is_found_and_told_apart() -> None:
    assert [kind.__name__ for kind in KINDS] == ["Count", "Every", "Complete"]
    assert len({kind.rank for kind in KINDS}) == len(KINDS)
    for value, kind in ((400, "Count"), ("complete", "Complete"), ("every 6h", "Every")):
        assert [each.__name__ for each in KINDS if each.parse(value) is not None] == [kind]
        assert parse_trigger(value).name == str(value)
        assert parse_trigger(parse_trigger("every 6h").name) == parse_trigger("every 6h")


@given(
    steps=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 3), st.booleans()), max_size=40),
    interval=st.integers(1, 240),
)
def test_an_interval_never_fires_twice_within_itself_nor_without_anything_new(
    steps: list[tuple[int, int, bool]], interval: int
) -> None:
    trigger = parse_trigger(f"every {interval}m")
    now, found = NOW, Stock(samples=0, wanted=99, since=NOW, fingerprint="r")
    before: tuple[int, int] | None = None
    for minutes, more, ends in steps:
        now += minutes * MINUTE
        found = replace(found, samples=found.samples + more)
        if ends and found.last is not None:
            found = replace(found, last=replace(found.last, ended=True))
        item = due([trigger], found, now)
        if item is None:
            continue
        assert item.name not in found.runs
        if before is not None:
            assert now - before[0] >= interval * MINUTE
            assert found.samples != before[1]
        before = now, found.samples
        run = LastRun(created_at=now, ended=False, fingerprint="r", counted=found.samples)
        found = replace(found, last=run, runs=found.runs | {item.name})
