"""The whole of `config.toml`, and what must fit together in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, model_validator

from engine.config.base import NAME_PATTERN, Money, Section
from engine.config.plans import PlanConfig
from engine.config.students import StudentConfig
from engine.config.tasks import TaskConfig
from engine.config.teachers import TeacherConfig

Names = Annotated[str, Field(pattern=NAME_PATTERN)]


class StateConfig(Section):
    """`[state]`: where things are remembered."""

    url: Annotated[str, Field(pattern=r"^sqlite:///.+")] = "sqlite:///state.db"
    """The database, `sqlite:///PATH`; a relative path is relative to the configuration file."""

    runs: str = "runs"
    """The folder of the run directories."""


class DaemonConfig(Section):
    """`[daemon]`: budget and life cycle."""

    budget_usd: Money | None = None
    """Hard cap over all teachers; reserved when a request is claimed, so never exceeded."""

    drain_seconds: Annotated[float, Field(ge=0)] = 30.0
    """How long a stopping daemon waits for answers in flight."""

    http: str = ""
    """"HOST:PORT" serves /healthz and Prometheus /metrics; empty: off."""

    devices: list[str] = Field(default_factory=lambda: ["auto"], min_length=1)
    """Training devices, one run at a time each: "auto", or names such as "cuda:0", "cpu:0"."""

    max_run_tries: Annotated[int, Field(ge=1)] = 3
    """How often a run that died is resumed before it counts as failed."""

    log_file: str = "logs/daemon.jsonl"
    """Structured log, one JSON object a line; empty: none."""


class TuiConfig(Section):
    """`[tui]`: the monitor."""

    theme: str = "textual-dark"
    """A Textual theme."""

    keys: dict[str, str] = Field(default_factory=dict)
    """Other keys for bindings: id of the binding to key."""


class Config(Section):
    """Everything a person asks for."""

    state: StateConfig = Field(default_factory=StateConfig)
    daemon: DaemonConfig = Field(default_factory=DaemonConfig)
    teachers: dict[Names, TeacherConfig] = Field(default_factory=dict)
    tasks: dict[Names, TaskConfig] = Field(default_factory=dict)
    plans: list[PlanConfig] = Field(default_factory=list)
    students: list[StudentConfig] = Field(default_factory=list)
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
        """The folder of the run directories."""
        return (self.folder / self.state.runs).resolve()

    @model_validator(mode="after")
    def _references(self) -> Self:
        for kind, items in (("plans", self.plans), ("students", self.students)):
            seen: set[str] = set()
            for item in items:
                if item.name in seen:
                    raise ValueError(f"{kind}: the name {item.name!r} is used twice")
                seen.add(item.name)
        plan_names = {plan.name for plan in self.plans}
        for plan in self.plans:
            _known(f"plans.{plan.name}.tasks", plan.tasks, set(self.tasks))
            _known(f"plans.{plan.name}.teachers", plan.teachers, set(self.teachers))
        for student in self.students:
            _known(f"students.{student.name}.tasks", student.tasks, set(self.tasks))
            _known(f"students.{student.name}.plans", student.plans, plan_names)
        return self


def _known(where: str, names: list[str], known: set[str]) -> None:
    for name in names:
        if name != "*" and name not in known:
            have = ", ".join(sorted(known)) or "none"
            raise ValueError(f"{where}: there is no {name!r} (there are: {have})")


def expand(names: list[str], known: list[str]) -> list[str]:
    """The names meant by a list in which `*` stands for all, in the order of `known`."""
    if "*" in names:
        return list(known)
    return [name for name in known if name in names]
