from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.practice.server_options import (
    Fault,
    PracticeOptions,
    add_arguments,
    arguments,
    options_from,
    parse_faults,
)


def parse(*flags: str) -> PracticeOptions:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return options_from(parser.parse_args(flags))


def test_faults() -> None:
    assert parse_faults("") == ()
    assert parse_faults(" 500=0.02, reset = .01,") == (Fault("500", 0.02), Fault("reset", 0.01))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rset=0.1", "fault 'rset': unknown; did you mean 'reset'"),
        ("zzz=0.1", "known: reset, truncate"),
        ("499=0.1", "fault '499': unknown"),
        ("500", "fault 500: expected a rate from 0 to 1"),
        ("500=2", "expected a rate"),
        ("500=nan", "expected a rate"),
        ("500=.1,500=.1", "fault 500: listed twice"),
        ("500=.6,reset=.5", "must not add up to more than 1"),
    ],
)
def test_a_wrong_fault_is_named(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_faults(text)


def test_no_flags_are_the_defaults() -> None:
    assert parse() == PracticeOptions()


def test_flags_and_options_go_both_ways() -> None:
    options = PracticeOptions(
        port=8123,
        keys=("-a", "b"),
        replay=(Path("x.jsonl"), Path("-y.jsonl")),
        refuse_unknown=True,
        faults=parse_faults("500=0.02,slow=0.5"),
        seed=-3,
        latency_ms=1.5,
        error_rate=0.25,
        errors="systematic",
        requests_per_minute=100,
        tokens_per_minute=2000,
        burst_seconds=1.0,
        concurrency=7,
        ledger=Path("l.jsonl"),
        slow_seconds=0.5,
    )
    assert parse(*arguments(options)) == options


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--port", "99999"), "expected a whole number from 0"),
        (("--concurrency", "0"), "expected a whole number from 1"),
        (("--error-rate", "nan"), "expected a number from 0 to 1"),
        (("--latency-ms", "-1"), "expected a number from 0"),
    ],
)
def test_a_wrong_flag_is_named(
    flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(*flags)
    assert exit_.value.code == 2 and message in capsys.readouterr().err
