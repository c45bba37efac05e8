from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.training.trigger import Stock, due, next_trigger
from engine.config import StudentConfig


def student(*train_at: int | str, name: str = "s") -> StudentConfig:
    return StudentConfig.model_validate({"name": name, "train_at": list(train_at)})


def stock(
    accepted: int, *, complete: bool = False, scope: str = "t", recipe: str = "r", name: str = "s"
) -> Stock:
    return Stock(student=name, scope=scope, recipe=recipe, accepted=accepted, complete=complete)


def fired(students: list[StudentConfig], stocks: list[Stock], *existing: str) -> list[tuple[str, str]]:
    have = {("s", "t", trigger, "r") for trigger in existing}
    return [(item.stock.scope, item.trigger) for item in due(students, stocks, have)]


def test_a_run_is_due_when_its_count_is_reached() -> None:
    students = [student(40, 400)]
    assert fired(students, [stock(39)]) == []
    assert fired(students, [stock(40)]) == [("t", "40")]
    assert fired(students, [stock(40)], "40") == []
    assert fired(students, [stock(400)], "40") == [("t", "400")]


def test_of_several_that_are_due_only_the_last_fires_and_the_others_never_will() -> None:
    students = [student(400, 40, 100)]
    assert fired(students, [stock(150)]) == [("t", "100")]
    assert fired(students, [stock(150)], "100") == []
    assert fired(students, [stock(399)], "100") == []


def test_completion_comes_after_every_count() -> None:
    students = [student("complete", 40)]
    assert fired(students, [stock(50, complete=True)]) == [("t", "complete")]
    assert fired(students, [stock(50)]) == [("t", "40")]
    assert fired(students, [stock(3, complete=True)]) == [("t", "complete")]
    assert fired(students, [stock(50, complete=True)], "complete") == []


def test_zero_is_at_once() -> None:
    assert fired([student(0)], [stock(0)]) == [("t", "0")]


def test_another_recipe_or_scope_fires_anew() -> None:
    students = [student(40)]
    assert fired(students, [stock(40, recipe="new")], "40") == [("t", "40")]
    assert fired(students, [stock(40), stock(41, scope="u")], "40") == [("u", "40")]


def test_a_run_asked_for_by_hand_fires_nothing_off() -> None:
    assert fired([student(40)], [stock(40)], "manual-1") == [("t", "40")]


def test_the_next_trigger() -> None:
    assert next_trigger(student(40, 400, "complete"), 0) == 40
    assert next_trigger(student(400, 40), 40) == 400
    assert next_trigger(student(40, "complete"), 40) is None


@given(
    triggers=st.lists(st.integers(0, 20), min_size=1, max_size=5),
    growth=st.lists(st.integers(0, 6), max_size=12),
    complete=st.booleans(),
)
def test_each_trigger_fires_at_most_once_in_rising_order_and_the_end_always(
    triggers, growth, complete
) -> None:
    students = [student(*triggers, *(["complete"] if complete else []))]
    existing: set[tuple[str, str, str, str]] = set()
    order: list[str] = []
    accepted = 0
    for index, more in enumerate([*growth, 0]):
        accepted += more
        for item in due(students, [stock(accepted, complete=index == len(growth))], existing):
            existing.add(("s", "t", item.trigger, "r"))
            order.append(item.trigger)
    counts = [int(trigger) for trigger in order if trigger != "complete"]
    assert counts == sorted(set(counts))
    assert set(counts) <= set(triggers)
    assert order.count("complete") == complete
    if complete:
        assert order[-1] == "complete"
    elif accepted >= max(triggers):
        assert counts[-1] == max(triggers)
