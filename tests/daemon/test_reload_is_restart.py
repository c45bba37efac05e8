"""What SIGHUP leaves in force is what a restart would, for every field of the configuration.

One daemon has an object for each field: a teacher, plan, task or student that differs from the next configuration in that
field alone. It reloads, and a second daemon starts with the same file. The fields come from the models, so a new one is part
of this, or the test asks for a value.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import anyio
import pytest
from pydantic import BaseModel

from daemon import service as service_module
from daemon.sampling.teacher import Teacher
from daemon.service import Service
from daemon.training.planner import Planner
from engine.config import Config, TeacherConfig
from engine.config.base import Change, Section, default_of, fields_marked
from engine.config.plans import PlanConfig
from engine.config.root import DaemonConfig, StateConfig
from engine.config.students import StudentConfig
from engine.config.tasks import TaskConfig
from engine.teachers.messages import Message, Request
from engine.teachers.spread import SpreadClient
from state.catalog import park_teacher
from state.events import EventRow
from tests.daemon.parts import config_of
from tests.daemon.site import query

Table = dict[str, Any]
Tables = tuple[Table, Table]

REAL = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}
BUILTIN = {"builtin": True, "model": "practice-large"}
BATCHES = {**REAL, "dialect": "openai-batch"}
PAID = {**REAL, "usd_per_million_input": 1000.0, "usd_per_million_output": 1000.0}
"""Nothing is sent to it: no request fits in the budget."""
REQUEST = Request(
    messages=(Message("user", "1 and 1?"),), max_tokens=9, temperature=0.5, seed=1, stop=("Q:",)
)
SAME_TASK = {"source": "builtin:coin_flip", "answer": "yes_no", "train": 3, "dev": 4, "test": 2}
FILE_TASK = {"source": "rows.jsonl", "answer": "number", "dev": 0}

TEACHERS: dict[str, Tables] = {
    "builtin": (REAL, BUILTIN),
    "student": (REAL, {"student": "student-name"}),
    "dialect": (REAL, {**REAL, "dialect": "openai-completions"}),
    "base_url": (REAL, {**REAL, "base_url": "http://127.0.0.1:99/v1"}),
    "base_urls": (
        REAL,
        {"model": "m", "base_urls": ["http://127.0.0.1:9/v1", "http://127.0.0.1:99/v1"]},
    ),
    "model": (REAL, {**REAL, "model": "n"}),
    "api_key_env": (REAL, {**REAL, "api_key_env": "KEY_A"}),
    "api_key_file": (REAL, {**REAL, "api_key_file": "key"}),
    "api_key_envs": (REAL, {**REAL, "api_key_envs": ["KEY_A", "KEY_B"]}),
    "api_key_header": (REAL, {**REAL, "api_key_header": "api-key"}),
    "proxy": (REAL, {**REAL, "proxy": "http://127.0.0.1:3128"}),
    "max_tokens_field": (REAL, {**REAL, "max_tokens_field": "max_completion_tokens"}),
    "headers": (REAL, {**REAL, "headers": {"X-Team": "blue"}}),
    "extra_body": (REAL, {**REAL, "extra_body": {"reasoning_effort": "low"}}),
    "omit": (REAL, {**REAL, "omit": ["seed"]}),
    "replay": ({**BUILTIN, "replay": "one.jsonl"}, {**BUILTIN, "replay": "other.jsonl"}),
    "batch_requests": (BATCHES, {**BATCHES, "batch_requests": 100}),
    "fault": (BUILTIN, {**BUILTIN, "fault": "500=0.1"}),
}
PLANS: dict[str, Table] = {
    "name": {"name": "for-its-other-name"},
    "preset": {"preset": "paper"},
    "tasks": {"tasks": ["task-same", "task-other"]},
    "teachers": {"teachers": ["asked", "other"]},
    "fallback_teachers": {"fallback_teachers": ["other"]},
    "strategy": {"strategy": "zero-shot"},
    "prompts": {"prompts": "mine"},
    "wordings": {"wordings": ["mine"]},
    "exemplars": {"strategy": "few-shot-cot", "exemplars": "shots.jsonl"},
    "needs": {"needs": "plan-first"},
    "rounds": {"strategy": "brainstorm", "teachers": ["asked", "other"], "rounds": 4},
    "peer_characters": {"strategy": "brainstorm", "teachers": ["asked", "other"], "peer_characters": 99},
    "share": {"teachers": ["asked", "other"], "share": "by-cost"},
    "scores": {"strategy": "score", "scores": "plan-prompts", "teachers": ["scorer"], "rationales": 1},
    "stop": {"stop": ["Q:"]},
    "max_rationales": {"max_rationales": 5},
    "max_tokens": {"max_tokens": 99},
}
PROMPTS: dict[str, tuple[str, Table, Table]] = {
    "prompt": ("zero-shot-cot", {"prompt": "{question} Think."}, {"prompt": "{question} Reason."}),
    "answer_prompt": (
        *("zero-shot-cot", {"answer_prompt": "{question} {rationale} So?"}),
        {"answer_prompt": "{question} {rationale} Thus?"},
    ),
    "trigger": ("zero-shot-cot", {"trigger": "Think."}, {"trigger": "Reason."}),
    "exemplar": (
        *("few-shot-cot", {"exemplar": "Q: {question} {rationale} {answer}"}),
        {"exemplar": "{question}: {rationale} {answer}"},
    ),
}
TASKS: dict[str, Tables] = {
    "source": (SAME_TASK, {**SAME_TASK, "source": "builtin:last_letter_concatenation", "answer": "text"}),
    "answer": (FILE_TASK, {**FILE_TASK, "answer": "text"}),
    "options": (SAME_TASK, {**SAME_TASK, "options": {"people_min": 3}}),
    "fields": (FILE_TASK, {**FILE_TASK, "fields": {"question": "{id} {question}"}}),
    "split_by": (FILE_TASK, {**FILE_TASK, "split_by": "template"}),
}
NOT_HERE = {"paper_task", "revision", "splits", "labelled"}
"""Fields of tasks that need a data set of the hub, or students of their own; questions are kept until a restart, as those of the others."""
PRETRAINED = {"base": "./none"}
STUDENTS: dict[str, Table] = {
    "name": {"name": "for-its-other-name"},
    "preset": {"preset": "paper"},
    "base": {"base": "builtin:micro"},
    "method": {"method": "fine-tune"},
    "strategy": {**PRETRAINED, "method": "base", "strategy": "zero-shot"},
    "exemplars": {**PRETRAINED, "method": "base", "strategy": "few-shot-cot", "exemplars": "shots.jsonl"},
    "prompts": {**PRETRAINED, "method": "base", "strategy": "zero-shot-cot", "prompts": "mine"},
    "tasks": {"tasks": ["task-same"]},
    "plans": {"plans": ["plan-first"]},
    "teachers": {"teachers": ["asked"]},
    "train_at": {"train_at": [100]},
    "form": {"form": {"type": "paper"}},
    "guidance": {"method": "socratic", "guidance": "steps"},
    "part": {"method": "socratic", "part": "ask"},
}
"""Keys of a student that has another value in one field; the rest of them is what this value needs."""
WITHIN: dict[str, Table] = {
    "curation.formats": {"formats": {"cot": 1.0, "answer": 0.5}},
    "curation.shots": {"formats": {"cot": 1.0, "shots-cot": 0.5}, "shots": 2},
    "curation.max_pass_rate": {"max_pass_rate": 0.5},
    **{
        f"generation.{name}": {name: value, "student": {"generations": 2}}
        for name, value in {
            **{"rationales": 5, "temperature": 0.5, "hinted": True, "score_by": "scorer", "logprobs": 3}
        }.items()
    },
    "evaluation.server_command": {"server_command": ["serve", "{student}"]},
    "evaluation.server_url": {"server_url": "http://127.0.0.1:9/v1"},
    "training.offload": {"offload": "optimizer"},
    "training.keep_adapter": {"keep_adapter": True, "lora_rank": 4, "student": PRETRAINED},
    "training.tail": {"objective": "distribution", "tail": False},
    "training.prefix_tokens": {"adapter": "prefix", "prefix_tokens": 21, "student": PRETRAINED},
    "training.slurm": {"slurm": {"minutes": 100}},
    "training.select_reward": {"select": "reinforce", "select_reward": "loss"},
    "training.select_floor": {"select": "reinforce", "select_floor": 0.2},
    "training.hostfile": {"hostfile": "hosts"},
    "training.launcher_arguments": {"launcher_arguments": "-p 1"},
    "training.master_address": {"master_address": "127.0.0.1"},
}
DAEMON: Table = {
    "env_file": "keys",
    "devices": ["cpu:0"],
    "http": "127.0.0.1:1",
    "log_file": "",
    "budget_usd": 2e-6,
}


def another(model: type[BaseModel], name: str) -> Any:
    """A valid value of a field that is not its default."""
    now = default_of(model, name)
    kinds: list[Any] = [model.model_fields[name].annotation]
    while kinds:
        kind = kinds.pop()
        if get_origin(kind) in (Union, UnionType):
            kinds += get_args(kind)
        elif get_origin(kind) is Annotated:
            kinds.append(get_args(kind)[0])
        elif get_origin(kind) is Literal:
            return next(value for value in get_args(kind) if value != now)
        elif kind is bool:
            return not now
        elif kind is int:
            return (now or 0) + 1
        elif kind is float:
            return now / 2 if now else 0.5
    raise AssertionError(f"{model.__name__}.{name}: which other value does it have? Give it one in this file")


def teachers() -> dict[str, Tables]:
    tables = dict(TEACHERS)
    for name in TeacherConfig.model_fields:
        if name not in tables:
            of_server = name in fields_marked(TeacherConfig, Change.SERVER)
            base = BUILTIN if of_server else BATCHES if name.startswith("batch_") else REAL
            tables[name] = base, {**base, name: another(TeacherConfig, name)}
    tables |= {"asked": (PAID, PAID), "other": (PAID, PAID), "same": (REAL, REAL)}
    scorer = {**PAID, "dialect": "openai-completions"}
    tables["scorer"] = scorer, scorer
    return tables


def plans() -> tuple[list[Table], list[Table]]:
    same = {"teachers": ["asked"], "tasks": ["task-same"], "rationales": 2}
    first = {"name": "plan-first", **same}
    before, after = [first], [first]
    for name in PlanConfig.model_fields:
        change = PLANS.get(name) or {name: another(PlanConfig, name)}
        before.append(
            {
                "name": f"plan-{name}",
                **same,
                **({**change, "scores": "plan-first"} if name == "scores" else {}),
                **{
                    key: value
                    for key, value in change.items()
                    if key in ("strategy", "teachers") and key != name
                },
            }
        )
        after.append({"name": f"plan-{name}", **same, **change})
    for name, (strategy, _, _) in PROMPTS.items():
        for tables in (before, after):
            tables.append({"name": f"prompts-{name}", **same, "strategy": strategy, "prompts": f"of-{name}"})
    everything = {"name": "over-all-tasks", "teachers": ["asked"], "rationales": 1}
    return [*before, everything], [*after, everything]


def students() -> tuple[list[Table], list[Table]]:
    before, after = [], []
    for name in StudentConfig.model_fields:
        if name in ("curation", "training", "evaluation", "generation"):
            model = StudentConfig.model_fields[name].annotation
            assert isinstance(model, type) and issubclass(model, Section)
            for inner in model.model_fields:
                table = {**WITHIN.get(f"{name}.{inner}", {})} or {inner: another(model, inner)}
                beside = table.pop("student", {})
                before.append({"name": f"{name}-{inner}", **beside})
                after.append({"name": f"{name}-{inner}", **beside, name: table})
        else:
            change = STUDENTS.get(name) or {name: another(StudentConfig, name)}
            before.append({"name": f"student-{name}"})
            after.append({"name": f"student-{name}", **change})
    return before, after


def tasks() -> dict[str, Tables]:
    tables = dict(TASKS)
    for name in TaskConfig.model_fields:
        if name not in tables and name not in NOT_HERE:
            tables[name] = SAME_TASK, {**SAME_TASK, name: another(TaskConfig, name)}
    return {"same": (SAME_TASK, SAME_TASK), "other": (SAME_TASK, SAME_TASK)} | tables


def configurations(folder: Path) -> tuple[Config, Config]:
    """Two that differ in every field, each in an object of its own; the names of objects say the field."""
    found = []
    for at in (0, 1):
        daemon = {
            name: DAEMON.get(name, another(DaemonConfig, name) if name not in DAEMON else None)
            for name in DaemonConfig.model_fields
        }
        found.append(
            config_of(
                folder,
                state={} if at == 0 else {"url": "sqlite:///other.db", "runs": "elsewhere"},
                daemon={"budget_usd": 1e-6} if at == 0 else daemon,
                teachers={name: copy.deepcopy(tables[at]) for name, tables in teachers().items()},
                tasks={f"task-{name}": tables[at] for name, tables in tasks().items()},
                prompts={"mine": {"prompt": "{question} Mine."}}
                | {f"of-{name}": tables[at] for name, (_, *tables) in PROMPTS.items()},
                plans=plans()[at],
                students=students()[at],
            )
        )
    return found[0], found[1]


def inputs(folder: Path) -> None:
    """Files that the configurations name."""
    (folder / "key").write_text("sk-of-the-file")
    (folder / "keys").write_text("KEY_C=sk-of-the-env-file\n")
    for name in ("key", "keys"):
        (folder / name).chmod(0o600)
    for name in ("one", "other"):
        row = {"question": "1 and 1?", "rationale": name, "answer": "2"}
        (folder / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    rows = [
        {"id": n, "question": f"What {'is' if n % 2 else 'makes'} {n} and {n}?", "answer": 2 * n}
        for n in range(9)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shots = [{"question": f"{n}?", "rationale": "So.", "answer": "yes"} for n in range(3)]
    (folder / "shots.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shots))
    (folder / "hosts").write_text("localhost slots=1\n")


def of_client(client: Any) -> Table:
    """What decides where and how a client sends."""
    if isinstance(client, SpreadClient):
        return {"kind": "SpreadClient", "clients": [of_client(each.client) for each in client._addresses]}
    session = client._session
    return {
        "kind": type(client).__name__,
        "request": (client.url(REQUEST), client._compose(REQUEST)),
        "dialect": client.dialect.name,
        "address": str(client._base),
        "key header": client._key_header,
        "headers": sorted(session.headers.items()),
        "proxy": str(session._default_proxy),
        "timeouts": repr(session._timeout),
        "patience": client._patience.silent_s,
        "streams": [getattr(client._streams, name) for name in client._streams.__slots__],
    }


def of_teacher(teacher: Teacher, service: Service) -> Table:
    assert service._reload is not None
    transport: Any = teacher.transport
    link = getattr(transport, "link", None)
    keys = []
    for key in transport.keys:
        rates, cap = key.limits.rates, key.limits.concurrency
        secret = key.key.secret.get_secret_value() if key.key.secret else ""
        limits = [rates.bucket(name).rate for name in ("requests", "tokens", "input", "output")]
        keys.append((key.key.label, secret, limits, cap.configured, key.limits.parked))
    account = service._reload._budget._teachers[teacher.id]
    return {
        "settings": teacher.config.model_dump(),
        "client": of_client(link.client if link else transport.client),
        "batches": (link.size, link.settings.model_dump(), link.config.model_dump()) if link else None,
        "keys": keys,
        "connections": [key.limits.concurrency.maximum for key in transport.keys],
        "price": repr(teacher.tokens.price),
        "budget": (account.cap, account.words),
        "state": (
            teacher.health.parked,
            teacher.health.disabled,
            teacher.groups.one_by_one,
            teacher.health.cooling,
        ),
        "patience": repr(teacher.lateness.timeout_s),
    }


def shown(service: Service, folder: Path) -> dict[str, Any]:
    """What is in force, by object; a former object is not part of it."""
    reload = service._reload
    assert reload is not None
    config, planner, trainer = reload.config, reload._planner, reload._trainer
    found: dict[str, Any] = {}
    for teacher in reload._scheduler.teachers:
        if not teacher.health.disabled:
            found[f"teachers.{teacher.name}"] = of_teacher(teacher, service)
    for plan in reload._scheduler.plans:
        account = reload._budget._plans[plan.id]
        found[f"plans.{plan.config.name} on {plan.task}"] = (
            {
                name: repr(getattr(plan, name))
                for name in (
                    "id",
                    "config",
                    "task_id",
                    "answer_format",
                    "recipe",
                    "teachers",
                    "fallbacks",
                    "wanted",
                    "longest",
                )
            }
            | {
                name: repr(getattr(plan, name))
                for name in ("gold", "wording", "needs", "exhausted", "by_need")
            }
            | {
                "budget": (account.cap, account.words),
                "state": (plan.state.paused, plan.state.held, plan.state.disabled),
            }
        )
    for name, task in config.tasks.items():
        found[f"tasks.{name}"] = task.model_dump(), config.tasks[name] == planner._config.tasks[name]
    for index, student in enumerate(config.students):
        scopes = [repr(scope) for scope in planner.scopes if student.name in repr(scope)]
        same = student == planner._config.students[index] == trainer._config.students[index]
        found[f"students.{student.name}"] = student.model_dump(), scopes, same
    for name in DaemonConfig.model_fields:
        same = getattr(config.daemon, name) == getattr(trainer._config.daemon, name)
        found[f"daemon.{name}"] = getattr(config.daemon, name), same
    found["daemon.budget_usd"] = config.daemon.budget_usd, reload._budget.total.cap
    found["devices"] = repr(trainer._devices)
    for table, key in (("teacher", "name"), ("task", "name"), ("plan", OF_PLAN)):
        for name, *row in query(folder, f"SELECT {key}, t.* FROM {table} t WHERE active = 1"):
            found[f"row {table}.{name}"] = row
    return found


OF_PLAN = "name || '-' || split || recipe || ' on ' || (SELECT name FROM task WHERE id = t.task_id)"


def waits(name: str, said: str) -> bool:
    """Whether an object is what the daemon said takes effect at the next start."""
    if found := re.fullmatch(r"\[daemon\] (\w+)", said):
        return name in (found[1], f"daemon.{found[1]}")
    if found := re.fullmatch(r"teachers\.([^.]+)\.\w+", said):
        return name in (f"teachers.{found[1]}", f"row teacher.{found[1]}")
    if found := re.fullmatch(r"tasks\.(\S+) \(.*\)", said):
        return name in (f"tasks.{found[1]}", f"row task.{found[1]}") or name.endswith(f" on {found[1]}")
    return False


def differences(one: Any, other: Any, place: str = "", *, but: str = "") -> dict[str, tuple[Any, Any]]:
    """The values that differ, by where they are, but for one place."""
    if one == other or (place and place == but):
        return {}
    if isinstance(one, dict) and isinstance(other, dict):
        found = {}
        for key in {*one, *other}:
            found |= differences(one.get(key), other.get(key), f"{place}.{key}", but=but)
        return found
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        found = {}
        for index, pair in enumerate(zip(one, other, strict=True)):
            found |= differences(*pair, f"{place}[{index}]", but=but)
        return found
    return {place: (one, other)}


@contextlib.asynccontextmanager
async def at_work(config: Config, reread: Any, events: list[EventRow]) -> AsyncIterator[Service]:
    """A daemon in this process."""
    service = Service(config, until_idle=False, log=events.append, reread=reread)
    async with anyio.create_task_group() as group:
        group.start_soon(service.run)
        with anyio.fail_after(60):
            while service._reload is None or service._state != "running":  # noqa: ASYNC110 - it tells nobody
                await anyio.sleep(0.01)
        yield service
        service.stop("the test is over", now=True)


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No built-in server, no runs; the signals of this process are put back."""

    async def serve(name: str, settings: Any, folder: Path, *, task_status: Any) -> None:
        task_status.started("http://127.0.0.1:9/builtin")
        await anyio.sleep_forever()

    async def plan_nothing(self: Planner, *, task_status: Any = anyio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        await anyio.sleep_forever()

    monkeypatch.setattr(service_module, "serve_practice", serve)
    monkeypatch.setattr(Planner, "serve", plan_nothing)
    monkeypatch.setenv("KEY_A", "sk-of-the-environment-a")
    monkeypatch.setenv("KEY_B", "sk-of-the-environment-b")
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.anyio
@pytest.mark.usefixtures("no_processes")
async def test_what_a_reload_leaves_in_force_is_what_a_restart_would(tmp_path: Path) -> None:
    inputs(tmp_path)
    old, new = configurations(tmp_path)
    heard: list[EventRow] = []
    async with at_work(old, lambda: new, heard) as service:
        assert service._reload is not None
        for (
            teacher
        ) in service._reload._scheduler.teachers:  # all of them are parked: whose cause may be changed?
            for key in teacher.transport.keys:
                key.limits.parked = "refused"
            teacher.health.park("refused")
            await service._reload._writer.do(park_teacher, (teacher.id, "refused"))
        before = shown(service, tmp_path)
        await service._reload.reload()
        refused = [row.message for row in heard if row.kind == "ConfigRefused"]
        assert not refused
        reloaded = shown(service, tmp_path)
        (later,) = [row.data["what"] for row in heard if row.kind == "RestartNeeded"]
    after_restart = new.model_copy(
        update={
            "state": old.state,
            "daemon": new.daemon.model_copy(
                update={
                    name: getattr(old.daemon, name) for name in fields_marked(DaemonConfig, Change.RESTART)
                }
            ),
        }
    )
    after_restart._folder = tmp_path
    async with at_work(after_restart, lambda: new, heard) as service:
        restarted = shown(service, tmp_path)
    assert set(reloaded) == set(restarted)
    waiting = {name for name in restarted if any(waits(name, said) for said in later)}
    unchanged = {"teachers.same", "row teacher.same"}
    assert {
        name: found
        for name in set(restarted) - waiting - unchanged
        if (found := differences(reloaded[name], restarted[name]))
    } == {}
    # What waits is as it was, and so is the teacher of which nothing changed: nothing says that it would answer now.
    assert {
        name: found
        for name in waiting | unchanged
        if (
            found := differences(before[name], reloaded[name], but=".connections")
        )  # the other keys have theirs
    } == {}
    assert reloaded["teachers.same"]["state"][0] == "refused"
    for model in (StateConfig, DaemonConfig):
        for name in fields_marked(model, Change.RESTART):
            assert any(said.endswith(f" {name}") for said in later), name
    for name in (*fields_marked(TeacherConfig, Change.RESTART, Change.SERVER),):
        assert f"teachers.{name}.{name}" in later
