"""What sampling will take: requests, tokens and dollars of each plan, and minutes of each teacher at its limits.

Prompts are those that the plan would send, costs and their upper bounds are computed as the daemon reserves and books them
(`sampling/cost_bounds.py`, `sampling/budget.py`), needs follow the plan's rule (`sampling/expected_need.py`), and time is that of
the limits themselves (`limits/pacing.py`). Lengths and the share of correct samples are those of stored samples, else assumed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from daemon.catalog.served_runs import ServedRuns
from daemon.catalog.sync import Input
from daemon.cli.expected_runs import Rationales, good_word, rationales_for
from daemon.cli.sampling_estimate import PlanEstimate, SamplingEstimate, TeacherEstimate, TeacherShare
from daemon.limits.key_limits import KeyLimits
from daemon.limits.pacing import RequestKind, paced_seconds
from daemon.sampling.budget import PARTS
from daemon.sampling.cost_bounds import bounds, start
from daemon.sampling.expected_need import expected_need, expected_samples
from daemon.sampling.plans import ActivePlan
from daemon.sampling.token_accounting import price_of
from engine.config import Config, PlanConfig, TeacherConfig
from engine.config.named import expand, teachers_of
from engine.config.panels import models_asked
from engine.config.wordings import expected_questions
from engine.question import Question
from engine.strategies import PLAIN, strategy
from engine.teachers.dialects import dialect
from engine.teachers.messages import Completion, Usage
from engine.teachers.tokens import estimate_prompt, estimate_tokens
from state.budget import Spending, budget_in_force, total_spending
from state.database import open_reader, schema_version
from state.errors import StateMissing
from state.estimates import StoredFigures, response_seconds, stored_figures, stored_plan_id
from state.migrations import VERSION
from state.slots import is_complete, read
from state.sqlite import Connection
from state.wordings import searches

ASSUMED_CORRECT = 0.6
"""The share of correct samples where nothing is known of a task."""
TOKEN_S, FIRST_S = 0.02, 0.5
"""The response time that is assumed of a teacher that was never asked: to the first token, and for each."""
LOOKED_AT = 200
"""Questions of a plan whose prompts are made; the others are taken to be alike."""
NOTHING = Usage(prompt_tokens=0, completion_tokens=0)


@dataclass(frozen=True, slots=True)
class Turns:
    """One sample as a teacher counts it: tokens of each turn."""

    prompts: tuple[float, ...]
    completions: tuple[float, ...]
    most: tuple[int, ...]
    """The token limit of each turn's answer."""


def estimate_sampling(config: Config, given: Input) -> SamplingEstimate:
    """What is left to sample, by the configuration and what its database has.

    Args:
        config: the configuration.
        given: its tasks, with their questions.
    """
    try:
        opened = closing(open_reader(config.database))
    except StateMissing:
        return _Estimator(config, given, None).run()
    with opened as connection:
        known = schema_version(connection) == VERSION
        return _Estimator(config, given, connection if known else None).run()


class _Estimator:
    def __init__(self, config: Config, given: Input, connection: Connection | None) -> None:
        self._config, self._given, self._connection = config, given, connection
        self._covered: dict[tuple[str, str, str], int] = {}  # replicates that an earlier plan asks for
        self._none_correct: dict[tuple[str, str], float] = {}
        self._rationales: dict[str, Rationales] = {}
        self._served = ServedRuns.stored(connection, config) if connection else ServedRuns(config)

    def run(self) -> SamplingEstimate:
        plans = [
            found
            for plan in self._config.plans
            for task in expand(plan.tasks, list(self._config.tasks))
            if (found := self._plan(plan, task)) is not None
        ]
        spent, budget = Spending(), self._config.daemon.budget_usd
        if self._connection is not None:
            spent, budget = total_spending(self._connection), budget_in_force(self._connection, budget)
        return SamplingEstimate(plans, list(self._teachers(plans)), budget, spent.used / 1e6)

    def _plan(self, plan: PlanConfig, task: str) -> PlanEstimate | None:
        """What is left of a plan on a task; None if it is nothing."""
        config, given = self._config, self._given
        questions = [each for each in given.tasks[task].questions or () if each.split == plan.split]
        first = teachers_of(plan, config.teachers)
        names = [*first, *plan.fallback_teachers]
        answer, wording = config.tasks[task].answer, given.wordings.get((plan.name, task), PLAIN)
        fingerprint = self._served.fingerprint(plan, task, given.wordings)(
            models_asked(plan, first, config.teachers)
        )
        stored = self._stored(task, plan, fingerprint)
        rate, said = self._pass_rate(stored, task, questions)
        if not (plan.want or plan.correct_per_task or plan.needs):
            said = said.partition(";")[0]  # whether samples are correct decides nothing
        asked, skipped = len(questions), 0.0
        if plan.needs is not None:
            skipped = 1 - self._none_correct.get((plan.needs, task), 1.0)
        self._none_correct[plan.name, task] = expected_need(plan, rate).none_correct
        key = (task, plan.split, fingerprint)
        covered, self._covered[key] = self._covered.get(key, 0), max(self._covered.get(key, 0), plan.most)
        settled = sum(each.existing - each.open for each in stored.values())
        before = max(settled, asked * covered)
        samples = expected_samples(plan, asked, rate) * (1 - skipped)
        if plan.candidate:  # most wordings are left out after some questions
            samples = expected_questions(asked, plan.candidate)
        expected = max(0.0, samples - before)
        most = max(0, asked * plan.most - before)
        if not most or self._complete(plan, task, fingerprint):
            return None
        active = ActivePlan(
            id=0,
            config=plan,
            task=task,
            task_id=0,
            answer_format=answer,
            recipe=fingerprint,
            teachers=tuple(names[: len(names) - len(plan.fallback_teachers)]),
            wanted=0,
            longest=given.tasks[task].longest[plan.split],
            fallbacks=tuple(plan.fallback_teachers),
            gold=given.tasks[task].golds.get(plan.split, ""),
            wording=wording,
        )
        turns = self._turns(active, questions, self._stand_ins(task, questions))
        groups = {name: _together(plan, config.teachers[name]) for name in names}
        shares = _shares(active.teachers, config)
        found = PlanEstimate(
            plan=plan.name,
            task=task,
            split=plan.split,
            samples=expected,
            most_samples=most,
            most_requests=max(math.ceil(_requests(most, groups[name], turns)) for name in names),
            most_usd=max(
                _most_micros(active, config.teachers[name], questions, groups[name]) for name in names
            )
            * most
            / max(1, asked * plan.most)
            / 1e6,
            basis=said,
        )
        for name, share in shares.items():
            own = stored.get(name)
            found.teachers.append(
                _share(name, config.teachers[name], expected * share, groups[name], turns, own)
            )
        return found

    def _stored(self, task: str, plan: PlanConfig, fingerprint: str) -> dict[str, StoredFigures]:
        if self._connection is None:
            return {}
        return stored_figures(self._connection, task, plan.split, fingerprint, plan.most)

    def _complete(self, plan: PlanConfig, task: str, fingerprint: str) -> bool:
        """Whether the database says that a plan of the same rule needs nothing more."""
        if self._connection is None:
            return False
        row = stored_plan_id(self._connection, plan.name, task, plan.split, fingerprint)
        if row is None:
            return False
        if plan.candidate:
            return any(
                row in each.limits and row not in each.undecided for each in searches(self._connection)
            )
        slots = read(self._connection, row)
        rule = (slots.rationales, slots.base, slots.want, slots.target, slots.questions)
        size = self._given.tasks[task].sizes[plan.split]
        same = rule == (plan.most, plan.base, plan.want, plan.correct_per_task or 0, size)
        return same and not slots.pending and is_complete(self._connection, slots)

    def _stand_ins(self, task: str, questions: Sequence[Question]) -> Rationales:
        if task not in self._rationales:
            self._rationales[task] = rationales_for(self._config, task, questions)
        return self._rationales[task]

    def _pass_rate(
        self, stored: Mapping[str, StoredFigures], task: str, questions: Sequence[Question]
    ) -> tuple[float, str]:
        """The share of correct samples, and where it and the lengths of answers are from."""
        graded = sum(each.correct + each.wrong for each in stored.values())
        if graded:
            rate = sum(each.correct for each in stored.values()) / graded
            return rate, f"{graded:,} stored samples, {100 * rate:.0f} % {good_word(self._config, task)}"
        of_task = self._stand_ins(task, questions)
        if of_task.source.startswith("stored"):
            return of_task.correct, of_task.source
        source = of_task.source.partition(", and all")[0]
        return (
            ASSUMED_CORRECT,
            f"{source}; {100 * ASSUMED_CORRECT:.0f} % {good_word(self._config, task)} is assumed",
        )

    def _turns(self, plan: ActivePlan, questions: Sequence[Question], rationales: Rationales) -> Turns:
        """The turns of a sample, over questions from all parts of the split."""
        step = max(1, len(questions) // LOOKED_AT)
        driven = [
            _drive(plan, question, rationales.texts[place % len(rationales.texts)])
            for place, question in enumerate(questions[::step])
        ]
        longest = max((len(each) for each in driven), default=0)
        prompts, completions, most = [], [], []
        for turn in range(longest):
            here = [each[turn] for each in driven if len(each) > turn]
            prompts.append(sum(each[0] for each in here) / len(driven))
            completions.append(sum(each[1] for each in here) / len(driven))
            most.append(max(each[2] for each in here))
        return Turns(tuple(prompts), tuple(completions), tuple(most))

    def _teachers(self, plans: Sequence[PlanEstimate]) -> Iterator[TeacherEstimate]:
        for name, config in self._config.teachers.items():
            shares = [each for plan in plans for each in plan.teachers if each.teacher == name]
            requests = sum(each.requests for each in shares)
            if not requests:
                continue
            prompt = sum(each.prompt_tokens for each in shares)
            completion = sum(each.completion_tokens for each in shares)
            seconds, note = self._time(
                name, config, requests, prompt, completion, sum(each.held_tokens for each in shares)
            )
            usd = sum(each.usd for each in shares)
            yield TeacherEstimate(name, requests, prompt, completion, usd, seconds, note)

    def _time(
        self,
        name: str,
        config: TeacherConfig,
        requests: float,
        prompt: float,
        completion: float,
        held: float,
    ) -> tuple[float | None, str]:
        """Seconds at the teacher's limits, and what they rest on."""
        if dialect(config.dialect).transport == "batches":
            return None, "batches: each takes up to 24 hours"
        limits = _limits(config)
        if all(each is None for each in limits.values()):
            return None, "no limits are configured: they are found while it runs"
        answer = completion / requests
        latency, note = FIRST_S + TOKEN_S * answer, "response time assumed"
        measured = response_seconds(self._connection, name) if self._connection is not None else None
        if measured is not None:
            latency, note = measured, ""
        elif config.builtin:
            latency, note = config.latency_ms / 1000, ""
        keys = max(1, len(self._given.keys.get(name, ())))
        used = round((prompt + completion) / requests)
        reserved = answer if limits["output_tokens_per_minute"] is not None else held / requests
        kind = RequestKind(
            held=round(prompt / requests + reserved),
            held_output=round(reserved),
            used=used,
            used_output=round(answer),
            latency_s=latency,
        )
        return paced_seconds(KeyLimits(0.0, **limits), kind, math.ceil(requests / keys)), note


def _limits(config: TeacherConfig) -> dict[str, int | None]:
    return {
        "requests_per_minute": config.requests_per_minute,
        "tokens_per_minute": config.tokens_per_minute,
        "input_tokens_per_minute": config.input_tokens_per_minute,
        "output_tokens_per_minute": config.output_tokens_per_minute,
        "concurrency": config.concurrency,
    }


def _drive(plan: ActivePlan, question: Question, rationale: str) -> list[tuple[int, int, int]]:
    """Prompt and completion tokens of each turn of a sample, and the limit of each answer."""
    conversation = start(plan, question.text, question.answer)
    reasons, panel = strategy(plan.config.strategy).writes_rationale, plan.config.seat
    turns: list[tuple[int, int, int]] = []
    while True:
        if conversation.hears is not None:
            other = Completion(text="~ " * (len(rationale) // 2), usage=NOTHING)  # agrees with nobody
            conversation.hear(tuple((member, other) for member in range(panel.members if panel else 0)))
        if (request := conversation.request) is None:
            return turns
        text = rationale if reasons and (panel or not turns) else question.answer
        completion = min(request.max_tokens, estimate_tokens(text) + 1)
        turns.append((estimate_prompt(request), completion, request.max_tokens))
        conversation.answer(Completion(text=text, usage=NOTHING))


def _together(plan: PlanConfig, teacher: TeacherConfig) -> int:
    """Rationales of one request."""
    return plan.per_request if dialect(teacher.dialect).supports_n else 1


def _requests(samples: float, together: int, turns: Turns) -> float:
    """The first turn is shared by `together` samples, the others are not."""
    return samples / together + samples * (len(turns.prompts) - 1)


def _share(
    name: str,
    config: TeacherConfig,
    samples: float,
    together: int,
    turns: Turns,
    stored: StoredFigures | None,
) -> TeacherShare:
    prompt = turns.prompts[0] / together + sum(turns.prompts[1:])
    completion = sum(turns.completions)
    if stored is not None and stored.stored:
        prompt, completion = stored.prompt_tokens, stored.completion_tokens
    price = price_of(config)
    return TeacherShare(
        teacher=name,
        samples=samples,
        requests=_requests(samples, together, turns),
        prompt_tokens=samples * prompt,
        completion_tokens=samples * completion,
        usd=price.parts(round(samples * prompt), round(samples * completion)) / PARTS / 1e6,
        held_tokens=samples * sum(turns.most),
    )


def _most_micros(
    plan: ActivePlan, teacher: TeacherConfig, questions: Sequence[Question], together: int
) -> int:
    """What is reserved for all samples of the plan, if a teacher is asked all of them, in micro-dollars."""
    bound = bounds(plan, price_of(teacher))
    most = plan.config.most
    requests = -(-most // together)
    further = (most - requests) * bound.further + most * bound.rest
    return sum(requests * bound.first(each.text) + further for each in questions)


def _shares(names: Sequence[str], config: Config) -> dict[str, float]:
    """How teachers share a plan's work: by what their limits allow, equally where one has none."""
    speeds = {name: _speed(config.teachers[name]) for name in names}
    if any(math.isinf(each) for each in speeds.values()):
        return dict.fromkeys(names, 1 / len(names))
    return {name: speed / sum(speeds.values()) for name, speed in speeds.items()}


def _speed(teacher: TeacherConfig) -> float:
    """Requests a minute that a key's limits on requests and tokens allow, for comparisons between teachers."""
    assumed = 1_000  # tokens of a request
    limits = (
        teacher.requests_per_minute,
        *(limit / assumed for limit in (teacher.tokens_per_minute,) if limit is not None),
    )
    return min((float(limit) for limit in limits if limit is not None), default=math.inf)
