"""OpenAI's chat and completions, as a student serves them: what a body asks for, and what a response says.

A question of a chat is put in the form that the student was trained in; a prompt of completions is continued as it is. Greedy unless a
temperature is given.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.students.room import Completion
from engine.students.served_student import Scores, ServedStudent

MOST_CHOICES = 128
MOST_TOP = 20
WITHOUT_EFFECT: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "best_of": (1,),
        "frequency_penalty": (0,),
        "functions": ([],),
        "logit_bias": ({},),
        "min_p": (0,),
        "presence_penalty": (0,),
        "repetition_penalty": (1,),
        "response_format": ({"type": "text"},),
        "suffix": ("",),
        "tools": ([],),
        "top_k": (0, -1),
        "top_p": (1,),
    }
)
"""Parameters that are not supported, and the values that change nothing. So does null."""


class Refused(Exception):
    """A request that cannot be answered: the status, and the parameter that is wrong."""

    def __init__(self, message: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param = param
        self.status = status


class Body(BaseModel):
    """The parameters that both have. Others are ignored, unless they are in `WITHOUT_EFFECT` and would change the answer."""

    model_config = ConfigDict(extra="allow")

    model: str = ""
    n: int = Field(default=1, ge=1, le=MOST_CHOICES)
    stop: str | list[str] | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    seed: int | None = None
    stream: bool = False
    max_tokens: int | None = Field(default=None, ge=0)
    max_completion_tokens: int | None = Field(default=None, ge=0)

    @property
    def heat(self) -> float | None:
        """The temperature; None: greedy."""
        return self.temperature or None

    @property
    def stops(self) -> list[str]:
        """The stop strings."""
        found = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [each for each in found if each]


class ChatBody(Body):
    """`/chat/completions`."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    logprobs: bool = False
    top_logprobs: int = Field(default=0, ge=0, le=MOST_TOP)


class TextBody(Body):
    """`/completions`."""

    prompt: str | list[str] | list[int] | list[list[int]]
    logprobs: Annotated[int, Field(ge=0, le=MOST_TOP)] | None = None
    echo: bool = False


BodyT = TypeVar("BodyT", bound=Body)


class Api:
    """Both APIs over one student, called `name`. With a price of an hour of its device, answers state what they cost."""

    def __init__(self, student: ServedStudent, name: str, usd_per_hour: float = 0.0) -> None:
        self._student = student
        self._usd_per_hour = usd_per_hour
        self._name = name
        self._created = int(time.time())

    def routes(self) -> list[web.RouteDef]:
        """The addresses below `/v1`."""
        return [
            web.get("/v1/models", self._models),
            web.get("/v1/models/{name:.+}", self._model),
            web.post("/v1/completions", self._completions),
            web.post("/v1/chat/completions", self._chat),
        ]

    async def _models(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [self._described()]})

    async def _model(self, request: web.Request) -> web.Response:
        if request.match_info["name"] != self._name:
            return _refusal(self._unknown(request.match_info["name"]))
        return web.json_response(self._described())

    def _described(self) -> dict[str, Any]:
        return {"id": self._name, "object": "model", "created": self._created, "owned_by": "coterie"}

    def _unknown(self, name: str) -> Refused:
        return Refused(f"the model {name!r} does not exist; this server has {self._name!r}", "model", 404)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await _read(request, ChatBody)
            self._check(body)
            return await _sent(request, body, await self._chat_answer(body))
        except Refused as refused:
            return _refusal(refused)

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await _read(request, TextBody)
            self._check(body)
            return await _sent(request, body, await self._text_answer(body))
        except Refused as refused:
            return _refusal(refused)

    def _check(self, body: Body) -> None:
        if body.model not in ("", self._name):
            raise self._unknown(body.model)
        for name, value in (body.model_extra or {}).items():
            if value is not None and value not in WITHOUT_EFFECT.get(name, (value,)):
                raise Refused(f"{name} is not supported: leave it out", name)

    async def _chat_answer(self, body: ChatBody) -> dict[str, Any]:
        student, most = self._student, self._most(body)
        messages = [{"role": str(each.get("role")), "content": _content(each)} for each in body.messages]
        alone = messages[0]["content"] if len(messages) == 1 and messages[0]["role"] == "user" else None
        turns = bool(student.form.method.roles)
        if turns and (alone is None or body.logprobs):
            raise Refused(
                "this student answers one question turn by turn: send one message of a user, without logprobs",
                "messages",
            )
        ids: list[int] = []
        if alone is None and not student.tokenizer.chat_template:
            raise Refused(
                "this student's tokenizer has no chat template: send one message of a user", "messages"
            )
        if alone is None:
            ids = list(
                student.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
            )
        elif not turns:
            [ids] = student.form.prompt_ids([alone])
        choices: list[dict[str, Any]] = []
        read = wrote = 0
        seconds = 0.0
        for index in range(body.n):
            seed = None if body.seed is None else body.seed + index
            if turns:
                found = await student.answer(alone or "", most, body.heat, seed)
            else:
                found = await student.write(student.room(ids, most), body.heat, seed)
            _asked(found)
            text, reason = _ended(found, body.stops)
            logprobs = None
            if body.logprobs:
                scores = await self._scores(ids, found, text, body.top_logprobs)
                seconds += scores.seconds
                logprobs = {
                    "content": [self._chat_token(scores, at) for at in range(len(scores.ids))],
                    "refusal": None,
                }
            message = {"role": "assistant", "content": text, "refusal": None}
            choices.append(
                {"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason}
            )
            read, wrote, seconds = found.prompt_tokens, wrote + found.tokens, seconds + found.seconds
        return self._response("chat.completion", "chatcmpl", choices, read, wrote, seconds)

    async def _text_answer(self, body: TextBody) -> dict[str, Any]:
        student, most = self._student, self._most(body)
        if student.in_parts:
            raise Refused(
                "this student is a pair that answers in turns: ask it by /v1/chat/completions", "prompt"
            )
        if body.echo and not student.decoder:
            raise Refused("echo is for decoders, and this student is an encoder-decoder", "echo")
        choices: list[dict[str, Any]] = []
        read = wrote = 0
        seconds = 0.0
        for prompt in self._prompts(body.prompt):
            for number in range(body.n):
                seed = None if body.seed is None else body.seed + number
                found = Completion(prompt_tokens=len(prompt), ended=False)
                if most:
                    found = await student.write(student.room(prompt, most), body.heat, seed)
                    _asked(found)
                text, reason = _ended(found, body.stops)
                shown = (
                    student.tokenizer.decode(prompt, skip_special_tokens=True) + text if body.echo else text
                )
                logprobs = None
                if body.logprobs is not None:
                    scores = await self._scores(prompt, found, text, body.logprobs, echo=body.echo)
                    logprobs = self._text_tokens(scores)
                    seconds += scores.seconds
                choices.append(
                    {"index": len(choices), "text": shown, "logprobs": logprobs, "finish_reason": reason}
                )
                wrote, seconds = wrote + found.tokens, seconds + found.seconds
            read += len(prompt)
        return self._response("text_completion", "cmpl", choices, read, wrote, seconds)

    def _most(self, body: Body) -> int:
        given = body.max_completion_tokens if body.max_tokens is None else body.max_tokens
        return self._student.most if given is None else given

    def _prompts(self, prompt: str | list[str] | list[int] | list[list[int]]) -> list[list[int]]:
        """The prompts as tokens."""
        given: list[Any] = [prompt] if isinstance(prompt, str) or _is_tokens(prompt) else list(prompt)
        size = len(self._student.tokenizer)
        found = []
        for each in given:
            ids = list(self._student.tokenizer(each)["input_ids"]) if isinstance(each, str) else list(each)
            if not ids or any(not 0 <= token < size for token in ids):
                raise Refused(f"expected a text or tokens from 0 to {size - 1}, at least one", "prompt")
            found.append(ids)
        if not found:
            raise Refused("expected at least one prompt", "prompt")
        return found

    async def _scores(
        self, prompt: Sequence[int], found: Completion, text: str, top: int, *, echo: bool = False
    ) -> Scores:
        """Of the tokens of an answer, encoded again where a stop string cut it; with `echo` also those of the prompt."""
        written = list(found.ids) if text == found.text else self._student.form.turn_ids([text])[0]
        if not written and not echo:
            return Scores([], [], [])
        scores = await self._student.score(prompt, written, top)
        if echo and self._student.decoder:
            return scores
        begin = len(scores.ids) - len(written)
        return Scores(scores.ids[begin:], scores.values[begin:], scores.top[begin:])

    def _text_tokens(self, scores: Scores) -> dict[str, Any]:
        texts = [self._token(each) for each in scores.ids]
        offsets = [sum(map(len, texts[:at])) for at in range(len(texts))]
        top = [{self._token(key): value for key, value in each} or None for each in scores.top]
        return {"tokens": texts, "token_logprobs": scores.values, "top_logprobs": top, "text_offset": offsets}

    def _chat_token(self, scores: Scores, at: int) -> dict[str, Any]:
        def told(key: int, value: float | None) -> dict[str, Any]:
            text = self._token(key)
            return {"token": text, "logprob": value, "bytes": list(text.encode("utf-8", "replace"))}

        return {
            **told(scores.ids[at], scores.values[at]),
            "top_logprobs": [told(key, value) for key, value in scores.top[at]],
        }

    def _token(self, key: int) -> str:
        text: str = self._student.tokenizer.decode([key], skip_special_tokens=False)
        return text

    def _response(
        self, kind: str, prefix: str, choices: list[dict[str, Any]], read: int, wrote: int, seconds: float
    ) -> dict[str, Any]:
        usage: dict[str, Any] = {
            "prompt_tokens": read,
            "completion_tokens": wrote,
            "total_tokens": read + wrote,
        }
        if self._usd_per_hour:
            usage["cost"] = seconds * self._usd_per_hour / 3600
        return {
            "id": f"{prefix}-{uuid.uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": self._name,
            "choices": choices,
            "usage": usage,
        }


async def _read(request: web.Request, kind: type[BodyT]) -> BodyT:
    try:
        return kind.model_validate(await request.json())
    except ValueError as error:
        if not isinstance(error, ValidationError):
            raise Refused("the body is not JSON") from None
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][:1]))
        raise Refused(f"{where}: {first['msg']}" if where else str(first["msg"]), where or None) from None


def _is_tokens(prompt: Sequence[Any]) -> bool:
    return bool(prompt) and isinstance(prompt[0], int)


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    if not isinstance(content, str):
        raise Refused("messages: expected the content of each as a text", "messages")
    return content


def _asked(found: Completion) -> None:
    if found.unasked:
        raise Refused(found.unasked.removeprefix("not asked: "), "messages")


def _ended(found: Completion, stops: Sequence[str]) -> tuple[str, str]:
    """The text up to the first stop string, and why it ended."""
    at = min((place for stop in stops if (place := found.text.find(stop)) >= 0), default=None)
    return found.text[:at], "stop" if at is not None or found.ended else "length"


async def _sent(request: web.Request, body: Body, answer: dict[str, Any]) -> web.StreamResponse:
    """The response; as a stream, each choice is one event."""
    if not body.stream:
        return web.json_response(answer)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    chat = answer["object"] == "chat.completion"
    head = {key: answer[key] for key in ("id", "created", "model")}
    for choice in answer["choices"]:
        told = dict(choice)
        if chat:
            told["delta"] = told.pop("message")
        event = {**head, "object": "chat.completion.chunk" if chat else "text_completion", "choices": [told]}
        await response.write(f"data: {json.dumps(event)}\n\n".encode())
    await response.write(
        f"data: {json.dumps({**head, 'object': answer['object'], 'choices': [], 'usage': answer['usage']})}\n\n".encode()
    )
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


def _refusal(refused: Refused) -> web.Response:
    error = {"message": str(refused), "type": "invalid_request_error", "param": refused.param}
    return web.json_response(
        {"error": {**error, "code": "model_not_found" if refused.status == 404 else None}},
        status=refused.status,
    )
