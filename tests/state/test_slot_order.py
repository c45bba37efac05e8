from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from state.slot_order import group_at


@given(st.integers(1, 7), st.integers(1, 12), st.integers(1, 6))
def test_every_slot_comes_once_group_by_group(questions: int, rationales: int, group: int) -> None:
    cursor, seen = 0, []
    while cursor < questions * rationales:
        place = group_at(cursor, questions=questions, rationales=rationales, group=group)
        assert 1 <= place.size <= group
        seen.append((place.first, place.position, place.size))
        after = place.after(place.position)
        assert after == cursor + place.size
        if place.position == questions - 1:
            assert after == place.end
        cursor = after
    assert seen == sorted(seen), "a question got its next group before another one got this"
    slots = [(first + i, position) for first, position, size in seen for i in range(size)]
    assert sorted(slots) == [(r, q) for r in range(rationales) for q in range(questions)]


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_one_a_request_is_the_order_that_it_always_was(questions: int, rationales: int, data) -> None:
    cursor = data.draw(st.integers(0, questions * rationales - 1))
    place = group_at(cursor, questions=questions, rationales=rationales)
    assert (place.first, place.position) == divmod(cursor, questions)
    assert place.size == 1


def test_a_cursor_within_a_group_is_of_that_group() -> None:
    places = {group_at(cursor, questions=2, rationales=5, group=3) for cursor in range(3)}
    assert {(place.first, place.position) for place in places} == {(0, 0)}
    assert group_at(8, questions=2, rationales=5, group=3).size == 2
