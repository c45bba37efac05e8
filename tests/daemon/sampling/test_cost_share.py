"""`share = "by-cost"`: the policy alone, then in the scheduler."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from daemon.sampling.cost_share import AHEAD, CostShare
from state.teacher_outcomes import TeacherOutcome, outcomes_after
from tests.daemon.parts import active_plan, teacher_of, until
from tests.daemon.sampling.test_scheduler import claiming
from tests.state.world import World, make

Kind = tuple[float, int]
"""How often a teacher is right, and what a sample of it costs in micro-dollars."""
CHEAP_AND_FAIR, DEAR_AND_GOOD, CHEAP_AND_BAD = (0.6, 100), (0.9, 400), (0.1, 90)


def sampled(kinds: Sequence[Kind], count: int, seed: int) -> tuple[float, Counter[int], CostShare]:
    """Micro-dollars a correct sample over a plan, who was asked, and the state at its end."""
    draw = random.Random(seed)
    share = CostShare(range(len(kinds)))
    asked: Counter[int] = Counter()
    spent = correct = place = 0
    able = list(range(len(kinds)))
    while place < count:
        for teacher in able:
            for _ in range(min(share.room(teacher, able), 4)):
                right, cost = draw.random() < kinds[teacher][0], kinds[teacher][1]
                place, spent, correct = place + 1, spent + cost, correct + right
                asked[teacher] += 1
                share.claimed(teacher, 1, able)
                share.learn([TeacherOutcome(place, teacher, right, cost)])
    return spent / correct, asked, share


@pytest.mark.parametrize(
    ("kinds", "best"),
    [
        ((CHEAP_AND_FAIR, DEAR_AND_GOOD), 0),
        ((DEAR_AND_GOOD, CHEAP_AND_BAD), 0),
        ((CHEAP_AND_BAD, DEAR_AND_GOOD, CHEAP_AND_FAIR), 2),
        (((0.5, 0), (0.8, 0)), 1),  # without prices: who is right most often
    ],
)
def test_most_work_goes_to_the_teacher_whose_correct_samples_are_cheapest(
    kinds: Sequence[Kind], best: int
) -> None:
    for seed in range(3):
        price, asked, _ = sampled(kinds, 2000, seed)
        fixed = kinds[best][1] / kinds[best][0]
        assert asked.most_common(1)[0][0] == best and asked[best] > 1000
        assert price <= 1.3 * fixed + 1e-9
        assert all(asked[teacher] > 2000 / 50 for teacher in range(len(kinds))), "no teacher is given up"


def test_it_is_a_function_of_what_is_stored_however_it_is_read() -> None:
    draw = random.Random(5)
    stored = [
        TeacherOutcome(place, draw.randrange(3), draw.random() < 0.5, draw.randrange(200))
        for place in range(1, 200)
    ]
    whole, pages = CostShare([0, 1, 2]), CostShare([0, 1, 2])
    whole.learn(stored)
    while pages.place < 199:
        pages.learn(stored[pages.place :][: draw.randint(1, 30)])
    assert whole.shares([0, 1, 2]) == pages.shares([0, 1, 2]) != {0: 1 / 3, 1: 1 / 3, 2: 1 / 3}
    assert sum(whole.shares([0, 2]).values()) == pytest.approx(1)


def test_somebody_always_may_claim_and_who_comes_back_does_not_catch_up() -> None:
    share = CostShare([1, 2])
    claimed = 0
    while room := share.room(1, [1, 2]):
        share.claimed(1, room, [1, 2])
        claimed += room
    assert claimed <= AHEAD and share.room(2, [1, 2]) > 0
    share.claimed(1, 1000, [1])  # the other was paused
    assert share.room(1, [1]) > 0
    assert 0 < share.room(2, [1, 2]) <= AHEAD


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    found = make(tmp_path / "state.db", questions=300)
    yield found
    found.connection.close()


@pytest.mark.anyio
async def test_the_scheduler_gives_the_work_by_cost_and_reads_its_state_from_the_database(
    world: World,
) -> None:
    plan = active_plan(world, teachers=("a", "b"), share="by-cost")
    a, b = teacher_of(world, "a"), teacher_of(world, "b")
    asked: Counter[str] = Counter()
    async with claiming(world, [plan], [a, b]) as bench:
        while sum(asked.values()) < 160:
            bench.scheduler.changed.notify()
            await until(lambda: a.queued or b.queued)
            for teacher in (a, b):
                while teacher.queued:
                    asked[teacher.name] += 1
                    bench.answer(teacher.queue.pop(), correct=teacher is b or asked["a"] % 4 == 0)
        live = bench.scheduler._shares._by_plan[plan.id]
    assert asked["b"] > 2 * asked["a"] > 0
    [found] = outcomes_after(world.connection, [(plan.id, 0)])
    again = CostShare(live.teachers)
    again.learn([each for each in found if each.place <= live.place])
    assert again.shares(live.teachers) == live.shares(live.teachers)
    assert len(found) == sum(asked.values()) and len(found) - live.place < 2 * AHEAD
