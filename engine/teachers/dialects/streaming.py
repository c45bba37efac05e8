"""How a dialect asks for a stream, and how the events of a stream become the payload of a response in one piece.

An `Assembly` takes the events of one response. Its payload is what the same API answers without streaming, so that one
parser reads both and a stored body shows nothing of how it came. Events are untrusted: what does not fit is left out,
and the parser then judges the payload.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Event = dict[str, object]


class Assembly(ABC):
    """The events of one response, put together."""

    def __init__(self) -> None:
        self.error: object = None
        """What an event reported as an error."""
        self.ended = False
        """Whether an event ended the response."""

    @abstractmethod
    def add(self, event: Event) -> None:
        """Takes the data of one event."""

    @property
    @abstractmethod
    def whole(self) -> bool:
        """Whether everything that was begun has a finish reason."""

    @property
    def begun(self) -> int:
        """The number of choices that were begun."""
        return 1

    @abstractmethod
    def payload(self) -> Event:
        """The response so far, in the form of one that is not streamed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Streaming:
    """A dialect's streams."""

    assembly: Callable[[], Assembly]
    """Puts the events of a response together."""
    ask: Mapping[str, object] = field(default_factory=lambda: {"stream": True})
    """Fields of the body that ask for a stream."""
    ask_usage: Mapping[str, object] = field(default_factory=dict)
    """Fields that ask for the usage in the stream, where it does not come by itself; some servers reject them."""


_JOINED = frozenset(
    {
        *("content", "text", "refusal", "reasoning_content", "reasoning", "reasoning_text", "thinking"),
        *("thought", "summary", "arguments", "data", "partial_json", "signature"),
    }
)
"""Fields whose pieces are joined; of any other the last value counts."""


class Piecewise:
    """A message that comes in deltas. Long texts are kept as lists of pieces until they are needed."""

    __slots__ = ("_fields", "_texts")

    def __init__(self) -> None:
        self._fields: Event = {}
        self._texts: dict[str, list[str]] = {}

    def add(self, delta: Mapping[str, object]) -> None:
        """Takes one delta."""
        for name, value in delta.items():
            if isinstance(value, str) and name in _JOINED:
                pieces = self._texts.get(name)
                if pieces is None:
                    pieces = self._texts[name] = []
                pieces.append(value)
            elif isinstance(value, list):
                self._list(name, value)
            elif value is not None or name not in self._fields:
                self._fields[name] = value

    def _list(self, name: str, value: list[object]) -> None:
        """Adds to a list; text that came before becomes its first part."""
        own = self._fields.get(name)
        if not isinstance(own, list):
            before = "".join(self._texts.pop(name, ()))
            own = list[object]()
            if before:
                own.append({"type": "text", "text": before})
            self._fields[name] = own
        elif pieces := self._texts.pop(name, None):  # text between two lists
            extend(own, [{"type": "text", "text": "".join(pieces)}])
        extend(own, value)

    def joined(self) -> Event:
        """The message so far."""
        found = dict(self._fields)
        for name, pieces in self._texts.items():
            text, listed = "".join(pieces), found.get(name)
            found[name] = [*listed, {"type": "text", "text": text}] if isinstance(listed, list) else text
        return found


def extend(own: list[object], more: list[object]) -> None:
    """Adds items to a list; one that continues another (same `index`, or the same type at its end) is merged into it."""
    for item in more:
        if not isinstance(item, dict):
            own.append(item)
            continue
        into = _continued(own, item)
        if into is None:
            own.append(dict(item))
        else:
            _merge(into, item)


def _continued(own: list[object], item: Event) -> Event | None:
    index = item.get("index")
    if index is not None:
        return next((each for each in own if isinstance(each, dict) and each.get("index") == index), None)
    last = own[-1] if own else None
    if isinstance(last, dict) and item.get("type") is not None and last.get("type") == item.get("type"):
        return last if item.get("id") in (None, last.get("id")) else None
    return None


def _merge(own: Event, more: Event) -> None:
    for name, value in more.items():
        before = own.get(name)
        if isinstance(value, str) and isinstance(before, str) and name in _JOINED:
            own[name] = before + value
        elif isinstance(value, list) and isinstance(before, list):
            joined = list(before)
            extend(joined, value)
            own[name] = joined
        elif isinstance(value, dict) and isinstance(before, dict):
            inner = dict(before)
            _merge(inner, value)
            own[name] = inner
        elif value is not None and value != "":
            own[name] = value


class _Choice:
    """One choice of a stream."""

    __slots__ = ("_logprobs", "fields", "finish", "message", "whole")

    def __init__(self) -> None:
        self.message = Piecewise()
        self.fields: Event = {}
        self.finish: object = None
        self.whole: Event | None = None
        self._logprobs: dict[str, list[object]] | None = None

    def add_logprobs(self, given: object) -> None:
        """Takes the log-probabilities of some tokens: an object of lists."""
        if not isinstance(given, dict):
            return
        if self._logprobs is None:
            self._logprobs = {}
        for name, values in given.items():
            if isinstance(values, list):
                self._logprobs.setdefault(name, []).extend(values)

    @property
    def logprobs(self) -> dict[str, list[object]] | None:
        """The log-probabilities so far."""
        return self._logprobs


class ChoicesAssembly(Assembly):
    """Chunks of OpenAI's chat and text completions: choices whose deltas are joined by their index."""

    object_name = "chat.completion"
    text_only = False

    def __init__(self) -> None:
        super().__init__()
        self._top: Event = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: Event | None = None

    def add(self, event: Event) -> None:
        """Takes one chunk."""
        choices = event.get("choices")
        last = False
        if isinstance(choices, list):
            for given in choices:
                if isinstance(given, dict):
                    last = self._add_choice(given) or last
        usage = event.get("usage")
        if isinstance(usage, dict) and usage:
            self._usage = usage
        if error := event.get("error"):
            self.error = error
        if last or not choices or not self._top:  # other chunks repeat what the first one said
            for name, value in event.items():
                if name in ("choices", "usage", "error", "object") or value is None:
                    continue
                if value != "" or name not in self._top:
                    self._top[name] = value

    def _add_choice(self, given: Event) -> bool:
        """Takes a part of a choice; returns whether it ends the choice."""
        index = given.get("index")
        key = index if isinstance(index, int) else 0
        choice = self._choices.get(key)
        if choice is None:
            choice = self._choices[key] = _Choice()
        delta = given.get("delta")
        if isinstance(delta, dict):
            choice.message.add(delta)
        elif isinstance(message := given.get("message"), dict):  # the whole message again, at the end
            choice.whole = message
        text = given.get("text")
        if isinstance(text, str) and text:
            choice.message.add({("text" if self.text_only else "content"): text})
        if (logprobs := given.get("logprobs")) is not None:
            choice.add_logprobs(logprobs)
        if error := given.get("error"):
            choice.fields["error"] = error
        reason = given.get("finish_reason")
        if reason:
            choice.finish = reason
        return bool(reason)

    @property
    def whole(self) -> bool:
        """Whether each choice that was begun has a finish reason."""
        return bool(self._choices) and all(each.finish for each in self._choices.values())

    @property
    def begun(self) -> int:
        """The number of choices that were begun."""
        return len(self._choices)

    def payload(self) -> Event:
        """The response so far."""
        found: Event = {**self._top, "object": self.object_name}
        if self._choices:
            found["choices"] = [self._choice(key, each) for key, each in sorted(self._choices.items())]
        if self._usage is not None:
            found["usage"] = self._usage
        if self.error:
            found["error"] = self.error
        return found

    def _choice(self, index: int, choice: _Choice) -> Event:
        said = choice.message.joined()
        if choice.whole is not None:
            said.update((name, value) for name, value in choice.whole.items() if value not in (None, ""))
        found: Event = {"index": index, "finish_reason": choice.finish, **choice.fields}
        if choice.logprobs is not None:
            found["logprobs"] = choice.logprobs
        if self.text_only:
            text = said.get("text", said.get("content"))
            return {**found, "text": text if isinstance(text, str) else ""}
        said.setdefault("content", None)
        return {**found, "message": said}


class TextChoicesAssembly(ChoicesAssembly):
    """Chunks of text completions."""

    object_name = "text_completion"
    text_only = True
