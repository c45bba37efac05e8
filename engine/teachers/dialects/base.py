"""What a dialect is: one object that carries everything the rest of the program asks about one kind of API.

Adding a dialect means adding a module with one `Dialect` to this folder. Nothing outside the folder compares its name:
the configuration, the clients and the daemon ask for its capabilities. A dialect knows paths, bodies and headers; it
knows no HTTP connection, no key and no clock. Modules of this folder do not import `engine.config`, which imports them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.teachers.dialects.paths import lower, merge, place, remove, value_at
from engine.teachers.dialects.streaming import Streaming
from engine.teachers.messages import Completion, Request

Body = dict[str, object]
Build = Callable[[Request, str, Mapping[str, object]], tuple[str, Body]]
Parse = Callable[[object, Request], list[Completion]]

Transport = Literal["requests", "batches"]
"""How requests travel: one HTTP request each, or as the lines of an uploaded file."""

Parameter = Literal["temperature", "top_p", "seed", "stop"]
"""A sampling parameter that a teacher's `omit` can leave out."""

RESERVED = (
    *("model", "messages", "input", "prompt", "n", "best_of"),
    *("max_tokens", "max_completion_tokens", "max_output_tokens", "max_new_tokens"),
    *("max_tokens_to_sample", "num_predict"),
)
"""Fields that no dialect lets `extra_body` set: the teacher's `model` and the plan decide them, and costs are reserved by
them. The synonyms are refused everywhere, because many servers accept fields of other APIs."""

STREAMING = ("stream", "background")
"""Fields that decide how a response comes; the teacher's key `stream` does that."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BodyFields:
    """Where the request body holds what the plan decides, as dotted paths such as `generationConfig.maxOutputTokens`."""

    token_limit: str
    """The token limit that `build` writes; `extra_body` must not set it."""
    replacing_limits: tuple[str, ...] = ()
    """Token limits that `extra_body` or the teacher's `max_tokens_field` may use instead; they are lowered to what is reserved for the request."""
    reserved: tuple[str, ...] = ()
    """Further fields that `extra_body` must not set, besides `RESERVED`: the prompt, the number of completions."""
    streaming: tuple[str, ...] = ()
    """Further fields that ask for a stream or an answer at another time, besides `STREAMING`."""
    parameters: Mapping[Parameter, str] = field(
        default_factory=lambda: {
            "temperature": "temperature",
            "top_p": "top_p",
            "seed": "seed",
            "stop": "stop",
        }
    )
    """The sampling parameters that the API has."""

    @property
    def all_reserved(self) -> tuple[str, ...]:
        """Every path that `extra_body` must not set."""
        paths = (*RESERVED, self.token_limit, *self.reserved)
        return tuple(path for path in dict.fromkeys(paths) if path not in self.replacing_limits)

    @property
    def limits(self) -> tuple[str, ...]:
        """Every field that can hold the token limit, the usual one first."""
        return tuple(dict.fromkeys((self.token_limit, *self.replacing_limits)))

    @property
    def all_streaming(self) -> tuple[str, ...]:
        """Every path that asks for a stream or an answer at another time."""
        return tuple(dict.fromkeys((*STREAMING, *self.streaming)))


class DialectSettings(BaseModel):
    """Keys of `[teachers.NAME]` that only some dialects have; without fields where a dialect has none."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @property
    def price_share(self) -> float:
        """The share of the teacher's prices that a request costs."""
        return 1.0


class BatchSettings(DialectSettings):
    """Settings of every dialect whose transport is `batches`."""

    batch_discount: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Discount on the prices above for requests in a batch, as a share: 0.5 halves them."""

    batch_requests: Annotated[int, Field(ge=1, le=50_000)] = 50_000
    """Maximum requests per batch. A batch is also sent when its file reaches 190 MB."""

    batch_wait_seconds: Annotated[float, Field(ge=0)] = 60.0
    """How long a batch that is not full waits for more requests while plans still have some."""

    batch_poll_seconds: Annotated[float, Field(gt=0)] | None = None
    """Seconds until a batch is first polled; later intervals grow up to 15 times this. Unset: 60, or 1 for the built-in teacher."""

    @property
    def price_share(self) -> float:
        """What the discount leaves."""
        return 1 - self.batch_discount


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """The form of one API's requests and responses, and what that API can do."""

    name: str
    """As in `dialect = "…"`."""
    api: str
    """Which API it is, as a phrase of Markdown for docs/configuration.md."""
    build: Build
    """`build(request, model, extra_body)` returns the path under `base_url` and the JSON body."""
    parse: Parse
    """`parse(payload, request)` returns one completion per choice, or raises `MalformedAnswer`."""
    fields: BodyFields
    """Where the body holds what the plan decides."""
    streaming: Streaming | None = None
    """How it asks for streams and reads them; None: it has none."""
    key_header: str = "Authorization"
    """The header of the API key. `Authorization` takes it as a bearer token, any other header takes it as it is."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of every request."""
    transport: Transport = "requests"
    """How requests travel; dialects of the transport `batches` have `BatchSettings`."""
    settings: type[DialectSettings] = DialectSettings
    """The dialect's own keys of `[teachers.NAME]`."""
    supports_n: bool = False
    """Whether one request can ask for several completions."""
    supports_logprobs: bool = False
    """Whether the API returns log-probabilities."""
    builtin: bool = False
    """Whether the built-in teacher speaks it."""
    scores: bool = False
    """Whether the API returns the log-probabilities of a text that it is given (`Request.given`)."""
    of_students: bool = False
    """Whether the server of a student speaks it."""
    chat: bool = True
    """Whether models are asked in messages. False: they continue a text."""
    limits_count_cached: bool = True
    """Whether prompt tokens read from the provider's cache count against its token limits."""
    same_samples_as: str = ""
    """Another dialect in which a model sees the same: samples of both belong to the same plan. Empty: none."""

    @property
    def documentation(self) -> str:
        """What it is and what it can do, for docs/configuration.md."""
        able = [
            word
            for word, fact in (("per_request", self.supports_n), ("logprobs", self.supports_logprobs))
            if fact
        ]
        facts = [
            f"supports {' and '.join(f'`{word}`' for word in able) or 'neither `per_request` nor `logprobs`'}",
            *(["requests are sent in batches"] if self.transport == "batches" else []),
            *(["the built-in teacher speaks it"] if self.builtin else []),
        ]
        return f"{self.api}. {'; '.join(facts).capitalize()}."

    @property
    def identity(self) -> str:
        """The dialect's part of a plan's fingerprint."""
        return self.same_samples_as or self.name

    def compose(
        self,
        request: Request,
        model: str,
        extra_body: Mapping[str, object],
        omit: Sequence[Parameter] = (),
        *,
        limit_field: str = "",
        stream: bool = False,
        stream_usage: bool = True,
    ) -> tuple[str, Body]:
        """The path under `base_url` and the body to send: `build`, within the request's token limit, without `omit`.

        Args:
            request: what to send.
            model: the model's name.
            extra_body: further fields.
            omit: parameters to leave out.
            limit_field: the field that holds the token limit; empty: the dialect's usual one.
            stream: whether the response is to be streamed; the dialect must have streams.
            stream_usage: whether a stream is asked to state the usage.
        """
        path, body = self.build(request, model, extra_body)
        if limit_field and value_at(body, limit_field) is None:
            remove(body, self.fields.token_limit)
            place(body, limit_field, request.max_tokens)
        for limit in self.fields.replacing_limits:
            lower(body, limit, request.max_tokens)
        for parameter in omit:
            if found := self.fields.parameters.get(parameter):
                remove(body, found)
        if stream and self.streaming is not None:
            merge(body, self.streaming.ask)
            if stream_usage:
                merge(body, self.streaming.ask_usage)
        return path, body
