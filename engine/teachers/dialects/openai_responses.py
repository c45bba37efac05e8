"""OpenAI's responses, for reasoning models: reasoning comes as text, as a summary, or hidden.

Nothing is stored on the server (`store` is false unless `extra_body` sets it). The API has no `seed`, no `n` (there is
always one completion) and no stop strings: the text is cut at the first of them here. To get summaries, set
`extra_body.reasoning = { summary = "auto" }`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.teachers.dialects.base import BodyFields, Dialect
from engine.teachers.dialects.finish import finish
from engine.teachers.dialects.logprobs import part_logprobs
from engine.teachers.dialects.paths import merge
from engine.teachers.dialects.reasoning import split_think
from engine.teachers.dialects.shared import (
    REPORTED,
    Said,
    count,
    objects,
    only_completion,
    plain,
    top_of,
    unbroken,
)
from engine.teachers.dialects.streaming import Assembly, Event, Streaming
from engine.teachers.dialects.usage import Stated, cost_of, known
from engine.teachers.failures import MalformedAnswer
from engine.teachers.messages import Completion, ReasoningKind, Request

PATH = "/responses"
LOGPROBS = "message.output_text.logprobs"
"""The item of `include` that asks for log-probabilities."""

_CODE = re.compile(r"[a-z_]{1,64}")
_UNFINISHED = ("queued", "in_progress", "cancelled")


def build(request: Request, model: str, extra_body: Mapping[str, object]) -> tuple[str, dict[str, object]]:
    """Path and body of a request."""
    body: dict[str, object] = {
        "model": model,
        "input": [{"role": message.role, "content": message.content} for message in request.messages],
        "max_output_tokens": request.max_tokens,
        "store": False,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    merge(body, extra_body)
    if request.logprobs:
        included = body.get("include")
        body["include"] = [*(included if isinstance(included, list) else ()), LOGPROBS]
        body["top_logprobs"] = request.logprobs
    return PATH, body


def parse(payload: object, request: Request) -> list[Completion]:
    """The one completion.

    Raises:
        MalformedAnswer: the payload is not a response, reports an error, or is not finished.
    """
    top = top_of(payload)
    stated = _stated(top)
    try:
        items = objects(top.get("output"), "the output")
        said = _said(top, items)
    except MalformedAnswer as error:
        raise MalformedAnswer(str(error), stated.usage if stated else None) from None
    return [only_completion(top, said, request, stated, lambda _: part_logprobs(_parts(items)))]


def _said(top: dict[str, object], items: list[dict[str, object]]) -> Said:
    """What the messages say."""
    reason = _reason(top)
    text, refusal = _texts(items)
    if refusal and not text:
        text, reason = refusal, "refusal"
    reasoning, kind = _reasoning(items)
    if text is None:
        if not items and reason not in ("length", "content_filter"):
            raise MalformedAnswer("the response has no output")
        if not reasoning and any(str(item.get("type")).endswith("_call") for item in items):
            raise MalformedAnswer("a message has only tool calls")
        text = ""  # cut off while reasoning, or withheld: a completion all the same
    text, thought = split_think(text)
    if reasoning is None and thought:
        reasoning, kind = thought, "full"
    return Said(text, reasoning, kind, reason, top)


def _reason(top: dict[str, object]) -> str:
    """The finish reason by status, error and incomplete details."""
    status, error = top.get("status"), top.get("error")
    if error or status == "failed":
        code = error.get("code") if isinstance(error, dict) else None
        code = code if isinstance(code, str) and _CODE.fullmatch(code) else ""
        if code == "invalid_prompt" or "policy" in code:
            return "content_filter"  # retrying would be rejected again
        raise MalformedAnswer(REPORTED + (f": {code}" if code else ""))
    if status in _UNFINISHED:
        raise MalformedAnswer(f"the response is not finished: {status}")
    if status == "incomplete":
        details = top.get("incomplete_details")
        return unbroken(finish(details.get("reason") if isinstance(details, dict) else None))
    return unbroken(finish("stop" if status == "completed" else status))


def _parts(items: list[dict[str, object]]) -> list[dict[str, object]]:
    """The parts of the messages' contents, without commentary if a final answer is marked."""
    messages = [item for item in items if item.get("type") == "message"]
    final = [item for item in messages if item.get("phase") == "final_answer"]
    return [
        part
        for message in final or messages
        for part in objects(message.get("content"), "a message's content")
    ]


def _texts(items: list[dict[str, object]]) -> tuple[str | None, str | None]:
    """Text and refusal of the messages."""
    texts: list[str] = []
    refusals: list[str] = []
    for part in _parts(items):
        if part.get("type") == "output_text" and isinstance(part.get("text"), str):
            texts.append(plain(part["text"]) or "")
        elif part.get("type") == "refusal":
            refusals.append(plain(part.get("refusal")) or "")
    return "".join(texts) if texts else None, "".join(refusals) or None


def _reasoning(items: list[dict[str, object]]) -> tuple[str | None, ReasoningKind | None]:
    """Reasoning and its kind; hidden if the item has no text."""
    found = [item for item in items if item.get("type") == "reasoning"]
    kinds: tuple[tuple[str, ReasoningKind], ...] = (("content", "full"), ("summary", "summary"))
    for field, kind in kinds:
        parts = [part for item in found for part in objects(item.get(field), "reasoning")]
        texts = [text for part in parts if (text := plain(part.get("text")))]
        if texts:
            return "\n\n".join(texts), kind
    return None, "hidden" if found else None


def _stated(top: dict[str, object]) -> Stated | None:
    usage = top.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, completion = count(usage, "input_tokens"), count(usage, "output_tokens")
    if prompt is None or completion is None:
        return None
    cached = count(usage, "input_tokens_details", "cached_tokens") or 0
    written = count(usage, "input_tokens_details", "cache_write_tokens") or 0
    thought = count(usage, "output_tokens_details", "reasoning_tokens") or 0
    return Stated(known(prompt, completion, cached, written, thought, cost_of(top)), completion)


_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_DELTAS = {
    "response.output_text.delta": ("content", "output_text", "text"),
    "response.refusal.delta": ("content", "refusal", "refusal"),
    "response.reasoning_text.delta": ("content", "reasoning_text", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_text", "text"),
}
"""Events with a piece of text: the list of the item, the type of the part, and its field."""


class ResponseAssembly(Assembly):
    """The events of one response. The last one holds all of it; what came before counts if that is missing."""

    def __init__(self) -> None:
        super().__init__()
        self._top: Event = {}
        self._items: dict[int, Event] = {}
        self._pieces: dict[tuple[int, str, int, str, str], list[str]] = {}

    def add(self, event: Event) -> None:
        """Takes the data of one event."""
        kind = str(event.get("type"))
        if (place := _DELTAS.get(kind)) is not None:
            delta = event.get("delta")
            index = _index(event, "content_index", "summary_index")
            key = (_index(event, "output_index"), place[0], index, place[1], place[2])
            self._pieces.setdefault(key, []).append(delta if isinstance(delta, str) else "")
            return
        response, item = event.get("response"), event.get("item")
        if isinstance(response, dict):
            self._top = response
        elif isinstance(item, dict):
            self._items[_index(event, "output_index")] = item
        elif event.get("object") == "response":  # all of it, without an event around it
            self._top, self.ended = event, True
        if kind in _ENDS:
            self.ended = True
        if error := event.get("error") or (event if kind == "error" else None):
            self.error = error

    @property
    def whole(self) -> bool:
        """Only the last event says so."""
        return self.ended

    def payload(self) -> Event:
        """The response so far."""
        found = dict(self._top)
        if not found.get("output"):
            found["output"] = [
                self._item(index) for index in sorted({*self._items, *(key[0] for key in self._pieces)})
            ]
        if self.error and not self.ended:
            found["error"] = self.error
        return found

    def _item(self, index: int) -> Event:
        """An item as it ended, or as far as it came."""
        item = dict(self._items.get(index, {}))
        if item.get("content") or item.get("summary"):
            return item
        for (_, listed, _, kind, field), pieces in sorted(
            (key, pieces) for key, pieces in self._pieces.items() if key[0] == index
        ):
            item.setdefault("type", "reasoning" if "reasoning" in kind or listed == "summary" else "message")
            before = item.get(listed)
            part: Event = {"type": kind, field: "".join(pieces)}
            item[listed] = [*(before if isinstance(before, list) else ()), part]
        return item


def _index(event: Event, *names: str) -> int:
    found = next((value for name in names if isinstance(value := event.get(name), int)), 0)
    return found


DIALECT = Dialect(
    name="openai-responses",
    api="OpenAI's responses, for reasoning models",
    build=build,
    parse=parse,
    fields=BodyFields(
        token_limit="max_output_tokens", parameters={"temperature": "temperature", "top_p": "top_p"}
    ),
    streaming=Streaming(assembly=ResponseAssembly),
    supports_logprobs=True,
    builtin=True,
)
