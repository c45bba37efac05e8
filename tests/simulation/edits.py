"""What a user changes in the configuration while the daemon samples, or before it is started again.

An edit gives one field of a teacher, a plan or the daemon another value, or adds, removes or renames a plan. Those that
make a configuration that is refused leave the old one in force.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.config import PlanConfig, TeacherConfig
from tests.simulation.fault_server import Behaviour

Tables = dict[str, Any]

SHARE = 0.5
"""Of the seeds, in which something is edited, put back or full."""
NEITHER = {
    # of the built-in teacher and of batches, which are not simulated
    *("builtin", "step_error_rate", "errors", "replay", "latency_ms", "fault"),
    *("batch_discount", "batch_requests", "batch_wait_seconds", "batch_poll_seconds"),
    # of files and of the environment; keys are edited as "keys"
    *("api_key_env", "api_key_envs", "api_key_file", "exemplars", "split"),
    "preset",  # stands for other settings
    *("base_urls", "student", "scores"),  # of several addresses, and of servers of students
    "wordings",  # of tasks with dev questions
    *("rounds", "peer_characters"),  # of panels, which `Scenario` edits in its own seeds
}
"""Fields that no edit changes here: `tests/daemon/test_reload_is_restart.py` changes each."""


@dataclass(frozen=True)
class Edit:
    """One change: of `teachers.ada`, `plans.one`, `daemon` or `keys.ada`; `value` None removes the key."""

    at: float
    signal: bool
    """Whether the daemon is told by SIGHUP at that time; else it is found at the next start."""
    table: str
    field: str
    value: Any

    @property
    def what(self) -> str:
        """The field, as the figures count it."""
        return f"{self.table.split('.')[0]}.{self.field}"


@dataclass(frozen=True)
class Draw:
    """What values may depend on."""

    rng: random.Random
    behaviour: Mapping[str, Behaviour]
    teachers: tuple[str, ...]
    tasks: tuple[str, ...]
    work_usd: float
    """About what all of the work costs."""


OfTeacher = Callable[[Draw, str], Any]

TEACHER: dict[str, OfTeacher] = {
    "dialect": lambda d, _: d.rng.choice(("openai-chat", "openai-completions")),
    "base_url": lambda d, _: f"http://teacher.invalid/v{d.rng.randint(1, 3)}",
    "model": lambda d, _: d.rng.choice(("m", "m", "other")),
    "api_key_header": lambda d, _: d.rng.choice(("", "x-api-key")),
    "proxy": lambda d, _: d.rng.choice(("", "http://proxy.invalid:3128")),
    "concurrency": lambda d, _: d.rng.choice((None, 1, 4, 16)),
    "requests_per_minute": lambda d, name: _limit(d, name),
    "tokens_per_minute": lambda d, _: d.rng.choice((None, 20_000, 500_000)),
    "input_tokens_per_minute": lambda d, _: d.rng.choice((None, 20_000, 500_000)),
    "output_tokens_per_minute": lambda d, _: d.rng.choice((None, 20_000, 500_000)),
    "usd_per_million_input": lambda d, _: d.rng.choice((0.0, 0.5, 2.0, 9.0)),
    "usd_per_million_output": lambda d, _: d.rng.choice((0.6, 2.0, 8.0, 30.0)),
    "usd_per_million_cached": lambda d, _: d.rng.choice((None, 0.1)),
    "usd_per_million_cache_write": lambda d, _: d.rng.choice((None, 3.0)),
    "usd_per_million_reasoning": lambda d, _: d.rng.choice((None, 5.0)),
    "budget_usd": lambda d, _: d.rng.choice((None, d.work_usd * d.rng.uniform(0.05, 1.5))),
    "parameters_billion": lambda d, _: d.rng.choice((None, 7.0)),
    "training_allowed": lambda d, _: d.rng.choice((True, False)),
    "max_attempts": lambda d, _: d.rng.choice((2, 4, 8)),
    "timeout_seconds": lambda d, _: d.rng.choice((60.0, 1800.0)),
    "stream": lambda d, _: d.rng.choice(("auto", True, False)),
    "max_tokens_field": lambda d, _: d.rng.choice(("", "max_completion_tokens")),
    "headers": lambda d, _: d.rng.choice(({}, {"X-Title": "study"})),
    "extra_body": lambda d, _: d.rng.choice(({}, {"top_k": d.rng.randint(1, 3)})),
    "omit": lambda d, _: d.rng.choice(([], ["temperature"])),
}
PLAN: dict[str, Callable[[Draw], Any]] = {
    "name": lambda d: d.rng.choice(("uno", "one", "third")),
    "tasks": lambda d: d.rng.sample(d.tasks, d.rng.randint(1, len(d.tasks))),
    "teachers": lambda d: d.rng.sample(d.teachers, d.rng.randint(1, len(d.teachers))),
    "fallback_teachers": lambda d: d.rng.choice(([], list(d.teachers[1:]))),
    "strategy": lambda d: d.rng.choice(("zero-shot-cot", "zero-shot-cot-chat", "zero-shot")),
    "prompts": lambda d: d.rng.choice((None, "mine")),
    "needs": lambda d: d.rng.choice((None, "one")),
    "rationales": lambda d: d.rng.randint(1, 5),
    "per_request": lambda d: d.rng.randint(1, 4),
    "temperature": lambda d: d.rng.choice((0.0, 0.7, 1.0)),
    "top_p": lambda d: d.rng.choice((None, 0.9)),
    "seed": lambda d: d.rng.choice((None, 7)),
    "stop": lambda d: d.rng.choice(([], ["\nQ:"])),
    "logprobs": lambda d: d.rng.choice((0, 2)),
    "max_tokens": lambda d: d.rng.choice((32, 48, 64)),
    "answer_max_tokens": lambda d: d.rng.choice((8, 12)),
    "stop_after_correct": lambda d: d.rng.choice((0, 1, 2)),
    "stop_after_wrong": lambda d: d.rng.choice((0, 1, 2)),
    "max_rationales": lambda d: d.rng.choice((None, 4, 8)),
    "correct_per_task": lambda d: d.rng.choice((None, d.rng.randint(1, 20))),
    "weight": lambda d: d.rng.choice((0.5, 1.0, 4.0)),
    "budget_usd": lambda d: d.rng.choice((None, d.work_usd * d.rng.uniform(0.05, 1.0))),
}
LABELS = ("0", "1", "2", "0, rotated")
EDITED = tuple(
    [f"teachers.{name}" for name in TeacherConfig.model_fields if name not in NEITHER]
    + [f"plans.{name}" for name in PlanConfig.model_fields if name not in NEITHER]
    + ["daemon.budget_usd", "keys.labels", "plans.added", "plans.removed"]
)
"""Everything that is edited somewhere in a campaign."""


def edit(draw: Draw, plans: list[str], at: float, *, signal: bool) -> Edit:
    """Another value of a field, each as often as any other."""
    section, field = draw.rng.choice(EDITED).split(".")
    match section:
        case "teachers":
            name = draw.rng.choice(draw.teachers)
            return Edit(at, signal, f"teachers.{name}", field, TEACHER[field](draw, name))
        case "keys":
            labels = draw.rng.sample(LABELS, draw.rng.randint(1, 2))
            return Edit(at, signal, f"keys.{draw.rng.choice(draw.teachers)}", field, sorted(labels))
        case "daemon":
            cap = draw.work_usd * draw.rng.uniform(0.1, 3)
            return Edit(at, signal, "daemon", field, draw.rng.choice((None, cap)))
    name = draw.rng.choice(plans)
    if field in PLAN:
        return Edit(at, signal, f"plans.{name}", field, PLAN[field](draw))
    plan = {"name": "added", "rationales": draw.rng.randint(1, 2), "max_tokens": 40, "answer_max_tokens": 8}
    return Edit(at, signal, f"plans.{name}", field, plan if field == "added" else None)


def edited(tables: Tables, made: Edit) -> Tables:
    """The tables after an edit; the same ones where there is nothing of the name any more."""
    tables = copy.deepcopy(tables)
    section, _, name = made.table.partition(".")
    if section == "daemon":
        _put(tables["daemon"], made)
    elif section == "teachers":
        _put(tables["teachers"].get(name, {}), made)
    elif made.field == "added":
        tables["plans"] = [*(plan for plan in tables["plans"] if plan["name"] != "added"), made.value]
    elif made.field == "removed":
        tables["plans"] = [plan for plan in tables["plans"] if plan["name"] != name]
    else:
        for plan in tables["plans"]:
            if plan["name"] == name:
                _put(plan, made)
                break
    return tables


def _put(table: Tables, made: Edit) -> None:
    table.pop(made.field, None)
    if made.value is not None:
        table[made.field] = made.value


def _limit(draw: Draw, name: str) -> int | None:
    known = draw.behaviour[name].requests_per_minute
    return draw.rng.choice((None, 600)) if known is None else known * draw.rng.choice((1, 1, 3))
