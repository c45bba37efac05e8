"""What one seed stands for: tasks, plans, teachers, weather, deaths, and what a user does meanwhile.

Half of the seeds have changes too: edits of the configuration, a database that is put back, a disk that fills.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError

from daemon.catalog.prompt_templates import read_wordings
from daemon.catalog.sync import Input
from engine.config import Config
from engine.config.load import with_panels
from engine.question import Question
from engine.tasks import LoadedTask, TaskSummary
from engine.teachers.endpoint import endpoint
from engine.teachers.keys import TeacherKey
from state.catalog import KnownTask
from tests.simulation.edits import SHARE, Draw, Edit, edit, edited
from tests.simulation.fault_server import FAULTS, Behaviour, FaultPeriod

MOMENTS = ("sent", "arrived", "answered", "commit due", "commit done")


@dataclass(frozen=True)
class Death:
    """How a life of the daemon ends: killed at the n-th of some moments, or stopped after so many seconds."""

    moment: str = ""
    count: int = 0
    seconds: float = 0.0
    drain_s: float = 0.0


@dataclass
class Scenario:
    """All that is drawn from the seed before anything runs."""

    seed: int
    tables: dict[str, Any]
    given: Input
    behaviour: dict[str, Behaviour]
    deaths: list[Death]
    acts: list[tuple[float, str, str]]  # when, what, whom
    disk_s: float  # mean time of a commit
    locked: list[tuple[float, float]]  # another process holds the database: when, how long
    shares: bool  # two plans ask for the same samples
    rng: random.Random = field(repr=False, default_factory=random.Random)
    edits: list[Edit] = field(default_factory=list)
    full: list[tuple[float, float]] = field(default_factory=list)  # the disk: when, how long
    backup_at: float | None = None  # when a copy of the database is made, to be put back at a later start

    def edit(self, made: Edit) -> bool:
        """Edits the configuration's file; whether it would be taken, else it stays as it was."""
        if made.table.startswith("keys."):
            name = made.table.removeprefix("keys.")
            keys = {
                label[0]: TeacherKey(f"{name}-{label[0]}", SecretStr(f"{name}-{label}"))
                for label in made.value
            }
            self.given = replace(self.given, keys={**self.given.keys, name: tuple(keys.values())})
            return True
        tables = edited(self.tables, made)
        try:
            Config.model_validate(tables)
        except ValidationError:
            return False
        self.tables = tables
        return True

    def read(self, config: Config, _: Mapping[str, KnownTask] | None = None) -> Input:
        """The input of a configuration, as `read_input` would read it."""
        return replace(
            self.given,
            wordings=read_wordings(config, self.given.tasks),
            endpoints={name: endpoint(name, teacher, {}) for name, teacher in config.teachers.items()},
        )

    def config(self, folder: Path, *, capped: bool = True) -> Config:
        """The configuration; without its caps once they were raised."""
        tables = dict(self.tables)
        if not capped:
            tables["daemon"] = {}
            tables["plans"] = [
                {k: v for k, v in plan.items() if k != "budget_usd"} for plan in tables["plans"]
            ]
            tables["teachers"] = {
                name: {k: v for k, v in teacher.items() if k != "budget_usd"}
                for name, teacher in tables["teachers"].items()
            }
        config = with_panels(Config.model_validate(tables))
        config._folder = folder
        return config

    @property
    def asks_again(self) -> bool:
        """Whether a person asks given-up samples again once nothing else is left to do."""
        return self.seed % 3 == 0

    @classmethod
    def of(cls, seed: int) -> Scenario:
        """The scenario of a seed."""
        rng = random.Random(seed)
        names = ["ada", "bo"][: rng.choice((1, 1, 2))]
        tasks = ["sums", "more"][: rng.choice((1, 1, 2))]
        questions = {name: rng.randint(3, 30) for name in tasks}
        plans: list[dict[str, Any]] = [
            {
                "name": name,
                "strategy": rng.choice(("zero-shot-cot", "zero-shot-cot-chat")),
                "rationales": rng.randint(1, 3),
                "weight": float(rng.choice((1, 1, 2, 5))),
                "max_tokens": rng.choice((32, 64)) + index,
                "answer_max_tokens": 8,
                "stop_after_correct": rng.choice((0, 0, 0, 1, 2)),
            }
            for index, name in enumerate(["one", "two"][: rng.choice((1, 2, 2))])
        ]
        if seed % 4 == 3:  # with chance of its own, so other seeds stay what they are
            other = random.Random(seed)
            for plan in plans:
                plan.update(
                    per_request=other.choice((1, 2, 3, 4)),
                    rationales=plan["rationales"] + other.choice((1, 2)),
                )
        shares = len(plans) == 2 and rng.random() < 0.2
        if shares:
            plans[1].update(strategy=plans[0]["strategy"], max_tokens=plans[0]["max_tokens"])
        daemon: dict[str, Any] = {}
        work = sum(questions.values()) * sum(plan["rationales"] for plan in plans)
        if rng.random() < 0.3:
            daemon["budget_usd"] = work * rng.uniform(0.3, 3) * 150 / 1e6
        if rng.random() < 0.2:
            plans[0]["budget_usd"] = work * rng.uniform(0.3, 2) * 100 / 1e6
        behaviour = {name: _habits(rng) for name in names}
        for name, each in behaviour.items():
            each.streams = random.Random(f"stream {seed} {name}").random() < 0.4
        _full_or_queueing(random.Random(f"servers {seed}"), behaviour)
        teachers = {name: _teacher(rng, behaviour[name]) for name in names}
        _by_need(random.Random(f"need {seed}"), plans, sum(questions.values()) // len(tasks))
        if seed % 3 == 1 and len(plans) == 2 and not shares:
            plans[1]["needs"] = "one"
        _refusals(random.Random(f"refusals {seed}"), behaviour)
        resumed = _fallback(random.Random(f"fallback {seed}"), plans, teachers, behaviour, work)
        panel = random.Random(f"panel {seed}") if seed % 4 == 1 and seed > 48 else None
        if panel is not None:
            _panel(panel, plans, names, teachers, behaviour)
        made = cls(
            seed=seed,
            tables={
                "daemon": daemon,
                "prompts": {"mine": {"prompt": "{question} Think."}},
                "teachers": teachers,
                "tasks": {name: {"source": f"{name}.jsonl", "answer": "number"} for name in tasks},
                "plans": plans,
            },
            given=Input(
                tasks={name: task_of(name, questions[name]) for name in tasks},
                keys={
                    name: tuple(
                        TeacherKey(f"{name}-{i}", SecretStr(f"{name}-{i}"))
                        for i in range(rng.choice((1, 1, 2)))
                    )
                    for name in names
                }
                | ({} if panel is None else {"cy": (TeacherKey("cy-0", SecretStr("cy-0")),)}),
            ),
            behaviour=behaviour,
            deaths=[_death(rng) for _ in range(rng.choice((0, 1, 2, 3, 5)))],
            acts=sorted(_acts(rng, tasks, names) + resumed),
            disk_s=rng.choice((0.001, 0.005, 0.05, 0.5)),
            locked=[(rng.uniform(0, 60), rng.uniform(1, 40))] if rng.random() < 0.1 else [],
            shares=shares,
            rng=rng,
        )
        _changes(random.Random(f"changes {seed}"), made, work * 100 / 1e6)
        if panel is not None:
            _panel_changes(panel, made, work * 100 / 1e6)
        return made


def _changes(rng: random.Random, made: Scenario, work_usd: float) -> None:
    """What is edited, put back or full, in half of the seeds; some of the deaths then fall into a reload."""
    if rng.random() >= SHARE:
        return
    plans = made.tables["plans"]
    for plan in plans:  # questions that are given up after some wrong rationales
        most = max(plan["rationales"], plan.get("max_rationales") or 0)
        if most > 1 and rng.random() < 0.3 and plan["name"] != "talk":
            plan["stop_after_wrong"] = rng.randint(1, most - 1)
    draw = Draw(rng, made.behaviour, tuple(made.tables["teachers"]), tuple(made.tables["tasks"]), work_usd)
    names = [plan["name"] for plan in plans]
    made.edits = sorted(
        (
            edit(draw, [*names, "added"], rng.uniform(0, 30), signal=rng.random() < 0.6)
            for _ in range(rng.choice((0, 1, 3, 6)))
        ),
        key=lambda each: each.at,
    )
    if rng.random() < 0.3:
        made.full = [(rng.uniform(0, 10), rng.choice((2.0, 30.0, 600.0)))]
    if rng.random() < 0.3:
        made.backup_at = rng.uniform(0, 10)
        made.deaths = made.deaths or [_death(rng)]
    if made.edits and made.edits[0].signal and rng.random() < 0.3:
        made.deaths = [Death(moment="reload", count=rng.randint(1, 6)), *made.deaths]


def _panel(
    rng: random.Random,
    plans: list[dict[str, Any]],
    names: list[str],
    teachers: dict[str, dict[str, Any]],
    behaviour: dict[str, Behaviour],
) -> None:
    """A panel of all teachers and of a further one, which serves no other plan."""
    behaviour["cy"] = _habits(rng)
    behaviour["cy"].own = rng.choice(("", "", "400", "403"))
    teachers["cy"] = _teacher(rng, behaviour["cy"])
    for plan in plans:
        plan["teachers"] = [name for name in names if name not in plan.get("fallback_teachers", ())]
    for each in behaviour.values():
        each.correct = min(each.correct, 0.7)  # they disagree
    plans.append(
        {
            "name": "talk",
            "strategy": "brainstorm",
            "teachers": [*names, "cy"],
            "rounds": rng.choice((1, 2, 3, 4)),
            "rationales": rng.choice((1, 1, 2)),
            "max_tokens": 100,
            "peer_characters": rng.choice((50, 1000)),
            "weight": float(rng.choice((1, 3))),
        }
    )
    if rng.random() < 0.2:
        teachers["cy"]["budget_usd"] = rng.uniform(0.0005, 0.02)
    if rng.random() < 0.2:
        plans[-1]["budget_usd"] = rng.uniform(0.0005, 0.02)


def _panel_changes(rng: random.Random, made: Scenario, work_usd: float) -> None:
    """Edits of the panel, its rules and its members, and a member that is paused or parked for a while."""
    names = [name for name in made.tables["teachers"] if name != "cy"]
    values: dict[str, Any] = {
        "rounds": rng.randint(1, 4),
        "rationales": rng.randint(1, 3),
        "peer_characters": rng.choice((50, 300)),
        "teachers": [*names[: rng.randint(1, len(names))], "cy"],
        "name": "chat",
        "weight": 0.5,
        "max_tokens": 90,
        "budget_usd": work_usd * rng.uniform(0.05, 1.0),
        "removed": None,
    }
    if made.edits or rng.random() < 0.3:
        chosen = [rng.choice(list(values)) for _ in range(rng.choice((0, 1, 2)))]
        made.edits += [
            Edit(rng.uniform(0, 30), rng.random() < 0.6, "plans.talk", field, values[field])
            for field in chosen
        ]
        made.edits.sort(key=lambda each: each.at)
    at = rng.uniform(0, 20)
    if rng.random() < 0.2:
        made.acts = sorted(
            [*made.acts, (at, "pause teacher", "cy"), (at + rng.uniform(1, 100), "resume teacher", "cy")]
        )
    if rng.random() < 0.2:
        period = FaultPeriod(at, at + rng.uniform(1, 30), rng.choice(("401", "402", "quota", "5xx")), 1.0)
        made.behaviour["cy"].fault_periods.insert(0, period)


def _by_need(rng: random.Random, plans: list[dict[str, Any]], questions: int) -> None:
    """Some plans ask again where it is needed, or for so many correct rationales a task."""
    for plan in plans:
        if rng.random() < 0.3:
            plan["max_rationales"] = plan["rationales"] + rng.choice((0, 1, 3, 8))
        if plan.get("per_request", 1) > 1 and rng.random() < 0.5:  # groups that are cut to the need
            plan["stop_after_correct"] = rng.choice((1, 2, 3))
            plan["max_rationales"] = plan["rationales"] + rng.choice((1, 4))
        if rng.random() < 0.2:
            plan["correct_per_task"] = max(1, round(questions * plan["rationales"] * rng.uniform(0.05, 1)))


def _refusals(rng: random.Random, behaviour: dict[str, Behaviour]) -> None:
    """Some teachers refuse some questions for ever, refuse now and then by chance, or answer late with a 504."""
    for each in behaviour.values():
        if rng.random() < 0.2:
            each.own = rng.choice(("400", "403", "429"))
        for fault, share in (("401", 0.01), ("403", 0.05), ("late", 0.01)):
            if rng.random() < 0.1:
                each.fault_periods.append(FaultPeriod(0.0, 1e9, fault, share))


def _fallback(
    rng: random.Random,
    plans: list[dict[str, Any]],
    teachers: dict[str, dict[str, Any]],
    behaviour: dict[str, Behaviour],
    work: int,
) -> list[tuple[float, str, str]]:
    """The second teacher may be there for the case that the first one is parked or out of its budget.

    Returns when a person resumes the first one.
    """
    if len(teachers) < 2 or rng.random() < 0.5:
        return []
    for plan in plans[: rng.choice((1, 2))]:
        plan["fallback_teachers"] = ["bo"]
    if rng.random() < 0.4:
        teachers["ada"]["budget_usd"] = work * rng.uniform(0.1, 1) * 100 / 1e6
    if rng.random() < 0.4:
        return []
    start, length = rng.uniform(0, 5), rng.uniform(1, 20)
    behaviour["ada"].fault_periods.insert(
        0, FaultPeriod(start, start + length, rng.choice(("401", "402", "quota")), 1.0)
    )
    return [(start + length + rng.uniform(-1, 30), "resume teacher", "ada")]


def task_of(name: str, count: int) -> TaskSummary:
    """Sums to work out."""
    questions = tuple(
        Question(
            key=f"{name}-{index}",
            text=f"What is {index} plus {len(name) + index % 7}?",
            answer=str(index + len(name) + index % 7),
            split="train",
        )
        for index in range(count)
    )
    return TaskSummary.of(LoadedTask(questions=questions, digest=f"{name}-{count}"))


def _habits(rng: random.Random) -> Behaviour:
    fault_periods = [
        FaultPeriod(0.0, 1e9, fault, rng.choice((0.005, 0.02, 0.05)))
        for fault in FAULTS
        if fault not in ("401", "quota", "402", "slow", "timeout") and rng.random() < 0.25
    ]
    fault_periods += [
        FaultPeriod(0.0, 1e9, fault, 0.01) for fault in ("slow", "timeout") if rng.random() < 0.15
    ]
    for _ in range(rng.choice((0, 1, 2, 3))):
        start = rng.uniform(0, 60)
        fault = rng.choice(FAULTS)
        length = rng.choice((1.0, 10.0, 60.0, 600.0))
        if fault in ("refused", "dns", "5xx") and rng.random() < 0.3:
            length = (
                7200.0 if start > 50 else 1800.0
            )  # two hours now and then: most of their requests are alike
        fault_periods.insert(0, FaultPeriod(start, start + length, fault, rng.choice((0.3, 0.9, 1.0, 1.0))))
    return Behaviour(
        requests_per_minute=rng.choice((None, 60, 240, 1200)),
        concurrency=rng.choice((None, None, 2, 8, 32)),
        tells=rng.choice(("", "seconds", "ms", "date", "headers")),
        latency_s=rng.choice((0.05, 0.5, 3.0)),
        token_ratio=rng.uniform(0.6, 1.5),
        correct=rng.choice((0.3, 0.7, 0.95)),
        no_usage=rng.choice((0.0, 0.0, 0.1)),
        fault_periods=fault_periods,
    )


def _full_or_queueing(rng: random.Random, behaviour: dict[str, Behaviour]) -> None:
    """Some servers refuse with 503 what is too much at once, and some let it wait."""
    for each in behaviour.values():
        if each.concurrency is not None and rng.random() < 0.5:
            each.full = rng.choice(("busy", "503"))
        elif each.concurrency is None and rng.random() < 0.4:
            each.slots = rng.choice((1, 2, 4, 8))


def _teacher(rng: random.Random, behaviour: Behaviour) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "base_url": "http://teacher.invalid/v1",
        "model": "m",
        "dialect": rng.choice(("openai-chat", "openai-completions")),
        "usd_per_million_input": rng.choice((0.0, 0.5, 2.0)),
        "usd_per_million_output": rng.choice((0.6, 8.0)),
        "max_attempts": rng.choice((2, 4, 8)),
        "timeout_seconds": rng.choice((60.0, 1800.0)),
    }
    limit = behaviour.requests_per_minute
    if limit is not None and rng.random() < 0.6:  # known, or thought to be higher than it is
        settings["requests_per_minute"] = limit * rng.choice((1, 1, 3))
    if rng.random() < 0.4:
        settings["concurrency"] = rng.choice((1, 4, 16))
    return settings


def _death(rng: random.Random) -> Death:
    if rng.random() < 0.25:
        return Death(seconds=rng.choice((0.05, 1.0, 20.0, 200.0)), drain_s=rng.choice((0.0, 0.3, 30.0)))
    return Death(moment=rng.choice(MOMENTS), count=int(rng.choice((3, 20, 100)) * rng.random()) + 1)


def _acts(rng: random.Random, tasks: list[str], names: list[str]) -> list[tuple[float, str, str]]:
    acts = [(rng.uniform(60, 3000), "resume", "") for _ in range(rng.choice((0, 1, 3)))]
    if rng.random() < 0.25:
        at, (kind, whom) = (
            rng.uniform(0, 30),
            rng.choice([*(("task", task) for task in tasks), *(("teacher", name) for name in names)]),
        )
        acts += [(at, f"pause {kind}", whom), (at + rng.uniform(1, 100), f"resume {kind}", whom)]
    return sorted(acts)
