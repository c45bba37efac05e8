"""Searches over a teacher's wording at work: lets the wordings that are left go on when a round has ended."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from daemon import events
from daemon.events import Bus
from daemon.sampling.plans import ActivePlan
from state.views.wordings import result_words
from state.wordings import go_on
from state.writer import Writer


class WordingSearches:
    """The plans that try wordings. Keeps nothing: what a round has decided follows from the stored samples."""

    def __init__(self, writer: Writer, bus: Bus) -> None:
        self._writer = writer
        self._bus = bus

    async def look(self, plans: Sequence[ActivePlan]) -> bool:
        """Begins the next round of each search whose plans have all been answered; whether one began."""
        groups: dict[tuple[str, str], list[ActivePlan]] = defaultdict(list)
        for plan in plans:
            if plan.undecided and not plan.state.disabled and plan.config.candidate:
                groups[plan.config.candidate.of, plan.task].append(plan)
        began = False
        for (of, task), own in groups.items():
            if all(plan.state.done for plan in own):
                every = [
                    plan
                    for plan in plans
                    if plan.config.candidate and (plan.config.candidate.of, plan.task) == (of, task)
                ]
                began |= await self._go_on(of, task, every)
        return began

    async def _go_on(self, of: str, task: str, plans: Sequence[ActivePlan]) -> bool:
        search = await self._writer.do(go_on, [plan.id for plan in plans if not plan.state.disabled])
        if search is None:
            return False
        began = False
        for plan in plans:
            plan.undecided = plan.id in search.undecided
            if search.limits.get(plan.id, 0) > plan.wanted:
                plan.wanted = search.limits[plan.id]
                plan.state.reopened(exhausted=False, shared=False)
                began = True
        if search.decided:
            self._bus.emit(events.WordingsCompared(of=of, task=task, result=result_words(search)))
        return began
