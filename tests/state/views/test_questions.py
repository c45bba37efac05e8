from __future__ import annotations

import pytest

from state.enums import SampleState
from state.logprobs import Logprobs, pack
from state.outcomes import SampleEnd, Verdict
from state.views.questions import Votes, question_of_sample, token_spans
from state.views.samples import SampleFilter, matching_ids, sample_detail, sample_rows
from tests.state.world import World, stored

SURE = Logprobs((" It", " is", " so", ".", " Answer"), (-0.1, -0.2, -3.0, -0.01, -0.5), ((), (), (), (), ()))


@pytest.fixture
def answered(world: World) -> World:
    """Two questions: one with 5, 5,000 and 7 (gold: 5 000, written in several ways), one that nobody solved."""
    plan = world.plan(rationales=5)
    claimed = world.claim(plan, 15).samples
    given = {
        1: [("5,000", True), ("5000", True), ("7,000", False), ("7000 ", False), (None, False)],
        2: [("1", False)] * 5,
    }
    at = {1: 0, 2: 0}
    for sample in claimed:
        question = world.row("SELECT question_id FROM sample WHERE id = ?", sample.sample_id)[0]
        if question not in given:
            continue
        extracted, correct = given[question][at[question]]
        verdict = Verdict(grader="g:1", correct=correct, extracted=extracted, reason="")
        text = f"It is so. {at[question]}"
        at[question] += 1
        end = SampleEnd(state=SampleState.STORED, rationale=text, answer="x", verdict=verdict)
        world.record(stored(sample, end=end))
    return world


def ids(world: World, question: int) -> list[int]:
    return [key for (key,) in world.rows("SELECT id FROM sample WHERE question_id = ? ORDER BY id", question)]


def test_a_question_with_all_its_rationales_and_their_votes(answered: World) -> None:
    first = ids(answered, 1)
    found = question_of_sample(answered.connection, first[2])
    assert found is not None
    assert [item.id for item in found.rationales] == first
    assert (found.task, found.key, found.place, found.of, found.total) == ("t", "q0", 1, 3, 5)
    assert (found.correct, found.graded) == (2, 5)
    assert found.votes == (
        Votes(answer="5,000", votes=2, correct=True),
        Votes(answer="7,000", votes=2, correct=False),
        Votes(answer=None, votes=1, correct=False),
    )
    assert found.diversity is not None and found.diversity.distinct == 5
    assert question_of_sample(answered.connection, 99) is None


def test_a_rationale_that_saw_the_gold_answer_has_no_vote(answered: World) -> None:
    first = ids(answered, 1)
    answered.connection.execute("""UPDATE sample SET flags = '["hinted"]' WHERE id = ?""", (first[0],))
    found = question_of_sample(answered.connection, first[0])
    assert found is not None and len(found.rationales) == 5
    assert [votes.votes for votes in found.votes] == [2, 1, 1]
    assert found.diversity is not None and found.diversity.of == 4


def test_questions_that_nobody_solved_are_found_once_each(answered: World) -> None:
    unsolved = SampleFilter(unsolved=True)
    second = ids(answered, 2)
    assert matching_ids(answered.connection, unsolved, 1, 100) == [second[-1]]
    answered.connection.execute("UPDATE sample SET verdict = 1 WHERE id = ?", (second[0],))
    assert matching_ids(answered.connection, unsolved, 1, 100) == []


def test_samples_of_a_question_are_found_by_its_key_or_its_text(answered: World) -> None:
    first = ids(answered, 1)
    for name in ("q0", "TION Q0?"):
        assert matching_ids(answered.connection, SampleFilter(question=name), 1, 100) == first[::-1]
        assert matching_ids(answered.connection, SampleFilter(question=name), first[1], first[2]) == [
            first[2],
            first[1],
        ]
    assert matching_ids(answered.connection, SampleFilter(question="q0", verdict=1), 1, 100) == first[1::-1]
    assert matching_ids(answered.connection, SampleFilter(question="q0", text="so"), 1, 100) == first[::-1]
    assert matching_ids(answered.connection, SampleFilter(question="nowhere"), 1, 100) == []


def test_the_samples_of_a_key_are_found_by_an_index(answered: World) -> None:
    statements: list[str] = []
    answered.connection.set_trace_callback(statements.append)
    matching_ids(answered.connection, SampleFilter(question="q0"), 1, 5_000_000)
    answered.connection.set_trace_callback(None)
    steps = answered.rows(f"EXPLAIN QUERY PLAN {statements[-1]}")
    assert any("SEARCH s USING" in row[3] and "question_id=?" in row[3] for row in steps), steps


def test_a_list_shows_the_question_the_gold_answer_and_notes(answered: World) -> None:
    first, second = ids(answered, 1), ids(answered, 2)
    answered.connection.execute(
        "INSERT INTO note (question_id, sample_id, flag, text, noted_at) VALUES (1, NULL, 'bad question', '', 0), (2, ?, '', 'x', 0)",
        (second[0],),
    )
    rows = sample_rows(answered.connection, [*first, *second])
    assert (rows[first[0]].text, rows[first[0]].gold) == ("question q0?", "yes")
    noted = [key for key, row in rows.items() if row.noted]
    assert sorted(noted) == sorted([*first, second[0]])
    assert sorted(matching_ids(answered.connection, SampleFilter(noted=True), 1, 100)) == sorted(noted)
    found = question_of_sample(answered.connection, second[0])
    assert found is not None and [note.text for note in found.notes_of(second[0])] == ["x"]
    assert found.notes_of(second[1]) == ()


def test_log_probabilities_are_placed_in_the_rationale(answered: World) -> None:
    sample = ids(answered, 1)[0]
    answered.connection.execute(
        "UPDATE sample SET rationale = 'It is so.', checksum = NULL WHERE id = ?", (sample,)
    )
    (attempt,) = answered.row("SELECT id FROM attempt WHERE sample_id = ?", sample)
    answered.connection.execute(
        "INSERT INTO logprob (attempt_id, tokens, mean, data) VALUES (?, 5, 0, ?)", (attempt, pack(SURE))
    )
    detail = sample_detail(answered.connection, sample)
    assert detail is not None
    assert [(start, end, round(value, 1)) for start, end, value in detail.spans] == [
        (0, 2, -0.1),
        (2, 5, -0.2),
        (5, 8, -3.0),
        (8, 9, 0.0),
    ]
    question = question_of_sample(answered.connection, sample, logprobs=True)
    assert question is not None and question.rationales[0].spans == detail.spans
    answered.connection.execute("UPDATE logprob SET data = x'0109'")
    detail = sample_detail(answered.connection, sample)
    assert detail is not None and detail.spans == (), "a damaged row is shown without"


def test_tokens_that_are_not_the_text_have_no_place() -> None:
    assert token_spans("something else", SURE) == ()
    assert token_spans(" It is so. Answer", SURE)[0][:2] == (0, 3)
