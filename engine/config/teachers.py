"""`[teachers.NAME]`: an API to sample from, its limits and its prices."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from engine.config.base import Money, Positive, Section

DialectName = Literal[
    "openai-chat", "openai-completions", "openai-responses", "anthropic-messages", "openai-batch"
]


class TeacherConfig(Section):
    """A teacher API."""

    builtin: bool = False
    """Start the built-in teacher server on a free loopback port and use it."""

    dialect: DialectName = "openai-chat"
    """The form of the API's requests and answers."""

    base_url: str = ""
    """Where the API is, up to and without `/chat/completions`, such as `https://api.openai.com/v1`."""

    model: str
    """The model, as the API names it."""

    api_key_env: str = ""
    """Environment variable that holds the API key. Give a key one way, or none for an API without."""

    api_key_file: str = ""
    """File that holds the API key alone; refused when others can read it (`chmod 600`)."""

    api_key_envs: list[str] = Field(default_factory=list)
    """Environment variables of several keys, each with limits of its own; the work is shared by free capacity."""

    concurrency: Positive | None = None
    """At most so many requests in flight for each key; unset: discovered."""

    requests_per_minute: Positive | None = None
    """Limit of each key; unset: discovered from the answers. One that is set too high is found out."""

    tokens_per_minute: Positive | None = None
    """Limit of each key over prompt and completion tokens; unset: discovered."""

    usd_per_million_input: Money = 0.0
    """Price of a million prompt tokens. Without prices nothing counts against a budget."""

    usd_per_million_output: Money = 0.0
    """Price of a million completion tokens."""

    usd_per_million_cached: Money | None = None
    """Price of a million cached prompt tokens; unset: as other prompt tokens."""

    budget_usd: Money | None = None
    """Cap in dollars over all that this teacher costs, over all starts."""

    training_allowed: bool = True
    """Whether the provider's terms allow training on its output; false leaves its samples out of training."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 8
    """Tries of one request that fail with transient or malformed answers before the sample is given up."""

    timeout_seconds: Annotated[float, Field(gt=0)] = 1800.0
    """Longest wait for one answer. Generous: a short one throws away answers that were paid for."""

    headers: dict[str, str] = Field(default_factory=dict)
    """Further HTTP headers, such as `OpenAI-Organization`."""

    extra_body: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """Further fields of the request body, such as `reasoning_effort`; part of what makes a plan itself."""

    step_error_rate: Annotated[float, Field(ge=0, le=1)] = 0.10
    """Built-in teacher: how often a step of its reasoning goes wrong."""

    latency_ms: Annotated[float, Field(ge=0)] = 40.0
    """Built-in teacher: mean time to answer."""

    fault: str = ""
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
        return self
