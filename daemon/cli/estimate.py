"""`coterie estimate`: what a run will take before it is paid for, by plan and teacher."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from daemon.catalog.sync import Input, read_input
from daemon.cli.check_measure import measure_runs
from daemon.cli.expected_sampling import estimate_sampling
from daemon.cli.expected_training import ExpectedTraining, expected_training
from daemon.cli.sampling_estimate import PlanEstimate, SamplingEstimate
from daemon.training.devices import find_devices
from daemon.training.edits import edits_since
from engine.config import Config, load_config
from engine.config.prices import unpriced
from state.safe import safe
from state.views.format import count, counted, duration, money, short
from state.views.tables import table, terminal_width


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument("--json", action="store_true", help="as one JSON object")
    parser.add_argument(
        "--measure",
        action="store_true",
        help="also train a few steps of each run, as `coterie check --measure` does",
    )


def command(arguments: argparse.Namespace) -> int:
    """Prints the estimate; nothing is sent and nothing is stored."""
    config = load_config(arguments.config)
    given = read_input(config)
    sampling, training = estimate_sampling(config, given), expected_training(config, given)
    edits = [edit.text for edit in edits_since(config, given)]
    if arguments.json:
        sys.stdout.write(json.dumps(_json(sampling, training, edits), indent=2) + "\n")
        return 0
    width = terminal_width()
    lines = [*edits, *([""] if edits else [])]
    tables = [*_plans(sampling, width), *_teachers(sampling, width)]
    lines += [*tables, *([""] if tables else []), *totals(config, sampling)]
    lines += ["", *_training(training, width)] if config.students else []
    for line in lines:
        _say(line)
    if arguments.measure and config.students:
        measure_runs(config, given, find_devices(config.daemon.devices), (), _say)
    return 0


def _say(text: str) -> None:
    sys.stdout.write(safe(text) + "\n")


def summary(config: Config, given: Input) -> list[str]:
    """The estimate in a few lines, for `coterie check`."""
    sampling = estimate_sampling(config, given)
    lines = totals(config, sampling)
    return [*lines, "  by plan and teacher: `coterie estimate`"] if sampling.plans else lines


def totals(config: Config, found: SamplingEstimate) -> list[str]:
    """Requests, tokens, dollars and time in all, and whether the budgets suffice."""
    if not found.plans:
        return ["estimate: nothing is left to sample"]
    requests, most = (
        sum(each.requests for each in found.plans),
        sum(each.most_requests for each in found.plans),
    )
    prompt = sum(each.prompt_tokens for each in found.plans)
    completion = sum(each.completion_tokens for each in found.plans)
    at_most = f", at most {count(most)}" if round(requests) < most else ""
    tokens = f"{short(prompt)} prompt and {short(completion)} completion tokens"
    line = f"estimate: about {counted(requests, 'request')}{at_most}; {tokens}; {_dollars(config, found)}; {_time(found)}"
    return [line, *_warnings(config, found)]


def _dollars(config: Config, found: SamplingEstimate) -> str:
    if not sum(each.most_usd for each in found.plans):
        unknown = any(True for _ in unpriced(config))
        return "cost unknown: no prices are configured" if unknown else "no cost: no prices are configured"
    said = f"{money(found.usd, None)} expected, {money(found.most_usd, None)} at most"
    if found.budget_usd is not None:
        left = max(0.0, found.budget_usd - found.used_usd)
        said += f" ({money(left, None)} left of the budget of {money(found.budget_usd, None)})"
    return said


def _time(found: SamplingEstimate) -> str:
    if found.seconds is None:
        waits = [each for each in found.teachers if each.seconds is None]
        return f"time unknown ({waits[0].name}: {waits[0].note})"
    return f"about {duration(found.seconds)} at the limits"


def _warnings(config: Config, found: SamplingEstimate) -> list[str]:
    """Budgets that the expected cost exceeds."""
    said = []
    left = None if found.budget_usd is None else found.budget_usd - found.used_usd
    if left is not None and found.usd > left:
        said.append(
            f"warning: {money(found.usd, None)} are expected and {money(max(0.0, left), None)} of [daemon] budget_usd are left:"
            " sampling stops there"
        )
    for teacher in found.teachers:
        cap = config.teachers[teacher.name].budget_usd
        if cap is not None and teacher.usd > cap:
            said.append(
                f"warning: {money(teacher.usd, None)} are expected from teacher {teacher.name}, more than its budget_usd of {money(cap, None)}"
            )
    caps = {plan.name: plan.budget_usd for plan in config.plans}
    for plan in found.plans:
        cap = caps[plan.plan]
        if cap is not None and plan.usd > cap:
            said.append(
                f"warning: {money(plan.usd, None)} are expected for plan {plan.plan} on {plan.task}, more than its budget_usd of {money(cap, None)}"
            )
    return said


def _plans(found: SamplingEstimate, width: int | None) -> list[str]:
    head = (
        "plan",
        "task",
        "split",
        "teacher",
        "samples",
        "requests",
        "prompt",
        "completion",
        "expected",
        "at most",
        "from",
    )
    body = [row for plan in found.plans for row in _rows(plan)]
    return table(head, body, left=4, width=width, spare=("from", "split", "completion", "prompt"))


def _rows(plan: PlanEstimate) -> list[tuple[str, ...]]:
    """A row for each teacher; what is at most is the plan's, in its first row."""
    rows: list[tuple[str, ...]] = []
    for place, share in enumerate(plan.teachers):
        samples, usd = count(share.samples), ""
        if not place:
            samples += f" ≤ {count(plan.most_samples)}" if round(plan.samples) < plan.most_samples else ""
            usd = money(plan.most_usd, None)
        rows.append(
            (plan.plan, plan.task, plan.split, share.teacher, samples, count(share.requests))
            + (short(round(share.prompt_tokens)), short(round(share.completion_tokens)))
            + (money(share.usd, None), usd, plan.basis)
        )
    return rows


def _teachers(found: SamplingEstimate, width: int | None) -> list[str]:
    head = ("teacher", "requests", "prompt", "completion", "expected", "at its limits", "note")
    body = [
        (
            each.name,
            count(each.requests),
            short(round(each.prompt_tokens)),
            short(round(each.completion_tokens)),
        )
        + (money(each.usd, None), duration(each.seconds), each.note)
        for each in found.teachers
    ]
    return ["", *table(head, body, left=1, width=width, spare=("completion", "prompt"))] if body else []


def _training(found: Sequence[ExpectedTraining], width: int | None) -> list[str]:
    if not found:
        return ["training: nothing is left to train"]
    head = ("student", "task", "runs at", "time", "from")
    body = [
        (each.student, each.scope, ", ".join(each.triggers), duration(each.seconds))
        + (f"as run {each.like.run_id} on {each.like.scope} took" if each.like else "not measured",)
        for each in found
    ]
    known = [each.seconds for each in found if each.seconds is not None]
    unknown = len(found) - len(known)
    lines = table(head, body, left=3, width=width)
    if known:
        lines.append(f"training: about {duration(sum(known))} of training processes")
    if unknown:
        lines.append("`coterie estimate --measure` trains a few steps of each run and says what it will take")
    return lines


def _json(
    sampling: SamplingEstimate, training: Sequence[ExpectedTraining], edits: Sequence[str]
) -> dict[str, object]:
    return {
        "usd": sampling.usd,
        "most_usd": sampling.most_usd,
        "seconds": sampling.seconds,
        "budget_usd": sampling.budget_usd,
        "used_usd": sampling.used_usd,
        "plans": [
            asdict(each)
            | {
                "requests": each.requests,
                "prompt_tokens": each.prompt_tokens,
                "completion_tokens": each.completion_tokens,
                "usd": each.usd,
            }
            for each in sampling.plans
        ],
        "teachers": [asdict(each) for each in sampling.teachers],
        "training": [asdict(each) | {"seconds": each.seconds} for each in training],
        "edits": list(edits),
    }
