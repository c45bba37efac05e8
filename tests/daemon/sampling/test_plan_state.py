from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from daemon.sampling.plan_state import PlanState


class Plans(RuleBasedStateMachine):
    """Two plans that share samples, against a count of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.plans = [PlanState(), PlanState()]
        self.open = [0, 0]
        self.news = [True, True]
        """Whether verdicts came since a plan was last asked."""

    @rule(which=st.sampled_from((0, 1)), count=st.integers(0, 5))
    def claim(self, which: int, count: int) -> None:
        self.plans[which].claimed(count)
        self.open[which] += count

    @rule(which=st.sampled_from((0, 1)), count=st.integers(0, 5))
    def end(self, which: int, count: int) -> None:
        if count > self.open[which]:
            with pytest.raises(AssertionError):
                self.plans[which].ended(count)
            return
        self.plans[which].ended(count)
        self.open[which] -= count

    @rule(which=st.sampled_from((0, 1)))
    def move(self, which: int) -> None:
        if self.open[which]:
            self.plans[which].moved_to(self.plans[1 - which])
            self.open[which] -= 1
            self.open[1 - which] += 1

    @rule(which=st.sampled_from((0, 1)))
    def ask(self, which: int) -> None:
        self.plans[which].asked()
        self.news[which] = False

    @rule(which=st.sampled_from((0, 1)), exhausted=st.booleans(), waiting=st.booleans(), shared=st.booleans())
    def answer(self, which: int, exhausted: bool, waiting: bool, shared: bool) -> None:
        plan, before = self.plans[which], self.plans[which].shared
        plan.answered(exhausted=exhausted, waiting=waiting, shared=shared)
        assert plan.exhausted == exhausted
        assert plan.shared == (before or (exhausted and shared))
        self.news[which] |= exhausted and plan.shared
        assert plan.waiting == (waiting and not self.news[which])

    @rule(which=st.sampled_from((0, 1)))
    def verdict(self, which: int) -> None:
        waited = self.plans[which].waiting
        assert self.plans[which].verdict_came() == waited
        self.news[which] = True

    @rule(which=st.sampled_from((0, 1)), shared=st.booleans())
    def look(self, which: int, shared: bool) -> None:
        self.plans[which].shared_with_others(shared)

    @rule(which=st.sampled_from((0, 1)), paused=st.booleans(), disabled=st.booleans())
    def hold(self, which: int, paused: bool, disabled: bool) -> None:
        self.plans[which].pause(paused)
        self.plans[which].disable(disabled)
        assert self.plans[which].set_aside == (paused or disabled or bool(self.plans[which].held))

    @rule(which=st.sampled_from((0, 1)), reason=st.sampled_from(("cut", "empty")))
    def fault(self, which: int, reason: str) -> None:
        before = self.plans[which].held
        assert self.plans[which].hold(reason) == (not before)
        assert self.plans[which].held == (before or reason) and self.plans[which].set_aside

    @rule(which=st.sampled_from((0, 1)))
    def resume(self, which: int) -> None:
        before = self.plans[which].held
        assert self.plans[which].release() == bool(before)
        assert self.plans[which].held == ""

    @rule(which=st.sampled_from((0, 1)), exhausted=st.booleans(), shared=st.booleans(), paused=st.booleans())
    def renew(self, which: int, exhausted: bool, shared: bool, paused: bool) -> None:
        plan, told = self.plans[which], self.plans[which].completed
        plan.renewed(PlanState(exhausted=exhausted, shared=shared, paused=paused))
        self.news[which] = True
        assert (plan.exhausted, plan.shared, plan.paused, plan.disabled) == (exhausted, shared, paused, False)
        assert plan.completed == (told and plan.done), "what has work again is reported again"

    @rule(which=st.sampled_from((0, 1)))
    def report(self, which: int) -> None:
        if self.plans[which].done:
            self.plans[which].complete()

    @invariant()
    def counts_are_kept(self) -> None:
        assert [plan.open for plan in self.plans] == self.open

    @invariant()
    def a_plan_that_waits_was_asked_after_the_last_verdict(self) -> None:
        for plan, news in zip(self.plans, self.news, strict=True):
            assert plan.unsettled == news
            assert not (plan.waiting and plan.unsettled)

    @invariant()
    def done_is_what_it_says(self) -> None:
        for plan in self.plans:
            assert plan.done == (plan.exhausted and plan.open == 0 and not plan.shared)
            assert plan.to_look_at == (plan.unsettled and plan.open == 0)


TestPlans = Plans.TestCase


@given(st.booleans(), st.booleans(), st.booleans())
def test_a_plan_that_is_done_at_a_start_was_reported_before(
    exhausted: bool, shared: bool, open_: bool
) -> None:
    state = PlanState(exhausted=exhausted, shared=shared)
    state.claimed(int(open_))
    state.completed_before()
    assert state.completed == state.done == (exhausted and not shared and not open_)


def test_a_last_claim_with_samples_in_another_plans_hand_is_looked_at_again() -> None:
    state = PlanState()
    state.asked()
    state.answered(exhausted=True, waiting=False, shared=True)
    assert state.to_look_at and not state.done
    state.asked()
    state.shared_with_others(False)
    assert state.done
