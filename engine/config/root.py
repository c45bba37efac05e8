"""The whole of `config.toml`, and what must fit together in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from engine.config.base import NAME_PATTERN, Change, Money, Section
from engine.config.experiment import ExperimentConfig
from engine.config.faults import quoted
from engine.config.notify import NotifyConfig
from engine.config.plans import PlanConfig
from engine.config.prompts import PromptsConfig
from engine.config.references import wrong_references
from engine.config.students import StudentConfig
from engine.config.tasks import TaskConfig
from engine.config.teachers import TeacherConfig
from engine.students.operations import DerivedOf

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
