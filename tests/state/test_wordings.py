"""Searches over wordings: decided by the answers alone, in rounds."""

from __future__ import annotations

import random
from dataclasses import replace

from engine.config.wordings import rounds
from state.views.wordings import search_status
from state.wordings import Search, Tried, _settled

RATES = (0.5, 0.2, 0.9, 0.4, 0.6, 0.55)


def fresh(questions: int, wordings: int) -> list[Tried]:
    limits = rounds(questions, wordings - 1)
    return [
        Tried(
            plan_id=10 + place,
            of="cot",
            wording="given" if not place else f"w{place}",
            place=place,
            rounds=limits,
            task_id=1,
            task="t",
        )
        for place in range(wordings)
    ]


def searched(truth: list[list[bool]], order: random.Random) -> tuple[Search, int]:
    """A search to its end; verdicts come in any order, and every one is asked for by a limit first."""
    tried = fresh(len(truth[0]), len(truth))
    while True:
        search = _settled(tried)
        missing = [
            (each.place, question)
            for each in tried
            for question in range(search.limits[each.plan_id])
            if each.answers.get(question) is None
        ]
        if not missing:
            assert search.decided, "nothing is left to ask, and nothing is decided"
            return search, sum(len(each.answers) for each in tried)
        place, question = order.choice(missing)
        each = tried[place]
        tried[place] = replace(each, answers={**each.answers, question: truth[place][question]})


def test_the_result_is_a_function_of_the_answers_and_no_more_is_asked_than_the_rounds_say() -> None:
    draw = random.Random(3)
    for wordings in (2, 3, 4, 6):
        truth = [[draw.random() < RATES[place] for _ in range(60)] for place in range(wordings)]
        found = [searched(truth, random.Random(seed)) for seed in range(4)]
        assert len({(search.left, tuple(search.limits.items()), asked) for search, asked in found}) == 1
        search, asked = found[0]
        left, before, expected = wordings - 1, 0, 60
        for limit in rounds(60, wordings - 1):
            expected, before, left = expected + left * (limit - before), limit, -(-left // 2)
        assert asked == expected
        assert not search.undecided and sum(search.paired) == (60 if wordings == 2 else 30)


def test_the_best_wording_is_found_and_said_to_beat_the_given_one_only_where_the_interval_does() -> None:
    draw = random.Random(0)
    truth = [[draw.random() < RATES[place] for _ in range(200)] for place in range(5)]
    status = search_status(searched(truth, draw)[0])
    assert (status.best, status.beats) == ("w2", True)
    assert "w2 beats the given one" in status.text and 'prompts = "w2" takes it' in status.text
    assert "on 100 dev questions that chose nothing" in status.text
    assert [each.left for each in status.wordings] == [True, False, True, False, False]
    alike = [truth[0], [*truth[0][:-1], True], truth[1]]
    status = search_status(searched(alike, draw)[0])
    assert not status.beats and "none is shown to beat the given one; the best is w1" in status.text


def test_a_round_waits_for_the_last_verdict_and_a_changed_one_changes_what_follows() -> None:
    tried = [replace(each, answers={q: bool(each.place) for q in range(10)}) for each in fresh(40, 3)]
    waits = _settled([tried[0], tried[1], replace(tried[2], answers={**tried[2].answers, 9: None})])
    assert set(waits.limits.values()) == {20} and waits.left == (1, 2)
    whole = [replace(each, answers={q: bool(each.place) for q in range(20)}) for each in tried]
    assert _settled(whole).left == (1,) and _settled(whole).limits == {10: 40, 11: 40, 12: 20}
    regraded = [whole[0], replace(whole[1], answers={**whole[1].answers, 0: False}), whole[2]]
    assert _settled(regraded).left == (2,) and _settled(regraded).limits == {10: 40, 11: 20, 12: 40}
    begun = replace(regraded[1], answers={**regraded[1].answers, **dict.fromkeys(range(20, 25), True)})
    assert _settled([regraded[0], begun, regraded[2]]).limits[11] == 25, "what was asked stays counted"
