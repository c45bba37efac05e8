"""`[teachers.NAME]`: an API to sample from, its limits and its prices."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from engine.config.base import HEADER_PATTERN, Change, Identity, Money, Positive, Section
from engine.config.json_values import json_table

DialectName = Literal[
    "openai-chat", "openai-completions", "openai-responses", "anthropic-messages", "openai-batch"
]

KEY_HEADERS = frozenset({"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie"})
"""Headers whose value is a secret: the configuration is stored, so they have no place in `headers`."""

UNREADABLE = ("stream", "background")
"""Ways to answer that are not one JSON body."""

PLANNED = (
    *("model", "messages", "input", "prompt", "n", "best_of"),
    *("max_tokens", "max_output_tokens", "max_new_tokens", "max_tokens_to_sample", "num_predict"),
)
"""Fields that the teacher's `model` and the plan decide: what is reserved and paid for hangs on them."""

BATCH_ONLY = ("batch_discount", "batch_requests", "batch_wait_seconds", "batch_poll_seconds")
CHOICES = ("openai-chat", "openai-completions")
"""Dialects that know `n`."""
LOGPROBS = (*CHOICES, "openai-responses", "openai-batch")
"""Dialects that know log-probabilities."""


class TeacherConfig(Section):
    """A teacher API."""

    builtin: Annotated[bool, Change.RESTART] = False
    """Start the built-in teacher server on a free loopback port and use it."""

    dialect: Annotated[DialectName, Identity.ALWAYS, Change.RECONNECT] = "openai-chat"
    """The form of the API's requests and answers."""

    base_url: Annotated[str, Change.RECONNECT] = ""
    """Where the API is, up to and without `/chat/completions`, `/responses` or `/messages`, such as `https://api.openai.com/v1` or `https://api.anthropic.com/v1`. A query, such as Azure's `?api-version=2024-10-21`, is kept."""

    model: Annotated[str, Identity.ALWAYS, Change.RECONNECT]
    """The model, as the API names it."""

    api_key_env: str = ""
    """Environment variable that holds the API key. Give a key one way, or none for an API without."""

    api_key_file: str = ""
    """File that holds the API key alone; refused when others can read it (`chmod 600`)."""

    api_key_envs: list[str] = Field(default_factory=list)
    """Environment variables of several keys, each with limits of its own; the work is shared by free capacity."""

    api_key_header: Annotated[str, Field(pattern=HEADER_PATTERN)] = ""
    """Header that the key is sent in, such as Azure's `api-key`; `Authorization` takes it as a bearer token. Unset: the dialect's own."""

    proxy: str = ""
    """HTTP proxy, such as `http://proxy.example:3128`; those of the environment are not used."""

    concurrency: Annotated[Positive | None, Change.SERVER_LIMIT] = None
    """At most so many requests in flight for each key; unset: discovered. With `openai-batch`: so many batches; unset: 8."""

    requests_per_minute: Annotated[Positive | None, Change.SERVER_LIMIT] = None
    """Limit of each key; unset: discovered from the answers. One that is set too high is found out."""

    tokens_per_minute: Annotated[Positive | None, Change.SERVER_LIMIT] = None
    """Limit of each key over prompt and completion tokens; unset: discovered."""

    input_tokens_per_minute: Positive | None = None
    """Limit of each key over prompt tokens alone, where the provider counts them apart (Anthropic); unset: discovered."""

    output_tokens_per_minute: Positive | None = None
    """Limit of each key over completion tokens alone; unset: discovered."""

    usd_per_million_input: Money = 0.0
    """Price of a million prompt tokens. Without prices nothing counts against a budget."""

    usd_per_million_output: Money = 0.0
    """Price of a million completion tokens."""

    usd_per_million_cached: Money | None = None
    """Price of a million cached prompt tokens; unset: as other prompt tokens."""

    usd_per_million_cache_write: Money | None = None
    """Price of a million prompt tokens that the provider writes to its cache (Anthropic), whatever its lifetime; unset: as other prompt tokens."""

    usd_per_million_reasoning: Money | None = None
    """Price of a million completion tokens that were reasoning; unset: as other completion tokens."""

    budget_usd: Money | None = None
    """Cap in dollars over all that this teacher costs, over all starts."""

    training_allowed: bool = True
    """Whether the provider's terms allow training on its output; false leaves its samples out of training."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 8
    """Tries of one request that fail with transient or malformed answers before the sample is given up."""

    timeout_seconds: Annotated[float, Field(gt=0), Change.RECONNECT] = 1800.0
    """Longest wait for one answer. Generous: a short one throws away answers that were paid for."""

    headers: Annotated[dict[str, str], Change.RECONNECT] = Field(default_factory=dict)
    """Further HTTP headers, such as `OpenAI-Organization`."""

    extra_body: Annotated[
        dict[str, object], AfterValidator(json_table), Identity.ALWAYS, Change.RECONNECT
    ] = Field(default_factory=dict)
    """Further fields of the request body, such as `reasoning_effort` or `thinking = { type = "enabled", budget_tokens = 2000 }`; part of what makes a plan itself."""

    omit: Annotated[list[Literal["temperature", "top_p", "seed", "stop"]], Identity.ALWAYS] = Field(
        default_factory=list
    )
    """Fields that are not sent, for models that refuse them, as many reasoning models do `temperature`; part of what makes a plan itself."""

    batch_discount: Annotated[float, Field(ge=0, le=1)] = 0.5
    """`openai-batch`: the share of the prices above that a request in a batch does not cost."""

    batch_requests: Annotated[int, Field(ge=1, le=50_000)] = 50_000
    """`openai-batch`: most requests of one batch; a batch is also sent when it holds 190 MB."""

    batch_wait_seconds: Annotated[float, Field(ge=0)] = 60.0
    """`openai-batch`: how long a batch that is not full waits for more while plans still have some to give."""

    batch_poll_seconds: Annotated[float, Field(gt=0)] | None = None
    """`openai-batch`: seconds until a batch is first looked at; waits grow from there to 15 times as much. Unset: 60, and 1 for the built-in teacher."""

    step_error_rate: Annotated[float, Field(ge=0, le=1), Change.SERVER] = 0.10
    """Built-in teacher: how often a step of its reasoning goes wrong."""

    latency_ms: Annotated[float, Field(ge=0), Change.SERVER] = 40.0
    """Built-in teacher: mean time to answer."""

    fault: Annotated[str, Change.SERVER] = ""
    """Built-in teacher: faults to inject, such as `500=0.02,reset=0.01`."""

    @model_validator(mode="after")
    def _address(self) -> Self:
        if self.builtin and self.base_url:
            raise ValueError("a builtin teacher has no base_url: remove one of the two")
        if not self.builtin and not self.base_url:
            raise ValueError("base_url is missing (or set builtin = true for the built-in teacher)")
        keys = [bool(self.api_key_env), bool(self.api_key_file), bool(self.api_key_envs)]
        if sum(keys) > 1:
            raise ValueError("give the key one way: api_key_env, api_key_file or api_key_envs")
        if self.builtin and self.dialect not in ("openai-chat", "openai-completions", "openai-batch"):
            raise ValueError("the builtin teacher speaks openai-chat, openai-completions and openai-batch")
        if self.dialect != "openai-batch":
            fields = type(self).model_fields
            if found := [name for name in BATCH_ONLY if getattr(self, name) != fields[name].default]:
                raise ValueError(f'{found[0]} is for dialect = "openai-batch" alone: remove it')
        if self.builtin and self.proxy:
            raise ValueError("a builtin teacher is reached without a proxy: remove one of the two")
        if both := [name for name in self.omit if name in self.extra_body]:
            raise ValueError(f"{both[0]} stands in both extra_body and omit: remove one of the two")
        return self

    @field_validator("proxy")
    @classmethod
    def _proxy(cls, value: str) -> str:
        if not value:
            return value
        try:
            parts = urlsplit(value)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # no port, or brackets that do not close
            good = False
        if not good or not value.isprintable() or " " in value:
            raise ValueError("expected an address such as http://proxy.example:3128")
        if "@" in parts.netloc:
            raise ValueError("a user name or password would be stored: use a proxy that needs none")
        return value

    @field_validator("headers")
    @classmethod
    def _no_keys(cls, value: dict[str, str]) -> dict[str, str]:
        if found := [name for name in value if name.lower() in KEY_HEADERS]:
            raise ValueError(
                f"{found[0]} holds a secret, and the configuration is stored: give the key by api_key_env or "
                "api_key_file, and its header's name by api_key_header"
            )
        return value

    @field_validator("extra_body")
    @classmethod
    def _further(cls, value: dict[str, object]) -> dict[str, object]:
        if found := [name for name in UNREADABLE if value.get(name)]:
            raise ValueError(f"{found[0]} cannot be used: an answer is read in one piece; remove it")
        if found := [name for name in PLANNED if name in value]:
            raise ValueError(
                f"{found[0]} has no place here: it comes from the teacher's model or from the plan"
            )
        most = value.get("max_completion_tokens", 1)
        if not isinstance(most, int) or isinstance(most, bool) or most < 1:
            raise ValueError("max_completion_tokens: expected a whole number from 1")
        return value
