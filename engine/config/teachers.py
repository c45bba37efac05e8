"""`[teachers.NAME]`: an API to sample from, its limits and its prices.

The keys below are those of every teacher. A dialect may add its own keys (`Dialect.settings`); they are in the same
table and are fields of the same model, which is built from the registry of dialects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from engine.config.base import HEADER_PATTERN, Change, Identity, Money, Positive, Section, fields_marked
from engine.config.faults import listed
from engine.config.json_values import json_table
from engine.config.secret_places import KEY_HEADERS, REFERENCE, key_fields
from engine.config.urls import wrong_base_url, wrong_proxy
from engine.teachers.dialects import DEFAULT, DIALECTS, Dialect, DialectSettings, dialect
from engine.teachers.dialects.paths import overrides, value_at
from engine.variants import VariantError

if TYPE_CHECKING:
    DialectName = str
else:
    DialectName = Literal[tuple(DIALECTS)]

STREAM_KEY = 'the teacher\'s key stream (true, false or "auto") decides how responses come'

OF_ANY_SERVER = ("replay", "latency_ms", "fault")
"""The settings of a built-in teacher's server that do not depend on who answers."""

NOT_OF_STUDENTS = (
    *(
        "builtin",
        "base_url",
        "api_key_env",
        "api_key_file",
        "api_key_envs",
        "api_key_header",
        "proxy",
        "headers",
    ),
    *("usd_per_million_input", "usd_per_million_output", "parameters_billion"),
)
"""The settings that a student as a teacher cannot have: the daemon knows where it is, and what its device costs."""

STUDENT_CONCURRENCY = 16
"""Requests in flight to a student where `concurrency` is unset: what waits is answered in one batch."""


def _variable(value: str) -> str:
    if value and not (value.isascii() and value.isidentifier()):
        raise ValueError("expected the name of an environment variable, not the key itself")
    return value


Variable = Annotated[str, AfterValidator(_variable)]


def _model_of_student(schema: dict[str, Any]) -> None:
    """For editors: a student needs no `model`."""
    schema["required"] = [key for key in schema.get("required", ()) if key != "model"]
    schema["anyOf"] = [{"required": ["model"]}, {"required": ["student"]}]


class CommonTeacherConfig(Section):
    """The keys of every teacher, whatever its dialect."""

    model_config = ConfigDict(json_schema_extra=_model_of_student)

    builtin: Annotated[bool, Change.RESTART] = False
    """Start the built-in teacher server on a free loopback port and use it."""

    student: Annotated[str, Change.RESTART] = ""
    """Name of a student of this configuration that is the teacher. The daemon serves it when a plan asks it, on a free loopback port. A plan asks it alone, usually in the strategy `student` or `student-hinted`, and waits until it has a finished run. `model` may be left out; `concurrency` is 16 if unset. Its answers cost nothing, or device time where `daemon.usd_per_device_hour` is set. `*` in a plan leaves it out."""

    dialect: Annotated[DialectName, Identity.ALWAYS, Change.RECONNECT] = DEFAULT
    """The API's request and response format; see the table of dialects below."""

    base_url: Annotated[str, Change.RECONNECT] = Field(default="", repr=False)
    """URL of the API without the last part of the path (`/chat/completions`, `/responses`, `/messages`), for example `https://api.openai.com/v1` or `https://api.anthropic.com/v1`. A query string, such as Azure's `?api-version=2024-10-21`, is kept. `env:NAME` as a value in it (`?key=env:NAME`), or in place of all of it, stands for an environment variable. Values of the query that may be secrets are never stored or shown."""

    base_urls: Annotated[list[str], Change.RECONNECT] = Field(default_factory=list, repr=False)
    """Several URLs of the same model, in place of `base_url`: servers of your own that answer alike. Each request goes to the one with the fewest in flight; one that fails rests while the others go on. All limits are those of the teacher, over all of them."""

    model: Annotated[str, Identity.ALWAYS, Change.RECONNECT]
    """The model's name at the provider. Required, except with `student`."""

    api_key_env: Variable = ""
    """Environment variable that contains the API key. Set at most one of `api_key_env`, `api_key_file` and `api_key_envs`; none for an API without keys."""

    api_key_file: str = ""
    """File that contains only the API key; rejected if other users can read it (`chmod 600`)."""

    api_key_envs: list[Variable] = Field(default_factory=list)
    """Environment variables of several keys. Each key has its own limits; work is distributed by free capacity."""

    api_key_header: Annotated[str, Field(pattern=HEADER_PATTERN), Change.RECONNECT] = ""
    """Header for the API key, such as Azure's `api-key`. `Authorization` sends it as a bearer token. Unset: the dialect's default."""

    proxy: Annotated[str, Change.RECONNECT] = Field(default="", repr=False)
    """HTTP proxy, such as `http://proxy.example:3128`; one with a user name and a password as `env:NAME`, an environment variable that contains it. Proxy settings of the environment are ignored."""

    concurrency: Annotated[Positive | None, Change.SERVER_LIMIT] = None
    """Maximum requests in flight per key; unset: discovered. For dialects served by batches: maximum batches in progress per key; unset: 8."""

    requests_per_minute: Annotated[Positive | None, Change.SERVER_LIMIT] = None
    """Request limit per key; unset: discovered from responses. A limit that is set too high is detected and lowered."""

    tokens_per_minute: Annotated[Positive | None, Change.SERVER_LIMIT] = None
    """Limit per key on prompt and completion tokens together; unset: discovered."""

    input_tokens_per_minute: Positive | None = None
    """Limit per key on prompt tokens alone, for providers that count them separately (Anthropic); unset: discovered."""

    output_tokens_per_minute: Positive | None = None
    """Limit per key on completion tokens alone; unset: discovered."""

    usd_per_million_input: Money = 0.0
    """Price per million prompt tokens. Without prices, only dollars that the provider states count against a budget."""

    usd_per_million_output: Money = 0.0
    """Price per million completion tokens."""

    usd_per_million_cached: Money | None = None
    """Price per million prompt tokens read from the provider's cache; unset: same as other prompt tokens."""

    usd_per_million_cache_write: Money | None = None
    """Price per million prompt tokens written to the provider's cache (Anthropic), whatever their lifetime; unset: same as other prompt tokens."""

    usd_per_million_reasoning: Money | None = None
    """Price per million reasoning tokens; unset: same as other completion tokens."""

    budget_usd: Money | None = None
    """Spending cap in dollars for this teacher, over all runs of the daemon."""

    parameters_billion: Annotated[float | None, Field(gt=0)] = None
    """Weights of the model in billions, of a mixture of experts the active ones. With it the frontier shows the FLOPs of its answers beside those of students; it changes nothing else."""

    training_allowed: bool = True
    """Whether the provider's terms allow training on its output; false excludes its samples from training."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 8
    """Attempts of one request that may fail with transient errors or malformed responses before the sample is given up."""

    timeout_seconds: Annotated[float, Field(gt=0), Change.RECONNECT] = 1800.0
    """Maximum time without receiving a byte of a response. Keep it generous: a short timeout discards responses that were paid for."""

    stream: Annotated[Literal["auto"] | bool, Change.RECONNECT] = "auto"
    """Whether responses are streamed. They are stored as if they were not. `"auto"` streams where a request allows more than 4,096 completion tokens, and where the server demands it."""

    max_tokens_field: Annotated[str, Change.RECONNECT] = ""
    """Field of the request body that holds `max_tokens`, for models that reject the usual one: `max_completion_tokens`. Unset: the dialect's usual one."""

    headers: Annotated[dict[str, str], Change.RECONNECT] = Field(default_factory=dict, repr=False)
    """Additional HTTP headers, such as `OpenAI-Organization`. `env:NAME` as a value (`X-Gateway-Key = "env:NAME"`) stands for an environment variable. Values of other headers than the usual public ones are never stored or shown."""

    extra_body: Annotated[
        dict[str, object], AfterValidator(json_table), Identity.ALWAYS, Change.RECONNECT
    ] = Field(default_factory=dict)
    """Additional fields of the request body, such as `reasoning_effort` or `thinking = { type = "enabled", budget_tokens = 2000 }`. Part of a plan's identity: changing it starts the plan anew."""

    omit: Annotated[
        list[Literal["temperature", "top_p", "seed", "stop"]], Identity.ALWAYS, Change.RECONNECT
    ] = Field(default_factory=list)
    """Sampling parameters that are not sent, for models that reject them, as many reasoning models reject `temperature`. Part of a plan's identity."""

    step_error_rate: Annotated[float, Field(ge=0, le=1), Change.SERVER] = 0.10
    """Built-in teacher: probability that a reasoning step is wrong."""

    errors: Annotated[Literal["independent", "systematic"], Identity.IF_SET, Change.SERVER] = "independent"
    """Built-in teacher: how it errs. independent: each step slips on its own. systematic: some questions are wrong in all samples, some are right by a wrong rationale, some phrases are always misread, in shares of `step_error_rate` (docs/method.md)."""

    replay: Annotated[str | Annotated[list[str], Field(min_length=1)] | None, Change.SERVER] = None
    """Built-in teacher: a file of recorded completions (`.jsonl`, `.jsonl.gz`), or a list of them, that it answers with, word for word, instead of solving; relative to the configuration file. A row has `question`, `rationale` and `final` or `answer`. `model` says who wrote them. Its limits and faults are as configured. A question without a recorded completion is asked once and given up; `coterie check` counts them."""

    latency_ms: Annotated[float, Field(ge=0), Change.SERVER] = 40.0
    """Built-in teacher: mean response time."""

    fault: Annotated[str, Change.SERVER] = ""
    """Built-in teacher: faults to inject, such as `500=0.02,reset=0.01`."""

    @property
    def addresses(self) -> list[str]:
        """Its URLs, as they are written; one empty one for a built-in teacher."""
        return self.base_urls or [self.base_url]

    @property
    def recordings(self) -> tuple[str, ...]:
        """The files of `replay`; none for a teacher that does not replay."""
        if self.replay is None:
            return ()
        return (self.replay,) if isinstance(self.replay, str) else tuple(self.replay)

    @property
    def settings(self) -> DialectSettings:
        """The keys that only this teacher's dialect has."""
        model = dialect(self.dialect).settings
        return model.model_construct(**{name: getattr(self, name) for name in model.model_fields})

    @property
    def local(self) -> bool:
        """Whether the daemon starts its server: it has no address, no key and no limits that others share."""
        return self.builtin or bool(self.student)

    @model_validator(mode="before")
    @classmethod
    def _of_student(cls, data: Any) -> Any:
        """The defaults of a student."""
        if not isinstance(data, Mapping) or not data.get("student"):
            return data
        return {
            "model": data["student"],
            **data,
            "concurrency": data.get("concurrency") or STUDENT_CONCURRENCY,
        }

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.student:
            self._serving()
        if self.base_url and self.base_urls:
            raise ValueError("set only one of base_url and base_urls")
        if self.builtin and (self.base_url or self.base_urls):
            raise ValueError("a built-in teacher has no base_url: remove builtin or base_url")
        if not self.local and not self.base_url and not self.base_urls:
            raise ValueError("base_url is required (or set builtin = true for the built-in teacher)")
        keys = [bool(self.api_key_env), bool(self.api_key_file), bool(self.api_key_envs)]
        if sum(keys) > 1:
            raise ValueError("set only one of api_key_env, api_key_file and api_key_envs")
        spoken = dialect(self.dialect)
        if len(set(self.base_urls)) < len(self.base_urls):
            raise ValueError("base_urls has an address twice: write each once")
        if len(self.base_urls) > 1 and spoken.transport == "batches":
            raise ValueError(f"{spoken.name} keeps a batch on one server: set base_url, not base_urls")
        if self.builtin and not spoken.builtin:
            known = listed([each.name for each in DIALECTS.values() if each.builtin], "and")
            raise ValueError(f"the built-in teacher speaks {known}")
        fields = type(self).model_fields
        for name, users in own_keys().items():
            if spoken not in users and getattr(self, name) != fields[name].default:
                quoted = listed([f'"{each.name}"' for each in users], "or")
                raise ValueError(f"{name} is only for dialect = {quoted}: remove it")
        if self.builtin and self.proxy:
            raise ValueError("the built-in teacher is reached without a proxy: remove builtin or proxy")
        if self.recordings:
            self._replaying()
        if self.stream is True and spoken.streaming is None:
            raise ValueError(f'{spoken.name} has no streams: remove stream, or set stream = "auto"')
        limits = spoken.fields.limits
        if self.max_tokens_field and self.max_tokens_field not in limits:
            raise ValueError(
                f"max_tokens_field: {spoken.name} has no {self.max_tokens_field!r}; expected {listed(list(limits), 'or')}"
            )
        for limit in spoken.fields.replacing_limits:
            if self.max_tokens_field and self.max_tokens_field != limit and overrides(self.extra_body, limit):
                raise ValueError(
                    f"extra_body sets {limit}, max_tokens_field another field: remove one of them"
                )
        for parameter in self.omit:
            place = spoken.fields.parameters.get(parameter, parameter)
            if parameter in self.extra_body or overrides(self.extra_body, place):
                raise ValueError(f"{parameter} is in both extra_body and omit: remove one of them")
        return self

    def _serving(self) -> None:
        fields = type(self).model_fields
        for name in NOT_OF_STUDENTS:
            if getattr(self, name) != fields[name].get_default(call_default_factory=True):
                raise ValueError(
                    f"{name} has no effect on a student that the daemon serves: remove it, or student"
                )
        if self.model != self.student:
            raise ValueError("model: the daemon serves the student under its own name; remove model")
        if not dialect(self.dialect).of_students:
            known = listed([each.name for each in DIALECTS.values() if each.of_students], "and")
            raise ValueError(f"a student that is served speaks {known}")

    def _replaying(self) -> None:
        if not self.builtin:
            raise ValueError(
                "replay is what a built-in teacher answers with: set builtin = true, or remove it"
            )
        fields = type(self).model_fields
        for name in fields_marked(type(self), Change.SERVER):
            if name not in OF_ANY_SERVER and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} is for a teacher that solves, and this one replays: remove it")

    @field_validator("base_urls")
    @classmethod
    def _no_endpoints(cls, value: list[str], info: ValidationInfo) -> list[str]:
        return [cls._no_endpoint(each, info) for each in value]

    @field_validator("base_url")
    @classmethod
    def _no_endpoint(cls, value: str, info: ValidationInfo) -> str:
        if why := wrong_base_url(value, info.data.get("dialect")):
            raise ValueError(why)
        return value

    @field_validator("proxy")
    @classmethod
    def _proxy(cls, value: str) -> str:
        if not value or REFERENCE.fullmatch(value):
            return value
        if why := wrong_proxy(value):
            raise ValueError(why)
        if "@" in value:
            raise ValueError(
                'a user name or password would be stored: write proxy = "env:NAME", and the URL into the environment variable'
            )
        return value

    @field_validator("headers")
    @classmethod
    def _no_secrets(cls, value: dict[str, str]) -> dict[str, str]:
        for name, given in value.items():
            if name.lower() in KEY_HEADERS and not REFERENCE.fullmatch(given):
                raise ValueError(
                    f"{name} holds a secret, and the configuration is stored: set the key with api_key_env or api_key_file, and"
                    f' the name of its header with api_key_header, or write {name} = "env:NAME"'
                )
        return value

    @field_validator("extra_body")
    @classmethod
    def _within_the_plan(cls, value: dict[str, object], info: ValidationInfo) -> dict[str, object]:
        if "dialect" not in info.data:
            return value  # the dialect itself is invalid, which has its own message
        if found := next(key_fields(value), None):
            raise ValueError(
                f"{found} holds a secret, and this is stored: set the key with api_key_env or api_key_file, or send it as a header"
            )
        fields = dialect(info.data["dialect"]).fields
        for path in fields.all_streaming:
            if value_at(value, path):
                raise ValueError(f"{path} cannot be used here: {STREAM_KEY}; remove it")
        for path in fields.all_reserved:
            if place := overrides(value, path):
                raise ValueError(f"{place} cannot be set here: the teacher's model or the plan determines it")
        for path in fields.replacing_limits:
            limit = value_at(value, path)
            good = isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1
            if overrides(value, path) and not good:
                raise ValueError(f"{path}: expected a whole number from 1")
        return value


def own_keys() -> dict[str, list[Dialect]]:
    """The keys that only some dialects have, with those dialects."""
    users: dict[str, list[Dialect]] = {}
    for each in DIALECTS.values():
        for name in each.settings.model_fields:
            users.setdefault(name, []).append(each)
    return users


def _own_fields() -> dict[str, tuple[Any, FieldInfo]]:
    """Those keys as fields of the model; the description says for which dialects they are.

    Raises:
        VariantError: a key is also one of every teacher, or two dialects define it differently.
    """
    fields: dict[str, tuple[Any, FieldInfo]] = {}
    for name, users in own_keys().items():
        first, *others = (each.settings.model_fields[name] for each in users)
        if name in CommonTeacherConfig.model_fields or any(
            each is not first and repr(each) != repr(first) for each in others
        ):
            raise VariantError(f"teachers: the key {name} of {users[0].name} has several definitions")
        described = FieldInfo.merge_field_infos(first)
        names = ", ".join(f"`{each.name}`" for each in users)
        described.description = f"{names}: {first.description}"
        fields[name] = (first.annotation, described)
    return fields


if TYPE_CHECKING:
    TeacherConfig = CommonTeacherConfig
else:
    TeacherConfig = create_model(
        "TeacherConfig",
        __base__=CommonTeacherConfig,
        __module__=__name__,
        __doc__="A teacher API.",
        **_own_fields(),
    )
