from __future__ import annotations

from state.sqlite import Connection
from state.views.commands import answers
from state.views.events import newest_events
from state.views.runs import predictions, run_detail, run_metrics


def test_a_run_whole(reader: Connection) -> None:
    run = run_detail(reader, 1)
    assert run is not None
    assert (run.student, run.task, run.state) == ("fine-tune-cot", "coin_flip", "done")
    assert run.test is not None and (run.test.accuracy, run.test.n, run.test.seed) == (0.8, 20, 0)
    assert run.best_dev is not None and (run.best_dev.accuracy, run.best_dev.n) == (0.8, 10)
    assert run.drops == {"duplicate": 7, "truncated": 3}
    assert run.spec["training"]["epochs"] == 20
    assert [item.split for item in run.evaluations] == ["dev"] * 4 + ["test"]
    assert [(item.name, item.test.n, item.test.accuracy) for item in run.baselines] == [
        ("teacher (held-out)", 20, 0.85),
        ("run 2 fine-tune @complete", 20, 0.55),
    ]
    assert run_detail(reader, 99) is None
    assert not reader.in_transaction


def test_metrics_are_read_from_where_the_reader_is(reader: Connection) -> None:
    whole = run_metrics(reader, 3)
    assert [item.step for item in whole] == list(range(4, 413, 4))
    assert run_metrics(reader, 3, after=404) == whole[-2:]
    assert run_metrics(reader, 3, limit=5) == whole[:5]
    assert run_metrics(reader, 5) == []


def test_predictions_by_page(reader: Connection) -> None:
    whole = predictions(reader, 1)
    assert len(whole) == 20
    first = predictions(reader, 1, limit=7)
    assert first + predictions(reader, 1, after=first[-1].question_id) == whole
    wrong = predictions(reader, 1, wrong_only=True)
    assert [item.question_id for item in wrong] == [item.question_id for item in whole if not item.correct]
    assert len(wrong) == 4


def test_events_newest_first(reader: Connection) -> None:
    whole = newest_events(reader)
    assert [event.id for event in whole] == [6, 5, 4, 3, 2, 1]
    assert newest_events(reader, before=3) == whole[4:]
    assert newest_events(reader, limit=2) == whole[:2]
    assert {event.level for event in newest_events(reader, faults=True)} == {"warning", "error"}
    assert [event.id for event in newest_events(reader, text="THRESHOLD")] == [2]
    assert newest_events(reader, text="%") == whole[2:3]  # a percent sign is one, not a wildcard


def test_answers_of_no_commands(reader: Connection) -> None:
    assert answers(reader, []) == answers(reader, [1, 2]) == []
