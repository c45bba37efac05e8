"""The whole of `config.toml`, and what must fit together in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from engine.config.base import NAME_PATTERN, Change, Money, Section, default_of, fields_marked
from engine.config.derivation import wrong_derived
from engine.config.experiment import ExperimentConfig
from engine.config.faults import quoted
from engine.config.generation_items import names_made
from engine.config.lineage import wrong_sources
from engine.config.notify import NotifyConfig
from engine.config.panels import is_panel, member_name, wrong_panel
from engine.config.plans import PlanConfig
from engine.config.prompts import PUBLISHED, PromptsConfig
from engine.config.requests import wrong_requests
from engine.config.students import StudentConfig
from engine.config.tasks import TaskConfig
from engine.config.teachers import TeacherConfig, listed
from engine.config.unlabelled import wrong_unlabelled
from engine.strategies import STRATEGIES
from engine.students.objectives import OBJECTIVES
from engine.students.operations import OPERATIONS, DerivedOf
from engine.teachers.dialects import dialect

Names = Annotated[str, Field(pattern=NAME_PATTERN)]


class StateConfig(Section):
    """`[state]`: where things are remembered."""

    url: Annotated[str, Field(pattern=r"^sqlite:///.+"), Change.RESTART] = "sqlite:///state.db"
    """The database, `sqlite:///PATH`; a relative path is relative to the configuration file."""

    runs: Annotated[str, Change.RESTART] = "runs"
    """The folder of the run directories, one a run: checkpoints, log, student."""


class DaemonConfig(Section):
    """`[daemon]`: budget and life cycle."""

    budget_usd: Money | None = None
    """Hard cap in dollars over all teachers and all starts; reserved when a request is claimed, so never exceeded. Unset: no cap."""

    drain_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long a stopping daemon waits for answers in flight, and for running students to write a checkpoint."""

    usd_per_device_hour: Annotated[float | None, Field(ge=0)] = None
    """What an hour of a training device costs in dollars, for the costs of students in the report, and for answers of students that are teachers, which then count against budgets. Unset: device time is left out of them."""

    http: Annotated[str, Change.RESTART] = ""
    """`HOST:PORT`, such as `127.0.0.1:9187`, serves `/healthz` and Prometheus `/metrics`, without a password; empty: off."""

    traces: Annotated[bool, Change.RESTART] = False
    """Send the way of each sample (claim, attempts, requests, records) as OpenTelemetry spans to an OTLP receiver, set by OpenTelemetry's own variables such as `OTEL_EXPORTER_OTLP_ENDPOINT` (`pip install '.[traces]'`)."""

    shared_limits: Annotated[bool | str, Change.RESTART] = True
    """Daemons of one user on this machine that use the same key, server and model keep its limits together, by small files in a folder: true for one in the user's home folder, a path for another one, false to let each use all of them. The key itself is not in them."""

    devices: Annotated[list[str], Change.RESTART] = Field(default_factory=lambda: ["auto"], min_length=1)
    """Training devices, one run at a time each: `auto` (every GPU, else two halves of the CPU), or names such as `cuda:0`, `cpu:0`. With `auto`, runs share all CPU threads: one alone uses all of them, as far as its model is large enough (a thread for each million weights), and gives half of them away when another starts. Named devices have equal, fixed parts of the CPU."""

    max_run_tries: Annotated[int, Field(ge=1)] = 3
    """How many tries in a row without a new checkpoint a run has before it counts as failed. A try that made one begins the count again."""

    orphan_hours: Annotated[float | None, Field(ge=0.1)] = None
    """A run goes on training while no daemon runs. After this many hours without one, it ends with a checkpoint, and the next daemon resumes it. Unset: it never does. A run whose database was deleted ends within minutes in any case."""

    env_file: str = ""
    """File of `NAME=VALUE` lines, as systemd's `EnvironmentFile`, for `api_key_env` and `api_key_envs`; a name in it goes before the environment's. Read at a start and on SIGHUP, so its keys can change while the daemon runs; refused when others can read it (`chmod 600`). Empty: none."""

    log_file: Annotated[str, Change.RESTART] = "logs/daemon.jsonl"
    """Structured log, one JSON object a line; empty: none."""

    @field_validator("http")
    @classmethod
    def _address(cls, value: str) -> str:
        host, _, port = value.rpartition(":")
        good = bool(host) and port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535
        if value and not good:
            raise ValueError("expected HOST:PORT with a port from 1 to 65535, such as 127.0.0.1:9187")
        return value

    @field_validator("devices")
    @classmethod
    def _devices(cls, value: list[str]) -> list[str]:
        for name in value:
            if not (re.fullmatch(r"(cpu|cuda):\d{1,4}", name) or value == ["auto"]):
                raise ValueError(
                    f'{quoted(name)} is not a device; expected ["auto"], or names such as "cuda:0" and "cpu:0"'
                )
            if value.count(name) > 1:
                raise ValueError(f"{quoted(name)} is listed twice")
        return value


class TuiConfig(Section):
    """`[tui]`: the monitor."""

    theme: str = "dark"
    """`dark`, `light`, `contrast` or `light-contrast`; or a theme of Textual, such as `nord`, which then gives only the background."""

    ascii: bool = False
    """Draws with ASCII characters alone. Always so where the terminal's encoding is not UTF-8, and on a console (`TERM=linux`)."""

    keys: dict[str, str] = Field(default_factory=dict)
    """Other keys: id of a binding (`?` in the monitor shows them) to key."""


class Config(Section):
    """Everything you can configure."""

    state: StateConfig = Field(default_factory=StateConfig)
    daemon: DaemonConfig = Field(default_factory=DaemonConfig)
    notify: NotifyConfig = Field(default_factory=NotifyConfig)
    teachers: dict[Names, TeacherConfig] = Field(default_factory=dict)
    tasks: dict[Names, TaskConfig] = Field(default_factory=dict)
    prompts: dict[Names, PromptsConfig] = Field(default_factory=dict)
    plans: list[PlanConfig] = Field(default_factory=list)
    students: list[StudentConfig] = Field(default_factory=list)
    derived: list[DerivedOf] = Field(default_factory=list)
    experiment: ExperimentConfig | None = None
    tui: TuiConfig = Field(default_factory=TuiConfig)

    _folder: Path = PrivateAttr(default_factory=Path)

    @property
    def folder(self) -> Path:
        """Where the file is; relative paths start there."""
        return self._folder

    @property
    def database(self) -> Path:
        """The state database's file."""
        return (self.folder / self.state.url.removeprefix("sqlite:///")).resolve()

    @property
    def runs(self) -> Path:
        """The folder of the run directories, one a run: checkpoints, log, student."""
        return (self.folder / self.state.runs).resolve()

    @model_validator(mode="after")
    def _references(self) -> Self:
        if found := wrong_references(
            self.model_dump(
                include={"teachers", "tasks", "prompts", "plans", "students", "derived", "experiment"}
            )
        ):
            raise ValidationError.from_exception_data(
                "Config",
                [
                    InitErrorDetails(
                        type=PydanticCustomError("reference", "{text}", {"text": text}), loc=place, input=None
                    )
                    for place, text in found
                ],
            )
        return self


def wrong_references(data: Mapping[str, Any]) -> list[tuple[tuple[int | str, ...], str]]:
    """Names used twice, names of nothing, and plans that their teachers cannot serve, as (path, message).

    `data` is a configuration as plain values; what does not fit the models is passed over.
    """
    found: list[tuple[tuple[int | str, ...], str]] = []
    known = {kind: list(_table(data.get(kind))) for kind in ("tasks", "teachers")}
    known["plans"] = [item["name"] for _, item in _items(data.get("plans"))]
    members = _members(data)
    known["plans"] += members
    for _, item in _items(data.get("students")):
        plans, teachers = names_made(item)
        known["plans"] += plans
        known["teachers"] += teachers
    experiment = _table(data.get("experiment"))
    for what in ("tasks", "teachers"):
        found += _unknown(("experiment", what), experiment.get(what), what, known[what])
    for kind in ("plans", "students"):
        first: dict[str, int] = {}
        for index, item in _items(data.get(kind)):
            if first.setdefault(item["name"], index) != index:
                found.append(((kind, index, "name"), f"the name {quoted(item['name'])} is used twice"))
            elif kind == "plans" and item["name"] in members:
                text = f"{quoted(item['name'])} is the name of a member's plan of a panel: use another"
                found.append(((kind, index, "name"), text))
            for what, key in _references_of(kind):
                if key not in item:
                    continue
                found += _unknown((kind, index, key), item[key], what, known[what])
    trained = [item["name"] for _, item in _items(data.get("students"))]
    for index, item in _items(data.get("derived")):
        if item["name"] in trained:
            found.append((("derived", index, "name"), f"the name {quoted(item['name'])} is used twice"))
        trained.append(item["name"])
    return [
        *found,
        *wrong_plans(data),
        *_wrong_students(data),
        *_wrong_lineage(data),
        *wrong_unlabelled(data),
    ]


def _members(data: Mapping[str, Any]) -> list[str]:
    """The names of the plans that panels become."""
    teachers = _table(data.get("teachers"))
    return [
        member_name(plan["name"], name)
        for _, plan in _items(data.get("plans"))
        if is_panel(plan)
        for name in _asked(plan, teachers)[0]
    ]


def _asked(plan: Mapping[str, Any], teachers: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The teachers of a plan, and its fallbacks."""
    own, fallbacks = _names(plan.get("teachers", ["*"])), _names(plan.get("fallback_teachers", []))
    return _served(own, fallbacks, _by_star(teachers, own))[0], expand(fallbacks, list(teachers))


def _wrong_lineage(data: Mapping[str, Any]) -> list[tuple[tuple[int | str, ...], str]]:
    """Students that come from none, or from themselves. With an experiment or generations, only all students together tell."""
    unrolled = any(item.get("generations") for _, item in _items(data.get("students")))
    if unrolled or data.get("experiment") is not None:
        return []
    place = {item["name"]: ("students", index) for index, item in _items(data.get("students"))}
    place |= {item["name"]: ("derived", index) for index, item in _items(data.get("derived"))}
    students = [item for _, item in _items(data.get("students"))]
    derived = [item for _, item in _items(data.get("derived"))]
    wrong = wrong_students(students, derived, list(_table(data.get("tasks"))))
    return [((*place[name], key), text) for name, key, text in wrong]


def wrong_students(
    students: Sequence[Mapping[str, Any]], derived: Sequence[Mapping[str, Any]], tasks: Sequence[str]
) -> list[tuple[str, str, str]]:
    """Students that cannot come from what they name: name, key and message."""
    found = [
        (name, "base", text)
        for name, text in wrong_sources(students, tasks, [each["name"] for each in derived])
    ]
    try:
        trained = [StudentConfig.model_validate(each).model_dump(mode="json") for each in students]
        made = [OPERATIONS[each["make"]].settings.model_validate(each) for each in derived]
    except (ValidationError, KeyError):  # said elsewhere
        return found
    return found or wrong_derived(trained, made, tasks)


def _wrong_students(data: Mapping[str, Any]) -> list[tuple[tuple[int | str, ...], str]]:
    """Prompts of none or of another strategy, of students that are not trained; objectives without what they need."""
    found: list[tuple[tuple[int | str, ...], str]] = []
    prompts = _table(data.get("prompts"))
    for index, student in _items(data.get("students")):
        if why := _no_distributions(student, data):
            found.append((("students", index, "training", "objective"), why))
        named, place = student.get("prompts"), ("students", index, "prompts")
        if not isinstance(named, str):
            continue
        if named in prompts:
            if misfit := _misfit(prompts[named], student.get("strategy")):
                found.append((place, f"[prompts.{named}] does not fit: {misfit}"))
        elif named != PUBLISHED:
            have = ", ".join(sorted(prompts)) or "none"
            found.append((place, f"unknown prompts {quoted(named)} (known: {have})"))
    return found


def _no_distributions(student: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Why a student cannot learn distributions: no plan that it reads has any. Plans of an experiment are not known here."""
    objective = OBJECTIVES.get(str(_table(student.get("training")).get("objective")))
    plans = {item["name"]: item for _, item in _items(data.get("plans")) if item.get("split") != "test"}
    if objective is None or not objective.reads_distributions or data.get("experiment") is not None:
        return ""
    read = expand(_names(student.get("plans", ["*"])), list(plans))
    if not read or any(plans[name].get("logprobs") for name in read):
        return ""
    return (
        f'"{objective.name}" needs the log-probabilities of a teacher, and no plan that this student reads asks for them: set'
        f' logprobs = 5 in the plan {read[0]}, or objective = "tokens"'
    )


def _references_of(kind: str) -> list[tuple[str, str]]:
    """What the items of an array of tables name, and in which of their keys."""
    if kind == "plans":
        return [("tasks", "tasks"), ("teachers", "teachers"), ("teachers", "fallback_teachers")]
    return [("tasks", "tasks"), ("teachers", "teachers"), ("plans", "plans")]


def wrong_plans(data: Mapping[str, Any]) -> list[tuple[tuple[int | str, ...], str]]:
    """Prompts of none or of another strategy; needs that are no earlier plan; what a plan's teachers cannot be asked."""
    found: list[tuple[tuple[int | str, ...], str]] = []
    prompts = _table(data.get("prompts"))
    teachers = _table(data.get("teachers"))
    tasks = list(_table(data.get("tasks")))
    earlier: dict[str, dict[str, Any]] = {}
    for index, plan in _items(data.get("plans")):
        named = plan.get("prompts")
        if isinstance(named, str):
            if named not in prompts and named != PUBLISHED:
                have = ", ".join(sorted(prompts)) or "none"
                text = f"unknown prompts {quoted(named)} (known: {have})"
                found.append((("plans", index, "prompts"), text))
            elif named in prompts and (
                misfit := _misfit(
                    prompts[named], plan.get("strategy", PlanConfig.model_fields["strategy"].default)
                )
            ):
                found.append((("plans", index, "prompts"), f"[prompts.{named}] does not fit: {misfit}"))
        for key in ("needs", "scores"):
            if isinstance(needs := plan.get(key), str):
                found += [(("plans", index, key), text) for text in _wrong_needs(plan, needs, earlier, tasks)]
        earlier[plan["name"]] = plan
        own, fallbacks = _asked(plan, teachers)
        asked = {name: teachers[name] for name in (*own, *fallbacks) if isinstance(teachers[name], Mapping)}
        wrong = [*wrong_requests(plan, asked), *(wrong_panel(plan, asked) if is_panel(plan) else ())]
        found += [(("plans", index, key), text) for key, text in wrong]
    return found


def _misfit(prompts: object, strategy: object) -> str | None:
    try:
        return PromptsConfig.model_validate(prompts).misfit(str(strategy))
    except (ValidationError, KeyError):  # said elsewhere
        return None


def _wrong_needs(
    plan: dict[str, Any], needs: str, earlier: Mapping[str, dict[str, Any]], tasks: list[str]
) -> list[str]:
    if needs not in earlier:
        have = ", ".join(earlier) or "none"
        return [f"expected a plan defined earlier (known: {have}), got {quoted(needs)}"]
    other = earlier[needs]
    if is_panel(other):
        return [f"{quoted(needs)} is a panel, whose teachers are plans of their own: name another plan"]
    if other.get("split", "train") != plan.get("split", "train"):
        return [f"the plan {quoted(needs)} is of another split"]
    own, theirs = (each.get("tasks", ["*"]) for each in (plan, other))
    if not (isinstance(own, list) and isinstance(theirs, list)):
        return []
    missing = [name for name in expand(own, tasks) if name not in expand(theirs, tasks)]
    return [f"the plan {quoted(needs)} does not sample the task {missing[0]}"] if missing else []


def _unknown(
    place: tuple[int | str, ...], given: object, what: str, names: list[str]
) -> list[tuple[tuple[int | str, ...], str]]:
    have = ", ".join(sorted(names)) or "none"
    return [
        ((*place, position), f"unknown {what[:-1]} {quoted(name)} (known: {have})")
        for position, name in enumerate(given if isinstance(given, list) else [])
        if isinstance(name, str)
        and name not in names
        and (name != "*" or place == ("experiment", "teachers"))
    ]


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _names(value: object) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _items(value: object) -> list[tuple[int, dict[str, Any]]]:
    """The items of an array of tables that have a name."""
    items = enumerate(value if isinstance(value, list) else [])
    return [(i, item) for i, item in items if isinstance(item, dict) and isinstance(item.get("name"), str)]


def teachers_of(plan: PlanConfig, teachers: Mapping[str, TeacherConfig]) -> list[str]:
    """The teachers that share a plan's work, in the order of the configuration.

    `*` stands for all but students and the plan's fallbacks, and but the built-in ones where there is another.
    """
    plain = {name: {"builtin": each.builtin, "student": each.student} for name, each in teachers.items()}
    return _served(plan.teachers, plan.fallback_teachers, _by_star(plain, plan.teachers))[0]


def left_out(config: Config) -> Iterator[str]:
    """Notes on what has no effect: built-in teachers that `*` leaves out of a plan, and settings of their server elsewhere."""
    for name, teacher in config.teachers.items():
        settings = fields_marked(TeacherConfig, Change.SERVER) if not teacher.builtin else ()
        ignored = [each for each in settings if getattr(teacher, each) != default_of(TeacherConfig, each)]
        if ignored:
            yield (
                f"teachers.{name}: {listed(ignored, 'and')} {'have' if len(ignored) > 1 else 'has'} no effect, because only the"
                " built-in teacher's server has such settings: remove them, or set builtin = true"
            )
    built_in = {name: teacher.builtin for name, teacher in config.teachers.items() if not teacher.student}
    for plan in config.plans:
        used, unused = _served(plan.teachers, plan.fallback_teachers, built_in)
        for name in unused:
            yield (
                f'plans.{plan.name}: teachers = ["*"] leaves out the built-in teacher {name}, because there is'
                f' {", ".join(used)}; to ask it too, name it: teachers = ["*", "{name}"]'
            )


def two_step_chats(config: Config) -> Iterator[str]:
    """Notes on plans that let chat models continue a text, in two steps, where one would do."""
    for plan in config.plans:
        better = STRATEGIES[plan.strategy].for_chat
        asked = [*teachers_of(plan, config.teachers), *plan.fallback_teachers]
        chats = [name for name in asked if _chats(config.teachers[name])]
        if better and chats:
            yield (
                f"plans.{plan.name}: strategy {plan.strategy} sends two requests for each sample, the second with the rationale in the"
                f" question, as for models that continue a text; {', '.join(chats)} {'are' if len(chats) > 1 else 'is'} asked by messages:"
                f' strategy = "{better}" needs one request (another strategy begins the plan anew)'
            )


def _chats(teacher: TeacherConfig) -> bool:
    return not teacher.local and dialect(teacher.dialect).chat


def _by_star(teachers: Mapping[str, Any], named: Sequence[str]) -> dict[str, bool]:
    """The teachers that a list of names may mean, and whether they are built in. `*` is no student."""
    plain = {name: _table(each) for name, each in teachers.items()}
    return {
        name: each.get("builtin") is True
        for name, each in plain.items()
        if name in named or not each.get("student")
    }


def _served(
    named: Sequence[str], fallbacks: Sequence[str], built_in: Mapping[str, bool]
) -> tuple[list[str], list[str]]:
    """The teachers that a list of names means, and the built-in ones that its `*` leaves out."""
    if "*" not in named:
        return expand(named, list(built_in)), []
    names = [name for name in built_in if name not in fallbacks]
    real = any(not built_in[name] for name in names)
    unused = [name for name in names if real and built_in[name] and name not in named]
    return [name for name in names if name not in unused], unused


def expand(names: Sequence[str], known: list[str]) -> list[str]:
    """The names meant by a list in which `*` stands for all, in the order of `known`."""
    if "*" in names:
        return list(known)
    return [name for name in known if name in names]
