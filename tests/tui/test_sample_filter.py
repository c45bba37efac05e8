from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from state.database import open_reader
from state.views.samples import SampleFilter
from state.views.status import read_status
from state.views.status_records import Status
from tests.tui.seeded import NOW
from tui.screens.sample_filter import FilterError, parse


@pytest.fixture(scope="module")
def status(seeded: Path) -> Iterator[Status]:
    connection = open_reader(seeded)
    yield read_status(connection, NOW, lambda pid: True)
    connection.close()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", SampleFilter()),
        ("task:gsm8k", SampleFilter(task_id=2)),
        ("t:coin", SampleFilter(task_id=1)),
        ("te:gpt p:held v:wrong", SampleFilter(teacher_id=2, plan_id=11, verdict=0, labelled=True)),
        ("v:correct split:test", SampleFilter(verdict=1, labelled=True, split="test")),
        ("v:answered", SampleFilter(verdict=1, labelled=False)),
        ("v:unread", SampleFilter(verdict=0, labelled=False)),
        ("v:ungraded", SampleFilter(ungraded=True)),
        ("v:failed", SampleFilter(state="failed")),
        ("flag:truncated the last  letters", SampleFilter(flag="truncated", text="the last letters")),
        ("12:30 :", SampleFilter(text="12:30 :")),
        ("q:q12 is:unsolved", SampleFilter(question="q12", unsolved=True)),
        (
            'question:"heads up, or" i:n "as is"',
            SampleFilter(question="heads up, or", noted=True, text='"as is"'),
        ),
    ],
)
def test_filters(text: str, wanted: SampleFilter, status: Status) -> None:
    assert parse(text, status) == wanted


def test_faults_is_part_of_the_filter(status: Status) -> None:
    assert parse("", status, problems_only=True) == SampleFilter(faults=True)


@pytest.mark.parametrize("text", ["task:nope", "v:maybe", "colour:red", "is:new"])
def test_what_is_not_there_is_said(text: str, status: Status) -> None:
    with pytest.raises(FilterError, match="known: "):
        parse(text, status)
